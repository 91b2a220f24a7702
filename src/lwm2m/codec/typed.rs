//! Values on the wire and values of a type: one place for every conversion.

use crate::domain::{ObjectLink, Path, Timestamp, Value, ValueType};

use super::CodecError;

/// A number on the wire.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Number {
    /// Any integer that is 64 bits wide.
    Integer(i128),
    Float(f64),
}

/// A value on the wire, in a format that shows types.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Raw {
    Boolean(bool),
    Bytes(Vec<u8>),
    Link(ObjectLink),
    Number(Number),
    Text(String),
    /// Seconds since 1970, said to be a time.
    Time(Number),
}

impl Number {
    pub(super) fn as_f64(self) -> f64 {
        match self {
            Self::Integer(number) => number as f64,
            Self::Float(number) => number,
        }
    }

    /// The number without its fraction, or nothing when it has one.
    fn whole(self) -> Option<i128> {
        match self {
            Self::Integer(number) => Some(number),
            // A JSON reader makes -2^63 of every integer that is a little too small.
            Self::Float(number) => {
                let is_exact = -TWO_TO_63 < number && number < TWO_TO_64;
                (number.fract() == 0.0 && is_exact).then_some(number as i128)
            }
        }
    }

    fn typed(self, wanted: ValueType) -> Option<Value> {
        let whole = self.whole();
        match wanted {
            ValueType::Boolean if whole == Some(0) => Some(Value::Boolean(false)),
            ValueType::Boolean if whole == Some(1) => Some(Value::Boolean(true)),
            ValueType::Float => Some(Value::Float(self.as_f64())),
            ValueType::Integer => i64::try_from(whole?).ok().map(Value::Integer),
            ValueType::Time => i64::try_from(self.floor()?).ok().map(Value::Time),
            ValueType::UnsignedInteger => u64::try_from(whole?).ok().map(Value::UnsignedInteger),
            _ => None,
        }
    }

    /// The largest whole number that is not above it.
    fn floor(self) -> Option<i128> {
        match self {
            Self::Integer(number) => Some(number),
            Self::Float(number) => Self::Float(number.floor()).whole(),
        }
    }
}

impl Raw {
    /// The value as the type of its model, or as the type that it shows.
    pub(super) fn typed(self, path: &Path, wanted: Option<ValueType>) -> Result<Value, CodecError> {
        let Some(wanted) = wanted else {
            return self.shown().ok_or_else(|| CodecError::WrongType {
                path: *path,
                wanted: ValueType::UnsignedInteger,
                found: "an integer of more than 64 bits".to_owned(),
            });
        };
        self.fitting(wanted).map_err(|raw| raw.is_no(path, wanted))
    }

    /// The value as this type, or itself again where it is none.
    pub(super) fn fitting(self, wanted: ValueType) -> Result<Value, Self> {
        let value = match (wanted, &self) {
            (ValueType::Boolean, Self::Boolean(on)) => Some(Value::Boolean(*on)),
            (ValueType::Objlnk, Self::Link(link)) => Some(Value::Objlnk(*link)),
            (ValueType::Objlnk, Self::Text(text)) => text.parse().ok().map(Value::Objlnk),
            // RFC 3339 is what tag 0 of CBOR holds; some clients leave the tag out.
            (ValueType::Time, Self::Text(text)) => text
                .parse::<Timestamp>()
                .ok()
                .map(|moment| Value::Time(moment.as_millis().div_euclid(1000))),
            (_, Self::Number(number) | Self::Time(number)) => number.typed(wanted),
            _ => None,
        };
        match (wanted, self) {
            (ValueType::Corelink, Self::Text(text)) => Ok(Value::Corelink(text)),
            (ValueType::Opaque, Self::Bytes(bytes)) => Ok(Value::Opaque(bytes)),
            (ValueType::String, Self::Text(text)) => Ok(Value::String(text)),
            (_, raw) => value.ok_or(raw),
        }
    }

    /// The error when it cannot be what is wanted.
    pub(super) fn is_no(&self, path: &Path, wanted: ValueType) -> CodecError {
        CodecError::WrongType {
            path: *path,
            wanted,
            found: shortened_raw(self),
        }
    }

    /// The value as the type that it shows itself.
    fn shown(self) -> Option<Value> {
        Some(match self {
            Self::Boolean(on) => Value::Boolean(on),
            Self::Bytes(bytes) => Value::Opaque(bytes),
            Self::Link(link) => Value::Objlnk(link),
            Self::Number(Number::Float(number)) => Value::Float(number),
            Self::Number(Number::Integer(number)) => match i64::try_from(number) {
                Ok(number) => Value::Integer(number),
                Err(_) => Value::UnsignedInteger(u64::try_from(number).ok()?),
            },
            Self::Text(text) => Value::String(text),
            Self::Time(seconds) => Value::Time(i64::try_from(seconds.floor()?).ok()?),
        })
    }
}

/// The value as another type, where nothing is lost by it.
///
/// Numbers of every kind, booleans 0 and 1, times and integers, strings and core links become each
/// other; nothing becomes or stops being bytes.
pub fn convert(value: &Value, wanted: ValueType) -> Option<Value> {
    if value.value_type() == wanted {
        return Some(value.clone());
    }
    let raw = match value {
        Value::Boolean(on) if wanted.is_numeric() => Raw::Number(Number::Integer(i128::from(*on))),
        Value::Boolean(_) => return None,
        Value::Corelink(text) | Value::String(text) => Raw::Text(text.clone()),
        Value::Float(number) => Raw::Number(Number::Float(*number)),
        Value::Integer(number) | Value::Time(number) => {
            Raw::Number(Number::Integer(i128::from(*number)))
        }
        Value::Objlnk(_) | Value::Opaque(_) => return None,
        Value::UnsignedInteger(number) => Raw::Number(Number::Integer(i128::from(*number))),
    };
    if let Raw::Number(number) = &raw {
        let exact = match wanted {
            ValueType::Float => match number {
                Number::Float(_) => true,
                Number::Integer(whole) => Number::Float(number.as_f64()).whole() == Some(*whole),
            },
            _ => number.whole().is_some(),
        };
        if !exact {
            return None;
        }
    }
    if wanted == ValueType::Time && matches!(raw, Raw::Text(_)) {
        return None;
    }
    raw.typed(&Path::ROOT, Some(wanted)).ok()
}

/// What a value is, for an error message.
pub(super) fn shortened(value: &Value) -> String {
    shorten(&format!("{} {value}", value.value_type()))
}

fn shortened_raw(raw: &Raw) -> String {
    match raw {
        Raw::Boolean(on) => on.to_string(),
        Raw::Bytes(bytes) => format!("{} bytes", bytes.len()),
        Raw::Link(link) => format!("the link {link}"),
        Raw::Number(Number::Float(number)) => number.to_string(),
        Raw::Number(Number::Integer(number)) => number.to_string(),
        Raw::Text(text) => format!("the text {:?}", shorten(text)),
        Raw::Time(Number::Float(seconds)) => format!("the time {seconds} s"),
        Raw::Time(Number::Integer(seconds)) => format!("the time {seconds} s"),
    }
}

/// At most 60 characters of a text.
pub(super) fn shorten(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((at, _)) => format!("{}...", text.get(..at).unwrap_or_default()),
        None => text.to_owned(),
    }
}

const TWO_TO_63: f64 = 9_223_372_036_854_775_808.0;

const TWO_TO_64: f64 = 18_446_744_073_709_551_616.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f5_values_become_another_type_only_without_loss() {
        let to = |value: Value, wanted| convert(&value, wanted);
        assert_eq!(
            to(Value::Integer(21), ValueType::Float),
            Some(Value::Float(21.0))
        );
        assert_eq!(to(Value::Integer((1 << 53) + 1), ValueType::Float), None);
        assert_eq!(to(Value::Integer(i64::MAX), ValueType::Float), None);
        assert_eq!(
            to(Value::Float(21.0), ValueType::Integer),
            Some(Value::Integer(21))
        );
        assert_eq!(to(Value::Float(21.5), ValueType::Integer), None);
        assert_eq!(to(Value::Float(21.5), ValueType::Time), None);
        assert_eq!(to(Value::Float(f64::NAN), ValueType::Integer), None);
        assert_eq!(to(Value::Float(1e300), ValueType::UnsignedInteger), None);
        assert_eq!(to(Value::Integer(-1), ValueType::UnsignedInteger), None);
        assert_eq!(
            to(Value::UnsignedInteger(u64::MAX), ValueType::Integer),
            None
        );
        assert_eq!(to(Value::Integer(5), ValueType::Time), Some(Value::Time(5)));
        assert_eq!(
            to(Value::Integer(1), ValueType::Boolean),
            Some(Value::Boolean(true))
        );
        assert_eq!(to(Value::Integer(2), ValueType::Boolean), None);
        assert_eq!(
            to(Value::Boolean(true), ValueType::Integer),
            Some(Value::Integer(1))
        );
        assert_eq!(to(Value::Boolean(true), ValueType::String), None);
        assert_eq!(
            to(Value::String("3:0".into()), ValueType::Objlnk),
            Some(Value::Objlnk(ObjectLink {
                object: 3,
                instance: 0
            }))
        );
        assert_eq!(
            to(Value::String("x".into()), ValueType::Corelink),
            Some(Value::Corelink("x".into()))
        );
        assert_eq!(to(Value::String("x".into()), ValueType::Opaque), None);
        assert_eq!(to(Value::Opaque(vec![1]), ValueType::String), None);
    }

    #[test]
    fn attack_20_integers_beyond_64_bits_are_refused() {
        let raw = |number| Raw::Number(Number::Integer(number)).typed(&Path::ROOT, None);
        assert_eq!(raw(i128::from(i64::MAX)), Ok(Value::Integer(i64::MAX)));
        assert_eq!(
            raw(i128::from(u64::MAX)),
            Ok(Value::UnsignedInteger(u64::MAX))
        );
        assert!(raw(i128::from(u64::MAX) + 1).is_err());
        assert!(raw(i128::from(i64::MIN) - 1).is_err());
    }
}
