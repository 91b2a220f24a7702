//! Registrations, observations and the answers to recent requests outlive the process.

use serde_json::json;

use crate::support::device::{ScriptedDevice, TEXT};
use crate::support::server::{SOON, Server, eventually};
use flownexus::coap::Code;

/// Registers a thermometer and answers what the default templates ask of it; the observed token.
fn register_thermometer(device: &mut ScriptedDevice) -> flownexus::domain::Token {
    device.register_now(3600, "</3303/0>");
    let observe = device.expect_request(Code::GET, "/3303/0/5700");
    assert_eq!(observe.options.observe(), Some(0));
    device.answer_observe(&observe, 1, TEXT, b"20.0");
    observe.token
}

#[tokio::test]
async fn a_notification_for_a_token_of_the_time_before_is_acknowledged_and_stored() {
    let mut server = Server::start().await;
    let mut device = ScriptedDevice::new("cellar", server.coap());
    let token = register_thermometer(&mut device);
    device.notify(token, 2, TEXT, b"20.5");
    let before = server.api().endpoint("cellar").await.expect("registered");

    server.kill();
    server.restart().await;

    let after = server
        .api()
        .endpoint("cellar")
        .await
        .expect("still registered");
    assert_eq!(after["registered"], true);
    assert_eq!(after["registered_at"], before["registered_at"]);
    device.notify(token, 3, TEXT, b"21.5");
    let update = device.update();
    assert_eq!(device.ask(&update).code, Code::CHANGED);
    let values = server
        .api()
        .read("/api/v1/endpoints/cellar/history?path=/3303/0/5700")
        .await;
    let values: Vec<f64> = values["points"]
        .as_array()
        .expect("points")
        .iter()
        .map(|point| point[1].as_f64().expect("a number"))
        .collect();
    assert_eq!(values, [20.0, 20.5, 21.5]);
    assert!(
        server.metric("flownexus_lwm2m_registers_total").await < 0.5,
        "nobody registered again"
    );
}

#[tokio::test]
async fn a_copy_of_a_request_of_the_time_before_gets_the_same_answer_and_no_second_effect() {
    let mut server = Server::start().await;
    let mut device = ScriptedDevice::new("copycat", server.coap());
    let register = device.register(3600, "</1/0>");
    let answer = device.ask(&register);
    device.take_location(&answer);
    let first = device.received_bytes().to_vec();

    server.kill();
    server.restart().await;

    device.ask(&register);
    assert_eq!(
        device.received_bytes(),
        first,
        "the answer is repeated to the byte"
    );
    let update = device.update();
    assert_eq!(device.ask(&update).code, Code::CHANGED);
    let first = device.received_bytes().to_vec();
    server.kill();
    server.restart().await;
    device.ask(&update);
    assert_eq!(device.received_bytes(), first);
    let updates = server
        .api()
        .read("/api/v1/data/ep_registration_update")
        .await;
    assert_eq!(
        updates["items"].as_array().expect("items").len(),
        1,
        "{updates}"
    );
}

#[tokio::test]
async fn a_copy_of_a_notification_of_the_time_before_is_stored_once() {
    let mut server = Server::start().await;
    let mut device = ScriptedDevice::new("echo", server.coap());
    let token = register_thermometer(&mut device);
    let notification = device.notify(token, 2, TEXT, b"22.5");

    server.kill();
    server.restart().await;

    device.send(&notification);
    device.expect_acknowledgement(&notification);
    let values = server
        .api()
        .read("/api/v1/endpoints/echo/history?path=/3303/0/5700")
        .await;
    assert_eq!(
        values["points"].as_array().expect("points").len(),
        2,
        "{values}"
    );
}

#[tokio::test]
async fn an_unknown_token_is_reset_and_a_known_one_never() {
    let mut server = Server::start().await;
    let mut device = ScriptedDevice::new("tokens", server.coap());
    let token = register_thermometer(&mut device);
    // What it answered is on disk, so it is not asked again.
    device.notify(token, 2, TEXT, b"22.5");
    server.kill();
    server.restart().await;
    let stranger = device.next_token();
    let unknown = device.notification(stranger, 5, TEXT, b"1");
    device.send(&unknown);
    let answer = device.expect("a reset");
    assert_eq!(answer.kind, flownexus::coap::MessageType::Reset);
    assert_eq!(answer.message_id, unknown.message_id);
    device.notify(token, 3, TEXT, b"23.5");
}

#[tokio::test]
async fn what_was_asked_to_be_observed_and_not_answered_is_asked_again_with_its_token() {
    let mut server = Server::start().await;
    let mut device = ScriptedDevice::new("interrupted", server.coap());
    device.register_now(3600, "</3303/0>");
    let observe = device.expect_request(Code::GET, "/3303/0/5700");
    server.kill();
    server.restart().await;
    let again = device.expect_request(Code::GET, "/3303/0/5700");
    assert_eq!(again.token, observe.token);
    assert_ne!(again.message_id, observe.message_id, "it is no copy");
    device.answer_observe(&again, 1, TEXT, b"20.0");
    eventually("it is observed", SOON, || async {
        let endpoint = server.api().endpoint("interrupted").await.expect("known");
        (endpoint["observations"][0]["state"] == "active").then_some(())
    })
    .await;
    device.notify(observe.token, 2, TEXT, b"21.0");
}

#[tokio::test]
async fn the_time_that_the_server_was_down_does_not_count_against_a_lifetime() {
    let mut server = Server::setup()
        .setting("registration.restart_grace_s", 30)
        .start()
        .await;
    let mut device = ScriptedDevice::new("patient", server.coap());
    device.register_now(2, "</1/0>");
    server.kill();
    // Longer than the lifetime: waiting is what this test is about.
    tokio::time::sleep(std::time::Duration::from_millis(2500)).await;
    server.restart().await;
    let endpoint = server.api().endpoint("patient").await.expect("known");
    assert_eq!(endpoint["registered"], true);
    let update = device.update();
    assert_eq!(device.ask(&update).code, Code::CHANGED);
    eventually("the lifetime runs again", SOON, || async {
        let endpoint = server.api().endpoint("patient").await.expect("known");
        (endpoint["registered"] == json!(false)).then_some(())
    })
    .await;
}
