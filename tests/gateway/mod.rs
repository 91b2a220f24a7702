//! An outside LwM2M gateway that posts what it hears, as the Leshan of the first flownexus did.

mod every_resource_type_is_taken;
mod every_value_and_form_is_taken;
mod rows_are_listed_as_before;
mod the_first_flownexus_s_defects_stay_away;

use reqwest::{Response, StatusCode};
use serde_json::{Value as Json, json};

use crate::support::server::Api;

const SINGLE: &str = "/leshan_api/resource/single";
const COMPOSITE: &str = "/leshan_api/resource/composite";

/// Posts a resource that must be taken; the answer repeats it.
async fn single(api: &Api, endpoint: &str, object: u16, val: Json) {
    let body = json!({"ep": endpoint, "obj_id": object, "val": val});
    taken(api.post(SINGLE, &body).await, &body).await;
}

/// Posts objects that must be taken.
async fn composite(api: &Api, endpoint: &str, val: Json) {
    let body = json!({"ep": endpoint, "val": val});
    taken(api.post(COMPOSITE, &body).await, &body).await;
}

async fn taken(answer: Response, body: &Json) {
    let status = answer.status();
    let echo: Json = answer.json().await.expect("JSON");
    assert_eq!(status, StatusCode::CREATED, "{body}: {echo}");
    assert_eq!(echo, *body);
}

/// Posts what must be refused with 422, and returns the place that the problem names.
async fn refused(api: &Api, path: &str, body: &Json) -> String {
    let answer = api.post(path, body).await;
    assert_eq!(answer.status(), StatusCode::UNPROCESSABLE_ENTITY, "{body}");
    assert_eq!(
        answer.headers()["content-type"],
        "application/problem+json",
        "{body}"
    );
    let problem: Json = answer.json().await.expect("JSON");
    problem["field"].as_str().expect("a place").to_owned()
}

/// The device registered with, left or updated its registration with the gateway.
async fn presence(api: &Api, endpoint: &str, resource: u16, millis: i64) {
    let val = json!({"kind": "singleResource", "id": resource, "type": "TIME", "value": millis});
    single(api, endpoint, 10240, val).await;
}

/// The latest values of a device: `/3/0/0 STRING "Zephyr"`.
async fn latest(api: &Api, endpoint: &str) -> Vec<String> {
    let path = format!("/api/v1/endpoints/{endpoint}/resources");
    let latest = api.read(&path).await;
    let items = latest["items"].as_array().expect("items").iter();
    items
        .map(|item| {
            let text = |name: &str| item[name].as_str().expect("text").to_owned();
            format!("{} {} {}", text("path"), text("type"), item["value"])
        })
        .collect()
}

async fn events(api: &Api, endpoint: &str) -> Vec<Json> {
    let path = format!("/api/v1/events?endpoint={endpoint}");
    let events = api.read(&path).await;
    events["items"].as_array().expect("items").clone()
}
