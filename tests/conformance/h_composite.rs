//! H. The composite operations (OMA-TS-LightweightM2M Core 6.3.8, 6.3.9, 6.4.4).

use rstest::rstest;
use serde_json::{Value as Json, json};

use super::bench::{
    Asked, Live, Transport, bytes, confirmed, history, latest, nothing_was_sent, operate, senml,
    server, shown, values, warnings,
};
use crate::support::device::{SENML_CBOR, SENML_JSON, ScriptedDevice, TEXT};
use crate::support::server::Api;
use flownexus::coap::{Code, MessageType, Options};
use flownexus::domain::Token;

/// Begins a composite observation of these paths, which the device answers with this pack.
async fn observe(api: &Api, device: &mut ScriptedDevice, paths: &[&str], pack: &str) -> Token {
    let body = json!({"kind": "observe_composite", "paths": paths, "format": "senml_json"});
    let mut token = None;
    let ended = operate(api, device, body, |device| {
        let observe = Asked::fetch()
            .observe(0)
            .accept(SENML_JSON)
            .body(SENML_JSON, "")
            .expect_but_for_the_payload(device);
        assert_eq!(named(&observe.payload), sorted(paths));
        device.answer_observe(&observe, 1, SENML_JSON, pack.as_bytes());
        token = Some(observe.token);
    })
    .await;
    confirmed(&ended, "2.05");
    token.expect("a token")
}

fn sorted(paths: &[&str]) -> Vec<String> {
    let mut paths: Vec<String> = paths.iter().map(|path| (*path).to_owned()).collect();
    paths.sort();
    paths
}

/// The paths that a pack in SenML-JSON names, without any value.
fn named(payload: &[u8]) -> Vec<String> {
    let said = senml(SENML_JSON, payload);
    assert!(
        said.iter().all(|(_, value)| value == &json!({})),
        "{said:?}"
    );
    said.into_iter().map(|(name, _)| name).collect()
}

async fn events(api: &Api, device: &ScriptedDevice) -> Vec<Json> {
    let listed = api
        .read(&format!("/api/v1/events?endpoint={}", device.name()))
        .await;
    listed["items"].as_array().expect("items").clone()
}

#[rstest]
#[case::udp(Transport::Udp)]
#[case::dtls(Transport::Dtls)]
#[tokio::test]
async fn h01_a_read_composite_reads_every_level_at_once(#[case] over: Transport) {
    let server = server().await;
    let api = server.api();
    let mut device = over.registered(&server, "h01");
    // Resources of several objects, in SenML-JSON.
    let body = json!({
        "kind": "read_composite", "paths": ["/3/0/0", "/1/0/1"], "format": "senml_json",
    });
    let ended = operate(&api, &mut device, body, |device| {
        let read = Asked::fetch()
            .accept(SENML_JSON)
            .body(SENML_JSON, "")
            .expect_but_for_the_payload(device);
        assert_eq!(named(&read.payload), ["/1/0/1", "/3/0/0"]);
        let answer = br#"[{"n":"/3/0/0","vs":"Zephyr"},{"n":"/1/0/1","v":300}]"#;
        device.answer_content(&read, SENML_JSON, answer);
    })
    .await;
    confirmed(&ended, "2.05");
    assert_eq!(
        values(&ended),
        json!([["/1/0/1", "INTEGER", 300], ["/3/0/0", "STRING", "Zephyr"]])
    );
    // A resource instance, a resource, an instance and an object, in SenML-CBOR, byte for byte.
    let body = json!({
        "kind": "read_composite", "paths": ["/3/0/7/1", "/3/0/9", "/1/0", "/16"],
        "format": "senml_cbor",
    });
    let ended = operate(&api, &mut device, body, |device| {
        let read = Asked::fetch()
            .accept(SENML_CBOR)
            .body(SENML_CBOR, "")
            .expect_but_for_the_payload(device);
        let named: Vec<String> = senml(SENML_CBOR, &read.payload)
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        assert_eq!(named, ["/1/0", "/16", "/3/0/7/1", "/3/0/9"]);
        // [{-2: "/3/0/", 0: "7/1", 2: 5000}, {0: "9", 2: 80}, {-2: "/1/0/", 0: "1", 2: 300}]
        let answer = bytes(
            "83 A3 21 65 2F332F302F 00 63 372F31 02 191388 A2 00 61 39 02 1850 \
                A3 21 65 2F312F302F 00 61 31 02 19012C",
        );
        device.answer_content(&read, SENML_CBOR, &answer);
    })
    .await;
    confirmed(&ended, "2.05");
    assert_eq!(
        values(&ended),
        json!([
            ["/1/0/1", "INTEGER", 300],
            ["/3/0/7/1", "INTEGER", 5000],
            ["/3/0/9", "INTEGER", 80],
        ]),
        "what the device does not have is missing"
    );
}

#[rstest]
#[case::udp(Transport::Udp)]
#[case::dtls(Transport::Dtls)]
#[tokio::test]
async fn h01_a_read_composite_of_the_root_reads_all(#[case] over: Transport) {
    let server = server().await;
    let api = server.api();
    let mut device = over.registered(&server, "h01-root");
    let body = json!({"kind": "read_composite", "paths": ["/"], "format": "senml_json"});
    let ended = operate(&api, &mut device, body, |device| {
        let read = Asked::fetch()
            .accept(SENML_JSON)
            .body(SENML_JSON, "")
            .expect_but_for_the_payload(device);
        assert_eq!(named(&read.payload), ["/"]);
        let answer = br#"[{"n":"/3/0/0","vs":"Zephyr"},{"n":"/1/0/1","v":300}]"#;
        device.answer_content(&read, SENML_JSON, answer);
    })
    .await;
    confirmed(&ended, "2.05");
    assert_eq!(
        values(&ended),
        json!([["/1/0/1", "INTEGER", 300], ["/3/0/0", "STRING", "Zephyr"]])
    );
}

#[rstest]
#[case::udp(Transport::Udp)]
#[case::dtls(Transport::Dtls)]
#[tokio::test]
async fn h02_a_write_composite_writes_resources_and_instances_of_them(#[case] over: Transport) {
    let server = server().await;
    let api = server.api();
    let mut device = over.registered(&server, "h02");
    for (format, code) in [("senml_json", SENML_JSON), ("senml_cbor", SENML_CBOR)] {
        for (given, said) in [
            (
                json!({"/1/0/1": 300, "/3/0/14": "+01:00"}),
                vec![
                    ("/1/0/1", json!({"v": 300})),
                    ("/3/0/14", json!({"vs": "+01:00"})),
                ],
            ),
            (
                json!({"/1/0/1": 300, "/3442/0/1110/4": "new"}),
                vec![
                    ("/1/0/1", json!({"v": 300})),
                    ("/3442/0/1110/4", json!({"vs": "new"})),
                ],
            ),
            // All instances of a resource, which makes those that are not there yet.
            (
                json!({"/3442/0/1110": {"0": "a", "1": "b"}}),
                vec![
                    ("/3442/0/1110/0", json!({"vs": "a"})),
                    ("/3442/0/1110/1", json!({"vs": "b"})),
                ],
            ),
        ] {
            let body = json!({"kind": "write_composite", "values": given, "format": format});
            let ended = operate(&api, &mut device, body, |device| {
                let write = Asked::ipatch()
                    .body(code, "")
                    .expect_but_for_the_payload(device);
                let got = senml(code, &write.payload);
                let got: Vec<(&str, Json)> = got
                    .iter()
                    .map(|(name, value)| (name.as_str(), value.clone()))
                    .collect();
                assert_eq!(got, said, "{format}");
                device.answer(&write, Code::CHANGED, Options::new(), b"");
            })
            .await;
            confirmed(&ended, "2.04");
        }
    }
}

#[rstest]
#[case::udp(Transport::Udp)]
#[case::dtls(Transport::Dtls)]
#[tokio::test]
async fn h03_an_observe_composite_may_be_of_any_levels_and_its_notifications_of_all_of_them(
    #[case] over: Transport,
) {
    let server = server().await;
    let api = server.api();
    for (id, paths) in [
        ("h03-resource", &["/3/0/9"][..]),
        ("h03-resources", &["/3/0/9", "/1/0/1"]),
        ("h03-instance", &["/3/0", "/1/0/1"]),
        ("h03-object", &["/3", "/1"]),
        ("h03-root", &["/"]),
    ] {
        let mut device = over.registered(&server, id);
        let both = paths.len() > 1 || paths[0] == "/";
        let pack = |battery: u8, lifetime: u8| {
            let second = format!(r#",{{"n":"/1/0/1","v":{lifetime}}}"#);
            let second = if both { second.as_str() } else { "" };
            format!(r#"[{{"n":"/3/0/9","v":{battery}}}{second}]"#)
        };
        let token = observe(&api, &mut device, paths, &pack(80, 60)).await;
        device.notify(token, 2, SENML_JSON, pack(79, 61).as_bytes());
        let battery = latest(&api, &device, "/3/0/9").await;
        assert_eq!(battery[0][2], 79, "{id}: {battery:?}");
        if both {
            let lifetime = latest(&api, &device, "/1/0/1").await;
            assert_eq!(lifetime[0][2], 61, "{id}: {lifetime:?}");
        }
        let endpoint = shown(&api, &device).await;
        let observation = &endpoint["observations"][0];
        assert_eq!(
            (&observation["kind"], &observation["state"]),
            (&json!("observe_composite"), &json!("active")),
            "{id}"
        );
    }
}

/// The device decides when to notify; what counts here is that nothing else happens to the rest.
#[rstest]
#[case::udp(Transport::Udp)]
#[case::dtls(Transport::Dtls)]
#[tokio::test]
async fn h04_what_a_notification_does_not_name_stays_as_it_was(#[case] over: Transport) {
    let server = server().await;
    let api = server.api();
    let mut device = over.registered(&server, "h04");
    let body = json!({"kind": "read", "path": "/1/0/2", "format": "text"});
    let ended = operate(&api, &mut device, body, |device| {
        let read = Asked::get("/1/0/2").accept(TEXT).expect(device);
        device.answer_content(&read, TEXT, b"5");
    })
    .await;
    confirmed(&ended, "2.05");
    let paths = ["/3/0/9", "/1/0/1"];
    let pack = r#"[{"n":"/3/0/9","v":80},{"n":"/1/0/1","v":60}]"#;
    let token = observe(&api, &mut device, &paths, pack).await;
    let untouched = [
        latest(&api, &device, "/1/0/1").await,
        latest(&api, &device, "/1/0/2").await,
    ];
    let before = events(&api, &device).await.len();
    device.notify(token, 2, SENML_JSON, br#"[{"n":"/3/0/9","v":79}]"#);
    assert_eq!(events(&api, &device).await.len(), before + 1);
    assert_eq!(latest(&api, &device, "/1/0/1").await, untouched[0]);
    assert_eq!(latest(&api, &device, "/1/0/2").await, untouched[1]);
    nothing_was_sent(&mut device);
}

/// The notification that a write causes may come before the write's answer.
#[rstest]
#[case::udp(Transport::Udp)]
#[case::dtls(Transport::Dtls)]
#[tokio::test]
async fn h05_a_write_composite_and_the_notifications_that_it_causes_do_not_disturb_each_other(
    #[case] over: Transport,
) {
    let server = server().await;
    let api = server.api();
    let mut device = over.registered(&server, "h05");
    let pack = r#"[{"bn":"/3442/0/","n":"120","v":1},{"n":"110","vs":"a"}]"#;
    let token = observe(&api, &mut device, &["/3442/0"], pack).await;
    let body = json!({
        "kind": "write_composite", "values": {"/3442/0/120": 2, "/3442/0/110": "b"},
        "format": "senml_json",
    });
    let ended = operate(&api, &mut device, body, |device| {
        let write = Asked::ipatch()
            .body(SENML_JSON, "")
            .expect_but_for_the_payload(device);
        let pack = br#"[{"bn":"/3442/0/","n":"120","v":2},{"n":"110","vs":"b"}]"#;
        device.notify(token, 2, SENML_JSON, pack);
        device.answer(&write, Code::CHANGED, Options::new(), b"");
    })
    .await;
    confirmed(&ended, "2.04");
    let shown = latest(&api, &device, "/3442/0").await;
    let values: Vec<&Json> = shown.iter().map(|item| &item[2]).collect();
    assert_eq!(values, [&json!("b"), &json!(2)]);
    assert_eq!(events(&api, &device).await.len(), 1, "one notification");
}

#[rstest]
#[case::udp(Transport::Udp)]
#[case::dtls(Transport::Dtls)]
#[tokio::test]
async fn h06_a_composite_observation_is_cancelled_by_a_request(#[case] over: Transport) {
    let server = server().await;
    let api = server.api();
    let mut device = over.registered(&server, "h06");
    let paths = ["/3/0/9", "/1/0/1"];
    let pack = r#"[{"n":"/3/0/9","v":80},{"n":"/1/0/1","v":60}]"#;
    let token = observe(&api, &mut device, &paths, pack).await;
    let body = json!({"kind": "cancel_observe_composite", "paths": paths, "format": "senml_json"});
    let ended = operate(&api, &mut device, body, |device| {
        let cancel = Asked::fetch()
            .observe(1)
            .accept(SENML_JSON)
            .body(SENML_JSON, "")
            .expect_but_for_the_payload(device);
        assert_eq!(cancel.token, token, "RFC 7641 section 3.6");
        assert_eq!(named(&cancel.payload), sorted(&paths));
        device.answer_content(&cancel, SENML_JSON, pack.as_bytes());
    })
    .await;
    confirmed(&ended, "2.05");
    assert_eq!(shown(&api, &device).await["observations"], json!([]));
    let late = device.notification(token, 2, SENML_JSON, pack.as_bytes());
    device.send(&late);
    let answer = device.expect("a reset");
    assert_eq!(
        (answer.kind, answer.message_id),
        (MessageType::Reset, late.message_id)
    );
}

#[rstest]
#[case::udp(Transport::Udp)]
#[case::dtls(Transport::Dtls)]
#[tokio::test]
async fn h06_a_composite_observation_is_cancelled_by_a_reset(#[case] over: Transport) {
    let server = server().await;
    let api = server.api();
    let mut device = over.registered(&server, "h06-passive");
    let paths = ["/3/0/9", "/1/0/1"];
    let pack = r#"[{"n":"/3/0/9","v":80},{"n":"/1/0/1","v":60}]"#;
    let token = observe(&api, &mut device, &paths, pack).await;
    let body = json!({"kind": "cancel_observe_composite", "paths": paths, "passive": true});
    let ended = operate(&api, &mut device, body, nothing_was_sent).await;
    assert_eq!(ended["status"], "CONFIRMED", "{ended}");
    assert_eq!(shown(&api, &device).await["observations"], json!([]));
    let next = device.notification(token, 2, SENML_JSON, pack.as_bytes());
    device.send(&next);
    let answer = device.expect("a reset");
    assert_eq!(
        (answer.kind, answer.message_id),
        (MessageType::Reset, next.message_id)
    );
}

#[rstest]
#[case::udp(Transport::Udp)]
#[case::dtls(Transport::Dtls)]
#[tokio::test]
async fn h07_timestamped_composite_notifications_keep_every_time(#[case] over: Transport) {
    let server = server().await;
    let api = server.api();
    let mut device = over.registered(&server, "h07");
    let paths = ["/3442/0/130", "/1/0", "/16"];
    let pack = r#"[{"n":"/3442/0/130","v":20}]"#;
    let token = observe(&api, &mut device, &paths, pack).await;
    // A resource, an instance and an object, each at a time of its own; of the resource two values,
    // and one record that says "nothing at present".
    let pack = br#"[{"bt":1700000000,"n":"/3442/0/130","v":21.5},
        {"n":"/3442/0/130","t":60,"v":22.5},{"n":"/3442/0/130","t":120},
        {"n":"/1/0/1","t":30,"v":60},{"n":"/16/0/0/3","t":90,"vs":"id"}]"#;
    device.notify(token, 2, SENML_JSON, pack);
    let days = ("2023-11-14T00:00:00Z", "2023-11-16T00:00:00Z");
    assert_eq!(
        history(&api, &device, "/3442/0/130", days).await,
        json!([[1_700_000_000_000_i64, 21.5], [1_700_000_060_000_i64, 22.5]])
    );
    assert_eq!(
        history(&api, &device, "/1/0/1", days).await,
        json!([[1_700_000_030_000_i64, 60.0]])
    );
    // The event has them all, with their times.
    let events = events(&api, &device).await;
    let event = api
        .read(&format!("/api/v1/events/{}", events[0]["id"]))
        .await;
    let text = event["resources"].to_string();
    for said in [
        "2023-11-14T22:13:20.000Z",
        "2023-11-14T22:14:20.000Z",
        "2023-11-14T22:13:50.000Z",
        "2023-11-14T22:14:50.000Z",
    ] {
        assert!(text.contains(said), "{said}: {text}");
    }
    assert_eq!(event["resources"].as_array().map(Vec::len), Some(4));
}

#[rstest]
#[case::udp(Transport::Udp)]
#[case::dtls(Transport::Dtls)]
#[tokio::test]
async fn h07_a_notification_about_what_is_not_observed_is_an_error_event_and_no_data(
    #[case] over: Transport,
) {
    let server = server().await;
    let api = server.api();
    let mut device = over.registered(&server, "h07-path");
    let paths = ["/3442/0/120", "/3442/0/130"];
    let pack = r#"[{"bn":"/3442/0/","n":"120","v":1},{"n":"130","v":2}]"#;
    let token = observe(&api, &mut device, &paths, pack).await;
    let mut live = Live::of(&server, &device).await;
    let pack = br#"[{"bn":"/3442/0/","n":"120","v":7},{"n":"125","v":7}]"#;
    device.notify(token, 2, SENML_JSON, pack);
    let event = live
        .next("event", |event| event["type"] == "bad_notification")
        .await;
    assert!(
        event["reason"].to_string().contains("/3442/0/125"),
        "{event}"
    );
    assert!(
        latest(&api, &device, "/3442")
            .await
            .iter()
            .all(|item| item[2] != 7),
        "nothing of it is data"
    );
    assert_eq!(warnings(&api, &device).await, ["bad_notification"]);
    let listed = events(&api, &device).await;
    assert_eq!(listed[0]["type"], "bad_notification", "{listed:?}");
    // The observation goes on.
    let pack = br#"[{"bn":"/3442/0/","n":"120","v":8},{"n":"130","v":9}]"#;
    device.notify(token, 3, SENML_JSON, pack);
    assert_eq!(latest(&api, &device, "/3442/0/120").await[0][2], 8);
}
