//! SenML-CBOR (112): RFC 8428 section 6, OMA-TS-LightweightM2M Core 1.1, 7.4.4.
//!
//! The fields of a record are written in the order bn, n, t, value: decoders that are generated
//! from a CDDL, as that of Zephyr, know no other.

use ciborium::Value as Item;

use crate::domain::{Node, Path, Value};

use super::cbor::{self, Writer};
use super::senml::{self, Fields, Names, Pack, Record};
use super::typed::{Number, Raw};
use super::{CodecError, not_finite, senml_plain};

pub(super) const NAME: &str = "SenML-CBOR";

/// Labels (RFC 8428 table 4).
pub(super) mod label {
    pub(in super::super) const BASE_VALUE: i64 = -5;
    pub(in super::super) const BASE_TIME: i64 = -3;
    pub(in super::super) const BASE_NAME: i64 = -2;
    pub(in super::super) const BASE_VERSION: i64 = -1;
    pub(in super::super) const NAME: i64 = 0;
    pub(in super::super) const VALUE: i64 = 2;
    pub(in super::super) const STRING_VALUE: i64 = 3;
    pub(in super::super) const BOOLEAN_VALUE: i64 = 4;
    pub(in super::super) const SUM: i64 = 5;
    pub(in super::super) const TIME: i64 = 6;
    pub(in super::super) const DATA_VALUE: i64 = 8;
    /// LwM2M's own, as text.
    pub(in super::super) const OBJECT_LINK: &str = "vlo";
}

/// Reads a pack.
pub(super) fn records(payload: &[u8]) -> Result<Vec<Record<'_>>, CodecError> {
    match senml_plain::records(payload) {
        Some(records) => Ok(records),
        None => any_records(payload),
    }
}

/// Reads any pack.
pub(super) fn any_records(payload: &[u8]) -> Result<Vec<Record<'static>>, CodecError> {
    let pack: Pack<Item, Item> = cbor::read(NAME, payload)?;
    pack.0.into_iter().map(record).collect()
}

fn record(fields: Fields<Item, Item>) -> Result<Record<'static>, CodecError> {
    let mut record = Record::default();
    for (key, item) in fields.0 {
        let key = label_number(&key)?;
        if matches!(key, 2 | 3 | 4 | 8 | VLO) && matches!(item, Item::Null) {
            record.is_null = true;
            continue;
        }
        if !matches!(key, -5 | -3..=0 | 2..=6 | 8 | VLO) {
            continue;
        }
        let wrong =
            || CodecError::malformed(NAME, format!("the value of field {key} is not understood"));
        // A number is a number here, whatever its tag says of it.
        let raw = match cbor::raw(item).ok_or_else(wrong)? {
            Raw::Time(seconds) => Raw::Number(seconds),
            raw => raw,
        };
        let value = match (key, raw) {
            (label::BASE_NAME, Raw::Text(text)) => {
                record.base_name = Some(text.into());
                continue;
            }
            (label::BASE_TIME, Raw::Number(number)) => {
                record.base_time = Some(number.as_f64());
                continue;
            }
            (label::BASE_VALUE, Raw::Number(number)) => {
                record.base_value = Some(number);
                continue;
            }
            (label::BASE_VERSION, Raw::Number(version)) => {
                senml::check_version(NAME, version)?;
                continue;
            }
            (label::SUM, Raw::Number(_)) => {
                record.has_sum = true;
                continue;
            }
            (label::NAME, Raw::Text(text)) => {
                record.name = Some(text.into());
                continue;
            }
            (label::TIME, Raw::Number(number)) => {
                record.time = Some(number.as_f64());
                continue;
            }
            (label::VALUE, value @ Raw::Number(_))
            | (label::STRING_VALUE, value @ Raw::Text(_))
            | (label::BOOLEAN_VALUE, value @ Raw::Boolean(_))
            | (label::DATA_VALUE, value @ Raw::Bytes(_)) => value,
            (VLO, Raw::Text(text)) => Raw::Link(text.parse().map_err(|_| wrong())?),
            _ => return Err(wrong()),
        };
        if record.value.replace(value).is_some() {
            return Err(CodecError::malformed(NAME, "a record has several values"));
        }
    }
    Ok(record)
}

/// The label as number; those of RFC 8428 may also come as text, as in JSON.
fn label_number(key: &Item) -> Result<i64, CodecError> {
    match key {
        Item::Integer(number) => Ok(i64::try_from(*number).unwrap_or(UNKNOWN)),
        Item::Text(text) => match text.as_str() {
            "bn" => Ok(label::BASE_NAME),
            "bt" => Ok(label::BASE_TIME),
            "bv" => Ok(label::BASE_VALUE),
            "bver" => Ok(label::BASE_VERSION),
            "n" => Ok(label::NAME),
            "s" => Ok(label::SUM),
            "t" => Ok(label::TIME),
            "v" => Ok(label::VALUE),
            "vb" => Ok(label::BOOLEAN_VALUE),
            "vd" => Ok(label::DATA_VALUE),
            "vs" => Ok(label::STRING_VALUE),
            label::OBJECT_LINK => Ok(VLO),
            // RFC 8428 section 4.4: what ends in an underscore must be understood.
            other if other.ends_with('_') => Err(CodecError::malformed(
                NAME,
                "a field that must be understood is not",
            )),
            _ => Ok(UNKNOWN),
        },
        _ => Err(CodecError::malformed(
            NAME,
            "a label is no number and no text",
        )),
    }
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
    let mut writer = Writer::default();
    writer.array(nodes.len().saturating_add(removed.len()));
    for node in nodes {
        let base_name = base_name.take();
        let name = names.name(&node.path);
        let fields = [
            base_name.is_some(),
            name.is_some(),
            node.time.is_some(),
            true,
        ];
        writer.map(fields.iter().filter(|there| **there).count());
        if let Some(name) = base_name {
            writer.integer(label::BASE_NAME);
            writer.text(name);
        }
        if let Some(name) = name {
            writer.integer(label::NAME);
            writer.text(&name);
        }
        if let Some(time) = node.time {
            writer.integer(label::TIME);
            match senml::seconds(time)? {
                Number::Integer(seconds) => {
                    writer.integer(i64::try_from(seconds).unwrap_or(i64::MAX));
                }
                Number::Float(seconds) => writer.float(seconds),
            }
        }
        write_value(&mut writer, &node.value)?;
    }
    for path in removed {
        writer.map(2);
        writer.integer(label::NAME);
        writer.text(&path.to_string());
        writer.integer(label::VALUE);
        writer.null();
    }
    Ok(writer.0)
}

fn write_value(writer: &mut Writer, value: &Value) -> Result<(), CodecError> {
    match value {
        Value::Objlnk(_) => writer.text(label::OBJECT_LINK),
        Value::Boolean(_) => writer.integer(label::BOOLEAN_VALUE),
        Value::Corelink(_) | Value::String(_) => writer.integer(label::STRING_VALUE),
        Value::Opaque(_) => writer.integer(label::DATA_VALUE),
        Value::Float(_) | Value::Integer(_) | Value::Time(_) | Value::UnsignedInteger(_) => {
            writer.integer(label::VALUE);
        }
    }
    match value {
        Value::Boolean(on) => writer.boolean(*on),
        Value::Corelink(text) | Value::String(text) => writer.text(text),
        Value::Float(number) if !number.is_finite() => return Err(not_finite(NAME)),
        Value::Float(number) => writer.float(*number),
        Value::Integer(number) | Value::Time(number) => writer.integer(*number),
        Value::Objlnk(link) => writer.text(&link.to_string()),
        Value::Opaque(bytes) => writer.bytes(bytes),
        Value::UnsignedInteger(number) => writer.unsigned(*number),
    }
    Ok(())
}

/// Writes paths, one record each.
pub(super) fn encode_paths(paths: &[Path]) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.array(paths.len());
    for path in paths {
        writer.map(1);
        writer.integer(label::NAME);
        writer.text(&path.to_string());
    }
    writer.0
}

/// Stands for the label `vlo`; no label of RFC 8428 is so small.
const VLO: i64 = i64::MIN;

/// Stands for every label that is passed over.
const UNKNOWN: i64 = i64::MAX;
