//! I. Observe and Notify (OMA-TS-LightweightM2M Core 6.4, RFC 7641).

use std::net::{IpAddr, Ipv4Addr};

use rstest::rstest;
use serde_json::{Value as Json, json};

use super::bench::{
    Asked, Live, TLV, Transport, bytes, confirmed, history, latest, nothing_was_sent, operate,
    server, shown, values, warnings,
};
use crate::support::device::{SENML_CBOR, SENML_JSON, ScriptedDevice, TEXT};
use crate::support::server::Api;
use flownexus::coap::{Code, Message, MessageType, Options};
use flownexus::domain::Token;

/// Begins an observation in this format; its token and the operation.
async fn observe(
    api: &Api,
    device: &mut ScriptedDevice,
    path: &str,
    (name, format): (&str, u16),
    payload: &[u8],
) -> (Token, Json) {
    let body = json!({"kind": "observe", "path": path, "format": name});
    let mut token = None;
    let ended = operate(api, device, body, |device| {
        let observe = Asked::get(path).observe(0).accept(format).expect(device);
        device.answer_observe(&observe, 1, format, payload);
        token = Some(observe.token);
    })
    .await;
    confirmed(&ended, "2.05");
    (token.expect("a token"), ended)
}

#[track_caller]
fn expect_reset(device: &mut ScriptedDevice, of: &Message) {
    let answer = device.expect("a reset");
    assert_eq!(
        (answer.kind, answer.message_id),
        (MessageType::Reset, of.message_id),
        "{answer:?}"
    );
}

async fn observed(api: &Api, device: &ScriptedDevice) -> Json {
    let endpoint = shown(api, device).await;
    let observations = endpoint["observations"].as_array().expect("a list");
    Json::Array(
        observations
            .iter()
            // What is lost is wanted still, but not observed.
            .filter(|one| one["state"] == "active")
            .map(|one| one["paths"].clone())
            .collect(),
    )
}

#[rstest]
#[case::udp(Transport::Udp)]
#[case::dtls(Transport::Dtls)]
#[tokio::test]
async fn i01_every_level_is_observed_and_its_notifications_are_read(#[case] over: Transport) {
    let server = server().await;
    let api = server.api();
    let mut device = over.registered(&server, "i01");
    // A resource, in text, confirmable and not.
    let (token, ended) = observe(&api, &mut device, "/1/0/1", ("text", TEXT), b"60").await;
    assert_eq!(values(&ended), json!([["/1/0/1", "INTEGER", 60]]));
    device.notify(token, 2, TEXT, b"61");
    assert_eq!(latest(&api, &device, "/1/0/1").await[0][2], 61);
    let mut notification = device.notification(token, 3, TEXT, b"62");
    notification.kind = MessageType::NonConfirmable;
    device.send(&notification);
    nothing_was_sent(&mut device);
    assert_eq!(latest(&api, &device, "/1/0/1").await[0][2], 62);
    // A resource instance, in CBOR.
    let format = ("cbor", super::bench::CBOR);
    let (token, ended) = observe(&api, &mut device, "/3/0/7/1", format, &bytes("19 1388")).await;
    assert_eq!(values(&ended), json!([["/3/0/7/1", "INTEGER", 5000]]));
    device.notify(token, 2, format.1, &bytes("19 1389"));
    assert_eq!(latest(&api, &device, "/3/0/7/1").await[0][2], 5001);
    // A resource with instances, in SenML-CBOR: [{-2: "/3/0/7/", 0: "0", 2: 3800}, {0: "1", 2: 5000}]
    let format = ("senml_cbor", SENML_CBOR);
    let pack = bytes("82 A3 21 67 2F332F302F372F 00 61 30 02 190ED8 A2 00 61 31 02 191388");
    let (_, ended) = observe(&api, &mut device, "/3/0/7", format, &pack).await;
    let wanted = json!([["/3/0/7/0", "INTEGER", 3800], ["/3/0/7/1", "INTEGER", 5000]]);
    assert_eq!(values(&ended), wanted);
    // An instance, in TLV.
    let format = ("tlv", TLV);
    let (token, ended) = observe(&api, &mut device, "/1/0", format, &bytes("C1 01 3C")).await;
    assert_eq!(values(&ended), json!([["/1/0/1", "INTEGER", 60]]));
    device.notify(token, 2, TLV, &bytes("C1 01 3D C1 06 01"));
    assert_eq!(latest(&api, &device, "/1/0/6").await[0][2], true);
    // An object, in TLV: its instances around what they hold.
    let format = ("tlv", TLV);
    let payload = bytes("08 00 03 C1 01 3C 08 05 03 C1 01 3D");
    let (token, ended) = observe(&api, &mut device, "/1", format, &payload).await;
    let wanted = json!([["/1/0/1", "INTEGER", 60], ["/1/5/1", "INTEGER", 61]]);
    assert_eq!(values(&ended), wanted);
    device.notify(token, 2, TLV, &bytes("08 05 03 C1 01 3E"));
    assert_eq!(latest(&api, &device, "/1/5/1").await[0][2], 62);
    let paths = json!([["/1/0/1"], ["/3/0/7/1"], ["/3/0/7"], ["/1/0"], ["/1"]]);
    let mut shown: Vec<String> = Vec::new();
    for one in observed(&api, &device).await.as_array().expect("a list") {
        shown.push(one.to_string());
    }
    for path in paths.as_array().expect("a list") {
        assert!(shown.contains(&path.to_string()), "{path} in {shown:?}");
    }
}

#[rstest]
#[case::udp(Transport::Udp)]
#[case::dtls(Transport::Dtls)]
#[tokio::test]
async fn i02_an_observation_is_cancelled_by_a_request_with_its_token(#[case] over: Transport) {
    let server = server().await;
    let api = server.api();
    let mut device = over.registered(&server, "i02");
    for path in ["/1/0/1", "/3/0/7/1"] {
        let (token, _) = observe(&api, &mut device, path, ("text", TEXT), b"60").await;
        let body = json!({"kind": "cancel_observe", "path": path, "format": "text"});
        let ended = operate(&api, &mut device, body, |device| {
            let cancel = Asked::get(path).observe(1).accept(TEXT).expect(device);
            assert_eq!(cancel.token, token);
            device.answer_content(&cancel, TEXT, b"61");
        })
        .await;
        confirmed(&ended, "2.05");
        assert_eq!(values(&ended)[0][2], 61, "the answer has a value too");
        assert_eq!(observed(&api, &device).await, json!([]));
        let late = device.notification(token, 2, TEXT, b"62");
        device.send(&late);
        expect_reset(&mut device, &late);
    }
    // There is nothing to cancel any more: nothing is sent.
    let body = json!({"kind": "cancel_observe", "path": "/1/0/1"});
    let ended = operate(&api, &mut device, body, nothing_was_sent).await;
    super::bench::failed(&ended, &["not observed"]);
}

#[rstest]
#[case::udp(Transport::Udp)]
#[case::dtls(Transport::Dtls)]
#[tokio::test]
async fn i02_an_observation_is_cancelled_by_a_reset_of_its_next_notification(
    #[case] over: Transport,
) {
    let server = server().await;
    let api = server.api();
    let mut device = over.registered(&server, "i02-passive");
    for path in ["/1/0/1", "/3/0/7/1"] {
        let (token, _) = observe(&api, &mut device, path, ("text", TEXT), b"60").await;
        let body = json!({"kind": "cancel_observe", "path": path, "passive": true});
        let ended = operate(&api, &mut device, body, nothing_was_sent).await;
        assert_eq!(ended["status"], "CONFIRMED", "{ended}");
        assert_eq!(observed(&api, &device).await, json!([]));
        let next = device.notification(token, 2, TEXT, b"61");
        device.send(&next);
        expect_reset(&mut device, &next);
        assert_eq!(
            latest(&api, &device, path).await[0][2],
            60,
            "it is not stored"
        );
    }
}

#[rstest]
#[case::udp(Transport::Udp)]
#[case::dtls(Transport::Dtls)]
#[tokio::test]
async fn i03_what_is_observed_goes_away_and_the_observation_ends_with_a_message(
    #[case] over: Transport,
) {
    let server = server().await;
    let api = server.api();
    let mut device = over.registered(&server, "i03");
    let mut live = Live::of(&server, &device).await;
    for (path, format, payload) in [
        ("/3/0/7/1", ("text", TEXT), &b"5"[..]),
        (
            "/1/0",
            ("senml_json", SENML_JSON),
            br#"[{"n":"/1/0/1","v":1}]"#,
        ),
        ("/16", ("senml_json", SENML_JSON), b"[]"),
    ] {
        let (token, _) = observe(&api, &mut device, path, format, payload).await;
        let mut gone = device.notification(token, 2, TEXT, b"");
        gone.code = Code::NOT_FOUND;
        gone.options = Options::new();
        device.send(&gone);
        device.expect_acknowledgement(&gone);
        let event = live
            .next("event", |event| event["type"] == "observation_lost")
            .await;
        assert_eq!(event["paths"], json!([path]));
        assert!(event["reason"].to_string().contains("4.04"), "{event}");
        assert_eq!(observed(&api, &device).await, json!([]));
    }
}

#[rstest]
#[case::udp(Transport::Udp)]
#[case::dtls(Transport::Dtls)]
#[tokio::test]
async fn i04_a_notification_in_an_unknown_format_is_an_error_event_and_no_data(
    #[case] over: Transport,
) {
    let server = server().await;
    let api = server.api();
    let mut device = over.registered(&server, "i04");
    let (token, _) = observe(&api, &mut device, "/1/0/1", ("text", TEXT), b"60").await;
    let mut live = Live::of(&server, &device).await;
    // Acknowledged, so that the device does not repeat what would be no better.
    device.notify(token, 2, 65_000, b"61");
    let event = live
        .next("event", |event| event["type"] == "bad_notification")
        .await;
    assert_eq!(event["paths"], json!(["/1/0/1"]));
    assert!(event["reason"].to_string().contains("65000"), "{event}");
    assert_eq!(warnings(&api, &device).await, ["bad_notification"]);
    assert_eq!(latest(&api, &device, "/1/0/1").await[0][2], 60);
    // The observation goes on.
    device.notify(token, 3, TEXT, b"62");
    assert_eq!(latest(&api, &device, "/1/0/1").await[0][2], 62);
}

#[rstest]
#[case::udp(Transport::Udp)]
#[case::dtls(Transport::Dtls)]
#[tokio::test]
async fn i05_timestamped_notifications_make_a_history_in_order(#[case] over: Transport) {
    const DAYS: (&str, &str) = ("2023-11-14T00:00:00Z", "2023-11-16T00:00:00Z");
    let server = server().await;
    let api = server.api();
    let mut device = over.registered(&server, "i05");
    let format = ("senml_json", SENML_JSON);
    // A resource; the records come newest first, as devices that buffer send them.
    let pack = br#"[{"n":"/3442/0/130","v":20}]"#;
    let (token, _) = observe(&api, &mut device, "/3442/0/130", format, pack).await;
    let pack = br#"[{"bn":"/3442/0/130","bt":1700000120,"v":22.5},{"t":-60,"v":21.5},
        {"t":-120,"v":20.5}]"#;
    device.notify(token, 2, SENML_JSON, pack);
    let points = history(&api, &device, "/3442/0/130", DAYS).await;
    assert_eq!(
        points,
        json!([
            [1_700_000_000_000_i64, 20.5],
            [1_700_000_060_000_i64, 21.5],
            [1_700_000_120_000_i64, 22.5]
        ])
    );
    // An instance, of one resource nothing at present.
    let pack = br#"[{"n":"/1/0/1","v":60}]"#;
    let (token, _) = observe(&api, &mut device, "/1/0", format, pack).await;
    let pack = br#"[{"bn":"/1/0/","bt":1700000000,"n":"1","v":61},{"n":"2"},
        {"n":"1","t":60,"v":62}]"#;
    device.notify(token, 2, SENML_JSON, pack);
    assert_eq!(
        history(&api, &device, "/1/0/1", DAYS).await,
        json!([[1_700_000_000_000_i64, 61.0], [1_700_000_060_000_i64, 62.0]])
    );
    assert_eq!(latest(&api, &device, "/1/0/2").await, [json!(null); 0]);
    // An object.
    let pack = br#"[{"n":"/16/0/0/0","vs":"a"}]"#;
    let (token, _) = observe(&api, &mut device, "/16", format, pack).await;
    let pack =
        br#"[{"bn":"/16/","bt":1700000000,"n":"0/0/0","vs":"b"},{"n":"1/0/0","t":1,"vs":"c"}]"#;
    device.notify(token, 2, SENML_JSON, pack);
    let shown = latest(&api, &device, "/16/1").await;
    assert_eq!(
        shown,
        [json!([
            "/16/1/0/0",
            "STRING",
            "c",
            "2023-11-14T22:13:21.000Z"
        ])]
    );
}

/// There is one port for plain CoAP; another host stands for another server endpoint here.
#[rstest]
#[case::udp(Transport::Udp)]
#[tokio::test]
async fn i06_a_notification_from_elsewhere_is_ignored(#[case] over: Transport) {
    let server = server().await;
    let api = server.api();
    let mut device = over.registered(&server, "i06");
    let (token, _) = observe(&api, &mut device, "/1/0/1", ("text", TEXT), b"60").await;
    let address = device.address().to_string();
    device.move_to_host(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2)));
    let forged = device.notification(token, 2, TEXT, b"666");
    device.send(&forged);
    // Neither acknowledged nor reset: an Update from there is the next thing that is answered.
    let update = device.update();
    device.send(&update);
    let answer = device.expect("an answer to the Update");
    assert_eq!(
        (answer.message_id, answer.code),
        (update.message_id, Code::NOT_FOUND)
    );
    let endpoint = shown(&api, &device).await;
    assert_eq!(endpoint["address"], address);
    assert_eq!(latest(&api, &device, "/1/0/1").await[0][2], 60);
    assert_eq!(observed(&api, &device).await, json!([["/1/0/1"]]));
}
