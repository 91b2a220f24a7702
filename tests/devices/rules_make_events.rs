//! Rules from the request that makes them to the event on the live socket.

use std::time::Duration;

use serde_json::{Value as Json, json};

use crate::support::device::{SENML_JSON, ScriptedDevice, TEXT};
use crate::support::server::{SOON, Server, eventually};
use flownexus::coap::Code;

async fn events(server: &Server, endpoint: &str) -> Vec<Json> {
    let events = server
        .api()
        .read(&format!("/api/v1/events?endpoint={endpoint}"))
        .await;
    events["items"].as_array().expect("items").clone()
}

#[tokio::test]
async fn a_threshold_makes_one_event_with_the_values_around_it() {
    let server = Server::start().await;
    let mut device = ScriptedDevice::new("cellar", server.coap());
    device.register_now(3600, "</3303/0>");
    let observe = device.expect_request(Code::GET, "/3303/0/5700");
    device.answer_observe(&observe, 1, TEXT, b"20");
    let send = device.data_push(SENML_JSON, br#"[{"n":"/3303/0/5601","v":12.5}]"#);
    assert_eq!(device.ask(&send).code, Code::CHANGED);

    let rule = json!({
        "name": "too warm", "path": "/3303/*/5700", "filter": {"names": ["cell*"]},
        "condition": {"kind": "threshold", "above": 30, "hysteresis": 2}, "severity": "critical",
    });
    let made = server.api().create("/api/v1/rules", &rule).await;
    for (sequence, value) in [(2, "31.5"), (3, "29"), (4, "33")] {
        device.notify(observe.token, sequence, TEXT, value.as_bytes());
    }
    let found = events(&server, "cellar").await;
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0]["type"], "too warm");
    assert_eq!(found[0]["rule"], "too warm");
    assert_eq!(found[0]["severity"], "critical");
    assert_eq!(found[0]["message"], "/3303/0/5700 is 31.5, above 30");
    let event = server
        .api()
        .read(&format!("/api/v1/events/{}", found[0]["id"]))
        .await;
    let values: Vec<(Json, Json)> = event["resources"]
        .as_array()
        .expect("resources")
        .iter()
        .map(|node| (node["path"].clone(), node["value"].clone()))
        .collect();
    assert_eq!(
        values,
        [
            (json!("/3303/0/5601"), json!(12.5)),
            (json!("/3303/0/5700"), json!(31.5))
        ]
    );

    // It was back, and the rule is gone before the next crossing.
    device.notify(observe.token, 5, TEXT, b"20");
    let path = format!("/api/v1/rules/{}", made["id"]);
    assert_eq!(server.api().delete(&path).await.status(), 204);
    device.notify(observe.token, 6, TEXT, b"40");
    assert_eq!(events(&server, "cellar").await.len(), 1);
}

#[tokio::test]
async fn records_of_one_send_are_judged_in_the_order_of_their_times() {
    let server = Server::start().await;
    let rule = json!({
        "name": "held", "path": "/3303/0/5700",
        "condition": {"kind": "threshold", "above": 30, "for_s": 60},
    });
    server.api().create("/api/v1/rules", &rule).await;
    let mut device = ScriptedDevice::new("logger", server.coap());
    device.register_now(3600, "</1/0>");
    let body = br#"[{"bn":"/3303/0/5700","bt":1700000000,"t":130,"v":35},{"t":0,"v":31},
        {"t":50,"v":32},{"t":60,"v":20},{"t":70,"v":31}]"#;
    let send = device.data_push(SENML_JSON, body);
    assert_eq!(device.ask(&send).code, Code::CHANGED);
    let found = events(&server, "logger").await;
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0]["time"], "2023-11-14T22:15:30.000Z");
    assert_eq!(
        found[0]["message"],
        "/3303/0/5700 is 35, above 30 for 1 min"
    );
}

#[tokio::test]
async fn a_value_that_does_not_come_is_missed_also_after_the_registration_ended() {
    let server = Server::start().await;
    let rule = json!({
        "name": "silence", "path": "/3303/*/5700",
        "condition": {"kind": "absence", "after_s": 3}, "event_type": "gone",
    });
    server.api().create("/api/v1/rules", &rule).await;
    let mut device = ScriptedDevice::new("battery", server.coap());
    device.register_now(1, "</1/0>,</3303/0>");
    let observe = device.expect_request(Code::GET, "/3303/0/5700");
    device.answer_observe(&observe, 1, TEXT, b"20");
    let event = eventually("the value is missed", SOON, || async {
        events(&server, "battery").await.into_iter().next()
    })
    .await;
    assert_eq!(event["type"], "gone");
    assert_eq!(event["message"], "nothing came on /3303/0/5700 for 3 s");
    let endpoint = server.api().endpoint("battery").await.expect("known");
    assert_eq!(endpoint["registered"], false);
    let detail = server
        .api()
        .read(&format!("/api/v1/events/{}", event["id"]))
        .await;
    assert_eq!(
        detail["resources"][0]["value"], 20.0,
        "the last one that came"
    );
}

#[tokio::test]
async fn a_rule_on_absence_is_for_devices_that_are_silent_when_it_is_made() {
    let server = Server::start().await;
    let mut device = ScriptedDevice::new("mute", server.coap());
    device.register_now(3600, "</1/0>,</3303/0>");
    device.expect_request(Code::GET, "/3303/0/5700");
    let rule = json!({
        "name": "silence", "path": "/3303/*/5700",
        "condition": {"kind": "absence", "after_s": 1},
    });
    server.api().create("/api/v1/rules", &rule).await;
    let event = eventually("the value is missed", SOON, || async {
        events(&server, "mute").await.into_iter().next()
    })
    .await;
    assert_eq!(event["message"], "nothing came on /3303/*/5700 for 1 s");
    tokio::time::timeout(Duration::from_secs(20), async {
        let other = json!({"name": "other", "path": "/4", "condition": {"kind": "change"}});
        server.api().create("/api/v1/rules", &other).await;
    })
    .await
    .expect("rules can be made while devices are silent");
    assert_eq!(events(&server, "mute").await.len(), 1, "once for a gap");
}
