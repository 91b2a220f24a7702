//! Rollouts: an image on its way to many devices, group by group, and back again when too many fail.
//!
//! The words are those of hawkBit (groups, thresholds); how one goes on is decided in [`crate::rollout`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::ids::{EndpointId, EndpointName, FirmwareUpdateId, RolloutId};
use super::names::names;
use super::rollout_spec::RolloutSpec;
use super::time::Timestamp;
use super::words::count;

/// How a rollout stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RolloutState {
    /// It was made, and waits for somebody to start it.
    Ready,
    /// Devices are given the image.
    Running,
    /// No further device is begun, until somebody resumes it.
    Paused,
    /// Devices are given back what they ran before.
    RollingBack,
    /// Every device had its turn, and no threshold of errors was crossed.
    Finished,
    /// Every device that was changed had its turn on the way back.
    RolledBack,
    /// It was stopped, by somebody or by errors.
    Stopped,
}

names!(RolloutState, "state of a rollout", {
    Ready = "READY",
    Running = "RUNNING",
    Paused = "PAUSED",
    RollingBack = "ROLLING_BACK",
    Finished = "FINISHED",
    RolledBack = "ROLLED_BACK",
    Stopped = "STOPPED",
});

impl RolloutState {
    /// True when nothing more happens by itself.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Finished | Self::RolledBack | Self::Stopped)
    }

    /// True while devices may be begun.
    pub fn is_under_way(self) -> bool {
        matches!(self, Self::Running | Self::RollingBack)
    }
}

/// How a rollout stands with one device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TargetStatus {
    /// Its turn has not come.
    Waiting,
    /// It is given the image.
    Updating,
    /// It runs the image.
    Succeeded,
    /// It ran the image already: nothing was sent.
    Unchanged,
    /// It does not run the image, its update says why.
    Failed,
    /// It cannot be updated, or is not there any more: it counts neither as success nor as failure.
    Skipped,
    /// The rollout was over before its turn came, or its update was taken back.
    Cancelled,
    /// It is given back what it ran before.
    RollingBack,
    /// It runs again what it ran before.
    RolledBack,
    /// It could not be given back what it ran before.
    RollBackFailed,
}

names!(TargetStatus, "status of a device in a rollout", {
    Waiting = "WAITING",
    Updating = "UPDATING",
    Succeeded = "SUCCEEDED",
    Unchanged = "UNCHANGED",
    Failed = "FAILED",
    Skipped = "SKIPPED",
    Cancelled = "CANCELLED",
    RollingBack = "ROLLING_BACK",
    RolledBack = "ROLLED_BACK",
    RollBackFailed = "ROLL_BACK_FAILED",
});

impl TargetStatus {
    /// The status of a device with an update under way, there or back.
    pub fn under_way(is_back: bool) -> Self {
        match is_back {
            false => Self::Updating,
            true => Self::RollingBack,
        }
    }

    /// True while an update of the rollout is under way on the device.
    pub fn is_active(self) -> bool {
        matches!(self, Self::Updating | Self::RollingBack)
    }
}

/// One direction of a group: when it began, and when enough of its devices had succeeded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupRun {
    /// When its first device was due.
    pub begun_at: Option<Timestamp>,
    /// When its threshold of success was reached.
    pub passed_at: Option<Timestamp>,
    /// So many failures have paused it, and it went on all the same: its threshold of errors is not crossed by them
    /// again.
    #[serde(default)]
    pub accepted: u32,
}

/// Where a group stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupState {
    /// On the way there.
    pub forward: GroupRun,
    /// On the way back.
    pub back: GroupRun,
    /// Its devices.
    pub counts: TargetCounts,
}

/// How many devices have which status. In JSON: `{"WAITING": 3}`, without those that none has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    from = "BTreeMap<TargetStatus, u32>",
    into = "BTreeMap<TargetStatus, u32>"
)]
pub struct TargetCounts([u32; TargetStatus::ALL.len()]);

impl TargetCounts {
    /// So many have this status.
    pub fn of(&self, status: TargetStatus) -> u32 {
        self.0.get(status as usize).copied().unwrap_or_default()
    }

    /// How many have one of these.
    pub fn of_any(&self, statuses: &[TargetStatus]) -> u32 {
        statuses.iter().map(|status| self.of(*status)).sum()
    }

    /// One more has this status.
    pub fn add(&mut self, status: TargetStatus) {
        if let Some(count) = self.0.get_mut(status as usize) {
            *count = count.saturating_add(1);
        }
    }

    /// One fewer has this status.
    pub fn take(&mut self, status: TargetStatus) {
        if let Some(count) = self.0.get_mut(status as usize) {
            *count = count.saturating_sub(1);
        }
    }

    /// All of them.
    pub fn all(&self) -> u32 {
        self.0.iter().sum()
    }

    /// These and those.
    #[must_use]
    pub fn plus(mut self, other: &Self) -> Self {
        for (count, more) in self.0.iter_mut().zip(other.0) {
            *count = count.saturating_add(more);
        }
        self
    }
}

impl From<BTreeMap<TargetStatus, u32>> for TargetCounts {
    fn from(map: BTreeMap<TargetStatus, u32>) -> Self {
        let mut counts = Self::default();
        for (status, count) in map {
            if let Some(slot) = counts.0.get_mut(status as usize) {
                *slot = count;
            }
        }
        counts
    }
}

impl From<TargetCounts> for BTreeMap<TargetStatus, u32> {
    fn from(counts: TargetCounts) -> Self {
        let count = |status| (status, counts.of(status));
        let there = |(_, count): &(TargetStatus, u32)| *count > 0;
        TargetStatus::ALL
            .into_iter()
            .map(count)
            .filter(there)
            .collect()
    }
}

/// A line of what happened to a rollout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolloutLine {
    /// When.
    pub at: Timestamp,
    /// What, in plain words.
    pub text: String,
}

/// A rollout.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rollout {
    /// Its row; 0 before it is stored.
    pub id: RolloutId,
    /// What people said of it.
    pub spec: RolloutSpec,
    /// The version of its image.
    pub version: String,
    /// How it stands.
    pub state: RolloutState,
    /// True once it goes back: what [`RolloutState::Paused`] resumes to.
    pub is_back: bool,
    /// Why it stands so, in plain words, where somebody or something decided it.
    pub reason: Option<String>,
    /// What it waits for, in plain words; nothing when it is over.
    pub waits_for: Option<String>,
    /// Where its groups stand, as many as the plan has.
    pub groups: Vec<GroupState>,
    /// What happened, oldest first; at most [`Rollout::MAX_LINES`].
    pub log: Vec<RolloutLine>,
    /// Who made it.
    pub created_by: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was started.
    pub started_at: Option<Timestamp>,
    /// When it was over, the last update under way included.
    pub finished_at: Option<Timestamp>,
}

impl Rollout {
    /// So many lines of its log are kept, the newest ones.
    pub const MAX_LINES: usize = 300;

    /// A rollout that was made just now, of devices that are in these groups.
    pub fn new(
        spec: RolloutSpec,
        version: String,
        groups_of_devices: &[u16],
        by: &str,
        now: Timestamp,
    ) -> Self {
        let mut groups = vec![GroupState::default(); spec.groups.len()];
        for index in groups_of_devices {
            if let Some(group) = groups.get_mut(usize::from(*index)) {
                group.counts.add(TargetStatus::Waiting);
            }
        }
        let devices = count(groups_of_devices.len(), "device");
        let mut rollout = Self {
            id: RolloutId(0),
            spec,
            version,
            state: RolloutState::Ready,
            is_back: false,
            reason: None,
            waits_for: Some("somebody to start it".to_owned()),
            groups,
            log: Vec::new(),
            created_by: by.to_owned(),
            created_at: now,
            started_at: None,
            finished_at: None,
        };
        rollout.tell(now, format!("{by} made it for {devices}"));
        rollout
    }

    /// It begins.
    pub fn start(&mut self, now: Timestamp, by: &str) {
        self.state = RolloutState::Running;
        self.started_at = Some(now);
        self.waits_for = None;
        self.tell(now, format!("{by} started it"));
    }

    /// Adds a line to its log.
    pub fn tell(&mut self, at: Timestamp, text: String) {
        if self.log.len() >= Self::MAX_LINES {
            self.log.drain(..=self.log.len() - Self::MAX_LINES);
        }
        self.log.push(RolloutLine { at, text });
    }

    /// True when it may be removed: nothing of it is under way, nor will be.
    pub fn is_removable(&self) -> bool {
        self.state == RolloutState::Ready || self.finished_at.is_some()
    }

    /// The devices of all groups.
    pub fn counts(&self) -> TargetCounts {
        let sum = |sum: TargetCounts, group: &GroupState| sum.plus(&group.counts);
        self.groups.iter().fold(TargetCounts::default(), sum)
    }
}

/// A device of a rollout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolloutTarget {
    /// The rollout.
    pub rollout: RolloutId,
    /// The device.
    pub endpoint_id: EndpointId,
    /// Its name.
    pub endpoint: EndpointName,
    /// The index of its group.
    pub group: u16,
    /// How it stands.
    pub status: TargetStatus,
    /// Its update, once it is known.
    pub update: Option<FirmwareUpdateId>,
    /// Its update on the way back, once it is known.
    pub back_update: Option<FirmwareUpdateId>,
    /// What it ran before (3/0/3), where it said so.
    pub version_before: Option<String>,
    /// True once the rollout made it run the image: on the way back it is given what it ran before.
    pub is_changed: bool,
    /// True when its update on the way there failed.
    pub has_failed: bool,
    /// Since when its turn has come and it is not registered.
    pub absent_since: Option<Timestamp>,
    /// Why it stands so, in plain words, where that is not plain.
    pub reason: Option<String>,
    /// When its status last changed.
    pub changed_at: Timestamp,
}

impl RolloutTarget {
    /// A device whose turn has not come.
    pub fn new(
        rollout: RolloutId,
        (endpoint_id, endpoint): (EndpointId, EndpointName),
        group: u16,
        now: Timestamp,
    ) -> Self {
        Self {
            rollout,
            endpoint_id,
            endpoint,
            group,
            status: TargetStatus::Waiting,
            update: None,
            back_update: None,
            version_before: None,
            is_changed: false,
            has_failed: false,
            absent_since: None,
            reason: None,
            changed_at: now,
        }
    }
}

/// Which rollout an update belongs to, and in which direction. A device has at most one update of each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RolloutStep {
    /// The rollout.
    pub id: RolloutId,
    /// True when the device is given back what it ran before.
    pub is_back: bool,
    /// The device that is meant: another one may have its name by now.
    pub device: EndpointId,
    /// Only while the device runs this version: what it was given since by others stays.
    pub only_from: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::super::rollout_spec::GroupSize;
    use super::super::rollout_spec::tests::{group, spec};
    use super::*;

    #[test]
    fn the_log_keeps_its_newest_lines() {
        let mut rollout = Rollout::new(
            spec(vec![group("rest", GroupSize::Rest, 90, 0)]),
            "1.0".to_owned(),
            &[0, 0],
            "olga",
            Timestamp::MIN,
        );
        assert_eq!(rollout.counts().of(TargetStatus::Waiting), 2);
        for line in 0..1_000 {
            rollout.tell(Timestamp::MIN, line.to_string());
            assert!(rollout.log.len() <= Rollout::MAX_LINES);
        }
        assert_eq!(
            rollout.log.last().map(|line| line.text.as_str()),
            Some("999")
        );
    }

    #[test]
    fn names_are_read_as_they_are_written() {
        for status in TargetStatus::ALL {
            assert_eq!(status.name().parse(), Ok(status));
        }
        let mut counts = TargetCounts::default();
        counts.add(TargetStatus::Failed);
        counts.add(TargetStatus::Failed);
        let json = serde_json::to_string(&counts).expect("its JSON");
        assert_eq!(json, r#"{"FAILED":2}"#);
        assert_eq!(
            serde_json::from_str::<TargetCounts>(&json).ok(),
            Some(counts)
        );
        let error = "GONE".parse::<RolloutState>().expect_err("no state");
        assert!(error.contains("ROLLED_BACK"), "{error}");
    }
}
