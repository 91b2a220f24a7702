//! Logs of devices, from the message that carries them to the page, the file and the live socket.

use futures_util::StreamExt as _;
use serde_json::{Value as Json, json};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;

use crate::support::device::{SENML_JSON, ScriptedDevice};
use crate::support::server::{SOON, Server};
use flownexus::coap::Code;

const OPAQUE: u16 = 42;

#[tokio::test]
async fn log_data_that_is_observed_is_searched_shown_and_told() {
    let mut server = Server::start().await;
    let mut device = ScriptedDevice::new("chatty", server.coap());
    device.register_now(3600, "</20/0>");
    let operation = server
        .api()
        .operate("chatty", &json!({"kind": "observe", "path": "/20/0/4014"}))
        .await;
    let observe = device.expect_request(Code::GET, "/20/0/4014");
    device.answer_observe(
        &observe,
        1,
        OPAQUE,
        b"[00:00:00.100,000] <inf> app: started\n",
    );
    assert_eq!(server.api().ended(&operation).await["status"], "CONFIRMED");

    let request = server.live_request("endpoint:chatty");
    let (mut socket, _) = connect_async(request).await.expect("a socket");
    let body = b"[00:00:00.100,000] <inf> app: started\n\x1b[1;31m[00:01:00.000,000] <err> modem: <b>No</b> answer\x1b[0m\n";
    device.notify(observe.token, 2, OPAQUE, body);
    let told = loop {
        let message = tokio::time::timeout(SOON, socket.next())
            .await
            .expect("a message in time");
        let Message::Text(text) = message.expect("an open socket").expect("a message") else {
            continue;
        };
        let message: Json = serde_json::from_str(&text).expect("JSON");
        assert_ne!(message["kind"], "resource", "a log is no value: {message}");
        if message["kind"] == "log" {
            break message;
        }
    };
    assert_eq!(told["path"], "/20/0/4014");
    assert_eq!(told["level"], "err");
    assert_eq!(told["text"], "[00:01:00.000,000] modem: <b>No</b> answer");

    server.kill();
    server.restart().await;

    let page = server.api().read("/api/v1/endpoints/chatty/logs").await;
    let items = page["items"].as_array().expect("items");
    assert_eq!(items.len(), 2, "{page}");
    assert_eq!(items[0]["text"], told["text"]);
    assert_eq!(items[1]["level"], "inf");
    let found = server
        .api()
        .read("/api/v1/endpoints/chatty/logs?search=no%3C/b%3E&level=wrn")
        .await;
    assert_eq!(
        found["items"].as_array().expect("items").len(),
        1,
        "{found}"
    );
    let file = server
        .api()
        .get("/api/v1/endpoints/chatty/logs?format=text")
        .await;
    assert_eq!(file.headers()["content-type"], "text/plain; charset=utf-8");
    let file = file.text().await.expect("text");
    let lines: Vec<&str> = file.lines().collect();
    assert!(
        lines[0].ends_with("inf /20/0/4014 [00:00:00.100,000] app: started"),
        "{file}"
    );
    assert!(lines[1].contains(" err /20/0/4014 "), "{file}");
    let values = server
        .api()
        .read("/api/v1/endpoints/chatty/resources")
        .await;
    assert!(!values.to_string().contains("/20/0/4014"), "{values}");
}

#[tokio::test]
async fn a_text_that_is_marked_as_a_log_becomes_lines_from_then_on() {
    let server = Server::start().await;
    let mut device = ScriptedDevice::new("own", server.coap());
    device.register_now(3600, "</26241/0>");
    let body = br#"[{"n":"/26241/0/1","vs":"WARN low","t":1700000000}]"#;
    let send = device.data_push(SENML_JSON, body);
    assert_eq!(device.ask(&send).code, Code::CHANGED);
    let mark = json!({"path": "/26241/*/1", "filter": {"names": ["o*"]}});
    let made = server.api().create("/api/v1/log-resources", &mark).await;
    let send = device.data_push(SENML_JSON, body);
    assert_eq!(device.ask(&send).code, Code::CHANGED);
    let page = server.api().read("/api/v1/endpoints/own/logs").await;
    let items = page["items"].as_array().expect("items");
    assert_eq!(items.len(), 1, "{page}");
    assert_eq!(items[0]["time"], "2023-11-14T22:13:20.000Z");
    assert_eq!(
        (&items[0]["level"], &items[0]["text"]),
        (&json!("wrn"), &json!("low"))
    );
    assert_ne!(items[0]["received_at"], items[0]["time"]);

    let path = format!("/api/v1/log-resources/{}", made["id"]);
    assert_eq!(server.api().delete(&path).await.status(), 204);
    let send = device.data_push(SENML_JSON, body);
    assert_eq!(device.ask(&send).code, Code::CHANGED);
    let page = server.api().read("/api/v1/endpoints/own/logs").await;
    assert_eq!(page["items"].as_array().expect("items").len(), 1);
}
