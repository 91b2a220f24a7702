//! Read, write, execute, discover, observe: from REST to the device and back.

use serde_json::{Value as Json, json};

use crate::support::device::{LINK_FORMAT, ScriptedDevice, TEXT};
use crate::support::server::{Api, Server};
use flownexus::coap::{Code, Message, MessageType, Options, number};

/// Asks for an operation, lets the device answer what it gets, and returns the end of it.
async fn operate(
    api: &Api,
    device: &mut ScriptedDevice,
    body: Json,
    answer: impl FnOnce(&mut ScriptedDevice),
) -> Json {
    let operation = api.operate(device.name(), &body).await;
    answer(device);
    api.ended(&operation).await
}

fn registered(server: &Server, name: &str) -> ScriptedDevice {
    let mut device = ScriptedDevice::new(name, server.coap());
    device.register_now(3600, "</1/0>,</16>");
    device
}

#[tokio::test]
async fn e1_a_read_brings_the_typed_value() {
    let server = Server::start().await;
    let mut device = registered(&server, "read");
    let ended = operate(
        &server.api(),
        &mut device,
        json!({"kind": "read", "path": "/1/0/1"}),
        |device| {
            let read = device.expect_request(Code::GET, "/1/0/1");
            device.answer_content(&read, TEXT, b"86400");
        },
    )
    .await;
    assert_eq!(ended["status"], "CONFIRMED", "{ended}");
    assert_eq!(ended["result"]["code"], "2.05");
    let node = &ended["result"]["nodes"][0];
    assert_eq!(
        (&node["path"], &node["type"], &node["value"]),
        (&json!("/1/0/1"), &json!("INTEGER"), &json!(86400))
    );
    let latest = server.api().read("/api/v1/endpoints/read/resources").await;
    assert!(
        latest["items"]
            .as_array()
            .expect("items")
            .iter()
            .any(|item| item["path"] == "/1/0/1")
    );
}

#[tokio::test]
async fn f1_a_write_carries_the_value_and_a_wrong_type_is_refused_before_anything_is_sent() {
    let server = Server::start().await;
    let mut device = registered(&server, "write");
    let body = json!({"kind": "write", "path": "/1/0/1", "value": 300});
    let ended = operate(&server.api(), &mut device, body, |device| {
        let write = device.expect_request(Code::PUT, "/1/0/1");
        assert!(!write.payload.is_empty());
        device.answer(&write, Code::CHANGED, Options::new(), b"");
    })
    .await;
    assert_eq!(ended["status"], "CONFIRMED", "{ended}");
    let body = json!({"kind": "write", "path": "/1/0/1", "value": "soon"});
    let refused = server
        .api()
        .post("/api/v1/endpoints/write/operations", &body)
        .await;
    assert_eq!(refused.status().as_u16(), 422);
    let problem: Json = refused.json().await.expect("a problem");
    assert!(problem.to_string().contains("INTEGER"), "{problem}");
    device.expect_silence(std::time::Duration::from_millis(300));
}

#[tokio::test]
async fn g4_an_execute_carries_its_arguments() {
    let server = Server::start().await;
    let mut device = registered(&server, "execute");
    let body = json!({"kind": "execute", "path": "/1/0/8", "arguments": "0='now'"});
    let ended = operate(&server.api(), &mut device, body, |device| {
        let execute = device.expect_request(Code::POST, "/1/0/8");
        assert_eq!(execute.payload, b"0='now'");
        device.answer(&execute, Code::CHANGED, Options::new(), b"");
    })
    .await;
    assert_eq!(
        (&ended["status"], &ended["result"]["code"]),
        (&json!("CONFIRMED"), &json!("2.04"))
    );
}

#[tokio::test]
async fn g5_a_discover_lists_what_the_device_has() {
    let server = Server::start().await;
    let mut device = registered(&server, "discover");
    let ended = operate(
        &server.api(),
        &mut device,
        json!({"kind": "discover", "path": "/1/0"}),
        |device| {
            let discover = device.expect_request(Code::GET, "/1/0");
            assert_eq!(discover.options.accept(), Some(LINK_FORMAT));
            device.answer_content(&discover, LINK_FORMAT, b"</1/0>;pmin=5,</1/0/1>,</1/0/8>");
        },
    )
    .await;
    assert_eq!(ended["status"], "CONFIRMED", "{ended}");
    assert!(ended["result"].to_string().contains("/1/0/8"), "{ended}");
}

#[tokio::test]
async fn a_refusal_of_the_device_ends_the_operation_at_once() {
    let server = Server::start().await;
    let mut device = registered(&server, "refuse");
    let ended = operate(
        &server.api(),
        &mut device,
        json!({"kind": "read", "path": "/1/0/8"}),
        |device| {
            let read = device.expect_request(Code::GET, "/1/0/8");
            device.answer(&read, Code::METHOD_NOT_ALLOWED, Options::new(), b"");
        },
    )
    .await;
    assert_eq!(
        (&ended["status"], &ended["result"]["code"]),
        (&json!("FAILED"), &json!("4.05"))
    );
    assert_eq!(ended["attempts"], 1);
}

#[tokio::test]
async fn d1_three_attempts_without_an_answer_fail_and_each_waits_for_the_device() {
    let server = Server::setup()
        .setting("coap.ack_timeout_ms", 50)
        .setting("coap.max_retransmit", 1)
        .start()
        .await;
    let mut device = registered(&server, "mute");
    let operation = server
        .api()
        .operate("mute", &json!({"kind": "read", "path": "/1/0/1"}))
        .await;
    for attempt in 1..=3 {
        let first = device.expect_request(Code::GET, "/1/0/1");
        let again = device.expect("a retransmission");
        assert_eq!(again.encode(), first.encode());
        device.expect_silence(std::time::Duration::from_millis(600));
        if attempt < 3 {
            let update = device.update();
            assert_eq!(device.ask(&update).code, Code::CHANGED);
        }
    }
    let ended = server.api().ended(&operation).await;
    assert_eq!(
        (&ended["status"], &ended["attempts"]),
        (&json!("FAILED"), &json!(3))
    );
    assert!(
        ended["error"]
            .as_str()
            .expect("an error")
            .contains("acknowledge"),
        "{ended}"
    );
}

#[tokio::test]
async fn d2_an_answer_may_come_as_a_message_of_its_own() {
    let server = Server::start().await;
    let mut device = registered(&server, "separate");
    let ended = operate(
        &server.api(),
        &mut device,
        json!({"kind": "read", "path": "/1/0/1"}),
        |device| {
            let read = device.expect_request(Code::GET, "/1/0/1");
            device.acknowledge(&read);
            let mut options = Options::new();
            options.add_uint(number::CONTENT_FORMAT, u32::from(TEXT));
            let answer = Message {
                kind: MessageType::Confirmable,
                code: Code::CONTENT,
                message_id: device.next_message_id(),
                token: read.token,
                options,
                payload: b"60".to_vec(),
            };
            device.send(&answer);
            device.expect_acknowledgement(&answer);
            device.send(&answer);
            device.expect_acknowledgement(&answer);
        },
    )
    .await;
    assert_eq!(ended["status"], "CONFIRMED", "{ended}");
}

#[tokio::test]
async fn i1_i2_an_observation_begins_notifies_and_is_cancelled() {
    let server = Server::start().await;
    let mut device = registered(&server, "observe");
    let mut token = None;
    let ended = operate(
        &server.api(),
        &mut device,
        json!({"kind": "observe", "path": "/1/0/1"}),
        |device| {
            let observe = device.expect_request(Code::GET, "/1/0/1");
            assert_eq!(observe.options.observe(), Some(0));
            assert_eq!(observe.token.as_bytes().len(), 8);
            device.answer_observe(&observe, 1, TEXT, b"60");
            token = Some(observe.token);
        },
    )
    .await;
    assert_eq!(ended["status"], "CONFIRMED", "{ended}");
    let token = token.expect("a token");
    device.notify(token, 2, TEXT, b"61");
    let shown = server.api().endpoint("observe").await.expect("known");
    assert!(
        shown["observations"].to_string().contains("/1/0/1"),
        "{shown}"
    );
    let ended = operate(
        &server.api(),
        &mut device,
        json!({"kind": "cancel_observe", "path": "/1/0/1"}),
        |device| {
            let cancel = device.expect_request(Code::GET, "/1/0/1");
            assert_eq!((cancel.options.observe(), cancel.token), (Some(1), token));
            device.answer_content(&cancel, TEXT, b"61");
        },
    )
    .await;
    assert_eq!(ended["status"], "CONFIRMED", "{ended}");
    let late = device.notification(token, 3, TEXT, b"62");
    device.send(&late);
    assert_eq!(device.expect("a reset").kind, MessageType::Reset);
}

#[tokio::test]
async fn waiting_for_the_answer_is_a_convenience() {
    let server = Server::start().await;
    let mut device = registered(&server, "wait");
    let (api, name) = (server.api(), "wait");
    let waiting = tokio::spawn(async move {
        api.create(
            &format!("/api/v1/endpoints/{name}/operations?wait=20"),
            &json!({"kind": "read", "path": "/1/0/1"}),
        )
        .await
    });
    let device = tokio::task::spawn_blocking(move || {
        let read = device.expect_request(Code::GET, "/1/0/1");
        device.answer_content(&read, TEXT, b"5");
        device
    });
    drop(device.await.expect("an answer"));
    let operation = waiting.await.expect("an operation");
    assert_eq!(operation["status"], "CONFIRMED", "{operation}");
    assert_eq!(operation["result"]["nodes"][0]["value"], 5);
}

#[tokio::test]
async fn a_large_answer_is_fetched_block_by_block() {
    let server = Server::start().await;
    let mut device = registered(&server, "large");
    let body: String = "0123456789abcdef".repeat(10);
    let sent = body.clone();
    let ended = operate(
        &server.api(),
        &mut device,
        json!({"kind": "read", "path": "/16/0/0/0"}),
        move |device| {
            for (number, block) in sent.as_bytes().chunks(32).enumerate() {
                let read = device.expect_request(Code::GET, "/16/0/0/0");
                let more = (number + 1) * 32 < sent.len();
                let mut options = Options::new();
                options.add_uint(number::CONTENT_FORMAT, u32::from(TEXT));
                options.add(number::ETAG, b"v1");
                options.add_uint(
                    number::BLOCK2,
                    (u32::try_from(number).expect("few") << 4) | (u32::from(more) << 3) | 1,
                );
                device.answer(&read, Code::CONTENT, options, block);
            }
        },
    )
    .await;
    assert_eq!(ended["status"], "CONFIRMED", "{ended}");
    assert_eq!(ended["result"]["nodes"][0]["value"], json!(body));
}
