//! `/api/v1/endpoints`: the devices.

use std::collections::BTreeMap;

use actix_web::web::{Json, Path, Query};
use actix_web::{HttpResponse, delete, get};
use futures_util::stream;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::{ContentFormat, Timestamp};
use crate::store::{DeviceFilter, DeviceQuery, DeviceState, EndpointRow, ListedDevice, Moment};
use crate::web::ApiError;
use crate::web::api::refused::{NoDevice, NotLoggedIn, NotOperator, UnreadableParameter};
use crate::web::auth::{self, Operator, Viewer};
use crate::web::csv;
use crate::web::device_query::{self, DeviceWords};
use crate::web::observed::{Observed, wanted_and_actual};

use super::query::{self, NoQuery, Page};

/// A device. What a registration says is null while there is none.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "name": "urn:imei:490154203237518", "registered": true, "gateway": false, "address": "192.0.2.7:56830",
    "secure": false, "lwm2m_version": "1.1", "binding": "U", "lifetime_s": 300,
    "queue_mode": false, "awake": true, "registered_at": "2026-11-23T12:00:00.000Z",
    "last_seen_at": "2026-11-23T12:04:00.000Z", "expires_at": "2026-11-23T12:09:00.000Z",
    "next_wake_at": null, "next_wake_basis": null, "tags": ["lab"], "awake_s": null,
    "edrx_cycle_s": null
}))]
pub(super) struct Endpoint {
    /// The name that it registers with.
    name: String,
    /// Whether it has a registration in force, here or with an outside gateway.
    registered: bool,
    /// Whether it is registered with an outside gateway only: then nothing can be sent to it from
    /// here, and what is asked of it waits.
    gateway: bool,
    /// From where it last registered: IP address and port.
    #[schema(required)]
    address: Option<String>,
    /// Whether its transport proves who it is (DTLS).
    #[schema(required)]
    secure: Option<bool>,
    /// The version of LwM2M that it speaks.
    #[schema(required)]
    lwm2m_version: Option<String>,
    /// The binding as announced.
    #[schema(required)]
    binding: Option<String>,
    /// How long its registration lives after each message.
    #[schema(required)]
    lifetime_s: Option<u64>,
    /// Whether it sleeps between its messages.
    #[schema(required)]
    queue_mode: Option<bool>,
    /// Whether it listens now.
    awake: bool,
    /// When it registered.
    #[schema(required, format = DateTime)]
    registered_at: Option<String>,
    /// When it was last heard of.
    #[schema(required, format = DateTime)]
    last_seen_at: Option<String>,
    /// When it is taken as gone unless it updates.
    #[schema(required, format = DateTime)]
    expires_at: Option<String>,
    /// When a device that sleeps now is expected to wake, learnt from its own rhythm; null for one
    /// that listens or is not registered.
    #[schema(required, format = DateTime)]
    next_wake_at: Option<String>,
    /// What that rests on: `rhythm`; `lifetime` where too little is known, then it has to update
    /// its registration until then; `overdue` when it was expected before and did not come.
    #[schema(required)]
    next_wake_basis: Option<&'static str>,
    /// What people call it beside its name.
    tags: Vec<String>,
    /// How many seconds it listens after a message of its own, where that was set for it.
    #[schema(required)]
    awake_s: Option<u64>,
    /// The length of its eDRX cycle in seconds, where that was set.
    #[schema(required)]
    edrx_cycle_s: Option<u64>,
}

impl Endpoint {
    pub(super) async fn of(viewer: &Viewer, row: &EndpointRow) -> Self {
        let registration = row.registration.as_ref();
        let awake = viewer.awake(row).await;
        let next_wake = row.next_wake(Timestamp::system()).filter(|_| !awake);
        Self {
            name: row.name.to_string(),
            registered: row.is_registered(),
            gateway: row.through_gateway().is_some(),
            address: registration.map(|found| found.peer.address.to_string()),
            secure: registration.map(|found| found.peer.is_secure()),
            lwm2m_version: registration.map(|found| found.lwm2m_version.to_string()),
            binding: registration.map(|found| found.binding.clone()),
            lifetime_s: registration.map(|found| found.lifetime.as_secs()),
            queue_mode: registration.map(|found| found.queue_mode),
            awake,
            registered_at: registration
                .map(|found| found.registered_at)
                .or_else(|| row.through_gateway())
                .map(|time| time.to_string()),
            last_seen_at: row.last_seen_at.map(|time| time.to_string()),
            expires_at: registration.map(|found| found.expires_at.to_string()),
            next_wake_at: next_wake.map(|wake| wake.at.to_string()),
            next_wake_basis: next_wake.map(|wake| wake.basis.name()),
            tags: row.profile.tags.clone(),
            awake_s: row.profile.awake.map(|time| time.as_secs()),
            edrx_cycle_s: row.profile.edrx_cycle.map(|time| time.as_secs()),
        }
    }
}

/// A device with what it announced and what of it is observed.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct EndpointDetail {
    #[serde(flatten)]
    endpoint: Endpoint,
    /// When it was first seen.
    #[schema(format = DateTime)]
    created_at: String,
    /// The objects and object instances that it announced.
    #[schema(example = json!(["/1/0", "/3/0"]))]
    objects: Vec<String>,
    /// The content formats that it announced.
    formats: Vec<u16>,
    /// Operations that wait for it.
    operations_waiting: u64,
    /// Parameters of its registration that LwM2M does not define.
    #[schema(example = json!({"imei": "490154203237518"}))]
    attributes: BTreeMap<String, String>,
    /// What it does wrong and was forgiven.
    warnings: Vec<Forgiven>,
    /// What is wanted to be observed, against what is.
    observations: Vec<ObservedView>,
    /// How many credentials it has, up to 100. One that has any is refused over plain CoAP.
    credentials: usize,
    /// The last attempt to speak for it that was refused since the server started.
    #[schema(required)]
    last_refusal: Option<Refusal>,
}

/// An attempt to speak for a device that was refused.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "at": "2026-11-23T12:00:00.000Z", "secure": false, "address": "192.0.2.7:56830",
    "reason": "has_credentials",
    "detail": "the endpoint has credentials and must speak CoAP over DTLS"
}))]
struct Refusal {
    /// When.
    #[schema(format = DateTime)]
    at: String,
    /// Whether it came over DTLS.
    secure: bool,
    /// From where: IP address and port.
    address: String,
    /// A short, stable name for the reason, for example `has_credentials` or `handshake`.
    reason: &'static str,
    /// The reason in words. Which credential was used or asked for is told to admins only.
    detail: String,
}

impl From<auth::Refusal> for Refusal {
    fn from(refusal: auth::Refusal) -> Self {
        Self {
            at: refusal.at.to_string(),
            secure: refusal.secure,
            address: refusal.address.to_string(),
            reason: refusal.reason,
            detail: refusal.detail,
        }
    }
}

/// Something that a device does wrong.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Forgiven {
    /// A short, stable name.
    code: String,
    /// What was seen.
    message: String,
}

/// Something that is wanted to be observed, that is observed, or both.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "paths": ["/3303/0/5700"], "kind": "observe", "wanted": true, "state": "lost",
    "reason": "no notification for 2 × pmax, which is 60 s", "template_id": 2,
    "requested_by": null, "attributes": {"pmax": "60"}, "attributes_error": null,
    "format": "senml_cbor", "since": "2026-11-23T12:00:00.000Z",
    "retry_at": "2026-11-23T12:00:10.000Z", "last_notified_at": "2026-11-23T11:57:30.000Z",
    "notifications": 41
}))]
pub(super) struct ObservedView {
    /// Where.
    paths: Vec<String>,
    /// `observe` or `observe_composite`.
    kind: &'static str,
    /// Whether a template or somebody wants it.
    wanted: bool,
    /// `active`; `requested`: asked for, not confirmed yet; `lost`: ended by the device or silent for
    /// too long, it is asked for again; `refused`: not asked for again before the device registers
    /// anew; `missing`: not asked for.
    state: &'static str,
    /// Why it stands there, in words.
    #[schema(required)]
    reason: Option<String>,
    /// The template that wants it.
    #[schema(required)]
    template_id: Option<i64>,
    /// Who asked for it by an operation: a login or `token:NAME`.
    #[schema(required)]
    requested_by: Option<String>,
    /// The notification attributes that the template sets.
    #[schema(value_type = std::collections::HashMap<String, String>)]
    attributes: BTreeMap<String, String>,
    /// Why the device did not take the attributes.
    #[schema(required)]
    attributes_error: Option<String>,
    /// The name of the content format, where it has one.
    #[schema(required)]
    format: Option<&'static str>,
    /// Since when it stands there.
    #[schema(format = DateTime)]
    since: String,
    /// When it is asked for again, while it is lost.
    #[schema(required, format = DateTime)]
    retry_at: Option<String>,
    /// When the newest notification came.
    #[schema(required, format = DateTime)]
    last_notified_at: Option<String>,
    /// How many notifications came.
    notifications: u64,
}

impl From<Observed> for ObservedView {
    fn from(observed: Observed) -> Self {
        let moment = |time: Option<Timestamp>| time.map(|time| time.to_string());
        Self {
            paths: observed.paths.iter().map(ToString::to_string).collect(),
            kind: if observed.composite {
                "observe_composite"
            } else {
                "observe"
            },
            wanted: observed.wanted,
            state: observed.state.name(),
            reason: observed.reason,
            template_id: observed.template_id,
            requested_by: observed.requested_by,
            attributes: observed.attributes.into_iter().collect(),
            attributes_error: observed.attributes_error,
            format: observed.format.map(ContentFormat::name),
            since: observed.since.to_string(),
            retry_at: moment(observed.retry_at),
            last_notified_at: moment(observed.last_notified_at),
            notifications: observed.notifications,
        }
    }
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(default, deny_unknown_fields)]
#[derive(Default)]
#[into_params(parameter_in = Query)]
pub(super) struct EndpointQuery {
    /// Only registered devices, or only the others: the same as `state` with `registered` or `offline`.
    #[param(value_type = Option<bool>)]
    registered: String,
    /// A part of the name, address, a tag, the manufacturer or the model number, upper and lower case alike;
    /// `/3303` finds devices that announced that object.
    #[param(value_type = Option<String>)]
    search: String,
    /// `registered`, `awake`, `asleep`, `late` (should have been heard of by now) or `offline`.
    #[param(value_type = Option<String>)]
    state: String,
    /// A tag that they have.
    #[param(value_type = Option<String>)]
    tag: String,
    /// Registered with queue mode, or without.
    #[param(value_type = Option<bool>)]
    queue_mode: String,
    /// Registered over DTLS, or without.
    #[param(value_type = Option<bool>)]
    secure: String,
    /// The version of LwM2M that they registered with.
    #[param(value_type = Option<String>, example = "1.1")]
    lwm2m_version: String,
    /// The version of their firmware (3/0/3), exactly.
    #[param(value_type = Option<String>)]
    firmware: String,
    /// The number of an object that they announced.
    #[param(value_type = Option<u16>)]
    object: String,
    /// Only those that do something wrong that was forgiven, or only the others.
    #[param(value_type = Option<bool>)]
    warnings: String,
    /// `name`, `last_seen`, `registered_at`, `lifetime_end` or `firmware`; `-` in front turns it round. `last_seen_at` and
    /// `expires_at` are taken too. By `name` each device comes once however long the pages are read; by what changes
    /// meanwhile one may come twice or not at all.
    #[param(value_type = Option<String>, default = "name")]
    sort: String,
    /// Rows of a page, at most `web.max_page_rows`.
    #[param(value_type = Option<u64>, minimum = 1, default = 100)]
    limit: String,
    /// `next` of the page before.
    #[param(value_type = Option<String>)]
    cursor: String,
}

impl EndpointQuery {
    fn filter(&self) -> Result<DeviceFilter, ApiError> {
        let words = DeviceWords {
            search: self.search.clone(),
            state: self.state.clone(),
            tag: self.tag.clone(),
            queue_mode: self.queue_mode.clone(),
            secure: self.secure.clone(),
            lwm2m_version: self.lwm2m_version.clone(),
            firmware: self.firmware.clone(),
            object: self.object.clone(),
            warnings: self.warnings.clone(),
        };
        let mut filter = words.filter()?;
        let registered = Some(self.registered.as_str()).filter(|text| !text.is_empty());
        if let Some(registered) = query::parse::<bool>("registered", registered)? {
            if filter.state.is_some() {
                let detail = "give `state` or `registered`, not both";
                return Err(ApiError::parameter("registered", detail));
            }
            filter.state = Some(match registered {
                true => DeviceState::Registered,
                false => DeviceState::Offline,
            });
        }
        Ok(filter)
    }
}

/// List devices
///
/// By name, or as `sort` says.
#[utoipa::path(
    get,
    path = "/endpoints",
    impl_for = list_endpoints,
    tag = "endpoints",
    params(EndpointQuery),
    responses(
        (status = 200, description = "A page of devices", body = Page<Endpoint>),
        UnreadableParameter, NotLoggedIn,
    ),
)]
#[get("/endpoints")]
pub(super) async fn list_endpoints(
    viewer: Viewer,
    query: Query<EndpointQuery>,
) -> Result<Json<Page<Endpoint>>, ApiError> {
    let (sort, descending) = device_query::sort(&query.sort)?;
    let limit = Some(query.limit.as_str()).filter(|text| !text.is_empty());
    let wanted = DeviceQuery {
        filter: query.filter()?,
        sort,
        descending,
        place: device_query::place(&query.cursor)?,
        limit: query::limit(&viewer, limit)?,
    };
    let page = viewer.devices_page(&wanted).await?;
    let next = page
        .devices
        .last()
        .filter(|_| page.has_next)
        .map(|device| device_query::cursor(device, false));
    let mut items = Vec::with_capacity(page.devices.len());
    for device in &page.devices {
        items.push(Endpoint::of(&viewer, &device.row).await);
    }
    Ok(Json(Page { items, next }))
}

/// Download the list of devices
///
/// As a table (RFC 4180) with a line for each device that fits, by name. What would be a formula in a spreadsheet has
/// an apostrophe in front.
#[utoipa::path(
    get,
    path = "/endpoints.csv",
    impl_for = download_endpoints,
    tag = "endpoints",
    params(EndpointQuery),
    responses(
        (status = 200, description = "The table", body = String, content_type = "text/csv"),
        UnreadableParameter, NotLoggedIn,
    ),
)]
#[get("/endpoints.csv")]
pub(super) async fn download_endpoints(
    viewer: Viewer,
    query: Query<EndpointQuery>,
) -> Result<HttpResponse, ApiError> {
    for (name, given) in [
        ("sort", !query.sort.is_empty()),
        ("limit", !query.limit.is_empty()),
        ("cursor", !query.cursor.is_empty()),
    ] {
        if given {
            let detail =
                format!("a file has every device that fits, by name: it takes no `{name}`");
            return Err(ApiError::parameter(name, detail));
        }
    }
    let first = device_query::from_the_start(query.filter()?, TABLE_ROWS);
    let pages = stream::try_unfold((viewer, Some(first)), |(viewer, query)| async move {
        let Some(mut query) = query else {
            return Ok(None);
        };
        let page = viewer.devices_page(&query).await?;
        let at = viewer.moment();
        let lines = page.devices.iter();
        let lines = lines.map(|device| table_line(device, at)).collect();
        query.place = device_query::after(&page);
        let next = query.place.is_some().then_some(query);
        Ok(Some((lines, (viewer, next))))
    });
    Ok(csv::download("devices.csv", &COLUMNS, pages))
}

/// A device as a line of the table.
fn table_line(device: &ListedDevice, at: Moment) -> Vec<String> {
    let row = &device.row;
    let registration = row.registration.as_ref();
    let of = |text: Option<String>| text.unwrap_or_default();
    let awake = row.profile.awake.unwrap_or(at.awake);
    vec![
        row.name.to_string(),
        device_query::state(row, at.now, awake).to_owned(),
        of(registration.map(|found| found.peer.address.to_string())),
        of(registration.map(|found| found.peer.is_secure().to_string())),
        of(registration.map(|found| found.lwm2m_version.to_string())),
        of(registration.map(|found| found.queue_mode.to_string())),
        of(registration.map(|found| found.lifetime.as_secs().to_string())),
        of(registration.map(|found| found.registered_at.to_string())),
        of(row.last_seen_at.map(|time| time.to_string())),
        of(registration.map(|found| found.expires_at.to_string())),
        of(device.manufacturer.clone()),
        of(device.model_number.clone()),
        of(device.firmware_version.clone()),
        row.profile.tags.join(" "),
    ]
}

/// The columns of the table.
const COLUMNS: [&str; 14] = [
    "name",
    "state",
    "address",
    "secure",
    "lwm2m_version",
    "queue_mode",
    "lifetime_s",
    "registered_at",
    "last_seen_at",
    "expires_at",
    "manufacturer",
    "model_number",
    "firmware_version",
    "tags",
];

/// Lines of the table that are read at once.
const TABLE_ROWS: u64 = 500;

/// Show a device
///
/// With the objects that it announced and what of it is observed.
#[utoipa::path(
    get,
    path = "/endpoints/{name}",
    impl_for = show_endpoint,
    tag = "endpoints",
    params(("name" = String, Path, description = "The device's name", example = "urn:imei:490154203237518")),
    responses(
        (status = 200, description = "The device", body = EndpointDetail),
        NotLoggedIn, NoDevice,
    ),
)]
#[get("/endpoints/{name}")]
pub(super) async fn show_endpoint(
    viewer: Viewer,
    name: Path<String>,
    _query: Query<NoQuery>,
) -> Result<Json<EndpointDetail>, ApiError> {
    let row = viewer.endpoint(&query::endpoint_name(&name)?).await?;
    let observations = viewer.observations(row.id).await?;
    let wanted = viewer.wanted(row.id).await?;
    let security = viewer.security(&row.name).await?;
    let registration = row.registration.as_ref();
    let detail = EndpointDetail {
        endpoint: Endpoint::of(&viewer, &row).await,
        created_at: row.created_at.to_string(),
        objects: registration.map_or_else(Vec::new, |found| {
            let objects = found.objects.iter();
            objects.map(|object| object.path.to_string()).collect()
        }),
        formats: registration.map_or_else(Vec::new, |found| found.formats.clone()),
        attributes: registration.map_or_else(BTreeMap::new, |found| found.attributes.clone()),
        operations_waiting: viewer.count_waiting(row.id).await?,
        warnings: registration
            .map_or(&row.gateway.warnings, |found| &found.warnings)
            .iter()
            .map(|warning| Forgiven {
                code: warning.code.clone(),
                message: warning.message.clone(),
            })
            .collect(),
        observations: wanted_and_actual(&wanted, &observations)
            .into_iter()
            .map(ObservedView::from)
            .collect(),
        credentials: security.kinds.iter().map(|(_, count)| count).sum(),
        last_refusal: security.refusal.map(Refusal::from),
    };
    Ok(Json(detail))
}

/// Forget a device and its data
///
/// A device that is still there registers again.
#[utoipa::path(
    delete,
    path = "/endpoints/{name}",
    impl_for = delete_endpoint,
    tag = "endpoints",
    params(("name" = String, Path, description = "The device's name")),
    responses(
        (status = 204, description = "It is forgotten"),
        NotOperator, NoDevice,
    ),
)]
#[delete("/endpoints/{name}")]
pub(super) async fn delete_endpoint(
    operator: Operator,
    name: Path<String>,
    _query: Query<NoQuery>,
) -> Result<HttpResponse, ApiError> {
    operator.forget(&query::endpoint_name(&name)?).await?;
    Ok(HttpResponse::NoContent().finish())
}
