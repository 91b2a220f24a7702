//! TLV, after the examples of the specification.

use super::super::{decode, encode};
use super::*;
use crate::domain::ContentFormat;
use crate::lwm2m::codec::tests::models;
use crate::lwm2m::{ModelView, Models};

const TLV: u16 = 11_542;

/// The Device object of OMA-TS-LightweightM2M 1.0, 6.4.3.1 (1.1: 7.4.5.1).
const DEVICE: &str = concat!(
    "c800144f70656e204d6f62696c6520416c6c69616e6365",
    "c801164c69676874776569676874204d324d20436c69656e74",
    "c80209333435303030313233",
    "c303312e30",
    "8606410001410105",
    "88070842000ed842011388",
    "870841007d42010384",
    "c10964",
    "c10a0f",
    "830b410000",
    "c40d5182428f",
    "c60e2b30323a3030",
    "c11055"
);

fn bytes(hex: &str) -> Vec<u8> {
    hex::decode(hex).expect(hex)
}

fn path(text: &str) -> Path {
    text.parse().expect(text)
}

fn read(base: &str, hex: &str) -> Result<Vec<Node>, CodecError> {
    decode(TLV, path(base), &bytes(hex), models())
}

fn shown(nodes: &[Node]) -> Vec<String> {
    nodes
        .iter()
        .map(|node| format!("{}={:?}", node.path, node.value))
        .collect()
}

#[test]
fn q1_tlv_the_device_object_of_the_specification_is_read_and_written() {
    let nodes = read("/3/0", DEVICE).expect("the specification");
    assert_eq!(
        shown(&nodes),
        [
            r#"/3/0/0=String("Open Mobile Alliance")"#,
            r#"/3/0/1=String("Lightweight M2M Client")"#,
            r#"/3/0/2=String("345000123")"#,
            r#"/3/0/3=String("1.0")"#,
            "/3/0/6/0=Integer(1)",
            "/3/0/6/1=Integer(5)",
            "/3/0/7/0=Integer(3800)",
            "/3/0/7/1=Integer(5000)",
            "/3/0/8/0=Integer(125)",
            "/3/0/8/1=Integer(900)",
            "/3/0/9=Integer(100)",
            "/3/0/10=Integer(15)",
            "/3/0/11/0=Integer(0)",
            "/3/0/13=Time(1367491215)",
            r#"/3/0/14=String("+02:00")"#,
            r#"/3/0/16=String("U")"#,
        ]
    );
    let written = encode(ContentFormat::Tlv, path("/3/0"), &nodes, models());
    assert_eq!(hex::encode(written.expect("writable")), DEVICE);
}

#[test]
fn q1_tlv_an_instance_may_be_wrapped_or_not() {
    let wrapped = format!("080079{DEVICE}");
    let nodes = read("/3/0", DEVICE).expect("plain");
    assert_eq!(read("/3", &wrapped).as_ref(), Ok(&nodes));
    assert_eq!(read("/3/0", &wrapped).as_ref(), Ok(&nodes));
    assert_eq!(
        read("/3", DEVICE).as_ref(),
        Ok(&nodes),
        "the only instance there can be"
    );
    let written = encode(ContentFormat::Tlv, path("/3"), &nodes, models());
    assert_eq!(hex::encode(written.expect("writable")), wrapped);
}

#[test]
fn q1_tlv_two_access_control_instances_of_the_specification_are_read_and_written() {
    let hex = concat!(
        "08000ec10001c101008302417f07c1037f",
        "080112c10003c101008702417f0761013601c1037f"
    );
    let nodes = read("/2", hex).expect("the specification");
    assert_eq!(
        shown(&nodes),
        [
            "/2/0/0=Integer(1)",
            "/2/0/1=Integer(0)",
            "/2/0/2/127=Integer(7)",
            "/2/0/3=Integer(127)",
            "/2/1/0=Integer(3)",
            "/2/1/1=Integer(0)",
            "/2/1/2/127=Integer(7)",
            "/2/1/2/310=Integer(1)",
            "/2/1/3=Integer(127)",
        ]
    );
    let written = encode(ContentFormat::Tlv, path("/2"), &nodes, models());
    assert_eq!(hex::encode(written.expect("writable")), hex);
}

#[test]
fn q1_tlv_the_server_object_of_the_specification_is_read_and_written() {
    let hex = "08000fc10001c40100015180c10601c10755";
    let nodes = read("/1", hex).expect("the specification");
    assert_eq!(
        shown(&nodes),
        [
            "/1/0/0=Integer(1)",
            "/1/0/1=Integer(86400)",
            "/1/0/6=Boolean(true)",
            r#"/1/0/7=String("U")"#
        ]
    );
    let written = encode(ContentFormat::Tlv, path("/1"), &nodes, models());
    assert_eq!(hex::encode(written.expect("writable")), hex);
}

#[test]
fn e2_resources_and_their_instances_are_read_in_each_wrapping() {
    let wanted = ["/3/0/7/0=Integer(3800)", "/3/0/7/1=Integer(5000)"];
    assert_eq!(
        shown(&read("/3/0/7", "88070842000ed842011388").expect("resource")),
        wanted
    );
    assert_eq!(
        shown(&read("/3/0/7", "42000ed842011388").expect("instances")),
        wanted
    );
    assert_eq!(
        shown(&read("/3/0/7/1", "42011388").expect("instance")),
        wanted[1..]
    );
    assert_eq!(
        shown(&read("/3/0/7/1", "840742011388").expect("wrapped")),
        wanted[1..]
    );
    assert_eq!(
        shown(&read("/3/0/9", "c10964").expect("resource")),
        ["/3/0/9=Integer(100)"]
    );
    let nodes = read("/3/0/7", "88070842000ed842011388").expect("resource");
    let written = encode(ContentFormat::Tlv, path("/3/0/7"), &nodes, models()).expect("writable");
    assert_eq!(hex::encode(written), "88070842000ed842011388");
    let written = encode(ContentFormat::Tlv, path("/3/0/7/1"), &nodes[1..], models());
    assert_eq!(hex::encode(written.expect("writable")), "42011388");
}

#[test]
fn f1_tlv_carries_every_type() {
    let cases = [
        ("/3442/0/110", "c36e616263", Value::String("abc".into())),
        ("/3442/0/120", "c178ff", Value::Integer(-1)),
        ("/3442/0/120", "c27880 00", Value::Integer(-32768)),
        (
            "/3442/0/120",
            "c8780880000000 00000000",
            Value::Integer(i64::MIN),
        ),
        ("/3442/0/130", "c48241ac0000", Value::Float(21.5)),
        ("/3442/0/130", "c88208 3ff199999999999a", Value::Float(1.1)),
        ("/3442/0/140", "c18c01", Value::Boolean(true)),
        ("/3442/0/150", "c0 96", Value::Opaque(vec![])),
        ("/3442/0/160", "c4a05182428f", Value::Time(1_367_491_215)),
        (
            "/3442/0/170",
            "c4aa00 42 0000",
            Value::Objlnk(ObjectLink {
                object: 66,
                instance: 0,
            }),
        ),
        (
            "/3442/0/180",
            "c5b43c2f333e2c",
            Value::Corelink("</3>,".into()),
        ),
    ];
    for (resource, hex, value) in cases {
        let hex = hex.replace(' ', "");
        let nodes = read(resource, &hex).expect(resource);
        assert_eq!(nodes, [Node::new(path(resource), value)], "{resource}");
        let written = encode(ContentFormat::Tlv, path(resource), &nodes, models());
        assert_eq!(hex::encode(written.expect(resource)), hex, "{resource}");
    }
    // Wider than it had to be is fine.
    assert_eq!(
        read("/3442/0/130", "c882084035800000000000").expect("double")[0].value,
        Value::Float(21.5)
    );
    assert_eq!(
        read("/3442/0/120", "c47800000001").expect("wide")[0].value,
        Value::Integer(1)
    );
    let nan = read("/3442/0/130", "c4827fc00000").expect("NaN is kept");
    assert!(matches!(nan[0].value, Value::Float(number) if number.is_nan()));
}

#[test]
fn unsigned_integers_use_all_of_their_bits() {
    let mut models = Models::builtin();
    let mut object = models.object(3442, None).expect("test object").clone();
    object.resources.get_mut(&120).expect("integer").value_type = Some(ValueType::UnsignedInteger);
    models.insert(object);
    let at = path("/3442/0/120");
    for (hex, number) in [("c178ff", 255), ("c87808ffffffffffffffff", u64::MAX)] {
        let nodes = decode(TLV, at, &bytes(hex), ModelView::newest(&models)).expect(hex);
        assert_eq!(nodes[0].value, Value::UnsignedInteger(number));
        assert_eq!(
            hex::encode(
                encode(ContentFormat::Tlv, at, &nodes, ModelView::newest(&models)).expect(hex)
            ),
            hex
        );
    }
}

#[test]
fn resources_without_a_model_are_bytes() {
    let nodes =
        read("/33333/0", "c10164c202 4142".replace(' ', "").as_str()).expect("unknown object");
    assert_eq!(
        shown(&nodes),
        ["/33333/0/1=Opaque([100])", "/33333/0/2=Opaque([65, 66])"]
    );
}

#[test]
fn attack_19_malformed_tlv_is_refused() {
    let nested = (0..100).fold(String::from("c10001"), |inner, _| {
        format!("0800{:02x}{inner}", (inner.len() / 2).min(255))
    });
    for (base, hex) in [
        ("/3/0", "c1"),           // no id
        ("/3/0", "c109"),         // no value
        ("/3/0", "c80914"),       // length beyond the end
        ("/3/0", "d809"),         // 24-bit length cut off
        ("/3/0", "d809ffffff00"), // 16 MB that are not there
        ("/3", "080004c10964"),   // inner entry shorter than its parent
        ("/3", "080002c10964"),   // inner entry longer than its parent
        ("/3/0", "e1ffff00"),     // reserved id 65535
        ("/3", nested.as_str()),  // nested a hundred times
        ("/3/0", "8306c10001"),   // resource within a resource
        ("/3/0", "410001"),       // resource instance without resource
        ("/3/0", "c009"),         // integer of no bytes
        ("/3/0", "c309010203"),   // integer of three bytes
        ("/1/0", "c10602"),       // boolean of 2
        ("/3442/0", "c2820000"),  // float of two bytes
        ("/3442/0", "c2aa0000"),  // object link of two bytes
        ("/3/0", "c100ff"),       // text that is no UTF-8
        ("/", "c10964"),          // resource of no object
    ] {
        assert!(read(base, hex).is_err(), "{base} {hex}");
    }
}

#[test]
fn values_outside_of_what_was_asked_for_are_refused() {
    for (base, hex) in [
        ("/3/0/9", "c10a0f"),
        ("/3/0", "080103c10964"),
        ("/3/0/7/1", "41000e"),
    ] {
        let hex = hex.replace(' ', "");
        assert!(
            matches!(read(base, &hex), Err(CodecError::Outside { .. })),
            "{base} {hex}: {:?}",
            read(base, &hex)
        );
    }
}

#[test]
fn e3_an_empty_object_has_no_values() {
    assert_eq!(read("/3303", ""), Ok(vec![]));
    assert_eq!(read("/3303", "0005"), Ok(vec![]));
    assert_eq!(
        read("/3/0", "8007"),
        Ok(vec![]),
        "a resource without instances"
    );
    assert_eq!(instances(&bytes("0005200102")), [5, 258]);
    assert_eq!(empty_instance(path("/3303/5")), [0x00, 5]);
    assert_eq!(empty_instance(path("/3303/258")), [0x20, 1, 2]);
}

#[test]
fn what_tlv_cannot_express_is_not_written() {
    let mut node = Node::new(path("/3/0/9"), Value::Integer(1));
    let tlv = |base: &str, nodes: &[Node]| encode(ContentFormat::Tlv, path(base), nodes, models());
    assert!(matches!(
        tlv("/", &[node.clone()]),
        Err(CodecError::NotEncodable(_))
    ));
    assert!(matches!(
        tlv("/3/0", &[node.clone(), node.clone()]),
        Err(CodecError::NotEncodable(_))
    ));
    assert!(matches!(
        tlv("/3/0/10", &[node.clone()]),
        Err(CodecError::Outside { .. })
    ));
    node.time = crate::domain::Timestamp::from_millis(1_700_000_000_000);
    assert!(matches!(
        tlv("/3/0", &[node]),
        Err(CodecError::NotEncodable(_))
    ));
}

#[test]
fn lengths_of_each_width_are_read_and_written() {
    for len in [0, 7, 8, 255, 256, 65_535, 65_536] {
        let node = Node::new(path("/3442/0/150"), Value::Opaque(vec![7; len]));
        let written = encode(
            ContentFormat::Tlv,
            path("/3442"),
            std::slice::from_ref(&node),
            models(),
        );
        let written = written.expect("writable");
        assert_eq!(
            decode(TLV, path("/3442"), &written, models()),
            Ok(vec![node]),
            "{len}"
        );
    }
}
