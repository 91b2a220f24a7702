//! The event of a rule is in the transaction of its value: a kill neither loses it nor makes it
//! twice, and time that the server was down is not held against a device.

use serde_json::{Value as Json, json};

use crate::support::device::{ScriptedDevice, TEXT};
use crate::support::server::{SOON, Server, eventually};
use flownexus::coap::Code;

async fn events(server: &Server, endpoint: &str) -> Vec<Json> {
    let events = server
        .api()
        .read(&format!("/api/v1/events?endpoint={endpoint}&limit=1000"))
        .await;
    events["items"].as_array().expect("items").clone()
}

fn observed(device: &mut ScriptedDevice) -> flownexus::domain::Token {
    device.register_now(3600, "</3303/0>");
    let observe = device.expect_request(Code::GET, "/3303/0/5700");
    device.answer_observe(&observe, 1, TEXT, b"20");
    observe.token
}

#[tokio::test]
async fn every_crossing_is_told_exactly_once_across_kills() {
    let mut server = Server::start().await;
    let rule = json!({
        "name": "too warm", "path": "/3303/*/5700",
        "condition": {"kind": "threshold", "above": 30, "hysteresis": 5},
    });
    server.api().create("/api/v1/rules", &rule).await;
    let mut device = ScriptedDevice::new("flap", server.coap());
    let token = observed(&mut device);
    let mut crossings = 0;
    for sequence in 2..40_u32 {
        // Above, still above, within the hysteresis, below.
        let value = ["31", "35", "28", "20"][sequence as usize % 4];
        crossings += usize::from(value == "31");
        let notification = device.notification(token, sequence, TEXT, value.as_bytes());
        device.send(&notification);
        if sequence % 5 == 0 {
            // Killed with this one on its way; the device sends it again until it is acknowledged.
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
    }
    let found = events(&server, "flap").await;
    let messages: Vec<&str> = found
        .iter()
        .filter_map(|event| event["message"].as_str())
        .collect();
    assert_eq!(found.len(), crossings, "{messages:?}");
}

#[tokio::test]
async fn the_clock_of_absence_goes_on_after_a_kill_and_forgives_the_downtime() {
    let mut server = Server::setup()
        .setting("registration.restart_grace_s", 0)
        .start()
        .await;
    let rule = json!({
        "name": "silence", "path": "/3303/*/5700",
        "condition": {"kind": "absence", "after_s": 8},
    });
    server.api().create("/api/v1/rules", &rule).await;
    let mut device = ScriptedDevice::new("cellar", server.coap());
    let token = observed(&mut device);
    device.notify(token, 2, TEXT, b"21");
    server.kill();
    // Longer than the value may be missing: waiting is what this test is about.
    tokio::time::sleep(std::time::Duration::from_secs(10)).await;
    server.restart().await;
    assert_eq!(
        events(&server, "cellar").await,
        [] as [Json; 0],
        "nobody could send"
    );
    let found = eventually("the value is missed", SOON, || async {
        events(&server, "cellar").await.into_iter().next()
    })
    .await;
    assert_eq!(found["message"], "nothing came on /3303/0/5700 for 8 s");

    server.kill();
    server.restart().await;
    assert_eq!(events(&server, "cellar").await.len(), 1, "once for a gap");
}
