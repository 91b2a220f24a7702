//! `/devices`: the devices by name, searched and paged by the store.

use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::web::Query;
use serde::{Deserialize, Serialize};

use super::chrome::Page;
use super::words;
use crate::domain::{EndpointName, Path, Timestamp};
use crate::store::{EndpointFilter, EndpointRow};
use crate::web::ApiError;
use crate::web::auth::Viewer;

/// Devices on one page.
const LIMIT: u64 = 50;

/// What the list shows of a device; the page's script knows the same paths.
const TEMPERATURE: Path = Path::resource(3303, 0, 5700);
const HUMIDITY: Path = Path::resource(3304, 0, 5700);

#[derive(Debug, Deserialize)]
pub(super) struct DevicesQuery {
    #[serde(default)]
    search: String,
    #[serde(default)]
    tag: String,
    #[serde(default)]
    registered: String,
    #[serde(default)]
    after: String,
}

impl DevicesQuery {
    /// The address of the same list from another place on.
    fn address(&self, after: Option<&EndpointName>) -> String {
        let after = after.map_or("", EndpointName::as_str);
        words::address(
            "/devices",
            &[
                ("search", &self.search),
                ("tag", &self.tag),
                ("registered", &self.registered),
                ("after", after),
            ],
        )
    }
}

/// `GET /devices`
pub(super) async fn page(
    viewer: Viewer,
    query: Query<DevicesQuery>,
) -> Result<HttpResponse, ApiError> {
    let mut page = Page::new(&viewer, "/devices");
    let search = query.search.trim();
    let tag = query.tag.trim();
    let filter = EndpointFilter {
        registered: query.registered.parse().ok(),
        search: (!search.is_empty()).then(|| search.to_owned()),
        tag: (!tag.is_empty()).then(|| tag.to_owned()),
        limit: LIMIT,
        after: EndpointName::new(&query.after).ok(),
    };
    let (rows, more) = viewer.endpoints(&filter).await?;
    let (total, registered) = viewer.count_endpoints().await?;
    let awake_s = viewer.settings().queue_mode.awake_s;
    let now = Timestamp::system();
    let mut lines = Vec::with_capacity(rows.len());
    for row in &rows {
        let awake = row
            .profile
            .awake
            .unwrap_or_else(|| Duration::from_secs(awake_s));
        let mut line = DeviceLine::new(row, state(row, now, awake));
        line.awake_s = line.awake_s.or(Some(awake_s));
        for stored in viewer.latest(row.id).await? {
            if stored.path == TEMPERATURE {
                line.temperature = words::value(&stored.value);
            } else if stored.path == HUMIDITY {
                line.humidity = words::value(&stored.value);
            }
        }
        lines.push(line);
    }
    let next = rows
        .last()
        .filter(|_| more)
        .map(|last| query.address(Some(&last.name)));
    page.insert("devices", &lines);
    page.insert("total", &total);
    page.insert("registered", &registered);
    page.insert("awake_s", &awake_s);
    page.insert("search", search);
    page.insert("tag", tag);
    page.insert("which", &query.registered);
    page.insert("limit", &LIMIT);
    page.insert("first", &filter.after.is_none());
    page.insert("first_href", &query.address(None));
    page.insert("next", &next);
    page.render("pages/devices.html")
}

/// Whether a device can be reached, in one word. One in queue mode listens for a while after it
/// was heard of.
pub(in crate::web) fn state(row: &EndpointRow, now: Timestamp, awake: Duration) -> &'static str {
    match &row.registration {
        None if row.through_gateway().is_some() => "registered",
        None => "offline",
        Some(registration) if !registration.queue_mode => "registered",
        Some(registration) => {
            let seen = row.last_seen_at.map_or(registration.updated_at, |at| {
                at.max(registration.updated_at)
            });
            if now.since(seen) < awake {
                "awake"
            } else {
                "asleep"
            }
        }
    }
}

/// A device as tables and headlines show it.
#[derive(Debug, Serialize)]
pub(super) struct DeviceLine {
    name: String,
    state: &'static str,
    registered: bool,
    /// Registered with an outside gateway only.
    gateway: bool,
    queue_mode: bool,
    secure: bool,
    address: String,
    lwm2m_version: String,
    lifetime_s: Option<u64>,
    last_seen_at: Option<Timestamp>,
    tags: Vec<String>,
    /// Its own awake window; on the list, the one that counts.
    awake_s: Option<u64>,
    /// Its eDRX cycle.
    edrx_cycle_s: Option<u64>,
    /// The value of [`TEMPERATURE`], as text.
    temperature: String,
    /// The value of [`HUMIDITY`], as text.
    humidity: String,
}

impl DeviceLine {
    pub(super) fn new(row: &EndpointRow, state: &'static str) -> Self {
        let registration = row.registration.as_ref();
        Self {
            name: row.name.to_string(),
            state,
            registered: row.is_registered(),
            gateway: row.through_gateway().is_some(),
            queue_mode: registration.is_some_and(|registration| registration.queue_mode),
            secure: registration.is_some_and(|registration| registration.peer.is_secure()),
            address: registration.map_or_else(
                || "–".to_owned(),
                |registration| registration.peer.address.to_string(),
            ),
            lwm2m_version: registration.map_or_else(
                || "–".to_owned(),
                |registration| registration.lwm2m_version.to_string(),
            ),
            lifetime_s: registration.map(|registration| registration.lifetime.as_secs()),
            last_seen_at: row
                .last_seen_at
                .or_else(|| registration.map(|registration| registration.updated_at)),
            tags: row.profile.tags.clone(),
            awake_s: row.profile.awake.map(|time| time.as_secs()),
            edrx_cycle_s: row.profile.edrx_cycle.map(|time| time.as_secs()),
            temperature: "–".to_owned(),
            humidity: "–".to_owned(),
        }
    }
}
