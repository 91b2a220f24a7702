//! K. Send (OMA-TS-LightweightM2M Core 6.4.6).

use std::net::{IpAddr, Ipv4Addr};

use rstest::rstest;
use serde_json::json;

use super::bench::{TLV, Transport, bytes, history, latest, server, shown, warnings};
use crate::support::device::{SENML_CBOR, SENML_JSON};
use flownexus::coap::{Code, number};

#[rstest]
#[case::udp(Transport::Udp)]
#[case::dtls(Transport::Dtls)]
#[tokio::test]
async fn k01_a_send_is_taken_in_both_formats(#[case] over: Transport) {
    let server = server().await;
    let api = server.api();
    let mut device = over.registered(&server, "k01");
    let pack = br#"[{"bn":"/3442/0/","n":"120","v":7},{"n":"110","vs":"abc"}]"#;
    let send = device.data_push(SENML_JSON, pack);
    let answer = device.ask(&send);
    assert_eq!(
        (answer.code, answer.payload.as_slice()),
        (Code::CHANGED, &b""[..])
    );
    assert_eq!(latest(&api, &device, "/3442/0/120").await[0][2], 7);
    assert_eq!(latest(&api, &device, "/3442/0/110").await[0][2], "abc");
    // [{-2: "/3442/0/", 0: "120", 2: 8}, {0: "140", 4: true}]
    let pack = bytes("82 A3 21 68 2F333434322F302F 00 63 313230 02 08 A2 00 63 313430 04 F5");
    let send = device.data_push(SENML_CBOR, &pack);
    assert_eq!(device.ask(&send).code, Code::CHANGED);
    assert_eq!(latest(&api, &device, "/3442/0/120").await[0][2], 8);
    assert_eq!(latest(&api, &device, "/3442/0/140").await[0][2], true);
    // A copy of it gets the same answer and is stored once.
    device.ask(&send);
    assert_eq!(warnings(&api, &device).await, [""; 0]);
}

#[rstest]
#[case::udp(Transport::Udp)]
#[case::dtls(Transport::Dtls)]
#[tokio::test]
async fn k02_every_timestamped_record_is_kept(#[case] over: Transport) {
    const DAYS: (&str, &str) = ("2023-11-14T00:00:00Z", "2023-11-16T00:00:00Z");
    let server = server().await;
    let api = server.api();
    let mut device = over.registered(&server, "k02");
    // The example of LwM2M 1.1 appendix: two resources, several times each, times relative to a base.
    let pack = br#"[{"bn":"/3442/0/","bt":1700000000,"n":"130","v":20.5},{"n":"120","v":1},
        {"n":"130","t":60,"v":21.5},{"n":"120","t":60,"v":2},{"n":"130","t":120,"v":22.5}]"#;
    let send = device.data_push(SENML_JSON, pack);
    assert_eq!(device.ask(&send).code, Code::CHANGED);
    assert_eq!(
        history(&api, &device, "/3442/0/130", DAYS).await,
        json!([
            [1_700_000_000_000_i64, 20.5],
            [1_700_000_060_000_i64, 21.5],
            [1_700_000_120_000_i64, 22.5]
        ])
    );
    assert_eq!(
        history(&api, &device, "/3442/0/120", DAYS).await,
        json!([[1_700_000_000_000_i64, 1.0], [1_700_000_060_000_i64, 2.0]])
    );
}

#[rstest]
#[case::udp(Transport::Udp)]
#[case::dtls(Transport::Dtls)]
#[tokio::test]
async fn k03_a_send_that_cannot_be_read_is_refused_and_remembered(#[case] over: Transport) {
    let server = server().await;
    let api = server.api();
    let mut device = over.registered(&server, "k03");
    for (format, payload, code) in [
        (SENML_JSON, &b"[{"[..], Code::BAD_REQUEST),
        (SENML_JSON, b"[]", Code::BAD_REQUEST),
        (SENML_JSON, br#"[{"n":"/1","v":1}]"#, Code::BAD_REQUEST),
        (SENML_JSON, br#"[{"n":"nowhere","v":1}]"#, Code::BAD_REQUEST),
        (SENML_CBOR, b"\xff", Code::BAD_REQUEST),
        (SENML_CBOR, b"\x81\xa1\x00", Code::BAD_REQUEST),
        (TLV, b"\xc1\x01\x01", Code::UNSUPPORTED_CONTENT_FORMAT),
    ] {
        let send = device.data_push(format, payload);
        let answer = device.ask(&send);
        assert_eq!(answer.code, code, "{format}: {}", hex::encode(payload));
        assert!(!answer.payload.is_empty(), "it says why");
    }
    let mut send = device.data_push(SENML_JSON, br#"[{"n":"/1/0/1","v":1}]"#);
    send.options.remove(number::CONTENT_FORMAT);
    assert_eq!(device.ask(&send).code, Code::BAD_REQUEST);
    assert_eq!(latest(&api, &device, "/1").await, [json!(null); 0]);
    let found = warnings(&api, &device).await;
    assert!(found.contains(&"bad_send".to_owned()), "{found:?}");
}

#[rstest]
#[case::udp(Transport::Udp)]
#[case::dtls(Transport::Dtls)]
#[tokio::test]
async fn k04_a_send_of_nobody_is_refused_and_one_of_what_was_not_announced_kept_with_a_warning(
    #[case] over: Transport,
) {
    let server = server().await;
    let api = server.api();
    let mut stranger = over.device(&server, "k04-stranger");
    let send = stranger.data_push(SENML_JSON, br#"[{"n":"/1/0/1","v":1}]"#);
    assert_eq!(stranger.ask(&send).code, Code::BAD_REQUEST);
    let mut device = over.registered(&server, "k04");
    let pack = br#"[{"n":"/3303/0/5700","v":21.5},{"n":"/3442/9/120","v":1}]"#;
    for _ in 0..2 {
        let send = device.data_push(SENML_JSON, pack);
        assert_eq!(device.ask(&send).code, Code::CHANGED);
    }
    assert_eq!(latest(&api, &device, "/3303/0/5700").await[0][2], 21.5);
    assert_eq!(latest(&api, &device, "/3442/9/120").await[0][2], 1);
    let endpoint = shown(&api, &device).await;
    let warnings = endpoint["warnings"].as_array().expect("a list");
    let about = |path: &str| {
        let told = |warning: &&serde_json::Value| {
            warning["code"] == "send_not_announced" && warning.to_string().contains(path)
        };
        warnings.iter().filter(told).count()
    };
    assert_eq!((about("/3303/0"), about("/3442/9")), (1, 1), "{warnings:?}");
}

/// There is one port for plain CoAP; another host stands for another server endpoint here.
#[rstest]
#[case::udp(Transport::Udp)]
#[tokio::test]
async fn k05_a_send_from_elsewhere_is_refused_and_changes_nothing(#[case] over: Transport) {
    let server = server().await;
    let api = server.api();
    let mut device = over.registered(&server, "k05");
    let before = shown(&api, &device).await;
    device.move_to_host(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2)));
    let send = device.data_push(SENML_JSON, br#"[{"n":"/1/0/1","v":1}]"#);
    assert_eq!(device.ask(&send).code, Code::BAD_REQUEST);
    assert_eq!(shown(&api, &device).await, before);
    assert_eq!(latest(&api, &device, "/1").await, [json!(null); 0]);
}
