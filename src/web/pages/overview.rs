//! `/`: how the fleet is.

use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use serde_json::{Map, Value as Json};

use super::bulk::BulkLine;
use super::charts;
use super::chrome::Page;
use super::credentials::EndingNotice;
use super::events::{EventLine, label};
use super::first_steps;
use super::operations::OperationLine;
use super::rollout_lines::RolloutLine;
use super::traffic;
use crate::domain::{Path, Rollout, Timestamp};
use crate::store::{EndpointRow, FleetCounts};
use crate::web::ApiError;
use crate::web::auth::Viewer;
use crate::web::waiting::waits;

/// Lines in the lists of the latest operations and events.
const LATEST: u64 = 6;

/// Lines in the list of devices that are late.
const LATE: u64 = 8;

/// Resources whose names are told to the page, at most; of others it tells the path.
const MOST_NAMES: usize = 200;

/// Rollouts that are looked at for those that go on.
const ROLLOUTS: u64 = 50;

/// `GET /`
pub(super) async fn page(viewer: Viewer, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let mut page = Page::new(&viewer, "/");
    let now = Timestamp::system();
    let counts = viewer.fleet_counts().await?;
    let late = viewer.late_devices(LATE).await?;
    let operations = viewer.newest_operations(None, LATEST).await?;
    let events = viewer.newest_events(None, LATEST).await?;
    let endings = viewer.certificates_ending()?;
    charts::insert_pins(&mut page, &viewer).await?;
    let rollouts = viewer.rollouts(None, ROLLOUTS).await?;
    let going_on: Vec<RolloutLine> = rollouts
        .iter()
        .filter(|rollout| goes_on(rollout))
        .map(RolloutLine::of)
        .collect();
    let under_way = viewer.bulks_under_way().await?;
    let waits = waits(&viewer, &operations).await?;
    page.insert("certificates", &EndingNotice::new(&endings, now));
    first_steps::insert(&mut page, &viewer, &request, counts.known == 0);
    page.insert("tiles", &tiles(&counts));
    page.insert("counts", &Counts::from(counts));
    page.insert("late", &late.iter().map(LateLine::new).collect::<Vec<_>>());
    page.insert("operations", &OperationLine::all(&operations, &waits));
    page.insert("events", &EventLine::all(&viewer, &events).await?);
    traffic::insert_of_fleet(&mut page, &viewer).await?;
    page.insert("rollouts", &going_on);
    page.insert("names", &names(&viewer).await?);
    page.insert("bulks", &BulkLine::all(&viewer, &under_way).await?);
    page.render("pages/overview.html")
}

/// What the resources are called that templates ask devices for, by `object/resource`, for the page's script.
async fn names(viewer: &Viewer) -> Result<String, ApiError> {
    let models = viewer.models();
    let mut names = Map::new();
    for template in viewer.templates().await? {
        for path in &template.paths {
            let Some(model) = path.object_id().and_then(|id| models.object(id, None)) else {
                continue;
            };
            let of_path = |id: &&u16| path.resource_id().is_none_or(|wanted| wanted == **id);
            let room = MOST_NAMES.saturating_sub(names.len());
            for id in model.resources.keys().filter(of_path).take(room) {
                let one = Path::resource(model.id, 0, *id);
                let label = label(&one, model.resources.get(id), &models);
                names.insert(format!("{}/{id}", model.id), label.into());
            }
        }
    }
    Ok(Json::Object(names).to_string())
}

fn goes_on(rollout: &Rollout) -> bool {
    rollout.state.is_under_way()
}

/// The numbers that the page tells beside those of its tiles.
#[derive(Debug, Serialize)]
struct Counts {
    known: u64,
    awake: u64,
    asleep: u64,
    late: u64,
    updates: u64,
}

impl From<FleetCounts> for Counts {
    fn from(counts: FleetCounts) -> Self {
        Self {
            known: counts.known,
            awake: counts.awake,
            asleep: counts.asleep,
            late: counts.late,
            updates: counts.updates,
        }
    }
}

/// A number that leads to its list.
#[derive(Debug, Serialize)]
struct Tile {
    id: &'static str,
    label: &'static str,
    number: String,
    /// A colour of the theme where the number is not 0.
    colour: &'static str,
    below: String,
    href: &'static str,
}

fn tiles(counts: &FleetCounts) -> Vec<Tile> {
    let colour = |many: u64, colour: &'static str| if many > 0 { colour } else { "" };
    let up_to = |many: u64| match many > FleetCounts::MOST {
        true => format!("{}+", FleetCounts::MOST),
        false => many.to_string(),
    };
    let devices = if counts.known == 1 {
        "device"
    } else {
        "devices"
    };
    vec![
        Tile {
            id: "count-registered",
            label: "Registered",
            number: counts.registered.to_string(),
            colour: colour(counts.registered, "green"),
            below: format!("of {} {devices}", counts.known),
            href: "/devices?state=registered",
        },
        Tile {
            id: "count-late",
            label: "Late",
            number: counts.late.to_string(),
            colour: colour(counts.late, "yellow"),
            below: "should have been heard of by now".to_owned(),
            href: "/devices?state=late",
        },
        Tile {
            id: "count-offline",
            label: "Offline",
            number: counts.known.saturating_sub(counts.registered).to_string(),
            colour: "",
            below: "seen before, gone now".to_owned(),
            href: "/devices?state=offline",
        },
        Tile {
            id: "count-waiting",
            label: "Waiting operations",
            number: up_to(counts.waiting),
            colour: colour(counts.waiting, "yellow"),
            below: "for devices to wake or answer".to_owned(),
            href: "/operations?status=QUEUED",
        },
        Tile {
            id: "count-failed",
            label: "Failed in 24 h",
            number: up_to(counts.failed),
            colour: colour(counts.failed, "red"),
            below: "operations".to_owned(),
            href: "/operations?status=FAILED",
        },
        Tile {
            id: "count-rollouts",
            label: "Running rollouts",
            number: counts.rollouts.to_string(),
            colour: colour(counts.rollouts, "azure"),
            below: match counts.updates {
                1 => "1 device is being updated".to_owned(),
                many => format!("{many} devices are being updated"),
            },
            href: "/rollouts",
        },
    ]
}

/// A device that should have been heard of.
#[derive(Debug, Serialize)]
struct LateLine {
    name: String,
    since: Timestamp,
    last_seen_at: Option<Timestamp>,
    queue_mode: bool,
}

impl LateLine {
    fn new((row, since): &(EndpointRow, Timestamp)) -> Self {
        let registration = row.registration.as_ref();
        Self {
            name: row.name.to_string(),
            since: *since,
            last_seen_at: row.last_seen_at,
            queue_mode: registration.is_some_and(|found| found.queue_mode),
        }
    }
}
