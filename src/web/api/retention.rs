//! `/api/v1/resource-types`: the names of resources, and how long their values are kept.

use actix_web::web::{Json, Path, Query};
use actix_web::{get, put};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::Path as ResourcePath;
use crate::store::{ResourceType, Retention};
use crate::web::ApiError;
use crate::web::api::refused::{NotAdmin, NotLoggedIn};
use crate::web::auth::{Admin, Viewer};

use super::object::Object;
use super::query::{NoQuery, Page};

/// How many days something is kept. 0: for ever; null: as `[history]` of the settings says.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"raw_days": 90, "minute_days": 365, "hour_days": null, "day_days": 0}))]
pub(super) struct RetentionView {
    /// Values, from their arrival.
    #[schema(maximum = 36_500)]
    raw_days: Option<u32>,
    /// What is computed of each minute.
    #[schema(maximum = 36_500)]
    minute_days: Option<u32>,
    /// What is computed of each hour; at least as long as of minutes.
    #[schema(maximum = 36_500)]
    hour_days: Option<u32>,
    /// What is computed of each day; at least as long as of hours, and as values.
    #[schema(maximum = 36_500)]
    day_days: Option<u32>,
}

impl From<Retention> for RetentionView {
    fn from(is: Retention) -> Self {
        Self {
            raw_days: is.raw_days,
            minute_days: is.minute_days,
            hour_days: is.hour_days,
            day_days: is.day_days,
        }
    }
}

impl From<RetentionView> for Retention {
    fn from(view: RetentionView) -> Self {
        Self {
            raw_days: view.raw_days,
            minute_days: view.minute_days,
            hour_days: view.hour_days,
            day_days: view.day_days,
        }
    }
}

/// A resource type.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "name": "temperature", "object_id": 3303, "resource_id": 5700, "type": "FLOAT",
    "retention": {"raw_days": 90, "minute_days": null, "hour_days": null, "day_days": null}
}))]
pub(super) struct ResourceTypeView {
    /// Its name.
    name: String,
    /// Its object.
    object_id: u16,
    /// Its resource.
    resource_id: u16,
    /// The type of its values, where it is known.
    #[serde(rename = "type")]
    #[schema(required)]
    value_type: Option<&'static str>,
    /// How long its values are kept.
    retention: RetentionView,
}

impl ResourceTypeView {
    fn new(is: ResourceType, retention: Retention) -> Self {
        Self {
            name: is.name,
            object_id: is.object_id,
            resource_id: is.resource_id,
            value_type: is.value_type.map(|value_type| value_type.name()),
            retention: retention.into(),
        }
    }
}

/// List resource types
#[utoipa::path(
    get,
    path = "/resource-types",
    impl_for = list_resource_types,
    tag = "values",
    responses(
        (status = 200, description = "All of them, by object and resource", body = Page<ResourceTypeView>),
        NotLoggedIn,
    ),
)]
#[get("/resource-types")]
pub(super) async fn list_resource_types(
    viewer: Viewer,
    _query: Query<NoQuery>,
) -> Result<Json<Page<ResourceTypeView>>, ApiError> {
    let types = viewer.retentions().await?.into_iter();
    let types = types.map(|(is, retention)| ResourceTypeView::new(is, retention));
    Ok(Json(Page::whole(types.collect())))
}

/// Set how long values of a resource are kept
///
/// What is over age goes within minutes, but never the latest value of a path, nor a value that belongs
/// to an event. A resource that has no type yet gets one, named by its ids.
#[utoipa::path(
    put,
    path = "/resource-types/{object_id}/{resource_id}/retention",
    impl_for = set_retention,
    tag = "values",
    params(
        ("object_id" = u16, Path, description = "The object", example = 3303),
        ("resource_id" = u16, Path, description = "The resource", example = 5700),
    ),
    request_body = RetentionView,
    responses(
        (status = 200, description = "It is in force", body = ResourceTypeView),
        (status = 404, description = "No resource has these ids", body = crate::web::error::Problem, content_type = "application/problem+json"),
        NotAdmin,
    ),
)]
#[put("/resource-types/{object_id}/{resource_id}/retention")]
pub(super) async fn set_retention(
    admin: Admin,
    ids: Path<(String, String)>,
    _query: Query<NoQuery>,
    body: Object<RetentionView>,
) -> Result<Json<ResourceTypeView>, ApiError> {
    let (object, resource) = ids.into_inner();
    let id = |text: &str| {
        let id = text.parse().ok().filter(|id| *id <= ResourcePath::MAX_ID);
        id.ok_or_else(|| ApiError::not_found(format!("`{text}` is no id of an object or resource")))
    };
    let (object, resource) = (id(&object)?, id(&resource)?);
    let retention = Retention::from(body.into_inner());
    let is = admin.set_retention(object, resource, retention).await?;
    Ok(Json(ResourceTypeView::new(is, retention)))
}
