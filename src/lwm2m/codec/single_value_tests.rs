//! The formats of single values: text, opaque, CBOR.

use super::tests::{models, node, only, path, read, read_hex, written};
use super::*;
use crate::domain::ObjectLink;

const TEXT: u16 = 0;
const OPAQUE: u16 = 42;
const CBOR: u16 = 60;
const SENML_CBOR: u16 = 112;

#[test]
fn q1_text_carries_every_type() {
    for (resource, text, value) in [
        (110, "grüezi\n", Value::String("grüezi\n".into())),
        (120, "-42", Value::Integer(-42)),
        (130, "21.5", Value::Float(21.5)),
        (130, "1e-20", Value::Float(1e-20)),
        (140, "1", Value::Boolean(true)),
        (150, "AQL/", Value::Opaque(vec![1, 2, 255])),
        (150, "", Value::Opaque(vec![])),
        (160, "1367491215", Value::Time(1_367_491_215)),
        (
            170,
            "66:0",
            Value::Objlnk(ObjectLink {
                object: 66,
                instance: 0,
            }),
        ),
        (180, "</3/0>", Value::Corelink("</3/0>".into())),
    ] {
        let base = format!("/3442/0/{resource}");
        let nodes = [node(&base, value)];
        assert_eq!(
            read(TEXT, &base, text.as_bytes()).as_deref(),
            Ok(&nodes[..]),
            "{text}"
        );
        assert_eq!(
            String::from_utf8(written(ContentFormat::Text, &base, &nodes)).expect("UTF-8"),
            text
        );
    }
    assert_eq!(
        only(TEXT, "/33333/0/1", b"123"),
        Value::String("123".into())
    );
    assert_eq!(only(TEXT, "/3442/0/1120/7", b"5"), Value::Integer(5));
}

#[test]
fn attack_20_numbers_in_text_are_read_strictly() {
    for (text, number) in [
        ("+5", 5),
        ("-0", 0),
        (" 7\n", 7),
        ("12\0", 12),
        ("21.0", 21),
        ("1e3", 1000),
    ] {
        assert_eq!(
            only(TEXT, "/3442/0/120", text.as_bytes()),
            Value::Integer(number),
            "{text}"
        );
    }
    for text in [
        "",
        "x",
        "1e999",
        "9223372036854775808",
        "-9223372036854775809",
        "21.5",
        "0x10",
        "1_000",
        "inf",
        "1 2",
    ] {
        assert!(
            read(TEXT, "/3442/0/120", text.as_bytes()).is_err(),
            "{text}"
        );
    }
    for text in ["1e999", "-1e999", "NaN", "inf", "infinity", "", "1,5"] {
        assert!(
            read(TEXT, "/3442/0/130", text.as_bytes()).is_err(),
            "{text}"
        );
    }
    assert_eq!(only(TEXT, "/3442/0/140", b"true"), Value::Boolean(true));
    assert!(read(TEXT, "/3442/0/140", b"2").is_err());
    assert!(read(TEXT, "/3442/0/150", b"***").is_err());
    assert!(read(TEXT, "/3442/0/170", b"66:65536").is_err());
    assert!(read(TEXT, "/3442/0/110", b"\xff").is_err());
    assert_eq!(
        only(TEXT, "/3442/0/160", b"-62135596800"),
        Value::Time(-62_135_596_800)
    );
    assert_eq!(
        only(TEXT, "/3442/0/160", b"1700000000123"),
        Value::Time(1_700_000_000_123)
    );
    assert!(read(TEXT, "/3/0", b"1").is_err(), "text holds one value");
}

#[test]
fn e4_opaque_resources_are_read_as_they_are() {
    assert_eq!(only(OPAQUE, "/3442/0/150", b""), Value::Opaque(vec![]));
    assert_eq!(
        only(OPAQUE, "/3442/0/150", b"\0\xff"),
        Value::Opaque(vec![0, 255])
    );
    assert_eq!(
        only(OPAQUE, "/33333/0/1", b"a"),
        Value::Opaque(b"a".to_vec())
    );
    assert_eq!(only(OPAQUE, "/3/0/0", b"OMA"), Value::String("OMA".into()));
    assert!(read(OPAQUE, "/3/0/9", b"1").is_err());
    assert!(read(OPAQUE, "/5/0", b"1").is_err());
    let nodes = [node("/3442/0/150", Value::Opaque(vec![9, 8]))];
    assert_eq!(
        written(ContentFormat::Opaque, "/3442/0/150", &nodes),
        [9, 8]
    );
    let number = [node("/3442/0/120", Value::Integer(1))];
    let refused = encode(
        ContentFormat::Opaque,
        path("/3442/0/120"),
        &number,
        models(),
    );
    assert!(matches!(refused, Err(CodecError::NotEncodable(_))));
}

#[test]
fn q1_cbor_carries_every_type() {
    for (resource, hex, value) in [
        (110, "63 616263", Value::String("abc".into())),
        (120, "18 64", Value::Integer(100)),
        (120, "3b 7fffffffffffffff", Value::Integer(i64::MIN)),
        (120, "38 63", Value::Integer(-100)),
        (130, "fa 41ac0000", Value::Float(21.5)),
        (130, "fb 3ff199999999999a", Value::Float(1.1)),
        (140, "f5", Value::Boolean(true)),
        (150, "42 0102", Value::Opaque(vec![1, 2])),
        (160, "c1 1a 5182428f", Value::Time(1_367_491_215)),
        (
            170,
            "64 36363a30",
            Value::Objlnk(ObjectLink {
                object: 66,
                instance: 0,
            }),
        ),
        (180, "64 3c2f333e", Value::Corelink("</3>".into())),
    ] {
        let base = format!("/3442/0/{resource}");
        let nodes = [node(&base, value)];
        assert_eq!(
            read_hex(CBOR, &base, hex).as_deref(),
            Ok(&nodes[..]),
            "{hex}"
        );
        assert_eq!(
            hex::encode(written(ContentFormat::Cbor, &base, &nodes)),
            hex.replace(' ', "")
        );
    }
}

#[test]
fn q1_cbor_other_spellings_of_a_value_are_read() {
    for (base, hex, value) in [
        ("/3442/0/130", "f9 4d60", Value::Float(21.5)),
        ("/3442/0/130", "15", Value::Float(21.0)),
        ("/3442/0/120", "f9 3c00", Value::Integer(1)),
        ("/3442/0/140", "01", Value::Boolean(true)),
        ("/3442/0/160", "1a 5182428f", Value::Time(1_367_491_215)),
        (
            "/3442/0/160",
            "c1 fb 41d46090a3e00000",
            Value::Time(1_367_491_215),
        ),
        (
            "/3442/0/160",
            "c0 74 323031332d30352d30325431303a34303a31355a",
            Value::Time(1_367_491_215),
        ),
        (
            "/3442/0/150",
            "5f 41 01 41 02 ff",
            Value::Opaque(vec![1, 2]),
        ),
        (
            "/33333/0/1",
            "1b ffffffffffffffff",
            Value::UnsignedInteger(u64::MAX),
        ),
        ("/33333/0/1", "20", Value::Integer(-1)),
        ("/33333/0/1", "f4", Value::Boolean(false)),
        ("/33333/0/1", "fa 41ac0000", Value::Float(21.5)),
    ] {
        let nodes = read_hex(CBOR, base, hex).expect(hex);
        assert_eq!(nodes[0].value, value, "{hex}");
    }
    let nan = read_hex(CBOR, "/3442/0/130", "f97e00").expect("NaN is kept");
    assert!(matches!(nan[0].value, Value::Float(number) if number.is_nan()));
}

#[test]
fn attack_19_malformed_cbor_is_refused() {
    let deep = "81".repeat(100_000) + "01";
    let tags = "c1".repeat(100_000) + "01";
    for hex in [
        "",
        "18",
        "1864 00",             // bytes behind the end
        "1b ffffffffffffffff", // beyond i64 for an integer
        "3b ffffffffffffffff", // below i64
        "f97e00",              // NaN as integer
        "f97c00",              // infinity as integer
        "f94d60",              // 21.5 as integer
        "f6",
        "f7",
        "80",
        "a0",
        "5b ffffffffffffffff 00", // length of 2^64 - 1
        "9b ffffffffffffffff",
        "7f",
        "9f",
        "c1",
        deep.as_str(),
        tags.as_str(),
    ] {
        let shown: String = hex.chars().take(40).collect();
        assert!(read_hex(CBOR, "/3442/0/120", hex).is_err(), "{shown}");
        assert!(
            read_hex(SENML_CBOR, "/", hex).is_err() || hex == "80",
            "{shown}"
        );
    }
}
