//! Payloads as the specifications show them, and the corners of SenML that they define.

use super::tests::{models, node, only, path, read, read_hex, written};
use super::*;
use crate::domain::ObjectLink;

const SENML_JSON: u16 = 110;
const SENML_CBOR: u16 = 112;
const JSON: u16 = 11_543;

fn link(object: u16, instance: u16) -> Value {
    Value::Objlnk(ObjectLink { object, instance })
}

fn text(text: &str) -> Value {
    Value::String(text.to_owned())
}

/// The objects 65 to 67 of the specification, of which there are no models.
fn linked() -> Vec<Node> {
    vec![
        node("/65/0/0", link(66, 0)),
        node("/65/0/1", text("8613800755500")),
        node("/65/0/2", Value::Integer(1)),
        node("/66/0/0", text("myService1")),
        node("/66/0/1", text("Internet.15.234")),
        node("/66/0/2", link(67, 0)),
        node("/67/0/0", text("85.76.76.84")),
        node("/67/0/1", text("85.76.255.255")),
    ]
}

/// The values of a path with their seconds.
fn timed(nodes: &[Node]) -> Vec<(Value, Option<i64>)> {
    nodes
        .iter()
        .map(|node| {
            let seconds = node.time.map(|time| time.as_millis() / 1000);
            (node.value.clone(), seconds)
        })
        .collect()
}

#[test]
fn q1_json_object_links_of_lwm2m_1_0_are_read() {
    // OMA-TS-LightweightM2M 1.0, 6.4.4: links are followed, so several objects come at once.
    let payload = concat!(
        r#"{"bn":"/","e":[{"n":"65/0/0","ov":"66:0"},{"n":"65/0/1","sv":"8613800755500"},"#,
        r#"{"n":"65/0/2","v":1},{"n":"66/0/0","sv":"myService1"},"#,
        r#"{"n":"66/0/1","sv":"Internet.15.234"},{"n":"66/0/2","ov":"67:0"},"#,
        r#"{"n":"67/0/0","sv":"85.76.76.84"},{"n":"67/0/1","sv":"85.76.255.255"}]}"#
    );
    assert_eq!(read(JSON, "/", payload.as_bytes()), Ok(linked()));
}

#[test]
fn q1_json_historical_values_of_lwm2m_1_0_are_read() {
    let payload = concat!(
        r#"{"bn":"/72/","bt":1425462634,"e":[{"n":"1/2","v":22.4,"t":-5},"#,
        r#"{"n":"1/2","v":22.9,"t":-30},{"n":"1/2","v":24.1,"t":-50}]}"#
    );
    let nodes = read(JSON, "/72/1/2", payload.as_bytes()).expect("readable");
    assert_eq!(
        timed(&nodes),
        [
            (Value::Float(24.1), Some(1_425_462_584)),
            (Value::Float(22.9), Some(1_425_462_604)),
            (Value::Float(22.4), Some(1_425_462_629)),
        ]
    );
    let again = written(ContentFormat::Json, "/72", &nodes);
    assert_eq!(read(JSON, "/72", &again), Ok(nodes));
}

#[test]
fn q1_json_says_less_than_it_could() {
    // No base name and no name, an unknown field, null for a value that is not there.
    let payload = br#"{"e":[{"n":"0","sv":"a","x":1},{"n":"1","sv":null},{"n":"2"}],"ver":1}"#;
    assert_eq!(
        read(JSON, "/3/0", payload),
        Ok(vec![node("/3/0/0", text("a"))])
    );
    for wrong in [
        &b"[]"[..],
        b"{}",
        br#"{"e":{}}"#,
        br#"{"e":[1]}"#,
        br#"{"bn":3,"e":[]}"#,
        br#"{"bt":"x","e":[]}"#,
        br#"{"e":[{"n":"9","v":1,"sv":"1"}]}"#,
        br#"{"e":[{"n":"9","v":1,"v":2}]}"#,
        br#"{"e":[{"n":"9","bv":1}]}"#,
        br#"{"e":[{"n":"9","ov":"3"}]}"#,
        br#"{"e":[{"n":9,"v":1}]}"#,
        br#"{"e":[{"n":"9","t":"1","v":1}]}"#,
        br#"{"e":[]}x"#,
    ] {
        let shown = String::from_utf8_lossy(wrong);
        assert!(read(JSON, "/3/0", wrong).is_err(), "{shown}");
    }
    assert_eq!(read(JSON, "/3/0", br#"{"e":[]}"#), Ok(vec![]));
}

#[test]
fn q1_senml_json_object_links_of_the_specification_are_read_and_written() {
    // OMA-TS-LightweightM2M Core 1.1, 7.4.4.
    let payload = concat!(
        r#"[{"bn":"/","n":"65/0/0","vlo":"66:0"},{"n":"65/0/1","vs":"8613800755500"},"#,
        r#"{"n":"65/0/2","v":1},{"n":"66/0/0","vs":"myService1"},"#,
        r#"{"n":"66/0/1","vs":"Internet.15.234"},{"n":"66/0/2","vlo":"67:0"},"#,
        r#"{"n":"67/0/0","vs":"85.76.76.84"},{"n":"67/0/1","vs":"85.76.255.255"}]"#
    );
    assert_eq!(read(SENML_JSON, "/", payload.as_bytes()), Ok(linked()));
    for format in [
        ContentFormat::SenmlJson,
        ContentFormat::SenmlCbor,
        ContentFormat::SenmlEtchCbor,
    ] {
        let again = written(format, "/", &linked());
        assert_eq!(read(format.code(), "/", &again), Ok(linked()));
    }
    // LwM2M-CBOR shows a link as text; only a model tells them apart.
    let short = written(ContentFormat::Lwm2mCbor, "/", &linked()[1..4]);
    assert_eq!(read(11_544, "/", &short).as_deref(), Ok(&linked()[1..4]));
}

#[test]
fn q1_senml_json_historical_values_of_the_specification_are_read() {
    let payload = concat!(
        r#"[{"bn":"/72/","bt":1425462634,"n":"1/2","v":22.4,"t":-5},"#,
        r#"{"n":"1/2","v":22.9,"t":-30},{"n":"1/2","v":24.1,"t":-50}]"#
    );
    let nodes = read(SENML_JSON, "/72/1", payload.as_bytes()).expect("readable");
    assert_eq!(
        timed(&nodes),
        [
            (Value::Float(24.1), Some(1_425_462_584)),
            (Value::Float(22.9), Some(1_425_462_604)),
            (Value::Float(22.4), Some(1_425_462_629)),
        ]
    );
}

#[test]
fn q1_h1_the_composite_read_of_the_specification() {
    let asked = br#"[{"n":"/3/0/0"},{"n":"/3/0/9"},{"n":"/1/0/1"}]"#;
    let paths = vec![path("/3/0/0"), path("/3/0/9"), path("/1/0/1")];
    assert_eq!(decode_paths(SENML_JSON, asked), Ok(paths.clone()));
    assert_eq!(
        encode_paths(ContentFormat::SenmlJson, &paths),
        Ok(asked.to_vec())
    );
    let payload = concat!(
        r#"[{"n":"/3/0/0","vs":"Open Mobile Alliance"},{"n":"/3/0/9","v":95},"#,
        r#"{"n":"/1/0/1","v":86400}]"#
    );
    assert_eq!(
        read(SENML_JSON, "/", payload.as_bytes()),
        Ok(vec![
            node("/1/0/1", Value::Integer(86_400)),
            node("/3/0/0", text("Open Mobile Alliance")),
            node("/3/0/9", Value::Integer(95)),
        ])
    );
}

#[test]
fn q1_the_examples_of_rfc_8428_are_read_when_their_names_are_paths() {
    // Section 5.1.2: base name, base time, base unit, base version, and units of their own.
    let payload = concat!(
        r#"[{"bn":"/3324/0/","bt":1.276020076001e+09,"bu":"A","bver":5,"n":"5700","u":"V","v":120.1},"#,
        r#"{"n":"5601","t":-5,"v":1.2},{"n":"5601","t":-4,"v":1.3},{"n":"5601","v":1.7,"ut":60}]"#
    );
    let nodes = read(SENML_JSON, "/", payload.as_bytes()).expect("readable");
    assert_eq!(
        timed(&nodes),
        [
            (Value::Float(1.2), Some(1_276_020_071)),
            (Value::Float(1.3), Some(1_276_020_072)),
            (Value::Float(1.7), Some(1_276_020_076)),
            (Value::Float(120.1), Some(1_276_020_076)),
        ]
    );
    // Section 5.1.1, as it stands: a device that names itself is none of LwM2M's paths.
    let named = br#"[{"n":"urn:dev:ow:10e2073a01080063","u":"Cel","v":23.1}]"#;
    let error = read(SENML_JSON, "/", named).expect_err("no path");
    assert!(error.to_string().contains("is no path"), "{error}");
    // Section 6: the same in CBOR.
    let cbor = concat!(
        "82",
        "a5 21 68 2f333332342f302f 22 fb 41d303a15b001062 23 61 41 00 64 35373030 02 fb 405e066666666666",
        "a3 00 64 35363031 06 24 02 fb 3ff3333333333333",
    );
    let nodes = read_hex(SENML_CBOR, "/3324/0", cbor).expect("readable");
    assert_eq!(
        timed(&nodes),
        [
            (Value::Float(1.2), Some(1_276_020_071)),
            (Value::Float(120.1), Some(1_276_020_076)),
        ]
    );
}

#[test]
fn q1_senml_of_a_later_version_is_refused() {
    let json = |version: &str| {
        let text = format!(r#"[{{"bver":{version},"n":"/3/0/9","v":1}}]"#);
        read(SENML_JSON, "/", text.as_bytes())
    };
    for version in ["5", "10", "10.0"] {
        assert!(json(version).is_ok(), "{version}");
    }
    for version in ["11", "1e9", "\"10\"", "null"] {
        assert!(json(version).is_err(), "{version}");
    }
    let error = json("11").expect_err("later").to_string();
    assert!(error.ends_with("version 11 is not known, 10 is"), "{error}");
    let cbor = |version: &str| {
        let hex = format!("81 a3 20 {version} 00 66 2f332f302f39 02 01");
        read_hex(SENML_CBOR, "/", &hex)
    };
    assert!(cbor("0a").is_ok());
    assert!(cbor("0b").is_err());
}

#[test]
fn q1_senml_sums_are_no_values() {
    let json = |fields: &str| {
        let text = format!(r#"[{{"n":"/3/0/9",{fields}}}]"#);
        read(SENML_JSON, "/", text.as_bytes())
    };
    assert_eq!(
        json(r#""v":5,"s":7,"bs":1"#),
        Ok(vec![node("/3/0/9", Value::Integer(5))])
    );
    assert!(json(r#""s":7"#).is_err());
    assert!(json(r#""v":5,"s":"x""#).is_err());
    assert!(read_hex(SENML_CBOR, "/", "81 a2 00 66 2f332f302f39 05 07").is_err());
    assert_eq!(
        read_hex(SENML_CBOR, "/", "81 a3 00 66 2f332f302f39 05 07 02 05"),
        Ok(vec![node("/3/0/9", Value::Integer(5))])
    );
}

#[test]
fn q1_senml_base_values_go_on_until_the_next() {
    let payload = br#"[{"bn":"/3303/0/","bv":20,"n":"5700","v":1.5},{"n":"5601","v":-1},
                       {"bv":0,"n":"5602","v":30},{"n":"5701","vs":"Cel"}]"#;
    let values: Vec<Value> = read(SENML_JSON, "/", payload)
        .expect("readable")
        .into_iter()
        .map(|node| node.value)
        .collect();
    assert_eq!(
        values,
        [
            Value::Float(19.0),
            Value::Float(30.0),
            Value::Float(21.5),
            text("Cel")
        ]
    );
}

#[test]
fn q1_a_slash_may_be_in_either_part_of_a_name() {
    for (base_name, name) in [
        ("/3/0/", "9"),
        ("/3/0", "/9"),
        ("/3/0/", "/9"),
        ("/3/0/9", ""),
        ("/3/0/9/", ""),
        ("", "/3/0/9"),
        ("/", "3/0/9"),
        ("/", "/3/0/9"),
        ("3/0/", "9"),
        ("/3", "/0/9"),
        ("/3/", "0/9"),
    ] {
        let text = format!(r#"[{{"bn":"{base_name}"}},{{"n":"{name}","v":95}}]"#);
        assert_eq!(
            read(SENML_JSON, "/3", text.as_bytes()),
            Ok(vec![node("/3/0/9", Value::Integer(95))]),
            "{text}"
        );
        let paths = format!(r#"[{{"bn":"{base_name}","n":"{name}"}}]"#);
        assert_eq!(
            decode_paths(SENML_JSON, paths.as_bytes()),
            Ok(vec![path("/3/0/9")]),
            "{paths}"
        );
    }
    for (base_name, name) in [("/3/0//", "9"), ("/3/0", "//9"), ("/3/0", "9"), ("x/", "9")] {
        let text = format!(r#"[{{"bn":"{base_name}","n":"{name}","v":95}}]"#);
        assert!(read(SENML_JSON, "/", text.as_bytes()).is_err(), "{text}");
    }
}

#[test]
fn q1_unknown_fields_are_passed_over_unless_they_must_be_understood() {
    let fine = br#"[{"n":"/3/0/9","v":95,"l":[1,{}],"foo":{"a":[]},"_x":1}]"#;
    assert_eq!(only(SENML_JSON, "/3/0/9", fine), Value::Integer(95));
    let must = br#"[{"n":"/3/0/9","v":95,"foo_":1}]"#;
    assert!(read(SENML_JSON, "/3/0/9", must).is_err());
    // Label 99, label "foo", label "foo_".
    let wanted = Ok(vec![node("/3/0/9", Value::Integer(95))]);
    let cbor = |field: &str| {
        let hex = format!("81 a3 00 66 2f332f302f39 02 185f {field}");
        read_hex(SENML_CBOR, "/", &hex)
    };
    assert_eq!(cbor("1863 a0"), wanted);
    assert_eq!(cbor("63666f6f 8101"), wanted);
    assert!(cbor("64666f6f5f 01").is_err());
}

#[test]
fn q1_floats_of_every_width_are_read_and_the_shorter_lossless_one_is_written() {
    for (item, value) in [
        ("f90000", 0.0),
        ("f93c00", 1.0),
        ("f97bff", 65_504.0),
        ("f90001", 5.960_464_477_539_063e-8),
        ("f9c400", -4.0),
        ("fa47c35000", 100_000.0),
        ("fb3ff199999999999a", 1.1),
        // Decimal fraction 273.15 and bigfloat 1.5 of RFC 8949 section 3.4.4.
        ("c48221196ab3", 273.15),
        ("c5822003", 1.5),
        ("c4820005", 5.0),
    ] {
        for (format, head) in [
            (SENML_CBOR, "81a2006c2f333330332f302f3537303002"),
            (60, ""),
            (11_544, "a1190ce7a100a1191644"),
        ] {
            let hex = format!("{head}{item}");
            assert_eq!(
                read_hex(format, "/3303/0/5700", &hex),
                Ok(vec![node("/3303/0/5700", Value::Float(value))]),
                "{hex}"
            );
        }
    }
    for (value, item) in [
        (1.0, "fa3f800000"),
        (100_000.0, "fa47c35000"),
        (1.1, "fb3ff199999999999a"),
    ] {
        let nodes = [node("/3303/0/5700", Value::Float(value))];
        let cbor = hex::encode(written(ContentFormat::SenmlCbor, "/3303/0/5700", &nodes));
        assert!(cbor.ends_with(item), "{cbor}");
    }
    for hex in ["c4820001", "c48100", "c4f6", "c482f601", "c4821a7fffffff01"] {
        let result = read_hex(60, "/3303/0/5700", hex);
        assert_eq!(result.is_ok(), hex == "c4820001", "{hex}");
    }
    // Fractions count as times, too.
    let hex = "81a3006c2f333330332f302f35373030 06 c482221b00000149687900e8 02 01";
    let nodes = read_hex(SENML_CBOR, "/", hex).expect("readable");
    assert_eq!(nodes[0].time, Timestamp::from_seconds(1_414_797_000.936));
}

#[test]
fn q1_opaque_values_are_base64_of_either_alphabet() {
    for spelled in ["-_8", "-_8=", "+/8", "+/8="] {
        let text = format!(r#"[{{"n":"/3442/0/150","vd":"{spelled}"}}]"#);
        assert_eq!(
            only(SENML_JSON, "/3442/0/150", text.as_bytes()),
            Value::Opaque(vec![0xFB, 0xFF]),
            "{spelled}"
        );
    }
    for wrong in ["-", "a b", "-/8", "\u{e9}"] {
        let text = format!(r#"[{{"n":"/3442/0/150","vd":"{wrong}"}}]"#);
        assert!(read(SENML_JSON, "/", text.as_bytes()).is_err(), "{wrong}");
    }
    assert_eq!(
        decode(
            SENML_JSON,
            Path::ROOT,
            br#"[{"n":"/3442/0/150","vd":""}]"#,
            models()
        ),
        Ok(vec![node("/3442/0/150", Value::Opaque(vec![]))])
    );
}
