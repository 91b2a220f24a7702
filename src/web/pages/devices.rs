//! `/devices`: the devices, searched, sorted and paged by the store, and asked for something together.

use std::collections::HashMap;

use actix_web::web::Query;
use actix_web::{HttpRequest, HttpResponse};
use serde::{Deserialize, Serialize};

use super::bulk::BulkLine;
use super::chrome::Page;
use super::first_steps;
use super::words;
use crate::domain::{EndpointId, Path, Timestamp, Value};
use crate::store::{DeviceQuery, DeviceSort, DeviceState, EndpointRow, ListedDevice};
use crate::web::ApiError;
use crate::web::auth::Viewer;
use crate::web::device_query::{self, COLUMNS, DeviceWords, ListView, PAGE_SIZES, state};

/// Devices are counted up to here.
const COUNTED: u64 = 10_000;

/// Versions of firmware that are offered.
const VERSIONS: u64 = 100;

/// What the list shows of a device; the page's script knows the same paths.
const TEMPERATURE: Path = Path::resource(3303, 0, 5700);
const HUMIDITY: Path = Path::resource(3304, 0, 5700);
/// In which units, where the device has told.
const TEMPERATURE_UNITS: Path = Path::resource(3303, 0, 5701);
const HUMIDITY_UNITS: Path = Path::resource(3304, 0, 5701);
const VALUES: [Path; 4] = [TEMPERATURE, TEMPERATURE_UNITS, HUMIDITY, HUMIDITY_UNITS];

/// Columns that are hidden until somebody wants them.
const HIDDEN: [&str; 4] = ["registered", "end", "model", "warnings"];

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct DevicesQuery {
    #[serde(flatten)]
    words: DeviceWords,
    /// Of links from before: `true` or `false`.
    registered: String,
    sort: String,
    limit: String,
    /// Those that are shown, whatever the browser remembers.
    columns: String,
    cursor: String,
}

impl DevicesQuery {
    fn words(&self) -> DeviceWords {
        let words = &self.words;
        let state = match (words.state.as_str(), self.registered.as_str()) {
            ("", "true") => DeviceState::Registered.name().to_owned(),
            ("", "false") => DeviceState::Offline.name().to_owned(),
            (state, _) => state.to_owned(),
        };
        DeviceWords {
            search: words.search.trim().to_owned(),
            state,
            tag: words.tag.trim().to_owned(),
            firmware: words.firmware.trim().to_owned(),
            object: words.object.trim().to_owned(),
            ..words.clone()
        }
    }

    /// Devices on one page.
    fn limit(&self) -> u64 {
        let wanted = self.limit.parse().ok();
        let known = wanted.filter(|wanted| PAGE_SIZES.contains(wanted));
        known.unwrap_or(PAGE_SIZES[0])
    }
}

/// The addresses of the same list in other ways.
struct Addresses<'a> {
    words: &'a DeviceWords,
    sort: &'a str,
    limit: u64,
    columns: &'a str,
}

impl Addresses<'_> {
    fn of(&self, sort: &str, limit: u64, cursor: &str) -> String {
        let limit = match limit {
            limit if limit == PAGE_SIZES[0] => String::new(),
            limit => limit.to_string(),
        };
        let mut parameters = self.words.pairs().to_vec();
        parameters.extend([("sort", sort), ("limit", &limit)]);
        parameters.extend([("columns", self.columns), ("cursor", cursor)]);
        words::address("/devices", &parameters)
    }

    fn from(&self, cursor: &str) -> String {
        self.of(self.sort, self.limit, cursor)
    }
}

/// `GET /devices`
pub(super) async fn page(
    viewer: Viewer,
    query: Query<DevicesQuery>,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let mut page = Page::new(&viewer, "/devices");
    let words = query.words();
    let filter = words.filter()?;
    let (sort, descending) = device_query::sort(&query.sort)?;
    let limit = query.limit();
    let shown = device_query::columns(&query.columns)?;
    let wanted = DeviceQuery {
        filter: filter.clone(),
        sort,
        descending,
        place: device_query::place(&query.cursor)?,
        limit,
    };
    let list = viewer.devices_page(&wanted).await?;
    let count = viewer.count_devices(&filter, COUNTED).await?;
    let ids: Vec<EndpointId> = list.devices.iter().map(|device| device.row.id).collect();
    let values = viewer.latest_at(ids, VALUES.to_vec()).await?;
    let values: HashMap<(EndpointId, Path), Value> = values
        .into_iter()
        .map(|one| ((one.endpoint_id, one.path), one.value))
        .collect();
    let at = viewer.moment();
    let lines: Vec<DeviceLine> = list
        .devices
        .iter()
        .map(|device| {
            let awake = device.row.profile.awake.unwrap_or(at.awake);
            DeviceLine::listed(device, state(&device.row, at.now, awake), awake.as_secs())
                .with_values(device.row.id, &values)
        })
        .collect();
    let addresses = Addresses {
        words: &words,
        sort: &query.sort,
        limit,
        columns: &query.columns,
    };
    let next = list.devices.last().filter(|_| list.has_next);
    let next = next.map(|last| addresses.from(&device_query::cursor(last, false)));
    let previous = list.devices.first().filter(|_| list.has_previous);
    let previous = previous.map(|first| addresses.from(&device_query::cursor(first, true)));
    let versions = viewer.firmware_versions(VERSIONS).await?;
    let under_way = viewer.bulks_under_way().await?;
    let is_empty = lines.is_empty() && filter.is_everyone() && !list.has_previous;
    first_steps::insert(&mut page, &viewer, &request, is_empty);
    page.insert("devices", &lines);
    page.insert("count", &count.min(COUNTED));
    page.insert("more", &(count > COUNTED));
    page.insert("max_bulk", &viewer.settings().operations.max_bulk);
    page.insert("words", &words);
    page.insert("filter", &serde_json::json!(words).to_string());
    page.insert("filtered", &!filter.is_everyone());
    page.insert("refined", &refined(&words));
    page.insert("states", &DeviceState::ALL.map(DeviceState::name));
    page.insert("versions", &versions);
    page.insert(
        "columns",
        &columns(&addresses, shown.as_deref(), sort, descending),
    );
    page.insert("limit", &limit);
    page.insert("limits", &limits(&addresses));
    page.insert("sort", &query.sort);
    page.insert("first", &!list.has_previous);
    page.insert("first_href", &addresses.from(""));
    page.insert("next", &next);
    page.insert("previous", &previous);
    page.insert("table_href", &table_address(&words));
    page.insert("chosen_columns", &query.columns);
    page.insert("saved", &saved(&viewer, &addresses).await?);
    page.insert("bulks", &BulkLine::all(&viewer, &under_way).await?);
    page.render("pages/devices.html")
}

/// A saved list of devices.
#[derive(Debug, Serialize)]
struct SavedLine {
    id: i64,
    name: String,
    href: String,
    /// Who shares it, where that is somebody else.
    shared_by: Option<String>,
    shared: bool,
    /// Whether it is what is shown.
    active: bool,
    removable: bool,
}

async fn saved(viewer: &Viewer, shown: &Addresses<'_>) -> Result<Vec<SavedLine>, ApiError> {
    let here = shown.from("");
    let here = here.split_once('?').map_or("", |(_, query)| query);
    let here = ListView::read(here).map(|view| view.query());
    let is_operator = viewer.as_operator().is_some();
    let filters = viewer.saved_filters().await?.into_iter();
    let lines = filters.map(|filter| SavedLine {
        id: filter.id,
        href: match filter.view.as_str() {
            "" => "/devices".to_owned(),
            view => format!("/devices?{view}"),
        },
        active: here.as_ref() == Ok(&filter.view),
        removable: viewer.owns(&filter) || (filter.shared && is_operator),
        shared: filter.shared,
        shared_by: (!viewer.owns(&filter)).then_some(filter.owner),
        name: filter.name,
    });
    Ok(lines.collect())
}

/// Whether something is filtered by what lies behind "more filters".
fn refined(words: &DeviceWords) -> bool {
    let shown = ["search", "state", "tag"];
    let pairs = words.pairs();
    let mut hidden = pairs.iter().filter(|(name, _)| !shown.contains(name));
    hidden.any(|(_, value)| !value.is_empty())
}

/// Where the same list is as a file.
fn table_address(words: &DeviceWords) -> String {
    words::address("/api/v1/endpoints.csv", &words.pairs())
}

/// The head of a column.
#[derive(Debug, Serialize)]
struct Column {
    name: &'static str,
    label: &'static str,
    hidden: bool,
    /// The same list sorted by it, or by it the other way round.
    href: Option<String>,
    /// `ascending` or `descending` where the list is sorted by it.
    sorted: Option<&'static str>,
}

/// The heads of all columns; `shown` are those that the address names.
fn columns(
    addresses: &Addresses<'_>,
    shown: Option<&[&str]>,
    sort: DeviceSort,
    descending: bool,
) -> Vec<Column> {
    let by = |name: &str| match name {
        "name" => Some(DeviceSort::Name),
        "seen" => Some(DeviceSort::Seen),
        "registered" => Some(DeviceSort::RegisteredAt),
        "end" => Some(DeviceSort::LifetimeEnd),
        "firmware" => Some(DeviceSort::Firmware),
        _ => None,
    };
    let column = |(name, label): &(&'static str, &'static str)| {
        let sorts = by(name);
        let is_sorted = sorts == Some(sort);
        let href = sorts.map(|by| {
            // What is newest is looked for first.
            let newest = matches!(by, DeviceSort::Seen | DeviceSort::RegisteredAt);
            let turned = if is_sorted { !descending } else { newest };
            let text = format!("{}{}", if turned { "-" } else { "" }, by.name());
            let text = if text == "name" { String::new() } else { text };
            addresses.of(&text, addresses.limit, "")
        });
        Column {
            name,
            label,
            hidden: !is_sorted
                && match shown {
                    Some(shown) => *name != "name" && !shown.contains(name),
                    None => HIDDEN.contains(name),
                },
            href,
            sorted: is_sorted.then_some(if descending {
                "descending"
            } else {
                "ascending"
            }),
        }
    };
    let all = [("name", "Device")];
    all.iter().chain(&COLUMNS).map(column).collect()
}

#[derive(Debug, Serialize)]
struct Limit {
    rows: u64,
    href: String,
    active: bool,
}

fn limits(addresses: &Addresses<'_>) -> Vec<Limit> {
    let each = PAGE_SIZES.iter().map(|rows| Limit {
        rows: *rows,
        href: addresses.of(addresses.sort, *rows, ""),
        active: *rows == addresses.limit,
    });
    each.collect()
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
    registered_at: Option<Timestamp>,
    expires_at: Option<Timestamp>,
    last_seen_at: Option<Timestamp>,
    tags: Vec<String>,
    /// Its own awake window; on the list, the one that counts.
    awake_s: Option<u64>,
    /// Its eDRX cycle.
    edrx_cycle_s: Option<u64>,
    /// How much of what it does wrong was forgiven.
    warnings: usize,
    firmware: String,
    model: String,
    /// The value of [`TEMPERATURE`], as text.
    temperature: String,
    temperature_units: String,
    /// The value of [`HUMIDITY`], as text.
    humidity: String,
    humidity_units: String,
}

impl DeviceLine {
    pub(super) fn new(row: &EndpointRow, state: &'static str) -> Self {
        let registration = row.registration.as_ref();
        let none = || "–".to_owned();
        Self {
            name: row.name.to_string(),
            state,
            registered: row.is_registered(),
            gateway: row.through_gateway().is_some(),
            queue_mode: registration.is_some_and(|registration| registration.queue_mode),
            secure: registration.is_some_and(|registration| registration.peer.is_secure()),
            address: registration
                .map_or_else(none, |registration| registration.peer.address.to_string()),
            lwm2m_version: registration
                .map_or_else(none, |registration| registration.lwm2m_version.to_string()),
            lifetime_s: registration.map(|registration| registration.lifetime.as_secs()),
            registered_at: registration
                .map(|registration| registration.registered_at)
                .or_else(|| row.through_gateway()),
            expires_at: registration.map(|registration| registration.expires_at),
            last_seen_at: row
                .last_seen_at
                .or_else(|| registration.map(|registration| registration.updated_at)),
            tags: row.profile.tags.clone(),
            awake_s: row.profile.awake.map(|time| time.as_secs()),
            edrx_cycle_s: row.profile.edrx_cycle.map(|time| time.as_secs()),
            warnings: registration
                .map_or(&row.gateway.warnings, |registration| &registration.warnings)
                .len(),
            firmware: none(),
            model: none(),
            temperature: none(),
            temperature_units: none(),
            humidity: none(),
            humidity_units: none(),
        }
    }

    fn listed(device: &ListedDevice, state: &'static str, awake_s: u64) -> Self {
        let made_by = [&device.manufacturer, &device.model_number];
        let made_by: Vec<&str> = made_by.into_iter().flatten().map(String::as_str).collect();
        let none = || "–".to_owned();
        Self {
            awake_s: Some(awake_s),
            firmware: device.firmware_version.clone().unwrap_or_else(none),
            model: match made_by.is_empty() {
                true => none(),
                false => made_by.join(" "),
            },
            ..Self::new(&device.row, state)
        }
    }

    fn with_values(mut self, id: EndpointId, values: &HashMap<(EndpointId, Path), Value>) -> Self {
        let text = |path| {
            values
                .get(&(id, path))
                .map(words::value)
                .unwrap_or_default()
        };
        self.temperature = text(TEMPERATURE);
        self.temperature_units = words::units(&text(TEMPERATURE_UNITS)).to_owned();
        self.humidity = text(HUMIDITY);
        self.humidity_units = words::units(&text(HUMIDITY_UNITS)).to_owned();
        self
    }
}
