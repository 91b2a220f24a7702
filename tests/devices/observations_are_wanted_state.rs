//! Observations as wanted state, over real UDP: templates, tags, loss, silence, and both ways of
//! cancelling.

use std::time::Duration;

use futures_util::StreamExt as _;
use reqwest::{Method, StatusCode};
use serde_json::{Value as Json, json};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message as Frame;

use crate::support::device::{ScriptedDevice, TEXT};
use crate::support::server::{SOON, Server, eventually};
use flownexus::coap::{Code, Message, MessageType, Options, number};

const TEMPLATES: &str = "/api/v1/observation-templates";

/// Sends JSON that the server must take.
async fn send(server: &Server, method: Method, path: &str, body: &Json) -> Json {
    let request = server.api().request(method, path).json(body);
    let response = request.send().await.expect("an answer");
    let status = response.status();
    let text = response.text().await.expect("a body");
    assert!(status.is_success(), "{path}: {status} {text}");
    serde_json::from_str(&text).expect("JSON")
}

/// Removes the templates that come with a new server.
async fn without_templates(server: &Server) {
    let list = server.api().read(TEMPLATES).await;
    for template in list["items"].as_array().expect("a list") {
        let path = format!("{TEMPLATES}/{}", template["id"]);
        let status = server.api().delete(&path).await.status();
        assert_eq!(status, StatusCode::NO_CONTENT);
    }
}

/// The line about one path, once it stands as expected.
async fn stands(server: &Server, device: &str, path: &str, state: &str) -> Json {
    let api = server.api();
    eventually(&format!("{path} is {state}"), SOON, || async {
        let endpoint = api.endpoint(device).await?;
        let lines = endpoint["observations"].as_array()?;
        let found = lines.iter().find(|line| line["paths"] == json!([path]))?;
        (found["state"] == state).then(|| found.clone())
    })
    .await
}

/// A notification that ends the observation.
fn error_notification(device: &mut ScriptedDevice, of: &Message, code: Code) -> Message {
    Message {
        kind: MessageType::Confirmable,
        code,
        message_id: device.next_message_id(),
        token: of.token,
        options: Options::new(),
        payload: Vec::new(),
    }
}

#[tokio::test]
async fn a_template_reaches_a_registered_device_and_leaves_it() {
    let server = Server::start().await;
    without_templates(&server).await;
    let mut device = ScriptedDevice::new("wanted", server.coap());
    device.register_now(3600, "</3303/0>,</3304/0>");
    let body = json!({"path": "/3303/0/5700", "attributes": {"pmin": 5, "pmax": 300}});
    let made = send(&server, Method::POST, TEMPLATES, &body).await;
    let written = device.expect_request(Code::PUT, "/3303/0/5700");
    let query: Vec<&[u8]> = written.options.all(number::URI_QUERY).collect();
    assert_eq!(query, [&b"pmin=5"[..], b"pmax=300"]);
    device.answer(&written, Code::CHANGED, Options::new(), b"");
    let observe = device.expect_request(Code::GET, "/3303/0/5700");
    assert_eq!(observe.options.observe(), Some(0));
    device.answer_observe(&observe, 1, TEXT, b"20.5");
    let line = stands(&server, "wanted", "/3303/0/5700", "active").await;
    assert_eq!(line["template_id"], made["id"]);
    assert_eq!(line["attributes"], json!({"pmin": "5", "pmax": "300"}));

    // Another path: the old observation ends, the new one begins.
    let path = format!("{TEMPLATES}/{}", made["id"]);
    send(
        &server,
        Method::PUT,
        &path,
        &json!({"path": "/3304/0/5700"}),
    )
    .await;
    let mut asked = Vec::new();
    for _ in 0..2 {
        let request = device.expect("a request");
        let segments = request.options.uri_path().expect("text").join("/");
        asked.push((segments, request.options.observe()));
        match request.options.observe() {
            Some(0) => device.answer_observe(&request, 1, TEXT, b"48"),
            _ => device.answer_content(&request, TEXT, b"20.5"),
        }
    }
    asked.sort();
    assert_eq!(
        asked,
        [
            ("3303/0/5700".to_owned(), Some(1)),
            ("3304/0/5700".to_owned(), Some(0))
        ]
    );
    stands(&server, "wanted", "/3304/0/5700", "active").await;
    assert_eq!(server.api().delete(&path).await.status(), 204);
    let cancel = device.expect_request(Code::GET, "/3304/0/5700");
    assert_eq!(cancel.options.observe(), Some(1));
    device.answer_content(&cancel, TEXT, b"48");
    let gone = eventually("nothing is observed", SOON, || async {
        let endpoint = server.api().endpoint("wanted").await?;
        (endpoint["observations"] == json!([])).then_some(())
    });
    gone.await;
}

#[tokio::test]
async fn a_tag_brings_a_template_and_is_listed() {
    let server = Server::start().await;
    without_templates(&server).await;
    let body = json!({"path": "/3303/0/5700", "filter": {"tags": ["lab"]}});
    send(&server, Method::POST, TEMPLATES, &body).await;
    let mut device = ScriptedDevice::new("tagged", server.coap());
    device.register_now(3600, "</3303/0>");
    device.expect_silence(Duration::from_millis(300));
    let path = "/api/v1/endpoints/tagged";
    let body = json!({"tags": ["lab"], "awake_s": 20});
    let endpoint = send(&server, Method::PATCH, path, &body).await;
    assert_eq!(
        (&endpoint["tags"], &endpoint["awake_s"]),
        (&json!(["lab"]), &json!(20))
    );
    let observe = device.expect_request(Code::GET, "/3303/0/5700");
    device.answer_observe(&observe, 1, TEXT, b"20.5");
    let list = server.api().read("/api/v1/endpoints?tag=lab").await;
    assert_eq!(list["items"][0]["name"], "tagged");
    // The profile is the device's, not the registration's: also of one that is not there.
    let leave = device.deregister();
    assert_eq!(device.ask(&leave).code, Code::DELETED);
    let body = json!({"awake_s": null});
    let endpoint = send(&server, Method::PATCH, path, &body).await;
    assert_eq!(
        (&endpoint["tags"], &endpoint["awake_s"]),
        (&json!(["lab"]), &Json::Null)
    );
    device.register_now(3600, "</3303/0>");
    let observe = device.expect_request(Code::GET, "/3303/0/5700");
    device.answer_observe(&observe, 1, TEXT, b"20.5");
}

#[tokio::test]
async fn a_lost_observation_is_told_and_made_anew() {
    let server = Server::setup()
        .setting("observations.retry_min_s", 1)
        .start()
        .await;
    let request = server.live_request("endpoint:lost");
    let (mut socket, _) = connect_async(request).await.expect("a socket");
    let mut device = ScriptedDevice::new("lost", server.coap());
    device.register_now(3600, "</3303/0>");
    let observe = device.expect_request(Code::GET, "/3303/0/5700");
    device.answer_observe(&observe, 1, TEXT, b"20.5");
    let gone = error_notification(&mut device, &observe, Code::NOT_FOUND);
    device.send(&gone);
    device.expect_acknowledgement(&gone);
    let line = stands(&server, "lost", "/3303/0/5700", "lost").await;
    assert!(
        line["reason"]
            .as_str()
            .is_some_and(|why| why.contains("4.04")),
        "{line}"
    );
    let events = server.api().read("/api/v1/events?endpoint=lost").await;
    assert_eq!(events["items"][0]["type"], "observation_lost", "{events}");
    let mut told = Vec::new();
    while !(told.contains(&"observation") && told.contains(&"event")) {
        let frame = tokio::time::timeout(SOON, socket.next()).await;
        let frame = frame.expect("a message in time").expect("an open socket");
        let Frame::Text(text) = frame.expect("a message") else {
            continue;
        };
        let message: Json = serde_json::from_str(&text).expect("JSON");
        if message["kind"] == "observation" && message["state"] == "lost" {
            assert_eq!(message["paths"], json!(["/3303/0/5700"]));
            told.push("observation");
        }
        if message["kind"] == "event" && message["type"] == "observation_lost" {
            told.push("event");
        }
    }
    // A notification with the old token is nobody's.
    let stray = device.notification(observe.token, 9, TEXT, b"21");
    device.send(&stray);
    assert_eq!(device.expect("a Reset").kind, MessageType::Reset);
    let again = device.expect_request(Code::GET, "/3303/0/5700");
    device.answer_observe(&again, 1, TEXT, b"20.5");
    stands(&server, "lost", "/3303/0/5700", "active").await;
    device.notify(again.token, 2, TEXT, b"21.5");
}

#[tokio::test]
async fn silence_beyond_pmax_is_noticed() {
    let server = Server::setup()
        .setting("observations.retry_min_s", 1)
        .setting("observations.silence_grace_s", 0)
        .start()
        .await;
    without_templates(&server).await;
    let body = json!({"path": "/3303/0/5700", "attributes": {"pmax": 1}});
    send(&server, Method::POST, TEMPLATES, &body).await;
    let mut device = ScriptedDevice::new("silent", server.coap());
    device.register_now(3600, "</3303/0>");
    let written = device.expect_request(Code::PUT, "/3303/0/5700");
    device.answer(&written, Code::CHANGED, Options::new(), b"");
    let observe = device.expect_request(Code::GET, "/3303/0/5700");
    device.answer_observe(&observe, 1, TEXT, b"20.5");
    let again = device.expect_request(Code::GET, "/3303/0/5700");
    assert_eq!(
        (again.options.observe(), again.token),
        (Some(0), observe.token)
    );
    let endpoint = server.api().endpoint("silent").await.expect("the device");
    assert_eq!(endpoint["observations"][0]["state"], "requested");
    device.answer_observe(&again, 2, TEXT, b"20.5");
}

#[tokio::test]
async fn a_refusal_is_not_asked_again_before_the_next_registration() {
    let server = Server::setup()
        .setting("observations.retry_min_s", 1)
        .start()
        .await;
    let mut device = ScriptedDevice::new("refuses", server.coap());
    device.register_now(3600, "</3303/0>");
    let observe = device.expect_request(Code::GET, "/3303/0/5700");
    device.answer(&observe, Code::METHOD_NOT_ALLOWED, Options::new(), b"");
    let line = stands(&server, "refuses", "/3303/0/5700", "refused").await;
    assert!(
        line["reason"]
            .as_str()
            .is_some_and(|why| why.contains("4.05")),
        "{line}"
    );
    device.expect_silence(Duration::from_millis(1500));
    device.register_now(3600, "</3303/0>");
    let observe = device.expect_request(Code::GET, "/3303/0/5700");
    device.answer_observe(&observe, 1, TEXT, b"20.5");
    stands(&server, "refuses", "/3303/0/5700", "active").await;
}

#[tokio::test]
async fn a_passive_cancel_sends_nothing_and_resets_the_next_notification() {
    let server = Server::start().await;
    let mut device = ScriptedDevice::new("passive", server.coap());
    device.register_now(3600, "</1/0>");
    let api = server.api();
    let observe = json!({"kind": "observe", "path": "/1/0/1"});
    let operation = api.operate("passive", &observe).await;
    let request = device.expect_request(Code::GET, "/1/0/1");
    device.answer_observe(&request, 1, TEXT, b"300");
    assert_eq!(api.ended(&operation).await["status"], "CONFIRMED");
    let line = stands(&server, "passive", "/1/0/1", "active").await;
    assert!(
        line["requested_by"].is_string() && line["wanted"] == true,
        "{line}"
    );

    let cancel = json!({"kind": "cancel_observe", "path": "/1/0/1", "passive": true});
    let cancelled = api.operate("passive", &cancel).await;
    assert_eq!(cancelled["status"], "CONFIRMED", "{cancelled}");
    let note = cancelled["result"]["note"].as_str().expect("a note");
    assert!(note.contains("Reset"), "{note}");
    device.expect_silence(Duration::from_millis(300));
    let notification = device.notification(request.token, 2, TEXT, b"301");
    device.send(&notification);
    let answer = device.expect("a Reset");
    assert_eq!(
        (answer.kind, answer.message_id),
        (MessageType::Reset, notification.message_id)
    );
    let endpoint = api.endpoint("passive").await.expect("the device");
    assert_eq!(endpoint["observations"], json!([]));
}

#[tokio::test]
async fn what_somebody_observes_is_observed_again_after_a_new_registration() {
    let server = Server::start().await;
    let mut device = ScriptedDevice::new("mine", server.coap());
    device.register_now(3600, "</1/0>");
    let api = server.api();
    let observe = json!({"kind": "observe", "path": "/1/0/1"});
    let operation = api.operate("mine", &observe).await;
    let request = device.expect_request(Code::GET, "/1/0/1");
    device.answer_observe(&request, 1, TEXT, b"300");
    api.ended(&operation).await;
    device.register_now(3600, "</1/0>");
    let again = device.expect_request(Code::GET, "/1/0/1");
    assert_eq!(again.options.observe(), Some(0));
    assert_ne!(again.token, request.token);
    device.answer_observe(&again, 1, TEXT, b"300");
    let cancel = json!({"kind": "cancel_observe", "path": "/1/0/1"});
    let operation = api.operate("mine", &cancel).await;
    let request = device.expect_request(Code::GET, "/1/0/1");
    assert_eq!(request.options.observe(), Some(1));
    device.answer_content(&request, TEXT, b"300");
    api.ended(&operation).await;
    device.register_now(3600, "</1/0>");
    device.expect_silence(Duration::from_millis(500));
}
