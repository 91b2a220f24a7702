//! `/api/v1/traffic` and `/api/v1/endpoints/{name}/traffic`: what devices cost.

use std::collections::BTreeMap;

use actix_web::web::{Path, Query};
use actix_web::{HttpResponse, get};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::{Day, DayTraffic, Timestamp, Traffic, TrafficKind};
use crate::store::EndpointRow;
use crate::web::ApiError;
use crate::web::api::refused::{NoDevice, NotLoggedIn, UnreadableParameter};
use crate::web::auth::Viewer;

use super::query;

/// Days when nobody says.
const DAYS: i64 = 30;
/// Days of one answer.
const MOST_DAYS: i64 = 731;

/// What was sent and got.
#[derive(Debug, Serialize, ToSchema)]
struct TrafficView {
    /// Bytes of the device's datagrams, DTLS included, IP and UDP not.
    up_bytes: u64,
    /// Bytes of datagrams to the device.
    down_bytes: u64,
    /// The device's datagrams.
    up_messages: u64,
    /// Datagrams to the device.
    down_messages: u64,
    /// Bytes of IP and UDP in front of all of them: their number times `lens.overhead_bytes`.
    overhead_bytes: u64,
}

/// A day of UTC.
#[derive(Debug, Serialize, ToSchema)]
struct DayView {
    /// Such as `2026-11-30`.
    #[schema(format = Date)]
    day: String,
    /// All of it.
    total: TrafficView,
    /// By what it was for: `data`, `firmware`, `handshake`, `registration`, `retransmission`; those that there was
    /// nothing of are left out.
    kinds: BTreeMap<&'static str, TrafficView>,
}

/// Traffic by day.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "from": "2026-11-30", "to": "2026-11-30", "overhead_bytes_per_datagram": 28,
    "total": { "up_bytes": 5204, "down_bytes": 2110, "up_messages": 61, "down_messages": 58, "overhead_bytes": 3332 },
    "days": [{
        "day": "2026-11-30",
        "total": { "up_bytes": 5204, "down_bytes": 2110, "up_messages": 61, "down_messages": 58, "overhead_bytes": 3332 },
        "kinds": {
            "data": { "up_bytes": 4700, "down_bytes": 1700, "up_messages": 58, "down_messages": 56, "overhead_bytes": 3192 },
            "handshake": { "up_bytes": 504, "down_bytes": 410, "up_messages": 3, "down_messages": 2, "overhead_bytes": 140 }
        }
    }]
}))]
pub(super) struct TrafficDays {
    /// The first day.
    #[schema(format = Date)]
    from: String,
    /// The last day.
    #[schema(format = Date)]
    to: String,
    /// `lens.overhead_bytes`
    overhead_bytes_per_datagram: u32,
    /// Of all these days.
    total: TrafficView,
    /// Days that there was anything of, oldest first.
    days: Vec<DayView>,
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct TrafficQuery {
    /// The first day, such as `2026-11-01`; when missing, 29 days before the last one.
    #[param(format = Date)]
    from: Option<String>,
    /// The last day, included; when missing, today (UTC).
    #[param(format = Date)]
    to: Option<String>,
}

/// Show what a device costs
///
/// Bytes and datagrams by day and by what they were for. The bytes of a handshake count once the device has proven
/// who it is.
#[utoipa::path(
    get,
    path = "/endpoints/{name}/traffic",
    impl_for = show_endpoint_traffic,
    tag = "protocol",
    params(("name" = String, Path, description = "The device"), TrafficQuery),
    responses(
        (status = 200, description = "Its days", body = TrafficDays),
        UnreadableParameter, NotLoggedIn, NoDevice,
    ),
)]
#[get("/endpoints/{name}/traffic")]
pub(super) async fn show_endpoint_traffic(
    viewer: Viewer,
    name: Path<String>,
    query: Query<TrafficQuery>,
) -> Result<HttpResponse, ApiError> {
    let row = viewer.endpoint(&query::endpoint_name(&name)?).await?;
    days(&viewer, Some(&row), &query).await
}

/// Show what all devices cost together
///
/// Those that are forgotten since included.
#[utoipa::path(
    get,
    path = "/traffic",
    impl_for = show_traffic,
    tag = "protocol",
    params(TrafficQuery),
    responses(
        (status = 200, description = "The days", body = TrafficDays),
        UnreadableParameter, NotLoggedIn,
    ),
)]
#[get("/traffic")]
pub(super) async fn show_traffic(
    viewer: Viewer,
    query: Query<TrafficQuery>,
) -> Result<HttpResponse, ApiError> {
    days(&viewer, None, &query).await
}

async fn days(
    viewer: &Viewer,
    row: Option<&EndpointRow>,
    query: &TrafficQuery,
) -> Result<HttpResponse, ApiError> {
    let to: Option<Day> = query::parse("to", query.to.as_deref())?;
    let to = to.unwrap_or_else(|| Day::of(Timestamp::system()));
    let from: Option<Day> = query::parse("from", query.from.as_deref())?;
    let from = from.unwrap_or_else(|| to.earlier(DAYS - 1));
    if from > to {
        return Err(ApiError::parameter("from", "`from` is behind `to`"));
    }
    if to.0.saturating_sub(from.0) >= MOST_DAYS {
        let detail = format!("at most {MOST_DAYS} days at a time");
        return Err(ApiError::parameter("from", detail));
    }
    let overhead = viewer.settings().lens.overhead_bytes;
    let days = viewer.traffic(row, from, to).await?;
    let total = days
        .values()
        .fold(Traffic::default(), |sum, day| sum.plus(day.total()));
    Ok(HttpResponse::Ok().json(TrafficDays {
        from: from.to_string(),
        to: to.to_string(),
        overhead_bytes_per_datagram: overhead,
        total: view(total, overhead),
        days: days
            .iter()
            .map(|(day, traffic)| day_view(*day, traffic, overhead))
            .collect(),
    }))
}

fn day_view(day: Day, traffic: &DayTraffic, overhead: u32) -> DayView {
    DayView {
        day: day.to_string(),
        total: view(traffic.total(), overhead),
        kinds: traffic
            .kinds()
            .map(|(kind, traffic): (TrafficKind, Traffic)| (kind.name(), view(traffic, overhead)))
            .collect(),
    }
}

fn view(traffic: Traffic, overhead: u32) -> TrafficView {
    let datagrams = traffic.up_messages.saturating_add(traffic.down_messages);
    TrafficView {
        up_bytes: traffic.up_bytes,
        down_bytes: traffic.down_bytes,
        up_messages: traffic.up_messages,
        down_messages: traffic.down_messages,
        overhead_bytes: datagrams.saturating_mul(overhead.into()),
    }
}
