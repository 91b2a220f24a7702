//! `PATCH /api/v1/endpoints/{name}`: what people say of a device.

use std::time::Duration;

use actix_web::patch;
use actix_web::web::{Json, Path, Query};
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::domain::{ProfileChange, check_awake, check_edrx_cycle, check_tags};
use crate::web::ApiError;
use crate::web::api::refused::{NoDevice, NotOperator};
use crate::web::auth::Operator;

use super::endpoints::Endpoint;
use super::object::Object;
use super::query::{self, NoQuery};

/// A change of what people say of a device: a field that is missing stays as it is, null takes it
/// away.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(example = json!({"tags": ["lab", "rack-3"], "awake_s": 20, "edrx_cycle_s": null}))]
#[expect(
    dead_code,
    reason = "the description of a body whose nulls mean something"
)]
pub(super) struct ProfilePatch {
    /// All its tags, at most 64: letters, digits, `-`, `_`, `.` and `:`.
    tags: Option<Vec<String>>,
    /// How many seconds it listens after a message of its own.
    #[schema(minimum = 1, maximum = 86400)]
    awake_s: Option<u64>,
    /// The length of its eDRX cycle in seconds: it can be reached at any time, but may take so long
    /// to answer.
    #[schema(minimum = 1, maximum = 10486)]
    edrx_cycle_s: Option<u64>,
}

/// Change what is said of a device
///
/// Its tags choose the observation templates that are for it; the times say when it can be reached.
/// It counts at once, survives new registrations, and is answered when it is stored.
#[utoipa::path(
    patch,
    path = "/endpoints/{name}",
    impl_for = change_endpoint,
    tag = "endpoints",
    params(("name" = String, Path, description = "The device's name")),
    request_body = ProfilePatch,
    responses(
        (status = 200, description = "The device", body = Endpoint),
        NotOperator, NoDevice,
    ),
)]
#[patch("/endpoints/{name}")]
pub(super) async fn change_endpoint(
    operator: Operator,
    name: Path<String>,
    _query: Query<NoQuery>,
    body: Object<Map<String, Value>>,
) -> Result<Json<Endpoint>, ApiError> {
    let name = query::endpoint_name(&name)?;
    // The row says 404 before the fields are looked at.
    operator.endpoint(&name).await?;
    let change = read(&body)?;
    operator.change_profile(&name, change).await?;
    let row = operator.endpoint(&name).await?;
    Ok(Json(Endpoint::of(&operator, &row).await))
}

/// The change that a merge patch (RFC 7396) means.
fn read(body: &Map<String, Value>) -> Result<ProfileChange, ApiError> {
    let mut change = ProfileChange::default();
    for (field, value) in body {
        match field.as_str() {
            "tags" => {
                let tags = tags(value)?;
                check_tags(&tags).map_err(|why| ApiError::invalid("tags", why))?;
                change.tags = Some(tags);
            }
            "awake_s" => change.awake = Some(seconds("awake_s", value, check_awake)?),
            "edrx_cycle_s" => {
                change.edrx_cycle = Some(seconds("edrx_cycle_s", value, check_edrx_cycle)?);
            }
            other => {
                let other: String = other.chars().take(64).collect();
                let detail = format!(
                    "`{other}` cannot be changed; `tags`, `awake_s` and `edrx_cycle_s` can"
                );
                return Err(ApiError::invalid(other, detail));
            }
        }
    }
    Ok(change)
}

fn tags(value: &Value) -> Result<Vec<String>, ApiError> {
    let wrong = || ApiError::invalid("tags", "`tags` is a list of texts, such as [\"lab\"]");
    match value {
        Value::Null => Ok(Vec::new()),
        Value::Array(items) => items
            .iter()
            .map(|item| item.as_str().map(str::to_owned).ok_or_else(wrong))
            .collect(),
        _ => Err(wrong()),
    }
}

fn seconds(
    field: &'static str,
    value: &Value,
    check: fn(Duration) -> Result<(), String>,
) -> Result<Option<Duration>, ApiError> {
    if value.is_null() {
        return Ok(None);
    }
    let Some(seconds) = value.as_u64() else {
        let detail = format!("`{field}` is a whole number of seconds, or null");
        return Err(ApiError::invalid(field, detail));
    };
    let time = Duration::from_secs(seconds);
    check(time).map_err(|why| ApiError::invalid(field, why))?;
    Ok(Some(time))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn change(body: Value) -> Result<ProfileChange, ApiError> {
        read(body.as_object().expect("an object"))
    }

    #[test]
    fn what_is_missing_stays_and_null_takes_away() {
        assert_eq!(change(json!({})), Ok(ProfileChange::default()));
        let read = change(json!({"tags": null, "awake_s": 20, "edrx_cycle_s": null}));
        let expected = ProfileChange {
            tags: Some(Vec::new()),
            awake: Some(Some(Duration::from_secs(20))),
            edrx_cycle: Some(None),
            ..ProfileChange::default()
        };
        assert_eq!(read, Ok(expected));
    }

    #[test]
    fn the_field_that_makes_no_sense_is_named() {
        for (body, field) in [
            (json!({"tags": "lab"}), "tags"),
            (json!({"tags": [1]}), "tags"),
            (json!({"tags": ["a b"]}), "tags"),
            (json!({"awake_s": 0}), "awake_s"),
            (json!({"awake_s": -1}), "awake_s"),
            (json!({"awake_s": 1.5}), "awake_s"),
            (json!({"awake_s": "20"}), "awake_s"),
            (json!({"edrx_cycle_s": 20_000}), "edrx_cycle_s"),
            (json!({"name": "other"}), "name"),
        ] {
            let error = change(body.clone()).expect_err("a refusal");
            assert_eq!(error.field(), Some(field), "{body}");
        }
    }
}
