//! Whether values are such as their model allows, beside their type: ranges.
//!
//! The registry writes ranges for people (`0..100`, `0..255 bytes`, `16,32,48`, `ON;OFF`); only
//! those that leave no doubt are held against a value. Whether a resource may be written at all is
//! the device's to say.

use std::str::FromStr;

use super::ResourceModel;
use crate::domain::{Path, Value};

/// Checks a value against the range of its model. The value is of the model's type already.
///
/// # Errors
/// Names the path and the rule that is broken.
pub(super) fn check_range(path: Path, value: &Value, model: &ResourceModel) -> Result<(), String> {
    let Some(range) = &model.range else {
        return Ok(());
    };
    let (what, fits) = match value {
        Value::Float(number) => ("", numbers(range).map(|allowed| holds(&allowed, number))),
        Value::Integer(number) | Value::Time(number) => (
            "",
            whole(range).map(|allowed| holds(&allowed, &i128::from(*number))),
        ),
        Value::UnsignedInteger(number) => (
            "",
            whole(range).map(|allowed| holds(&allowed, &i128::from(*number))),
        ),
        Value::Opaque(bytes) => (
            "the length of ",
            lengths(range).map(|allowed| holds(&allowed, &bytes.len())),
        ),
        // Whether characters or bytes are counted is rarely said, so either will do.
        Value::Corelink(text) | Value::String(text) => (
            "the length of ",
            lengths(range).map(|allowed| {
                holds(&allowed, &text.len()) || holds(&allowed, &text.chars().count())
            }),
        ),
        Value::Boolean(_) | Value::Objlnk(_) => return Ok(()),
    };
    if fits == Some(false) {
        let given = match value {
            Value::Opaque(bytes) => format!("{} bytes", bytes.len()),
            Value::Corelink(text) | Value::String(text) => {
                format!("{} characters", text.chars().count())
            }
            other => other.to_string(),
        };
        return Err(format!(
            "{what}{path} must be within {range}; given are {given}"
        ));
    }
    Ok(())
}

/// From the first to the second, both allowed.
type Span<T> = (T, T);

fn holds<T: PartialOrd>(allowed: &[Span<T>], value: &T) -> bool {
    allowed
        .iter()
        .any(|(low, high)| low <= value && value <= high)
}

/// The allowed whole numbers, if the range leaves no doubt.
fn whole(range: &str) -> Option<Vec<Span<i128>>> {
    spans(range).filter(|spans| is_rule(spans))
}

/// The allowed numbers, if the range leaves no doubt.
fn numbers(range: &str) -> Option<Vec<Span<f64>>> {
    spans(range).filter(|spans| is_rule(spans))
}

/// A number alone says how many bits there are, or what the largest is, or what is usual.
fn is_rule<T: PartialEq>(spans: &[Span<T>]) -> bool {
    !matches!(spans, [(low, high)] if low == high)
}

/// The allowed lengths, if the range leaves no doubt. A number alone is the greatest length.
fn lengths(range: &str) -> Option<Vec<Span<usize>>> {
    let lower = range.to_ascii_lowercase();
    let plain = lower.strip_suffix("bytes").unwrap_or(&lower);
    let spans = spans(plain)?;
    Some(match spans.as_slice() {
        [(low, high)] if low == high => vec![(0, *high)],
        _ => spans,
    })
}

/// `0..247, 255`: spans and single values, separated by commas; some write three dots.
fn spans<T: FromStr + PartialOrd + Copy>(range: &str) -> Option<Vec<Span<T>>> {
    range
        .split(',')
        .map(|part| {
            let (low, high) = match part.split_once("..") {
                Some((low, high)) => (low, high.trim_start_matches('.')),
                None => (part, part),
            };
            let span: Span<T> = (low.trim().parse().ok()?, high.trim().parse().ok()?);
            // Turned round it says something, but who knows what.
            (span.0 <= span.1).then_some(span)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ObjectLink;
    use crate::lwm2m::Operations;

    fn check(range: &str, value: Value) -> Result<(), String> {
        let model = ResourceModel {
            id: 1,
            name: "Level".to_owned(),
            operations: Operations::default(),
            multiple: false,
            mandatory: false,
            value_type: Some(value.value_type()),
            range: Some(range.to_owned()),
            units: None,
        };
        check_range(Path::resource(7, 0, 1), &value, &model)
    }

    #[test]
    fn f5_numbers_must_lie_within_their_range() {
        for (range, good, bad) in [
            ("0..100", &[0, 100][..], &[-1, 101][..]),
            ("1...25", &[1, 25], &[0, 26]),
            ("-30..46", &[-30, 46], &[-31, 47]),
            ("0..247, 255", &[0, 247, 255], &[248, 256]),
            ("5, 10, 15, 20", &[5, 20], &[6, 0]),
            ("0..9223372036854775807", &[i64::MAX], &[-1]),
        ] {
            for number in good {
                assert_eq!(check(range, Value::Integer(*number)), Ok(()), "{range}");
                assert_eq!(check(range, Value::Time(*number)), Ok(()), "{range}");
            }
            for number in bad {
                assert!(check(range, Value::Integer(*number)).is_err(), "{range}");
            }
        }
        assert_eq!(
            check("0..18446744073709551615", Value::UnsignedInteger(u64::MAX)),
            Ok(())
        );
        assert!(check("0..3", Value::UnsignedInteger(4)).is_err());
        assert_eq!(check("0.0..1.0", Value::Float(1.0)), Ok(()));
        assert_eq!(check("0..100", Value::Float(99.9)), Ok(()));
        assert_eq!(check("0; 3.8..20.5", Value::Float(0.0)), Ok(()));
        assert!(check("0.0..1.0", Value::Float(1.1)).is_err());
        assert!(check("0..1", Value::Float(f64::NAN)).is_err());
    }

    #[test]
    fn f5_texts_and_bytes_must_have_a_length_within_the_range() {
        let text = |len: usize| Value::String("é".repeat(len));
        let bytes = |len: usize| Value::Opaque(vec![0; len]);
        for (range, good, bad) in [
            ("1..4", &[1, 4][..], &[0, 5][..]),
            ("0..4 bytes", &[0, 4], &[5]),
            ("1..4 Bytes", &[1, 4], &[0]),
            ("4", &[0, 4], &[5]),
            ("10,26", &[10, 26], &[11, 27]),
        ] {
            for len in good {
                assert_eq!(check(range, text(*len)), Ok(()), "{range} {len}");
                assert_eq!(check(range, bytes(*len)), Ok(()), "{range} {len}");
            }
            for len in bad {
                assert!(check(range, bytes(*len)).is_err(), "{range} {len}");
            }
        }
        assert!(check("0..4", text(5)).is_err());
        assert_eq!(check("0..10", text(10)), Ok(()), "20 bytes, 10 characters");
    }

    #[test]
    fn a_range_that_only_people_understand_is_not_held_against_a_value() {
        for range in [
            "8-Bits",
            "2 Instances",
            "255",
            "-30..-120",
            "0: disabled 1: normal",
            "<7 to >12.5",
            "",
            "..",
            "0..",
        ] {
            assert_eq!(check(range, Value::Integer(-1000)), Ok(()), "{range:?}");
        }
        for range in ["ON;OFF", "The possible values are those listed"] {
            assert_eq!(check(range, Value::String("dimmed".into())), Ok(()));
        }
        assert_eq!(check("0..1", Value::Boolean(true)), Ok(()));
        let link = ObjectLink {
            object: 3,
            instance: 7,
        };
        assert_eq!(check("0..1", Value::Objlnk(link)), Ok(()));
    }

    #[test]
    fn f5_the_reason_names_path_and_rule() {
        assert_eq!(
            check("0..100", Value::Integer(101)),
            Err("/7/0/1 must be within 0..100; given are 101".to_owned())
        );
        assert_eq!(
            check("1..4", Value::Opaque(vec![0; 9])),
            Err("the length of /7/0/1 must be within 1..4; given are 9 bytes".to_owned())
        );
    }
}
