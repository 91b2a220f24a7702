//! What people see of a device and do with it, over the real server.

use std::time::Duration;

use futures_util::StreamExt as _;
use reqwest::StatusCode;
use serde_json::{Value as Json, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::support::device::{ScriptedDevice, TEXT};
use crate::support::server::{SOON, Server};
use flownexus::coap::Code;

async fn listen(server: &Server, topics: &str) -> WebSocketStream<MaybeTlsStream<TcpStream>> {
    let request = server.live_request(topics);
    let (socket, _) = connect_async(request).await.expect("a socket");
    socket
}

#[tokio::test]
async fn the_live_socket_tells_what_arrives_in_order() {
    let server = Server::start().await;
    let mut socket = listen(&server, "fleet,endpoint:alive").await;

    let mut device = ScriptedDevice::new("alive", server.coap());
    device.register_now(3600, "</3303/0>");
    let observe = device.expect_request(Code::GET, "/3303/0/5700");
    device.answer_observe(&observe, 1, TEXT, b"20.5");
    device.notify(observe.token, 2, TEXT, b"21.5");

    let mut seen = Vec::new();
    let mut last = 0;
    while !seen.contains(&json!(21.5)) {
        let message = tokio::time::timeout(SOON, socket.next())
            .await
            .expect("a message in time");
        let Message::Text(text) = message.expect("an open socket").expect("a message") else {
            continue;
        };
        let message: Json = serde_json::from_str(&text).expect("JSON");
        let seq = message["seq"].as_u64().expect("a number");
        assert!(seq > last, "{message} after {last}");
        last = seq;
        assert!(
            message["topic"].is_string() && message["time"].is_string(),
            "{message}"
        );
        if message["kind"] == "resource" && message["path"] == "/3303/0/5700" {
            assert_eq!(message["type"], "FLOAT");
            // Commit before publish: what the socket tells can be read already.
            let latest = server.api().read("/api/v1/endpoints/alive/resources").await;
            assert!(latest.to_string().contains("/3303/0/5700"), "{latest}");
            seen.push(message["value"].clone());
        } else {
            seen.push(message["kind"].clone());
        }
    }
    assert_eq!(seen.first(), Some(&json!("registered")));
    assert!(
        seen.contains(&json!("observation")) && seen.contains(&json!(20.5)),
        "{seen:?}"
    );
}

#[tokio::test]
async fn a_forgotten_device_is_gone_and_may_come_back() {
    let server = Server::start().await;
    let mut device = ScriptedDevice::new("forgotten", server.coap());
    device.register_now(3600, "</1/0>");
    let operation = server
        .api()
        .operate("forgotten", &json!({"kind": "read", "path": "/1/0/1"}))
        .await;
    let read = device.expect_request(Code::GET, "/1/0/1");
    device.answer_content(&read, TEXT, b"300");
    server.api().ended(&operation).await;

    let mut socket = listen(&server, "endpoint:forgotten").await;
    let deleted = server.api().delete("/api/v1/endpoints/forgotten").await;
    assert!(deleted.status().is_success(), "{}", deleted.status());
    tokio::time::timeout(SOON, async {
        while let Some(message) = socket.next().await {
            if let Message::Text(text) = message.expect("an open socket")
                && text.contains(r#""kind":"forgotten""#)
            {
                return;
            }
        }
        panic!("the socket has ended");
    })
    .await
    .expect("told in time");
    assert!(server.api().endpoint("forgotten").await.is_none());
    let gone = server
        .api()
        .get(&format!("/api/v1/operations/{}", operation["id"]))
        .await;
    assert_eq!(gone.status(), StatusCode::NOT_FOUND);

    let update = device.update();
    assert_eq!(device.ask(&update).code, Code::NOT_FOUND);
    device.register_now(3600, "</1/0>");
    assert_eq!(
        server.api().endpoint("forgotten").await.expect("back")["registered"],
        true
    );
    let latest = server
        .api()
        .read("/api/v1/endpoints/forgotten/resources")
        .await;
    assert!(!latest.to_string().contains("/1/0/1"), "{latest}");
}

#[tokio::test]
async fn a_waiting_operation_is_cancelled_and_one_that_ended_is_not() {
    let server = Server::setup()
        .setting("queue_mode.awake_s", 1)
        .start()
        .await;
    let mut device = ScriptedDevice::new("drowsy", server.coap());
    let query = ["lt=3600", "lwm2m=1.1", "b=U", "Q"].map(str::to_owned);
    let register = device.register_with(&query, "</1/0>");
    let answer = device.ask(&register);
    device.take_location(&answer);
    device.expect_silence(Duration::from_millis(1200));
    let shown = server.api().endpoint("drowsy").await.expect("known");
    assert_eq!(
        (&shown["queue_mode"], &shown["awake"]),
        (&json!(true), &json!(false))
    );

    let operation = server
        .api()
        .operate("drowsy", &json!({"kind": "read", "path": "/1/0/1"}))
        .await;
    let path = format!("/api/v1/operations/{}", operation["id"]);
    assert!(server.api().delete(&path).await.status().is_success());
    assert_eq!(server.api().read(&path).await["status"], "CANCELLED");
    assert_eq!(
        server.api().delete(&path).await.status(),
        StatusCode::CONFLICT
    );

    let update = device.update();
    assert_eq!(device.ask(&update).code, Code::CHANGED);
    device.expect_silence(Duration::from_millis(500));
}

#[tokio::test]
async fn an_operation_for_a_device_that_is_away_waits_for_its_next_registration() {
    let server = Server::start().await;
    let mut device = ScriptedDevice::new("away", server.coap());
    device.register_now(3600, "</1/0>");
    let deregister = device.deregister();
    assert_eq!(device.ask(&deregister).code, Code::DELETED);
    let operation = server
        .api()
        .operate("away", &json!({"kind": "read", "path": "/1/0/1"}))
        .await;
    assert_eq!(operation["status"], "QUEUED");
    device.register_now(3600, "</1/0>");
    let read = device.expect_request(Code::GET, "/1/0/1");
    device.answer_content(&read, TEXT, b"300");
    assert_eq!(server.api().ended(&operation).await["status"], "CONFIRMED");
    let nobody = server
        .api()
        .post(
            "/api/v1/endpoints/nobody/operations",
            &json!({"kind": "read", "path": "/1/0/1"}),
        )
        .await;
    assert_eq!(nobody.status(), StatusCode::NOT_FOUND);
}
