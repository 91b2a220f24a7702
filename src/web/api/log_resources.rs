//! `/api/v1/log-resources`: which values are logs.

use actix_web::web::{Json, Path, Query};
use actix_web::{HttpResponse, delete, get, post};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::{LogResource, PathPattern, Selection};
use crate::web::ApiError;
use crate::web::api::refused::{NotLoggedIn, NotOperator};
use crate::web::auth::{Operator, Viewer};
use crate::web::error::Problem;

use super::filter::DeviceFilter;
use super::object::Object;
use super::query::{self, NoQuery, Page};

/// Values that are logs.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "id": 1, "path": "/20/*/4014", "filter": {"names": [], "tags": []}
}))]
pub(super) struct LogResourceView {
    /// Its number.
    id: i64,
    /// Which values.
    path: String,
    /// For which devices.
    filter: DeviceFilter,
}

impl From<LogResource> for LogResourceView {
    fn from(resource: LogResource) -> Self {
        Self {
            id: resource.id,
            path: resource.path.to_string(),
            filter: DeviceFilter::from(&resource.selection),
        }
    }
}

/// Values that shall be logs.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"path": "/26241/*/1", "filter": {"names": ["gateway-*"]}}))]
pub(super) struct NewLogResource {
    /// Which values: a path of three or four levels, each of which may be `*`.
    path: String,
    /// For which devices; every one when missing.
    filter: Option<DeviceFilter>,
}

/// List log resources
#[utoipa::path(
    get,
    path = "/log-resources",
    impl_for = list_log_resources,
    tag = "values",
    responses(
        (status = 200, description = "All of them", body = Page<LogResourceView>),
        NotLoggedIn,
    ),
)]
#[get("/log-resources")]
pub(super) async fn list_log_resources(
    viewer: Viewer,
    _query: Query<NoQuery>,
) -> Result<Json<Page<LogResourceView>>, ApiError> {
    let resources = viewer.log_resources().await?;
    Ok(Json(Page::whole(
        resources.into_iter().map(LogResourceView::from).collect(),
    )))
}

/// Mark values as logs
///
/// From now on their texts become lines of the device's log, and are no longer kept as values.
#[utoipa::path(
    post,
    path = "/log-resources",
    impl_for = create_log_resource,
    tag = "values",
    request_body = NewLogResource,
    responses(
        (status = 201, description = "It is in force", body = LogResourceView),
        (status = 409, description = "There is one like it, or there are too many", body = Problem, content_type = "application/problem+json"),
        NotOperator,
    ),
)]
#[post("/log-resources")]
pub(super) async fn create_log_resource(
    operator: Operator,
    _query: Query<NoQuery>,
    body: Object<NewLogResource>,
) -> Result<HttpResponse, ApiError> {
    let body = body.into_inner();
    let path: PathPattern = body
        .path
        .parse()
        .map_err(|reason: String| ApiError::invalid("path", reason))?;
    if path.depth() < 3 {
        let detail = "a log is a resource: the path has three or four levels";
        return Err(ApiError::invalid("path", detail));
    }
    let selection = Selection::from(body.filter.unwrap_or_default());
    selection
        .check()
        .map_err(|reason| ApiError::invalid("filter", reason))?;
    let resource = LogResource {
        id: 0,
        path,
        selection,
    };
    let resource = operator.add_log_resource(resource).await?;
    Ok(HttpResponse::Created().json(LogResourceView::from(resource)))
}

/// Remove a log resource
///
/// From now on such values are values again. The lines stay.
#[utoipa::path(
    delete,
    path = "/log-resources/{id}",
    impl_for = delete_log_resource,
    tag = "values",
    params(("id" = i64, Path, description = "The log resource's number")),
    responses(
        (status = 204, description = "It is removed"),
        (status = 404, description = "No log resource has this number", body = Problem, content_type = "application/problem+json"),
        NotOperator,
    ),
)]
#[delete("/log-resources/{id}")]
pub(super) async fn delete_log_resource(
    operator: Operator,
    id: Path<String>,
    _query: Query<NoQuery>,
) -> Result<HttpResponse, ApiError> {
    let id = query::row_id("log resource", &id)?;
    operator.remove_log_resource(id).await?;
    Ok(HttpResponse::NoContent().finish())
}
