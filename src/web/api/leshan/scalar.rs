//! One value of a Leshan node: its type, its JSON in all the ways that Leshan's versions and the
//! first flownexus write it, and moments.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::Value as Json;

use crate::domain::{ObjectLink, Timestamp, Value, ValueType};
use crate::lwm2m::codec::convert;

/// Base64 as it comes, with its padding or without.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Numbers from here on (5138 in seconds, 1973 in milliseconds) are milliseconds.
const MILLIS_FROM: f64 = 1e11;

/// An earlier moment (1978-07-04) is that of a clock that was never set; times this small count from
/// now in SenML (RFC 8428 section 4.5.3).
const EARLIEST_MILLIS: i64 = (1 << 28) * 1000;

/// What `type` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    /// `NONE`, as executables have, or nothing at all.
    Unsaid,
    /// A type of LwM2M.
    Said(ValueType),
}

impl Type {
    /// Reads `type`, upper and lower case alike.
    pub(super) fn read(json: Option<&Json>) -> Result<Self, String> {
        match json {
            None | Some(Json::Null) => Ok(Self::Unsaid),
            Some(Json::String(text)) if text.eq_ignore_ascii_case("NONE") => Ok(Self::Unsaid),
            Some(Json::String(text)) => text.parse().map(Self::Said),
            Some(other) => Err(format!("{} is no resource type", shortened(other))),
        }
    }
}

/// Reads a value. The type that is said holds; the model's is taken where none is said, and where
/// nothing is lost by it. Nothing comes of what executables have for a value: none.
///
/// # Errors
/// Says which type was wanted and what came instead.
pub(super) fn value(
    json: &Json,
    said: Type,
    model: Option<ValueType>,
) -> Result<Option<Value>, String> {
    let value = match said {
        Type::Said(wanted) => typed(json, wanted)?,
        Type::Unsaid if is_nothing(json) => return Ok(None),
        Type::Unsaid => match model.map(|wanted| typed(json, wanted)) {
            Some(Ok(value)) => value,
            Some(Err(_)) | None => shown(json)?,
        },
    };
    let fitting = model.and_then(|wanted| convert(&value, wanted));
    Ok(Some(fitting.unwrap_or(value)))
}

/// Reads a moment: RFC 3339, or seconds or milliseconds since 1970, decided by their size.
///
/// # Errors
/// Says what came instead.
pub(super) fn moment(json: &Json) -> Result<Timestamp, String> {
    let number = match json {
        Json::Number(number) => number.as_f64(),
        Json::String(text) => match text.trim().parse::<Timestamp>() {
            Ok(moment) => return Ok(moment),
            Err(_) => text.trim().parse::<f64>().ok(),
        },
        _ => None,
    };
    number
        .and_then(|number| {
            // Both fit into a float without loss: below 2^53 milliseconds are 285,000 years.
            if number.abs() >= MILLIS_FROM {
                Timestamp::from_seconds(number / 1000.0)
            } else {
                Timestamp::from_seconds(number)
            }
        })
        .ok_or_else(|| {
            format!(
                "{} is no moment (an RFC 3339 string, or seconds or milliseconds since 1970)",
                shortened(json)
            )
        })
}

/// The same, without those of a clock that was never set.
pub(super) fn believable_moment(json: &Json) -> Result<Option<Timestamp>, String> {
    let moment = moment(json)?;
    Ok((moment.as_millis() >= EARLIEST_MILLIS).then_some(moment))
}

/// What came, for an error message.
pub(super) fn shortened(json: &Json) -> String {
    let text = json.to_string();
    match text.char_indices().nth(60) {
        Some((at, _)) => format!("{}...", text.get(..at).unwrap_or_default()),
        None => text,
    }
}

fn is_nothing(json: &Json) -> bool {
    matches!(json, Json::Null) || json.as_str().is_some_and(str::is_empty)
}

fn typed(json: &Json, wanted: ValueType) -> Result<Value, String> {
    let refuse = || Err(refusal(json, wanted));
    match (wanted, json) {
        (ValueType::Boolean, Json::String(text)) => match text.trim() {
            "1" => Ok(Value::Boolean(true)),
            "0" => Ok(Value::Boolean(false)),
            text if text.eq_ignore_ascii_case("true") => Ok(Value::Boolean(true)),
            text if text.eq_ignore_ascii_case("false") => Ok(Value::Boolean(false)),
            _ => refuse(),
        },
        (ValueType::Boolean, Json::Number(number)) => match number.as_u64() {
            Some(0) => Ok(Value::Boolean(false)),
            Some(1) => Ok(Value::Boolean(true)),
            _ => refuse(),
        },
        // Java writes NaN, Infinity and -Infinity, which devices do send.
        (ValueType::Float, Json::String(text)) => match text.trim().parse::<f64>() {
            Ok(number) if number.is_infinite() && text.contains(|c: char| c.is_ascii_digit()) => {
                refuse()
            }
            Ok(number) => Ok(Value::Float(number)),
            Err(_) => refuse(),
        },
        (ValueType::Integer | ValueType::UnsignedInteger, Json::String(text)) => {
            let trimmed = Json::from(text.trim());
            Value::from_json(&trimmed, wanted).or_else(|_| refuse())
        }
        (ValueType::Objlnk, Json::Object(link)) => {
            let id = |name: &str| u16::try_from(link.get(name)?.as_u64()?).ok();
            match (id("objectId"), id("objectInstanceId")) {
                (Some(object), Some(instance)) => {
                    Ok(Value::Objlnk(ObjectLink { object, instance }))
                }
                _ => refuse(),
            }
        }
        (ValueType::Opaque, Json::String(text)) => {
            bytes(text).map_or_else(refuse, |bytes| Ok(Value::Opaque(bytes)))
        }
        (ValueType::String | ValueType::Corelink, Json::Bool(_) | Json::Number(_)) => {
            let text = json.to_string();
            Ok(match wanted {
                ValueType::Corelink => Value::Corelink(text),
                _ => Value::String(text),
            })
        }
        (ValueType::Time, json) => moment(json)
            .map(|moment| Value::Time(moment.as_millis().div_euclid(1000)))
            .or_else(|_| refuse()),
        (wanted, json) => Value::from_json(json, wanted).or_else(|_| refuse()),
    }
}

/// The value as the type that its JSON shows.
fn shown(json: &Json) -> Result<Value, String> {
    match json {
        Json::Bool(on) => Ok(Value::Boolean(*on)),
        Json::Number(number) => Ok(match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => Value::Integer(number),
            (None, Some(number)) => Value::UnsignedInteger(number),
            (None, None) => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
        }),
        Json::String(text) => Ok(Value::String(text.clone())),
        Json::Object(_) => typed(json, ValueType::Objlnk),
        Json::Array(_) | Json::Null => Err(format!(
            "{} is no value (a string, a number, true or false)",
            shortened(json)
        )),
    }
}

/// Hexadecimal digits, as Leshan writes bytes, or base64, as most others do. What could be either is
/// hexadecimal.
fn bytes(text: &str) -> Option<Vec<u8>> {
    let text = text.trim();
    hex::decode(text).ok().or_else(|| BASE64.decode(text).ok())
}

fn refusal(json: &Json, wanted: ValueType) -> String {
    let hint = match wanted {
        ValueType::Boolean => "true or false",
        ValueType::Corelink | ValueType::String => "a string",
        ValueType::Float => "a number",
        ValueType::Integer => "a whole number of 64 bits",
        ValueType::Objlnk => "\"3303:0\" or {\"objectId\":3303,\"objectInstanceId\":0}",
        ValueType::Opaque => "bytes in hexadecimal digits or base64",
        ValueType::Time => "an RFC 3339 string, or seconds or milliseconds since 1970",
        ValueType::UnsignedInteger => "a whole number of 64 bits that is not negative",
    };
    format!("{} is no value of type {wanted} ({hint})", shortened(json))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn said(name: &str, json: Json) -> Result<Option<Value>, String> {
        value(&json, Type::read(Some(&Json::from(name)))?, None)
    }

    #[test]
    fn every_type_is_read_in_every_way_that_it_is_written() {
        let link = Value::Objlnk(ObjectLink {
            object: 3303,
            instance: 0,
        });
        for (name, json, wanted) in [
            ("STRING", json!("Zephyr"), Value::String("Zephyr".into())),
            ("string", json!(5), Value::String("5".into())),
            ("INTEGER", json!("95"), Value::Integer(95)),
            ("Integer", json!(-95), Value::Integer(-95)),
            (
                "INTEGER",
                json!("9223372036854775807"),
                Value::Integer(i64::MAX),
            ),
            (
                "UNSIGNED_INTEGER",
                json!("18446744073709551615"),
                Value::UnsignedInteger(u64::MAX),
            ),
            (
                "UNSIGNED_INTEGER",
                json!(u64::MAX),
                Value::UnsignedInteger(u64::MAX),
            ),
            (
                "FLOAT",
                json!("24.899181214836236"),
                Value::Float(24.899_181_214_836_236),
            ),
            ("FLOAT", json!(22), Value::Float(22.0)),
            ("FLOAT", json!("1.0E10"), Value::Float(1e10)),
            ("FLOAT", json!("-Infinity"), Value::Float(f64::NEG_INFINITY)),
            ("BOOLEAN", json!(true), Value::Boolean(true)),
            ("boolean", json!("False"), Value::Boolean(false)),
            ("BOOLEAN", json!(1), Value::Boolean(true)),
            ("OPAQUE", json!("01FF7e"), Value::Opaque(vec![1, 255, 126])),
            ("OPAQUE", json!("Af9+"), Value::Opaque(vec![1, 255, 126])),
            ("OPAQUE", json!("Af8="), Value::Opaque(vec![1, 255])),
            ("OPAQUE", json!("Af8"), Value::Opaque(vec![1, 255])),
            ("OPAQUE", json!(""), Value::Opaque(vec![])),
            (
                "TIME",
                json!(1_712_345_678_901_i64),
                Value::Time(1_712_345_678),
            ),
            ("TIME", json!("1712345678901"), Value::Time(1_712_345_678)),
            ("TIME", json!(1_712_345_678), Value::Time(1_712_345_678)),
            (
                "TIME",
                json!("2024-04-05T19:34:38Z"),
                Value::Time(1_712_345_678),
            ),
            ("TIME", json!(0), Value::Time(0)),
            ("OBJLNK", json!("3303:0"), link.clone()),
            (
                "objlnk",
                json!({"objectId": 3303, "objectInstanceId": 0, "nullLink": false}),
                link,
            ),
            (
                "CORELINK",
                json!("</3/0>"),
                Value::Corelink("</3/0>".into()),
            ),
        ] {
            assert_eq!(said(name, json.clone()), Ok(Some(wanted)), "{name} {json}");
        }
        let nan = said("FLOAT", json!("NaN"));
        assert!(matches!(nan, Ok(Some(Value::Float(number))) if number.is_nan()));
    }

    #[test]
    fn a_value_that_is_none_of_its_type_is_named() {
        for (name, json) in [
            ("INTEGER", json!("24.5")),
            ("INTEGER", json!(1.5)),
            ("INTEGER", json!("9223372036854775808")),
            ("INTEGER", json!(null)),
            ("UNSIGNED_INTEGER", json!(-1)),
            ("FLOAT", json!("warm")),
            ("FLOAT", json!("1e999")),
            ("BOOLEAN", json!(2)),
            ("OPAQUE", json!("%%")),
            ("OPAQUE", json!([1, 2])),
            ("TIME", json!("yesterday")),
            ("TIME", json!("NaN")),
            ("TIME", json!(1e300)),
            ("OBJLNK", json!("3303")),
            ("OBJLNK", json!({"objectId": 70_000, "objectInstanceId": 0})),
            ("STRING", json!({})),
        ] {
            let error = said(name, json.clone()).expect_err(name);
            assert!(
                error.contains(name) && error.contains(&json.to_string()),
                "{error}"
            );
        }
        assert!(said("COLOUR", json!(1)).is_err());
        assert!(Type::read(Some(&json!(7))).is_err());
    }

    #[test]
    fn the_model_decides_where_nothing_is_said_or_nothing_is_lost() {
        let integer = Some(ValueType::Integer);
        let float = Some(ValueType::Float);
        assert_eq!(
            value(&json!("5"), Type::Unsaid, integer),
            Ok(Some(Value::Integer(5)))
        );
        assert_eq!(
            value(&json!("x"), Type::Unsaid, integer),
            Ok(Some(Value::String("x".into())))
        );
        assert_eq!(
            value(&json!(22), Type::Said(ValueType::Integer), float),
            Ok(Some(Value::Float(22.0)))
        );
        assert_eq!(
            value(&json!("21.5"), Type::Said(ValueType::Float), integer),
            Ok(Some(Value::Float(21.5)))
        );
        assert_eq!(
            value(&json!(1.5), Type::Unsaid, None),
            Ok(Some(Value::Float(1.5)))
        );
        assert_eq!(
            value(&json!(u64::MAX), Type::Unsaid, None),
            Ok(Some(Value::UnsignedInteger(u64::MAX)))
        );
        assert_eq!(value(&json!(""), Type::Unsaid, None), Ok(None));
        assert_eq!(value(&json!(null), Type::Unsaid, integer), Ok(None));
        assert!(value(&json!([1]), Type::Unsaid, None).is_err());
    }

    #[test]
    fn moments_are_read_by_their_size_and_those_of_unset_clocks_are_no_help() {
        let wanted = Timestamp::from_millis(1_712_345_678_901).expect("a time");
        for json in [
            json!(1_712_345_678_901_i64),
            json!("1712345678901"),
            json!(1_712_345_678.901),
            json!("2024-04-05T19:34:38.901Z"),
        ] {
            assert_eq!(moment(&json), Ok(wanted), "{json}");
        }
        assert_eq!(
            believable_moment(&json!(1_712_345_678_901_i64)),
            Ok(Some(wanted))
        );
        assert_eq!(believable_moment(&json!(17)), Ok(None));
        assert!(moment(&json!(true)).is_err());
    }
}
