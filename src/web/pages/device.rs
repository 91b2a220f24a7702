//! `/devices/{name}`: everything about one device.

use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::web::Path as UrlPath;
use serde::Serialize;

use super::chrome::Page;
use super::device_view::{ChartItem, ObjectView, chart_items, object_views};
use super::devices::DeviceLine;
use super::events::EventLine;
use super::operations::OperationLine;
use super::{device_log, device_security, traffic, updates};
use crate::domain::{ContentFormat, EndpointName, Path, Timestamp, WantedState, Warning};
use crate::store::EndpointRow;
use crate::web::ApiError;
use crate::web::auth::Viewer;
use crate::web::device_query::state;
use crate::web::models::of_device;
use crate::web::observed::{Observed, wanted_and_actual};
use crate::web::waiting::waits;

/// Lines in the lists of the latest operations and events.
const LATEST: u64 = 8;

/// The presets of the chart; `chart.js` knows their lengths.
const RANGES: [&str; 6] = ["15m", "1h", "6h", "24h", "7d", "30d"];

/// `GET /devices/{name}`
pub(super) async fn page(viewer: Viewer, name: UrlPath<String>) -> Result<HttpResponse, ApiError> {
    let mut page = Page::new(&viewer, "/devices");
    let row = match EndpointName::new(&name) {
        Ok(name) => viewer.endpoint(&name).await?,
        Err(error) => return Err(ApiError::not_found(error.to_string())),
    };
    let id = Some(row.id);
    let latest = viewer.latest(row.id).await?;
    let observations = viewer.observations(row.id).await?;
    let operations = viewer.newest_operations(id, LATEST).await?;
    let waiting = viewer.count_waiting(row.id).await?;
    let events = viewer.newest_events(id, LATEST).await?;
    let awake_s = viewer.settings().queue_mode.awake_s;
    let awake = row
        .profile
        .awake
        .unwrap_or_else(|| Duration::from_secs(awake_s));
    let mut word = state(&row, Timestamp::system(), awake);
    if word == "awake" || word == "asleep" {
        // Its actor knows better than the clock.
        word = if viewer.awake(&row).await {
            "awake"
        } else {
            "asleep"
        };
    }
    let next_wake = row
        .next_wake(Timestamp::system())
        .filter(|_| word == "asleep");
    let registration = row.registration.as_ref();
    let models = viewer.models();
    let view = of_device(&models, registration);
    let objects: Vec<ObjectView> = object_views(registration, &latest, &observations, view);
    let charts: Vec<ChartItem> = chart_items(&latest, view);
    let warnings: &[Warning] =
        registration.map_or(&row.gateway.warnings, |registration| &registration.warnings);
    let wanted = viewer.wanted(row.id).await?;
    let observed: Vec<ObservationLine> = wanted_and_actual(&wanted, &observations)
        .iter()
        .map(ObservationLine::new)
        .collect();
    page.insert("device", &DeviceFacts::new(&row, word));
    let own_awake_s = row.profile.awake.map(|time| time.as_secs());
    page.insert("awake_s", &own_awake_s.unwrap_or(awake_s));
    page.insert("default_awake_s", &awake_s);
    page.insert("waiting", &waiting);
    page.insert("next_wake_at", &next_wake.map(|wake| wake.at));
    page.insert("next_wake_basis", &next_wake.map(|wake| wake.basis.name()));
    page.insert("objects", &objects);
    page.insert("charts", &charts);
    page.insert("ranges", &RANGES);
    page.insert("warnings", warnings);
    page.insert("observations", &observed);
    let waits = waits(&viewer, &operations).await?;
    let formats = ContentFormat::ALL.map(ContentFormat::name);
    page.insert("operations", &OperationLine::all(&operations, &waits));
    page.insert("formats", &formats);
    page.insert("expiry_s", &viewer.settings().operations.default_expiry_s);
    device_log::insert(&mut page, &viewer, &row).await?;
    device_security::insert(&mut page, &viewer, &row).await?;
    traffic::insert_of_device(&mut page, &viewer, &row).await?;
    updates::insert_of_device(&mut page, &viewer, &row).await?;
    page.insert("events", &EventLine::all(&viewer, &events).await?);
    page.render("pages/device.html")
}

/// The facts of the registration, and those of the headline.
#[derive(Debug, Serialize)]
struct DeviceFacts {
    #[serde(flatten)]
    line: DeviceLine,
    created_at: Timestamp,
    registered_at: Option<Timestamp>,
    updated_at: Option<Timestamp>,
    expires_at: Option<Timestamp>,
    binding: String,
    peer: String,
    formats: String,
    root: String,
    sms_number: Option<String>,
    attributes: Vec<Attribute>,
    raw_links: String,
}

#[derive(Debug, Serialize)]
struct Attribute {
    name: String,
    value: String,
}

impl DeviceFacts {
    fn new(row: &EndpointRow, state: &'static str) -> Self {
        let line = DeviceLine::new(row, state);
        let Some(registration) = &row.registration else {
            return Self {
                line,
                created_at: row.created_at,
                registered_at: row.through_gateway(),
                updated_at: None,
                expires_at: None,
                binding: String::new(),
                peer: String::new(),
                formats: String::new(),
                root: String::new(),
                sms_number: None,
                attributes: Vec::new(),
                raw_links: String::new(),
            };
        };
        let formats: Vec<String> = registration
            .formats
            .iter()
            .map(|code| {
                ContentFormat::from_code(*code).map_or_else(
                    || code.to_string(),
                    |format| format.name().replace('_', " "),
                )
            })
            .collect();
        Self {
            line,
            created_at: row.created_at,
            registered_at: Some(registration.registered_at),
            updated_at: Some(registration.updated_at),
            expires_at: Some(registration.expires_at),
            binding: registration.binding.clone(),
            peer: registration.peer.to_string(),
            formats: formats.join(", "),
            root: registration.root.clone(),
            sms_number: registration.sms_number.clone(),
            attributes: registration
                .attributes
                .iter()
                .map(|(name, value)| Attribute {
                    name: name.clone(),
                    value: value.clone(),
                })
                .collect(),
            raw_links: registration.raw_links.to_string(),
        }
    }
}

/// Something that is wanted to be observed, against what is.
#[derive(Debug, Serialize)]
struct ObservationLine {
    paths: String,
    wanted: bool,
    state: &'static str,
    reason: Option<String>,
    /// Who wants it, in words.
    by: String,
    attributes: String,
    attributes_error: Option<String>,
    since: Timestamp,
    retry_at: Option<Timestamp>,
    notified_at: Option<Timestamp>,
    notifications: u64,
    /// True when there is something to end.
    can_end: bool,
    /// The operations that make and end it.
    observe: &'static str,
    cancel: &'static str,
}

impl ObservationLine {
    fn new(observed: &Observed) -> Self {
        let paths: Vec<String> = observed.paths.iter().map(Path::to_string).collect();
        let template = observed.template_id.map(|id| format!("template {id}"));
        let by: Vec<String> = template
            .into_iter()
            .chain(observed.requested_by.clone())
            .collect();
        let attributes: Vec<String> = observed
            .attributes
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let is_observed = matches!(observed.state, WantedState::Active | WantedState::Requested);
        let (observe, cancel) = if observed.composite {
            ("observe_composite", "cancel_observe_composite")
        } else {
            ("observe", "cancel_observe")
        };
        Self {
            paths: paths.join(" "),
            wanted: observed.wanted,
            state: observed.state.name(),
            reason: observed.reason.clone(),
            by: by.join(" and "),
            attributes: attributes.join(" "),
            attributes_error: observed.attributes_error.clone(),
            since: observed.since,
            retry_at: observed.retry_at,
            notified_at: observed.last_notified_at,
            notifications: observed.notifications,
            can_end: observed.wanted || is_observed,
            observe,
            cancel,
        }
    }
}
