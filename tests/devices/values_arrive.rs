//! Values that devices send: templates, notifications, Send, events.

use serde_json::json;

use crate::support::device::{SENML_JSON, ScriptedDevice, TEXT};
use crate::support::server::Server;
use flownexus::coap::{Code, Options};

#[tokio::test]
async fn the_default_templates_read_the_device_and_observe_what_it_has() {
    let server = Server::start().await;
    let mut device = ScriptedDevice::new("templates", server.coap());
    device.register_now(3600, "</3/0>,</3303/0>,</5/0>,</10300/0>");
    let read = device.expect_request(Code::GET, "/3");
    device.answer(&read, Code::NOT_FOUND, Options::new(), b"");
    for path in ["/3303/0/5700", "/5/0/3", "/5/0/5"] {
        let observe = device.expect_request(Code::GET, path);
        assert_eq!(observe.options.observe(), Some(0), "{path}");
        device.answer_observe(&observe, 1, TEXT, b"1");
    }
    let composite = device.expect_request(Code::FETCH, "/");
    assert_eq!(composite.options.observe(), Some(0));
    device.answer_observe(&composite, 1, SENML_JSON, br#"[{"n":"/10300/0/0","v":1}]"#);
    device.expect_silence(std::time::Duration::from_millis(300));
}

#[tokio::test]
async fn a_composite_notification_becomes_an_event_with_its_resources() {
    let server = Server::start().await;
    let mut device = ScriptedDevice::new("event", server.coap());
    device.register_now(3600, "</10300/0>");
    let observe = device.expect_request(Code::FETCH, "/");
    device.answer_observe(&observe, 1, SENML_JSON, br#"[{"n":"/10300/0/0","v":1}]"#);
    let body = br#"[{"bn":"/10300/0/","n":"0","v":7},{"n":"1","v":21.5}]"#;
    device.notify(observe.token, 2, SENML_JSON, body);
    let events = server.api().read("/api/v1/events?endpoint=event").await;
    let items = events["items"].as_array().expect("items");
    assert_eq!(items.len(), 1, "{events}");
    let event = server
        .api()
        .read(&format!("/api/v1/events/{}", items[0]["id"]))
        .await;
    let text = event.to_string();
    assert!(
        text.contains("/10300/0/0") && text.contains("/10300/0/1"),
        "{event}"
    );
}

#[tokio::test]
async fn k1_k2_a_send_stores_every_record_at_its_own_time() {
    let server = Server::start().await;
    let mut device = ScriptedDevice::new("send", server.coap());
    device.register_now(3600, "</1/0>,</3303/0>");
    let observe = device.expect_request(Code::GET, "/3303/0/5700");
    device.answer(&observe, Code::NOT_FOUND, Options::new(), b"");
    let body =
        br#"[{"bn":"/3303/0/5700","bt":1700000000,"v":20.5},{"t":60,"v":21.5},{"t":120,"v":22.5}]"#;
    let send = device.data_push(SENML_JSON, body);
    assert_eq!(device.ask(&send).code, Code::CHANGED);
    let from = "2023-11-14T00:00:00Z";
    let history = server
        .api()
        .read(&format!(
            "/api/v1/endpoints/send/history?path=/3303/0/5700&from={from}&to=2023-11-16T00:00:00Z"
        ))
        .await;
    assert_eq!(
        history["points"],
        json!([
            [1_700_000_000_000_i64, 20.5],
            [1_700_000_060_000_i64, 21.5],
            [1_700_000_120_000_i64, 22.5]
        ])
    );
}

#[tokio::test]
async fn k3_k4_a_send_that_makes_no_sense_or_comes_from_nobody_is_refused() {
    let server = Server::start().await;
    let mut stranger = ScriptedDevice::new("stranger", server.coap());
    let send = stranger.data_push(SENML_JSON, br#"[{"n":"/3303/0/5700","v":1}]"#);
    assert_eq!(stranger.ask(&send).code, Code::BAD_REQUEST);
    let mut device = ScriptedDevice::new("garbled", server.coap());
    device.register_now(3600, "</1/0>");
    let send = device.data_push(SENML_JSON, b"[{");
    assert_eq!(device.ask(&send).code, Code::BAD_REQUEST);
}

#[tokio::test]
async fn instances_of_a_resource_are_stored_one_by_one() {
    let server = Server::start().await;
    let mut device = ScriptedDevice::new("multi", server.coap());
    device.register_now(3600, "</1/0>");
    let operation = server
        .api()
        .operate("multi", &json!({"kind": "read", "path": "/3/0/7"}))
        .await;
    let read = device.expect_request(Code::GET, "/3/0/7");
    device.answer_content(
        &read,
        SENML_JSON,
        br#"[{"bn":"/3/0/7/","n":"0","v":3800},{"n":"1","v":5000}]"#,
    );
    assert_eq!(server.api().ended(&operation).await["status"], "CONFIRMED");
    let latest = server.api().read("/api/v1/endpoints/multi/resources").await;
    let text = latest.to_string();
    assert!(
        text.contains("/3/0/7/0") && text.contains("/3/0/7/1"),
        "{latest}"
    );
}
