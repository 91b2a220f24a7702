//! What devices report: the latest values, their history, and one resource over all devices.

use actix_web::get;
use actix_web::web::{Json, Path, Query};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::{Path as ResourcePath, Timestamp, Value};
use crate::store::{Aggregate, StoredValue};
use crate::web::ApiError;
use crate::web::api::refused::{NoDevice, NotLoggedIn, UnreadableParameter};
use crate::web::auth::Viewer;
use crate::web::error::Problem;
use crate::web::models::of_device;

use super::query::{self, NoQuery, Page};

/// Points of a history when nobody says.
const DEFAULT_POINTS: usize = 1000;

/// Points of a history at most; more than a screen has columns is of no use.
const MAX_POINTS: usize = 10_000;

/// How far back a history goes when nobody says.
const DEFAULT_RANGE_MS: i64 = 24 * 3600 * 1000;

/// The latest value at a path.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "path": "/3303/0/5700", "name": "Sensor Value", "type": "FLOAT", "value": 21.5,
    "units": "Cel", "time": "2026-11-23T12:00:00.000Z"
}))]
pub(super) struct LatestValue {
    /// Where.
    path: String,
    /// What the object model calls it.
    #[schema(required)]
    name: Option<String>,
    /// The type of the value, for example `FLOAT`.
    #[serde(rename = "type")]
    value_type: &'static str,
    /// The value; see "Values in JSON" of the documentation.
    value: serde_json::Value,
    /// Its units, where the object model names some.
    #[schema(required)]
    units: Option<String>,
    /// When it was measured.
    #[schema(format = DateTime)]
    time: String,
}

/// A value of one device.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "endpoint": "urn:imei:490154203237518", "path": "/3303/0/5700", "type": "FLOAT", "value": 21.5,
    "time": "2026-11-23T12:00:00.000Z"
}))]
pub(super) struct DeviceValue {
    /// The device.
    endpoint: String,
    /// Where.
    path: String,
    /// The type of the value.
    #[serde(rename = "type")]
    value_type: &'static str,
    /// The value.
    value: serde_json::Value,
    /// When it was measured.
    #[schema(format = DateTime)]
    time: String,
}

impl From<StoredValue> for DeviceValue {
    fn from(stored: StoredValue) -> Self {
        Self {
            endpoint: stored.endpoint.to_string(),
            path: stored.path.to_string(),
            value_type: stored.value.value_type().name(),
            value: stored.value.to_json(),
            time: stored.time.to_string(),
        }
    }
}

/// Values of one resource over time.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"path": "/3303/0/5700", "points": [[1_700_000_000_000_i64, 21.5], [1_700_000_060_000_i64, 21.6]]}))]
pub(super) struct History {
    /// Where.
    path: String,
    /// Pairs of time (milliseconds since 1970) and value, by time; by default down-sampled so that minima
    /// and maxima stay visible.
    #[schema(value_type = Vec<Vec<f64>>, example = json!([[1_700_000_000_000_i64, 21.5]]))]
    points: Vec<(i64, serde_json::Value)>,
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct HistoryQuery {
    /// A resource or resource instance.
    #[param(value_type = String, required = true, example = "/3303/0/5700")]
    path: Option<String>,
    /// The first moment, RFC 3339 or milliseconds since 1970; a day before `to` when missing.
    from: Option<String>,
    /// The moment behind the last; now when missing.
    to: Option<String>,
    /// How many points at most.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 10_000, default = 1000)]
    points: Option<String>,
    /// What a point says of its stretch of time: the values with their minima and maxima (`min_max`), or one
    /// figure for each stretch. Stretches begin at round moments, and are a minute long or more where there are
    /// many values.
    #[param(value_type = Option<String>, default = "min_max", pattern = "^(min_max|mean|last|min|max|count)$")]
    aggregate: Option<String>,
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct DataQuery {
    /// How many values at most, at most `web.max_page_rows`.
    #[param(value_type = Option<u64>, minimum = 1, default = 100)]
    limit: Option<String>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// List the latest values of a device
#[utoipa::path(
    get,
    path = "/endpoints/{name}/resources",
    impl_for = list_resources,
    tag = "values",
    params(("name" = String, Path, description = "The device's name")),
    responses(
        (status = 200, description = "The latest value of each path, by path", body = Page<LatestValue>),
        NotLoggedIn, NoDevice,
    ),
)]
#[get("/endpoints/{name}/resources")]
pub(super) async fn list_resources(
    viewer: Viewer,
    name: Path<String>,
    _query: Query<NoQuery>,
) -> Result<Json<Page<LatestValue>>, ApiError> {
    let row = viewer.endpoint(&query::endpoint_name(&name)?).await?;
    let values = viewer.latest(row.id).await?;
    let models = viewer.models();
    let models = of_device(&models, row.registration.as_ref());
    let items = values.iter().map(|stored| {
        let model = models.at(&stored.path);
        LatestValue {
            path: stored.path.to_string(),
            name: model.map(|model| model.name.clone()),
            value_type: stored.value.value_type().name(),
            value: stored.value.to_json(),
            units: model.and_then(|model| model.units.clone()),
            time: stored.time.to_string(),
        }
    });
    Ok(Json(Page::whole(items.collect())))
}

/// Show the history of a value
///
/// Numbers and switches only.
#[utoipa::path(
    get,
    path = "/endpoints/{name}/history",
    impl_for = show_history,
    tag = "values",
    params(("name" = String, Path, description = "The device's name"), HistoryQuery),
    responses(
        (status = 200, description = "The values", body = History),
        UnreadableParameter, NotLoggedIn, NoDevice,
    ),
)]
#[get("/endpoints/{name}/history")]
pub(super) async fn show_history(
    viewer: Viewer,
    name: Path<String>,
    query: Query<HistoryQuery>,
) -> Result<Json<History>, ApiError> {
    let path: ResourcePath = query::parse("path", query.path.as_deref())?
        .ok_or_else(|| ApiError::parameter("path", "`path` is missing"))?;
    if path.depth() < 3 {
        let detail = "`path` must name a resource or resource instance, such as /3303/0/5700";
        return Err(ApiError::parameter("path", detail));
    }
    let to = query::moment("to", query.to.as_deref())?.unwrap_or_else(Timestamp::system);
    let from = query::moment("from", query.from.as_deref())?.unwrap_or_else(|| {
        Timestamp::clamped_from_millis(to.as_millis().saturating_sub(DEFAULT_RANGE_MS))
    });
    if from > to {
        return Err(ApiError::parameter("from", "`from` is after `to`"));
    }
    let points = query::parse("points", query.points.as_deref())?.unwrap_or(DEFAULT_POINTS);
    if !(1..=MAX_POINTS).contains(&points) {
        let detail = format!("`points` must be from 1 to {MAX_POINTS}");
        return Err(ApiError::parameter("points", detail));
    }
    let aggregate: Aggregate =
        query::parse("aggregate", query.aggregate.as_deref())?.unwrap_or_default();
    let row = viewer.endpoint(&query::endpoint_name(&name)?).await?;
    let points = viewer
        .history(row.id, path, from, to, points, aggregate)
        .await?;
    let points = points.into_iter().map(|(time, value)| {
        let value = Value::Float(value).to_json();
        (time.as_millis(), value)
    });
    Ok(Json(History {
        path: path.to_string(),
        points: points.collect(),
    }))
}

/// List the values of one resource type over all devices
///
/// Newest first. The names are those of resource types, for example `temperature`.
#[utoipa::path(
    get,
    path = "/data/{resource_type_name}",
    impl_for = list_data,
    tag = "values",
    params(
        ("resource_type_name" = String, Path, description = "The resource type's name", example = "temperature"),
        DataQuery,
    ),
    responses(
        (status = 200, description = "A page of the newest values", body = Page<DeviceValue>),
        (status = 404, description = "No resource type has this name", body = Problem, content_type = "application/problem+json"),
        UnreadableParameter, NotLoggedIn,
    ),
)]
#[get("/data/{resource_type_name}")]
pub(super) async fn list_data(
    viewer: Viewer,
    name: Path<String>,
    query: Query<DataQuery>,
) -> Result<Json<Page<DeviceValue>>, ApiError> {
    let limit = query::limit(&viewer, query.limit.as_deref())?;
    let types = viewer.resource_types().await?;
    let Some(found) = types.iter().find(|found| found.name == *name) else {
        let detail = format!("there is no resource type `{name}`");
        return Err(ApiError::not_found(detail));
    };
    let before = query::read_cursor(query.cursor.as_deref())?;
    let values = viewer.values_of_type(found, limit + 1, before).await?;
    Ok(Json(Page::cut(
        values,
        limit,
        |(row, _)| *row,
        |(_, value)| DeviceValue::from(value),
    )))
}
