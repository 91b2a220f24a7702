//! The JSON of LwM2M 1.0 (11543): OMA-TS-LightweightM2M 1.0, 6.4.4.
//!
//! Unlike SenML it shows fewer types: `v` numbers and times, `bv` booleans, `ov` object links,
//! `sv` text and, in base64, bytes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;
use serde_json::{Map, Value as Json};

use crate::domain::{Node, Path, Value, ValueType};
use crate::lwm2m::{ModelView, Models};

use super::senml::{self, Fields, Names, Pack, Record};
use super::senml_json::{json_number, number, parse, wrong};
use super::typed::{Number, Raw};
use super::{CodecError, Context, not_finite};

const NAME: &str = "JSON";

#[derive(Deserialize)]
struct Body {
    bn: Option<String>,
    bt: Option<f64>,
    e: Pack<String, Json>,
}

pub(super) fn decode(payload: &[u8], context: &Context<'_>) -> Result<Vec<Node>, CodecError> {
    let body: Body = parse(NAME, payload)?;
    let mut records = Vec::with_capacity(body.e.0.len());
    let mut base_name = body.bn;
    for fields in body.e.0 {
        let mut record = record(fields)?;
        record.base_time = body.bt;
        record.base_name = base_name.take().map(Into::into);
        records.push(record);
    }
    // Bytes look like text here; only the model tells them apart.
    let mut nodes = senml::resolve(
        NAME,
        records,
        &Context {
            models: ModelView::newest(&Models::default()),
            ..*context
        },
    )?;
    for node in &mut nodes {
        let Some(wanted) = context.value_type(&node.path) else {
            continue;
        };
        let fitting = typed(&node.value, wanted).ok_or_else(|| CodecError::WrongType {
            path: node.path,
            wanted,
            found: super::typed::shortened(&node.value),
        });
        node.value = context.fit(fitting, || Some(node.value.clone()))?;
    }
    Ok(nodes)
}

fn record(fields: Fields<String, Json>) -> Result<Record<'static>, CodecError> {
    let mut record = Record::default();
    for (label, json) in fields.0 {
        let value = match (label.as_str(), json) {
            ("n", Json::String(text)) => {
                record.name = Some(text.into());
                continue;
            }
            ("t", json) => {
                record.time = Some(number(NAME, &label, &json)?.as_f64());
                continue;
            }
            ("v" | "bv" | "ov" | "sv", Json::Null) => continue,
            ("v", json) => Raw::Number(number(NAME, &label, &json)?),
            ("bv", Json::Bool(on)) => Raw::Boolean(on),
            ("ov", Json::String(text)) => Raw::Link(text.parse().map_err(|_| wrong(NAME, &label))?),
            ("sv", Json::String(text)) => Raw::Text(text),
            ("n" | "bv" | "ov" | "sv", _) => return Err(wrong(NAME, &label)),
            _ => continue,
        };
        if record.value.replace(value).is_some() {
            return Err(CodecError::malformed(NAME, "an element has several values"));
        }
    }
    Ok(record)
}

fn typed(value: &Value, wanted: ValueType) -> Option<Value> {
    match (value, wanted) {
        (Value::String(text), ValueType::Opaque) => senml::base64(text).map(Value::Opaque),
        (Value::Float(number), ValueType::Time) => {
            super::convert(&Value::Float(number.floor()), wanted)
        }
        (Value::Integer(number), ValueType::Float) => Some(Value::Float(*number as f64)),
        (Value::UnsignedInteger(number), ValueType::Float) => Some(Value::Float(*number as f64)),
        (value, wanted) => super::convert(value, wanted),
    }
}

/// Writes nodes that are sorted by path.
pub(super) fn encode(base: Path, nodes: &[Node]) -> Result<Vec<u8>, CodecError> {
    if base == Path::ROOT {
        return Err(CodecError::NotEncodable(format!(
            "{NAME} cannot express several objects"
        )));
    }
    let names = Names::choose(base, nodes);
    let mut elements = Vec::with_capacity(nodes.len());
    for node in nodes {
        let mut element = Map::new();
        if let Some(name) = names.name(&node.path) {
            element.insert("n".to_owned(), name.into());
        }
        if let Some(time) = node.time {
            element.insert(
                "t".to_owned(),
                json_number(senml::seconds(time)?).ok_or_else(|| not_finite(NAME))?,
            );
        }
        let (label, value) = match &node.value {
            Value::Boolean(on) => ("bv", (*on).into()),
            Value::Corelink(text) | Value::String(text) => ("sv", text.as_str().into()),
            Value::Float(number) => (
                "v",
                json_number(Number::Float(*number)).ok_or_else(|| not_finite(NAME))?,
            ),
            Value::Integer(number) | Value::Time(number) => ("v", (*number).into()),
            Value::Objlnk(link) => ("ov", link.to_string().into()),
            Value::Opaque(bytes) => ("sv", BASE64.encode(bytes).into()),
            Value::UnsignedInteger(number) => ("v", (*number).into()),
        };
        element.insert(label.to_owned(), value);
        elements.push(Json::Object(element));
    }
    let mut body = Map::new();
    if let Some(name) = names.base_name() {
        body.insert("bn".to_owned(), name.into());
    }
    body.insert("e".to_owned(), Json::Array(elements));
    Ok(Json::Object(body).to_string().into_bytes())
}
