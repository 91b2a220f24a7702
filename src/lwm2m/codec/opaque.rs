//! application/octet-stream (42): the bytes of one opaque resource (OMA-TS-LightweightM2M Core
//! 7.4.2).

use crate::domain::{Node, Path, Value, ValueType};

use super::{CodecError, Context, only_value};

const NAME: &str = "application/octet-stream";

pub(super) fn decode(payload: &[u8], context: &Context<'_>) -> Result<Vec<Node>, CodecError> {
    let path = context.single(NAME)?;
    let text = || String::from_utf8(payload.to_vec()).ok();
    let value = match context.value_type(&path) {
        None | Some(ValueType::Opaque) => Some(Value::Opaque(payload.to_vec())),
        // Text is the same bytes either way.
        Some(ValueType::String) => text().map(Value::String),
        Some(ValueType::Corelink) => text().map(Value::Corelink),
        Some(_) => None,
    };
    let wrong = || CodecError::WrongType {
        path,
        wanted: context.value_type(&path).unwrap_or(ValueType::Opaque),
        found: format!("{} bytes", payload.len()),
    };
    let came = || Some(Value::Opaque(payload.to_vec()));
    let value = context.fit(value.ok_or_else(wrong), came)?;
    Ok(vec![Node::new(path, value)])
}

pub(super) fn encode(base: Path, nodes: &[Node]) -> Result<Vec<u8>, CodecError> {
    match only_value(NAME, base, nodes)? {
        Value::Opaque(bytes) => Ok(bytes.clone()),
        other => Err(CodecError::NotEncodable(format!(
            "{NAME} holds OPAQUE, but {base} is {}",
            other.value_type()
        ))),
    }
}
