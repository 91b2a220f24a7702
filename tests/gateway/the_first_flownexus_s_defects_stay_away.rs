//! The defects of the first flownexus that concern this API, each by its number in the list, and why
//! it cannot come back.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value as Json, json};

use super::{SINGLE, composite, events, latest, presence, refused, single};
use crate::support::device::{ScriptedDevice, TEXT};
use crate::support::server::Server;
use flownexus::coap::Code;

const REGISTERED: u16 = 0;
const UNREGISTERED: u16 = 1;
const UPDATED: u16 = 2;

/// Leshan's messages are unordered: the end of an old registration may come after the beginning of
/// the new one, each with the date of its registration.
#[tokio::test]
async fn defect_4_an_old_end_that_comes_late_does_not_win() {
    let server = Server::start().await;
    let api = server.api();
    let (old, new) = (1_795_440_000_000, 1_795_440_060_000);
    let registered = async |name: &str| {
        let device = api.endpoint(name).await.expect("the device");
        device["registered"].as_bool().expect("yes or no")
    };
    presence(&api, "late", REGISTERED, old).await;
    presence(&api, "late", REGISTERED, new).await;
    presence(&api, "late", UNREGISTERED, old).await;
    assert!(registered("late").await);
    presence(&api, "late", UNREGISTERED, new).await;
    assert!(!registered("late").await);
    // The end overtook the beginning, and an update; nothing of that comes back.
    presence(&api, "overtaken", UNREGISTERED, old).await;
    presence(&api, "overtaken", REGISTERED, old).await;
    presence(&api, "overtaken", UPDATED, old).await;
    assert!(!registered("overtaken").await);
    // The message of the beginning was lost: an update says as much. Twice is as good as once.
    presence(&api, "lost", UPDATED, old).await;
    presence(&api, "lost", UPDATED, old).await;
    assert!(registered("lost").await);
}

/// The registered state was never consulted, and operations were sent only on some events. Here an
/// operation for a device of a gateway waits and says why, and goes when the device comes itself.
#[tokio::test]
async fn defect_5_operations_wait_and_say_why_until_the_device_comes_itself() {
    let server = Server::start().await;
    let api = server.api();
    presence(&api, "wanderer", REGISTERED, 1_795_440_000_000).await;
    let operation = api
        .operate("wanderer", &json!({"kind": "read", "path": "/1/0/1"}))
        .await;
    assert_eq!(operation["status"], "QUEUED");
    let said = |operation: &Json| {
        operation["waits_for"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    assert!(
        said(&operation).contains("registered through a gateway"),
        "{operation}"
    );
    presence(&api, "wanderer", UPDATED, 1_795_440_000_000).await;
    let shown = api
        .read(&format!("/api/v1/operations/{}", operation["id"]))
        .await;
    assert_eq!(
        (&shown["status"], &shown["attempts"]),
        (&json!("QUEUED"), &json!(0))
    );
    assert!(
        said(&shown).contains("nothing can be sent to it from here"),
        "{shown}"
    );
    let list = api.read("/api/v1/endpoints/wanderer/operations").await;
    assert!(said(&list["items"][0]).contains("gateway"));

    let mut device = ScriptedDevice::new("wanderer", server.coap());
    device.register_now(3600, "</1/0>");
    let read = device.expect_request(Code::GET, "/1/0/1");
    device.answer_content(&read, TEXT, b"300");
    let ended = api.ended(&operation).await;
    assert_eq!(
        (&ended["status"], &ended["waits_for"]),
        (&json!("CONFIRMED"), &Json::Null)
    );
    // What comes itself counts more than what a gateway says of it.
    let shown = api.endpoint("wanderer").await.expect("the device");
    assert_eq!(
        (&shown["registered"], &shown["gateway"]),
        (&json!(true), &json!(false))
    );
    presence(&api, "wanderer", UNREGISTERED, 1_795_440_060_000).await;
    let shown = api.endpoint("wanderer").await.expect("the device");
    assert_eq!(shown["registered"], true);
    device.expect_silence(Duration::from_millis(300));
}

/// Resources with instances were dropped, and the object instance was not stored.
#[tokio::test]
async fn defect_6_every_level_of_the_path_is_kept() {
    let server = Server::start().await;
    let api = server.api();
    composite(
        &api,
        "deep",
        json!({"/3303": {"kind": "obj", "id": 3303, "instances": [
            {"kind": "instance", "id": 0, "resources": [{"kind": "singleResource", "id": 5700, "type": "FLOAT", "value": "1"}]},
            {"kind": "instance", "id": 7, "resources": [{"kind": "singleResource", "id": 5700, "type": "FLOAT", "value": "2"}]}
        ]}, "/3/0/7": {"kind": "multiResource", "id": 7, "type": "INTEGER", "values": {"0": "3800", "1": "5000"}}}),
    )
    .await;
    assert_eq!(
        latest(&api, "deep").await,
        [
            "/3/0/7/0 INTEGER 3800",
            "/3/0/7/1 INTEGER 5000",
            "/3303/0/5700 FLOAT 1.0",
            "/3303/7/5700 FLOAT 2.0",
        ]
    );
}

/// One boolean or object link lost the whole object, for example /3 of a device with 3/0/22.
#[tokio::test]
async fn defect_7_no_type_loses_the_object_around_it() {
    let server = Server::start().await;
    let api = server.api();
    composite(
        &api,
        "linked",
        json!({"/3": {"kind": "obj", "id": 3, "instances": [{"kind": "instance", "id": 0, "resources": [
            {"kind": "singleResource", "id": 0, "type": "STRING", "value": "Zephyr"},
            {"kind": "singleResource", "id": 21, "type": "UNSIGNED_INTEGER", "value": "128"},
            {"kind": "multiResource", "id": 22, "type": "OBJLNK",
             "values": {"0": {"objectId": 3303, "objectInstanceId": 0, "nullLink": false}}}
        ]}]},
        "/65000/0": {"resources": [
            {"id": 0, "type": "BOOLEAN", "value": true},
            {"id": 1, "type": "OPAQUE", "value": "00ff"},
            {"id": 2, "type": "CORELINK", "value": "</3>"}
        ]}}),
    )
    .await;
    assert_eq!(
        latest(&api, "linked").await,
        [
            "/3/0/0 STRING \"Zephyr\"",
            "/3/0/21 INTEGER 128",
            "/3/0/22/0 OBJLNK \"3303:0\"",
            "/65000/0/0 BOOLEAN true",
            "/65000/0/1 OPAQUE \"AP8=\"",
            "/65000/0/2 CORELINK \"</3>\"",
        ]
    );
}

/// An unknown resource was an uncaught exception: 500, and half an event stayed behind.
#[tokio::test]
async fn defect_8_unknown_resources_are_kept_and_nothing_is_half_stored() {
    let server = Server::start().await;
    let api = server.api();
    composite(
        &api,
        "unknown",
        json!({"/10300/0/77": {"type": "INTEGER", "value": 1}, "/64999/3/9": {"type": "STRING", "value": "x"}}),
    )
    .await;
    assert_eq!(
        latest(&api, "unknown").await,
        ["/10300/0/77 INTEGER 1", "/64999/3/9 STRING \"x\""]
    );
    let events_before = events(&api, "unknown").await.len();
    let body = json!({"ep": "unknown", "val": {
        "/10300/0/77": {"type": "INTEGER", "value": 2}, "/64999/3/9": {"type": "COLOUR", "value": "x"}}});
    assert_eq!(
        refused(&api, super::COMPOSITE, &body).await,
        "val./64999/3/9.type"
    );
    assert_eq!(latest(&api, "unknown").await[0], "/10300/0/77 INTEGER 1");
    assert_eq!(events(&api, "unknown").await.len(), events_before);
}

/// Texts above 255 characters were refused, and times in milliseconds did not fit their column.
#[tokio::test]
async fn defect_9_long_texts_and_64_bits_fit() {
    let server = Server::start().await;
    let api = server.api();
    let long = "ä".repeat(200_000);
    for (id, kind, value) in [
        (0, "STRING", json!(long)),
        (1, "INTEGER", json!(i64::MAX)),
        (2, "TIME", json!(4_102_444_800_000_i64)),
    ] {
        let val = json!({"kind": "singleResource", "id": id, "type": kind, "value": value});
        single(&api, "wide", 65_000, val).await;
    }
    let kept = latest(&api, "wide").await;
    assert_eq!(
        kept[0].chars().count(),
        "/65000/0/0 STRING \"\"".len() + 200_000
    );
    assert_eq!(kept[1], "/65000/0/1 INTEGER \"9223372036854775807\"");
    assert_eq!(kept[2], "/65000/0/2 TIME \"2100-01-01T00:00:00.000Z\"");
    let body = json!({"ep": "wide", "obj_id": 65_000, "val": {"id": 0, "type": "STRING", "value": "x".repeat(2_000_000)}});
    let answer = api.post(SINGLE, &body).await;
    assert_eq!(
        answer.status(),
        StatusCode::PAYLOAD_TOO_LARGE,
        "the limit is web.max_json_bytes"
    );
}

/// The time of a value was when its row was written.
#[tokio::test]
async fn defect_10_the_device_s_own_time_is_kept() {
    let server = Server::start().await;
    let api = server.api();
    for (at, value) in [("2026-11-23T12:00:10Z", 2), ("2026-11-23T12:00:00Z", 1)] {
        let val = json!({"kind": "singleResource", "id": 5700, "type": "FLOAT", "value": value, "timestamp": at});
        single(&api, "timely", 3303, val).await;
    }
    // What is older does not become the latest, though it came later.
    assert_eq!(latest(&api, "timely").await, ["/3303/0/5700 FLOAT 2.0"]);
    let history = api
        .read("/api/v1/endpoints/timely/history?path=/3303/0/5700&from=2026-11-23T11:00:00Z&to=2026-11-23T13:00:00Z")
        .await;
    assert_eq!(
        history["points"],
        json!([[1_795_435_200_000_i64, 1.0], [1_795_435_210_000_i64, 2.0]])
    );
}

/// Types that Leshan guessed without a model, 22 as INTEGER for one, were refused.
#[tokio::test]
async fn defect_12_a_guessed_type_becomes_that_of_the_model() {
    let server = Server::start().await;
    let api = server.api();
    let val = json!({"kind": "singleResource", "id": 5700, "type": "INTEGER", "value": "22"});
    single(&api, "guessed", 3303, val).await;
    assert_eq!(latest(&api, "guessed").await, ["/3303/0/5700 FLOAT 22.0"]);
    let device = api.endpoint("guessed").await.expect("the device");
    assert_eq!(device["warnings"], json!([]));
}

/// Anybody who could reach the page could forge data and unregister devices.
#[tokio::test]
async fn defect_14_nobody_posts_without_a_token() {
    let server = Server::start().await;
    presence(&server.api(), "mine", REGISTERED, 1_795_440_000_000).await;
    let forged = json!({"ep": "mine", "obj_id": 10240,
        "val": {"kind": "singleResource", "id": 1, "type": "TIME", "value": 1_795_450_000_000_i64}});
    for api in [server.anonymous(), server.api().with_token("rubbish")] {
        let answer = api.post(SINGLE, &forged).await;
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
        let problem: Json = answer.json().await.expect("JSON");
        assert_eq!(problem["code"], "unauthorized");
    }
    let device = server.api().endpoint("mine").await.expect("the device");
    assert_eq!(device["registered"], true);
}

/// An unknown name was answered with 500.
#[tokio::test]
async fn defect_16_an_unknown_name_is_404() {
    let server = Server::start().await;
    let api = server.api();
    for path in ["/leshan_api/data/colour/", "/leshan_api/data/colour"] {
        let answer = api.get(path).await;
        assert_eq!(answer.status(), StatusCode::NOT_FOUND);
        let problem: Json = answer.json().await.expect("JSON");
        assert_eq!(problem["code"], "not_found");
    }
    // A name without rows is known all the same.
    assert_eq!(api.read("/leshan_api/data/humidity/").await, json!([]));
}

/// The state of object 5 outside of an update was refused, and its state 2 started one.
#[tokio::test]
async fn defect_17_firmware_states_are_stored_and_start_nothing() {
    let server = Server::start().await;
    let api = server.api();
    for (id, value) in [(3, "2"), (5, "1")] {
        let val = json!({"kind": "singleResource", "id": id, "type": "INTEGER", "value": value});
        single(&api, "updating", 5, val).await;
    }
    assert_eq!(
        latest(&api, "updating").await,
        ["/5/0/3 INTEGER 2", "/5/0/5 INTEGER 1"]
    );
    let operations = api.read("/api/v1/endpoints/updating/operations").await;
    assert_eq!(operations["items"], json!([]));
}
