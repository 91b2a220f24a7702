//! The queue is on disk: waiting, sent and answered operations outlive the process.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::json;

use crate::support::device::{ScriptedDevice, TEXT};
use crate::support::server::{SOON, Server, eventually};
use flownexus::coap::{Code, Message, MessageType, Options, number};

#[tokio::test]
async fn an_operation_for_a_sleeping_device_is_sent_when_it_wakes_after_a_restart() {
    let mut server = Server::setup()
        .setting("queue_mode.awake_s", 1)
        .start()
        .await;
    let mut device = ScriptedDevice::new("sleeper", server.coap());
    let query = ["lt=3600", "lwm2m=1.1", "b=U", "Q"].map(str::to_owned);
    let register = device.register_with(&query, "</1/0>");
    let answer = device.ask(&register);
    device.take_location(&answer);
    device.expect_silence(Duration::from_millis(1200));
    let operation = server
        .api()
        .operate("sleeper", &json!({"kind": "read", "path": "/1/0/1"}))
        .await;
    assert_eq!(operation["status"], "QUEUED");

    server.kill();
    server.restart().await;

    device.expect_silence(Duration::from_millis(500));
    let update = device.update();
    assert_eq!(device.ask(&update).code, Code::CHANGED);
    let read = device.expect_request(Code::GET, "/1/0/1");
    device.answer_content(&read, TEXT, b"3600");
    let ended = server.api().ended(&operation).await;
    assert_eq!(ended["status"], "CONFIRMED", "{ended}");
    assert_eq!(ended["result"]["nodes"][0]["value"], 3600);
}

#[tokio::test]
async fn an_answer_that_comes_after_a_restart_still_counts() {
    let mut server = Server::start().await;
    let mut device = ScriptedDevice::new("slow", server.coap());
    device.register_now(3600, "</1/0>");
    let operation = server
        .api()
        .operate("slow", &json!({"kind": "read", "path": "/1/0/1"}))
        .await;
    let read = device.expect_request(Code::GET, "/1/0/1");
    device.acknowledge(&read);

    server.kill();
    server.restart().await;

    let mut options = Options::new();
    options.add_uint(number::CONTENT_FORMAT, u32::from(TEXT));
    let separate = Message {
        kind: MessageType::Confirmable,
        code: Code::CONTENT,
        message_id: device.next_message_id(),
        token: read.token,
        options,
        payload: b"86400".to_vec(),
    };
    device.send(&separate);
    device.expect_acknowledgement(&separate);
    let ended = server.api().ended(&operation).await;
    assert_eq!(ended["status"], "CONFIRMED", "{ended}");
}

#[tokio::test]
async fn no_message_id_and_no_token_is_used_again_after_a_restart() {
    let mut server = Server::start().await;
    let mut device = ScriptedDevice::new("ids", server.coap());
    device.register_now(3600, "</1/0>");
    let mut message_ids = HashSet::new();
    let mut tokens = HashSet::new();
    for _ in 0..3 {
        for _ in 0..5 {
            let operation = server
                .api()
                .operate("ids", &json!({"kind": "read", "path": "/1/0/1"}))
                .await;
            let read = device.expect_request(Code::GET, "/1/0/1");
            assert!(
                message_ids.insert(read.message_id),
                "{read:?} repeats a message id"
            );
            assert!(tokens.insert(read.token), "{read:?} repeats a token");
            device.answer_content(&read, TEXT, b"1");
            assert_eq!(server.api().ended(&operation).await["status"], "CONFIRMED");
        }
        server.kill();
        server.restart().await;
    }
}

#[tokio::test]
async fn a_finished_operation_stays_finished() {
    let mut server = Server::start().await;
    let mut device = ScriptedDevice::new("done", server.coap());
    device.register_now(3600, "</3/0>");
    let read = device.expect_request(Code::GET, "/3");
    device.answer(&read, Code::NOT_FOUND, Options::new(), b"");
    let operation = server
        .api()
        .operate("done", &json!({"kind": "execute", "path": "/3/0/4"}))
        .await;
    let execute = device.expect_request(Code::POST, "/3/0/4");
    device.answer(&execute, Code::CHANGED, Options::new(), b"");
    assert_eq!(server.api().ended(&operation).await["status"], "CONFIRMED");

    server.kill();
    server.restart().await;

    assert_eq!(server.api().ended(&operation).await["status"], "CONFIRMED");
    device.expect_silence(Duration::from_millis(500));
}

#[tokio::test]
async fn who_asked_is_in_the_audit_log_also_when_they_went_away_and_the_server_was_killed() {
    let mut server = Server::setup()
        .setting("queue_mode.awake_s", 1)
        .start()
        .await;
    let mut device = ScriptedDevice::new("audited", server.coap());
    let query = ["lt=3600", "lwm2m=1.1", "b=U", "Q"].map(str::to_owned);
    let register = device.register_with(&query, "</1/0>");
    let answer = device.ask(&register);
    device.take_location(&answer);
    device.expect_silence(Duration::from_millis(1200));
    let body = json!({"kind": "read", "path": "/1/0/1"});
    let path = "/api/v1/endpoints/audited/operations?wait=20";
    let is_stored = eventually("the operation is stored", SOON, || async {
        let waiting = server
            .api()
            .read("/api/v1/endpoints/audited/operations?status=QUEUED")
            .await;
        let items = waiting["items"].as_array().cloned().unwrap_or_default();
        let ours = items.first()?;
        Some(ours["id"].clone())
    });
    let api = server.api();
    // Whoever asked goes away as soon as it is there.
    let id = tokio::select! {
        response = api.post(path, &body) => panic!("nobody waited: {response:?}"),
        id = is_stored => id,
    };

    server.kill();
    server.restart().await;

    let log = server.api().read("/api/v1/audit").await;
    let lines: Vec<_> = log["items"]
        .as_array()
        .expect("lines")
        .iter()
        .filter(|line| line["action"] == "operation.create")
        .collect();
    assert_eq!(lines.len(), 1, "{log}");
    assert_eq!(lines[0]["subject"], "audited");
    assert_eq!(lines[0]["detail"], format!("operation {id}: read /1/0/1"));
}
