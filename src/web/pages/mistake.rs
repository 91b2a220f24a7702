//! What is wrong with a form, said beside the field that it is about.

use serde::Serialize;

use super::words::sentence;
use crate::web::ApiError;

/// What is wrong with a form. The component `mistake` shows it, and `mistakes.js` puts it beside its field.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Mistake {
    /// A sentence.
    text: String,
    /// The field's name in the form; none where it is about the whole.
    field: Option<String>,
    /// Whom it was about, where a page has such a form for each.
    of: Option<String>,
}

impl Mistake {
    /// About a form as a whole.
    pub(super) fn new(text: &str) -> Self {
        Self {
            text: sentence(text),
            field: None,
            of: None,
        }
    }

    /// About a field of it.
    pub(super) fn at(field: &str, text: &str) -> Self {
        Self {
            field: Some(field.to_owned()),
            ..Self::new(text)
        }
    }

    /// The same, in the form that is about `whom`.
    pub(super) fn of(self, whom: &str) -> Self {
        Self {
            of: Some(whom.to_owned()),
            ..self
        }
    }
}

impl From<&ApiError> for Mistake {
    fn from(error: &ApiError) -> Self {
        // Forms are flat: `condition.above` is the field `above`.
        let field = error.field().and_then(|field| field.rsplit('.').next());
        match field {
            Some(field) => Self::at(field, error.detail()),
            None => Self::new(error.detail()),
        }
    }
}
