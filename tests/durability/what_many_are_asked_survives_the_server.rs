//! What was asked of many devices is on disk before the answer: a server that is killed right after it goes on, and
//! makes no operation twice.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value as Json, json};

use crate::support::device::ScriptedDevice;
use crate::support::server::{SOON, Server, eventually};
use flownexus::coap::Code;

const DEVICES: usize = 24;

/// Names that nobody has, so that there are more turns than are taken at once.
const NOBODY: usize = 600;

#[tokio::test]
async fn a_killed_server_goes_on_and_asks_nobody_twice() {
    let mut server = Server::setup()
        .setting("queue_mode.awake_s", 1)
        .start()
        .await;
    let mut devices: Vec<ScriptedDevice> = (0..DEVICES)
        .map(|number| ScriptedDevice::new(&format!("sleeper-{number:02}"), server.coap()))
        .collect();
    for device in &mut devices {
        let query = ["lt=3600", "lwm2m=1.1", "b=U", "Q"].map(str::to_owned);
        let register = device.register_with(&query, "</1/0>");
        let answer = device.ask(&register);
        assert_eq!(answer.code, Code::CREATED);
        device.take_location(&answer);
    }
    for device in &mut devices {
        device.expect_silence(Duration::from_millis(50));
    }
    // Those that exist are spread among the others.
    let names: Vec<String> = (0..NOBODY)
        .map(|number| match number % (NOBODY / DEVICES) {
            0 => format!("sleeper-{:02}", number / (NOBODY / DEVICES)),
            _ => format!("nobody-{number}"),
        })
        .collect();
    let body = json!({"names": names, "kind": "read", "path": "/1/0/1"});
    let ask = async |server: &Server| {
        let request = server
            .api()
            .request(Method::POST, "/api/v1/bulk-operations");
        let request = request.header("idempotency-key", "once").json(&body);
        let answer = request.send().await.expect("an answer");
        assert_eq!(answer.status(), 201);
        answer.json::<Json>().await.expect("JSON")
    };
    let made = ask(&server).await;
    let path = format!("/api/v1/bulk-operations/{}", made["id"]);
    // Before the first turn is noted, and while there are more to come. Who did not hear the answer asks again.
    server.kill();
    server.restart().await;
    assert_eq!(ask(&server).await["id"], made["id"]);
    let api = server.api();
    eventually("some have had their turn", SOON, || async {
        let bulk = api.read(&path).await;
        (bulk["counts"]["pending"] != NOBODY).then_some(())
    })
    .await;
    server.kill();
    server.restart().await;
    let api = server.api();
    let bulk: Json = eventually("the bulk operation is through", SOON, || async {
        let bulk = api.read(&path).await;
        (bulk["state"] == "FINISHED").then_some(bulk)
    })
    .await;
    assert_eq!(bulk["devices"], NOBODY, "{bulk}");
    assert_eq!(bulk["counts"]["refused"], NOBODY - DEVICES, "{bulk}");
    assert_eq!(bulk["counts"]["queued"], DEVICES, "{bulk}");
    for device in &devices {
        let path = format!("/api/v1/endpoints/{}/operations", device.name());
        let operations = server.api().read(&path).await;
        let reads = operations["items"].as_array().expect("operations").iter();
        let reads = reads.filter(|one| one["path"] == "/1/0/1").count();
        assert_eq!(reads, 1, "{}: {operations}", device.name());
    }

    // And it is taken back as a whole, over a kill as well.
    let answer = server.api().delete(&path).await;
    assert_eq!(answer.status(), 200);
    server.kill();
    server.restart().await;
    let api = server.api();
    let bulk: Json = eventually("the bulk operation is taken back", SOON, || async {
        let bulk = api.read(&path).await;
        (bulk["state"] == "CANCELLED").then_some(bulk)
    })
    .await;
    assert_eq!(bulk["counts"]["cancelled"], DEVICES, "{bulk}");
}
