//! LwM2M-CBOR, each way.

use super::*;
use crate::domain::{ContentFormat, ObjectLink, Timestamp, Value};
use crate::lwm2m::codec::tests::{DEVICE_SENML, models, node, path, read, read_hex};
use crate::lwm2m::codec::{CreateBody, decode_create, decode_reported, encode_empty_instance};

const LWM2M_CBOR: u16 = 11_544;
const SENML_JSON: u16 = 110;

/// The Device object of OMA-TS-LightweightM2M Core, 7.4, in the one form that is written.
const DEVICE: &str = concat!(
    "a103a100ad",
    "00744f70656e204d6f62696c6520416c6c69616e6365",
    "01764c69676874776569676874204d324d20436c69656e74",
    "0269333435303030313233",
    "0363312e30",
    "06a200010105",
    "07a200190ed801191388",
    "08a200187d01190384",
    "091864",
    "0a0f",
    "0ba10000",
    "0dc11a5182428f",
    "0e662b30323a3030",
    "106155",
);

fn written(base: &str, nodes: &[Node]) -> String {
    let bytes = super::super::encode(ContentFormat::Lwm2mCbor, path(base), nodes, models());
    hex::encode(bytes.expect("writable"))
}

fn refused(base: &str, hex: &str) -> String {
    read_hex(LWM2M_CBOR, base, hex).expect_err(hex).to_string()
}

fn battery(level: i64) -> Node {
    node("/3/0/9", Value::Integer(level))
}

#[test]
fn q1_the_device_object_is_written_and_read() {
    let nodes = read(SENML_JSON, "/3/0", DEVICE_SENML.as_bytes()).expect("SenML");
    assert_eq!(written("/3/0", &nodes), DEVICE);
    for base in ["/", "/3", "/3/0"] {
        assert_eq!(read_hex(LWM2M_CBOR, base, DEVICE).as_ref(), Ok(&nodes));
    }
}

#[test]
fn q1_names_are_whole_whatever_the_payload_is_about() {
    let value = node("/3/3/3", Value::Integer(25));
    for base in ["/", "/3", "/3/3", "/3/3/3"] {
        let nodes = read_hex(LWM2M_CBOR, base, "a103a103a1031819");
        // Resource 3 of object 3 is a text in its model.
        assert!(nodes.is_err(), "{base}");
    }
    for base in ["/", "/33", "/33/3", "/33/3/3"] {
        let value = node("/33/3/3", Value::Integer(25));
        let hex = "a11821a103a1031819";
        assert_eq!(read_hex(LWM2M_CBOR, base, hex), Ok(vec![value.clone()]));
        assert_eq!(written(base, &[value]), hex);
    }
    let kept = decode_reported(
        LWM2M_CBOR,
        Path::ROOT,
        "",
        &hex::decode("a103a103a1031819").expect("hex"),
        models(),
    );
    assert_eq!(kept, Ok(vec![value]), "what a device reports is kept");
}

#[test]
fn q1_every_legal_grouping_is_read() {
    let wanted = [
        battery(95),
        node("/3303/0/5700", Value::Float(21.5)),
        node("/3303/1/5700", Value::Float(-4.0)),
    ];
    for hex in [
        // {3: {0: {9: 95}}, 3303: {0: {5700: 21.5}, 1: {5700: -4.0}}}
        "a2 03a100a109185f 190ce7a2 00a1191644fa41ac0000 01a1191644fac0800000",
        // {[3, 0]: {9: 95}, [3303, 0, 5700]: 21.5, [3303, 1]: {5700: -4.0}}
        "a3 820300a109185f 83190ce700191644fa41ac0000 82190ce701a1191644fac0800000",
        // {3303: {[0, 5700]: 21.5, [1, 5700]: -4.0}, [3]: {[0]: {[9]: 95}}}
        "a2 190ce7a2 8200191644fa41ac0000 8201191644fac0800000 8103a18100a18109185f",
        // Indefinite lengths and half precision.
        "bf 03bf00bf09185fffff 190ce7bf 00bf191644f94d60ff 01bf191644f9c400ffff ff",
        "bf 9f0300ffbf09185fff 9f190ce700191644fff94d60 9f190ce701ffbf191644f9c400ff ff",
        // Longer heads than needed, double precision, whole numbers for floats.
        "a2 1803a11800a1180919005f 1a00000ce7a2 00a1191644fb4035800000000000 01a119164423",
        // RFC 8949 section 3.4.6: this is CBOR.
        "d9d9f7 a2 03a100a109185f 190ce7a2 00a1191644fa41ac0000 01a1191644fac0800000",
    ] {
        assert_eq!(
            read_hex(LWM2M_CBOR, "/", hex).as_deref(),
            Ok(&wanted[..]),
            "{hex}"
        );
    }
}

#[test]
fn q1_every_type_has_its_data_item() {
    for (resource, hex, value) in [
        (110, "6161", Value::String("a".into())),
        (120, "2b", Value::Integer(-12)),
        (125, "1bffffffffffffffff", Value::UnsignedInteger(u64::MAX)),
        (130, "fb3ff199999999999a", Value::Float(1.1)),
        (140, "f5", Value::Boolean(true)),
        (150, "420102", Value::Opaque(vec![1, 2])),
        (160, "c11a5182428f", Value::Time(1_367_491_215)),
        (
            170,
            "6431373a32",
            Value::Objlnk(ObjectLink {
                object: 17,
                instance: 2,
            }),
        ),
        (180, "663c2f332f303e", Value::Corelink("</3/0>".into())),
    ] {
        let at = format!("/3442/0/{resource}");
        let nodes = [node(&at, value)];
        let hex = format!("a1190d72a100a118{resource:02x}{hex}");
        assert_eq!(written(&at, &nodes), hex);
        assert_eq!(read_hex(LWM2M_CBOR, &at, &hex).as_deref(), Ok(&nodes[..]));
    }
    // Text in chunks, as those write it who do not know its length beforehand.
    assert_eq!(
        read_hex(LWM2M_CBOR, "/", "a1190d72a100a1186e7f61616162ff"),
        Ok(vec![node("/3442/0/110", Value::String("ab".into()))])
    );
}

#[test]
fn q1_times_come_tagged_or_plain() {
    let at = node("/3442/0/160", Value::Time(1_367_491_215));
    for time in [
        "1a5182428f",
        "c11a5182428f",
        "c1fb41d46090a3c00000",
        // "2013-05-02T10:40:15Z"
        "c074323031332d30352d30325431303a34303a31355a",
        "74323031332d30352d30325431303a34303a31355a",
    ] {
        let hex = format!("a1190d72a100a118a0{time}");
        assert_eq!(
            read_hex(LWM2M_CBOR, "/", &hex).as_deref(),
            Ok(std::slice::from_ref(&at)),
            "{time}"
        );
    }
    // Without a model the tag tells the type.
    for (item, value) in [
        ("c105", Value::Time(5)),
        ("05", Value::Integer(5)),
        ("d8640a", Value::Integer(10)),
    ] {
        let hex = format!("a119820aa100a101{item}");
        assert_eq!(
            read_hex(LWM2M_CBOR, "/", &hex),
            Ok(vec![node("/33290/0/1", value)]),
            "{hex}"
        );
    }
}

#[test]
fn what_has_no_value_is_left_out() {
    for hex in [
        "a0",
        "bfff",
        "a103a0",
        "a103a100a0",
        "a103a100a107a0",
        "a103a100a109f6",
        // RFC 8949 section 3.3: undefined
        "a103a100a109f7",
    ] {
        assert_eq!(read_hex(LWM2M_CBOR, "/", hex), Ok(vec![]), "{hex}");
    }
}

#[test]
fn what_is_no_lwm2m_cbor_is_refused() {
    for (base, hex, reason) in [
        ("/", "", "it ends too early"),
        ("/", "80", "it is no map"),
        ("/", "05", "it is no map"),
        ("/", "a0 00", "bytes behind its end"),
        ("/", "a103", "it ends too early"),
        ("/", "a1613300", "no id or list of ids"),
        ("/", "a12000", "no id or list of ids"),
        ("/", "a18000", "no id or list of ids"),
        ("/", "a181613300", "no id or list of ids"),
        ("/", "a11a0001000000", "no id or list of ids"),
        ("/", "a119ffff00", "leads nowhere"),
        ("/", "a18503000701020 0", "leads nowhere"),
        ("/", "a1840300070 1a10205", "leads nowhere"),
        ("/", "a10305", "/3 has a value but is no resource"),
        ("/", "a1820300 05", "/3/0 has a value but is no resource"),
        ("/", "a103a100a1098105", "is no value of a resource"),
        ("/", "a103a100a209050906", "/3/0/9 comes twice"),
        ("/", "a203a100a1090583030009 06", "/3/0/9 comes twice"),
        ("/3/0", "a103a101a10905", "/3/1/9 does not lie within /3/0"),
        (
            "/",
            "a103a100a109616 1",
            "the text \"a\" at /3/0/9 is no INTEGER",
        ),
    ] {
        let error = refused(base, hex);
        assert!(error.contains(reason), "{hex}: {error}");
    }
    let deep = format!("{}05", "a103".repeat(10_000));
    assert!(refused("/", &deep).contains("too deeply"));
    let many: String = (0..=10_000_u32)
        .map(|id| format!("1a{:08x}05", id))
        .collect();
    let error = refused("/", &format!("a1820700ba00002711{many}"));
    assert!(error.contains("more than 10000 nodes"), "{error}");
}

#[test]
fn what_it_cannot_express_is_not_written() {
    let encode = |nodes: &[Node]| {
        super::super::encode(ContentFormat::Lwm2mCbor, Path::ROOT, nodes, models())
            .expect_err("not writable")
            .to_string()
    };
    let mut timed = battery(95);
    timed.time = Timestamp::from_millis(1_700_000_000_000);
    assert_eq!(encode(&[timed]), "LwM2M-CBOR cannot carry a timestamp");
    assert!(encode(&[battery(1), battery(2)]).contains("one value of /3/0/9"));
    let mixed = [
        node("/33/0/7", Value::Integer(1)),
        node("/33/0/7/0", Value::Integer(2)),
    ];
    assert!(encode(&mixed).contains("one value of /33/0/7"));
    assert!(encode(&[node("/3/0/9", Value::String("x".into()))]).contains("is no INTEGER"));
    assert_eq!(written("/", &[]), "a0");
}

#[test]
fn g1_a_create_names_its_instances_and_may_leave_them_empty() {
    let create = |hex: &str| {
        decode_create(LWM2M_CBOR, 3303, &hex::decode(hex).expect(hex), models()).expect(hex)
    };
    assert_eq!(
        create("a1190ce7a105a1191644fa41ac0000"),
        CreateBody {
            instances: vec![5],
            nodes: vec![node("/3303/5/5700", Value::Float(21.5))]
        }
    );
    for hex in ["a1190ce7a205a007a0", "a282190ce705a082190ce707a0"] {
        assert_eq!(
            create(hex),
            CreateBody {
                instances: vec![5, 7],
                nodes: vec![]
            }
        );
    }
    let empty = encode_empty_instance(ContentFormat::Lwm2mCbor, path("/3303/5"));
    assert_eq!(hex::encode(empty.expect("possible")), "a1190ce7a105a0");
    assert!(encode_empty_instance(ContentFormat::SenmlCbor, path("/3303/5")).is_err());
}
