//! E. Read (OMA-TS-LightweightM2M Core 6.3.1), in every format.

use rstest::rstest;
use serde_json::{Value as Json, json};

use super::bench::{
    Asked, CBOR, OLD_JSON, OPAQUE, TLV, Transport, bytes, confirmed, latest, operate, read_as,
    refused, server, values,
};
use crate::support::device::{SENML_CBOR, SENML_JSON, TEXT};
use flownexus::coap::{Code, Options};

/// The Device object of OMA-TS-LightweightM2M 1.0.2, 6.4.3.1, in TLV.
const DEVICE_TLV: &str = "
    C8 00 14 4F70656E204D6F62696C6520416C6C69616E6365
    C8 01 16 4C69676874776569676874204D324D20436C69656E74
    C8 02 09 333435303030313233
    C3 03 312E30
    86 06 41 00 01 41 01 05
    88 07 08 42 00 0ED8 42 01 1388
    87 08 41 00 7D 42 01 0384
    C1 09 64
    C1 0A 0F
    83 0B 41 00 00
    C4 0D 5182428F
    C6 0E 2B30323A3030
    C1 10 55";

/// The same in the JSON of LwM2M 1.0, 6.4.4.
const DEVICE_OLD_JSON: &str = r#"{"bn":"/3/0/","e":[
    {"n":"0","sv":"Open Mobile Alliance"},{"n":"1","sv":"Lightweight M2M Client"},
    {"n":"2","sv":"345000123"},{"n":"3","sv":"1.0"},{"n":"6/0","v":1},{"n":"6/1","v":5},
    {"n":"7/0","v":3800},{"n":"7/1","v":5000},{"n":"8/0","v":125},{"n":"8/1","v":900},
    {"n":"9","v":100},{"n":"10","v":15},{"n":"11/0","v":0},{"n":"13","v":1367491215},
    {"n":"14","sv":"+02:00"},{"n":"16","sv":"U"}]}"#;

/// The same in SenML-JSON, Core 1.1, 7.4.4.
const DEVICE_SENML_JSON: &str = r#"[{"bn":"/3/0/","n":"0","vs":"Open Mobile Alliance"},
    {"n":"1","vs":"Lightweight M2M Client"},{"n":"2","vs":"345000123"},{"n":"3","vs":"1.0"},
    {"n":"6/0","v":1},{"n":"6/1","v":5},{"n":"7/0","v":3800},{"n":"7/1","v":5000},
    {"n":"8/0","v":125},{"n":"8/1","v":900},{"n":"9","v":100},{"n":"10","v":15},
    {"n":"11/0","v":0},{"n":"13","v":1367491215},{"n":"14","vs":"+02:00"},{"n":"16","vs":"U"}]"#;

/// The same in SenML-CBOR, Core 1.1, 7.4.5.
const DEVICE_SENML_CBOR: &str = "90
    A3 21 65 2F332F302F 00 61 30 03 74 4F70656E204D6F62696C6520416C6C69616E6365
    A2 00 61 31 03 76 4C69676874776569676874204D324D20436C69656E74
    A2 00 61 32 03 69 333435303030313233
    A2 00 61 33 03 63 312E30
    A2 00 63 362F30 02 01
    A2 00 63 362F31 02 05
    A2 00 63 372F30 02 190ED8
    A2 00 63 372F31 02 191388
    A2 00 63 382F30 02 187D
    A2 00 63 382F31 02 190384
    A2 00 61 39 02 1864
    A2 00 62 3130 02 0F
    A2 00 64 31312F30 02 00
    A2 00 62 3133 02 1A5182428F
    A2 00 62 3134 03 66 2B30323A3030
    A2 00 62 3136 03 61 55";

/// What the four say, as the API shows it.
fn device_object() -> Json {
    json!([
        ["/3/0/0", "STRING", "Open Mobile Alliance"],
        ["/3/0/1", "STRING", "Lightweight M2M Client"],
        ["/3/0/2", "STRING", "345000123"],
        ["/3/0/3", "STRING", "1.0"],
        ["/3/0/6/0", "INTEGER", 1],
        ["/3/0/6/1", "INTEGER", 5],
        ["/3/0/7/0", "INTEGER", 3800],
        ["/3/0/7/1", "INTEGER", 5000],
        ["/3/0/8/0", "INTEGER", 125],
        ["/3/0/8/1", "INTEGER", 900],
        ["/3/0/9", "INTEGER", 100],
        ["/3/0/10", "INTEGER", 15],
        ["/3/0/11/0", "INTEGER", 0],
        ["/3/0/13", "TIME", "2013-05-02T10:40:15.000Z"],
        ["/3/0/14", "STRING", "+02:00"],
        ["/3/0/16", "STRING", "U"],
    ])
}

#[rstest]
#[case::udp(Transport::Udp)]
#[case::dtls(Transport::Dtls)]
#[tokio::test]
async fn e01_a_resource_is_read_in_every_format(#[case] over: Transport) {
    let server = server().await;
    let api = server.api();
    let mut device = over.registered(&server, "e01");
    // /1/0/1 is 86400, an integer; each payload by hand.
    let payloads: [(&str, u16, Vec<u8>); 6] = [
        ("text", TEXT, b"86400".to_vec()),
        ("tlv", TLV, bytes("C4 01 00015180")),
        ("cbor", CBOR, bytes("1A 00015180")),
        (
            "json",
            OLD_JSON,
            br#"{"bn":"/1/0/1","e":[{"v":86400}]}"#.to_vec(),
        ),
        (
            "senml_json",
            SENML_JSON,
            br#"[{"bn":"/1/0/1","v":86400}]"#.to_vec(),
        ),
        (
            "senml_cbor",
            SENML_CBOR,
            bytes("81 A2 21 66 2F312F302F31 02 1A 00015180"),
        ),
    ];
    for (name, format, payload) in payloads {
        let read = read_as(&api, &mut device, "/1/0/1", (name, format), &payload).await;
        assert_eq!(read, json!([["/1/0/1", "INTEGER", 86_400]]), "{name}");
    }
    let stored = latest(&api, &device, "/1/0/1").await;
    assert_eq!(
        (&stored[0][1], &stored[0][2]),
        (&json!("INTEGER"), &json!(86_400))
    );
    // Without a wish the server asks for the best that the device announced.
    let body = json!({"kind": "read", "path": "/1/0/1"});
    let ended = operate(&api, &mut device, body, |device| {
        let read = Asked::get("/1/0/1").accept(SENML_CBOR).expect(device);
        let answer = bytes("81 A2 21 66 2F312F302F31 02 1A 00015180");
        device.answer_content(&read, SENML_CBOR, &answer);
    })
    .await;
    confirmed(&ended, "2.05");
}

/// A resource of the test object, the format and its number, the payload, and what the API shows.
type TypedCase = (&'static str, (&'static str, u16), Vec<u8>, Json);

/// One value of each type in each format that shows or assumes it.
#[rstest]
#[case::udp(Transport::Udp)]
#[case::dtls(Transport::Dtls)]
#[tokio::test]
async fn e01_every_type_comes_out_as_itself(#[case] over: Transport) {
    let server = server().await;
    let api = server.api();
    let mut device = over.registered(&server, "e01-types");
    let cases: [TypedCase; 30] = [
        ("110", ("text", TEXT), "grüezi".into(), json!("grüezi")),
        ("110", ("tlv", TLV), bytes("C3 6E 616263"), json!("abc")),
        ("110", ("cbor", CBOR), bytes("63 616263"), json!("abc")),
        (
            "120",
            ("text", TEXT),
            b"-2147483649".to_vec(),
            json!(-2_147_483_649_i64),
        ),
        ("120", ("tlv", TLV), bytes("C2 78 FF38"), json!(-200)),
        ("120", ("cbor", CBOR), bytes("38 C7"), json!(-200)),
        (
            "125",
            ("text", TEXT),
            b"18446744073709551615".to_vec(),
            json!("18446744073709551615"),
        ),
        (
            "125",
            ("tlv", TLV),
            bytes("C8 7D 08 FFFFFFFFFFFFFFFF"),
            json!("18446744073709551615"),
        ),
        (
            "125",
            ("cbor", CBOR),
            bytes("1B FFFFFFFFFFFFFFFF"),
            json!("18446744073709551615"),
        ),
        ("130", ("text", TEXT), b"-1.5e-3".to_vec(), json!(-0.0015)),
        (
            "130",
            ("tlv", TLV),
            bytes("C8 82 08 3FF8000000000000"),
            json!(1.5),
        ),
        ("130", ("tlv", TLV), bytes("C4 82 41AC0000"), json!(21.5)),
        ("130", ("cbor", CBOR), bytes("F9 4D60"), json!(21.5)),
        ("130", ("cbor", CBOR), bytes("FA 41AC0000"), json!(21.5)),
        (
            "130",
            ("cbor", CBOR),
            bytes("FB 4035800000000000"),
            json!(21.5),
        ),
        ("140", ("text", TEXT), b"1".to_vec(), json!(true)),
        ("140", ("tlv", TLV), bytes("C1 8C 00"), json!(false)),
        ("140", ("cbor", CBOR), bytes("F5"), json!(true)),
        ("150", ("text", TEXT), b"AAH/".to_vec(), json!("AAH/")),
        ("150", ("tlv", TLV), bytes("C3 96 0001FF"), json!("AAH/")),
        ("150", ("cbor", CBOR), bytes("43 0001FF"), json!("AAH/")),
        ("150", ("opaque", OPAQUE), bytes("0001FF"), json!("AAH/")),
        (
            "160",
            ("text", TEXT),
            b"1700000000".to_vec(),
            json!("2023-11-14T22:13:20.000Z"),
        ),
        (
            "160",
            ("tlv", TLV),
            bytes("C4 A0 6553F100"),
            json!("2023-11-14T22:13:20.000Z"),
        ),
        // Tag 1: seconds since 1970.
        (
            "160",
            ("cbor", CBOR),
            bytes("C1 1A 6553F100"),
            json!("2023-11-14T22:13:20.000Z"),
        ),
        ("170", ("text", TEXT), b"3442:0".to_vec(), json!("3442:0")),
        (
            "170",
            ("tlv", TLV),
            bytes("C4 AA 0D720000"),
            json!("3442:0"),
        ),
        (
            "170",
            ("cbor", CBOR),
            bytes("66 333434323A30"),
            json!("3442:0"),
        ),
        (
            "180",
            ("text", TEXT),
            b"</3442/0>".to_vec(),
            json!("</3442/0>"),
        ),
        (
            "180",
            ("tlv", TLV),
            bytes("C8 B4 09 3C2F333434322F303E"),
            json!("</3442/0>"),
        ),
    ];
    let types = json!({
        "110": "STRING", "120": "INTEGER", "125": "UNSIGNED_INTEGER", "130": "FLOAT",
        "140": "BOOLEAN", "150": "OPAQUE", "160": "TIME", "170": "OBJLNK", "180": "CORELINK",
    });
    for (resource, format, payload, value) in cases {
        let path = format!("/3442/0/{resource}");
        let read = read_as(&api, &mut device, &path, format, &payload).await;
        assert_eq!(
            read,
            json!([[path, types[resource], value]]),
            "{resource} in {format:?}"
        );
    }
    // What SenML has a label of its own for.
    let pack = r#"[{"bn":"/3442/0/","n":"110","vs":"abc"},{"n":"120","v":-200},
        {"n":"130","v":21.5},{"n":"140","vb":true},{"n":"150","vd":"AAH_"},
        {"n":"160","v":1700000000},{"n":"170","vlo":"3442:0"},{"n":"180","vs":"</3442/0>"}]"#;
    // The same with the labels of RFC 8428 table 4; vlo is a text label of LwM2M.
    let binary = bytes(
        "88 A3 21 68 2F333434322F302F 00 63 313130 03 63 616263
            A2 00 63 313230 02 38C7
            A2 00 63 313330 02 F94D60
            A2 00 63 313430 04 F5
            A2 00 63 313530 08 43 0001FF
            A2 00 63 313630 02 1A6553F100
            A2 00 63 313730 63 766C6F 66 333434323A30
            A2 00 63 313830 03 69 3C2F333434322F303E",
    );
    let wanted = json!([
        ["/3442/0/110", "STRING", "abc"],
        ["/3442/0/120", "INTEGER", -200],
        ["/3442/0/130", "FLOAT", 21.5],
        ["/3442/0/140", "BOOLEAN", true],
        ["/3442/0/150", "OPAQUE", "AAH/"],
        ["/3442/0/160", "TIME", "2023-11-14T22:13:20.000Z"],
        ["/3442/0/170", "OBJLNK", "3442:0"],
        ["/3442/0/180", "CORELINK", "</3442/0>"],
    ]);
    let format = ("senml_json", SENML_JSON);
    let read = read_as(&api, &mut device, "/3442/0", format, pack.as_bytes()).await;
    assert_eq!(read, wanted);
    let format = ("senml_cbor", SENML_CBOR);
    let read = read_as(&api, &mut device, "/3442/0", format, &binary).await;
    assert_eq!(read, wanted);
}

#[rstest]
#[case::udp(Transport::Udp)]
#[case::dtls(Transport::Dtls)]
#[tokio::test]
async fn e02_one_instance_of_a_resource_is_read(#[case] over: Transport) {
    let server = server().await;
    let api = server.api();
    let mut device = over.registered(&server, "e02");
    let payloads: [(&str, u16, Vec<u8>); 5] = [
        ("text", TEXT, b"5000".to_vec()),
        ("tlv", TLV, bytes("42 01 1388")),
        ("cbor", CBOR, bytes("19 1388")),
        (
            "senml_json",
            SENML_JSON,
            br#"[{"bn":"/3/0/7/1","v":5000}]"#.to_vec(),
        ),
        (
            "senml_cbor",
            SENML_CBOR,
            bytes("81 A2 00 68 2F332F302F372F31 02 19 1388"),
        ),
    ];
    for (name, format, payload) in payloads {
        let read = read_as(&api, &mut device, "/3/0/7/1", (name, format), &payload).await;
        assert_eq!(read, json!([["/3/0/7/1", "INTEGER", 5000]]), "{name}");
    }
    // Whether a resource has instances is known to the device: it refuses.
    let body = json!({"kind": "read", "path": "/3/0/0/0"});
    let ended = operate(&api, &mut device, body, |device| {
        let read = Asked::get("/3/0/0/0").accept(SENML_CBOR).expect(device);
        device.answer(&read, Code::NOT_FOUND, Options::new(), b"");
    })
    .await;
    refused(&ended, "4.04");
}

#[rstest]
#[case::udp(Transport::Udp)]
#[case::dtls(Transport::Dtls)]
#[tokio::test]
async fn e03_objects_and_instances_are_read_in_every_format(#[case] over: Transport) {
    let server = server().await;
    let api = server.api();
    let mut device = over.registered(&server, "e03");
    let payloads = [
        ("tlv", TLV, bytes(DEVICE_TLV)),
        ("json", OLD_JSON, DEVICE_OLD_JSON.into()),
        ("senml_json", SENML_JSON, DEVICE_SENML_JSON.into()),
        ("senml_cbor", SENML_CBOR, bytes(DEVICE_SENML_CBOR)),
    ];
    let mut wanted = device_object();
    // The API sorts by number: 9 before 10.
    for (name, format, payload) in &payloads {
        let read = read_as(&api, &mut device, "/3/0", (name, *format), payload).await;
        assert_eq!(read, wanted, "{name}");
    }
    // The object around it: in TLV the instance is an entry of its own.
    let mut object = bytes("08 00 79");
    object.extend(bytes(DEVICE_TLV));
    let read = read_as(&api, &mut device, "/3", ("tlv", TLV), &object).await;
    assert_eq!(read, wanted);
    let names = DEVICE_SENML_JSON
        .replace("/3/0/", "/3/")
        .replace("\"n\":\"", "\"n\":\"0/");
    let format = ("senml_json", SENML_JSON);
    let read = read_as(&api, &mut device, "/3", format, names.as_bytes()).await;
    assert_eq!(read, wanted);
    // Two instances.
    let two = bytes("08 00 03 C1 00 01 08 02 03 C1 00 02");
    let read = read_as(&api, &mut device, "/1", ("tlv", TLV), &two).await;
    wanted = json!([["/1/0/0", "INTEGER", 1], ["/1/2/0", "INTEGER", 2]]);
    assert_eq!(read, wanted);
    // An empty object.
    for (name, format, payload) in [
        ("tlv", TLV, &b""[..]),
        ("senml_json", SENML_JSON, b"[]"),
        ("senml_cbor", SENML_CBOR, b"\x80"),
        ("json", OLD_JSON, br#"{"bn":"/16","e":[]}"#),
    ] {
        let read = read_as(&api, &mut device, "/16", (name, format), payload).await;
        assert_eq!(read, json!([]), "{name}");
    }
}

#[rstest]
#[case::udp(Transport::Udp)]
#[case::dtls(Transport::Dtls)]
#[tokio::test]
async fn e04_an_empty_opaque_value_is_a_value_of_no_bytes(#[case] over: Transport) {
    let server = server().await;
    let api = server.api();
    let mut device = over.registered(&server, "e04");
    for (name, format, payload) in [
        ("opaque", OPAQUE, Vec::new()),
        ("tlv", TLV, bytes("C0 96")),
        ("cbor", CBOR, bytes("40")),
        (
            "json",
            OLD_JSON,
            br#"{"bn":"/3442/0/150","e":[{"sv":""}]}"#.to_vec(),
        ),
        (
            "senml_json",
            SENML_JSON,
            br#"[{"bn":"/3442/0/150","vd":""}]"#.to_vec(),
        ),
        (
            "senml_cbor",
            SENML_CBOR,
            bytes("81 A2 21 6B 2F333434322F302F313530 08 40"),
        ),
    ] {
        let read = read_as(&api, &mut device, "/3442/0/150", (name, format), &payload).await;
        assert_eq!(read, json!([["/3442/0/150", "OPAQUE", ""]]), "{name}");
    }
}

#[rstest]
#[case::udp(Transport::Udp)]
#[case::dtls(Transport::Dtls)]
#[tokio::test]
async fn e05_the_device_s_refusal_is_the_result(#[case] over: Transport) {
    let server = server().await;
    let api = server.api();
    let mut device = over.registered(&server, "e05");
    for (path, code, shown) in [
        ("/1/0/8", Code::METHOD_NOT_ALLOWED, "4.05"),
        ("/4000", Code::NOT_FOUND, "4.04"),
        ("/1/9", Code::NOT_FOUND, "4.04"),
        ("/1/0/9999", Code::NOT_FOUND, "4.04"),
        ("/0/0", Code::NOT_FOUND, "4.04"),
        ("/0", Code::UNAUTHORIZED, "4.01"),
    ] {
        let body = json!({"kind": "read", "path": path});
        let ended = operate(&api, &mut device, body, |device| {
            let read = Asked::get(path).accept(SENML_CBOR).expect(device);
            device.answer(&read, code, Options::new(), b"not for you");
        })
        .await;
        refused(&ended, shown);
        let error = ended["error"].as_str().expect("an error");
        assert!(error.contains("not for you"), "{error}");
        assert_eq!(values(&ended), json!([]));
    }
}
