//! Observations that are lost: ended by the device, or silent for longer than they may be.
//!
//! How long that is, is known where `pmax` is known: from what this server set itself, whoever
//! asked for it, and from what a Discover found.

use std::time::{Duration, Instant};

use serde_json::json;

use super::wanted::backoff;
use super::{CommitStep, Env, Session, Step};
use crate::domain::{
    LiveKind, Observation, Operation, Path, Periods, Timestamp, Wanted, WantedState,
};
use crate::lwm2m::attributes::Attributes;
use crate::lwm2m::link_format;
use crate::store::{Change, Commit};

impl Session {
    /// The device ended an observation.
    pub(super) fn observation_lost(
        &mut self,
        env: &Env<'_>,
        observation: &Observation,
        why: String,
        commit: &mut Commit,
    ) {
        let at = self
            .wishes
            .position(observation.composite, &observation.paths);
        let wanted = |at: &usize| self.wishes.wanted.get(*at).is_some_and(Wanted::is_wanted);
        match at.filter(wanted) {
            Some(at) => self.lose(env, at, why, commit),
            None => self.tell_loss(env, &observation.paths, &why, commit),
        }
        self.wishes.unsettled = true;
    }

    /// Something wanted is not observed any more, or could not be asked for: it is tried again
    /// after a while, which grows as long as that goes on.
    pub(super) fn lose(&mut self, env: &Env<'_>, at: usize, why: String, commit: &mut Commit) {
        let Some(wanted) = self.wishes.wanted.get_mut(at) else {
            return;
        };
        let now = env.now.wall;
        let was_active = wanted.state == WantedState::Active;
        let held_for = now.since(wanted.since);
        let steady = was_active && held_for >= backoff(wanted.losses, env.settings.observe_retry);
        wanted.losses = if steady {
            1
        } else {
            wanted.losses.saturating_add(1)
        };
        let wait = backoff(wanted.losses, env.settings.observe_retry);
        wanted.retry_at = Some(now.plus(wait));
        let paths = wanted.paths.clone();
        self.wishes.is_sooner = true;
        self.move_to(env, at, WantedState::Lost, Some(why.clone()));
        self.save_wanted(env, at, commit);
        if was_active {
            self.tell_loss(env, &paths, &why, commit);
        }
    }

    /// A notification came for something that was thought to be lost.
    pub(super) fn is_back(
        &mut self,
        env: &Env<'_>,
        observation: &Observation,
        commit: &mut Commit,
    ) {
        let at = self
            .wishes
            .position(observation.composite, &observation.paths);
        let Some((at, wanted)) = at.and_then(|at| Some((at, self.wishes.wanted.get_mut(at)?)))
        else {
            return;
        };
        if wanted.state != WantedState::Lost {
            return;
        }
        wanted.retry_at = None;
        self.wishes.is_sooner = true;
        self.move_to(env, at, WantedState::Active, None);
        self.save_wanted(env, at, commit);
    }

    /// An event, stored and live.
    fn tell_loss(&self, env: &Env<'_>, paths: &[Path], why: &str, commit: &mut Commit) {
        let paths: Vec<String> = paths.iter().map(ToString::to_string).collect();
        let id = env.ids.event();
        commit.publish.push(self.live(
            LiveKind::Event,
            env.now.wall,
            json!({ "id": id.0, "type": LOST, "paths": paths, "reason": why }),
        ));
        commit.changes.push(Change::Event {
            id,
            endpoint_id: self.endpoint_id,
            event_type: LOST.to_owned(),
            nodes: Vec::new(),
            at: env.now.wall,
        });
    }

    /// Looks for observations that are silent for longer than they may be, and at what is to be
    /// tried again.
    pub(super) fn look_at_wanted(&mut self, env: &Env<'_>, steps: &mut Vec<Step>) {
        if self.registration.is_none() {
            return;
        }
        let mut commit = Commit::default();
        for at in 0..self.wishes.wanted.len() {
            let Some(wanted) = self.wishes.wanted.get(at) else {
                continue;
            };
            if wanted.retry_at.is_some_and(|at| at <= env.now.wall) {
                self.wishes.unsettled = true;
            }
            if self
                .silent_at(env, wanted)
                .is_some_and(|at| at <= env.now.wall)
            {
                let why = self.silence(env, wanted);
                self.lose(env, at, why, &mut commit);
                self.wishes.unsettled = true;
            }
        }
        if !commit.is_empty() {
            steps.push(Step::Commit(Box::new(CommitStep {
                commit,
                ..CommitStep::default()
            })));
        }
    }

    /// When [`Session::look_at_wanted`] has something to find.
    pub(super) fn next_look(&self, env: &Env<'_>) -> Option<Instant> {
        self.registration.as_ref()?;
        let times = self.wishes.wanted.iter().flat_map(|wanted| {
            let retry = wanted
                .retry_at
                .filter(|_| wanted.is_wanted() && wanted.state != WantedState::Refused);
            [retry, self.silent_at(env, wanted)]
        });
        let first = times.flatten().min()?;
        env.now.instant.checked_add(first.since(env.now.wall))
    }

    /// When an observation counts as silent. A device that sleeps cannot be asked: for it that is a
    /// little after it next wakes, when what it has to tell had time to come.
    fn silent_at(&self, env: &Env<'_>, wanted: &Wanted) -> Option<Timestamp> {
        if wanted.state != WantedState::Active {
            return None;
        }
        let observation = self.observation(wanted.composite, &wanted.paths)?;
        let pmax = self.pmax(&wanted.paths)?;
        let heard = [
            observation.notified_at,
            Some(wanted.since),
            Some(self.wishes.began),
        ];
        let heard = heard.into_iter().flatten().max()?;
        let at = heard.plus(patience(pmax, env));
        if !self.is_queue_mode() {
            return Some(at);
        }
        let is_awake = self
            .awake_until(env.now, env.settings)
            .is_some_and(|until| env.now.instant < until);
        let woke_at = self.learned.woke_at.filter(|_| is_awake)?;
        Some(at.max(woke_at.plus(WAKE_SETTLES)))
    }

    fn silence(&self, env: &Env<'_>, wanted: &Wanted) -> String {
        let pmax = self.pmax(&wanted.paths).unwrap_or_default();
        let factor = env.settings.silence_factor;
        let pmax_s = pmax.as_secs();
        format!("no notification for {factor} × pmax, which is {pmax_s} s")
    }

    /// After how long the device has to notify at the latest, as far as is known; of several paths
    /// the first one that is due makes the notification.
    fn pmax(&self, paths: &[Path]) -> Option<Duration> {
        let of_path = |path: &Path| {
            let mut all = Periods {
                path: *path,
                pmin: None,
                pmax: None,
            };
            // Attributes of a path hold for what lies below it, the nearest ones first.
            let mut above: Vec<&Periods> = self
                .wishes
                .periods
                .iter()
                .filter(|known| known.path.contains(path))
                .collect();
            above.sort_by_key(|known| std::cmp::Reverse(known.path.depth()));
            for known in above {
                all.pmin = all.pmin.or(known.pmin);
                all.pmax = all.pmax.or(known.pmax);
            }
            // A pmax that makes no sense is ignored by the device (Core 7.3.2).
            all.pmax
                .filter(|pmax| *pmax > 0 && *pmax >= all.pmin.unwrap_or_default())
        };
        paths
            .iter()
            .filter_map(of_path)
            .min()
            .map(Duration::from_secs)
    }

    /// What was written on a device is known.
    pub(super) fn note_attributes(&mut self, operation: &Operation, commit: &mut Commit) {
        let mut periods = self.wishes.periods.clone();
        for path in &operation.request.paths {
            for (name, value) in &operation.request.attributes {
                set_period(&mut periods, *path, name, value.as_deref());
            }
        }
        self.take_periods(periods, commit);
    }

    /// What a Discover found is known.
    pub(super) fn discover_ended(&mut self, operation: &Operation, commit: &mut Commit) {
        let Some(result) = operation
            .result
            .as_ref()
            .filter(|result| !result.links.is_empty())
        else {
            return;
        };
        let root = self
            .registration
            .as_ref()
            .map(|registration| registration.root.clone())
            .unwrap_or_default();
        let mut periods = self.wishes.periods.clone();
        let (links, _) = link_format::parse(&result.links);
        for link in links {
            let target = link.target.strip_prefix(&root).unwrap_or(&link.target);
            let Ok(path) = target.parse::<Path>() else {
                continue;
            };
            for name in ["pmin", "pmax"] {
                set_period(&mut periods, path, name, link.value(name));
            }
        }
        self.take_periods(periods, commit);
    }

    fn take_periods(&mut self, mut periods: Vec<Periods>, commit: &mut Commit) {
        periods.retain(|known| known.pmin.is_some() || known.pmax.is_some());
        periods.truncate(MAX_PERIODS);
        if periods != self.wishes.periods {
            self.wishes.periods.clone_from(&periods);
            self.wishes.is_sooner = true;
            commit.changes.push(Change::Periods {
                endpoint_id: self.endpoint_id,
                periods,
            });
        }
    }

    /// Attributes of an earlier registration may be gone.
    pub(super) fn forget_periods(&mut self, commit: &mut Commit) {
        self.take_periods(Vec::new(), commit);
    }
}

fn set_period(periods: &mut Vec<Periods>, path: Path, name: &str, value: Option<&str>) {
    let mut read = Attributes::default();
    if !matches!(name, "pmin" | "pmax") || read.set(name, value).is_err() {
        return;
    }
    let at = periods.iter().position(|known| known.path == path);
    let at = at.unwrap_or_else(|| {
        periods.push(Periods {
            path,
            pmin: None,
            pmax: None,
        });
        periods.len().saturating_sub(1)
    });
    if let Some(known) = periods.get_mut(at) {
        match name {
            "pmin" => known.pmin = read.pmin,
            _ => known.pmax = read.pmax,
        }
    }
}

/// How long nothing may be heard of what should be told of every `pmax`.
fn patience(pmax: Duration, env: &Env<'_>) -> Duration {
    let times = Duration::try_from_secs_f64(pmax.as_secs_f64() * env.settings.silence_factor);
    times
        .unwrap_or(Duration::MAX)
        .saturating_add(env.settings.silence_grace)
}

/// The type of the event.
const LOST: &str = "observation_lost";
/// So long after a device has woken, what it had to tell has come.
const WAKE_SETTLES: Duration = Duration::from_secs(2);
/// Paths whose periods are remembered of one device.
const MAX_PERIODS: usize = 256;
