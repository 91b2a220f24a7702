//! CBOR (60): one value as one data item (OMA-TS-LightweightM2M Core 1.1, 7.4.3; RFC 8949), and
//! the CBOR writer and reader that SenML-CBOR uses too.
//!
//! Reading is done by ciborium. Writing is done here: definite lengths only, and floats as 32 or
//! 64 bits, never 16, which small decoders do not know.

use ciborium::Value as Item;
use serde::de::DeserializeOwned;

use crate::domain::{Node, Path, Timestamp, Value};

use super::typed::{Number, Raw, shorten};
use super::{CodecError, Context, MAX_NESTING, only_value};

const NAME: &str = "CBOR";

pub(super) fn decode(payload: &[u8], context: &Context<'_>) -> Result<Vec<Node>, CodecError> {
    let path = context.single(NAME)?;
    let raw = raw(read(NAME, payload)?)
        .ok_or_else(|| CodecError::malformed(NAME, "it is no value of a resource"))?;
    let value = super::senml::fit(raw, &path, context)?;
    Ok(vec![Node::new(path, value)])
}

pub(super) fn encode(base: Path, nodes: &[Node]) -> Result<Vec<u8>, CodecError> {
    let mut writer = Writer::default();
    write_value(&mut writer, only_value(NAME, base, nodes)?);
    Ok(writer.0)
}

/// Writes a value as the data item of its type.
pub(super) fn write_value(writer: &mut Writer, value: &Value) {
    match value {
        Value::Boolean(on) => writer.boolean(*on),
        Value::Corelink(text) | Value::String(text) => writer.text(text),
        Value::Float(number) => writer.float(*number),
        Value::Integer(number) => writer.integer(*number),
        Value::Objlnk(link) => writer.text(&link.to_string()),
        Value::Opaque(bytes) => writer.bytes(bytes),
        Value::Time(seconds) => {
            writer.tag(EPOCH_TIME);
            writer.integer(*seconds);
        }
        Value::UnsignedInteger(number) => writer.unsigned(*number),
    }
}

/// Reads exactly one data item.
pub(super) fn read<T: DeserializeOwned>(
    format: &'static str,
    payload: &[u8],
) -> Result<T, CodecError> {
    let mut rest = payload;
    let item = ciborium::de::from_reader_with_recursion_limit(&mut rest, MAX_NESTING)
        .map_err(|error| CodecError::malformed(format, reason(&error)))?;
    if !rest.is_empty() {
        return Err(CodecError::malformed(
            format,
            "there are bytes behind its end",
        ));
    }
    Ok(item)
}

/// A data item as a value: tags that say nothing about the value are passed over.
pub(super) fn raw(mut item: Item) -> Option<Raw> {
    loop {
        return Some(match item {
            Item::Bool(on) => Raw::Boolean(on),
            Item::Bytes(bytes) => Raw::Bytes(bytes),
            Item::Float(number) => Raw::Number(Number::Float(number)),
            Item::Integer(number) => Raw::Number(Number::Integer(number.into())),
            Item::Text(text) => Raw::Text(text),
            Item::Tag(DATE_TIME, inner) => {
                let moment: Timestamp = inner.as_text()?.parse().ok()?;
                let seconds = moment.as_millis().div_euclid(1000);
                Raw::Time(Number::Integer(i128::from(seconds)))
            }
            Item::Tag(EPOCH_TIME, inner) => match *inner {
                Item::Integer(seconds) => Raw::Time(Number::Integer(seconds.into())),
                Item::Float(seconds) => Raw::Time(Number::Float(seconds)),
                other => {
                    item = other;
                    continue;
                }
            },
            Item::Tag(DECIMAL_FRACTION, inner) => Raw::Number(fraction(&inner, 10)?),
            Item::Tag(BIGFLOAT, inner) => Raw::Number(fraction(&inner, 2)?),
            // As deep as `MAX_NESTING` allows.
            Item::Tag(_, inner) => {
                item = *inner;
                continue;
            }
            _ => return None,
        });
    }
}

/// Mantissa times a power of 10 or 2 (RFC 8949 section 3.4.4), which RFC 8428 section 6 recommends
/// for numbers that are decimal by nature.
fn fraction(item: &Item, base: u8) -> Option<Number> {
    let Item::Array(parts) = item else {
        return None;
    };
    let [Item::Integer(exponent), Item::Integer(mantissa)] = parts.as_slice() else {
        return None;
    };
    // Beyond this it is 0 or infinite for each mantissa of 64 bits.
    let exponent = i32::try_from(*exponent)
        .ok()
        .filter(|exponent| (-2000..=2000).contains(exponent))?;
    let mantissa = i128::from(*mantissa);
    let number = if base == 10 {
        format!("{mantissa}e{exponent}").parse().ok()?
    } else {
        mantissa as f64 * 2_f64.powi(exponent)
    };
    Some(Number::Float(number))
}

/// Writes data items.
#[derive(Default)]
pub(super) struct Writer(pub(super) Vec<u8>);

impl Writer {
    fn head(&mut self, major: u8, value: u64) {
        let major = major << 5;
        match value {
            0..=23 => self.0.push(major | low_byte(value)),
            24..=0xFF => self.0.extend([major | 24, low_byte(value)]),
            0x100..=0xFFFF => {
                self.0.push(major | 25);
                self.0.extend(value.to_be_bytes().iter().skip(6));
            }
            0x1_0000..=0xFFFF_FFFF => {
                self.0.push(major | 26);
                self.0.extend(value.to_be_bytes().iter().skip(4));
            }
            _ => {
                self.0.push(major | 27);
                self.0.extend(value.to_be_bytes());
            }
        }
    }

    pub(super) fn unsigned(&mut self, value: u64) {
        self.head(0, value);
    }

    pub(super) fn integer(&mut self, value: i64) {
        match u64::try_from(value) {
            Ok(value) => self.head(0, value),
            // -1 - n is the complement of n.
            Err(_) => self.head(1, (!value).unsigned_abs()),
        }
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.head(2, bytes.len() as u64);
        self.0.extend(bytes);
    }

    pub(super) fn text(&mut self, text: &str) {
        self.head(3, text.len() as u64);
        self.0.extend(text.as_bytes());
    }

    pub(super) fn array(&mut self, len: usize) {
        self.head(4, len as u64);
    }

    pub(super) fn map(&mut self, len: usize) {
        self.head(5, len as u64);
    }

    fn tag(&mut self, tag: u64) {
        self.head(6, tag);
    }

    pub(super) fn boolean(&mut self, on: bool) {
        self.0.push(if on { 0xF5 } else { 0xF4 });
    }

    pub(super) fn null(&mut self) {
        self.0.push(0xF6);
    }

    pub(super) fn float(&mut self, number: f64) {
        let single = number as f32;
        if f64::from(single) == number || number.is_nan() {
            self.0.push(0xFA);
            self.0.extend(single.to_be_bytes());
        } else {
            self.0.push(0xFB);
            self.0.extend(number.to_be_bytes());
        }
    }
}

fn low_byte(value: u64) -> u8 {
    (value & 0xFF) as u8
}

fn reason(error: &ciborium::de::Error<std::io::Error>) -> String {
    use ciborium::de::Error;
    match error {
        Error::Io(_) => "it ends too early".to_owned(),
        Error::RecursionLimitExceeded => "it is nested too deeply".to_owned(),
        Error::Semantic(_, reason) => shorten(reason),
        Error::Syntax(at) => format!("byte {at} is no data item"),
    }
}

/// Tag 0, RFC 8949 section 3.4.1.
const DATE_TIME: u64 = 0;

/// Tag 1, RFC 8949 section 3.4.2.
const EPOCH_TIME: u64 = 1;

/// Tag 4, RFC 8949 section 3.4.4.
const DECIMAL_FRACTION: u64 = 4;

/// Tag 5, RFC 8949 section 3.4.4.
const BIGFLOAT: u64 = 5;
