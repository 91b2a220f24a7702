//! text/plain (0): one value as text (OMA-TS-LightweightM2M Core 7.4.1, appendix C).
//!
//! Opaque values are base64. Booleans are 0 and 1; `true` and `false` are understood too.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::domain::{Node, Path, Value, ValueType};

use super::typed::{Number, Raw, shorten};
use super::{CodecError, Context, not_finite, only_value, senml};

const NAME: &str = "text/plain";

pub(super) fn decode(payload: &[u8], context: &Context<'_>) -> Result<Vec<Node>, CodecError> {
    let path = context.single(NAME)?;
    let text =
        std::str::from_utf8(payload).map_err(|_| CodecError::malformed(NAME, "it is no UTF-8"))?;
    let value = match context.value_type(&path) {
        Some(wanted) => {
            let fitting = parse(text, wanted).ok_or_else(|| CodecError::WrongType {
                path,
                wanted,
                found: format!("the text {:?}", shorten(text)),
            });
            context.fit(fitting, || Some(Value::String(text.to_owned())))?
        }
        None => Value::String(text.to_owned()),
    };
    Ok(vec![Node::new(path, value)])
}

pub(super) fn encode(base: Path, nodes: &[Node]) -> Result<Vec<u8>, CodecError> {
    let text = match only_value(NAME, base, nodes)? {
        Value::Boolean(on) => if *on { "1" } else { "0" }.to_owned(),
        Value::Corelink(text) | Value::String(text) => text.clone(),
        Value::Float(number) => float(*number).ok_or_else(|| not_finite(NAME))?,
        Value::Integer(number) | Value::Time(number) => number.to_string(),
        Value::Objlnk(link) => link.to_string(),
        Value::Opaque(bytes) => BASE64.encode(bytes),
        Value::UnsignedInteger(number) => number.to_string(),
    };
    Ok(text.into_bytes())
}

fn parse(text: &str, wanted: ValueType) -> Option<Value> {
    // Some clients send the terminating zero of their C strings with numbers.
    let trimmed = text.trim_matches(|c: char| c.is_ascii_whitespace() || c == '\0');
    let raw = match wanted {
        ValueType::Corelink => return Some(Value::Corelink(text.to_owned())),
        ValueType::String => return Some(Value::String(text.to_owned())),
        ValueType::Opaque => return senml::base64(trimmed).map(Value::Opaque),
        ValueType::Objlnk => return trimmed.parse().ok().map(Value::Objlnk),
        ValueType::Boolean if trimmed.eq_ignore_ascii_case("true") => Raw::Boolean(true),
        ValueType::Boolean if trimmed.eq_ignore_ascii_case("false") => Raw::Boolean(false),
        ValueType::Float => Raw::Number(Number::Float(decimal(trimmed)?)),
        _ => Raw::Number(match trimmed.parse::<i128>() {
            Ok(number) => Number::Integer(number),
            Err(_) => Number::Float(decimal(trimmed)?),
        }),
    };
    raw.typed(&Path::ROOT, Some(wanted)).ok()
}

/// A finite decimal number: Rust also reads `inf`, `NaN` and, as infinity, `1e999`.
fn decimal(text: &str) -> Option<f64> {
    let digits = |byte: u8| byte.is_ascii_digit() || b"+-.eE".contains(&byte);
    let number: f64 = text.bytes().all(digits).then(|| text.parse().ok())??;
    number.is_finite().then_some(number)
}

/// The shortest text that reads as the same number; without exponent where that stays short.
fn float(number: f64) -> Option<String> {
    let plain = number == 0.0 || (1e-6..1e16).contains(&number.abs());
    number.is_finite().then(|| {
        if plain {
            number.to_string()
        } else {
            format!("{number:e}")
        }
    })
}
