//! How a rollout stands: which groups begin, which thresholds are crossed, when it is over.

use super::Plan;
use crate::domain::{
    GroupRun, GroupSpec, GroupState, OnError, Opening, RolloutState, RolloutTarget, TargetCounts,
    TargetStatus, Timestamp, count,
};
use crate::rollout::handle::RolloutError;

/// The devices of a group in one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tally {
    /// Of which percent are taken.
    base: u32,
    failed: u32,
    succeeded: u32,
    /// Those that are not through.
    left: u32,
}

impl Tally {
    fn new(counts: &TargetCounts, to_go_back: u32, is_back: bool) -> Self {
        use TargetStatus as Is;
        let (failed, succeeded, left) = match is_back {
            false => (
                counts.of(Is::Failed),
                counts.of_any(&[Is::Succeeded, Is::Unchanged]),
                counts.of_any(&[Is::Waiting, Is::Updating]),
            ),
            true => (
                counts.of(Is::RollBackFailed),
                counts.of(Is::RolledBack),
                counts.of(Is::RollingBack) + to_go_back,
            ),
        };
        Self {
            base: failed + succeeded + left,
            failed,
            succeeded,
            left,
        }
    }

    fn has_passed(&self, spec: &GroupSpec) -> bool {
        let enough = u64::from(self.base) * u64::from(spec.success_percent);
        u64::from(self.succeeded) * 100 >= enough
    }

    fn has_failed(&self, spec: &GroupSpec) -> bool {
        let bearable = u64::from(self.base) * u64::from(spec.error_percent);
        u64::from(self.failed) * 100 > bearable
    }

    /// So many must succeed before the next group begins.
    fn needed(&self, spec: &GroupSpec) -> u64 {
        (u64::from(self.base) * u64::from(spec.success_percent)).div_ceil(100)
    }
}

impl Plan {
    /// Begins groups whose turn has come, and answers to thresholds.
    pub(super) fn judge(&mut self, now: Timestamp) {
        if matches!(
            self.rollout.state,
            RolloutState::RollingBack | RolloutState::Stopped
        ) {
            self.give_up_waiting(now);
        }
        let is_back = match self.rollout.state {
            RolloutState::Running if !self.is_before_start(now) => false,
            RolloutState::RollingBack => true,
            _ => return,
        };
        let tallies = self.tallies(is_back);
        if let Some((index, tally)) = self.first_failing(&tallies, is_back) {
            return self.answer_errors(now, index, tally, is_back);
        }
        self.go_through_groups(now, &tallies, is_back);
    }

    fn is_before_start(&self, now: Timestamp) -> bool {
        let start_at = self.rollout.spec.start_at;
        start_at.is_some_and(|start_at| now < start_at)
    }

    fn tallies(&self, is_back: bool) -> Vec<Tally> {
        let to_go_back = |index| self.places.to_go_back_of.get(index).copied();
        let tally = |(index, group): (usize, &GroupState)| {
            Tally::new(&group.counts, to_go_back(index).unwrap_or(0), is_back)
        };
        self.rollout.groups.iter().enumerate().map(tally).collect()
    }

    pub(super) fn run(&self, index: usize, is_back: bool) -> GroupRun {
        let group = self.rollout.groups.get(index);
        group.map_or_else(GroupRun::default, |group| match is_back {
            false => group.forward,
            true => group.back,
        })
    }

    fn run_mut(&mut self, index: usize, is_back: bool) -> Option<&mut GroupRun> {
        let group = self.rollout.groups.get_mut(index)?;
        Some(match is_back {
            false => &mut group.forward,
            true => &mut group.back,
        })
    }

    fn first_failing(&self, tallies: &[Tally], is_back: bool) -> Option<(usize, Tally)> {
        let mut specs = self.rollout.spec.groups.iter().zip(tallies).enumerate();
        let failing = |(index, (spec, tally)): (usize, (&GroupSpec, &Tally))| {
            let accepted = self.run(index, is_back).accepted;
            (tally.has_failed(spec) && tally.failed > accepted).then_some((index, *tally))
        };
        specs.find_map(failing)
    }

    fn answer_errors(&mut self, now: Timestamp, index: usize, tally: Tally, is_back: bool) {
        let Some(spec) = self.rollout.spec.groups.get(index) else {
            return;
        };
        let Tally { base, failed, .. } = tally;
        let percent = u64::from(failed) * 100 / u64::from(base.max(1));
        let what = if is_back {
            "the way back failed"
        } else {
            "it failed"
        };
        let why = format!(
            "{what} on {failed} of {base} devices of group `{}` ({percent} %), and it may on {} % at most",
            spec.name, spec.error_percent
        );
        // Whoever has neither the old nor the new firmware work needs somebody who looks.
        let answer = match is_back {
            false => self.rollout.spec.on_error,
            true => OnError::Pause,
        };
        match answer {
            OnError::Pause => {
                if let Some(run) = self.run_mut(index, is_back) {
                    run.accepted = failed;
                }
                self.enter(now, RolloutState::Paused, Some(why.clone()), why);
            }
            OnError::Stop => self.stop(now, why),
            OnError::RollBack => {
                // Without a changed device there is nothing to go back.
                if self.go_back(now, why.clone()).is_err() {
                    self.stop(now, why);
                }
            }
        }
    }

    fn go_through_groups(&mut self, now: Timestamp, tallies: &[Tally], is_back: bool) {
        for (index, tally) in tallies.iter().enumerate() {
            let Some(spec) = self.rollout.spec.groups.get(index).cloned() else {
                return;
            };
            let run = self.run(index, is_back);
            if run.begun_at.is_none() {
                if let Some(run) = self.run_mut(index, is_back) {
                    run.begun_at = Some(now);
                }
                let (name, base) = (&spec.name, count(tally.base as usize, "device"));
                let text = match (is_back, tally.base) {
                    (_, 0) => format!("group `{name}` has no device to be done"),
                    (false, _) => format!("group `{name}` begins: {base}"),
                    (true, _) => format!("group `{name}` goes back: {base}"),
                };
                self.tell(now, text);
            }
            if run.passed_at.is_none() {
                // With failures that somebody accepted, enough may never succeed.
                if !tally.has_passed(&spec) && tally.left > 0 {
                    return;
                }
                if let Some(run) = self.run_mut(index, is_back) {
                    run.passed_at = Some(now);
                }
                if tally.base > 0 {
                    let Tally {
                        base, succeeded, ..
                    } = tally;
                    let text = format!(
                        "group `{}` reached its threshold: {succeeded} of {base} succeeded",
                        spec.name
                    );
                    self.tell(now, text);
                } else {
                    self.changed = true;
                    let group = self.rollout.groups.get(index);
                    let is_empty = group.is_none_or(|group| group.counts.all() == 0);
                    if !is_back && !is_empty {
                        // Nothing is known of the image, so the next group would be the first to try it.
                        let why = format!("no device of group `{}` could be updated", spec.name);
                        return self.enter(now, RolloutState::Paused, Some(why.clone()), why);
                    }
                }
            }
        }
    }

    /// Devices whose way back never began have another turn: an image may be there now.
    pub(super) fn try_those_again_that_never_began(&mut self, now: Timestamp) {
        for index in 0..self.targets.len() {
            let never_began = |target: &RolloutTarget| {
                target.status == TargetStatus::RollBackFailed
                    && target.back_update.is_none()
                    && target.is_changed
            };
            if self.targets.get(index).is_some_and(never_began) {
                self.put_back(now, index, true, None);
            }
        }
    }

    /// True when every device had its turn.
    pub(in crate::rollout) fn is_through(&self) -> bool {
        self.places.waiting.is_empty() && self.places.active.is_empty()
    }

    /// Nothing is begun any more.
    pub(super) fn stop(&mut self, now: Timestamp, why: String) {
        self.enter(now, RolloutState::Stopped, Some(why.clone()), why);
    }

    /// Devices that were changed are given back what they ran before.
    pub(super) fn go_back(&mut self, now: Timestamp, why: String) -> Result<(), RolloutError> {
        self.try_those_again_that_never_began(now);
        let may_change = |target: &RolloutTarget| target.status == TargetStatus::Updating;
        if self.places.to_go_back.is_empty() && !self.active().any(may_change) {
            return Err(self.not_now("no device runs anything that it would have to give back"));
        }
        self.rollout.is_back = true;
        self.rollout.finished_at = None;
        self.enter(now, RolloutState::RollingBack, Some(why.clone()), why);
        Ok(())
    }

    fn give_up_waiting(&mut self, now: Timestamp) {
        for index in self.places.waiting.clone() {
            self.set(now, index, TargetStatus::Cancelled, None);
        }
    }

    /// Notes that it is over, when it is.
    pub(super) fn end(&mut self, now: Timestamp) {
        if self.rollout.finished_at.is_some() || !self.places.active.is_empty() {
            return;
        }
        match self.rollout.state {
            RolloutState::Running
                if !self.rollout.spec.newcomers
                    && !self.is_before_start(now)
                    && self.is_through() =>
            {
                let text = "every device had its turn".to_owned();
                self.enter(now, RolloutState::Finished, None, text);
            }
            RolloutState::RollingBack if self.places.to_go_back.is_empty() => {
                let why = self.rollout.reason.clone();
                let text = "every device that was changed had its turn".to_owned();
                self.enter(now, RolloutState::RolledBack, why, text);
            }
            RolloutState::Finished | RolloutState::RolledBack | RolloutState::Stopped => {}
            _ => return,
        }
        self.rollout.finished_at = Some(now);
        self.changed = true;
    }

    /// Says in plain words what is awaited. `due`: when it goes on by itself.
    pub(super) fn say_what_it_waits_for(&mut self, now: Timestamp, due: Option<Timestamp>) {
        let words = self.what_it_waits_for(now, due);
        if self.rollout.waits_for != words {
            self.rollout.waits_for = words;
            self.changed = true;
        }
    }

    fn what_it_waits_for(&self, now: Timestamp, due: Option<Timestamp>) -> Option<String> {
        let active = self.places.active.len();
        let under_way = match active {
            0 => String::new(),
            1 => "; 1 update is under way".to_owned(),
            many => format!("; {many} updates are under way"),
        };
        match self.rollout.state {
            RolloutState::Ready => return Some("somebody to start it".to_owned()),
            RolloutState::Paused => return Some(format!("somebody to resume it{under_way}")),
            RolloutState::Running | RolloutState::RollingBack => {}
            _ if active > 0 => return Some(format!("the end of updates{under_way}")),
            _ => return None,
        }
        let spec = &self.rollout.spec;
        if let Some(start_at) = spec.start_at.filter(|start_at| now < *start_at) {
            return Some(format!("its start at {start_at}"));
        }
        let is_back = self.rollout.is_back;
        if !is_back
            && let Some(window) = &spec.window
            && let Opening::ClosedUntil(opens) = window.at(now)
            && !self.places.waiting.is_empty()
        {
            return Some(format!("the window to open at {opens}{under_way}"));
        }
        let tallies = self.tallies(is_back);
        let groups = spec.groups.iter().zip(&tallies).enumerate();
        for (index, (spec, tally)) in groups {
            let is_here = self.run(index, is_back).passed_at.is_none() || tally.left > 0;
            if tally.base > 0 && is_here {
                let (name, succeeded) = (&spec.name, tally.succeeded);
                let (needed, base) = (tally.needed(spec), tally.base);
                let retry = due.filter(|_| active == 0);
                let retry = retry.map_or_else(String::new, |at| {
                    format!("; devices that could not be begun are tried again at {at}")
                });
                return Some(format!(
                    "group `{name}`: {succeeded} of {base} succeeded, {needed} must{under_way}{retry}"
                ));
            }
        }
        match spec.newcomers {
            true if !is_back => Some("devices that fit and join".to_owned()),
            _ => Some(format!("the end of updates{under_way}")),
        }
    }
}
