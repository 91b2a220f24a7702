//! Rollouts in virtual time, against devices that are numbers: what each says in the end, and after how long.

mod groups_and_thresholds;
mod people_steer;
mod whatever_happens;
mod windows_and_waits;

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Begin, Happened, NotBegun, Plan, Waits};
use crate::domain::rollout_samples::{group, spec};
use crate::domain::{
    EndpointId, EndpointName, FirmwareId, FirmwareImage, FirmwareUpdate, FirmwareUpdateId,
    GroupSize, GroupSpec, NewUpdate, OnError, Rollout, RolloutId, RolloutSpec, RolloutState,
    RolloutStep, RolloutTarget, Selection, TargetStatus, Timestamp, UpdateResult,
};
use crate::rollout::{Command, RolloutError};

const WAITS: Waits = Waits {
    retry: Duration::from_secs(60),
    patience: Duration::from_secs(7 * 86_400),
};
const BEGAN: &str = "2026-11-30T12:00:00Z";
const OLD: &str = "1.0.0";
const NEW: &str = "1.1.0";

/// How a device takes updates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nature {
    Good,
    /// It fails on the way there.
    Fails,
    /// It takes the image, and nothing else later.
    StaysNew,
    /// It ran the image before.
    Current,
    /// It has no object 5.
    NoObject,
    /// It is not registered until then, in seconds.
    Absent(u64),
    /// Somebody else updates it until then, in seconds.
    Busy(u64),
    /// It installs the image, and is not heard of again before its way back.
    Lost,
    /// It never hears of the image.
    Deaf,
    /// It does not say what it runs.
    Mute,
}

/// A rollout with the store and the fleet around it.
pub(super) struct World {
    pub(super) plan: Plan,
    pub(super) now: Timestamp,
    pub(super) images: Vec<FirmwareImage>,
    natures: Vec<Nature>,
    /// What is on disk.
    stored: (Rollout, BTreeMap<EndpointId, RolloutTarget>),
    /// Updates on disk, with the time of their end.
    pub(super) updates: Vec<(FirmwareUpdate, Timestamp)>,
    /// Updates take so long.
    pub(super) takes: Duration,
    /// The most that were under way at once.
    pub(super) most_at_once: usize,
    due: Option<Timestamp>,
    /// An update was taken back, and the plan has not had its turn since.
    recalled: bool,
}

pub(super) fn time(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

fn image(id: i64, version: &str) -> FirmwareImage {
    FirmwareImage {
        id: FirmwareId(id),
        version: version.to_owned(),
        name: format!("{version}.bin"),
        key: String::new(),
        sha256: String::new(),
        size: 1,
        notes: String::new(),
        selection: Selection::default(),
        created_at: Timestamp::MIN,
        created_by: "olga".to_owned(),
    }
}

pub(super) fn device(index: usize) -> (EndpointId, EndpointName) {
    let name = EndpointName::new(&format!("device-{index}")).expect("a name");
    (EndpointId(index as i64 + 1), name)
}

impl World {
    pub(super) fn new(spec: RolloutSpec, natures: Vec<Nature>) -> Self {
        let now = time(BEGAN);
        let groups = spec.share_out(natures.len());
        let mut rollout = Rollout::new(spec, NEW.to_owned(), &groups, "olga", now);
        rollout.id = RolloutId(7);
        let target = |(index, group): (usize, &u16)| {
            RolloutTarget::new(rollout.id, device(index), *group, now)
        };
        let targets: Vec<_> = groups.iter().enumerate().map(target).collect();
        let by_device = targets
            .iter()
            .map(|target| (target.endpoint_id, target.clone()));
        Self {
            stored: (rollout.clone(), by_device.collect()),
            plan: Plan::new(rollout, targets, WAITS),
            now,
            images: vec![image(1, OLD), image(2, NEW)],
            natures,
            updates: Vec::new(),
            takes: Duration::from_secs(600),
            most_at_once: 0,
            due: None,
            recalled: false,
        }
    }

    pub(super) fn started(spec: RolloutSpec, natures: Vec<Nature>) -> Self {
        let mut world = Self::new(spec, natures);
        world.steer(Command::Start).expect("it starts");
        world
    }

    pub(super) fn steer(&mut self, command: Command) -> Result<(), RolloutError> {
        self.plan.steer(self.now, command, "olga")?;
        self.turn();
        Ok(())
    }

    /// One turn, and what follows from it. What is begun is begun after it was stored.
    pub(super) fn turn(&mut self) {
        loop {
            let begin = self.decide();
            if begin.is_empty() && !std::mem::take(&mut self.recalled) {
                return;
            }
            for begin in begin {
                self.begin(&begin);
            }
        }
    }

    /// What is to be begun; it is stored as such, and not begun.
    pub(super) fn decide(&mut self) -> Vec<Begin> {
        let images = self
            .plan
            .rollout()
            .is_back
            .then_some(self.images.as_slice());
        let turn = self.plan.turn(self.now, images);
        if let Some((rollout, targets)) = self.plan.take_unsaved() {
            self.stored.0 = rollout;
            let by_device = targets
                .into_iter()
                .map(|target| (target.endpoint_id, target));
            self.stored.1.extend(by_device);
        }
        for (_, id) in turn.recall {
            let now = self.now;
            // Half of them can still be taken back.
            if let Some((update, end)) = self.updates.iter_mut().find(|(one, _)| one.id == id)
                && *end > now
                && id.0 % 2 == 0
            {
                update.result = UpdateResult::Cancelled;
                *end = now;
                self.recalled = true;
            }
        }
        if self.recalled {
            self.tell_of_updates();
        }
        self.due = turn.due;
        turn.begin
    }

    /// A device is told, as its session would.
    pub(super) fn begin(&mut self, begin: &Begin) {
        let step = RolloutStep {
            id: RolloutId(7),
            is_back: begin.is_back,
            device: begin.device,
            only_from: None,
        };
        let of_device = |update: &FirmwareUpdate| update.endpoint_id == begin.device;
        let nature = self.nature(begin.device);
        let later = |why: &str| NotBegun::Later(why.to_owned());
        let is_before = |seconds| self.now < time(BEGAN).plus(Duration::from_secs(seconds));
        let refusal = match nature {
            Nature::Absent(until_s) if is_before(until_s) => {
                Some(NotBegun::Absent("it is not registered".to_owned()))
            }
            Nature::NoObject => Some(NotBegun::Never("it has no object 5".to_owned())),
            Nature::Busy(until_s) if is_before(until_s) => Some(later("somebody else updates it")),
            _ => None,
        };
        let is_busy =
            |(update, end): &(FirmwareUpdate, Timestamp)| of_device(update) && *end > self.now;
        let refusal = refusal.or_else(|| {
            self.updates
                .iter()
                .any(is_busy)
                .then(|| later("it is being updated"))
        });
        if let Some(why) = refusal {
            let device = begin.device;
            self.plan
                .handle(self.now, Happened::NotBegun { device, why });
            return;
        }
        let twice = self
            .updates
            .iter()
            .any(|(update, _)| of_device(update) && update.is_roll_back == begin.is_back);
        assert!(!twice, "{begin:?} a second time");
        let id = FirmwareUpdateId(self.updates.len() as i64 + 1);
        let image = self.images.iter().find(|image| image.id == begin.firmware);
        let new = NewUpdate {
            image: image.expect("an image").clone(),
            method: None,
            rollout: Some(step),
            created_by: "rollout".to_owned(),
            by: None,
        };
        let named = (begin.device, begin.endpoint.clone());
        let mut update = FirmwareUpdate::new(id, named, &new, self.now);
        let before = if begin.is_back { NEW } else { OLD };
        update.device.version_before = (nature != Nature::Mute).then(|| before.to_owned());
        update.offers = 1;
        update.result = match (nature, begin.is_back) {
            (Nature::Fails, _) | (Nature::StaysNew, true) => UpdateResult::UpdateFailed,
            (Nature::Lost, false) => {
                update.installs = 1;
                UpdateResult::ConnectionLost
            }
            (Nature::Deaf, _) => {
                update.offers = 0;
                UpdateResult::ConnectionLost
            }
            (Nature::Current, false) => {
                update.offers = 0;
                update.device.version_before = Some(NEW.to_owned());
                UpdateResult::Success
            }
            _ => UpdateResult::Success,
        };
        let end = self.now.plus(self.takes);
        let mut seen = update.clone();
        self.updates.push((update, end));
        let under_way = self
            .updates
            .iter()
            .filter(|(_, end)| *end > self.now)
            .count();
        self.most_at_once = self.most_at_once.max(under_way);
        seen.result = UpdateResult::Default;
        self.plan.handle(self.now, Happened::Update(&seen));
    }

    fn nature(&self, device: EndpointId) -> Nature {
        let index = usize::try_from(device.0 - 1).expect("an index");
        self.natures.get(index).copied().unwrap_or(Nature::Good)
    }

    /// Goes on to the next thing that happens; false when nothing does.
    pub(super) fn step(&mut self) -> bool {
        let ends = self
            .updates
            .iter()
            .map(|(_, end)| *end)
            .filter(|end| *end > self.now);
        let Some(next) = ends.chain(self.due).min() else {
            return false;
        };
        self.now = next.max(self.now);
        self.tell_of_updates();
        self.turn();
        true
    }

    /// Tells how each update of the rollout stands.
    pub(super) fn tell_of_updates(&mut self) {
        for (update, end) in self.updates.clone() {
            let mut update = update;
            if end > self.now {
                update.result = UpdateResult::Default;
            }
            self.plan.handle(self.now, Happened::Update(&update));
        }
    }

    /// Goes on for as long as something happens.
    pub(super) fn run(&mut self) -> RolloutState {
        for _ in 0..100_000 {
            if self.plan.is_over() || !self.step() {
                return self.plan.rollout().state;
            }
        }
        panic!("it never ends: {:?}", self.plan.rollout());
    }

    /// The server is killed and starts again with what is on disk.
    pub(super) fn crash(&mut self) {
        let (rollout, targets) = self.stored.clone();
        self.plan = Plan::new(rollout, targets.into_values().collect(), WAITS);
        self.tell_of_updates();
        let unknown: Vec<EndpointId> =
            self.plan
                .active()
                .map(|target| target.endpoint_id)
                .filter(|id| {
                    let target = self.plan.target(*id).expect("a target");
                    let is_back = target.status == TargetStatus::RollingBack;
                    !self.updates.iter().any(|(update, _)| {
                        update.endpoint_id == *id && update.is_roll_back == is_back
                    })
                })
                .collect();
        for device in unknown {
            self.plan.handle(self.now, Happened::Missing(device));
        }
        self.turn();
    }

    /// True when a device runs the image by now, because of the rollout.
    pub(super) fn runs_it(&self, device: EndpointId) -> bool {
        let mut ended = self.updates.iter().filter(|(update, end)| {
            let nature = self.nature(update.endpoint_id);
            let installs = update.result == UpdateResult::Success
                || (nature == Nature::Lost && update.result == UpdateResult::ConnectionLost);
            update.endpoint_id == device && *end <= self.now && update.offers > 0 && installs
        });
        ended
            .next_back()
            .is_some_and(|(update, _)| !update.is_roll_back)
    }

    pub(super) fn count(&self, status: TargetStatus) -> u32 {
        self.plan.rollout().counts().of(status)
    }

    pub(super) fn log(&self) -> String {
        let lines = self
            .plan
            .rollout()
            .log
            .iter()
            .map(|line| line.text.as_str());
        lines.collect::<Vec<_>>().join("\n")
    }

    pub(super) fn waits_for(&self) -> &str {
        self.plan
            .rollout()
            .waits_for
            .as_deref()
            .unwrap_or("nothing")
    }
}

/// So many good devices, but for those at these places.
pub(super) fn natures(many: usize, others: &[(usize, Nature)]) -> Vec<Nature> {
    let mut natures = vec![Nature::Good; many];
    for (index, nature) in others {
        if let Some(place) = natures.get_mut(*index) {
            *place = *nature;
        }
    }
    natures
}

pub(super) fn three_groups(success: u8, error: u8) -> Vec<GroupSpec> {
    vec![
        group("canary", GroupSize::Count(5), success, error),
        group("tenth", GroupSize::Percent(10), success, error),
        group("rest", GroupSize::Rest, success, error),
    ]
}
