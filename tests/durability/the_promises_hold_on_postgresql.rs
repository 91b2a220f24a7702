//! The same promises with PostgreSQL behind the server.

use serde_json::json;

use crate::support::device::{ScriptedDevice, TEXT};
use crate::support::postgres;
use crate::support::server::Server;
use flownexus::coap::Code;

#[tokio::test]
async fn a_restart_is_invisible_there_too() {
    let Some(url) = postgres::new_database() else {
        return;
    };
    let mut server = Server::setup().setting("database.url", &url).start().await;
    let mut device = ScriptedDevice::new("elephant", server.coap());
    device.register_now(3600, "</3303/0>");
    let observe = device.expect_request(Code::GET, "/3303/0/5700");
    device.answer_observe(&observe, 1, TEXT, b"20.5");
    let notification = device.notify(observe.token, 2, TEXT, b"21.5");

    server.kill();
    server.restart().await;

    device.send(&notification);
    device.expect_acknowledgement(&notification);
    device.notify(observe.token, 3, TEXT, b"22.5");
    let update = device.update();
    assert_eq!(device.ask(&update).code, Code::CHANGED);
    let operation = server
        .api()
        .operate("elephant", &json!({"kind": "read", "path": "/1/0/1"}))
        .await;
    let read = device.expect_request(Code::GET, "/1/0/1");
    device.answer_content(&read, TEXT, b"300");
    assert_eq!(server.api().ended(&operation).await["status"], "CONFIRMED");
    let values = server
        .api()
        .read("/api/v1/endpoints/elephant/history?path=/3303/0/5700")
        .await;
    let values: Vec<f64> = values["points"]
        .as_array()
        .expect("points")
        .iter()
        .map(|point| point[1].as_f64().expect("a number"))
        .collect();
    assert_eq!(values, [20.5, 21.5, 22.5]);
}
