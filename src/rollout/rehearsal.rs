//! A rollout played through in virtual time, against simulated devices that have the rhythm of the real ones: the same
//! [`Plan`] decides as when it is in earnest.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::time::Duration;

use super::choose::{Candidate, Chosen, Rhythm};
use super::handle::{Command, Forecast, GroupForecast, Rehearsal};
use super::plan::{Begin, Happened, Plan, Waits};
use crate::domain::{
    EndpointId, FirmwareId, FirmwareImage, FirmwareUpdate, FirmwareUpdateId, NewUpdate, OnError,
    Rollout, RolloutId, RolloutSpec, RolloutState, RolloutStep, RolloutTarget, TargetStatus,
    Timestamp, UpdateResult, count,
};

/// So many updates of the past are looked at.
pub(super) const PAST: u64 = 200;

/// Plays it through. `past` are updates of the fleet that succeeded.
pub(super) fn play(
    spec: RolloutSpec,
    image: &FirmwareImage,
    chosen: &Chosen,
    images: &[FirmwareImage],
    past: &[FirmwareUpdate],
    rehearsal: Rehearsal,
    now: Timestamp,
) -> Forecast {
    let mut stage = Stage::new(image, &chosen.devices, past, rehearsal, now);
    let mut warnings = chosen.left_out(image);
    let others = images.iter().any(|other| other.id != image.id);
    if spec.on_error == OnError::RollBack && spec.roll_back_to.is_none() && !others {
        warnings.push(
            "no other image is stored here: should too many devices fail, there is none that the others could be \
            given back"
                .to_owned(),
        );
    }
    let newcomers = spec.newcomers;
    let mut plan = stage.plan(spec, image, &chosen.devices);
    let _ = plan.steer(now, Command::Start, "the rehearsal");
    stage.run(&mut plan);
    if newcomers && plan.rollout().state == RolloutState::Running {
        warnings.push(
            "newcomers join it: it goes on until somebody ends it, and the forecast is about the devices that are \
            known now"
                .to_owned(),
        );
    }
    stage.forecast(&plan, warnings)
}

/// The simulated fleet.
struct Stage<'a> {
    now: Timestamp,
    began_at: Timestamp,
    image: &'a FirmwareImage,
    /// What all devices run before.
    before: FirmwareImage,
    devices: HashMap<EndpointId, Simulated>,
    /// Updates under way, by the time of their end.
    under_way: BinaryHeap<Reverse<(Timestamp, FirmwareUpdateId)>>,
    updates: HashMap<FirmwareUpdateId, Under>,
    begun: i64,
    work: Duration,
    assumptions: Vec<String>,
}

/// A simulated device.
struct Simulated {
    rhythm: Rhythm,
    /// How often it wakes, where it is not always awake.
    every: Duration,
    fails: bool,
}

/// An update under way.
struct Under {
    update: FirmwareUpdate,
    /// Before the device hears of it, it can be taken back.
    heard_at: Timestamp,
}

impl<'a> Stage<'a> {
    fn new(
        image: &'a FirmwareImage,
        candidates: &[Candidate],
        past: &[FirmwareUpdate],
        rehearsal: Rehearsal,
        now: Timestamp,
    ) -> Self {
        let mut assumptions = Vec::new();
        let work = work(image, past, &mut assumptions);
        let usual = usual_interval(candidates, &mut assumptions);
        let failing = failing(candidates.len(), rehearsal);
        let simulated = |(index, one): (usize, &Candidate)| {
            let every = match one.rhythm {
                Rhythm::Wakes {
                    every: Some(every), ..
                } => every,
                _ => usual,
            };
            let device = Simulated {
                rhythm: one.rhythm,
                every: every.max(Duration::from_secs(1)),
                fails: failing.get(index).copied().unwrap_or(false),
            };
            (one.id, device)
        };
        let fails = failing.iter().filter(|fails| **fails).count();
        assumptions.push(match fails {
            0 => "every device takes the image".to_owned(),
            fails => format!(
                "the image is not taken by {}, chosen at random",
                count(fails, "device")
            ),
        });
        assumptions.push("every device takes back what it ran before".to_owned());
        let mut before = image.clone();
        before.id = FirmwareId(0);
        "before".clone_into(&mut before.version);
        Self {
            now,
            began_at: now,
            image,
            before,
            devices: candidates.iter().enumerate().map(simulated).collect(),
            under_way: BinaryHeap::new(),
            updates: HashMap::new(),
            begun: 0,
            work,
            assumptions,
        }
    }

    fn plan(&self, mut spec: RolloutSpec, image: &FirmwareImage, devices: &[Candidate]) -> Plan {
        spec.roll_back_to = None;
        let groups = spec.share_out(devices.len());
        let version = image.version.clone();
        let mut rollout = Rollout::new(spec, version, &groups, "the rehearsal", self.now);
        rollout.log.clear();
        let target = |(device, group): (&Candidate, &u16)| {
            let named = (device.id, device.name.clone());
            RolloutTarget::new(RolloutId(0), named, *group, self.now)
        };
        let targets = devices.iter().zip(&groups).map(target).collect();
        Plan::new(rollout, targets, WAITS)
    }

    fn run(&mut self, plan: &mut Plan) {
        let images = [self.before.clone()];
        let horizon = self.began_at.plus(HORIZON);
        loop {
            let turn = plan.turn(self.now, Some(&images));
            for begin in &turn.begin {
                self.begin(plan, begin);
            }
            let mut taken_back = false;
            for (_, id) in &turn.recall {
                taken_back |= self.take_back(plan, *id);
            }
            if plan.is_over() {
                return;
            }
            let next = self.under_way.peek().map(|Reverse((end, _))| *end);
            let next = if taken_back || turn.due.is_some_and(|due| due <= self.now) {
                Some(self.now)
            } else {
                [next, turn.due].into_iter().flatten().min()
            };
            match next {
                Some(next) if next <= horizon => self.now = next.max(self.now),
                _ => return,
            }
            while let Some(Reverse((end, id))) = self.under_way.peek().copied()
                && end <= self.now
            {
                self.under_way.pop();
                if let Some(Under { update, .. }) = self.updates.remove(&id) {
                    plan.handle(self.now, Happened::Update(&update));
                }
            }
        }
    }

    fn begin(&mut self, plan: &mut Plan, begin: &Begin) {
        let Some(device) = self.devices.get(&begin.device) else {
            return;
        };
        let heard_at = device.hears_at(self.now);
        self.begun += 1;
        let id = FirmwareUpdateId(self.begun);
        let new = NewUpdate {
            image: match begin.is_back {
                false => self.image.clone(),
                true => self.before.clone(),
            },
            method: None,
            rollout: Some(RolloutStep {
                id: RolloutId(0),
                is_back: begin.is_back,
                device: begin.device,
                only_from: None,
            }),
            created_by: String::new(),
            by: None,
        };
        let named = (begin.device, begin.endpoint.clone());
        let mut update = FirmwareUpdate::new(id, named, &new, self.now);
        plan.handle(self.now, Happened::Update(&update));
        update.offers = 1;
        update.device.version_before = Some(self.before.version.clone());
        update.result = match device.fails && !begin.is_back {
            false => UpdateResult::Success,
            true => UpdateResult::UpdateFailed,
        };
        self.under_way.push(Reverse((heard_at.plus(self.work), id)));
        self.updates.insert(id, Under { update, heard_at });
    }

    fn take_back(&mut self, plan: &mut Plan, id: FirmwareUpdateId) -> bool {
        let now = self.now;
        let is_early = |under: &Under| under.heard_at > now;
        if !self.updates.get(&id).is_some_and(is_early) {
            return false;
        }
        if let Some(Under { mut update, .. }) = self.updates.remove(&id) {
            update.result = UpdateResult::Cancelled;
            plan.handle(now, Happened::Update(&update));
        }
        true
    }

    fn forecast(self, plan: &Plan, warnings: Vec<String>) -> Forecast {
        let rollout = plan.rollout();
        let group = |(index, state): (usize, &crate::domain::GroupState)| GroupForecast {
            name: rollout
                .spec
                .groups
                .get(index)
                .map_or_else(String::new, |group| group.name.clone()),
            devices: state.counts.all(),
            begins_at: state.forward.begun_at,
            passes_at: state.forward.passed_at,
            ends_at: plan
                .targets()
                .filter(|target| usize::from(target.group) == index && target.update.is_some())
                .map(|target| target.changed_at)
                .max(),
            succeeded: state
                .counts
                .of_any(&[TargetStatus::Succeeded, TargetStatus::Unchanged]),
            failed: state.counts.of(TargetStatus::Failed),
            rolled_back: state.counts.of(TargetStatus::RolledBack),
        };
        let groups: Vec<GroupForecast> = rollout.groups.iter().enumerate().map(group).collect();
        let is_waiting_for_newcomers =
            rollout.spec.newcomers && rollout.state == RolloutState::Running && plan.is_through();
        let last = groups.iter().filter_map(|group| group.ends_at).max();
        Forecast {
            devices: rollout.counts().all(),
            begins_at: groups.first().and_then(|group| group.begins_at),
            ends_at: rollout
                .finished_at
                .or_else(|| last.filter(|_| is_waiting_for_newcomers)),
            state: rollout.state,
            reason: rollout.reason.clone(),
            groups,
            log: rollout.log.clone(),
            assumptions: self.assumptions,
            warnings,
        }
    }
}

impl Simulated {
    /// When it hears of something that is wanted of it from now on.
    fn hears_at(&self, now: Timestamp) -> Timestamp {
        match self.rhythm {
            Rhythm::Always => now,
            Rhythm::Unknown => now.plus(self.every),
            Rhythm::Wakes { next, .. } if now <= next => next,
            Rhythm::Wakes { next, .. } => {
                let every = self.every.as_millis().max(1);
                let missed = now.since(next).as_millis().div_ceil(every);
                let ahead = u64::try_from(missed.saturating_mul(every)).unwrap_or(u64::MAX);
                next.plus(Duration::from_millis(ahead))
            }
        }
    }
}

/// How long an update takes from the moment that the device hears of it.
fn work(image: &FirmwareImage, past: &[FirmwareUpdate], assumptions: &mut Vec<String>) -> Duration {
    let took = |update: &FirmwareUpdate| Some(update.finished_at?.since(update.offered_at?));
    let mut times: Vec<Duration> = past.iter().filter_map(took).collect();
    if times.len() >= ENOUGH {
        let work = median(&mut times);
        let (many, seconds) = (times.len(), work.as_secs());
        assumptions.push(format!(
            "an update takes {seconds} s from the offer to the result, the median of the last {many} that succeeded here"
        ));
        return work;
    }
    let work = INSTALLATION + Duration::from_secs(image.size / SLOW_BYTES_PER_S);
    let (size, seconds) = (image.size, work.as_secs());
    assumptions.push(format!(
        "an update takes {seconds} s from the offer to the result ({size} bytes at {SLOW_BYTES_PER_S} bytes a second and \
        {} s for the installation): too few have succeeded here to know better",
        INSTALLATION.as_secs()
    ));
    work
}

/// How often a device wakes of which it is not known.
fn usual_interval(candidates: &[Candidate], assumptions: &mut Vec<String>) -> Duration {
    let known = |one: &Candidate| match one.rhythm {
        Rhythm::Wakes { every, .. } => every,
        _ => None,
    };
    let mut known: Vec<Duration> = candidates.iter().filter_map(known).collect();
    let usual = if known.is_empty() {
        A_DAY
    } else {
        median(&mut known)
    };
    let seconds = usual.as_secs();
    let is_unknown = |one: &&Candidate| one.rhythm == Rhythm::Unknown;
    let is_new = |one: &&Candidate| matches!(one.rhythm, Rhythm::Wakes { every: None, .. });
    let (unknown, new) = (
        candidates.iter().filter(is_unknown).count(),
        candidates.iter().filter(is_new).count(),
    );
    if unknown > 0 {
        assumptions.push(format!(
            "not registered, and back within {seconds} s: {}",
            count(unknown, "device")
        ));
    }
    if new > 0 {
        assumptions.push(format!(
            "not known how often it wakes, and taken as every {seconds} s: {}",
            count(new, "device")
        ));
    }
    usual
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// Which of so many devices fail: as many as are wanted, rounded up.
fn failing(devices: usize, rehearsal: Rehearsal) -> Vec<bool> {
    let many = (devices * usize::from(rehearsal.failing_percent)).div_ceil(100);
    let mut failing = vec![false; devices];
    for index in fastrand::Rng::with_seed(rehearsal.seed).choose_multiple(0..devices, many) {
        if let Some(fails) = failing.get_mut(index) {
            *fails = true;
        }
    }
    failing
}

/// No device is refused in a rehearsal.
const WAITS: Waits = Waits {
    retry: Duration::from_secs(60),
    patience: HORIZON,
};

/// Nobody waits for longer.
const HORIZON: Duration = Duration::from_secs(365 * 86_400);

/// So many updates must have succeeded before their times are believed.
const ENOUGH: usize = 5;

/// What LTE-M brings at least, mostly.
const SLOW_BYTES_PER_S: u64 = 20_000;

/// Swapping images and restarting takes a small board about so long.
const INSTALLATION: Duration = Duration::from_secs(120);

const A_DAY: Duration = Duration::from_secs(86_400);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::rollout_samples::{self, group};
    use crate::domain::{EndpointName, GroupSize, Selection};

    fn candidates(many: usize, rhythm: impl Fn(usize) -> Rhythm) -> Chosen {
        let candidate = |index: usize| Candidate {
            id: EndpointId(index as i64 + 1),
            name: EndpointName::new(&format!("device-{index}")).expect("a name"),
            rhythm: rhythm(index),
        };
        Chosen {
            devices: (0..many).map(candidate).collect(),
            ..Chosen::default()
        }
    }

    fn image() -> FirmwareImage {
        FirmwareImage {
            id: FirmwareId(2),
            version: "1.1.0".to_owned(),
            name: "a.bin".to_owned(),
            key: String::new(),
            sha256: String::new(),
            size: 200_000,
            notes: String::new(),
            selection: Selection::default(),
            created_at: Timestamp::MIN,
            created_by: "olga".to_owned(),
        }
    }

    fn spec() -> RolloutSpec {
        let groups = vec![
            group("canary", GroupSize::Count(10), 80, 20),
            group("rest", GroupSize::Rest, 80, 10),
        ];
        RolloutSpec {
            at_once: 50,
            ..rollout_samples::spec(groups)
        }
    }

    fn now() -> Timestamp {
        Timestamp::clamped_from_millis(1_800_000_000_000)
    }

    fn played(spec: RolloutSpec, chosen: &Chosen, failing_percent: u8) -> Forecast {
        let rehearsal = Rehearsal {
            failing_percent,
            seed: 7,
        };
        play(spec, &image(), chosen, &[image()], &[], rehearsal, now())
    }

    #[test]
    fn devices_that_listen_take_as_long_as_their_updates() {
        let chosen = candidates(110, |_| Rhythm::Always);
        let forecast = played(spec(), &chosen, 0);
        assert_eq!(forecast.state, RolloutState::Finished);
        assert_eq!(forecast.devices, 110);
        // 130 s each: the canaries, then twice 50.
        let ends_at = forecast.ends_at.map(|end| end.since(now()).as_secs());
        assert_eq!(ends_at, Some(3 * 130), "{forecast:?}");
        let groups: Vec<u32> = forecast
            .groups
            .iter()
            .map(|group| group.succeeded)
            .collect();
        assert_eq!(groups, [10, 100]);
        assert!(
            forecast
                .warnings
                .iter()
                .any(|text| text.contains("no other image"))
        );
    }

    #[test]
    fn devices_that_sleep_are_waited_for() {
        let wakes = |index: usize| Rhythm::Wakes {
            next: now().plus(Duration::from_secs(60 * index as u64)),
            every: Some(Duration::from_secs(3_600)),
        };
        let chosen = candidates(30, wakes);
        let forecast = played(spec(), &chosen, 0);
        assert_eq!(forecast.state, RolloutState::Finished);
        // Eight of ten canaries have woken after 420 s and are through 130 s later. Then of the others the tenth wakes
        // first, but those behind it up to there have missed their turn for none of them was begun before.
        let passes = forecast.groups[0]
            .passes_at
            .map(|at| at.since(now()).as_secs());
        assert_eq!(passes, Some(420 + 130));
        let ends = forecast.ends_at.map(|at| at.since(now()).as_secs());
        assert_eq!(ends, Some(1740 + 130), "{forecast:?}");
    }

    #[test]
    fn what_would_fail_is_rolled_back_in_the_rehearsal_too() {
        let chosen = candidates(1_000, |_| Rhythm::Always);
        let harmless = played(spec(), &chosen, 3);
        assert_eq!(harmless.state, RolloutState::Finished);
        let failed: u32 = harmless.groups.iter().map(|group| group.failed).sum();
        assert_eq!(failed, 30);
        let harmful = played(spec(), &chosen, 30);
        assert_eq!(harmful.state, RolloutState::RolledBack, "{:?}", harmful.log);
        let rolled_back: u32 = harmful.groups.iter().map(|group| group.rolled_back).sum();
        assert!(rolled_back > 0);
        assert!(harmful.ends_at < harmless.ends_at);
        // The same number fails the same devices.
        assert_eq!(harmful, played(spec(), &chosen, 30));
    }

    #[test]
    fn what_is_not_known_is_said() {
        let some = |index: usize| match index {
            0 => Rhythm::Unknown,
            1 => Rhythm::Wakes {
                next: now(),
                every: None,
            },
            _ => Rhythm::Wakes {
                next: now(),
                every: Some(Duration::from_secs(600)),
            },
        };
        let forecast = played(spec(), &candidates(5, some), 0);
        let said = forecast.assumptions.join("\n");
        assert!(
            said.contains("not registered, and back within 600 s: 1 device"),
            "{said}"
        );
        assert!(
            said.contains("not known how often it wakes, and taken as every 600 s: 1 device"),
            "{said}"
        );
        assert!(
            said.contains("200000 bytes at 20000 bytes a second"),
            "{said}"
        );
    }

    #[test]
    fn newcomers_are_not_waited_for_in_a_rehearsal() {
        let spec = RolloutSpec {
            newcomers: true,
            ..spec()
        };
        let forecast = played(spec, &candidates(20, |_| Rhythm::Always), 0);
        assert_eq!(forecast.state, RolloutState::Running);
        assert!(forecast.ends_at.is_some());
        assert!(
            forecast
                .warnings
                .iter()
                .any(|text| text.contains("newcomers"))
        );
    }

    #[test]
    fn a_hundred_thousand_devices_are_played_through() {
        let wakes = |index: usize| Rhythm::Wakes {
            next: now().plus(Duration::from_millis(37 * index as u64)),
            every: Some(Duration::from_secs(3_600)),
        };
        let spec = RolloutSpec {
            at_once: 1_000,
            ..spec()
        };
        let forecast = played(spec, &candidates(100_000, wakes), 1);
        assert_eq!(forecast.state, RolloutState::Finished);
    }
}
