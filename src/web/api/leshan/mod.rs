//! `/leshan_api`: data from an outside LwM2M gateway, in the formats of the first flownexus, whose
//! Leshan posted its JSON nodes here. What comes goes the way of values that devices report
//! themselves, and the answer comes when it is on disk.

mod payload;
mod scalar;

use actix_web::http::header;
use actix_web::web::{Json, Path, Query};
use actix_web::{HttpResponse, routes};
use serde::{Deserialize, Serialize};
use serde_json::{Value as JsonValue, json};
use utoipa::ToSchema;

use crate::domain::{EndpointName, GatewayReport, Value};
use crate::store::StoredValue;
use crate::web::ApiError;
use crate::web::api::refused::{NotLoggedIn, NotOperator, UnreadableParameter};
use crate::web::auth::{Operator, Viewer};
use crate::web::error::Problem;

use super::query;

/// One node of one object.
#[derive(Debug, ToSchema)]
#[schema(as = GatewaySingle, example = json!({
    "ep": "urn:imei:490154203237518", "obj_id": 3303,
    "val": {"kind": "singleResource", "id": 5700, "type": "FLOAT", "value": "24.899181214836236"}
}))]
#[expect(
    dead_code,
    reason = "it describes what `payload` reads by hand, to name the place of an error"
)]
pub(super) struct Single {
    /// The device's name.
    ep: String,
    /// The object.
    obj_id: u16,
    /// The object instance; 0 when missing.
    obj_inst_id: Option<u16>,
    /// The resource, for a `resourceInstance`.
    res_id: Option<u16>,
    /// When the values were measured: RFC 3339, or seconds or milliseconds since 1970. Any node may
    /// have its own.
    #[schema(value_type = Option<serde_json::Value>)]
    timestamp: Option<JsonValue>,
    /// A node of Leshan: `obj`, `instance`, `singleResource`, `multiResource` or
    /// `resourceInstance`.
    #[schema(value_type = serde_json::Value)]
    val: JsonValue,
}

/// Nodes of several objects.
#[derive(Debug, ToSchema)]
#[schema(as = GatewayComposite, example = json!({
    "ep": "urn:imei:490154203237518",
    "val": {"/3303/0/5700": {"kind": "singleResource", "id": 5700, "type": "FLOAT", "value": "24.9"}}
}))]
#[expect(
    dead_code,
    reason = "it describes what `payload` reads by hand, to name the place of an error"
)]
pub(super) struct Composite {
    /// The device's name.
    ep: String,
    /// When the values were measured: RFC 3339, or seconds or milliseconds since 1970. Any node may
    /// have its own.
    #[schema(value_type = Option<serde_json::Value>)]
    timestamp: Option<JsonValue>,
    /// An object of paths to nodes; or one node, `obj` or `root`.
    #[schema(value_type = serde_json::Value)]
    val: JsonValue,
}

/// A value, as the first flownexus wrote it, with the device that it is from.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = GatewayRow, example = json!({
    "timestamp_created": "2026-11-23T12:00:00.000Z", "value": 24.5,
    "resource_type": "temperature", "endpoint": "urn:imei:490154203237518",
    "path": "/3303/0/5700", "received_at": "2026-11-23T12:00:00.120Z"
}))]
pub(super) struct Row {
    /// When it was measured; where the device did not say, when it arrived.
    #[schema(format = DateTime)]
    timestamp_created: String,
    /// The value. A time is in milliseconds since 1970, as Leshan has it.
    value: JsonValue,
    /// The name that was asked for.
    resource_type: String,
    /// The device.
    endpoint: String,
    /// Where.
    path: String,
    /// When it arrived.
    #[schema(format = DateTime)]
    received_at: String,
}

impl Row {
    fn new(resource_type: &str, stored: &StoredValue) -> Self {
        Self {
            timestamp_created: stored.time.to_string(),
            value: match stored.value {
                Value::Time(seconds) => json!(seconds.saturating_mul(1000)),
                ref value => value.to_json(),
            },
            resource_type: resource_type.to_owned(),
            endpoint: stored.endpoint.to_string(),
            path: stored.path.to_string(),
            received_at: stored.received_at.to_string(),
        }
    }
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct RowQuery {
    /// How many values at most, at most `web.max_page_rows`.
    #[param(value_type = Option<u64>, minimum = 1, default = 1000)]
    limit: Option<String>,
    /// From the `Link` header of the page before.
    cursor: Option<String>,
}

/// Take one resource of a device from a gateway
///
/// A device that is not known yet is made. Resources 0, 1 and 2 of object 10240 tell that a device
/// registered, left and updated its registration with the gateway.
#[utoipa::path(
    post,
    path = "/resource/single",
    impl_for = post_single,
    tag = "gateway",
    request_body(content = Single, examples(
        ("a notification" = (value = json!({
            "ep": "urn:imei:490154203237518", "obj_id": 3303,
            "val": {"kind": "singleResource", "id": 5700, "type": "FLOAT", "value": "24.899181214836236"}
        }))),
        ("a resource with instances" = (value = json!({
            "ep": "urn:imei:490154203237518", "obj_id": 3, "timestamp": "2026-11-23T12:00:00Z",
            "val": {"kind": "multiResource", "id": 7, "type": "INTEGER", "values": {"0": "3800", "1": "5000"}}
        }))),
        ("the device registered" = (value = json!({
            "ep": "urn:imei:490154203237518", "obj_id": 10240,
            "val": {"kind": "singleResource", "id": 0, "type": "TIME", "value": 1_795_440_000_000_i64}
        }))),
    )),
    responses(
        (status = 201, description = "It is on disk; the answer repeats what came", body = Single),
        (status = 422, description = "Nothing is stored: `field` is the place of what cannot be read", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "The device would be more than `registration.max_endpoints`", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The server is busy: send it again", body = Problem, content_type = "application/problem+json"),
        NotOperator,
    ),
)]
#[routes]
#[post("/resource/single")]
#[post("/resource/single/")]
pub(super) async fn post_single(
    operator: Operator,
    body: Json<JsonValue>,
) -> Result<HttpResponse, ApiError> {
    let report = payload::single(&body, &operator.models())?;
    take(&operator, report, body.into_inner()).await
}

/// Take resources of several objects of a device from a gateway
///
/// All of them or none, in one transaction. The values of each object are one event, whose type is
/// the object's number.
#[utoipa::path(
    post,
    path = "/resource/composite",
    impl_for = post_composite,
    tag = "gateway",
    request_body(content = Composite, example = json!({
        "ep": "urn:imei:490154203237518",
        "val": {"/3": {"kind": "obj", "id": 3, "instances": [{"kind": "instance", "id": 0, "resources": [
            {"kind": "singleResource", "id": 0, "type": "STRING", "value": "Zephyr"},
            {"kind": "multiResource", "id": 6, "type": "INTEGER", "values": {"0": "1", "1": "5"}}
        ]}]}}
    })),
    responses(
        (status = 201, description = "It is on disk; the answer repeats what came", body = Composite),
        (status = 422, description = "Nothing is stored: `field` is the place of what cannot be read", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "The device would be more than `registration.max_endpoints`", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The server is busy: send it again", body = Problem, content_type = "application/problem+json"),
        NotOperator,
    ),
)]
#[routes]
#[post("/resource/composite")]
#[post("/resource/composite/")]
pub(super) async fn post_composite(
    operator: Operator,
    body: Json<JsonValue>,
) -> Result<HttpResponse, ApiError> {
    let report = payload::composite(&body, &operator.models())?;
    take(&operator, report, body.into_inner()).await
}

async fn take(
    operator: &Operator,
    (endpoint, report): (EndpointName, GatewayReport),
    body: JsonValue,
) -> Result<HttpResponse, ApiError> {
    operator.report(&endpoint, report).await?;
    Ok(HttpResponse::Created().json(body))
}

/// List the values of one resource type over all devices, as the first flownexus did
///
/// The newest `limit` values in the order in which they arrived. The `Link` header with
/// `rel="next"` leads to older ones.
#[utoipa::path(
    get,
    path = "/data/{resource_type_name}/",
    impl_for = list_rows,
    tag = "gateway",
    params(
        ("resource_type_name" = String, Path, description = "The resource type's name", example = "temperature"),
        RowQuery,
    ),
    responses(
        (status = 200, description = "The values", body = Vec<Row>,
         headers(("Link" = String, description = "Older values, while there are any"))),
        (status = 404, description = "No resource type has this name", body = Problem, content_type = "application/problem+json"),
        UnreadableParameter, NotLoggedIn,
    ),
)]
#[routes]
#[get("/data/{resource_type_name}/")]
#[get("/data/{resource_type_name}")]
pub(super) async fn list_rows(
    viewer: Viewer,
    name: Path<String>,
    query: Query<RowQuery>,
) -> Result<HttpResponse, ApiError> {
    let limit = match &query.limit {
        Some(text) => query::limit(&viewer, Some(text))?,
        // The first flownexus gave everything; here it is as much as a page may hold.
        None => viewer.settings().web.max_page_rows.max(1),
    };
    let before = query::read_cursor(query.cursor.as_deref())?;
    let types = viewer.resource_types().await?;
    let Some(found) = types.iter().find(|found| found.name == *name) else {
        let detail = format!("there is no resource type `{name}`");
        return Err(ApiError::not_found(detail));
    };
    let mut values = viewer.values_of_type(found, limit + 1, before).await?;
    let shown = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = values.len() > shown;
    values.truncate(shown);
    let mut answer = HttpResponse::Ok();
    if let Some((row, _)) = values.last().filter(|_| more) {
        let cursor = query::cursor(row);
        let next = format!(
            "</leshan_api/data/{}/?limit={limit}&cursor={cursor}>; rel=\"next\"",
            found.name
        );
        answer.insert_header((header::LINK, next));
    }
    let rows = values.iter().rev();
    let rows: Vec<Row> = rows
        .map(|(_, value)| Row::new(&found.name, value))
        .collect();
    Ok(answer.json(rows))
}
