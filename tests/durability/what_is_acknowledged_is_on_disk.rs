//! SIGKILL at any moment: every answer that a device has seen is true afterwards.

use std::time::Duration;

use serde_json::Value as Json;

use crate::support::device::{ScriptedDevice, TEXT};
use crate::support::server::Server;
use flownexus::coap::Code;

#[tokio::test]
async fn every_register_that_was_answered_is_there_after_a_kill() {
    let mut server = Server::start().await;
    let mut answered = Vec::new();
    for round in 0..5 {
        // All requests are on their way at once; the kill comes after some of the answers.
        let mut devices: Vec<ScriptedDevice> = (0..40)
            .map(|count| ScriptedDevice::new(&format!("kill-{round}-{count}"), server.coap()))
            .collect();
        for device in &mut devices {
            let register = device.register(3600, "</1/0>");
            device.send(&register);
        }
        let wanted = 5 + round * 7;
        let mut seen = 0;
        for device in &mut devices {
            if seen >= wanted {
                break;
            }
            if let Some(answer) = device.receive(Duration::from_secs(5)) {
                assert_eq!(answer.code, Code::CREATED);
                seen += 1;
                answered.push(device.name().to_owned());
            }
        }
        server.kill();
        // Answers that were sent before the kill wait in the sockets.
        for device in &mut devices {
            if !answered.contains(&device.name().to_owned())
                && device.receive(Duration::from_millis(1)).is_some()
            {
                answered.push(device.name().to_owned());
            }
        }
        server.restart().await;
        for name in &answered {
            let endpoint = server.api().endpoint(name).await;
            let endpoint = endpoint.unwrap_or_else(|| panic!("{name} was answered and is lost"));
            assert_eq!(endpoint["registered"], true, "{name}");
        }
    }
    assert!(
        answered.len() >= 50,
        "only {} answers came before the kills",
        answered.len()
    );
}

#[tokio::test]
async fn every_notification_that_was_acknowledged_is_there_after_a_kill() {
    let mut server = Server::start().await;
    let mut device = ScriptedDevice::new("meter", server.coap());
    device.register_now(3600, "</3303/0>");
    let observe = device.expect_request(Code::GET, "/3303/0/5700");
    device.answer_observe(&observe, 1, TEXT, b"0");
    let mut acknowledged = 0;
    for sequence in 2..80_u32 {
        let notification = device.notification(
            observe.token,
            sequence,
            TEXT,
            sequence.to_string().as_bytes(),
        );
        device.send(&notification);
        if sequence % 13 == 0 {
            // Killed with this one on its way: it may be lost, or stored and not acknowledged.
            server.kill();
            server.restart().await;
            device.send(&notification);
        }
        loop {
            let answer = device.expect("an acknowledgement");
            if answer.message_id == notification.message_id {
                break;
            }
        }
        acknowledged = sequence;
    }
    let values = server
        .api()
        .read("/api/v1/endpoints/meter/history?path=/3303/0/5700&points=1000")
        .await;
    let values: Vec<u32> = values["points"]
        .as_array()
        .expect("points")
        .iter()
        .map(|point: &Json| point[1].as_f64().expect("a number") as u32)
        .collect();
    let wanted: Vec<u32> = std::iter::once(0).chain(2..=acknowledged).collect();
    assert_eq!(values, wanted, "each value once, none lost");
}
