//! The actor of a device of which nothing is heard ends; nobody notices.

use serde_json::json;

use crate::support::device::{ScriptedDevice, TEXT};
use crate::support::server::{SOON, Server, eventually};
use flownexus::coap::Code;
use flownexus::domain::Token;

/// A server whose actors rest after a second.
async fn server() -> Server {
    Server::setup().setting("endpoint.idle_s", 1).start().await
}

/// Registers a thermometer and answers what the default templates ask of it; the observed token.
fn register_thermometer(device: &mut ScriptedDevice, lifetime_s: u32) -> Token {
    device.register_now(lifetime_s, "</3303/0>");
    let observe = device.expect_request(Code::GET, "/3303/0/5700");
    device.answer_observe(&observe, 1, TEXT, b"20.0");
    observe.token
}

async fn all_rest(server: &Server) {
    eventually("the actors rest", SOON, async || {
        (server.metric("flownexus_actors").await < 0.5).then_some(())
    })
    .await;
}

#[tokio::test]
async fn its_update_its_notification_and_its_leaving_reach_it() {
    let server = server().await;
    let mut device = ScriptedDevice::new("dormouse", server.coap());
    let token = register_thermometer(&mut device, 3600);
    all_rest(&server).await;
    assert!(server.metric("flownexus_registrations").await > 0.5);

    let update = device.update();
    assert_eq!(device.ask(&update).code, Code::CHANGED);
    all_rest(&server).await;
    device.notify(token, 2, TEXT, b"21.5");
    all_rest(&server).await;
    let leave = device.deregister();
    assert_eq!(device.ask(&leave).code, Code::DELETED);

    let found = server.api().endpoint("dormouse").await.expect("known");
    assert_eq!(found["registered"], false);
    let values = server
        .api()
        .read("/api/v1/endpoints/dormouse/resources")
        .await;
    assert!(values.to_string().contains("21.5"), "{values}");
    assert!(server.metric("flownexus_actor_restarts_total").await < 0.5);
}

#[tokio::test]
async fn it_is_asked_for_something() {
    let server = server().await;
    let mut device = ScriptedDevice::new("dormouse", server.coap());
    register_thermometer(&mut device, 3600);
    all_rest(&server).await;
    let read = json!({"kind": "read", "path": "/3303/0/5700"});
    let operation = server.api().operate("dormouse", &read).await;
    let request = device.expect_request(Code::GET, "/3303/0/5700");
    device.answer_content(&request, TEXT, b"22.0");
    let operation = server.api().ended(&operation).await;
    assert_eq!(operation["status"], "CONFIRMED", "{operation}");
}

#[tokio::test]
async fn its_registration_ends_in_time() {
    let server = server().await;
    let mut device = ScriptedDevice::new("mayfly", server.coap());
    register_thermometer(&mut device, 4);
    all_rest(&server).await;
    eventually("the end of its lifetime", SOON, async || {
        let found = server.api().endpoint("mayfly").await?;
        (found["registered"] == false).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_template_and_a_rule_of_later_reach_it() {
    let server = server().await;
    let mut device = ScriptedDevice::new("dormouse", server.coap());
    register_thermometer(&mut device, 3600);
    all_rest(&server).await;
    let template = json!({"kind": "observe", "path": "/3303/0/5701"});
    server
        .api()
        .create("/api/v1/observation-templates", &template)
        .await;
    let observe = device.expect_request(Code::GET, "/3303/0/5701");
    assert_eq!(observe.options.observe(), Some(0));
    device.answer_observe(&observe, 1, TEXT, b"C");
    all_rest(&server).await;
    let rule = json!({
        "name": "silence", "path": "/3303/*/5700",
        "condition": {"kind": "absence", "after_s": 2},
    });
    server.api().create("/api/v1/rules", &rule).await;
    eventually("an event of what does not come", SOON, async || {
        let events = server.api().read("/api/v1/events?endpoint=dormouse").await;
        let items = events["items"].as_array().expect("items");
        items
            .iter()
            .any(|event| event["rule"] == "silence")
            .then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_waits_for_a_sleeper_goes_out_when_it_wakes() {
    let server = Server::setup()
        .setting("endpoint.idle_s", 1)
        .setting("queue_mode.awake_s", 1)
        .setting("queue_mode.least_awake_s", 1)
        .start()
        .await;
    let mut device = ScriptedDevice::new("sleeper", server.coap());
    let query = ["ep=sleeper", "lwm2m=1.1", "lt=3600", "Q"].map(str::to_owned);
    let register = device.register_with(&query, "</3/0>");
    let answer = device.ask(&register);
    assert_eq!(answer.code, Code::CREATED);
    device.take_location(&answer);
    let read = device.expect_request(Code::GET, "/3");
    device.answer_content(&read, TEXT, b"x");
    all_rest(&server).await;
    let read = json!({"kind": "read", "path": "/3/0/1"});
    let operation = server.api().operate("sleeper", &read).await;
    assert_eq!(operation["status"], "QUEUED");
    all_rest(&server).await;
    let update = device.update();
    assert_eq!(device.ask(&update).code, Code::CHANGED);
    let request = device.expect_request(Code::GET, "/3/0/1");
    device.answer_content(&request, TEXT, b"T800");
    let operation = server.api().ended(&operation).await;
    assert_eq!(operation["status"], "CONFIRMED", "{operation}");
}

#[tokio::test]
async fn a_hundred_that_wake_at_once_are_all_served() {
    let server = server().await;
    let mut devices: Vec<ScriptedDevice> = (0..100)
        .map(|number| ScriptedDevice::new(&format!("hive-{number}"), server.coap()))
        .collect();
    for device in &mut devices {
        device.register_now(3600, "</1/0>");
    }
    all_rest(&server).await;
    let updates: Vec<_> = devices
        .iter_mut()
        .map(|device| {
            let update = device.update();
            device.send(&update);
            update
        })
        .collect();
    for (device, update) in devices.iter_mut().zip(updates) {
        let answer = device.expect("an answer");
        assert_eq!(answer.message_id, update.message_id);
        assert_eq!(answer.code, Code::CHANGED);
    }
}

/// Far from being idle by `endpoint.idle_s`.
#[tokio::test]
async fn some_rest_early_when_there_are_too_many() {
    let server = Server::setup()
        .setting("endpoint.max_active", 4)
        .start()
        .await;
    let mut devices: Vec<_> = (0..40)
        .map(|number| ScriptedDevice::new(&format!("sheep-{number}"), server.coap()))
        .collect();
    let tokens: Vec<_> = devices
        .iter_mut()
        .map(|device| register_thermometer(device, 3600))
        .collect();
    // Each Update of a device that rests starts an actor, for which others make room.
    for device in &mut devices {
        let update = device.update();
        assert_eq!(device.ask(&update).code, Code::CHANGED);
    }
    eventually("few are left", SOON, async || {
        (server.metric("flownexus_actors").await < 20.0).then_some(())
    })
    .await;
    for (number, (device, token)) in devices.iter_mut().zip(tokens).enumerate() {
        device.notify(token, 2, TEXT, b"21.5");
        let path = format!("/api/v1/endpoints/sheep-{number}/resources");
        let values = server.api().read(&path).await;
        assert!(values.to_string().contains("21.5"), "{values}");
    }
    assert!(server.metric("flownexus_actor_restarts_total").await < 0.5);
}
