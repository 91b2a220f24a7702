//! `/api/v1/bulk-operations`: what is asked of many devices at once, and how it stands with each.

use std::time::Duration;

use actix_web::http::header;
use actix_web::web::{Json, Path, Query};
use actix_web::{HttpRequest, HttpResponse, delete, get, post};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::{
    BulkAction, BulkCounts, BulkId, BulkItem, BulkItemState, BulkOperation, EndpointName,
    check_tags,
};
use crate::web::ApiError;
use crate::web::api::refused::{NotLoggedIn, NotOperator, UnreadableParameter};
use crate::web::auth::{BulkTarget, Operator, Viewer};
use crate::web::device_query::DeviceWords;
use crate::web::error::Problem;
use crate::web::idempotency::{REPLAYED, key};

use super::object::Object;
use super::operation_request::{OperationBody, check};
use super::operations::{KeyHeader, expires_in};
use super::query::{self, NoQuery, Page, PageQuery};

/// What is asked, and of whom.
#[derive(Clone, Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(example = json!({
    "filter": {"tag": "lab", "state": "registered"}, "kind": "write", "path": "/3/0/14", "value": "+01:00"
}))]
pub(super) struct BulkBody {
    /// All devices that fit now. Either this or `names`.
    filter: Option<DeviceWords>,
    /// These devices. Either this or `filter`.
    names: Option<Vec<String>>,
    /// What each of them is asked: a kind of operation, or `tag`, `untag` or `forget`, which need none.
    kind: String,
    /// The tags that `tag` gives and `untag` takes away.
    tags: Option<Vec<String>>,
    /// As for an operation of one device; so are all fields that follow.
    path: Option<String>,
    /// For composite kinds.
    paths: Option<Vec<String>>,
    /// What to write or create.
    #[schema(value_type = Option<serde_json::Value>)]
    value: Option<serde_json::Value>,
    /// What a composite writes.
    #[schema(value_type = Option<serde_json::Value>)]
    values: Option<serde_json::Value>,
    /// The arguments of an Execute.
    arguments: Option<String>,
    /// The attributes to set.
    #[schema(value_type = Option<std::collections::HashMap<String, serde_json::Value>>)]
    attributes: Option<serde_json::Map<String, serde_json::Value>>,
    /// The content format.
    format: Option<String>,
    /// An observation is cancelled without a word to the device.
    passive: bool,
    /// Try again also when it may have been done already.
    repeat: bool,
    /// After so many seconds each operation is given up as `EXPIRED`.
    #[schema(minimum = 1)]
    expires_in_s: Option<u64>,
}

impl BulkBody {
    fn target(&self) -> Result<BulkTarget, ApiError> {
        match (&self.filter, &self.names) {
            (Some(filter), None) => filter
                .filter()
                .map(BulkTarget::Filter)
                .map_err(|error| ApiError::invalid("filter", error.to_string())),
            (None, Some(names)) => {
                let names = names.iter().map(|name| {
                    EndpointName::new(name)
                        .map_err(|error| ApiError::invalid("names", format!("`{name}`: {error}")))
                });
                Ok(BulkTarget::Names(names.collect::<Result<_, _>>()?))
            }
            (Some(_), Some(_)) => Err(ApiError::invalid(
                "names",
                "give `filter` or `names`, not both",
            )),
            (None, None) => Err(ApiError::invalid(
                "filter",
                "say which devices: `filter` for all that fit (`{}` for every device), or `names`",
            )),
        }
    }

    /// What is done, and for how long it may wait.
    fn action(self, operator: &Operator) -> Result<(BulkAction, Option<Duration>), ApiError> {
        let tags = || -> Result<Vec<String>, ApiError> {
            let tags = self.tags.clone().unwrap_or_default();
            if tags.is_empty() {
                return Err(ApiError::invalid("tags", "`tags` is missing"));
            }
            check_tags(&tags).map_err(|error| ApiError::invalid("tags", error))?;
            Ok(tags)
        };
        let action = match self.kind.as_str() {
            "tag" => BulkAction::Tag(tags()?),
            "untag" => BulkAction::Untag(tags()?),
            "forget" => BulkAction::Forget,
            _ => {
                if self.tags.is_some() {
                    let detail = format!("{} takes no `tags`", self.kind);
                    return Err(ApiError::invalid("tags", detail));
                }
                let seconds = self.expires_in_s;
                let request = check(&self.into(), &operator.models())?;
                let expires_in = expires_in(seconds, operator.settings())?;
                return Ok((BulkAction::Operate(Box::new(request)), expires_in));
            }
        };
        let given = [
            ("path", self.path.is_some()),
            ("paths", self.paths.is_some()),
            ("value", self.value.is_some()),
            ("values", self.values.is_some()),
            ("arguments", self.arguments.is_some()),
            ("attributes", self.attributes.is_some()),
            ("format", self.format.is_some()),
            ("passive", self.passive),
            ("repeat", self.repeat),
            ("expires_in_s", self.expires_in_s.is_some()),
            ("tags", self.tags.is_some() && action == BulkAction::Forget),
        ];
        if let Some((field, _)) = given.into_iter().find(|(_, given)| *given) {
            let detail = format!("{} takes no `{field}`", action.kind());
            return Err(ApiError::invalid(field, detail));
        }
        Ok((action, None))
    }
}

impl From<BulkBody> for OperationBody {
    fn from(fields: BulkBody) -> Self {
        Self {
            kind: fields.kind,
            path: fields.path,
            paths: fields.paths,
            value: fields.value,
            values: fields.values,
            arguments: fields.arguments,
            attributes: fields.attributes,
            format: fields.format,
            passive: fields.passive,
            repeat: fields.repeat,
            expires_in_s: fields.expires_in_s,
        }
    }
}

/// What was asked of many devices at once.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "id": 7, "kind": "read", "path": "/3/0/3", "tags": [], "state": "FINISHED", "devices": 120,
    "requested_by": "ada", "created_at": "2026-11-30T12:00:00.000Z",
    "finished_at": "2026-11-30T12:00:02.000Z", "counts": {
        "pending": 0, "queued": 20, "sending": 0, "confirmed": 97, "failed": 1, "expired": 0,
        "cancelled": 0, "refused": 2, "done": 0
    }
}))]
pub(super) struct BulkView {
    /// Its number; newer ones are greater.
    id: i64,
    /// What each device is asked.
    kind: &'static str,
    /// Where, for operations of one path.
    #[schema(required)]
    path: Option<String>,
    /// The tags of `tag` and `untag`.
    tags: Vec<String>,
    /// `RUNNING` while devices have their turns, `FINISHED` when each had one, `CANCELLING` or `CANCELLED`.
    state: &'static str,
    /// How many devices it is about.
    devices: u64,
    /// Who asked: a login or `token:NAME`.
    requested_by: String,
    /// When it was asked for.
    #[schema(format = DateTime)]
    created_at: String,
    /// When each device had had its turn, or it was taken back.
    #[schema(required, format = DateTime)]
    finished_at: Option<String>,
    /// How many of the devices stand how; null in lists.
    #[schema(required)]
    counts: Option<CountsView>,
}

/// How many of the devices stand how.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CountsView {
    /// They wait for their turn.
    pending: u64,
    /// Their operation is QUEUED.
    queued: u64,
    /// It is on its way.
    sending: u64,
    /// They did it.
    confirmed: u64,
    /// They refused it, or did not answer.
    failed: u64,
    /// They could not be reached in time.
    expired: u64,
    /// It was taken back.
    cancelled: u64,
    /// It was not taken; see the devices for why.
    refused: u64,
    /// It was done, and there is no operation: `tag`, `untag` and `forget`.
    done: u64,
}

impl From<BulkCounts> for CountsView {
    fn from(counts: BulkCounts) -> Self {
        Self {
            pending: counts.pending,
            queued: counts.queued,
            sending: counts.sending,
            confirmed: counts.confirmed,
            failed: counts.failed,
            expired: counts.expired,
            cancelled: counts.cancelled,
            refused: counts.refused,
            done: counts.done,
        }
    }
}

impl BulkView {
    fn new(bulk: BulkOperation, counts: Option<BulkCounts>) -> Self {
        let (path, tags) = match &bulk.action {
            BulkAction::Operate(request) => match request.paths.as_slice() {
                [path] => (Some(path.to_string()), Vec::new()),
                _ => (None, Vec::new()),
            },
            BulkAction::Tag(tags) | BulkAction::Untag(tags) => (None, tags.clone()),
            BulkAction::Forget => (None, Vec::new()),
        };
        Self {
            id: bulk.id.0,
            kind: bulk.action.kind(),
            path,
            tags,
            state: bulk.state.name(),
            devices: bulk.devices,
            requested_by: bulk.requested_by,
            created_at: bulk.created_at.to_string(),
            finished_at: bulk.finished_at.map(|time| time.to_string()),
            counts: counts.map(CountsView::from),
        }
    }
}

/// One of the devices.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "endpoint": "urn:imei:490154203237518", "state": "ASKED", "operation_id": 42, "status": "CONFIRMED", "error": null
}))]
pub(super) struct BulkItemView {
    /// Its name.
    endpoint: String,
    /// `PENDING`, `ASKED`, `DONE`, `REFUSED` or `CANCELLED`.
    state: &'static str,
    /// The operation that was made for it.
    #[schema(required)]
    operation_id: Option<i64>,
    /// How that stands.
    #[schema(required)]
    status: Option<&'static str>,
    /// Why it was not taken, or why the operation failed.
    #[schema(required)]
    error: Option<String>,
}

impl From<BulkItem> for BulkItemView {
    fn from(item: BulkItem) -> Self {
        Self {
            endpoint: item.endpoint.to_string(),
            state: item.state.name(),
            operation_id: item.operation.map(|id| id.0),
            status: item.status.map(crate::domain::OperationStatus::name),
            error: item.error,
        }
    }
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct BulkItemQuery {
    /// Only devices that stand so.
    #[param(example = "REFUSED")]
    state: Option<String>,
    /// Rows of a page, at most `web.max_page_rows`.
    #[param(value_type = Option<u64>, minimum = 1, default = 100)]
    limit: Option<String>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// Ask many devices at once
///
/// All of it is stored before this answers: which devices are meant is decided now. Then each has its turn, by
/// itself and over restarts of this server, and has an operation of its own like any other. At most
/// `operations.max_bulk` devices. What is not taken is told with the devices, and does not hold up the others.
#[utoipa::path(
    post,
    path = "/bulk-operations",
    impl_for = create_bulk,
    tag = "operations",
    params(KeyHeader),
    request_body = BulkBody,
    responses(
        (status = 201, description = "It is stored", body = BulkView,
         headers(("Location" = String, description = "How it stands"),
                 ("Idempotent-Replayed" = String, description = "`true` where it was asked for before, with the same key"))),
        (status = 400, description = "The body is no JSON, or the key cannot be read", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A field makes no sense, or the key came with something else before", body = Problem, content_type = "application/problem+json"),
        NotOperator,
    ),
)]
#[post("/bulk-operations")]
pub(super) async fn create_bulk(
    operator: Operator,
    _query: Query<NoQuery>,
    http: HttpRequest,
    body: Object<BulkBody>,
) -> Result<HttpResponse, ApiError> {
    let body = body.into_inner();
    let key = key(&http, operator.identity(), &body)?;
    // Before it is looked which devices are meant: that may have changed since, by this very request too.
    if let Some(key) = key
        && let Some(bulk) = operator.asked_many(key).await?
    {
        return answer(&operator, bulk, true).await;
    }
    let target = body.target()?;
    let (action, expires_in) = body.action(&operator)?;
    let asked = operator.ask_many(action, target, expires_in, key).await?;
    answer(&operator, asked.bulk, asked.replayed).await
}

async fn answer(
    operator: &Operator,
    bulk: BulkOperation,
    replayed: bool,
) -> Result<HttpResponse, ApiError> {
    let counts = if replayed {
        operator.bulk_counts(bulk.id).await?
    } else {
        // It is stored: nothing that has to be read may spoil the answer.
        BulkCounts {
            pending: bulk.devices,
            ..BulkCounts::default()
        }
    };
    let mut response = HttpResponse::Created();
    let location = format!("/api/v1/bulk-operations/{}", bulk.id);
    response.insert_header((header::LOCATION, location));
    if replayed {
        response.insert_header((REPLAYED, "true"));
    }
    Ok(response.json(BulkView::new(bulk, Some(counts))))
}

/// List what was asked of many devices
///
/// Newest first, without counts.
#[utoipa::path(
    get,
    path = "/bulk-operations",
    impl_for = list_bulks,
    tag = "operations",
    params(PageQuery),
    responses(
        (status = 200, description = "A page of bulk operations", body = Page<BulkView>),
        UnreadableParameter, NotLoggedIn,
    ),
)]
#[get("/bulk-operations")]
pub(super) async fn list_bulks(
    viewer: Viewer,
    query: Query<PageQuery>,
) -> Result<Json<Page<BulkView>>, ApiError> {
    let limit = query::limit(&viewer, query.limit.as_deref())?;
    let before = query::read_cursor(query.cursor.as_deref())?.map(BulkId);
    let bulks = viewer.bulks(before, limit + 1).await?;
    Ok(Json(Page::cut(
        bulks,
        limit,
        |bulk| bulk.id,
        |bulk| BulkView::new(bulk, None),
    )))
}

/// Show how it stands
#[utoipa::path(
    get,
    path = "/bulk-operations/{id}",
    impl_for = show_bulk,
    tag = "operations",
    params(("id" = i64, Path, description = "The number of the bulk operation")),
    responses(
        (status = 200, description = "The bulk operation", body = BulkView),
        (status = 404, description = "No bulk operation has this number", body = Problem, content_type = "application/problem+json"),
        NotLoggedIn,
    ),
)]
#[get("/bulk-operations/{id}")]
pub(super) async fn show_bulk(
    viewer: Viewer,
    id: Path<String>,
    _query: Query<NoQuery>,
) -> Result<Json<BulkView>, ApiError> {
    let id = BulkId(query::row_id("bulk operation", &id)?);
    let (bulk, counts) = viewer.bulk(id).await?;
    Ok(Json(BulkView::new(bulk, Some(counts))))
}

/// List its devices
///
/// In the order of their turns, each with its operation, or with why it was not taken.
#[utoipa::path(
    get,
    path = "/bulk-operations/{id}/devices",
    impl_for = list_bulk_devices,
    tag = "operations",
    params(("id" = i64, Path, description = "The number of the bulk operation"), BulkItemQuery),
    responses(
        (status = 200, description = "A page of devices", body = Page<BulkItemView>),
        (status = 404, description = "No bulk operation has this number", body = Problem, content_type = "application/problem+json"),
        UnreadableParameter, NotLoggedIn,
    ),
)]
#[get("/bulk-operations/{id}/devices")]
pub(super) async fn list_bulk_devices(
    viewer: Viewer,
    id: Path<String>,
    query: Query<BulkItemQuery>,
) -> Result<Json<Page<BulkItemView>>, ApiError> {
    let id = BulkId(query::row_id("bulk operation", &id)?);
    let state: Option<BulkItemState> = query::parse("state", query.state.as_deref())?;
    let limit = query::limit(&viewer, query.limit.as_deref())?;
    let after: Option<u64> = query::read_cursor(query.cursor.as_deref())?;
    let from = after.map_or(0, |after| after.saturating_add(1));
    viewer.bulk(id).await?;
    let items = viewer.bulk_items(id, state, from, limit + 1).await?;
    Ok(Json(Page::cut(
        items,
        limit,
        |item| item.position,
        BulkItemView::from,
    )))
}

/// Take it back
///
/// Devices that had no turn yet get none, and operations that are QUEUED are cancelled. What is on its way or over
/// stays as it is.
#[utoipa::path(
    delete,
    path = "/bulk-operations/{id}",
    impl_for = cancel_bulk,
    tag = "operations",
    params(("id" = i64, Path, description = "The number of the bulk operation")),
    responses(
        (status = 200, description = "It is CANCELLING", body = BulkView),
        (status = 404, description = "No bulk operation has this number", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "It was taken back already", body = Problem, content_type = "application/problem+json"),
        NotOperator,
    ),
)]
#[delete("/bulk-operations/{id}")]
pub(super) async fn cancel_bulk(
    operator: Operator,
    id: Path<String>,
    _query: Query<NoQuery>,
) -> Result<Json<BulkView>, ApiError> {
    let id = BulkId(query::row_id("bulk operation", &id)?);
    let bulk = operator.cancel_bulk(id).await?;
    Ok(Json(BulkView::new(bulk, None)))
}
