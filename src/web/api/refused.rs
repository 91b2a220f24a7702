//! How calls refuse, where many do it alike: named in their `responses(…)`, for the OpenAPI document.

use std::collections::BTreeMap;

use utoipa::IntoResponses;
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response, ResponseBuilder, ResponsesBuilder};

/// 401: nobody is logged in.
pub(in crate::web) enum NotLoggedIn {}

/// 401 and 403: nobody is logged in who may operate devices.
pub(in crate::web) enum NotOperator {}

/// 401 and 403: no admin is logged in.
pub(in crate::web) enum NotAdmin {}

/// 403: a token asks for what only an account has, or something has to be done first.
pub(in crate::web) enum NotAToken {}

/// 400: the body.
pub(in crate::web) enum UnreadableJson {}

/// 400: a part of the query.
pub(in crate::web) enum UnreadableParameter {}

/// 422: what can be read and is wrong.
pub(in crate::web) enum SenselessField {}

/// 404: an endpoint.
pub(in crate::web) enum NoDevice {}

type Responses = BTreeMap<String, RefOr<Response>>;

impl IntoResponses for NotLoggedIn {
    fn responses() -> Responses {
        problems(&[NOT_LOGGED_IN])
    }
}

impl IntoResponses for NotOperator {
    fn responses() -> Responses {
        problems(&[NOT_LOGGED_IN, ("403", "Needs the role operator")])
    }
}

impl IntoResponses for NotAdmin {
    fn responses() -> Responses {
        problems(&[NOT_LOGGED_IN, ("403", "Needs the role admin")])
    }
}

impl IntoResponses for NotAToken {
    fn responses() -> Responses {
        problems(&[("403", "A token has no account, or its role is too small")])
    }
}

impl IntoResponses for UnreadableJson {
    fn responses() -> Responses {
        problems(&[("400", "The body is no JSON")])
    }
}

impl IntoResponses for UnreadableParameter {
    fn responses() -> Responses {
        problems(&[("400", "A parameter cannot be read")])
    }
}

impl IntoResponses for SenselessField {
    fn responses() -> Responses {
        problems(&[("422", "A field makes no sense")])
    }
}

impl IntoResponses for NoDevice {
    fn responses() -> Responses {
        problems(&[("404", "No device has this name")])
    }
}

fn problems(all: &[(&str, &str)]) -> Responses {
    let each = all.iter().map(|(status, description)| {
        let problem = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem")));
        let response = ResponseBuilder::new()
            .description(*description)
            .content("application/problem+json", problem.build());
        (*status, response.build())
    });
    ResponsesBuilder::new()
        .responses_from_iter(each)
        .build()
        .into()
}

const NOT_LOGGED_IN: (&str, &str) = ("401", "Not logged in");
