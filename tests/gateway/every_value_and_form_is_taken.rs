//! Every type, every form of a payload, and how what came is seen by everybody else: latest values,
//! events, live messages, the list of devices.

use futures_util::StreamExt as _;
use reqwest::StatusCode;
use serde_json::{Value as Json, json};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;

use super::{composite, events, latest, presence, refused, single};
use crate::support::postgres;
use crate::support::server::{SOON, Server, eventually};

/// A custom object that no model knows: values keep the types with which they come.
const UNKNOWN: u16 = 65_000;

#[tokio::test]
async fn every_type_is_stored_as_it_is_said() {
    let server = Server::start().await;
    let api = server.api();
    for (id, kind, value) in [
        (0, "STRING", json!("grüezi <b>")),
        (1, "integer", json!("-9223372036854775808")),
        (2, "UNSIGNED_INTEGER", json!("18446744073709551615")),
        (3, "FLOAT", json!("24.899181214836236")),
        (4, "Boolean", json!(true)),
        (5, "OPAQUE", json!("01ff7e")),
        (6, "TIME", json!(1_795_440_000_000_i64)),
        (7, "OBJLNK", json!("3303:0")),
        (8, "CORELINK", json!("</3/0>")),
        (9, "NONE", json!(null)),
    ] {
        let val = json!({"kind": "singleResource", "id": id, "type": kind, "value": value});
        single(&api, "typed", UNKNOWN, val).await;
    }
    let val = json!({"kind": "multiResource", "id": 10, "type": "BOOLEAN", "values": {"0": true, "3": "false"}});
    single(&api, "typed", UNKNOWN, val).await;
    assert_eq!(
        latest(&api, "typed").await,
        [
            "/65000/0/0 STRING \"grüezi <b>\"",
            "/65000/0/1 INTEGER \"-9223372036854775808\"",
            "/65000/0/2 UNSIGNED_INTEGER \"18446744073709551615\"",
            "/65000/0/3 FLOAT 24.899181214836236",
            "/65000/0/4 BOOLEAN true",
            "/65000/0/5 OPAQUE \"Af9+\"",
            "/65000/0/6 TIME \"2026-11-23T13:20:00.000Z\"",
            "/65000/0/7 OBJLNK \"3303:0\"",
            "/65000/0/8 CORELINK \"</3/0>\"",
            "/65000/0/10/0 BOOLEAN true",
            "/65000/0/10/3 BOOLEAN false",
        ]
    );
    assert!(
        events(&api, "typed").await.is_empty(),
        "a single resource is no event"
    );
}

#[tokio::test]
async fn a_composite_is_one_event_for_each_object() {
    let server = Server::start().await;
    let api = server.api();
    composite(
        &api,
        "eventful",
        json!({
            "/10300": {"kind": "obj", "id": 10300, "instances": [{"kind": "instance", "id": 0, "resources": [
                {"kind": "singleResource", "id": 0, "type": "TIME", "value": 1_795_440_000_000_i64},
                {"kind": "singleResource", "id": 1, "type": "INTEGER", "value": "7"}
            ]}]},
            "/3303/1": {"kind": "instance", "resources": [
                {"kind": "singleResource", "id": 5700, "type": "FLOAT", "value": "21.5"}
            ]},
            "/3303/0/5700": {"kind": "singleResource", "type": "FLOAT", "value": "22.5"},
        }),
    )
    .await;
    let events = events(&api, "eventful").await;
    let mut kinds: Vec<&str> = events
        .iter()
        .map(|event| event["type"].as_str().expect("text"))
        .collect();
    kinds.sort_unstable();
    assert_eq!(kinds, ["10300", "3303"]);
    for (kind, paths) in [
        ("3303", json!(["/3303/1/5700", "/3303/0/5700"])),
        ("10300", json!(["/10300/0/0", "/10300/0/1"])),
    ] {
        let event = events
            .iter()
            .find(|event| event["type"] == kind)
            .expect("the event");
        let event = api.read(&format!("/api/v1/events/{}", event["id"])).await;
        let resources = event["resources"].as_array().expect("values");
        let found: Vec<&Json> = resources.iter().map(|node| &node["path"]).collect();
        assert_eq!(json!(found), paths);
    }
}

#[tokio::test]
async fn live_messages_tell_of_it_once_it_is_on_disk() {
    let server = Server::start().await;
    let api = server.api();
    let request = server.live_request("endpoint:alive");
    let (mut socket, _) = connect_async(request).await.expect("a socket");
    presence(&api, "alive", 0, 1_795_440_000_000).await;
    let val = json!({"kind": "singleResource", "id": 5700, "type": "FLOAT", "value": "21.5"});
    single(&api, "alive", 3303, val).await;
    composite(
        &api,
        "alive",
        json!({"/3304/0/5700": {"type": "FLOAT", "value": 40}}),
    )
    .await;
    presence(&api, "alive", 2, 1_795_440_000_000).await;
    presence(&api, "alive", 1, 1_795_440_000_000).await;
    let mut told = Vec::new();
    let end = tokio::time::Instant::now() + SOON;
    while told.last() != Some(&json!("deregistered")) {
        let message = tokio::time::timeout_at(end, socket.next())
            .await
            .unwrap_or_else(|_| panic!("a message in time; {told:?}"));
        let Message::Text(text) = message.expect("an open socket").expect("a message") else {
            continue;
        };
        let message: Json = serde_json::from_str(&text).expect("JSON");
        let path = message["path"].as_str();
        if path.is_some_and(|path| path.starts_with("/10240")) {
            continue;
        }
        if message["kind"] == "resource" {
            told.push(message["value"].clone());
        } else {
            assert!(
                message["kind"] == "event" || message["gateway"] == true,
                "{message}"
            );
            told.push(message["kind"].clone());
        }
    }
    assert_eq!(
        json!(told),
        json!(["registered", 21.5, 40.0, "event", "updated", "deregistered"])
    );
}

#[tokio::test]
async fn a_device_of_a_gateway_is_registered_until_the_gateway_says_otherwise() {
    let server = Server::start().await;
    let api = server.api();
    single(
        &api,
        "unsaid",
        3303,
        json!({"id": 5700, "type": "FLOAT", "value": 1}),
    )
    .await;
    presence(&api, "there", 0, 1_795_440_000_123).await;
    presence(&api, "gone", 0, 1_795_440_000_000).await;
    presence(&api, "gone", 1, 1_795_440_100_000).await;
    let there = api.endpoint("there").await.expect("the device");
    assert_eq!(there["registered"], true);
    assert_eq!(there["gateway"], true);
    assert_eq!(there["registered_at"], "2026-11-23T13:20:00.123Z");
    assert!(there["last_seen_at"].is_string());
    for field in [
        "address",
        "secure",
        "lwm2m_version",
        "binding",
        "lifetime_s",
        "expires_at",
    ] {
        assert_eq!(there[field], Json::Null, "{field}");
    }
    assert_eq!(there["awake"], false);
    for (filter, names) in [
        ("", json!(["gone", "there", "unsaid"])),
        ("?registered=true", json!(["there"])),
        ("?registered=false", json!(["gone", "unsaid"])),
    ] {
        let list = api.read(&format!("/api/v1/endpoints{filter}")).await;
        let items = list["items"].as_array().expect("items").iter();
        let found: Vec<&Json> = items.map(|item| &item["name"]).collect();
        assert_eq!(json!(found), names, "{filter}");
    }
    let history = latest(&api, "gone").await;
    assert_eq!(
        history,
        [
            "/10240/0/0 TIME \"2026-11-23T13:20:00.000Z\"",
            "/10240/0/1 TIME \"2026-11-23T13:21:40.000Z\"",
        ]
    );
    // Nobody is kept waiting for a device that this server does not talk to.
    eventually("the actors of the gateway's devices end", SOON, || async {
        (server.metric("flownexus_actors").await == 0.0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn values_that_contradict_their_model_are_kept_and_told() {
    let server = Server::start().await;
    let api = server.api();
    for (id, kind, value) in [
        (9, "STRING", json!("nearly full")),
        (10, "FLOAT", json!("15.5")),
        (20, "FLOAT", json!("1.0")),
    ] {
        let val = json!({"kind": "singleResource", "id": id, "type": kind, "value": value});
        single(&api, "odd", 3, val).await;
    }
    assert_eq!(
        latest(&api, "odd").await,
        [
            "/3/0/9 STRING \"nearly full\"",
            "/3/0/10 FLOAT 15.5",
            "/3/0/20 INTEGER 1",
        ]
    );
    let device = api.endpoint("odd").await.expect("the device");
    let warnings = device["warnings"].as_array().expect("warnings");
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(
        warnings
            .iter()
            .all(|warning| warning["code"] == "wrong_type")
    );
    assert!(
        warnings[0]["message"]
            .as_str()
            .is_some_and(|text| text.contains("/3/0/9"))
    );
}

#[tokio::test]
async fn one_bad_value_refuses_all_and_what_was_answered_survives_a_kill() {
    let mut server = Server::start().await;
    let api = server.api();
    let payload = |second: Json| {
        json!({"ep": "whole", "val": {
            "/3": {"kind": "obj", "id": 3, "instances": [{"kind": "instance", "id": 0, "resources": [
                {"kind": "singleResource", "id": 0, "type": "STRING", "value": "Zephyr"},
                {"kind": "singleResource", "id": 9, "type": "INTEGER", "value": second}
            ]}]}
        }})
    };
    let place = refused(&api, super::COMPOSITE, &payload(json!("full"))).await;
    assert_eq!(place, "val./3.instances[0].resources[1].value");
    assert!(
        api.endpoint("whole").await.is_none(),
        "nothing of it was stored"
    );
    for (body, status) in [("{", 400), ("[]", 422), ("{\"ep\": \"x\"", 400)] {
        let request = api.request(reqwest::Method::POST, super::SINGLE);
        let answer = request
            .header("content-type", "application/json")
            .body(body)
            .send()
            .await
            .expect("an answer");
        assert_eq!(answer.status().as_u16(), status, "{body}");
    }

    let answer = api.post(super::COMPOSITE, &payload(json!("95"))).await;
    assert_eq!(answer.status(), StatusCode::CREATED);
    presence(&api, "whole", 0, 1_795_440_000_000).await;
    server.kill();
    server.restart().await;
    let api = server.api();
    let whole = latest(&api, "whole").await;
    assert_eq!(
        whole[..2],
        ["/3/0/0 STRING \"Zephyr\"", "/3/0/9 INTEGER 95"]
    );
    assert_eq!(events(&api, "whole").await.len(), 1);
    let device = api.endpoint("whole").await.expect("the device");
    assert_eq!(
        (&device["registered"], &device["gateway"]),
        (&json!(true), &json!(true))
    );
    // What came before the kill still decides.
    presence(&api, "whole", 1, 1_795_439_000_000).await;
    assert_eq!(api.endpoint("whole").await.expect("it")["registered"], true);
    presence(&api, "whole", 1, 1_795_440_000_000).await;
    assert_eq!(
        api.endpoint("whole").await.expect("it")["registered"],
        false
    );
}

#[tokio::test]
async fn devices_are_made_up_to_the_limit_and_may_be_forgotten() {
    let server = Server::setup()
        .setting("registration.max_endpoints", 2)
        .setting("registration.unknown_endpoints", "deny")
        .start()
        .await;
    let api = server.api();
    let val = json!({"kind": "singleResource", "id": 5700, "type": "FLOAT", "value": "1"});
    single(&api, "one", 3303, val.clone()).await;
    single(&api, "two", 3303, val.clone()).await;
    let body = json!({"ep": "three", "obj_id": 3303, "val": val.clone()});
    let answer = api.post(super::SINGLE, &body).await;
    assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS);
    let problem: Json = answer.json().await.expect("JSON");
    assert!(
        problem["detail"]
            .as_str()
            .is_some_and(|text| text.contains("max_endpoints"))
    );
    assert_eq!(
        api.delete("/api/v1/endpoints/one").await.status(),
        StatusCode::NO_CONTENT
    );
    single(&api, "three", 3303, val.clone()).await;
    single(&api, "two", 3303, val).await;
    assert!(api.endpoint("one").await.is_none());
}

#[tokio::test]
async fn many_at_once_for_one_device_are_all_taken_in_one_piece() {
    let server = Server::setup().setting("endpoint.mailbox", 4).start().await;
    let api = server.api();
    let posts = (0..60).map(|number| {
        let api = api.clone();
        async move {
            let val =
                json!({"kind": "singleResource", "id": 5700, "type": "FLOAT", "value": number});
            single(&api, "busy", 3303, val).await;
        }
    });
    futures_util::future::join_all(posts).await;
    let rows = api.read("/leshan_api/data/temperature/").await;
    let mut values: Vec<i64> = rows
        .as_array()
        .expect("rows")
        .iter()
        .map(|row| row["value"].as_f64().expect("a number") as i64)
        .collect();
    values.sort_unstable();
    assert_eq!(values, (0..60).collect::<Vec<_>>(), "each of them once");
}

#[tokio::test]
async fn the_same_with_postgresql() {
    let Some(url) = postgres::new_database() else {
        return;
    };
    let mut server = Server::setup().setting("database.url", &url).start().await;
    let api = server.api();
    presence(&api, "elephant", 0, 1_795_440_000_000).await;
    let long = "x".repeat(100_000);
    composite(
        &api,
        "elephant",
        json!({"/65000/0": {"resources": [
            {"id": 0, "type": "STRING", "value": long},
            {"id": 1, "type": "UNSIGNED_INTEGER", "value": "18446744073709551615"},
            {"id": 2, "type": "STRING", "value": "with \u{0} inside"},
        ]}}),
    )
    .await;
    server.kill();
    server.restart().await;
    let api = server.api();
    assert_eq!(latest(&api, "elephant").await.len(), 4);
    let list = api.read("/api/v1/endpoints?registered=true").await;
    assert_eq!(list["items"][0]["gateway"], true);
    assert_eq!(events(&api, "elephant").await.len(), 1);
}
