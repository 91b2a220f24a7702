//! `/api/v1/pinned-charts`: the charts on the overview.

use actix_web::web::{Json, Path, Query};
use actix_web::{HttpResponse, delete, get, patch, post};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::store::{PinChange, PinnedChart};
use crate::web::ApiError;
use crate::web::api::refused::{NotLoggedIn, NotOperator};
use crate::web::auth::{Operator, Viewer};
use crate::web::error::Problem;

use super::chart_choice::check_view;
use super::object::Object;
use super::query::{self, NoQuery, Page};

/// The longest title, in characters.
const MAX_TITLE: usize = 100;

/// The longest view, in bytes: what an address may be long.
const MAX_VIEW_BYTES: usize = 16_384;

/// A chart on the overview.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "id": 1, "title": "Cold room", "view": "series=%2F3303%2F0%2F5700%40sensor-1&range=24h",
    "created_by": "ada", "created_at": "2026-11-30T12:00:00.000Z"
}))]
pub(super) struct PinnedChartView {
    /// Its number.
    id: i64,
    /// What people call it.
    title: String,
    /// What it shows: the query of the address of its chart, so `/charts?` and this opens it.
    view: String,
    /// Who has pinned it.
    created_by: String,
    /// When.
    #[schema(format = DateTime)]
    created_at: String,
}

impl From<PinnedChart> for PinnedChartView {
    fn from(pin: PinnedChart) -> Self {
        Self {
            id: pin.id,
            title: pin.title,
            view: pin.view,
            created_by: pin.created_by,
            created_at: pin.created_at.to_string(),
        }
    }
}

/// A chart to pin.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"title": "Cold room", "view": "series=/3303/0/5700@sensor-1&range=24h"}))]
pub(super) struct NewPinnedChart {
    /// What people call it: 1 to 100 characters.
    title: String,
    /// The query of the address of a chart: `series`, `tagged`, `range` or `from` and `to`, `panels`, `follow`.
    view: String,
}

/// What is to become of a pinned chart; what is missing stays as it is.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"title": "Cold room", "place": 0}))]
pub(super) struct PinnedChartChange {
    /// What people call it.
    title: Option<String>,
    /// What it shows.
    view: Option<String>,
    /// Where it stands among the others: 0 is the first, beyond the last is the last.
    #[schema(maximum = 65535)]
    place: Option<u16>,
}

/// List pinned charts
#[utoipa::path(
    get,
    path = "/pinned-charts",
    impl_for = list_pinned_charts,
    tag = "values",
    responses(
        (status = 200, description = "All of them, in the order of the overview", body = Page<PinnedChartView>),
        NotLoggedIn,
    ),
)]
#[get("/pinned-charts")]
pub(super) async fn list_pinned_charts(
    viewer: Viewer,
    _query: Query<NoQuery>,
) -> Result<Json<Page<PinnedChartView>>, ApiError> {
    let pins = viewer.pinned_charts().await?.into_iter();
    Ok(Json(Page::whole(pins.map(PinnedChartView::from).collect())))
}

/// Pin a chart to the overview
///
/// Everybody sees it there, behind the others.
#[utoipa::path(
    post,
    path = "/pinned-charts",
    impl_for = create_pinned_chart,
    tag = "values",
    request_body = NewPinnedChart,
    responses(
        (status = 201, description = "It is on the overview", body = PinnedChartView),
        (status = 409, description = "There are too many", body = Problem, content_type = "application/problem+json"),
        NotOperator,
    ),
)]
#[post("/pinned-charts")]
pub(super) async fn create_pinned_chart(
    operator: Operator,
    _query: Query<NoQuery>,
    body: Object<NewPinnedChart>,
) -> Result<HttpResponse, ApiError> {
    let body = body.into_inner();
    let title = title(&body.title)?;
    let view = view(&operator, body.view)?;
    let pin = operator.pin_chart(title, view).await?;
    Ok(HttpResponse::Created().json(PinnedChartView::from(pin)))
}

/// Rename or move a pinned chart
#[utoipa::path(
    patch,
    path = "/pinned-charts/{id}",
    impl_for = change_pinned_chart,
    tag = "values",
    params(("id" = i64, Path, description = "The chart's number")),
    request_body = PinnedChartChange,
    responses(
        (status = 200, description = "As it is now", body = PinnedChartView),
        (status = 404, description = "No pinned chart has this number", body = Problem, content_type = "application/problem+json"),
        NotOperator,
    ),
)]
#[patch("/pinned-charts/{id}")]
pub(super) async fn change_pinned_chart(
    operator: Operator,
    id: Path<String>,
    _query: Query<NoQuery>,
    body: Object<PinnedChartChange>,
) -> Result<Json<PinnedChartView>, ApiError> {
    let id = query::row_id("pinned chart", &id)?;
    let body = body.into_inner();
    let change = PinChange {
        title: body.title.map(|text| title(&text)).transpose()?,
        view: body.view.map(|text| view(&operator, text)).transpose()?,
        place: body.place.map(usize::from),
    };
    if change == PinChange::default() {
        let detail = "nothing is to change: give `title`, `view` or `place`";
        return Err(ApiError::invalid("title", detail));
    }
    let pin = operator.change_pinned_chart(id, change).await?;
    Ok(Json(pin.into()))
}

/// Take a chart from the overview
#[utoipa::path(
    delete,
    path = "/pinned-charts/{id}",
    impl_for = delete_pinned_chart,
    tag = "values",
    params(("id" = i64, Path, description = "The chart's number")),
    responses(
        (status = 204, description = "It is removed"),
        (status = 404, description = "No pinned chart has this number", body = Problem, content_type = "application/problem+json"),
        NotOperator,
    ),
)]
#[delete("/pinned-charts/{id}")]
pub(super) async fn delete_pinned_chart(
    operator: Operator,
    id: Path<String>,
    _query: Query<NoQuery>,
) -> Result<HttpResponse, ApiError> {
    let id = query::row_id("pinned chart", &id)?;
    operator.unpin_chart(id).await?;
    Ok(HttpResponse::NoContent().finish())
}

fn title(text: &str) -> Result<String, ApiError> {
    let title = text.trim();
    let length = title.chars().count();
    if !(1..=MAX_TITLE).contains(&length) || title.chars().any(char::is_control) {
        let detail = format!("a title has 1 to {MAX_TITLE} characters, none of them a line break");
        return Err(ApiError::invalid("title", detail));
    }
    Ok(title.to_owned())
}

fn view(operator: &Operator, text: String) -> Result<String, ApiError> {
    if text.len() > MAX_VIEW_BYTES {
        let detail = format!("a view has at most {MAX_VIEW_BYTES} bytes");
        return Err(ApiError::invalid("view", detail));
    }
    check_view(&text, operator.settings().charts.max_series)
        .map_err(|error| ApiError::invalid("view", error.detail()))?;
    Ok(text)
}
