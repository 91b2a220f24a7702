//! `/api/v1/operations`: what devices are asked to do, and what became of it.

use std::time::Duration;

use actix_web::http::header;
use actix_web::web::{Json, Path, Query};
use actix_web::{HttpRequest, HttpResponse, delete, get, post};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::config::Settings;
use crate::domain::{Node, Operation, OperationId, OperationResult};
use crate::store;
use crate::web::ApiError;
use crate::web::api::refused::{NoDevice, NotLoggedIn, NotOperator, UnreadableParameter};
use crate::web::auth::{Asked, Operator, Viewer};
use crate::web::error::Problem;
use crate::web::idempotency::{REPLAYED, key};
use crate::web::waiting::waits;

use super::object::Object;
use super::operation_request::{OperationBody, check};
use super::query::{self, NoQuery, Page};

/// An operation.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "id": 42, "endpoint": "urn:imei:490154203237518", "kind": "read", "path": "/3/0/0",
    "paths": ["/3/0/0"], "status": "CONFIRMED", "attempts": 1, "max_attempts": 3,
    "result": {"code": "2.05", "nodes": [
        {"path": "/3/0/0", "type": "STRING", "value": "Open Mobile Alliance", "time": null}
    ]},
    "error": null, "waits_for": null, "requested_by": "token:ci", "created_at": "2026-11-23T12:00:00.000Z",
    "last_attempt_at": "2026-11-23T12:00:00.010Z", "finished_at": "2026-11-23T12:00:00.060Z",
    "expires_at": "2026-11-30T12:00:00.000Z"
}))]
pub(super) struct OperationView {
    /// Its number; newer ones are greater.
    id: i64,
    /// The device.
    endpoint: String,
    /// What is to be done.
    kind: &'static str,
    /// Where; null for composite kinds with several paths.
    #[schema(required)]
    path: Option<String>,
    /// Where, for every kind.
    paths: Vec<String>,
    /// `QUEUED`, `SENDING`, `CONFIRMED`, `FAILED`, `CANCELLED` or `EXPIRED`.
    status: &'static str,
    /// How often it was sent and counted.
    attempts: u32,
    /// How often it is tried.
    max_attempts: u32,
    /// What the device answered, refusals included.
    #[schema(required)]
    result: Option<ResultView>,
    /// Why it failed.
    #[schema(required)]
    error: Option<String>,
    /// What it waits for while it is `QUEUED`, in words.
    #[schema(required)]
    waits_for: Option<String>,
    /// Who asked: a login, `token:NAME`, `template` or `firmware`.
    requested_by: String,
    /// When it was asked for.
    #[schema(format = DateTime)]
    created_at: String,
    /// When it was last sent.
    #[schema(required, format = DateTime)]
    last_attempt_at: Option<String>,
    /// When it reached its final status.
    #[schema(required, format = DateTime)]
    finished_at: Option<String>,
    /// When it is given up.
    #[schema(required, format = DateTime)]
    expires_at: Option<String>,
}

/// What a device answered.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ResultView {
    /// The CoAP response code, for example `2.05`; `0.00` when the device was not asked.
    code: String,
    /// The values that came with it.
    nodes: Vec<NodeView>,
    /// What a Discover found, in link format.
    #[serde(skip_serializing_if = "String::is_empty")]
    links: String,
    /// Where a Create put the new instance.
    #[serde(skip_serializing_if = "Option::is_none")]
    location: Option<String>,
    /// What the server did without asking the device.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

/// A value at a path.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct NodeView {
    /// Where.
    path: String,
    /// The type of the value.
    #[serde(rename = "type")]
    value_type: &'static str,
    /// The value.
    value: serde_json::Value,
    /// When the device measured it, if it said so.
    #[schema(required, format = DateTime)]
    time: Option<String>,
}

impl From<&Node> for NodeView {
    fn from(node: &Node) -> Self {
        Self {
            path: node.path.to_string(),
            value_type: node.value.value_type().name(),
            value: node.value.to_json(),
            time: node.time.map(|time| time.to_string()),
        }
    }
}

impl From<&OperationResult> for ResultView {
    fn from(result: &OperationResult) -> Self {
        Self {
            code: result.code.clone(),
            nodes: result.nodes.iter().map(NodeView::from).collect(),
            links: result.links.clone(),
            location: result.location.clone(),
            note: result.note.clone(),
        }
    }
}

impl From<&Operation> for OperationView {
    fn from(operation: &Operation) -> Self {
        let paths: Vec<String> = operation
            .request
            .paths
            .iter()
            .map(ToString::to_string)
            .collect();
        let path = match paths.as_slice() {
            [path] => Some(path.clone()),
            _ => None,
        };
        Self {
            id: operation.id.0,
            endpoint: operation.endpoint.to_string(),
            kind: operation.request.kind.name(),
            path,
            paths,
            status: operation.status.name(),
            attempts: operation.attempts,
            max_attempts: operation.max_attempts,
            result: operation.result.as_ref().map(ResultView::from),
            error: operation.error.clone(),
            waits_for: None,
            requested_by: operation.origin.asked_by().to_owned(),
            created_at: operation.created_at.to_string(),
            last_attempt_at: operation.last_attempt_at.map(|time| time.to_string()),
            finished_at: operation.finished_at.map(|time| time.to_string()),
            expires_at: operation.expires_at.map(|time| time.to_string()),
        }
    }
}

impl OperationView {
    /// The operation, and what it waits for.
    async fn of(viewer: &Viewer, operation: &Operation) -> Result<Self, ApiError> {
        let waits = waits(viewer, std::slice::from_ref(operation)).await?;
        Ok(Self {
            waits_for: waits.get(&operation.id).map(ToString::to_string),
            ..Self::from(operation)
        })
    }
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct WaitQuery {
    /// Wait so many seconds for the end, at most `web.max_wait_s`.
    #[param(value_type = Option<f64>, minimum = 0)]
    wait: Option<String>,
}

/// With which key something is asked for.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "it describes what is read from the headers")]
pub(super) struct KeyHeader {
    /// Whoever sends the request again with the same key, for `operations.idempotency_key_s` seconds, gets the
    /// operation that there is. At most 255 printable characters, in quotes or not.
    #[param(
        rename = "Idempotency-Key",
        example = "\"8e03978e-40d5-43dd-bc93-6894a57f9324\""
    )]
    idempotency_key: Option<String>,
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct OperationQuery {
    /// Only those with this status.
    #[param(example = "QUEUED")]
    status: Option<String>,
    /// Rows of a page, at most `web.max_page_rows`.
    #[param(value_type = Option<u64>, minimum = 1, default = 100)]
    limit: Option<String>,
    /// `next` of the page before.
    cursor: Option<String>,
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct SearchQuery {
    /// Only of this device.
    #[param(example = "urn:imei:490154203237518")]
    endpoint: Option<String>,
    /// Only those with this status.
    #[param(example = "FAILED")]
    status: Option<String>,
    /// Only those of this kind.
    #[param(example = "read")]
    kind: Option<String>,
    /// Only those about this path, or about something below it.
    #[param(example = "/3303")]
    path: Option<String>,
    /// Only those that this login or `token:NAME` asked for; `template` and `firmware` for what the server asked for by
    /// itself.
    #[param(example = "token:ci")]
    requested_by: Option<String>,
    /// Asked for not before this time: RFC 3339, or milliseconds since 1970.
    from: Option<String>,
    /// Asked for before this time.
    to: Option<String>,
    /// Rows of a page, at most `web.max_page_rows`.
    #[param(value_type = Option<u64>, minimum = 1, default = 100)]
    limit: Option<String>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// Ask a device to do something
///
/// The operation is stored and sent as soon as the device listens. `wait` only says how long this
/// call waits for the outcome.
#[utoipa::path(
    post,
    path = "/endpoints/{name}/operations",
    impl_for = create_operation,
    tag = "operations",
    params(("name" = String, Path, description = "The device's name"), WaitQuery, KeyHeader),
    request_body = OperationBody,
    responses(
        (status = 200, description = "It has reached its final status", body = OperationView,
         headers(("Idempotent-Replayed" = String, description = "`true` where it was asked for before, with the same key"))),
        (status = 201, description = "It is stored and waits for the device", body = OperationView,
         headers(("Location" = String, description = "The operation"),
                 ("Idempotent-Replayed" = String, description = "`true` where it was asked for before, with the same key"))),
        (status = 400, description = "The body is no JSON, or a parameter or the key cannot be read", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A field does not fit the kind or the object model, or the key came with something else before", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too many operations wait for the device", body = Problem, content_type = "application/problem+json"),
        NotOperator, NoDevice,
    ),
)]
#[post("/endpoints/{name}/operations")]
pub(super) async fn create_operation(
    operator: Operator,
    name: Path<String>,
    query: Query<WaitQuery>,
    http: HttpRequest,
    body: Object<OperationBody>,
) -> Result<HttpResponse, ApiError> {
    let name = query::endpoint_name(&name)?;
    let wait = wait(query.wait.as_deref(), operator.settings())?;
    let request = check(&body, &operator.models())?;
    let key = key(&http, operator.identity(), &(&request, body.expires_in_s))?;
    let expires_in = expires_in(body.expires_in_s, operator.settings())?;
    let asked = operator
        .operate(&name, request, key, expires_in, wait)
        .await?;
    answer(&operator, asked).await
}

/// List the operations of a device
///
/// Newest first.
#[utoipa::path(
    get,
    path = "/endpoints/{name}/operations",
    impl_for = list_operations,
    tag = "operations",
    params(("name" = String, Path, description = "The device's name"), OperationQuery),
    responses(
        (status = 200, description = "A page of operations", body = Page<OperationView>),
        UnreadableParameter, NotLoggedIn, NoDevice,
    ),
)]
#[get("/endpoints/{name}/operations")]
pub(super) async fn list_operations(
    viewer: Viewer,
    name: Path<String>,
    query: Query<OperationQuery>,
) -> Result<Json<Page<OperationView>>, ApiError> {
    let endpoint = viewer.endpoint(&query::endpoint_name(&name)?).await?.id;
    let wanted = store::OperationQuery {
        endpoint: Some(endpoint),
        status: query::parse("status", query.status.as_deref())?,
        place: query::place(query.cursor.as_deref(), OperationId)?,
        limit: query::limit(&viewer, query.limit.as_deref())?,
        ..store::OperationQuery::default()
    };
    page(&viewer, &wanted).await
}

/// List the operations of all devices
///
/// Newest first.
#[utoipa::path(
    get,
    path = "/operations",
    impl_for = search_operations,
    tag = "operations",
    params(SearchQuery),
    responses(
        (status = 200, description = "A page of operations", body = Page<OperationView>),
        UnreadableParameter, NotLoggedIn, NoDevice,
    ),
)]
#[get("/operations")]
pub(super) async fn search_operations(
    viewer: Viewer,
    query: Query<SearchQuery>,
) -> Result<Json<Page<OperationView>>, ApiError> {
    let by = query::given(query.requested_by.as_deref());
    let wanted = store::OperationQuery {
        status: query::parse("status", query.status.as_deref())?,
        kind: query::parse("kind", query.kind.as_deref())?,
        path: query::parse("path", query.path.as_deref())?,
        by: by.map(str::to_owned),
        from: query::moment("from", query.from.as_deref())?,
        to: query::moment("to", query.to.as_deref())?,
        place: query::place(query.cursor.as_deref(), OperationId)?,
        limit: query::limit(&viewer, query.limit.as_deref())?,
        endpoint: query::device(&viewer, query.endpoint.as_deref()).await?,
    };
    page(&viewer, &wanted).await
}

/// A page of operations, and what those wait for that do.
async fn page(
    viewer: &Viewer,
    wanted: &store::OperationQuery,
) -> Result<Json<Page<OperationView>>, ApiError> {
    let found = viewer.search_operations(wanted).await?;
    let waits = waits(viewer, &found.rows).await?;
    Ok(Json(Page::found(
        found,
        |operation| operation.id,
        |operation| OperationView {
            waits_for: waits.get(&operation.id).map(ToString::to_string),
            ..OperationView::from(&operation)
        },
    )))
}

/// Show an operation
#[utoipa::path(
    get,
    path = "/operations/{id}",
    impl_for = show_operation,
    tag = "operations",
    params(("id" = i64, Path, description = "The operation's number"), WaitQuery),
    responses(
        (status = 200, description = "The operation, in its final status or as it is when `wait` is over", body = OperationView),
        (status = 404, description = "No operation has this number", body = Problem, content_type = "application/problem+json"),
        UnreadableParameter, NotLoggedIn,
    ),
)]
#[get("/operations/{id}")]
pub(super) async fn show_operation(
    viewer: Viewer,
    id: Path<String>,
    query: Query<WaitQuery>,
) -> Result<Json<OperationView>, ApiError> {
    let id = OperationId(query::row_id("operation", &id)?);
    let wait = wait(query.wait.as_deref(), viewer.settings())?;
    let operation = if wait.is_zero() {
        viewer.operation(id).await?
    } else {
        viewer.await_end(id, wait).await?
    };
    Ok(Json(OperationView::of(&viewer, &operation).await?))
}

/// Take an operation back
///
/// Only while it is `QUEUED`.
#[utoipa::path(
    delete,
    path = "/operations/{id}",
    impl_for = cancel_operation,
    tag = "operations",
    params(("id" = i64, Path, description = "The operation's number")),
    responses(
        (status = 200, description = "It is CANCELLED", body = OperationView),
        (status = 404, description = "No operation has this number", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "It is no longer QUEUED", body = Problem, content_type = "application/problem+json"),
        NotOperator,
    ),
)]
#[delete("/operations/{id}")]
pub(super) async fn cancel_operation(
    operator: Operator,
    id: Path<String>,
    _query: Query<NoQuery>,
) -> Result<Json<OperationView>, ApiError> {
    let id = OperationId(query::row_id("operation", &id)?);
    Ok(Json(OperationView::from(&operator.cancel(id).await?)))
}

/// Ask for the same again
///
/// A new operation for the same device, with the same request. The old one stays as it is.
#[utoipa::path(
    post,
    path = "/operations/{id}/repeat",
    impl_for = repeat_operation,
    tag = "operations",
    params(("id" = i64, Path, description = "The operation's number"), WaitQuery, KeyHeader),
    responses(
        (status = 200, description = "The new one has reached its final status", body = OperationView,
         headers(("Idempotent-Replayed" = String, description = "`true` where it was asked for before, with the same key"))),
        (status = 201, description = "The new one is stored and waits for the device", body = OperationView,
         headers(("Location" = String, description = "The new operation"),
                 ("Idempotent-Replayed" = String, description = "`true` where it was asked for before, with the same key"))),
        (status = 404, description = "No operation has this number, or its device is forgotten", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "The key came with something else before", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too many operations wait for the device", body = Problem, content_type = "application/problem+json"),
        UnreadableParameter, NotOperator,
    ),
)]
#[post("/operations/{id}/repeat")]
pub(super) async fn repeat_operation(
    operator: Operator,
    id: Path<String>,
    query: Query<WaitQuery>,
    http: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let id = OperationId(query::row_id("operation", &id)?);
    let wait = wait(query.wait.as_deref(), operator.settings())?;
    let before = operator.operation(id).await?;
    let key = key(&http, operator.identity(), &("repeat", id.0))?;
    let expires_in = expires_in(None, operator.settings())?;
    let asked = operator
        .operate(&before.endpoint, before.request, key, expires_in, wait)
        .await?;
    answer(&operator, asked).await
}

/// What became of an operation that was asked for, meanwhile.
async fn answer(operator: &Operator, asked: Asked) -> Result<HttpResponse, ApiError> {
    let operation = asked.operation;
    let view = OperationView::of(operator, &operation).await?;
    let mut response = if operation.status.is_final() {
        HttpResponse::Ok()
    } else {
        HttpResponse::Created()
    };
    if !operation.status.is_final() {
        let place = format!("/api/v1/operations/{}", operation.id);
        response.insert_header((header::LOCATION, place));
    }
    if asked.replayed {
        response.insert_header((REPLAYED, "true"));
    }
    Ok(response.json(view))
}

fn wait(text: Option<&str>, settings: &Settings) -> Result<Duration, ApiError> {
    let seconds: f64 = query::parse("wait", text)?.unwrap_or(0.0);
    if !seconds.is_finite() || seconds < 0.0 {
        let detail = "`wait` is a number of seconds that is not negative";
        return Err(ApiError::parameter("wait", detail));
    }
    let most = Duration::from_secs(settings.web.max_wait_s);
    Ok(Duration::try_from_secs_f64(seconds)
        .unwrap_or(most)
        .min(most))
}

/// After which time an operation is given up.
pub(super) fn expires_in(
    seconds: Option<u64>,
    settings: &Settings,
) -> Result<Option<Duration>, ApiError> {
    match seconds {
        Some(0) => Err(ApiError::invalid("expires_in_s", "must be at least 1")),
        Some(seconds) => Ok(Some(Duration::from_secs(seconds))),
        None => {
            let default = settings.operations.default_expiry_s;
            Ok((default > 0).then(|| Duration::from_secs(default)))
        }
    }
}
