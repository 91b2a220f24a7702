//! What is told of a firmware update, in the API and on the live socket: the same fields under the same names.

use serde::Serialize;

use super::{FirmwareUpdate, Progress, Timestamp, UpdateStep};

/// How an update stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the names are those of the update")]
pub struct UpdateFacts {
    pub id: i64,
    pub firmware_id: i64,
    pub version: String,
    pub method: Option<&'static str>,
    pub state: &'static str,
    pub result: &'static str,
    pub phase: &'static str,
    /// None when it is over.
    pub awaited: Option<String>,
    pub until: Option<Timestamp>,
    pub progress: Option<ProgressFacts>,
    pub reason: Option<String>,
    pub rollout_id: Option<i64>,
}

/// How much of an image went to a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names are those of the progress")]
pub struct ProgressFacts {
    pub done: u64,
    pub total: u64,
    /// 0 to 100.
    pub percent: u8,
    pub block: u32,
}

/// A line of the timeline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names are those of the step")]
pub struct StepFacts {
    pub time: Timestamp,
    pub phase: &'static str,
    pub text: String,
}

impl From<&FirmwareUpdate> for UpdateFacts {
    fn from(update: &FirmwareUpdate) -> Self {
        Self {
            id: update.id.0,
            firmware_id: update.firmware_id.0,
            version: update.version.clone(),
            method: update.method.map(|method| method.name()),
            state: update.state.name(),
            result: update.result.name(),
            phase: update.phase.name(),
            awaited: update.is_active().then(|| update.awaited.clone()),
            until: update.until,
            progress: update.progress.map(ProgressFacts::from),
            reason: update.reason.clone(),
            rollout_id: update.rollout.map(|rollout| rollout.0),
        }
    }
}

impl From<Progress> for ProgressFacts {
    fn from(progress: Progress) -> Self {
        Self {
            done: progress.done,
            total: progress.total,
            percent: progress.percent(),
            block: progress.block,
        }
    }
}

impl From<&UpdateStep> for StepFacts {
    fn from(step: &UpdateStep) -> Self {
        Self {
            time: step.at,
            phase: step.phase.name(),
            text: step.text.clone(),
        }
    }
}
