//! What is wanted to be observed is on disk: it is pursued after SIGKILL as before, and what was
//! changed while the server was down is made up for.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value as Json, json};

use crate::support::device::{ScriptedDevice, TEXT};
use crate::support::postgres;
use crate::support::server::{SOON, Server, eventually};
use flownexus::coap::{Code, Message, MessageType, Options};

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

async fn lost_and_found(mut server: Server) {
    let mut device = ScriptedDevice::new("found", server.coap());
    device.register_now(3600, "</3303/0>");
    let observe = device.expect_request(Code::GET, "/3303/0/5700");
    device.answer_observe(&observe, 1, TEXT, b"20.5");
    stands(&server, "found", "/3303/0/5700", "active").await;
    let gone = Message {
        kind: MessageType::Confirmable,
        code: Code::NOT_FOUND,
        message_id: device.next_message_id(),
        token: observe.token,
        options: Options::new(),
        payload: Vec::new(),
    };
    device.send(&gone);
    device.expect_acknowledgement(&gone);

    // Acknowledged, so it is on disk that it was lost.
    server.kill();
    server.restart().await;

    let again = device.expect_request(Code::GET, "/3303/0/5700");
    assert_eq!(again.options.observe(), Some(0));
    device.answer_observe(&again, 1, TEXT, b"20.5");
    stands(&server, "found", "/3303/0/5700", "active").await;
    device.notify(again.token, 2, TEXT, b"21.5");
}

#[tokio::test]
async fn a_loss_is_made_up_for_after_a_kill() {
    let setup = Server::setup().setting("observations.retry_min_s", 2);
    lost_and_found(setup.start().await).await;
}

#[tokio::test]
async fn a_loss_is_made_up_for_after_a_kill_on_postgresql() {
    let Some(url) = postgres::new_database() else {
        return;
    };
    let setup = Server::setup()
        .setting("database.url", &url)
        .setting("observations.retry_min_s", 2);
    lost_and_found(setup.start().await).await;
}

#[tokio::test]
async fn what_is_wanted_of_a_sleeping_device_outlives_a_kill() {
    let mut server = Server::setup()
        .setting("queue_mode.awake_s", 1)
        .start()
        .await;
    let mut device = ScriptedDevice::new("asleep", server.coap());
    let query = ["lt=3600", "lwm2m=1.1", "b=U", "Q"].map(str::to_owned);
    let register = device.register_with(&query, "</3303/0>,</3304/0>");
    let answer = device.ask(&register);
    device.take_location(&answer);
    for path in ["/3303/0/5700", "/3304/0/5700"] {
        let observe = device.expect_request(Code::GET, path);
        device.answer_observe(&observe, 1, TEXT, b"20.5");
    }
    device.expect_silence(Duration::from_millis(2200));
    // It sleeps. One template goes, its tags come, and the server dies at once.
    let templates = server.api().read("/api/v1/observation-templates").await;
    let template = templates["items"]
        .as_array()
        .expect("a list")
        .iter()
        .find(|template| template["paths"] == json!(["/3304/0/5700"]))
        .expect("the template");
    let path = format!("/api/v1/observation-templates/{}", template["id"]);
    assert_eq!(server.api().delete(&path).await.status(), 204);
    let patch = server
        .api()
        .request(Method::PATCH, "/api/v1/endpoints/asleep")
        .json(&json!({"tags": ["lab"], "awake_s": 2}));
    assert_eq!(patch.send().await.expect("an answer").status(), 200);

    server.kill();
    server.restart().await;

    let endpoint = server.api().endpoint("asleep").await.expect("the device");
    assert_eq!(
        (&endpoint["tags"], &endpoint["awake_s"]),
        (&json!(["lab"]), &json!(2))
    );
    let update = device.update();
    assert_eq!(device.ask(&update).code, Code::CHANGED);
    let cancel = device.expect_request(Code::GET, "/3304/0/5700");
    assert_eq!(cancel.options.observe(), Some(1));
    device.answer_content(&cancel, TEXT, b"48");
    stands(&server, "asleep", "/3303/0/5700", "active").await;
    device.expect_silence(Duration::from_millis(300));
}

#[tokio::test]
async fn a_passive_cancel_outlives_a_kill() {
    let mut server = Server::start().await;
    let mut device = ScriptedDevice::new("dropped", server.coap());
    device.register_now(3600, "</1/0>");
    let observe = json!({"kind": "observe", "path": "/1/0/1"});
    let operation = server.api().operate("dropped", &observe).await;
    let request = device.expect_request(Code::GET, "/1/0/1");
    device.answer_observe(&request, 1, TEXT, b"300");
    server.api().ended(&operation).await;
    let cancel = json!({"kind": "cancel_observe", "path": "/1/0/1", "passive": true});
    let cancelled = server.api().operate("dropped", &cancel).await;
    assert_eq!(cancelled["status"], "CONFIRMED");

    server.kill();
    server.restart().await;

    let notification = device.notification(request.token, 2, TEXT, b"301");
    device.send(&notification);
    assert_eq!(device.expect("a Reset").kind, MessageType::Reset);
    let endpoint = server.api().endpoint("dropped").await.expect("the device");
    assert_eq!(endpoint["observations"], json!([]));
}
