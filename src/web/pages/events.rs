//! `/events` and `/events/{id}`.

use std::collections::{BTreeSet, HashMap};

use actix_web::HttpResponse;
use actix_web::web::{Path, Query};
use serde::{Deserialize, Serialize};

use super::chrome::Page;
use super::newest_first::{self, Of};
use super::words;
use crate::domain::{EndpointId, EventId, Node, Path as NodePath, Rule, Severity, Timestamp};
use crate::lwm2m::{Models, ResourceModel};
use crate::store::{EventGlance, EventQuery, Found, StoredEvent};
use crate::web::ApiError;
use crate::web::auth::Viewer;
use crate::web::device_query::word;

/// Values that a list shows of each event.
const GLANCE: u64 = 4;

/// The resource that holds the value of most sensors: what it is, its object says.
const SENSOR_VALUE: u16 = 5700;

/// How much before and after an event a chart of its values shows, in milliseconds.
const AROUND_MS: i64 = 30 * 60 * 1000;

/// What is told when an observation is lost.
const OBSERVATION_LOST: &str = "observation_lost";

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
    let names: Vec<&str> = rules.iter().map(|rule| rule.spec.name.as_str()).collect();
    let filters = [
        device,
        &query.event_type,
        &query.rule,
        &query.severity,
        &query.hours,
    ];
    let lines = EventLine::all(&viewer, &found.rows).await?;
    page.insert(
        "types",
        &types(&viewer, &rules, &lines, query.event_type.trim()),
    );
    page.insert("events", &lines);
    page.insert("endpoint", device);
    page.insert("rule", query.rule.trim());
    page.insert("rules", &names);
    page.insert("severity", &query.severity);
    page.insert("severities", &SEVERITIES);
    page.insert("hours", &query.hours);
    page.insert("times", &newest_first::HOURS);
    page.insert("filtered", &filters.iter().any(|word| !word.is_empty()));
    page.insert("unknown_device", &(of == Of::Nobody));
    newest_first::turn(
        &mut page,
        &found,
        |event| event.id.0,
        |more| query.address(more),
    );
    page.render("pages/events.html")
}

/// A type of events, as the list can be narrowed down to it.
#[derive(Debug, Serialize)]
struct TypeChoice {
    name: String,
    words: String,
    is_chosen: bool,
}

/// What rules make, what is lost, and what else is in sight.
fn types(viewer: &Viewer, rules: &[Rule], lines: &[EventLine], chosen: &str) -> Vec<TypeChoice> {
    let models = viewer.models();
    let of_rules = rules.iter().map(|rule| rule.spec.event_type());
    let in_sight = lines.iter().map(|line| line.event_type.as_str());
    let names: BTreeSet<&str> = of_rules
        .chain(in_sight)
        .chain([OBSERVATION_LOST, chosen])
        .filter(|name| !name.is_empty())
        .collect();
    let choices = names.into_iter().map(|name| TypeChoice {
        name: name.to_owned(),
        words: title(name, &models),
        is_chosen: name == chosen,
    });
    choices.collect()
}

/// What a type of events is called. The type of values that came together is the number of their object.
fn title(event_type: &str, models: &Models) -> String {
    if event_type == OBSERVATION_LOST {
        return "Observation lost".to_owned();
    }
    let object = event_type.parse().ok();
    object
        .and_then(|id| models.object(id, None))
        .map_or_else(|| event_type.to_owned(), |object| object.name.clone())
}

/// `GET /events/{id}`
pub(super) async fn one(viewer: Viewer, id: Path<i64>) -> Result<HttpResponse, ApiError> {
    let mut page = Page::new(&viewer, "/events");
    let (event, nodes) = viewer.event(EventId(*id)).await?;
    let models = viewer.models();
    let mut values: Vec<ValueLine> = nodes
        .iter()
        .map(|node| ValueLine::new(node, &models))
        .collect();
    for value in &mut values {
        value.chart_href = value.chart(&event);
    }
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
    #[serde(skip)]
    event_type: String,
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
        Self {
            id: event.id.0,
            endpoint: event.endpoint.to_string(),
            event_type: event.event_type.clone(),
            title: match &event.rule {
                // What a person has called it.
                Some(_) => event.event_type.clone(),
                None => title(&event.event_type, models),
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
    /// What it is, in a list without its path: the sensor rather than `Sensor Value`.
    label: String,
    text: String,
    units: String,
    time: Option<Timestamp>,
    /// Whether a chart can show it.
    #[serde(skip)]
    is_numeric: bool,
    /// The chart of it around the event, on the event's own page.
    chart_href: Option<String>,
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
            label: label(&node.path, model, models),
            is_numeric: node.value.value_type().is_numeric(),
            chart_href: None,
            text: words::value(&node.value),
            units: model
                .and_then(|model| model.units.as_deref())
                .map(|units| words::units(units).to_owned())
                .unwrap_or_default(),
            time: node.time,
        }
    }

    /// Where a chart of it around the event is, if one can show it.
    fn chart(&self, event: &StoredEvent) -> Option<String> {
        let at = event.time.as_millis();
        let from = Timestamp::from_millis(at.checked_sub(AROUND_MS)?)?;
        let to = Timestamp::from_millis(at.checked_add(AROUND_MS)?)?;
        let series = format!("{}@{}", self.path, event.endpoint);
        self.is_numeric.then(|| {
            let (from, to) = (from.to_string(), to.to_string());
            words::address(
                "/charts",
                &[("series", &series), ("from", &from), ("to", &to)],
            )
        })
    }

    /// For a list: the rest is on the event's own page.
    fn shorten(&mut self) {
        if let Some((end, _)) = self.text.char_indices().nth(GLANCE_CHARACTERS) {
            self.text.truncate(end);
            self.text.push('…');
        }
    }
}

/// `Temperature` for `/3303/0/5700`, `Battery Level` for `/3/0/9`; where nothing is known of it, its path.
pub(super) fn label(path: &NodePath, model: Option<&ResourceModel>, models: &Models) -> String {
    let sensor = path
        .object_id()
        .filter(|_| path.resource_id() == Some(SENSOR_VALUE))
        .and_then(|object| models.object(object, None));
    let name = match (sensor, model) {
        (Some(object), _) => &object.name,
        (None, Some(resource)) => &resource.name,
        (None, None) => return path.to_string(),
    };
    match path.instance_id() {
        Some(0) | None => name.clone(),
        Some(instance) => format!("{name} {instance}"),
    }
}
