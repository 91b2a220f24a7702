//! What cannot be read, in words for the caller: of a JSON body the field and what belongs there, of a parameter likewise.
//!
//! Serde and the standard library say it in the words of Rust (`expected i64`), which mean nothing to whoever wrote the
//! request in another language.

use serde_path_to_error::{Path, Segment};

use super::ApiError;

/// A JSON body that is JSON, but not what is wanted: 422 with the field, from the outermost to the innermost, as in
/// `groups.0.percent`.
pub(super) fn body(path: &Path, message: &str) -> ApiError {
    let (message, position) = split_position(message);
    let complaint = Complaint::of(message);
    let mut field: Vec<String> = path
        .iter()
        .filter_map(|segment| match segment {
            Segment::Seq { index } => Some(index.to_string()),
            Segment::Map { key } => Some(key.clone()),
            Segment::Enum { .. } | Segment::Unknown => None,
        })
        .collect();
    if let Some(named) = complaint.field
        && field.last() != Some(&named)
    {
        field.push(named);
    }
    match field.is_empty() {
        true => ApiError::unprocessable(format!("{}{position}", complaint.words)),
        false => ApiError::invalid(field.join("."), complaint.words),
    }
}

/// A query string with a parameter that is unknown, missing or there twice: 400.
pub(super) fn query(message: &str) -> ApiError {
    let complaint = Complaint::of(message);
    match complaint.field {
        Some(field) => ApiError::parameter(field, complaint.words),
        None => ApiError::malformed(complaint.words),
    }
}

/// What is wrong with the text of a parameter that its type does not take.
pub(super) fn parameter(name: &str, text: &str, error: &str) -> String {
    match error {
        "invalid digit found in string" => format!("`{name}` is a whole number, not `{text}`"),
        "invalid float literal" => format!("`{name}` is a number, not `{text}`"),
        "number too large to fit in target type" => format!("`{name}` is too large a number"),
        "number too small to fit in target type" => format!("`{name}` is too small a number"),
        "provided string was not `true` or `false`" => {
            format!("`{name}` is `true` or `false`, not `{text}`")
        }
        _ => format!("`{name}`: {error}"),
    }
}

/// A message of serde, understood.
struct Complaint {
    /// The field that it names itself.
    field: Option<String>,
    words: String,
}

impl Complaint {
    fn of(message: &str) -> Self {
        let named = |start: &str| {
            let (field, rest) = message.strip_prefix(start)?.split_once('`')?;
            Some((field.to_owned(), rest))
        };
        if let Some((field, _)) = named("missing field `") {
            let words = format!("`{field}` is missing");
            return Self::about(field, words);
        }
        if let Some((field, _)) = named("duplicate field `") {
            let words = format!("`{field}` is there twice");
            return Self::about(field, words);
        }
        if let Some((field, rest)) = named("unknown field `") {
            let known = rest.strip_prefix(", expected ").map(list_of);
            let words = match known.as_deref() {
                None | Some("") => format!("unknown field `{field}`"),
                Some(known) => format!("unknown field `{field}`: {known} can be given"),
            };
            return Self::about(field, words);
        }
        let words = message
            .strip_prefix("unknown variant `")
            .and_then(|rest| rest.split_once("`, expected "))
            .map(|(found, known)| format!("`{found}` is none of {}", list_of(known)))
            .or_else(|| wrong_kind(message));
        Self {
            field: None,
            words: words.unwrap_or_else(|| message.to_owned()),
        }
    }

    fn about(field: String, words: String) -> Self {
        Self {
            field: Some(field),
            words,
        }
    }
}

/// What may stand there, as a list: serde says `a, b` with `one of` before it, and `or` where there are two.
fn list_of(known: &str) -> String {
    let known = known.strip_prefix("one of ").unwrap_or(known);
    known.replace(" or ", ", ")
}

/// `invalid type: string "1", expected i64`.
fn wrong_kind(message: &str) -> Option<String> {
    let rest = message
        .strip_prefix("invalid type: ")
        .or_else(|| message.strip_prefix("invalid value: "))?;
    // What was sent may have the same words in it.
    let (found, wanted) = rest.rsplit_once(", expected ")?;
    Some(format!(
        "{} belongs here, not {}",
        kind(wanted),
        thing(found)
    ))
}

fn kind(wanted: &str) -> &str {
    match wanted {
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number that is not negative",
        "f32" | "f64" => "a number",
        "a string" | "str" | "string" => "a text",
        "a boolean" | "bool" => "true or false",
        "a sequence" => "a list",
        "a map" => "an object",
        _ if wanted.starts_with("struct ") => "an object",
        _ => wanted,
    }
}

fn thing(found: &str) -> String {
    match found {
        "map" => "an object".to_owned(),
        "sequence" => "a list".to_owned(),
        "unit value" => "null".to_owned(),
        _ => {
            let value = ["integer `", "floating point `", "boolean `"]
                .iter()
                .find_map(|start| found.strip_prefix(start)?.strip_suffix('`'));
            let text = found.strip_prefix("string ");
            value.or(text).unwrap_or(found).to_owned()
        }
    }
}

/// Where in the body it is, which says little once the field is known.
fn split_position(message: &str) -> (&str, &str) {
    match message.rfind(" at line ") {
        Some(at) => message.split_at(at),
        None => (message, ""),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "what is read here is refused")]
    struct Plan {
        image: i64,
        at_once: Option<u32>,
        start: Option<bool>,
        role: Option<Role>,
        groups: Option<Vec<Group>>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "what is read here is refused")]
    struct Group {
        percent: Option<f64>,
        name: Option<String>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Role {
        Viewer,
        Admin,
    }

    fn refused(text: &str) -> ApiError {
        let mut json = serde_json::Deserializer::from_str(text);
        let error = serde_path_to_error::deserialize::<_, Plan>(&mut json).expect_err(text);
        body(error.path(), &error.inner().to_string())
    }

    #[test]
    fn the_field_is_named_wherever_it_is_and_what_belongs_there() {
        for (text, field, words) in [
            (
                r#"{"image": "1"}"#,
                "image",
                "a whole number belongs here, not \"1\"",
            ),
            (
                r#"{"image": 1.5}"#,
                "image",
                "a whole number belongs here, not 1.5",
            ),
            (
                r#"{"image": null}"#,
                "image",
                "a whole number belongs here, not null",
            ),
            (
                r#"{"image": 1, "at_once": -1}"#,
                "at_once",
                "a whole number that is not negative belongs here, not -1",
            ),
            (
                r#"{"image": 1, "start": "yes"}"#,
                "start",
                "true or false belongs here, not \"yes\"",
            ),
            (
                r#"{"image": 1, "role": "root"}"#,
                "role",
                "`root` is none of `viewer`, `admin`",
            ),
            (
                r#"{"image": 1, "groups": 5}"#,
                "groups",
                "a list belongs here, not 5",
            ),
            (
                r#"{"image": 1, "groups": [{}, {"percent": "x, expected u8"}]}"#,
                "groups.1.percent",
                "a number belongs here, not \"x, expected u8\"",
            ),
            (
                r#"{"image": 1, "groups": [{"colour": 1}]}"#,
                "groups.0.colour",
                "unknown field `colour`: `percent`, `name` can be given",
            ),
            (
                r#"{"image": 1, "groups": [{"name": "a", "name": "b"}]}"#,
                "groups.0.name",
                "`name` is there twice",
            ),
            (
                r#"{"image": 1, "groups": [7]}"#,
                "groups.0",
                "an object belongs here, not 7",
            ),
            (r#"{"start": true}"#, "image", "`image` is missing"),
        ] {
            let error = refused(text);
            assert_eq!(
                (error.field(), error.detail()),
                (Some(field), words),
                "{text}"
            );
        }
        let error = refused("7");
        assert_eq!(error.field(), None);
        assert_eq!(
            error.detail(),
            "an object belongs here, not 7 at line 1 column 1"
        );
    }

    #[test]
    fn numbers_of_a_query_are_asked_for_in_words() {
        let wrong = |text: &str| {
            parameter(
                "limit",
                text,
                &text.parse::<u8>().expect_err(text).to_string(),
            )
        };
        assert_eq!(wrong("many"), "`limit` is a whole number, not `many`");
        assert_eq!(wrong("-1"), "`limit` is a whole number, not `-1`");
        assert_eq!(wrong("300"), "`limit` is too large a number");
        let error = "x".parse::<f64>().expect_err("no number").to_string();
        assert_eq!(
            parameter("wait", "x", &error),
            "`wait` is a number, not `x`"
        );
        let error = "yes".parse::<bool>().expect_err("neither").to_string();
        assert_eq!(
            parameter("secure", "yes", &error),
            "`secure` is `true` or `false`, not `yes`"
        );
        assert_eq!(parameter("from", "now", "no time"), "`from`: no time");
    }

    #[test]
    fn what_else_serde_says_is_told_as_it_is() {
        let error = query("something else");
        assert_eq!((error.field(), error.detail()), (None, "something else"));
        let error = query("unknown field `x`, there are no fields");
        assert_eq!(
            (error.field(), error.detail()),
            (Some("x"), "unknown field `x`")
        );
    }
}
