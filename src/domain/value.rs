//! Typed values of resources (OMA-TS-LightweightM2M Core appendix C) and their JSON form.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::names::names;
use super::path::Path;
use super::time::Timestamp;

/// The type of a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ValueType {
    /// True or false.
    Boolean,
    /// A link-format text (RFC 6690).
    Corelink,
    /// A 32- or 64-bit floating point number.
    Float,
    /// A signed integer of up to 64 bits.
    Integer,
    /// A reference to an object instance.
    Objlnk,
    /// Any bytes.
    Opaque,
    /// UTF-8 text.
    String,
    /// Seconds since 1970-01-01T00:00:00Z.
    Time,
    /// An unsigned integer of up to 64 bits.
    UnsignedInteger,
}

names!(ValueType, "resource type", {
    Boolean = "BOOLEAN",
    Corelink = "CORELINK",
    Float = "FLOAT",
    Integer = "INTEGER",
    Objlnk = "OBJLNK",
    Opaque = "OPAQUE",
    String = "STRING",
    Time = "TIME",
    UnsignedInteger = "UNSIGNED_INTEGER",
});

impl ValueType {
    /// True for the types that can be drawn on a chart.
    pub fn is_numeric(self) -> bool {
        matches!(
            self,
            Self::Boolean | Self::Float | Self::Integer | Self::UnsignedInteger
        )
    }
}

/// A reference to an object instance; `65535:65535` is the null link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ObjectLink {
    /// The object id.
    pub object: u16,
    /// The object instance id.
    pub instance: u16,
}

impl fmt::Display for ObjectLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.object, self.instance)
    }
}

impl FromStr for ObjectLink {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let link = text.split_once(':').and_then(|(object, instance)| {
            Some(Self {
                object: object.parse().ok()?,
                instance: instance.parse().ok()?,
            })
        });
        link.ok_or_else(|| format!("`{text}` is no object link such as 3303:0"))
    }
}

/// One value of a resource or resource instance. Its JSON in the API is that of [`Value::to_json`]; what
/// serde makes of it is for the store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Value {
    /// See [`ValueType::Boolean`].
    Boolean(bool),
    /// See [`ValueType::Corelink`].
    Corelink(String),
    /// See [`ValueType::Float`].
    Float(f64),
    /// See [`ValueType::Integer`].
    Integer(i64),
    /// See [`ValueType::Objlnk`].
    Objlnk(ObjectLink),
    /// See [`ValueType::Opaque`].
    Opaque(Vec<u8>),
    /// See [`ValueType::String`].
    String(String),
    /// Seconds since 1970; see [`ValueType::Time`].
    Time(i64),
    /// See [`ValueType::UnsignedInteger`].
    UnsignedInteger(u64),
}

/// Integers of at most this size are exact in JSON numbers (2^53).
const EXACT_IN_JSON: u64 = 1 << 53;

impl Value {
    /// The type of this value.
    pub fn value_type(&self) -> ValueType {
        match self {
            Self::Boolean(_) => ValueType::Boolean,
            Self::Corelink(_) => ValueType::Corelink,
            Self::Float(_) => ValueType::Float,
            Self::Integer(_) => ValueType::Integer,
            Self::Objlnk(_) => ValueType::Objlnk,
            Self::Opaque(_) => ValueType::Opaque,
            Self::String(_) => ValueType::String,
            Self::Time(_) => ValueType::Time,
            Self::UnsignedInteger(_) => ValueType::UnsignedInteger,
        }
    }

    /// How many bytes its text or its opaque content has; 0 for the types of fixed size.
    pub fn content_bytes(&self) -> usize {
        match self {
            Self::Corelink(text) | Self::String(text) => text.len(),
            Self::Opaque(bytes) => bytes.len(),
            Self::Boolean(_)
            | Self::Float(_)
            | Self::Integer(_)
            | Self::Objlnk(_)
            | Self::Time(_)
            | Self::UnsignedInteger(_) => 0,
        }
    }

    /// The value as a point of a chart, where it is a number or a switch.
    pub fn as_number(&self) -> Option<f64> {
        match self {
            Self::Boolean(on) => Some(if *on { 1.0 } else { 0.0 }),
            Self::Float(number) => Some(*number),
            Self::Integer(number) => Some(*number as f64),
            Self::UnsignedInteger(number) => Some(*number as f64),
            Self::Corelink(_)
            | Self::Objlnk(_)
            | Self::Opaque(_)
            | Self::String(_)
            | Self::Time(_) => None,
        }
    }

    /// The JSON form that the REST API and the live messages use.
    ///
    /// Integers beyond 2^53 become decimal strings, times RFC 3339, opaque bytes base64, object
    /// links `"3303:0"`, a float that JSON has no number for (NaN, infinite) null.
    pub fn to_json(&self) -> Json {
        match self {
            Self::Boolean(on) => Json::from(*on),
            Self::Corelink(text) | Self::String(text) => Json::from(text.as_str()),
            Self::Float(number) => Json::from(*number),
            Self::Integer(number) if number.unsigned_abs() > EXACT_IN_JSON => {
                Json::from(number.to_string())
            }
            Self::Integer(number) => Json::from(*number),
            Self::Objlnk(link) => Json::from(link.to_string()),
            Self::Opaque(bytes) => Json::from(BASE64.encode(bytes)),
            Self::Time(seconds) => match seconds.checked_mul(1000).and_then(Timestamp::from_millis)
            {
                Some(moment) => Json::from(moment.to_string()),
                None => Json::from(seconds.to_string()),
            },
            Self::UnsignedInteger(number) if *number > EXACT_IN_JSON => {
                Json::from(number.to_string())
            }
            Self::UnsignedInteger(number) => Json::from(*number),
        }
    }

    /// Reads the JSON form of a value of this type.
    ///
    /// # Errors
    /// Says which type was wanted and what came instead.
    pub fn from_json(json: &Json, wanted: ValueType) -> Result<Self, InvalidValue> {
        let wrong = || InvalidValue::new(json, wanted);
        let text = || json.as_str().map(str::to_owned).ok_or_else(wrong);
        match wanted {
            ValueType::Boolean => json.as_bool().map(Self::Boolean).ok_or_else(wrong),
            ValueType::Corelink => text().map(Self::Corelink),
            ValueType::Float => match json {
                Json::String(text) => text.parse().ok().filter(|number: &f64| number.is_finite()),
                other => other.as_f64(),
            }
            .map(Self::Float)
            .ok_or_else(wrong),
            ValueType::Integer => integer(json).map(Self::Integer).ok_or_else(wrong),
            ValueType::Objlnk => text()?.parse().map(Self::Objlnk).map_err(|_| wrong()),
            ValueType::Opaque => BASE64
                .decode(text()?)
                .map(Self::Opaque)
                .map_err(|_| wrong()),
            ValueType::String => text().map(Self::String),
            ValueType::Time => match json {
                Json::String(text) => text
                    .parse::<Timestamp>()
                    .map(|moment| moment.as_millis().div_euclid(1000))
                    .ok()
                    .or_else(|| text.parse().ok()),
                other => integer(other),
            }
            .map(Self::Time)
            .ok_or_else(wrong),
            ValueType::UnsignedInteger => match json {
                Json::String(text) => text.parse().ok(),
                other => other.as_u64(),
            }
            .map(Self::UnsignedInteger)
            .ok_or_else(wrong),
        }
    }
}

fn integer(json: &Json) -> Option<i64> {
    match json {
        Json::String(text) => text.parse().ok(),
        // 21.0 is the integer 21 for clients that know only floats.
        Json::Number(number) => number.as_i64().or_else(|| {
            let float = number.as_f64()?;
            (float.fract() == 0.0 && float.abs() <= EXACT_IN_JSON as f64).then_some(float as i64)
        }),
        _ => None,
    }
}

impl fmt::Display for Value {
    /// The value as a person reads it; opaque bytes as hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean(on) => on.fmt(f),
            Self::Corelink(text) | Self::String(text) => f.write_str(text),
            Self::Float(number) => number.fmt(f),
            Self::Integer(number) => number.fmt(f),
            Self::Objlnk(link) => link.fmt(f),
            Self::Opaque(bytes) => f.write_str(&hex::encode(bytes)),
            Self::Time(seconds) => match seconds.checked_mul(1000).and_then(Timestamp::from_millis)
            {
                Some(moment) => moment.fmt(f),
                None => seconds.fmt(f),
            },
            Self::UnsignedInteger(number) => number.fmt(f),
        }
    }
}

/// A JSON value that is not of the wanted type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{found} is no value of type {wanted} ({hint})")]
pub struct InvalidValue {
    found: String,
    wanted: ValueType,
    hint: &'static str,
}

impl InvalidValue {
    fn new(found: &Json, wanted: ValueType) -> Self {
        let hint = match wanted {
            ValueType::Boolean => "true or false",
            ValueType::Corelink | ValueType::String => "a string",
            ValueType::Float => "a number",
            ValueType::Integer => "a whole number of 64 bits",
            ValueType::Objlnk => "a string such as \"3303:0\"",
            ValueType::Opaque => "a base64 string",
            ValueType::Time => "an RFC 3339 string or seconds since 1970",
            ValueType::UnsignedInteger => "a whole number that is not negative",
        };
        let mut found = found.to_string();
        if found.len() > 80 {
            found = found.chars().take(77).collect::<String>() + "...";
        }
        Self {
            found,
            wanted,
            hint,
        }
    }
}

/// One value at a path, as a device reported it or as we send it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// A resource (three levels) or resource instance (four levels).
    pub path: Path,
    /// What it holds.
    pub value: Value,
    /// When the device measured it, if it said so.
    pub time: Option<Timestamp>,
}

impl Node {
    /// A value without a timestamp.
    pub fn new(path: Path, value: Value) -> Self {
        Self {
            path,
            value,
            time: None,
        }
    }

    /// The form of the REST API: `{"path","type","value","time"}`.
    pub fn to_json(&self) -> Json {
        serde_json::json!({
            "path": self.path.to_string(),
            "type": self.value.value_type().name(),
            "value": self.value.to_json(),
            "time": self.time.map(|time| time.to_string()),
        })
    }

    /// Reads what [`Node::to_json`] wrote.
    ///
    /// # Errors
    /// Names the field that is missing or wrong.
    pub fn from_json(json: &Json) -> Result<Self, String> {
        let field = |name: &str| {
            json.get(name)
                .ok_or_else(|| format!("a node has no `{name}`"))
        };
        let text = |name: &str| {
            field(name)?
                .as_str()
                .ok_or_else(|| format!("`{name}` is no string"))
        };
        let wanted: ValueType = text("type")?.parse()?;
        let time = match json.get("time") {
            None | Some(Json::Null) => None,
            Some(time) => Some(time.as_str().ok_or("`time` is no string")?.parse()?),
        };
        Ok(Self {
            path: text("path")?
                .parse()
                .map_err(|error: super::InvalidPath| error.to_string())?,
            value: match (field("value")?, wanted) {
                (Json::Null, ValueType::Float) => Value::Float(f64::NAN),
                (json, wanted) => {
                    Value::from_json(json, wanted).map_err(|error| error.to_string())?
                }
            },
            time,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_survives_json() {
        let values = [
            Value::Boolean(true),
            Value::Corelink("</3/0>".into()),
            Value::Float(21.5),
            Value::Integer(-42),
            Value::Integer(i64::MIN),
            Value::Objlnk(ObjectLink {
                object: 3303,
                instance: 0,
            }),
            Value::Opaque(vec![0, 1, 255]),
            Value::String("grüezi".into()),
            Value::Time(1_700_000_000),
            Value::Time(i64::MAX),
            Value::UnsignedInteger(u64::MAX),
        ];
        for value in values {
            let json = value.to_json();
            assert_eq!(Value::from_json(&json, value.value_type()), Ok(value));
        }
    }

    #[test]
    fn large_integers_are_written_as_strings() {
        assert_eq!(
            Value::Integer(1 << 53).to_json(),
            serde_json::json!(9_007_199_254_740_992_i64)
        );
        assert_eq!(
            Value::Integer((1 << 53) + 1).to_json(),
            serde_json::json!("9007199254740993")
        );
    }

    #[test]
    fn a_wrong_type_is_named() {
        let error =
            Value::from_json(&serde_json::json!("warm"), ValueType::Float).expect_err("a word");
        assert_eq!(
            error.to_string(),
            "\"warm\" is no value of type FLOAT (a number)"
        );
        assert!(Value::from_json(&serde_json::json!(1.5), ValueType::Integer).is_err());
        assert!(Value::from_json(&serde_json::json!(-1), ValueType::UnsignedInteger).is_err());
        assert!(Value::from_json(&serde_json::json!(1), ValueType::Boolean).is_err());
    }

    #[test]
    fn nodes_survive_json_with_and_without_time() {
        let mut node = Node::new(Path::resource(3303, 0, 5700), Value::Float(21.5));
        assert_eq!(Node::from_json(&node.to_json()), Ok(node.clone()));
        node.time = Timestamp::from_millis(1_700_000_000_123);
        assert_eq!(Node::from_json(&node.to_json()), Ok(node));
    }
}
