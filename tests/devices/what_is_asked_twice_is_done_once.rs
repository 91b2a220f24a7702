//! `Idempotency-Key`: a request that is sent again, for want of an answer, makes no second operation.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use serde_json::{Value as Json, json};

use crate::support::device::{ScriptedDevice, TEXT};
use crate::support::server::{Api, Server};
use flownexus::coap::Code;

/// Asks with a key, and returns the status, whether it was asked for before, and the answer.
async fn ask(api: &Api, path: &str, key: &str, body: &Json) -> (u16, bool, Json) {
    let request = api.request(reqwest::Method::POST, path);
    let request = request.header("Idempotency-Key", key).json(body);
    let answer = request.send().await.expect("an answer");
    let replayed = answer.headers().contains_key("idempotent-replayed");
    let status = answer.status().as_u16();
    (status, replayed, answer.json().await.expect("JSON"))
}

fn reboot() -> Json {
    json!({"kind": "execute", "path": "/3/0/4"})
}

const OPERATIONS: &str = "/api/v1/endpoints/thing/operations";

#[tokio::test]
async fn also_after_the_server_was_killed() {
    let mut server = Server::start().await;
    let mut device = ScriptedDevice::new("thing", server.coap());
    device.register_now(3600, "</1/0>");
    let api = server.api();
    let (status, replayed, first) = ask(&api, OPERATIONS, "\"reboot 1\"", &reboot()).await;
    assert_eq!((status, replayed), (201, false), "{first}");
    let execute = device.expect_request(Code::POST, "/3/0/4");
    device.answer_content(&execute, TEXT, b"");
    assert_eq!(api.ended(&first).await["status"], "CONFIRMED");

    let (status, replayed, again) = ask(&api, OPERATIONS, "reboot 1", &reboot()).await;
    assert_eq!((status, replayed), (200, true), "{again}");
    assert_eq!(again["id"], first["id"]);

    server.kill();
    server.restart().await;

    let api = server.api();
    let wait = format!("{OPERATIONS}?wait=5");
    let (status, replayed, again) = ask(&api, &wait, "\"reboot 1\"", &reboot()).await;
    assert_eq!((status, replayed), (200, true), "{again}");
    assert_eq!(
        (&again["id"], &again["status"]),
        (&first["id"], &json!("CONFIRMED"))
    );
    let all = api.read(OPERATIONS).await;
    let reboots = all["items"].as_array().expect("a list").iter();
    assert_eq!(
        reboots.filter(|it| it["kind"] == "execute").count(),
        1,
        "{all}"
    );
}

#[tokio::test]
async fn also_when_both_come_at_once_and_wait_for_the_end() {
    let server = Server::start().await;
    let mut device = ScriptedDevice::new("thing", server.coap());
    device.register_now(3600, "</1/0>");
    let api = server.api();
    let wait = format!("{OPERATIONS}?wait=20");
    let body = json!({"kind": "read", "path": "/1/0/1"});
    let asked = join_all((0..20).map(|_| ask(&api, &wait, "key", &body)));
    let answered = async {
        tokio::task::spawn_blocking(move || {
            let read = device.expect_request(Code::GET, "/1/0/1");
            device.answer_content(&read, TEXT, b"3600");
            device
        })
        .await
        .expect("a device")
    };
    let (asked, mut device) = tokio::join!(asked, answered);
    let ids: BTreeSet<i64> = asked
        .iter()
        .filter_map(|(_, _, it)| it["id"].as_i64())
        .collect();
    assert_eq!(ids.len(), 1, "{asked:?}");
    assert_eq!(asked.iter().filter(|(_, replayed, _)| !replayed).count(), 1);
    for (status, _, operation) in &asked {
        assert_eq!(
            (*status, &operation["status"]),
            (200, &json!("CONFIRMED")),
            "{operation}"
        );
    }
    device.expect_silence(std::time::Duration::from_millis(300));
}

#[tokio::test]
async fn a_key_that_comes_with_something_else_is_refused() {
    let server = Server::start().await;
    let mut device = ScriptedDevice::new("thing", server.coap());
    device.register_now(3600, "</1/0>");
    let api = server.api();
    let (_, _, first) = ask(&api, OPERATIONS, "key", &reboot()).await;
    let other = json!({"kind": "execute", "path": "/3/0/5"});
    let later = json!({"kind": "execute", "path": "/3/0/4", "expires_in_s": 60});
    let repeat = format!("/api/v1/operations/{}/repeat", first["id"]);
    for (path, body) in [
        (OPERATIONS, &other),
        (OPERATIONS, &later),
        (repeat.as_str(), &Json::Null),
    ] {
        let (status, _, problem) = ask(&api, path, "key", body).await;
        assert_eq!(
            (status, &problem["code"]),
            (422, &json!("idempotency_key_reused")),
            "{problem}"
        );
        assert_eq!(problem["field"], "Idempotency-Key");
    }
    // A key of one's own for the same: another operation. So it is for another person's same key.
    let (status, replayed, second) = ask(&api, OPERATIONS, "key 2", &reboot()).await;
    assert_eq!((status, replayed), (201, false));
    assert_ne!(second["id"], first["id"]);
    let token = api
        .create(
            "/api/v1/tokens",
            &json!({"name": "other", "role": "operator"}),
        )
        .await;
    let theirs = api.with_token(token["token"].as_str().expect("a token"));
    let (status, replayed, third) = ask(&theirs, OPERATIONS, "key", &reboot()).await;
    assert_eq!((status, replayed), (201, false), "{third}");
    // Repeating is asked for once as well.
    let (status, replayed, repeated) = ask(&api, &repeat, "again", &Json::Null).await;
    assert_eq!((status, replayed), (201, false), "{repeated}");
    let (status, replayed, same) = ask(&api, &repeat, "again", &Json::Null).await;
    assert_eq!(
        (status, replayed, &same["id"]),
        (201, true, &repeated["id"])
    );
}

#[tokio::test]
async fn the_end_of_an_operation_can_be_waited_for_later() {
    let server = Server::start().await;
    let mut device = ScriptedDevice::new("thing", server.coap());
    device.register_now(3600, "</1/0>");
    let api = server.api();
    let body = json!({"kind": "read", "path": "/1/0/1"});
    let operation = api.operate("thing", &body).await;
    let path = format!("/api/v1/operations/{}", operation["id"]);
    let at_once = api.read(&format!("{path}?wait=0")).await;
    assert_ne!(at_once["status"], "CONFIRMED");
    let wait = format!("{path}?wait=20");
    let waiting = api.read(&wait);
    let answered = tokio::task::spawn_blocking(move || {
        let read = device.expect_request(Code::GET, "/1/0/1");
        device.answer_content(&read, TEXT, b"3600");
    });
    let (ended, answered) = tokio::join!(waiting, answered);
    answered.expect("a device");
    assert_eq!(ended["status"], "CONFIRMED", "{ended}");
    assert_eq!(ended["result"]["nodes"][0]["value"], 3600);
}
