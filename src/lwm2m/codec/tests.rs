//! SenML, the JSON of LwM2M 1.0 and what holds for every format.

use std::sync::LazyLock;

use super::*;
use crate::domain::ObjectLink;
use crate::lwm2m::Models;

static MODELS: LazyLock<Models> = LazyLock::new(Models::builtin);

/// The newest version of everything.
pub(super) fn models() -> ModelView<'static> {
    ModelView::newest(&MODELS)
}

const SENML_JSON: u16 = 110;
const SENML_CBOR: u16 = 112;
const JSON: u16 = 11_543;

pub(super) fn path(text: &str) -> Path {
    text.parse().expect(text)
}

pub(super) fn read(format: u16, base: &str, payload: &[u8]) -> Result<Vec<Node>, CodecError> {
    decode(format, path(base), payload, models())
}

pub(super) fn read_hex(format: u16, base: &str, hex: &str) -> Result<Vec<Node>, CodecError> {
    read(format, base, &hex::decode(hex.replace(' ', "")).expect(hex))
}

pub(super) fn only(format: u16, base: &str, payload: &[u8]) -> Value {
    let mut nodes = read(format, base, payload).expect("readable");
    assert_eq!(nodes.len(), 1, "{nodes:?}");
    nodes.remove(0).value
}

pub(super) fn written(format: ContentFormat, base: &str, nodes: &[Node]) -> Vec<u8> {
    encode(format, path(base), nodes, models()).expect("writable")
}

pub(super) fn node(at: &str, value: Value) -> Node {
    Node::new(path(at), value)
}

fn at_second(seconds: i64) -> Option<Timestamp> {
    Timestamp::from_millis(seconds * 1000)
}

/// The Device object as OMA-TS-LightweightM2M Core 1.1, 7.4.4 shows it.
pub(super) const DEVICE_SENML: &str = concat!(
    r#"[{"bn":"/3/0/","n":"0","vs":"Open Mobile Alliance"},"#,
    r#"{"n":"1","vs":"Lightweight M2M Client"},{"n":"2","vs":"345000123"},{"n":"3","vs":"1.0"},"#,
    r#"{"n":"6/0","v":1},{"n":"6/1","v":5},{"n":"7/0","v":3800},{"n":"7/1","v":5000},"#,
    r#"{"n":"8/0","v":125},{"n":"8/1","v":900},{"n":"9","v":100},{"n":"10","v":15},"#,
    r#"{"n":"11/0","v":0},{"n":"13","v":1367491215},{"n":"14","vs":"+02:00"},{"n":"16","vs":"U"}]"#
);

/// The same in the JSON of OMA-TS-LightweightM2M 1.0, 6.4.4.
const DEVICE_JSON: &str = concat!(
    r#"{"bn":"/3/0/","e":[{"n":"0","sv":"Open Mobile Alliance"},"#,
    r#"{"n":"1","sv":"Lightweight M2M Client"},{"n":"2","sv":"345000123"},{"n":"3","sv":"1.0"},"#,
    r#"{"n":"6/0","v":1},{"n":"6/1","v":5},{"n":"7/0","v":3800},{"n":"7/1","v":5000},"#,
    r#"{"n":"8/0","v":125},{"n":"8/1","v":900},{"n":"9","v":100},{"n":"10","v":15},"#,
    r#"{"n":"11/0","v":0},{"n":"13","v":1367491215},{"n":"14","sv":"+02:00"},{"n":"16","sv":"U"}]}"#
);

#[test]
fn q1_senml_json_the_device_object_of_the_specification_is_read_and_written() {
    let nodes = read(SENML_JSON, "/3/0", DEVICE_SENML.as_bytes()).expect("the specification");
    assert_eq!(nodes.len(), 16);
    assert_eq!(
        nodes[0],
        node("/3/0/0", Value::String("Open Mobile Alliance".into()))
    );
    assert_eq!(nodes[7], node("/3/0/7/1", Value::Integer(5000)));
    assert_eq!(nodes[13], node("/3/0/13", Value::Time(1_367_491_215)));
    let again = written(ContentFormat::SenmlJson, "/3/0", &nodes);
    assert_eq!(String::from_utf8(again).expect("UTF-8"), DEVICE_SENML);
}

#[test]
fn q1_json_the_device_object_of_lwm2m_1_0_is_read_and_written() {
    let nodes = read(JSON, "/3/0", DEVICE_JSON.as_bytes()).expect("the specification");
    assert_eq!(
        nodes,
        read(SENML_JSON, "/3/0", DEVICE_SENML.as_bytes()).expect("the same")
    );
    assert_eq!(
        read(1543, "/3/0", DEVICE_JSON.as_bytes()).as_ref(),
        Ok(&nodes)
    );
    let again = written(ContentFormat::Json, "/3/0", &nodes);
    assert_eq!(String::from_utf8(again).expect("UTF-8"), DEVICE_JSON);
}

#[test]
fn q1_json_names_may_be_relative_to_what_was_asked_for() {
    let wanted = [node("/3/0/9", Value::Integer(95))];
    for (base, text) in [
        ("/3/0", r#"{"e":[{"n":"9","v":95}]}"#),
        ("/3", r#"{"e":[{"n":"0/9","v":95}]}"#),
        ("/3/0", r#"{"bn":"/3/0","e":[{"n":"/9","v":95}]}"#),
        ("/3/0/9", r#"{"e":[{"v":95}]}"#),
        ("/3/0/9", r#"{"e":[{"n":"","v":95}]}"#),
        ("/3/0/9", r#"{"bn":"/3/0/9","e":[{"v":95.0}]}"#),
        ("/3/0/9", r#"{"bn":"/3/0/","e":[{"n":"9","v":95}]}"#),
        ("/3/0/9", r#"{"bn":"/","e":[{"n":"3/0/9","v":95}]}"#),
    ] {
        assert_eq!(
            read(JSON, base, text.as_bytes()).as_deref(),
            Ok(&wanted[..]),
            "{base} {text}"
        );
    }
}

#[test]
fn q1_json_types_that_json_lacks_come_from_the_model() {
    let text = concat!(
        r#"{"bn":"/3442/0/","e":[{"n":"110","sv":"a"},{"n":"130","v":21},{"n":"140","bv":true},"#,
        r#"{"n":"150","sv":"AQI="},{"n":"160","v":5},{"n":"170","ov":"66:1"},{"n":"180","sv":"</3>"}]}"#
    );
    let nodes = read(JSON, "/3442/0", text.as_bytes()).expect("every type");
    let values: Vec<Value> = nodes.into_iter().map(|node| node.value).collect();
    assert_eq!(
        values,
        [
            Value::String("a".into()),
            Value::Float(21.0),
            Value::Boolean(true),
            Value::Opaque(vec![1, 2]),
            Value::Time(5),
            Value::Objlnk(ObjectLink {
                object: 66,
                instance: 1
            }),
            Value::Corelink("</3>".into()),
        ]
    );
    assert_eq!(
        only(JSON, "/33333/0/1", br#"{"e":[{"sv":"AQI="}]}"#),
        Value::String("AQI=".into())
    );
}

#[test]
fn q1_senml_cbor_is_read_and_written_byte_by_byte() {
    let hex = concat!(
        "85",
        "a3 21 65 2f332f302f 00 61 30 03 74 4f70656e204d6f62696c6520416c6c69616e6365",
        "a2 00 63 362f30 02 01",
        "a2 00 63 372f30 02 19 0ed8",
        "a2 00 61 39 02 18 64",
        "a2 00 62 3133 02 1a 5182428f",
    );
    let nodes = read_hex(SENML_CBOR, "/3/0", hex).expect("readable");
    assert_eq!(
        nodes,
        [
            node("/3/0/0", Value::String("Open Mobile Alliance".into())),
            node("/3/0/6/0", Value::Integer(1)),
            node("/3/0/7/0", Value::Integer(3800)),
            node("/3/0/9", Value::Integer(100)),
            node("/3/0/13", Value::Time(1_367_491_215)),
        ]
    );
    assert_eq!(
        hex::encode(written(ContentFormat::SenmlCbor, "/3/0", &nodes)),
        hex.replace(' ', "")
    );
}

#[test]
fn q1_senml_cbor_indefinite_lengths_halves_tags_and_text_labels_are_read() {
    for hex in [
        "9f bf 00 6c 2f333330332f302f35373030 02 f9 4d60 ff ff",
        "81 a2 00 6c 2f333330332f302f35373030 02 fb 4035800000000000",
        "81 a2 00 7f 66 2f333330332f 66 302f35373030 ff 02 fa 41ac0000",
        "81 a2 61 6e 6c 2f333330332f302f35373030 61 76 fa 41ac0000",
        "d9d9f7 81 a2 00 6c 2f333330332f302f35373030 02 fa 41ac0000",
    ]
    .into_iter()
    {
        let nodes = read_hex(SENML_CBOR, "/3303/0", hex).expect(hex);
        assert_eq!(nodes, [node("/3303/0/5700", Value::Float(21.5))], "{hex}");
    }
}

#[test]
fn q1_senml_records_carry_every_type() {
    let values = [
        (110, Value::String("grüezi".into()), r#""vs":"grüezi""#),
        (120, Value::Integer(i64::MIN), r#""v":-9223372036854775808"#),
        (130, Value::Float(21.0), r#""v":21.0"#),
        (140, Value::Boolean(false), r#""vb":false"#),
        (150, Value::Opaque(vec![0xFB, 0xFF]), r#""vd":"-_8""#),
        (160, Value::Time(-1), r#""v":-1"#),
        (
            170,
            Value::Objlnk(ObjectLink {
                object: 65_535,
                instance: 65_535,
            }),
            r#""vlo":"65535:65535""#,
        ),
        (180, Value::Corelink("</3>".into()), r#""vs":"</3>""#),
    ];
    for (resource, value, json) in values {
        let base = format!("/3442/0/{resource}");
        let nodes = [node(&base, value)];
        let text =
            String::from_utf8(written(ContentFormat::SenmlJson, &base, &nodes)).expect("UTF-8");
        assert_eq!(text, format!(r#"[{{"bn":"{base}",{json}}}]"#));
        assert_eq!(
            read(SENML_JSON, &base, text.as_bytes()).as_deref(),
            Ok(&nodes[..])
        );
        let cbor = written(ContentFormat::SenmlCbor, &base, &nodes);
        assert_eq!(read(SENML_CBOR, &base, &cbor).as_deref(), Ok(&nodes[..]));
    }
}

#[test]
fn d4_k2_times_are_resolved_with_the_base_time_and_kept_in_order() {
    // After RFC 8428 section 5.1.3.
    let text = concat!(
        r#"[{"bn":"/3303/0/5700","bt":1320067464,"v":21.2},{"t":10,"v":21.3},{"t":-5.5,"v":20},"#,
        r#"{"bn":"/3304/0/5700","bt":1320067500,"v":60},{"n":"","v":61,"t":1}]"#
    );
    let nodes = read(SENML_JSON, "/", text.as_bytes()).expect("readable");
    let shown: Vec<(String, Value, Option<i64>)> = nodes
        .into_iter()
        .map(|node| {
            (
                node.path.to_string(),
                node.value,
                node.time.map(Timestamp::as_millis),
            )
        })
        .collect();
    assert_eq!(
        shown,
        [
            (
                "/3303/0/5700".to_owned(),
                Value::Float(20.0),
                Some(1_320_067_458_500)
            ),
            (
                "/3303/0/5700".to_owned(),
                Value::Float(21.2),
                Some(1_320_067_464_000)
            ),
            (
                "/3303/0/5700".to_owned(),
                Value::Float(21.3),
                Some(1_320_067_474_000)
            ),
            (
                "/3304/0/5700".to_owned(),
                Value::Float(60.0),
                Some(1_320_067_500_000)
            ),
            (
                "/3304/0/5700".to_owned(),
                Value::Float(61.0),
                Some(1_320_067_501_000)
            ),
        ]
    );
    let old = br#"{"bn":"/3303/0/5700","bt":1320067464,"e":[{"v":1,"t":-1},{"v":2}]}"#;
    let times: Vec<_> = read(JSON, "/3303/0/5700", old)
        .expect("old")
        .iter()
        .map(|node| node.time)
        .collect();
    assert_eq!(times, [at_second(1_320_067_463), at_second(1_320_067_464)]);
}

#[test]
fn times_that_count_from_now_are_anchored() {
    let now = Timestamp::from_millis(1_700_000_000_500).expect("now");
    let text =
        r#"[{"bn":"/3303/0/5700","t":-5,"v":1},{"v":2},{"t":3,"v":3},{"t":1600000000,"v":4}]"#;
    let mut nodes = read(SENML_JSON, "/3303/0", text.as_bytes()).expect("readable");
    anchor_times(&mut nodes, now);
    let times: Vec<(Value, Option<i64>)> = nodes
        .into_iter()
        .map(|node| (node.value, node.time.map(Timestamp::as_millis)))
        .collect();
    assert_eq!(
        times,
        [
            (Value::Float(2.0), None),
            (Value::Float(1.0), Some(1_699_999_995_500)),
            (Value::Float(3.0), Some(1_700_000_003_500)),
            (Value::Float(4.0), Some(1_600_000_000_000)),
        ]
    );
}

#[test]
fn h7_records_without_a_value_say_that_there_is_none() {
    let text = r#"[{"bn":"/3303/0/","bt":1320067464},{"n":"5700"},{"n":"5701","vs":"Cel"},{"n":"5601","v":null}]"#;
    let nodes = read(SENML_JSON, "/3303/0", text.as_bytes()).expect("readable");
    assert_eq!(nodes.len(), 1);
    assert_eq!(nodes[0].time, at_second(1_320_067_464));
}

#[test]
fn base_values_are_added() {
    let text = r#"[{"bn":"/3303/0/5700","bv":20,"v":1.5}]"#;
    assert_eq!(
        only(SENML_JSON, "/3303/0", text.as_bytes()),
        Value::Float(21.5)
    );
    assert_eq!(
        read_hex(
            SENML_CBOR,
            "/3/0/9",
            "81 a3 21 66 2f332f302f39 24 18 5a 02 05"
        ),
        Ok(vec![node("/3/0/9", Value::Integer(95))])
    );
}

#[test]
fn b5_names_may_begin_with_the_alternate_root() {
    let text = br#"[{"bn":"/lwm2m/3/0/","n":"9","v":95}]"#;
    let nodes = decode_reported(SENML_JSON, path("/3/0"), "/lwm2m", text, models());
    assert_eq!(nodes, Ok(vec![node("/3/0/9", Value::Integer(95))]));
    assert!(read(SENML_JSON, "/3/0", text).is_err());
}

#[test]
fn h1_paths_of_composites_are_written_and_read() {
    let paths = [path("/3/0/0"), path("/1"), path("/3/0/6/1"), Path::ROOT];
    let json = encode_paths(ContentFormat::SenmlJson, &paths).expect("SenML");
    assert_eq!(
        String::from_utf8(json.clone()).expect("UTF-8"),
        r#"[{"n":"/3/0/0"},{"n":"/1"},{"n":"/3/0/6/1"},{"n":"/"}]"#
    );
    assert_eq!(decode_paths(SENML_JSON, &json).as_deref(), Ok(&paths[..]));
    let cbor = encode_paths(ContentFormat::SenmlCbor, &paths).expect("SenML");
    assert_eq!(
        hex::encode(&cbor),
        "84a100662f332f302f30a100622f31a100682f332f302f362f31a100612f"
    );
    assert_eq!(decode_paths(SENML_CBOR, &cbor).as_deref(), Ok(&paths[..]));
    let based = br#"[{"bn":"/3/0/","n":"0"},{"n":"9"},{"bn":"/1"}]"#;
    assert_eq!(
        decode_paths(SENML_JSON, based),
        Ok(vec![path("/3/0/0"), path("/3/0/9"), path("/1")])
    );
    assert_eq!(
        encode_paths(ContentFormat::Tlv, &paths),
        Err(CodecError::UnsupportedFormat(11_542))
    );
    assert!(decode_paths(SENML_JSON, b"[{}]").is_err());
    assert!(decode_paths(11_542, b"").is_err());
}

#[test]
fn g1_a_create_tells_whether_it_names_the_instance() {
    let create = |format, hex: &str| {
        decode_create(format, 3303, &hex::decode(hex).expect(hex), models()).expect(hex)
    };
    let chosen = create(11_542, "e4164441ac0000");
    assert_eq!(
        (chosen.instances.as_slice(), chosen.nodes.len()),
        (&[][..], 1)
    );
    assert_eq!(
        create(11_542, "070 5e4164441ac0000".replace(' ', "").as_str()).instances,
        [5]
    );
    assert_eq!(create(11_542, "0005").instances, [5]);
    assert_eq!(
        create(11_542, ""),
        CreateBody {
            instances: vec![],
            nodes: vec![]
        }
    );
    let text = br#"[{"bn":"/3303/7/","n":"5700","v":1},{"bn":"/3303/6/","n":"5700","v":1}]"#;
    assert_eq!(
        decode_create(SENML_JSON, 3303, text, models())
            .expect("SenML")
            .instances,
        [6, 7]
    );
}

#[test]
fn attack_19_malformed_senml_is_refused() {
    let many = format!(
        "[{}]",
        vec![r#"{"n":"/3/0/9","v":1}"#; MAX_NODES + 1].join(",")
    );
    let long = format!(r#"[{{"bn":"/3/0/{}","v":1}}]"#, "1".repeat(300));
    let deep = format!(r#"[{{"x":{}1{}}}]"#, "[".repeat(10_000), "]".repeat(10_000));
    for text in [
        "",
        "{}",
        "[",
        "[1]",
        "[{}] x",
        r#"[{"n":"/3/0/9","v":1,"v":2}]"#,    // a field twice
        r#"[{"n":"/3/0/9","v":1,"vs":"1"}]"#, // two values
        r#"[{"n":"/3/0/9","v":"1"}]"#,
        r#"[{"n":"/3/0/9","v":1e999}]"#,
        r#"[{"n":"/3/0/9","v":NaN}]"#,
        r#"[{"n":"/3/0/9","v":95.5}]"#,
        r#"[{"n":"/3/0/9","v":9223372036854775808}]"#,
        r#"[{"n":"/3/0/9","v":1,"t":1e300}]"#, // a time beyond the year 9999
        r#"[{"n":"/3/0/9","v":1,"bt":1700000000000}]"#, // milliseconds
        r#"[{"n":"/3/0/9","v":1,"x_":1}]"#,    // must be understood
        r#"[{"n":"/3/0/9/0/0","v":1}]"#,
        r#"[{"n":"/3/0","v":1}]"#,
        r#"[{"n":"/65535/0/9","v":1}]"#,
        r#"[{"n":"urn:dev:9","v":1}]"#,
        r#"[{"n":"/3442/0/150","vd":"*"}]"#,
        r#"[{"n":"/3442/0/170","vlo":"1:2:3"}]"#,
        many.as_str(),
        long.as_str(),
        deep.as_str(),
    ] {
        let shown: String = text.chars().take(60).collect();
        assert!(read(SENML_JSON, "/", text.as_bytes()).is_err(), "{shown}");
    }
    assert!(read(JSON, "/3/0", br#"{"e":[],"e":[]}"#).is_err());
    assert!(read(JSON, "/3/0", br#"{"bn":"/3/0/"}"#).is_err());
    assert!(read(JSON, "/3/0", br#"{"e":[{"n":"9","v":1,"sv":"1"}]}"#).is_err());
    assert_eq!(
        read(SENML_JSON, "/", br#"[{"n":"/3/0/9","v":1,"x":[{}]}]"#).map(|nodes| nodes.len()),
        Ok(1)
    );
    // A label twice, also in CBOR; an infinite time.
    assert!(read_hex(SENML_CBOR, "/", "81 a3 00 66 2f332f302f39 02 01 02 02").is_err());
    assert!(read_hex(SENML_CBOR, "/", "81 a3 00 66 2f332f302f39 06 f97c00 02 01").is_err());
    assert!(read_hex(SENML_CBOR, "/", "81 a3 00 66 2f332f302f39 06 f97e00 02 01").is_err());
    assert!(read_hex(SENML_CBOR, "/", "81 a2 00 66 2f332f302f39 03 01").is_err());
}

#[test]
fn i4_formats_that_are_not_known_are_named() {
    for format in [50, 40, 65_535] {
        assert_eq!(
            read(format, "/3/0", b""),
            Err(CodecError::UnsupportedFormat(format))
        );
    }
}

#[test]
fn payloads_beyond_the_limit_are_not_looked_at() {
    let large = vec![b' '; MAX_PAYLOAD_BYTES + 1];
    for format in ContentFormat::ALL {
        assert!(matches!(
            read(format.code(), "/3/0/0", &large),
            Err(CodecError::TooLarge { .. })
        ));
    }
}

#[test]
fn f5_what_a_format_cannot_express_is_not_written() {
    let float = |number| vec![node("/3303/0/5700", Value::Float(number))];
    for format in ContentFormat::ALL {
        let result = encode(format, path("/3303/0/5700"), &float(f64::NAN), models());
        let fits = matches!(
            format,
            ContentFormat::Cbor | ContentFormat::Lwm2mCbor | ContentFormat::Tlv
        );
        assert_eq!(result.is_ok(), fits, "{format:?}");
        let text = vec![node("/3/0/9", Value::String("full".into()))];
        let wrong = encode(format, path("/3/0/9"), &text, models());
        assert!(
            matches!(wrong, Err(CodecError::WrongType { .. })),
            "{format:?}"
        );
        let two = vec![
            node("/3/0/9", Value::Integer(1)),
            node("/3/0/10", Value::Integer(1)),
        ];
        let single = matches!(
            format,
            ContentFormat::Cbor | ContentFormat::Text | ContentFormat::Opaque
        );
        assert_eq!(
            encode(format, path("/3/0"), &two, models()).is_err(),
            single,
            "{format:?}"
        );
    }
    let mut early = float(1.0);
    early[0].time = at_second(1000);
    assert!(encode(ContentFormat::SenmlJson, path("/3303/0"), &early, models()).is_err());
    assert!(encode(ContentFormat::Json, Path::ROOT, &float(1.0), models()).is_err());
    assert_eq!(
        written(
            ContentFormat::Text,
            "/3303/0/5700",
            &[node("/3303/0/5700", Value::Integer(21))]
        ),
        b"21",
        "an integer is a float too"
    );
}
