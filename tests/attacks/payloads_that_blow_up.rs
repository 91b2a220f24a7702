//! Attacks 19 and 20: payloads that are larger, deeper or further away than anything sensible.

use std::time::Instant;

use serde_json::{Value as Json, json};

use super::{Siege, quickly, request};
use crate::support::device::{SENML_CBOR, SENML_JSON, ScriptedDevice, TEXT};
use flownexus::coap::{Code, Options, number};

const TLV: u16 = 11_542;
const OLD_JSON: u16 = 11_543;

/// Sends a body in blocks of 1 KiB; the code of the last answer.
fn push(device: &mut ScriptedDevice, format: u16, body: &[u8]) -> Code {
    let format = format.to_be_bytes();
    let format: &[u8] = if format[0] == 0 {
        &format[1..]
    } else {
        &format
    };
    let send = |device: &mut ScriptedDevice, payload: &[u8]| {
        let options = [(number::CONTENT_FORMAT, format)];
        request(device, Code::POST, "/dp", &options, payload)
    };
    if body.len() <= 1024 {
        let whole = send(device, body);
        return device.ask(&whole).code;
    }
    let last = body.len().div_ceil(1024) - 1;
    for (number, part) in body.chunks(1024).enumerate() {
        let mut send = send(device, part);
        let more = u32::from(number < last);
        let value = (u32::try_from(number).expect("few") << 4) | (more << 3) | 6;
        send.options.add_uint(number::BLOCK1, value);
        let code = device.ask(&send).code;
        if number == last || code != Code::CONTINUE {
            return code;
        }
    }
    unreachable!("a body has a last block")
}

#[tokio::test]
async fn attack_19_sends_that_blow_up_are_refused_at_once() {
    let siege = Siege::begin(|setup| setup).await;
    let mut device = siege.device("bombs");
    device.register_now(300, "</1/0>");
    let nested = |open: &[u8], depth: usize| open.repeat(depth);
    let records = |count: usize| {
        let mut body = b"[".to_vec();
        for _ in 0..count {
            body.extend(b"{\"n\":\"/1/0/1\"},");
        }
        body.pop();
        body.push(b']');
        body
    };
    let mut long_name = b"[{\"n\":\"/1/0/".to_vec();
    long_name.extend(b"1".repeat(500));
    long_name.extend(b"\",\"v\":1}]");
    let began = Instant::now();
    for (what, format, body) in [
        ("10^6 arrays in JSON", SENML_JSON, nested(b"[", 100_000)),
        ("10^5 maps in JSON", SENML_JSON, nested(b"{\"a\":", 30_000)),
        (
            "a base time without end",
            SENML_JSON,
            b"[{\"n\":\"/1/0/1\",\"bt\":1e308,\"t\":1e308,\"v\":1}]".to_vec(),
        ),
        (
            "a time that is no number",
            SENML_JSON,
            b"[{\"n\":\"/1/0/1\",\"t\":NaN,\"v\":1}]".to_vec(),
        ),
        (
            "a value without end",
            SENML_JSON,
            b"[{\"n\":\"/1/0/1\",\"v\":1e999}]".to_vec(),
        ),
        (
            "a field twice",
            SENML_JSON,
            b"[{\"n\":\"/1/0/1\",\"v\":1,\"v\":2}]".to_vec(),
        ),
        ("a path of 500 digits", SENML_JSON, long_name),
        ("more records than are read", SENML_JSON, records(10_001)),
        (
            "something behind the end",
            SENML_JSON,
            b"[{\"n\":\"/1/0/1\",\"v\":1}] x".to_vec(),
        ),
        (
            "arrays without end in CBOR",
            SENML_CBOR,
            nested(&[0x9f], 100_000),
        ),
        (
            "arrays within arrays in CBOR",
            SENML_CBOR,
            nested(&[0x81], 100_000),
        ),
        (
            "tags within tags in CBOR",
            SENML_CBOR,
            nested(&[0xc1], 100_000),
        ),
        (
            "an array of 2^64 in CBOR",
            SENML_CBOR,
            b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff".to_vec(),
        ),
        (
            "a text of 2^64 in CBOR",
            SENML_CBOR,
            b"\x81\xa1\x00\x7b\xff\xff\xff\xff\xff\xff\xff\xff".to_vec(),
        ),
        (
            "bytes of 2^63 in CBOR",
            SENML_CBOR,
            b"\x81\xa1\x08\x5b\x7f\xff\xff\xff\xff\xff\xff\xff".to_vec(),
        ),
        (
            "a text in pieces without end",
            SENML_CBOR,
            nested(&[0x81, 0xa1, 0x00, 0x7f], 1),
        ),
        (
            "a time that is infinite",
            SENML_CBOR,
            b"\x81\xa3\x00\x66/1/0/1\x06\xf9\x7c\x00\x02\x01".to_vec(),
        ),
        (
            "something behind the end",
            SENML_CBOR,
            b"\x81\xa2\x00\x66/1/0/1\x02\x01\x00".to_vec(),
        ),
    ] {
        assert_eq!(
            push(&mut device, format, &body),
            Code::BAD_REQUEST,
            "{what}"
        );
    }
    quickly(began, "all of them");
    // As many as are read, and a good one, still work.
    let good = b"[{\"n\":\"/1/0/1\",\"v\":1}]";
    assert_eq!(push(&mut device, SENML_JSON, good), Code::CHANGED);
    siege.ends_well().await;
}

/// A read answered with this; the operation's end.
async fn read(
    siege: &Siege,
    device: &mut ScriptedDevice,
    path: &str,
    format: u16,
    body: &[u8],
) -> Json {
    let api = siege.server.api();
    let operation = api
        .operate(device.name(), &json!({"kind": "read", "path": path}))
        .await;
    let request = device.expect_request(Code::GET, path);
    let mut options = Options::new();
    options.add_uint(number::CONTENT_FORMAT, u32::from(format));
    device.answer(&request, Code::CONTENT, options, body);
    api.ended(&operation).await
}

#[tokio::test]
async fn attack_19_answers_that_lie_about_their_length_and_shape_fail_the_operation() {
    let siege = Siege::begin(|setup| setup).await;
    let mut device = siege.device("shapes");
    device.register_now(300, "</1/0>");
    // Object instances within object instances, 100 deep.
    let mut deep = Vec::new();
    for _ in 0..100 {
        let length = u16::try_from(deep.len()).expect("small");
        let mut outer = vec![0x10, 0x00];
        outer.extend(length.to_be_bytes());
        outer.extend(&deep);
        deep = outer;
    }
    for (what, path, format, body) in [
        ("nested 100 deep", "/1", TLV, deep.as_slice()),
        ("longer than there is", "/1/0", TLV, b"\xc8\x01\xff\x00"),
        (
            "16 MB that are not there",
            "/1/0",
            TLV,
            b"\xd8\x01\xff\xff\xff\x00",
        ),
        (
            "longer than its parent",
            "/1",
            TLV,
            b"\x08\x00\x03\xc8\x01\x64",
        ),
        (
            "a resource instance in an instance",
            "/1",
            TLV,
            b"\x08\x00\x03\x41\x00\x01",
        ),
        ("cut off in its head", "/1/0", TLV, b"\xe8\x01"),
        ("id 65535", "/1/0", TLV, b"\xe1\xff\xff\x01"),
        (
            "a field twice",
            "/1/0",
            OLD_JSON,
            br#"{"bn":"/1/0/","e":[],"e":[]}"#,
        ),
        (
            "several values of one record",
            "/1/0",
            OLD_JSON,
            br#"{"e":[{"n":"1","v":1,"sv":"x"}]}"#,
        ),
    ] {
        let ended = read(&siege, &mut device, path, format, body).await;
        assert_eq!(ended["status"], "FAILED", "{what}: {ended}");
        assert_eq!(ended["attempts"], 1, "{what}: {ended}");
        assert!(ended["error"].is_string(), "{what}: {ended}");
    }
    // Zero bytes are a value of a type that allows it, and kept as they came otherwise.
    let ended = read(&siege, &mut device, "/1/0/7", TLV, b"\xc0\x07").await;
    assert_eq!(ended["result"]["nodes"][0]["value"], "", "{ended}");
    let ended = read(&siege, &mut device, "/1/0/1", TLV, b"\xc0\x01").await;
    assert_eq!(ended["result"]["nodes"][0]["type"], "OPAQUE", "{ended}");
    siege.ends_well().await;
}

#[tokio::test]
async fn attack_20_numbers_and_times_at_the_edges_are_kept_exactly_or_as_they_came() {
    let siege = Siege::begin(|setup| setup).await;
    let mut device = siege.device("edges");
    device.register_now(300, "</1/0>");
    for (path, text, kind, value) in [
        // What no 64 bits hold is no number: kept as the text that it was.
        ("/3442/0/130", "1e999", "STRING", json!("1e999")),
        ("/3442/0/130", "NaN", "STRING", json!("NaN")),
        ("/3442/0/130", "-0", "FLOAT", json!(-0.0)),
        ("/3442/0/130", "1e-320", "FLOAT", json!(1e-320)),
        ("/3442/0/120", "-0", "INTEGER", json!(0)),
        (
            "/3442/0/120",
            "9223372036854775807",
            "INTEGER",
            json!("9223372036854775807"),
        ),
        (
            "/3442/0/120",
            "9223372036854775808",
            "STRING",
            json!("9223372036854775808"),
        ),
        (
            "/3442/0/120",
            "-9223372036854775808",
            "INTEGER",
            json!("-9223372036854775808"),
        ),
        ("/3442/0/120", "0x10", "STRING", json!("0x10")),
        (
            "/3442/0/125",
            "18446744073709551615",
            "UNSIGNED_INTEGER",
            json!("18446744073709551615"),
        ),
        ("/3442/0/125", "-1", "STRING", json!("-1")),
        ("/3442/0/140", "2", "STRING", json!("2")),
        (
            "/3442/0/160",
            "-1",
            "TIME",
            json!("1969-12-31T23:59:59.000Z"),
        ),
        (
            "/3442/0/160",
            "-62167219200",
            "TIME",
            json!("0000-01-01T00:00:00.000Z"),
        ),
        ("/3442/0/170", "65535:65535", "OBJLNK", json!("65535:65535")),
        ("/3442/0/170", "65536:0", "STRING", json!("65536:0")),
    ] {
        let ended = read(&siege, &mut device, path, TEXT, text.as_bytes()).await;
        let node = &ended["result"]["nodes"][0];
        assert_eq!(
            (&node["type"], &node["value"]),
            (&json!(kind), &value),
            "{path} {text}: {ended}"
        );
    }
    // A timestamp in the year 0, and one that is none.
    let pack = br#"[{"n":"/3442/0/120","t":-62167219200,"v":1}]"#;
    assert_eq!(push(&mut device, SENML_JSON, pack), Code::CHANGED);
    let pack = br#"[{"n":"/3442/0/120","t":1e17,"v":1}]"#;
    assert_eq!(push(&mut device, SENML_JSON, pack), Code::BAD_REQUEST);
    siege.ends_well().await;
}
