//! F. Write (OMA-TS-LightweightM2M Core 6.3.3): every type in every format, byte for byte.

use rstest::rstest;
use serde_json::{Value as Json, json};

use super::bench::{
    Asked, CBOR, OLD_JSON, OPAQUE, TLV, Transport, bytes, confirmed, nothing_was_sent, operate,
    refused, senml, server,
};
use crate::support::device::{SENML_CBOR, SENML_JSON, ScriptedDevice, TEXT};
use crate::support::server::Api;
use flownexus::coap::{Code, Options};

/// Writes and returns the payload that came; the request's other parts are expected as they must be.
async fn written(api: &Api, device: &mut ScriptedDevice, body: Json, asked: Asked) -> Vec<u8> {
    let mut payload = Vec::new();
    let ended = operate(api, device, body, |device| {
        let write = asked.expect_but_for_the_payload(device);
        device.answer(&write, Code::CHANGED, Options::new(), b"");
        payload = write.payload;
    })
    .await;
    confirmed(&ended, "2.04");
    payload
}

#[rstest]
#[case::udp(Transport::Udp)]
#[case::dtls(Transport::Dtls)]
#[tokio::test]
async fn f01_every_type_is_written_in_every_format(#[case] over: Transport) {
    let server = server().await;
    let api = server.api();
    let mut device = over.registered(&server, "f01");
    let at = |resource: &str| format!("/3442/0/{resource}");
    // Resource, value in JSON, then text, CBOR, TLV, the value in SenML-JSON and in SenML-CBOR (as
    // `senml` shows them).
    let cases: [(&str, Json, &str, &str, &str, Json, Json); 11] = [
        (
            "110",
            json!("abc"),
            "abc",
            "63 616263",
            "C3 6E 616263",
            json!({"vs": "abc"}),
            json!({"vs": "abc"}),
        ),
        (
            "120",
            json!(-200),
            "-200",
            "38 C7",
            "C2 78 FF38",
            json!({"v": -200}),
            json!({"v": -200}),
        ),
        (
            "120",
            json!(1),
            "1",
            "01",
            "C1 78 01",
            json!({"v": 1}),
            json!({"v": 1}),
        ),
        (
            "125",
            json!("18446744073709551615"),
            "18446744073709551615",
            "1B FFFFFFFFFFFFFFFF",
            "C8 7D 08 FFFFFFFFFFFFFFFF",
            json!({"v": u64::MAX}),
            json!({"v": u64::MAX}),
        ),
        (
            "130",
            json!(21.5),
            "21.5",
            "FA 41AC0000",
            "C4 82 41AC0000",
            json!({"v": 21.5}),
            json!({"v": 21.5}),
        ),
        (
            "140",
            json!(true),
            "1",
            "F5",
            "C1 8C 01",
            json!({"vb": true}),
            json!({"vb": true}),
        ),
        (
            "140",
            json!(false),
            "0",
            "F4",
            "C1 8C 00",
            json!({"vb": false}),
            json!({"vb": false}),
        ),
        (
            "150",
            json!("AAH/"),
            "AAH/",
            "43 0001FF",
            "C3 96 0001FF",
            json!({"vd": "AAH_"}),
            json!({"vd": "0001ff"}),
        ),
        (
            "160",
            json!("2023-11-14T22:13:20Z"),
            "1700000000",
            "C1 1A 6553F100",
            "C4 A0 6553F100",
            json!({"v": 1_700_000_000}),
            json!({"v": 1_700_000_000}),
        ),
        (
            "170",
            json!("3442:0"),
            "3442:0",
            "66 333434323A30",
            "C4 AA 0D720000",
            json!({"vlo": "3442:0"}),
            json!({"vlo": "3442:0"}),
        ),
        (
            "180",
            json!("</3442/0>"),
            "</3442/0>",
            "69 3C2F333434322F303E",
            "C8 B4 09 3C2F333434322F303E",
            json!({"vs": "</3442/0>"}),
            json!({"vs": "</3442/0>"}),
        ),
    ];
    for (resource, value, text, cbor, tlv, said, said_binary) in cases {
        let path = at(resource);
        let body =
            |format: &str| json!({"kind": "write", "path": path, "value": value, "format": format});
        let asked = |format: u16| Asked::put(&path).body(format, "");
        let got = written(&api, &mut device, body("text"), asked(TEXT)).await;
        assert_eq!(String::from_utf8_lossy(&got), text, "{resource} as text");
        let got = written(&api, &mut device, body("cbor"), asked(CBOR)).await;
        assert_eq!(
            hex::encode(got),
            hex::encode(bytes(cbor)),
            "{resource} as CBOR"
        );
        let got = written(&api, &mut device, body("tlv"), asked(TLV)).await;
        assert_eq!(
            hex::encode(got),
            hex::encode(bytes(tlv)),
            "{resource} as TLV"
        );
        let got = written(&api, &mut device, body("senml_json"), asked(SENML_JSON)).await;
        assert_eq!(
            senml(110, &got),
            [(path.clone(), said)],
            "{resource} as SenML-JSON"
        );
        let got = written(&api, &mut device, body("senml_cbor"), asked(SENML_CBOR)).await;
        assert_eq!(
            senml(112, &got),
            [(path.clone(), said_binary)],
            "{resource} as SenML-CBOR"
        );
        let got = written(&api, &mut device, body("json"), asked(OLD_JSON)).await;
        let got: Json = serde_json::from_slice(&got).expect("JSON");
        assert_eq!(got["bn"], json!(path), "{resource} as JSON: {got}");
        assert_eq!(got["e"].as_array().map(Vec::len), Some(1), "{got}");
    }
    // Bytes as they are.
    let path = at("150");
    let body = json!({"kind": "write", "path": path, "value": "AAH/", "format": "opaque"});
    let asked = Asked::put(&path).body(OPAQUE, "");
    let got = written(&api, &mut device, body, asked).await;
    assert_eq!(got, [0, 1, 255]);
    // A number that a single float cannot hold goes as a double.
    let path = at("130");
    let body = json!({"kind": "write", "path": path, "value": 0.1, "format": "tlv"});
    let asked = Asked::put(&path).body(TLV, "");
    let got = written(&api, &mut device, body, asked).await;
    assert_eq!(got, bytes("C8 82 08 3FB999999999999A"));
}

#[rstest]
#[case::udp(Transport::Udp)]
#[case::dtls(Transport::Dtls)]
#[tokio::test]
async fn f02_one_instance_of_a_resource_is_written(#[case] over: Transport) {
    let server = server().await;
    let api = server.api();
    let mut device = over.registered(&server, "f02");
    for (path, value, format, code, payload) in [
        (
            "/3442/0/1110/2",
            json!("abc"),
            "text",
            TEXT,
            b"abc".to_vec(),
        ),
        (
            "/3442/0/1110/2",
            json!("abc"),
            "tlv",
            TLV,
            bytes("43 02 616263"),
        ),
        (
            "/3442/0/1110/2",
            json!("abc"),
            "cbor",
            CBOR,
            bytes("63 616263"),
        ),
        (
            "/3442/0/1150/300",
            json!("AAH/"),
            "opaque",
            OPAQUE,
            bytes("0001FF"),
        ),
        (
            "/3442/0/1150/300",
            json!("AAH/"),
            "tlv",
            TLV,
            bytes("63 012C 0001FF"),
        ),
        (
            "/3442/0/1150/300",
            json!("AAH/"),
            "cbor",
            CBOR,
            bytes("43 0001FF"),
        ),
    ] {
        let body = json!({"kind": "write", "path": path, "value": value, "format": format});
        let asked = Asked::put(path).body(code, "");
        let got = written(&api, &mut device, body, asked).await;
        assert_eq!(hex::encode(got), hex::encode(payload), "{path} as {format}");
    }
    let path = "/3442/0/1110/2";
    let body = json!({"kind": "write", "path": path, "value": "abc", "format": "senml_cbor"});
    let asked = Asked::put(path).body(SENML_CBOR, "");
    let got = written(&api, &mut device, body, asked).await;
    assert_eq!(senml(112, &got), [(path.to_owned(), json!({"vs": "abc"}))]);
}

#[rstest]
#[case::udp(Transport::Udp)]
#[case::dtls(Transport::Dtls)]
#[tokio::test]
async fn f03_an_instance_is_replaced_by_put_and_updated_by_post(#[case] over: Transport) {
    let server = server().await;
    let api = server.api();
    let mut device = over.registered(&server, "f03");
    let value = json!({"1": 300, "6": true, "7": "U"});
    // Resources 1, 6 and 7 of the Server object, sorted.
    let tlv = bytes("C2 01 012C C1 06 01 C1 07 55");
    for (kind, code) in [("write", Code::PUT), ("write_update", Code::POST)] {
        let body = json!({"kind": kind, "path": "/1/0", "value": value, "format": "tlv"});
        let asked = Asked::new(code, "/1/0").body(TLV, "");
        let got = written(&api, &mut device, body, asked).await;
        assert_eq!(hex::encode(got), hex::encode(&tlv), "{kind}");
        let body = json!({"kind": kind, "path": "/1/0", "value": value, "format": "senml_json"});
        let asked = Asked::new(code, "/1/0").body(SENML_JSON, "");
        let got = written(&api, &mut device, body, asked).await;
        assert_eq!(
            senml(110, &got),
            [
                ("/1/0/1".to_owned(), json!({"v": 300})),
                ("/1/0/6".to_owned(), json!({"vb": true})),
                ("/1/0/7".to_owned(), json!({"vs": "U"})),
            ],
            "{kind}"
        );
    }
}

#[rstest]
#[case::udp(Transport::Udp)]
#[case::dtls(Transport::Dtls)]
#[tokio::test]
async fn f04_a_resource_with_instances_is_replaced_or_updated(#[case] over: Transport) {
    let server = server().await;
    let api = server.api();
    let mut device = over.registered(&server, "f04");
    let path = "/3442/0/1170";
    let value = json!({"0": "3:0", "1": "3442:1"});
    // Multiple resource 1170 (two bytes of id) of twelve bytes, its two instances within.
    let tlv = bytes("A8 0492 0C 44 00 00030000 44 01 0D720001");
    let body = json!({"kind": "write", "path": path, "value": value, "format": "tlv"});
    let asked = Asked::put(path).body(TLV, "");
    let got = written(&api, &mut device, body, asked).await;
    assert_eq!(hex::encode(got), hex::encode(&tlv));
    let said = [
        (format!("{path}/0"), json!({"vlo": "3:0"})),
        (format!("{path}/1"), json!({"vlo": "3442:1"})),
    ];
    for (format, code) in [("senml_json", SENML_JSON), ("senml_cbor", SENML_CBOR)] {
        let body = json!({"kind": "write", "path": path, "value": value, "format": format});
        let asked = Asked::put(path).body(code, "");
        let got = written(&api, &mut device, body, asked).await;
        assert_eq!(senml(code, &got), said, "{format}");
    }
    // An update goes to the instance around it and names only what changes: POST on a resource is
    // an Execute to many clients.
    let body = json!({"kind": "write_update", "path": path, "value": value, "format": "tlv"});
    let asked = Asked::post("/3442/0").body(TLV, "");
    let got = written(&api, &mut device, body, asked).await;
    assert_eq!(hex::encode(got), hex::encode(&tlv));
    // Within an instance.
    let value = json!({"120": 1, "1120": {"0": 10, "5": 11}});
    let body = json!({"kind": "write", "path": "/3442/0", "value": value, "format": "tlv"});
    let asked = Asked::put("/3442/0").body(TLV, "");
    let got = written(&api, &mut device, body, asked).await;
    let tlv = bytes("C1 78 01 A6 0460 41 00 0A 41 05 0B");
    assert_eq!(hex::encode(got), hex::encode(tlv));
}

/// A resource without any instance can be said in TLV only; it is refused and not overlooked.
#[rstest]
#[case::udp(Transport::Udp)]
#[case::dtls(Transport::Dtls)]
#[tokio::test]
async fn f04_a_resource_without_any_instance_is_refused_with_the_reason(#[case] over: Transport) {
    let server = server().await;
    let api = server.api();
    let mut device = over.registered(&server, "f04-empty");
    let url = format!("/api/v1/endpoints/{}/operations", device.name());
    for (path, value) in [
        ("/3442/0", json!({"120": 1, "1120": {}})),
        ("/3442/0/1120", json!({})),
    ] {
        let body = json!({"kind": "write", "path": path, "value": value, "format": "tlv"});
        let answer = api.post(&url, &body).await;
        assert_eq!(answer.status().as_u16(), 422, "{path}");
        let problem = answer.text().await.expect("a problem");
        assert!(
            problem.contains("/3442/0/1120 has no instance"),
            "{problem}"
        );
    }
    nothing_was_sent(&mut device);
}

#[rstest]
#[case::udp(Transport::Udp)]
#[case::dtls(Transport::Dtls)]
#[tokio::test]
async fn f05_what_does_not_fit_the_model_is_refused_and_nothing_is_sent(#[case] over: Transport) {
    let server = server().await;
    let api = server.api();
    let mut device = over.registered(&server, "f05");
    for (path, value, reason) in [
        ("/1/0/1", json!("soon"), "INTEGER"),
        ("/1/0/1", json!(1.5), "INTEGER"),
        ("/1/0/1", json!("9223372036854775808"), "INTEGER"),
        ("/3442/0/125", json!(-1), "UNSIGNED_INTEGER"),
        ("/3442/0/130", json!(true), "FLOAT"),
        ("/3442/0/140", json!(1), "BOOLEAN"),
        ("/3442/0/150", json!("no base64!"), "OPAQUE"),
        ("/3442/0/160", json!("yesterday"), "TIME"),
        ("/3442/0/170", json!("3442"), "OBJLNK"),
        ("/3442/0/110", json!(["a"]), "STRING"),
        ("/3442/0/1110", json!("one"), "instances"),
        ("/3442/0/110/0", json!("one"), "instances"),
        ("/1/0", json!({"1": "soon"}), "INTEGER"),
    ] {
        let body = json!({"kind": "write", "path": path, "value": value});
        let url = format!("/api/v1/endpoints/{}/operations", device.name());
        let answer = api.post(&url, &body).await;
        assert_eq!(answer.status().as_u16(), 422, "{body}");
        let problem = answer.text().await.expect("a problem");
        assert!(problem.contains(reason), "{body}: {problem}");
    }
    nothing_was_sent(&mut device);
}

#[rstest]
#[case::udp(Transport::Udp)]
#[case::dtls(Transport::Dtls)]
#[tokio::test]
async fn f06_the_device_s_refusal_is_the_result(#[case] over: Transport) {
    let server = server().await;
    let api = server.api();
    let mut device = over.registered(&server, "f06");
    for (kind, path, value, code, shown) in [
        (
            "write",
            "/3/0/0",
            json!("x"),
            Code::METHOD_NOT_ALLOWED,
            "4.05",
        ),
        (
            "write",
            "/0/0/0",
            json!("coap://x"),
            Code::NOT_FOUND,
            "4.04",
        ),
        (
            "write",
            "/0/0/0",
            json!("coap://x"),
            Code::UNAUTHORIZED,
            "4.01",
        ),
        ("write", "/1/0", json!({"1": 60}), Code::BAD_REQUEST, "4.00"),
        (
            "write_update",
            "/1/9",
            json!({"1": 60}),
            Code::NOT_FOUND,
            "4.04",
        ),
    ] {
        let body = json!({"kind": kind, "path": path, "value": value, "format": "tlv"});
        let method = if kind == "write" {
            Code::PUT
        } else {
            Code::POST
        };
        let ended = operate(&api, &mut device, body, |device| {
            let write = Asked::new(method, path)
                .body(TLV, "")
                .expect_but_for_the_payload(device);
            device.answer(&write, code, Options::new(), b"");
        })
        .await;
        refused(&ended, shown);
    }
}
