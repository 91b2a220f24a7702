//! `/events` and `/events/{id}`.

use std::collections::HashMap;

use actix_web::HttpResponse;
use actix_web::web::{Path, Query};
use serde::{Deserialize, Serialize};

use super::chrome::Page;
use super::newest_first::{self, Of};
use super::words;
use crate::domain::{EndpointId, EventId, Node, Severity, Timestamp};
use crate::lwm2m::Models;
use crate::store::{EventGlance, EventQuery, Found, StoredEvent};
use crate::web::ApiError;
use crate::web::auth::Viewer;
use crate::web::device_query::word;

/// Values that a list shows of each event.
const GLANCE: u64 = 4;

/// So much of each of them.
const GLANCE_CHARACTERS: usize = 32;

/// How bad an event has to be, as the list offers it.
const SEVERITIES: [(&str, &str); 3] = [
    ("info", "Info and worse"),
    ("warning", "Warning and worse"),
    ("critical", "Critical"),
];

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct EventsQuery {
    endpoint: String,
    #[serde(rename = "type")]
    event_type: String,
    rule: String,
    severity: String,
    /// Happened within so many hours.
    hours: String,
    before: Option<i64>,
    after: Option<i64>,
}

impl EventsQuery {
    /// The address of the same list, with more parameters.
    fn address(&self, more: &[(&str, &str)]) -> String {
        let own = [
            ("endpoint", self.endpoint.trim()),
            ("type", self.event_type.trim()),
            ("rule", self.rule.trim()),
            ("severity", &self.severity),
            ("hours", &self.hours),
        ];
        words::address("/events", &[&own, more].concat())
    }

    fn wanted(&self, endpoint: Option<EndpointId>) -> Result<EventQuery, ApiError> {
        let text = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        Ok(EventQuery {
            endpoint,
            event_type: text(&self.event_type),
            rule: text(&self.rule),
            severity: word("severity", &self.severity)?,
            from: newest_first::since(&self.hours)?,
            to: None,
            place: newest_first::place(self.before, self.after, EventId),
            limit: newest_first::LIMIT,
        })
    }
}

/// `GET /events`
pub(super) async fn list(
    viewer: Viewer,
    query: Query<EventsQuery>,
) -> Result<HttpResponse, ApiError> {
    let mut page = Page::new(&viewer, "/events");
    let device = query.endpoint.trim();
    let of = Of::device(&viewer, device).await?;
    let wanted = query.wanted(of.one())?;
    let found = match of {
        Of::Nobody => Found::default(),
        Of::Every | Of::One(_) => viewer.search_events(&wanted).await?,
    };
    let rules = viewer.rules().await?;
    let rules: Vec<&str> = rules.iter().map(|rule| rule.spec.name.as_str()).collect();
    let refined = [
        &query.event_type,
        &query.rule,
        &query.severity,
        &query.hours,
    ];
    page.insert("events", &EventLine::all(&viewer, &found.rows).await?);
    page.insert("endpoint", device);
    page.insert("event_type", query.event_type.trim());
    page.insert("rule", query.rule.trim());
    page.insert("rules", &rules);
    page.insert("severity", &query.severity);
    page.insert("severities", &SEVERITIES);
    page.insert("hours", &query.hours);
    page.insert("times", &newest_first::HOURS);
    page.insert("refined", &refined.iter().any(|word| !word.is_empty()));
    page.insert("unknown_device", &(of == Of::Nobody));
    newest_first::turn(
        &mut page,
        &found,
        |event| event.id.0,
        |more| query.address(more),
    );
    page.render("pages/events.html")
}

/// `GET /events/{id}`
pub(super) async fn one(viewer: Viewer, id: Path<i64>) -> Result<HttpResponse, ApiError> {
    let mut page = Page::new(&viewer, "/events");
    let (event, nodes) = viewer.event(EventId(*id)).await?;
    let models = viewer.models();
    let values: Vec<ValueLine> = nodes
        .iter()
        .map(|node| ValueLine::new(node, &models))
        .collect();
    let mut line = EventLine::new(&event, &models);
    if let Some(name) = &event.rule {
        let rules = viewer.rules().await?;
        let rule = rules.iter().find(|rule| rule.spec.name == *name);
        line.rule_id = rule.map(|rule| rule.id.0);
    }
    page.insert("event", &line);
    page.insert("values", &values);
    page.render("pages/event.html")
}

/// An event in a list.
#[derive(Debug, Serialize)]
pub(super) struct EventLine {
    id: i64,
    endpoint: String,
    title: String,
    time: Timestamp,
    /// The rule that made it, and its number while there is one of this name.
    rule: Option<String>,
    rule_id: Option<i64>,
    severity: Option<&'static str>,
    message: Option<String>,
    /// Its first values, shortened, where it has no message; and how many it has besides.
    values: Vec<ValueLine>,
    more: u64,
}

impl EventLine {
    /// Those of a list, with a glance at the values of those that say nothing by themselves.
    ///
    /// # Errors
    /// When the store fails.
    pub(super) async fn all(
        viewer: &Viewer,
        events: &[StoredEvent],
    ) -> Result<Vec<Self>, ApiError> {
        let models = viewer.models();
        let mute = events.iter().filter(|event| event.message.is_none());
        let mute = mute.map(|event| event.id).collect();
        let glances = viewer.event_glances(mute, GLANCE).await?.into_iter();
        let mut glances: HashMap<EventId, EventGlance> =
            glances.map(|glance| (glance.id, glance)).collect();
        let lines = events.iter().map(|event| {
            let mut line = Self::new(event, &models);
            if let Some(glance) = glances.remove(&event.id) {
                let shown = glance.first.iter();
                line.values = shown.map(|node| ValueLine::new(node, &models)).collect();
                for value in &mut line.values {
                    value.shorten();
                }
                let shown = u64::try_from(line.values.len()).unwrap_or(u64::MAX);
                line.more = glance.count.saturating_sub(shown);
            }
            line
        });
        Ok(lines.collect())
    }

    fn new(event: &StoredEvent, models: &Models) -> Self {
        // The type of a composite notification is the number of its object.
        let object = event
            .event_type
            .parse()
            .ok()
            .filter(|_| event.rule.is_none())
            .and_then(|id| models.object(id, None));
        Self {
            id: event.id.0,
            endpoint: event.endpoint.to_string(),
            title: match event.event_type.as_str() {
                "observation_lost" => "Observation lost".to_owned(),
                other => object.map_or_else(|| other.to_owned(), |object| object.name.clone()),
            },
            time: event.time,
            rule: event.rule.clone(),
            rule_id: None,
            severity: event.severity.map(Severity::name),
            message: event.message.clone(),
            values: Vec::new(),
            more: 0,
        }
    }
}

#[derive(Debug, Serialize)]
struct ValueLine {
    path: String,
    name: String,
    text: String,
    units: String,
    time: Option<Timestamp>,
}

impl ValueLine {
    fn new(node: &Node, models: &Models) -> Self {
        let model = node
            .path
            .object_id()
            .zip(node.path.resource_id())
            .and_then(|(object, resource)| models.resource(object, resource));
        Self {
            path: node.path.to_string(),
            name: model.map_or_else(|| "Resource".to_owned(), |model| model.name.clone()),
            text: words::value(&node.value),
            units: model
                .and_then(|model| model.units.clone())
                .unwrap_or_default(),
            time: node.time,
        }
    }

    /// For a list: the rest is on the event's own page.
    fn shorten(&mut self) {
        if let Some((end, _)) = self.text.char_indices().nth(GLANCE_CHARACTERS) {
            self.text.truncate(end);
            self.text.push('…');
        }
    }
}
