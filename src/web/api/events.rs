//! `/api/v1/events`: values that belong together.

use actix_web::get;
use actix_web::web::{Json, Path, Query};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::{EventId, Severity};
use crate::store::{self, StoredEvent};
use crate::web::ApiError;
use crate::web::api::refused::{NoDevice, NotLoggedIn, UnreadableParameter};
use crate::web::auth::Viewer;
use crate::web::error::Problem;

use super::operations::NodeView;
use super::query::{self, NoQuery, Page};

/// An event.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "id": 17, "endpoint": "urn:imei:490154203237518", "type": "too warm",
    "time": "2026-11-23T12:00:00.000Z", "rule": "too warm", "severity": "critical",
    "message": "/3303/0/5700 is 31.5, above 30"
}))]
pub(super) struct Event {
    /// Its number.
    id: i64,
    /// The device.
    endpoint: String,
    /// What kind of event.
    #[serde(rename = "type")]
    event_type: String,
    /// When it happened.
    #[schema(format = DateTime)]
    time: String,
    /// The name of the rule that made it; null for values that came together.
    #[schema(required)]
    rule: Option<String>,
    /// How bad it is, as its rule says: `info`, `warning`, `critical` or null.
    #[schema(required)]
    severity: Option<&'static str>,
    /// What happened, in words, as its rule says.
    #[schema(required)]
    message: Option<String>,
}

impl From<StoredEvent> for Event {
    fn from(stored: StoredEvent) -> Self {
        Self {
            id: stored.id.0,
            endpoint: stored.endpoint.to_string(),
            event_type: stored.event_type,
            time: stored.time.to_string(),
            rule: stored.rule,
            severity: stored.severity.map(Severity::name),
            message: stored.message,
        }
    }
}

/// An event with its values.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct EventDetail {
    #[serde(flatten)]
    event: Event,
    /// The values that came together, or the value that a rule told of and those around it.
    resources: Vec<NodeView>,
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct EventQuery {
    /// Only of this device.
    endpoint: Option<String>,
    /// Only of this type.
    #[serde(rename = "type")]
    #[param(example = "too warm")]
    event_type: Option<String>,
    /// Only those that the rule of this name made.
    #[param(example = "too warm")]
    rule: Option<String>,
    /// Only those of rules that say that it is at least so bad: `info`, `warning` or `critical`.
    #[param(example = "warning")]
    severity: Option<String>,
    /// Not before this time: RFC 3339, or milliseconds since 1970.
    from: Option<String>,
    /// Before this time.
    to: Option<String>,
    /// Rows of a page, at most `web.max_page_rows`.
    #[param(value_type = Option<u64>, minimum = 1, default = 100)]
    limit: Option<String>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// List events
///
/// Newest first.
#[utoipa::path(
    get,
    path = "/events",
    impl_for = list_events,
    tag = "values",
    params(EventQuery),
    responses(
        (status = 200, description = "A page of events", body = Page<Event>),
        UnreadableParameter, NotLoggedIn, NoDevice,
    ),
)]
#[get("/events")]
pub(super) async fn list_events(
    viewer: Viewer,
    query: Query<EventQuery>,
) -> Result<Json<Page<Event>>, ApiError> {
    let text = |text: &Option<String>| query::given(text.as_deref()).map(str::to_owned);
    let wanted = store::EventQuery {
        event_type: text(&query.event_type),
        rule: text(&query.rule),
        severity: query::parse("severity", query.severity.as_deref())?,
        from: query::moment("from", query.from.as_deref())?,
        to: query::moment("to", query.to.as_deref())?,
        place: query::place(query.cursor.as_deref(), EventId)?,
        limit: query::limit(&viewer, query.limit.as_deref())?,
        endpoint: query::device(&viewer, query.endpoint.as_deref()).await?,
    };
    let found = viewer.search_events(&wanted).await?;
    Ok(Json(Page::found(found, |event| event.id, Event::from)))
}

/// Show an event with its values
#[utoipa::path(
    get,
    path = "/events/{id}",
    impl_for = show_event,
    tag = "values",
    params(("id" = i64, Path, description = "The event's number")),
    responses(
        (status = 200, description = "The event", body = EventDetail),
        (status = 404, description = "No event has this number", body = Problem, content_type = "application/problem+json"),
        NotLoggedIn,
    ),
)]
#[get("/events/{id}")]
pub(super) async fn show_event(
    viewer: Viewer,
    id: Path<String>,
    _query: Query<NoQuery>,
) -> Result<Json<EventDetail>, ApiError> {
    let id = EventId(query::row_id("event", &id)?);
    let (event, nodes) = viewer.event(id).await?;
    Ok(Json(EventDetail {
        event: event.into(),
        resources: nodes.iter().map(NodeView::from).collect(),
    }))
}
