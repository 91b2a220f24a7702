//! SenML-JSON (110): RFC 8428 section 5, OMA-TS-LightweightM2M Core 1.1, 7.4.4.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value as Json};

use crate::domain::{Node, Path, Value};

use super::senml::{self, Fields, Names, Pack, Record};
use super::typed::{Number, Raw, shorten};
use super::{CodecError, not_finite};

pub(super) const NAME: &str = "SenML-JSON";

/// Reads a pack.
pub(super) fn records(payload: &[u8]) -> Result<Vec<Record<'static>>, CodecError> {
    let pack: Pack<String, Json> = parse(NAME, payload)?;
    pack.0.into_iter().map(record).collect()
}

/// Reads a JSON text to its end.
pub(super) fn parse<T: serde::de::DeserializeOwned>(
    format: &'static str,
    payload: &[u8],
) -> Result<T, CodecError> {
    serde_json::from_slice(payload)
        .map_err(|error| CodecError::malformed(format, shorten(&error.to_string())))
}

fn record(fields: Fields<String, Json>) -> Result<Record<'static>, CodecError> {
    let mut record = Record::default();
    for (label, json) in fields.0 {
        let value = match label.as_str() {
            "bn" => {
                record.base_name = Some(text(&label, json)?.into());
                continue;
            }
            "bt" => {
                record.base_time = Some(number(NAME, &label, &json)?.as_f64());
                continue;
            }
            "bv" => {
                record.base_value = Some(number(NAME, &label, &json)?);
                continue;
            }
            "bver" => {
                senml::check_version(NAME, number(NAME, &label, &json)?)?;
                continue;
            }
            "s" => {
                number(NAME, &label, &json)?;
                record.has_sum = true;
                continue;
            }
            "n" => {
                record.name = Some(text(&label, json)?.into());
                continue;
            }
            "t" => {
                record.time = Some(number(NAME, &label, &json)?.as_f64());
                continue;
            }
            // Some clients write null for a value that they do not have.
            "v" | "vs" | "vb" | "vd" | "vlo" if json.is_null() => {
                record.is_null = true;
                continue;
            }
            "v" => Raw::Number(number(NAME, &label, &json)?),
            "vb" => Raw::Boolean(json.as_bool().ok_or_else(|| wrong(NAME, &label))?),
            "vd" => {
                Raw::Bytes(senml::base64(&text(&label, json)?).ok_or_else(|| wrong(NAME, &label))?)
            }
            "vlo" => Raw::Link(
                text(&label, json)?
                    .parse()
                    .map_err(|_| wrong(NAME, &label))?,
            ),
            "vs" => Raw::Text(text(&label, json)?),
            // RFC 8428 section 4.4: what ends in an underscore must be understood.
            other if other.ends_with('_') => return Err(wrong(NAME, &label)),
            _ => continue,
        };
        if record.value.replace(value).is_some() {
            return Err(CodecError::malformed(NAME, "a record has several values"));
        }
    }
    Ok(record)
}

fn text(label: &str, json: Json) -> Result<String, CodecError> {
    match json {
        Json::String(text) => Ok(text),
        _ => Err(wrong(NAME, label)),
    }
}

/// A JSON number; whole ones keep all of their 64 bits.
pub(super) fn number(format: &'static str, label: &str, json: &Json) -> Result<Number, CodecError> {
    let integer = || {
        json.as_i64()
            .map(i128::from)
            .or_else(|| json.as_u64().map(i128::from))
            .map(Number::Integer)
    };
    integer()
        .or_else(|| {
            json.as_f64()
                .filter(|number| number.is_finite())
                .map(Number::Float)
        })
        .ok_or_else(|| wrong(format, label))
}

pub(super) fn wrong(format: &'static str, label: &str) -> CodecError {
    CodecError::malformed(
        format,
        format!("the field {:?} is not understood", shorten(label)),
    )
}

/// Writes nodes that are sorted by path.
pub(super) fn encode(base: Path, nodes: &[Node]) -> Result<Vec<u8>, CodecError> {
    encode_changes(base, nodes, &[])
}

/// Writes nodes that are sorted by path, and then a null for each path that is to be removed.
pub(super) fn encode_changes(
    base: Path,
    nodes: &[Node],
    removed: &[Path],
) -> Result<Vec<u8>, CodecError> {
    let names = Names::choose(base, nodes);
    let mut base_name = names.base_name();
    let mut records = Vec::with_capacity(nodes.len().saturating_add(removed.len()));
    for node in nodes {
        let mut record = Map::new();
        if let Some(name) = base_name.take() {
            record.insert("bn".to_owned(), name.into());
        }
        if let Some(name) = names.name(&node.path) {
            record.insert("n".to_owned(), name.into());
        }
        if let Some(time) = node.time {
            record.insert(
                "t".to_owned(),
                json_number(senml::seconds(time)?).ok_or_else(|| not_finite(NAME))?,
            );
        }
        let (label, value) = match &node.value {
            Value::Boolean(on) => ("vb", (*on).into()),
            Value::Corelink(text) | Value::String(text) => ("vs", text.as_str().into()),
            Value::Float(number) => (
                "v",
                json_number(Number::Float(*number)).ok_or_else(|| not_finite(NAME))?,
            ),
            Value::Integer(number) | Value::Time(number) => ("v", (*number).into()),
            Value::Objlnk(link) => ("vlo", link.to_string().into()),
            Value::Opaque(bytes) => ("vd", URL_SAFE_NO_PAD.encode(bytes).into()),
            Value::UnsignedInteger(number) => ("v", (*number).into()),
        };
        record.insert(label.to_owned(), value);
        records.push(Json::Object(record));
    }
    let gone = |path: &Path| serde_json::json!({ "n": path.to_string(), "v": null });
    records.extend(removed.iter().map(gone));
    Ok(Json::Array(records).to_string().into_bytes())
}

/// A number as JSON, if JSON has it.
pub(super) fn json_number(number: Number) -> Option<Json> {
    match number {
        Number::Integer(number) => i64::try_from(number)
            .map(Json::from)
            .or_else(|_| u64::try_from(number).map(Json::from))
            .ok(),
        Number::Float(number) => serde_json::Number::from_f64(number).map(Json::Number),
    }
}

/// Writes paths, one record each.
pub(super) fn encode_paths(paths: &[Path]) -> Vec<u8> {
    let records = paths
        .iter()
        .map(|path| serde_json::json!({ "n": path.to_string() }));
    Json::Array(records.collect()).to_string().into_bytes()
}
