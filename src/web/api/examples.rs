//! Examples of parameters that many calls have, for the OpenAPI document.

use serde_json::{Value as Json, json};
use utoipa::openapi::path::{Operation, ParameterBuilder};
use utoipa::openapi::{PathItem, RefOr};

/// Every call of a path.
pub(in crate::web) fn calls(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let all = [
        &mut item.get,
        &mut item.put,
        &mut item.post,
        &mut item.delete,
        &mut item.patch,
    ];
    all.into_iter().flatten()
}

/// Gives the parameters of every call of a path examples, where they have none of their own.
pub(in crate::web) fn add_common(item: &mut PathItem) {
    for call in calls(item) {
        for parameter in call.parameters.iter_mut().flatten() {
            if let RefOr::T(described) = parameter
                && let Some(example) = example(&described.name)
                // Its field is not for us to read.
                && serde_json::to_value(&described).is_ok_and(|json| json["example"].is_null())
            {
                let builder = ParameterBuilder::from(described.clone());
                *parameter = RefOr::T(builder.example(Some(example)).build());
            }
        }
    }
}

/// What a parameter of this name holds, wherever it is.
fn example(name: &str) -> Option<Json> {
    Some(match name {
        "after" => json!(4711),
        "cursor" => json!("NDI"),
        "endpoint" | "name" => json!("urn:imei:490154203237518"),
        "firmware" => json!("0.2.0"),
        "firmware_id" | "id" | "rollout_id" => json!(42),
        "from" => json!("2026-11-23T00:00:00Z"),
        "group" => json!(0),
        "object" | "object_id" => json!(3303),
        "queue_mode" | "secure" | "warnings" => json!(true),
        "registered" => json!(true),
        "state" => json!("late"),
        "search" => json!("temp"),
        "tag" => json!("lab"),
        "user" => json!("alice"),
        "to" => json!("2026-11-24T00:00:00Z"),
        "type" => json!("3303"),
        "wait" => json!(5),
        _ => return None,
    })
}
