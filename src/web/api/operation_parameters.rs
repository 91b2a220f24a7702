//! The arguments of an Execute and the attributes of a Write-Attributes.

use std::collections::BTreeSet;

use serde_json::{Map, Value as Json};

use crate::domain::{OperationKind, Path};
use crate::web::ApiError;

/// The longest arguments of an Execute, in bytes.
const MAX_ARGUMENTS_BYTES: usize = 1024;

/// `arglist = arg *("," arg)`, `arg = DIGIT / DIGIT "=" "'" *CHAR "'"` (Core 6.3.5).
pub(super) fn check_arguments(text: &str) -> Result<(), ApiError> {
    let refuse = || {
        let detail = "arguments are digits 0 to 9, each with a text in single quotes or none, \
                      separated by commas: 0='text',1";
        Err(ApiError::invalid("arguments", detail))
    };
    if text.len() > MAX_ARGUMENTS_BYTES {
        let detail = format!("at most {MAX_ARGUMENTS_BYTES} bytes");
        return Err(ApiError::invalid("arguments", detail));
    }
    let mut rest = text;
    let mut seen = BTreeSet::new();
    loop {
        let Some(digit) = rest.chars().next().filter(char::is_ascii_digit) else {
            return refuse();
        };
        if !seen.insert(digit) {
            return refuse();
        }
        rest = rest.get(1..).unwrap_or_default();
        if let Some(quoted) = rest.strip_prefix("='") {
            let Some((value, after)) = quoted.split_once('\'') else {
                return refuse();
            };
            // "!" / %x23-26 / %x28-5B / %x5D-7E, the grammar of the specification.
            let legal = |byte: u8| matches!(byte, 0x21 | 0x23..=0x26 | 0x28..=0x5B | 0x5D..=0x7E);
            if !value.bytes().all(legal) {
                return refuse();
            }
            rest = after;
        }
        if rest.is_empty() {
            return Ok(());
        }
        let Some(next) = rest.strip_prefix(',') else {
            return refuse();
        };
        rest = next;
    }
}

/// What an attribute takes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum AttributeKind {
    /// Seconds or a count.
    Count,
    /// Any number; for resources only.
    Number,
    /// 0 or 1.
    Switch,
}

/// The attributes that a server may write (Core 5.1.2, 7.3.2; LwM2M 1.2 adds the last ones).
const ATTRIBUTES: [(&str, AttributeKind); 10] = [
    ("pmin", AttributeKind::Count),
    ("pmax", AttributeKind::Count),
    ("gt", AttributeKind::Number),
    ("lt", AttributeKind::Number),
    ("st", AttributeKind::Number),
    ("epmin", AttributeKind::Count),
    ("epmax", AttributeKind::Count),
    ("edge", AttributeKind::Switch),
    ("con", AttributeKind::Switch),
    ("hqmax", AttributeKind::Count),
];

pub(super) fn attributes(
    kind: OperationKind,
    paths: &[Path],
    given: Option<&Map<String, Json>>,
) -> Result<Vec<(String, Option<String>)>, ApiError> {
    if kind != OperationKind::WriteAttributes {
        return Ok(Vec::new());
    }
    let given = given.filter(|given| !given.is_empty()).ok_or_else(|| {
        ApiError::invalid(
            "attributes",
            "`attributes` is missing, such as {\"pmin\": 5}",
        )
    })?;
    let for_resource = paths.iter().all(|path| path.depth() >= 3);
    let mut attributes = Vec::with_capacity(given.len());
    for (name, json) in given {
        let refuse = |detail: String| Err(ApiError::invalid("attributes", detail));
        let Some((_, wanted)) = ATTRIBUTES.iter().find(|(known, _)| known == name) else {
            let known: Vec<&str> = ATTRIBUTES.iter().map(|(name, _)| *name).collect();
            return refuse(format!("`{name}` is none of {}", known.join(", ")));
        };
        if *wanted == AttributeKind::Number && !for_resource {
            return refuse(format!("`{name}` can be set on resources only"));
        }
        let text = match json {
            Json::Null => None,
            Json::String(text) => Some(text.clone()),
            Json::Bool(on) => Some(u8::from(*on).to_string()),
            other => Some(other.to_string()),
        };
        if let Some(text) = &text
            && !attribute_fits(name, *wanted, text)
        {
            return refuse(match wanted {
                AttributeKind::Count => format!("`{name}` is a whole number that is not negative"),
                AttributeKind::Number if name == "st" => format!("`{name}` is a number above 0"),
                AttributeKind::Number => format!("`{name}` is a number"),
                AttributeKind::Switch => format!("`{name}` is 0 or 1"),
            });
        }
        attributes.push((name.clone(), text));
    }
    for (least, most) in [("pmin", "pmax"), ("epmin", "epmax")] {
        let value = |name: &str| -> Option<u32> {
            let (_, text) = attributes.iter().find(|(given, _)| given == name)?;
            text.as_ref()?.parse().ok()
        };
        if let (Some(low), Some(high)) = (value(least), value(most))
            && low > high
        {
            let detail = format!("`{least}` is above `{most}`");
            return Err(ApiError::invalid("attributes", detail));
        }
    }
    Ok(attributes)
}

fn attribute_fits(name: &str, wanted: AttributeKind, text: &str) -> bool {
    match wanted {
        AttributeKind::Count => {
            text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u32>().is_ok()
        }
        AttributeKind::Number => text
            .parse::<f64>()
            .is_ok_and(|number| number.is_finite() && (name != "st" || number > 0.0)),
        AttributeKind::Switch => matches!(text, "0" | "1"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn arguments_follow_the_grammar() {
        for good in ["0", "0,1", "0='a,b',3", "5='http://x/?y=1'", "9=''"] {
            check_arguments(good).expect(good);
        }
        let long = format!("0='{}'", "x".repeat(MAX_ARGUMENTS_BYTES));
        for bad in [
            "", "a", "0=", "0='x", "0='x'1", "0,,1", "0,0", "10", "0='é'", "0='a b'", r"0='\'",
            "0,", &long,
        ] {
            let error = check_arguments(bad).expect_err(bad);
            assert_eq!(error.field(), Some("arguments"), "{bad}");
        }
    }

    fn written(path: &str, given: Json) -> Result<Vec<(String, Option<String>)>, ApiError> {
        let paths = [path.parse().expect("a path")];
        attributes(OperationKind::WriteAttributes, &paths, given.as_object())
    }

    #[test]
    fn attributes_that_are_known_and_fit_are_taken() {
        let mut taken = written("/3303/0/5700", json!({"pmin": 5, "gt": "1.5", "lt": null}))
            .expect("attributes");
        taken.sort();
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(
            taken,
            [
                ("gt".to_owned(), text("1.5")),
                ("lt".to_owned(), None),
                ("pmin".to_owned(), text("5")),
            ]
        );
        assert!(written("/3", json!({"pmin": 5, "pmax": 5, "con": true})).is_ok());
    }

    #[test]
    fn attributes_that_make_no_sense_are_refused() {
        for (path, given) in [
            ("/3/0/9", json!(null)),
            ("/3/0/9", json!({})),
            ("/3/0/9", json!({"speed": 1})),
            ("/3/0/9", json!({"pmin": -1})),
            ("/3/0/9", json!({"pmin": 1.5})),
            ("/3/0/9", json!({"pmin": ""})),
            ("/3/0/9", json!({"pmin": 10, "pmax": 5})),
            ("/3/0/9", json!({"st": 0})),
            ("/3/0/9", json!({"edge": 2})),
            ("/3/0", json!({"gt": 1})),
        ] {
            let error = written(path, given.clone()).expect_err("a refusal");
            assert_eq!(error.field(), Some("attributes"), "{given}");
        }
    }
}
