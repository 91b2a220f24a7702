//! Firmware updates as pages show them: how far, what is awaited and why, what happened.

use serde::Serialize;

use super::chrome::Page;
use super::words;
use crate::domain::{FirmwareUpdate, Timestamp, UpdateResult, UpdateStep};
use crate::lwm2m::firmware::{INSTANCE, may_cancel};
use crate::store::{EndpointRow, UpdateFilter};
use crate::web::ApiError;
use crate::web::auth::Viewer;
use crate::web::waiting::{Waits, waits_of};

/// Lines in the list of updates.
const LATEST: u64 = 50;

/// The newest updates, for `/firmware`.
pub(super) async fn insert_latest(page: &mut Page, viewer: &Viewer) -> Result<(), ApiError> {
    let updates = viewer
        .firmware_updates(&UpdateFilter::default(), LATEST)
        .await?;
    let lines: Vec<UpdateLine> = updates
        .iter()
        .map(|update| UpdateLine::of(update, None))
        .collect();
    page.insert("updates", &lines);
    Ok(())
}

/// The newest update of a device with its timeline, and what it can be updated to.
pub(super) async fn insert_of_device(
    page: &mut Page,
    viewer: &Viewer,
    row: &EndpointRow,
) -> Result<(), ApiError> {
    let filter = UpdateFilter {
        endpoint: Some(row.id),
        ..UpdateFilter::default()
    };
    let newest = viewer.firmware_updates(&filter, 1).await?.pop();
    let mut shown = None;
    if let Some(newest) = newest {
        // It may have moved on since.
        let (update, steps) = viewer.firmware_update(newest.id).await?;
        let waits = match update.operation {
            Some(operation) => waits_of(viewer, operation).await?,
            None => None,
        };
        let mut line = UpdateLine::of(&update, waits);
        line.timeline = steps.into_iter().map(StepLine::of).collect();
        shown = Some(line);
    }
    page.insert("update", &shown);
    let images: Vec<ImageChoice> = viewer
        .firmware_images()
        .await?
        .into_iter()
        .filter(|image| image.selection.selects(&row.name, &row.profile.tags))
        .map(|image| ImageChoice {
            id: image.id.0,
            version: image.version,
            name: image.name,
        })
        .collect();
    page.insert("images", &images);
    page.insert("methods", &words::ways());
    let registration = row.registration.as_ref();
    let has_object = registration.is_none_or(|registration| registration.announces(&INSTANCE));
    page.insert("has_firmware_object", &has_object);
    Ok(())
}

#[derive(Debug, Serialize)]
struct UpdateLine {
    id: i64,
    endpoint: String,
    version: String,
    /// The rollout that it belongs to.
    rollout: Option<i64>,
    method: Option<&'static str>,
    /// `active`, `success` or `failed`, for its colour.
    mood: &'static str,
    /// What to call where it stands: the state while it is active, then the result.
    word: String,
    awaited: String,
    until: Option<Timestamp>,
    /// What its next request waits for.
    waits_for: Option<&'static str>,
    waits_until: Option<Timestamp>,
    percent: Option<u8>,
    progress: Option<String>,
    reason: String,
    is_active: bool,
    is_cancellable: bool,
    created_at: Timestamp,
    created_by: String,
    finished_at: Option<Timestamp>,
    timeline: Vec<StepLine>,
}

impl UpdateLine {
    fn of(update: &FirmwareUpdate, waits: Option<Waits>) -> Self {
        let mood = match update.result {
            UpdateResult::Default => "active",
            UpdateResult::Success => "success",
            _ => "failed",
        };
        let word = if update.is_active() {
            update.state.name()
        } else {
            update.result.name()
        };
        Self {
            id: update.id.0,
            endpoint: update.endpoint.to_string(),
            version: update.version.clone(),
            rollout: update.rollout.map(|rollout| rollout.0),
            method: update.method.map(words::way),
            mood,
            word: word.to_lowercase().replace('_', " "),
            awaited: update.awaited.clone(),
            until: update.until,
            waits_for: waits.as_ref().map(|waits| waits.what),
            waits_until: waits.and_then(|waits| waits.about),
            percent: update.progress.map(|progress| progress.percent()),
            progress: update.progress.map(|progress| progress.to_string()),
            reason: update.reason.clone().unwrap_or_default(),
            is_active: update.is_active(),
            is_cancellable: may_cancel(update).is_ok(),
            created_at: update.created_at,
            created_by: update.created_by.clone(),
            finished_at: update.finished_at,
            timeline: Vec::new(),
        }
    }
}

#[derive(Debug, Serialize)]
struct StepLine {
    at: Timestamp,
    phase: &'static str,
    text: String,
}

impl StepLine {
    fn of(step: UpdateStep) -> Self {
        Self {
            at: step.at,
            phase: step.phase.name(),
            text: step.text,
        }
    }
}

/// An image that the device may be given.
#[derive(Debug, Serialize)]
struct ImageChoice {
    id: i64,
    version: String,
    name: String,
}
