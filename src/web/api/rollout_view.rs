//! How rollouts, their devices and rehearsals are shown.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::{
    GroupRun, GroupSize, GroupSpec, GroupState, Rollout, RolloutLine, RolloutTarget, TargetCounts,
    TargetStatus, Timestamp, UpdateMethod,
};
use crate::rollout::{Forecast, GroupForecast};

use super::filter::DeviceFilter;
use super::rollout_request::WindowBody;

/// A rollout.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "id": 4, "name": "autumn", "firmware_id": 3, "version": "1.2.0", "method": null,
    "filter": {"names": [], "tags": ["lab"]}, "newcomers": false, "at_once": 20, "start_at": null,
    "window": null, "on_error": "roll_back", "roll_back_to": null,
    "state": "RUNNING", "is_back": false, "reason": null, "waits_for": "2 devices that are updated",
    "devices": 50, "counts": {"WAITING": 44, "UPDATING": 2, "SUCCEEDED": 3, "FAILED": 1},
    "groups": [
        {"index": 0, "name": "canary", "count": 5, "percent": null, "success_percent": 60,
         "error_percent": 20, "devices": 5, "counts": {"UPDATING": 1, "SUCCEEDED": 3, "FAILED": 1},
         "begun_at": "2026-12-01T22:00:00.000Z", "passed_at": "2026-12-01T22:14:00.000Z",
         "back_begun_at": null, "back_passed_at": null},
        {"index": 1, "name": "rest", "count": null, "percent": null, "success_percent": 90,
         "error_percent": 10, "devices": 45, "counts": {"WAITING": 44, "UPDATING": 1},
         "begun_at": "2026-12-01T22:14:00.000Z", "passed_at": null,
         "back_begun_at": null, "back_passed_at": null}
    ],
    "log": [{"time": "2026-12-01T21:59:00.000Z", "text": "olga made it for 50 devices"}],
    "created_by": "olga", "created_at": "2026-12-01T21:59:00.000Z",
    "started_at": "2026-12-01T22:00:00.000Z", "finished_at": null
}))]
pub(super) struct RolloutView {
    /// Its number; newer ones are greater.
    id: i64,
    /// Its name.
    name: String,
    /// The image; it may have been removed since.
    firmware_id: i64,
    /// The version of its image.
    version: String,
    /// `pull_https`, `pull_coap` or `push`; null: as each device says that it can.
    #[schema(required)]
    method: Option<&'static str>,
    /// Which devices.
    filter: DeviceFilter,
    /// Whether devices that fit later join the last group.
    newcomers: bool,
    /// So many devices are updated at once, at most.
    at_once: u32,
    /// Nothing begins before.
    #[schema(required, format = DateTime)]
    start_at: Option<String>,
    /// No update begins outside of it.
    #[schema(required)]
    window: Option<WindowBody>,
    /// What happens when too many devices of a group fail: `roll_back`, `pause` or `stop`.
    on_error: &'static str,
    /// The image that devices are given on the way back; null: each the image of what it ran before.
    #[schema(required)]
    roll_back_to: Option<i64>,
    /// `READY`, `RUNNING`, `PAUSED`, `ROLLING_BACK`, or over: `FINISHED`, `ROLLED_BACK` or `STOPPED`.
    state: &'static str,
    /// Whether it goes back, or went.
    is_back: bool,
    /// Why it stands so, in words, where somebody or something decided it.
    #[schema(required)]
    reason: Option<String>,
    /// What it waits for, in words; null when it is over.
    #[schema(required)]
    waits_for: Option<String>,
    /// How many devices it has.
    devices: u32,
    /// How many of them have which status; what none has is missing.
    #[schema(value_type = std::collections::HashMap<String, u32>)]
    counts: Counts,
    /// Its groups, in their order.
    groups: Vec<GroupView>,
    /// What happened, oldest first; not in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    log: Option<Vec<LineView>>,
    /// Who made it.
    created_by: String,
    /// When it was made.
    #[schema(format = DateTime)]
    created_at: String,
    /// When it was started.
    #[schema(required, format = DateTime)]
    started_at: Option<String>,
    /// When it was over.
    #[schema(required, format = DateTime)]
    finished_at: Option<String>,
}

/// How many devices have which status.
type Counts = BTreeMap<&'static str, u32>;

/// A group of a rollout.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct GroupView {
    /// Its place among the groups, from 0 on.
    index: usize,
    /// Its name.
    name: String,
    /// The size that was asked for, in devices.
    #[schema(required)]
    count: Option<u32>,
    /// The size that was asked for, in percent of all devices.
    #[schema(required)]
    percent: Option<u8>,
    /// When so many percent of its devices succeeded, the next group begins.
    success_percent: u8,
    /// When more than so many percent of its devices failed, that is an error.
    error_percent: u8,
    /// How many devices it has.
    devices: u32,
    /// How many of them have which status; what none has is missing.
    #[schema(value_type = std::collections::HashMap<String, u32>)]
    counts: Counts,
    /// When its first device was due.
    #[schema(required, format = DateTime)]
    begun_at: Option<String>,
    /// When enough of its devices had succeeded.
    #[schema(required, format = DateTime)]
    passed_at: Option<String>,
    /// When its first device was due on the way back.
    #[schema(required, format = DateTime)]
    back_begun_at: Option<String>,
    /// When enough of its devices had gone back.
    #[schema(required, format = DateTime)]
    back_passed_at: Option<String>,
}

/// A line of what happens to a rollout.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct LineView {
    /// When.
    #[schema(format = DateTime)]
    time: String,
    /// What, in words.
    text: String,
}

impl RolloutView {
    /// A rollout as lists show it.
    pub(super) fn short(rollout: Rollout) -> Self {
        let counts = rollout.counts();
        let groups = rollout.spec.groups.iter().zip(&rollout.groups);
        Self {
            id: rollout.id.0,
            firmware_id: rollout.spec.firmware.0,
            method: rollout.spec.method.map(UpdateMethod::name),
            filter: DeviceFilter::from(&rollout.spec.selection),
            newcomers: rollout.spec.newcomers,
            at_once: rollout.spec.at_once,
            start_at: moment(rollout.spec.start_at),
            window: rollout.spec.window.as_ref().map(WindowBody::from),
            on_error: rollout.spec.on_error.name(),
            roll_back_to: rollout.spec.roll_back_to.map(|image| image.0),
            state: rollout.state.name(),
            is_back: rollout.is_back,
            devices: counts.all(),
            counts: by_name(counts),
            groups: groups.enumerate().map(GroupView::of).collect(),
            log: None,
            created_at: rollout.created_at.to_string(),
            started_at: moment(rollout.started_at),
            finished_at: moment(rollout.finished_at),
            name: rollout.spec.name,
            version: rollout.version,
            reason: rollout.reason,
            waits_for: rollout.waits_for,
            created_by: rollout.created_by,
        }
    }

    /// A rollout with its log.
    pub(super) fn whole(rollout: Rollout) -> Self {
        let log = lines(&rollout.log);
        Self {
            log: Some(log),
            ..Self::short(rollout)
        }
    }
}

impl GroupView {
    fn of((index, (spec, state)): (usize, (&GroupSpec, &GroupState))) -> Self {
        let (count, percent) = match spec.size {
            GroupSize::Count(count) => (Some(count), None),
            GroupSize::Percent(percent) => (None, Some(percent)),
            GroupSize::Rest => (None, None),
        };
        let GroupRun {
            begun_at,
            passed_at,
            accepted: _,
        } = state.forward;
        Self {
            index,
            name: spec.name.clone(),
            count,
            percent,
            success_percent: spec.success_percent,
            error_percent: spec.error_percent,
            devices: state.counts.all(),
            counts: by_name(state.counts),
            begun_at: moment(begun_at),
            passed_at: moment(passed_at),
            back_begun_at: moment(state.back.begun_at),
            back_passed_at: moment(state.back.passed_at),
        }
    }
}

/// A device of a rollout.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "endpoint": "urn:imei:490154203237518", "group": 0, "group_name": "canary", "status": "FAILED",
    "update_id": 71, "back_update_id": null, "version_before": "1.1.0",
    "reason": "the device could not verify the image", "changed_at": "2026-12-01T22:14:00.000Z"
}))]
pub(super) struct TargetView {
    /// Its name.
    endpoint: String,
    /// The index of its group.
    group: u16,
    /// The name of its group.
    group_name: String,
    /// `WAITING`, `UPDATING`, `SUCCEEDED`, `UNCHANGED` (it ran the image already), `FAILED`, `SKIPPED` (it cannot be
    /// updated, or is gone), `CANCELLED`, `ROLLING_BACK`, `ROLLED_BACK` or `ROLL_BACK_FAILED`.
    status: &'static str,
    /// Its firmware update.
    #[schema(required)]
    update_id: Option<i64>,
    /// Its firmware update on the way back.
    #[schema(required)]
    back_update_id: Option<i64>,
    /// What it ran before (3/0/3), where it said so.
    #[schema(required)]
    version_before: Option<String>,
    /// Why it stands so, in words, where that is not plain.
    #[schema(required)]
    reason: Option<String>,
    /// When its status last changed.
    #[schema(format = DateTime)]
    changed_at: String,
}

impl TargetView {
    /// A device of this rollout.
    pub(super) fn of(rollout: &Rollout, target: RolloutTarget) -> Self {
        let group = rollout.spec.groups.get(usize::from(target.group));
        Self {
            endpoint: target.endpoint.to_string(),
            group: target.group,
            group_name: group.map(|group| group.name.clone()).unwrap_or_default(),
            status: target.status.name(),
            update_id: target.update.map(|update| update.0),
            back_update_id: target.back_update.map(|update| update.0),
            version_before: target.version_before,
            reason: target.reason,
            changed_at: target.changed_at.to_string(),
        }
    }
}

/// What a rehearsal foresees.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "devices": 50, "begins_at": "2026-12-01T22:00:00.000Z", "ends_at": "2026-12-02T01:30:00.000Z",
    "duration_s": 12600, "state": "FINISHED", "reason": null,
    "groups": [
        {"index": 0, "name": "canary", "devices": 5, "begins_at": "2026-12-01T22:00:00.000Z",
         "passes_at": "2026-12-01T22:20:00.000Z", "ends_at": "2026-12-01T22:25:00.000Z",
         "succeeded": 5, "failed": 0, "rolled_back": 0}
    ],
    "log": [{"time": "2026-12-01T22:00:00.000Z", "text": "group canary begins"}],
    "assumptions": ["an update takes 5 min, as nothing is known of earlier ones"],
    "warnings": []
}))]
pub(super) struct ForecastView {
    /// How many devices fit.
    devices: u32,
    /// When the first device would be begun.
    #[schema(required, format = DateTime)]
    begins_at: Option<String>,
    /// When it would be over; null: not within a year.
    #[schema(required, format = DateTime)]
    ends_at: Option<String>,
    /// Seconds between the two.
    #[schema(required)]
    duration_s: Option<u64>,
    /// How it would stand then.
    state: &'static str,
    /// Why, in words.
    #[schema(required)]
    reason: Option<String>,
    /// Its groups, in their order.
    groups: Vec<GroupForecastView>,
    /// What would happen, oldest first.
    log: Vec<LineView>,
    /// What is not known and was assumed, in words.
    assumptions: Vec<String>,
    /// What somebody should look at before it is started, in words.
    warnings: Vec<String>,
}

/// What a rehearsal foresees of a group.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct GroupForecastView {
    /// Its place among the groups, from 0 on.
    index: usize,
    /// Its name.
    name: String,
    /// Its devices.
    devices: u32,
    /// When its first device would be begun.
    #[schema(required, format = DateTime)]
    begins_at: Option<String>,
    /// When enough of its devices would have succeeded for the next group.
    #[schema(required, format = DateTime)]
    passes_at: Option<String>,
    /// When the last of its devices would be through.
    #[schema(required, format = DateTime)]
    ends_at: Option<String>,
    /// Devices that would run the image in the end.
    succeeded: u32,
    /// Devices on which it would fail.
    failed: u32,
    /// Devices that would have been given back what they ran before.
    rolled_back: u32,
}

impl From<Forecast> for ForecastView {
    fn from(forecast: Forecast) -> Self {
        let span = forecast.begins_at.zip(forecast.ends_at);
        Self {
            devices: forecast.devices,
            begins_at: moment(forecast.begins_at),
            ends_at: moment(forecast.ends_at),
            duration_s: span.map(|(begins, ends)| ends.since(begins).as_secs()),
            state: forecast.state.name(),
            reason: forecast.reason,
            groups: forecast
                .groups
                .into_iter()
                .enumerate()
                .map(GroupForecastView::of)
                .collect(),
            log: lines(&forecast.log),
            assumptions: forecast.assumptions,
            warnings: forecast.warnings,
        }
    }
}

impl GroupForecastView {
    fn of((index, group): (usize, GroupForecast)) -> Self {
        Self {
            index,
            name: group.name,
            devices: group.devices,
            begins_at: moment(group.begins_at),
            passes_at: moment(group.passes_at),
            ends_at: moment(group.ends_at),
            succeeded: group.succeeded,
            failed: group.failed,
            rolled_back: group.rolled_back,
        }
    }
}

fn by_name(counts: TargetCounts) -> Counts {
    let counts = BTreeMap::<TargetStatus, u32>::from(counts).into_iter();
    counts
        .map(|(status, count)| (status.name(), count))
        .collect()
}

fn lines(log: &[RolloutLine]) -> Vec<LineView> {
    let line = |line: &RolloutLine| LineView {
        time: line.at.to_string(),
        text: line.text.clone(),
    };
    log.iter().map(line).collect()
}

fn moment(time: Option<Timestamp>) -> Option<String> {
    time.map(|time| time.to_string())
}
