//! What devices cost, as pages show it: the last days of a device as bars, today's sum of all of them.

use std::collections::BTreeMap;

use serde::Serialize;

use super::chrome::Page;
use super::words::size;
use crate::domain::{Day, DayTraffic, Timestamp, Traffic, TrafficKind};
use crate::store::EndpointRow;
use crate::web::ApiError;
use crate::web::auth::Viewer;

/// Days that are shown.
const DAYS: i64 = 30;

/// Gives the page of a device its last days.
pub(super) async fn insert_of_device(
    page: &mut Page,
    viewer: &Viewer,
    row: &EndpointRow,
) -> Result<(), ApiError> {
    let today = Day::of(Timestamp::system());
    let first = today.earlier(DAYS - 1);
    let days = viewer.traffic(Some(row), first, today).await?;
    page.insert("traffic", &Shown::new(viewer, &days, first));
    Ok(())
}

/// Gives the overview what all devices have cost today.
pub(super) async fn insert_of_fleet(page: &mut Page, viewer: &Viewer) -> Result<(), ApiError> {
    let today = Day::of(Timestamp::system());
    let days = viewer.traffic(None, today, today).await?;
    page.insert("traffic", &Shown::new(viewer, &days, today));
    Ok(())
}

/// See the module.
#[derive(Debug, Serialize)]
struct Shown {
    /// False when nothing is counted.
    is_counted: bool,
    days: Vec<DayLine>,
    total: Sum,
    kinds: Vec<KindSum>,
    /// The largest day, as the bars' full height.
    largest: String,
    overhead_bytes: u32,
    /// What IP and UDP add to the sum.
    overhead: String,
}

/// A day, with its bar.
#[derive(Debug, Serialize)]
struct DayLine {
    day: String,
    sum: Sum,
    parts: Vec<Part>,
    /// Where the bar stands, in places.
    x: i64,
    kinds: Vec<KindSum>,
}

/// A part of a bar of a height of 100.
#[derive(Debug, Serialize)]
struct Part {
    kind: &'static str,
    y: u64,
    height: u64,
}

#[derive(Debug, Serialize)]
struct Sum {
    bytes: String,
    up: String,
    down: String,
    datagrams: u64,
}

#[derive(Debug, Serialize)]
struct KindSum {
    kind: &'static str,
    sum: Sum,
}

impl Shown {
    fn new(viewer: &Viewer, days: &BTreeMap<Day, DayTraffic>, first: Day) -> Self {
        let settings = &viewer.settings().lens;
        let mut all = DayTraffic::default();
        for (kind, traffic) in days.values().flat_map(DayTraffic::kinds) {
            all.add(kind, traffic);
        }
        let largest = days.values().map(|day| bytes(day.total())).max();
        let largest = largest.unwrap_or_default().max(1);
        let total = all.total();
        let datagrams = total.up_messages.saturating_add(total.down_messages);
        let overhead = datagrams.saturating_mul(settings.overhead_bytes.into());
        Self {
            is_counted: settings.meter,
            days: days
                .iter()
                .rev()
                .map(|(day, traffic)| DayLine::new(*day, traffic, first, largest))
                .collect(),
            total: Sum::new(total),
            kinds: kinds(&all),
            largest: size(largest),
            overhead_bytes: settings.overhead_bytes,
            overhead: size(overhead),
        }
    }
}

impl DayLine {
    fn new(day: Day, traffic: &DayTraffic, first: Day, largest: u64) -> Self {
        let mut parts = Vec::new();
        let mut below = 0_u64;
        for (kind, traffic) in traffic.kinds() {
            let height = bytes(traffic).saturating_mul(100) / largest;
            below = below.saturating_add(height).min(100);
            parts.push(Part {
                kind: kind.name(),
                y: 100 - below,
                height,
            });
        }
        Self {
            day: day.to_string(),
            sum: Sum::new(traffic.total()),
            parts,
            x: day.0.saturating_sub(first.0),
            kinds: kinds(traffic),
        }
    }
}

impl Sum {
    fn new(traffic: Traffic) -> Self {
        Self {
            bytes: size(bytes(traffic)),
            up: size(traffic.up_bytes),
            down: size(traffic.down_bytes),
            datagrams: traffic.up_messages.saturating_add(traffic.down_messages),
        }
    }
}

fn kinds(traffic: &DayTraffic) -> Vec<KindSum> {
    let kinds = traffic.kinds();
    kinds
        .map(|(kind, traffic): (TrafficKind, Traffic)| KindSum {
            kind: kind.name(),
            sum: Sum::new(traffic),
        })
        .collect()
}

fn bytes(traffic: Traffic) -> u64 {
    traffic.up_bytes.saturating_add(traffic.down_bytes)
}
