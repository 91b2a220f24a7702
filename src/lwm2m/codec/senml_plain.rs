//! The SenML-CBOR that devices send every day, read in place: arrays, maps, texts and bytes of known length,
//! labels and values as RFC 8428 has them, nothing tagged, nothing twice.
//!
//! Whatever is more than that, or less, is left to [`super::senml_cbor`], errors included: what is read here
//! is read there to the same records, and a test and the fuzzer hold both to it.

use std::borrow::Cow;

use super::MAX_NODES;
use super::senml::{MAX_FIELDS, Record};
use super::senml_cbor::label;
use super::typed::{Number, Raw};

/// Reads a pack; nothing when it is not a plain one.
pub(super) fn records(payload: &[u8]) -> Option<Vec<Record<'_>>> {
    let mut reader = Reader(payload);
    let count = match reader.item()? {
        Item::Array(count) if count <= MAX_NODES => count,
        _ => return None,
    };
    // What is announced has to come first: a record has a byte at least.
    let mut records = Vec::with_capacity(count.min(payload.len()));
    for _ in 0..count {
        records.push(record(&mut reader)?);
    }
    reader.0.is_empty().then_some(records)
}

fn record<'a>(reader: &mut Reader<'a>) -> Option<Record<'a>> {
    let count = match reader.item()? {
        Item::Map(count) if count <= MAX_FIELDS => count,
        _ => return None,
    };
    let mut record = Record::default();
    for _ in 0..count {
        let Item::Number(Number::Integer(key)) = reader.item()? else {
            return None;
        };
        let key = i64::try_from(key).ok()?;
        let value = match (key, reader.item()?) {
            (label::BASE_NAME, Item::Text(text)) if record.base_name.is_none() => {
                record.base_name = Some(Cow::Borrowed(text));
                continue;
            }
            (label::NAME, Item::Text(text)) if record.name.is_none() => {
                record.name = Some(Cow::Borrowed(text));
                continue;
            }
            (label::BASE_TIME, Item::Number(time)) if record.base_time.is_none() => {
                record.base_time = Some(time.as_f64());
                continue;
            }
            (label::TIME, Item::Number(time)) if record.time.is_none() => {
                record.time = Some(time.as_f64());
                continue;
            }
            (label::VALUE, Item::Number(number)) => Raw::Number(number),
            (label::STRING_VALUE, Item::Text(text)) => Raw::Text(text.to_owned()),
            (label::BOOLEAN_VALUE, Item::Boolean(on)) => Raw::Boolean(on),
            (label::DATA_VALUE, Item::Bytes(bytes)) => Raw::Bytes(bytes.to_vec()),
            _ => return None,
        };
        if record.value.replace(value).is_some() {
            return None;
        }
    }
    Some(record)
}

/// A data item, or the head of one that holds others (RFC 8949 section 3).
enum Item<'a> {
    Array(usize),
    Boolean(bool),
    Bytes(&'a [u8]),
    Map(usize),
    Number(Number),
    Text(&'a str),
}

/// What is left of a payload.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn item(&mut self) -> Option<Item<'a>> {
        let [first] = self.take()?;
        let (major, short) = (first >> 5, first & 31);
        if major == 7 {
            return Some(match short {
                20 => Item::Boolean(false),
                21 => Item::Boolean(true),
                26 => Item::Number(Number::Float(f32::from_be_bytes(self.take()?).into())),
                27 => Item::Number(Number::Float(f64::from_be_bytes(self.take()?))),
                _ => return None,
            });
        }
        let number = match short {
            0..=23 => u64::from(short),
            24 => u8::from_be_bytes(self.take()?).into(),
            25 => u16::from_be_bytes(self.take()?).into(),
            26 => u32::from_be_bytes(self.take()?).into(),
            27 => u64::from_be_bytes(self.take()?),
            _ => return None,
        };
        let length = usize::try_from(number);
        Some(match major {
            0 => Item::Number(Number::Integer(number.into())),
            1 => Item::Number(Number::Integer(!i128::from(number))),
            2 => Item::Bytes(self.bytes(length.ok()?)?),
            3 => Item::Text(std::str::from_utf8(self.bytes(length.ok()?)?).ok()?),
            4 => Item::Array(length.ok()?),
            5 => Item::Map(length.ok()?),
            _ => return None,
        })
    }

    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*bytes)
    }

    fn bytes(&mut self, length: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }
}

/// Fails when a pack that is read here is read otherwise there, for the fuzzer and the tests.
pub(in crate::lwm2m) fn agrees(payload: &[u8]) {
    if let Some(plain) = records(payload) {
        let whole = super::senml_cbor::any_records(payload);
        // NaN is not equal to itself.
        assert_eq!(
            format!("{:?}", Ok::<_, super::CodecError>(plain)),
            format!("{whole:?}")
        );
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::lwm2m::codec::cbor::Writer;

    fn written(fields: &[(i64, u8, i64)]) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.array(1);
        writer.map(fields.len());
        for (label, kind, number) in fields {
            writer.integer(*label);
            match kind {
                0 => writer.integer(*number),
                1 => writer.float(*number as f64 / 3.0),
                2 => writer.text(&format!("/3303/{number}")),
                3 => writer.bytes(&number.to_be_bytes()),
                4 => writer.boolean(*number > 0),
                _ => writer.null(),
            }
        }
        writer.0
    }

    #[test]
    fn what_devices_send_is_read_here() {
        let fields = [
            (-2, 2, 0),
            (-3, 0, 1_700_000_000),
            (0, 2, 1),
            (6, 1, -3),
            (2, 1, 65),
        ];
        let payload = written(&fields);
        assert_eq!(records(&payload).map(|records| records.len()), Some(1));
        agrees(&payload);
    }

    #[test]
    fn what_is_strange_is_left_to_others() {
        for fields in [
            &[(2, 0, 1), (2, 0, 1)][..],
            &[(2, 0, 1), (4, 4, 1)],
            &[(2, 5, 0)],
            &[(2, 2, 0)],
            &[(5, 0, 1)],
            &[(99, 0, 1)],
        ] {
            assert_eq!(records(&written(fields)), None, "{fields:?}");
        }
        for payload in [
            "",
            "80ff",
            "9fff",
            "81bfff",
            "81a1c10001",
            "81a102f90000",
            "9b7fffffffffffffff",
        ] {
            let payload = hex::decode(payload).expect("hex");
            assert_eq!(records(&payload), None, "{payload:02x?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_is_read_otherwise_than_by_ciborium(
            fields in prop::collection::vec((-6_i64..10, 0_u8..6, any::<i64>()), 0..6),
            at in any::<prop::sample::Index>(),
            byte in any::<u8>(),
        ) {
            let mut payload = written(&fields);
            agrees(&payload);
            let at = at.index(payload.len());
            payload[at] = byte;
            agrees(&payload);
            payload.truncate(at);
            agrees(&payload);
        }

        #[test]
        fn no_bytes_are_read_otherwise_than_by_ciborium(payload in prop::collection::vec(any::<u8>(), 0..60)) {
            agrees(&payload);
        }
    }
}
