//! What a rollout does next. No I/O, no clock: it is told what happened and what time it is.
//!
//! [`Plan::turn`] is called after anything was told, and when it said that something is due. What it wants to be saved
//! must be on disk before any update that it wants to be begun is begun: then a device whose update was perhaps begun
//! is known as such after a crash, and is looked up before it is begun again.

mod judge;
mod pick;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use super::handle::{Command, RolloutError};
use crate::domain::{
    ById, EndpointId, EndpointName, FirmwareId, FirmwareImage, FirmwareUpdate, FirmwareUpdateId,
    Rollout, RolloutState, RolloutTarget, TargetCounts, TargetStatus, Timestamp, UpdateResult,
    count, span,
};

/// A rollout with its devices.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    rollout: Rollout,
    targets: Vec<RolloutTarget>,
    by_device: ById<EndpointId, usize>,
    /// Devices by what may become of them.
    places: Places,
    /// Devices that could not be begun are not tried again before.
    retry_at: ById<EndpointId, Timestamp>,
    /// Devices that were not registered when their turn came.
    absent: BTreeSet<usize>,
    waits: Waits,
    /// Devices whose update was to be begun and was not, as the store says.
    again: BTreeSet<usize>,
    /// Devices whose update was to be taken back.
    recalled: BTreeSet<usize>,
    /// What was not saved yet.
    touched: BTreeSet<usize>,
    /// True when the rollout itself was not saved yet.
    changed: bool,
    /// Counts what was decided: it stands still when nothing more follows.
    decisions: u64,
}

/// How long a rollout waits for devices.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waits {
    /// One that could not be begun is tried again after so long.
    pub(super) retry: Duration,
    /// One that is not registered is given up after so long.
    pub(super) patience: Duration,
}

/// Indexes of devices whose turn may come, or has: so that a turn costs no more for many devices than for few.
#[derive(Clone, Debug, Default)]
struct Places {
    waiting: BTreeSet<usize>,
    active: BTreeSet<usize>,
    /// Those that are to be given back what they ran before.
    to_go_back: BTreeSet<usize>,
    /// How many of those each group has.
    to_go_back_of: Vec<u32>,
}

impl Places {
    fn enter(&mut self, index: usize, target: &RolloutTarget) {
        if target.status == TargetStatus::Waiting {
            self.waiting.insert(index);
        }
        if target.status.is_active() {
            self.active.insert(index);
        }
        if is_to_go_back(target) && self.to_go_back.insert(index) {
            let group = usize::from(target.group);
            if self.to_go_back_of.len() <= group {
                self.to_go_back_of.resize(group + 1, 0);
            }
            if let Some(count) = self.to_go_back_of.get_mut(group) {
                *count += 1;
            }
        }
    }

    fn leave(&mut self, index: usize, target: &RolloutTarget) {
        self.waiting.remove(&index);
        self.active.remove(&index);
        if self.to_go_back.remove(&index)
            && let Some(count) = self.to_go_back_of.get_mut(usize::from(target.group))
        {
            *count = count.saturating_sub(1);
        }
    }
}

/// True when the device is to be given back what it ran before, and its turn has not come.
fn is_to_go_back(target: &RolloutTarget) -> bool {
    target.is_changed
        && matches!(
            target.status,
            TargetStatus::Succeeded | TargetStatus::Failed
        )
}

/// What happened to a device of a rollout.
#[derive(Clone, Debug)]
pub(super) enum Happened<'a> {
    /// Its update is said to be stored, but the store has none of it: neither is anything under way, nor was it.
    Missing(EndpointId),
    /// Its update cannot be begun, as the image is gone.
    NoImage(EndpointId),
    /// Its update was not begun.
    NotBegun {
        /// Which device.
        device: EndpointId,
        /// Why.
        why: NotBegun,
    },
    /// How its update stands.
    Update(&'a FirmwareUpdate),
}

/// Why an update was not begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotBegun {
    /// Not before the device is registered: in plain words.
    Absent(String),
    /// It is not known whether it was.
    InDoubt,
    /// Not now: in plain words.
    Later(String),
    /// Never, as this device is: in plain words.
    Never(String),
}

/// An update to be begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Begin {
    /// On which device.
    pub(super) device: EndpointId,
    /// Its name.
    pub(super) endpoint: EndpointName,
    /// The image.
    pub(super) firmware: FirmwareId,
    /// True on the way back.
    pub(super) is_back: bool,
}

/// What is to be done.
#[derive(Clone, Debug, Default)]
pub(super) struct Turn {
    /// Updates to be begun, once [what changed](Plan::take_unsaved) is on disk.
    pub(super) begin: Vec<Begin>,
    /// Updates to be taken back, where that is possible.
    pub(super) recall: Vec<(EndpointName, FirmwareUpdateId)>,
    /// When there is something to do without anything having happened.
    pub(super) due: Option<Timestamp>,
}

impl Plan {
    /// A plan as it is stored.
    pub(super) fn new(mut rollout: Rollout, targets: Vec<RolloutTarget>, waits: Waits) -> Self {
        let index = |(index, target): (usize, &RolloutTarget)| (target.endpoint_id, index);
        let by_device = targets.iter().enumerate().map(index).collect();
        let mut places = Places::default();
        // Counted anew: many devices are saved in parts, and the server may have been killed in between.
        for group in &mut rollout.groups {
            group.counts = TargetCounts::default();
        }
        for (index, target) in targets.iter().enumerate() {
            places.enter(index, target);
            if let Some(group) = rollout.groups.get_mut(usize::from(target.group)) {
                group.counts.add(target.status);
            }
        }
        Self {
            rollout,
            targets,
            by_device,
            places,
            retry_at: ById::default(),
            absent: BTreeSet::new(),
            waits,
            again: BTreeSet::new(),
            recalled: BTreeSet::new(),
            touched: BTreeSet::new(),
            changed: false,
            decisions: 0,
        }
    }

    /// The rollout as it stands.
    pub(super) fn rollout(&self) -> &Rollout {
        &self.rollout
    }

    /// How many devices it has.
    pub(super) fn len(&self) -> usize {
        self.targets.len()
    }

    /// True when nothing more happens.
    pub(super) fn is_over(&self) -> bool {
        self.rollout.finished_at.is_some()
    }

    /// Its devices.
    pub(super) fn targets(&self) -> impl Iterator<Item = &RolloutTarget> {
        self.targets.iter()
    }

    /// Its devices with an update that is not over, as far as is known.
    pub(super) fn active(&self) -> impl Iterator<Item = &RolloutTarget> {
        let active = self.places.active.iter();
        active.filter_map(|index| self.targets.get(*index))
    }

    /// One of its devices.
    pub(super) fn target(&self, device: EndpointId) -> Option<&RolloutTarget> {
        self.targets.get(*self.by_device.get(&device)?)
    }

    /// Takes in what happened.
    pub(super) fn handle(&mut self, now: Timestamp, happened: Happened<'_>) {
        match happened {
            Happened::Missing(device) => self.missing(now, device),
            Happened::NoImage(device) => self.no_image(now, device),
            Happened::NotBegun { device, why } => self.not_begun(now, device, why),
            Happened::Update(update) => self.update(now, update),
        }
    }

    /// Devices that fit and were not there when it was made. Returns how many joined.
    pub(super) fn join(
        &mut self,
        now: Timestamp,
        newcomers: Vec<(EndpointId, EndpointName)>,
    ) -> usize {
        let group = self.rollout.spec.last_group();
        let before = self.targets.len();
        for device in newcomers {
            if self.by_device.contains_key(&device.0) {
                continue;
            }
            let index = self.targets.len();
            self.by_device.insert(device.0, index);
            let target = RolloutTarget::new(self.rollout.id, device, group, now);
            if let Some(group) = self.rollout.groups.get_mut(usize::from(group)) {
                group.counts.add(target.status);
            }
            self.places.enter(index, &target);
            self.targets.push(target);
            self.touched.insert(index);
            self.changed = true;
        }
        let joined = self.targets.len() - before;
        if joined > 0 {
            self.tell(now, format!("{} more joined", count(joined, "device")));
        }
        joined
    }

    /// Does what somebody wants.
    pub(super) fn steer(
        &mut self,
        now: Timestamp,
        command: Command,
        by: &str,
    ) -> Result<(), RolloutError> {
        use RolloutState::{Finished, Paused, Ready, RolledBack, RollingBack, Running, Stopped};
        let state = self.rollout.state;
        match (command, state) {
            (Command::Start, Ready) => {
                self.rollout.start(now, by);
                self.decided();
            }
            (Command::Pause, Running | RollingBack) => {
                let text = format!("{by} paused it");
                self.enter(now, Paused, Some(text.clone()), text);
            }
            (Command::Resume, Paused) => {
                if self.rollout.is_back {
                    self.try_those_again_that_never_began(now);
                }
                let next = match self.rollout.is_back {
                    false => Running,
                    true => RollingBack,
                };
                self.enter(now, next, None, format!("{by} resumed it"));
            }
            (Command::Stop, Running) if self.is_through() => {
                self.enter(now, Finished, None, format!("{by} ended it"));
            }
            (Command::Stop, Ready | Running | Paused | RollingBack) => {
                let text = format!("{by} stopped it");
                self.stop(now, text);
            }
            (Command::RollBack, Running | Finished | RolledBack | Stopped) => {
                self.go_back(now, format!("{by} has it rolled back"))?;
            }
            (Command::RollBack, Paused) if !self.rollout.is_back => {
                self.go_back(now, format!("{by} has it rolled back"))?;
            }
            _ => {
                let why = match (command, state) {
                    (Command::Start, _) => "it was started already",
                    (Command::Pause, Paused) => "nothing is begun until it is resumed",
                    (Command::Resume, Running | RollingBack) => "it goes on already",
                    (Command::Pause | Command::Resume, Ready) => "it was not started",
                    (Command::RollBack, Ready) => "no device was changed by it",
                    (Command::RollBack, _) => "it goes back already; resume it",
                    _ => "it is over",
                };
                return Err(self.not_now(why));
            }
        }
        self.say_what_it_waits_for(now, None);
        Ok(())
    }

    fn not_now(&self, why: &str) -> RolloutError {
        RolloutError::NotNow {
            id: self.rollout.id,
            state: self.rollout.state,
            why: why.to_owned(),
        }
    }

    /// What is to be done now. `images` are those that there are, where it goes back: then it may have to be found out
    /// what a device ran before. Without them the next turn, which is due at once, needs them.
    pub(super) fn turn(&mut self, now: Timestamp, images: Option<&[FirmwareImage]>) -> Turn {
        let mut turn = Turn::default();
        loop {
            let before = self.decisions;
            self.judge(now);
            turn.due = None;
            self.pick(now, images, &mut turn);
            if self.decisions == before {
                break;
            }
        }
        if turn.begin.len() >= MAX_BEGIN {
            turn.due = Some(now);
        }
        self.recall(&mut turn);
        self.end(now);
        self.say_what_it_waits_for(now, turn.due);
        turn
    }

    /// What is not on disk: the rollout with those of its devices that changed. It counts as saved from now on.
    pub(super) fn take_unsaved(&mut self) -> Option<(Rollout, Vec<RolloutTarget>)> {
        if !std::mem::take(&mut self.changed) && self.touched.is_empty() {
            return None;
        }
        let touched = std::mem::take(&mut self.touched);
        let targets = touched.iter().filter_map(|index| self.targets.get(*index));
        Some((self.rollout.clone(), targets.cloned().collect()))
    }

    /// What was taken could not be saved: it is unsaved again.
    pub(super) fn not_saved(&mut self, targets: &[RolloutTarget]) {
        let index = |target: &RolloutTarget| self.by_device.get(&target.endpoint_id).copied();
        self.touched.extend(targets.iter().filter_map(index));
        self.changed = true;
    }

    /// An update that was to be begun was not even tried.
    pub(super) fn not_tried(&mut self, begin: &[Begin]) {
        let index = |begin: &Begin| self.by_device.get(&begin.device).copied();
        self.again.extend(begin.iter().filter_map(index));
    }

    /// These updates were to be taken back, and it is not known whether they are: they are to be once more.
    pub(super) fn not_recalled(&mut self, updates: &[(EndpointName, FirmwareUpdateId)]) {
        let (targets, recalled) = (&self.targets, &mut self.recalled);
        recalled.retain(|index| {
            let update = targets.get(*index).and_then(|target| target.update);
            !updates.iter().any(|(_, id)| Some(*id) == update)
        });
    }

    /// True when news of these devices may be news for this rollout.
    pub(super) fn concerns(&self, names: &HashSet<EndpointName>) -> bool {
        let waited_for = self.places.active.iter().chain(&self.absent);
        let named = |index: &usize| {
            let target = self.targets.get(*index);
            target.is_some_and(|target| names.contains(&target.endpoint))
        };
        waited_for.into_iter().any(named)
    }

    /// These devices were heard of: those that were absent have their turn.
    pub(super) fn came(&mut self, names: &HashSet<EndpointName>) {
        let (targets, retry_at) = (&self.targets, &mut self.retry_at);
        self.absent.retain(|index| {
            let has_come = |target: &&RolloutTarget| names.contains(&target.endpoint);
            let come = targets.get(*index).filter(has_come);
            come.is_none_or(|target| {
                retry_at.remove(&target.endpoint_id);
                false
            })
        });
    }

    /// What is under way and not wanted any more is taken back, once each.
    fn recall(&mut self, turn: &mut Turn) {
        let is_unwanted = matches!(
            self.rollout.state,
            RolloutState::Stopped | RolloutState::RollingBack
        );
        if !is_unwanted {
            return;
        }
        for index in &self.places.active {
            if let Some(target) = self.targets.get(*index)
                && target.status == TargetStatus::Updating
                && let Some(update) = target.update
                && self.recalled.insert(*index)
            {
                turn.recall.push((target.endpoint.clone(), update));
            }
        }
    }

    fn missing(&mut self, now: Timestamp, device: EndpointId) {
        let Some(&index) = self.by_device.get(&device) else {
            return;
        };
        let Some(target) = self.targets.get(index) else {
            return;
        };
        let known = match target.status {
            TargetStatus::Updating => target.update,
            TargetStatus::RollingBack => target.back_update,
            _ => return,
        };
        if known.is_none() {
            self.again.insert(index);
            return;
        }
        let why = "it was removed from this server".to_owned();
        self.set(now, index, TargetStatus::Skipped, Some(why));
    }

    /// No device can be begun without it, so somebody has to decide.
    fn no_image(&mut self, now: Timestamp, device: EndpointId) {
        if let Some(&index) = self.by_device.get(&device) {
            self.again.insert(index);
        }
        if self.rollout.state.is_under_way() {
            let why = match self.rollout.is_back {
                false => format!(
                    "the image {} was removed from this server",
                    self.rollout.version
                ),
                true => "an image to go back to was removed from this server".to_owned(),
            };
            self.enter(now, RolloutState::Paused, Some(why.clone()), why);
        }
    }

    fn not_begun(&mut self, now: Timestamp, device: EndpointId, why: NotBegun) {
        let Some(&index) = self.by_device.get(&device) else {
            return;
        };
        let is_back = match self.targets.get(index).map(|target| target.status) {
            Some(TargetStatus::Updating) => false,
            Some(TargetStatus::RollingBack) => true,
            _ => return,
        };
        match why {
            NotBegun::InDoubt => {}
            NotBegun::Absent(why) => self.absent(now, index, is_back, why),
            NotBegun::Later(why) => {
                self.retry_at.insert(device, now.plus(self.waits.retry));
                self.put_back(now, index, is_back, Some(why));
            }
            NotBegun::Never(why) if is_back => {
                self.set(now, index, TargetStatus::RollBackFailed, Some(why));
            }
            NotBegun::Never(why) => self.set(now, index, TargetStatus::Skipped, Some(why)),
        }
    }

    /// Its turn has come, and it is not registered: its turn comes again when it is, unless that takes too long.
    fn absent(&mut self, now: Timestamp, index: usize, is_back: bool, why: String) {
        let Some(target) = self.targets.get_mut(index) else {
            return;
        };
        let since = *target.absent_since.get_or_insert(now);
        if now.since(since) >= self.waits.patience {
            target.absent_since = None;
            let patience = span(self.waits.patience.as_secs());
            let why = format!("it did not register within {patience} of its turn");
            let status = match is_back {
                false => TargetStatus::Skipped,
                true => TargetStatus::RollBackFailed,
            };
            return self.set(now, index, status, Some(why));
        }
        let retry = self.waits.retry.saturating_mul(ABSENT_RETRIES);
        self.retry_at.insert(target.endpoint_id, now.plus(retry));
        self.absent.insert(index);
        self.put_back(now, index, is_back, Some(why));
    }

    /// It is as it was before its turn.
    fn put_back(&mut self, now: Timestamp, index: usize, is_back: bool, why: Option<String>) {
        let has_failed = self
            .targets
            .get(index)
            .is_some_and(|target| target.has_failed);
        let status = match (is_back, has_failed) {
            (false, _) => TargetStatus::Waiting,
            (true, false) => TargetStatus::Succeeded,
            (true, true) => TargetStatus::Failed,
        };
        self.set(now, index, status, why);
    }

    fn update(&mut self, now: Timestamp, update: &FirmwareUpdate) {
        if update.rollout != Some(self.rollout.id) {
            return;
        }
        let Some(&index) = self.by_device.get(&update.endpoint_id) else {
            return;
        };
        let Some(target) = self.targets.get_mut(index) else {
            return;
        };
        if target.status != TargetStatus::under_way(update.is_roll_back) {
            return;
        }
        let known = match update.is_roll_back {
            false => &mut target.update,
            true => &mut target.back_update,
        };
        self.again.remove(&index);
        self.absent.remove(&index);
        target.absent_since = None;
        if *known != Some(update.id) {
            *known = Some(update.id);
            self.touched.insert(index);
        }
        if !update.result.is_final() {
            return;
        }
        let why = update.reason.clone();
        if update.is_roll_back {
            let (status, why) = match update.result {
                UpdateResult::Success => (TargetStatus::RolledBack, None),
                // Somebody wants it to keep what it has.
                UpdateResult::Cancelled => (TargetStatus::Skipped, why),
                result => (TargetStatus::RollBackFailed, Some(ended_as(result, why))),
            };
            return self.set(now, index, status, why);
        }
        let runs = update.device.version.as_deref();
        let runs = runs.is_some_and(|runs| FirmwareImage::is_what_runs(&update.version, runs));
        let (status, why) = match update.result {
            UpdateResult::Success if update.offers == 0 => (TargetStatus::Unchanged, why),
            UpdateResult::Success => (TargetStatus::Succeeded, None),
            UpdateResult::Cancelled => (TargetStatus::Cancelled, why),
            // It never heard of it, so nothing is known of the image.
            UpdateResult::ConnectionLost if update.offers == 0 => (TargetStatus::Skipped, why),
            result => (TargetStatus::Failed, Some(ended_as(result, why))),
        };
        target
            .version_before
            .clone_from(&update.device.version_before);
        // One that was told to install and not heard of since may run it: its way back finds out.
        let may_run =
            update.installs > 0 && (runs || update.result == UpdateResult::ConnectionLost);
        target.is_changed = status == TargetStatus::Succeeded || may_run;
        target.has_failed = status == TargetStatus::Failed;
        self.set(now, index, status, why);
    }

    fn set(&mut self, now: Timestamp, index: usize, status: TargetStatus, reason: Option<String>) {
        let Some(target) = self.targets.get_mut(index) else {
            return;
        };
        if let Some(group) = self.rollout.groups.get_mut(usize::from(target.group)) {
            group.counts.take(target.status);
            group.counts.add(status);
        }
        self.places.leave(index, target);
        target.status = status;
        target.reason = reason;
        target.changed_at = now;
        self.places.enter(index, target);
        self.touched.insert(index);
        self.decided();
    }

    fn enter(&mut self, now: Timestamp, state: RolloutState, reason: Option<String>, told: String) {
        self.rollout.state = state;
        self.rollout.reason = reason;
        self.tell(now, told);
    }

    fn tell(&mut self, now: Timestamp, text: String) {
        self.rollout.tell(now, text);
        self.decided();
    }

    /// Something of the rollout itself is another thing now.
    fn decided(&mut self) {
        self.changed = true;
        self.decisions += 1;
    }
}

fn ended_as(result: UpdateResult, why: Option<String>) -> String {
    match why {
        Some(why) => format!("{result}: {why}"),
        None => format!("{result}: {}", result.meaning()),
    }
}

/// So many devices are begun in one turn, at most: somebody who wants to pause it gets a word in.
const MAX_BEGIN: usize = 200;

/// One that is not registered is tried so much less often: it is heard of when it comes.
const ABSENT_RETRIES: u32 = 10;
