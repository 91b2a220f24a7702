//! One turn of a rollout: what became of updates is read, the plan decides, that is stored, and only then updates are
//! begun.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::stream;

use super::choose::choose;
use super::fleet::{Fleet, Recalled};
use super::handle::{Command, RolloutError};
use super::metrics::{Direction, Metrics, Way};
use super::plan::{Begin, Happened, NotBegun, Plan, Turn, Waits};
use crate::config;
use crate::domain::{
    AuditEntry, Doer, EndpointId, EndpointName, FirmwareId, FirmwareImage, FirmwareUpdate,
    NewUpdate, Rollout, RolloutId, RolloutState, RolloutStep, RolloutTarget, TargetStatus,
    Timestamp,
};
use crate::store::{
    EndpointReader, FirmwareStore, FirmwareUpdateReader, RolloutStore, StoreError, TargetFilter,
};

/// What rollouts work with.
#[derive(Clone)]
#[expect(missing_debug_implementations, reason = "it holds trait objects")]
pub struct Parts {
    /// Where rollouts are kept.
    pub rollouts: Arc<dyn RolloutStore>,
    /// What becomes of updates.
    pub updates: Arc<dyn FirmwareUpdateReader>,
    /// The images.
    pub images: Arc<dyn FirmwareStore>,
    /// The devices that are known.
    pub endpoints: Arc<dyn EndpointReader>,
    /// The devices themselves.
    pub fleet: Arc<dyn Fleet>,
    /// `[rollouts]`.
    pub settings: config::Rollouts,
    /// A device that is not heard of for so long is given up.
    pub patience: Duration,
    /// What is counted.
    pub metrics: Metrics,
}

/// A rollout that goes on.
pub(super) struct Runner {
    plan: Plan,
    parts: Parts,
    /// Since when it is not known whether the update of a device was begun.
    in_doubt: HashMap<EndpointId, Instant>,
    newcomers_at: Option<Instant>,
    /// When all updates under way were last looked at.
    looked_at: Option<Instant>,
    /// An update that was to be taken back is to be tried again.
    recalls_again: bool,
}

/// Which updates are looked at.
#[derive(Clone, Debug)]
pub(super) enum Look {
    /// All that are under way.
    All,
    /// Those of these devices.
    At(Arc<HashSet<EndpointName>>),
    /// None.
    Away,
}

/// What came of a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    /// There is something to do after so long, and not before anything happens.
    Due(Duration),
    /// It is gone.
    Gone,
    /// There is nothing to do until somebody steers it.
    Rests,
}

impl Runner {
    /// Takes a rollout up where it stands; nothing when there is none of this id.
    pub(super) async fn load(id: RolloutId, parts: Parts) -> Result<Option<Self>, StoreError> {
        let Some(rollout) = parts.rollouts.find(id).await? else {
            return Ok(None);
        };
        let mut targets = Vec::new();
        let mut filter = TargetFilter::default();
        loop {
            let page = parts.rollouts.targets(id, &filter, PAGE).await?;
            let Some(last) = page.last() else { break };
            filter.after = Some(last.endpoint_id);
            targets.extend(page);
        }
        // In the order in which they were made: groups after each other, within them by name.
        targets.sort_by(|a, b| (a.group, &a.endpoint).cmp(&(b.group, &b.endpoint)));
        let waits = Waits {
            retry: Duration::from_secs(parts.settings.retry_s),
            patience: parts.patience,
        };
        Ok(Some(Self {
            plan: Plan::new(rollout, targets, waits),
            parts,
            in_doubt: HashMap::new(),
            newcomers_at: None,
            looked_at: None,
            recalls_again: false,
        }))
    }

    /// True when news of these devices may be news for this rollout.
    pub(super) fn concerns(&self, names: &HashSet<EndpointName>) -> bool {
        self.plan.concerns(names)
    }

    /// Does what somebody wants, if it can be stored, and returns how the rollout stands then.
    pub(super) async fn steer(
        &mut self,
        command: Command,
        by: Doer,
    ) -> Result<Rollout, RolloutError> {
        let now = Timestamp::system();
        let before = self.plan.clone();
        self.plan.steer(now, command, &by.actor)?;
        let rollout = self.plan.rollout();
        let action = format!("rollout.{}", command.name().replace(' ', "_"));
        let line = AuditEntry::of_rollout(by, now, &action, rollout, &rollout.version);
        let saved = match self.plan.take_unsaved() {
            Some((rollout, targets)) => self.save(rollout, targets, vec![line]).await,
            None => Ok(true),
        };
        match saved {
            Ok(true) => Ok(self.plan.rollout().clone()),
            Ok(false) => Err(RolloutError::Unknown(before.rollout().id)),
            Err(error) => {
                self.plan = before;
                Err(error.into())
            }
        }
    }

    /// One turn, and what follows from it at once.
    pub(super) async fn turn(&mut self, look: Look) -> After {
        match self.try_turn(look).await {
            Ok(after) => after,
            Err(error) => {
                self.parts.metrics.failures.inc();
                let id = self.plan.rollout().id;
                tracing::warn!(rollout = %id, "Rollout {id} goes on in a moment: {error}");
                After::Due(PAUSE)
            }
        }
    }

    async fn try_turn(&mut self, look: Look) -> Result<After, StoreError> {
        if let Look::At(names) = &look {
            self.plan.came(names);
        }
        self.look(look).await?;
        self.take_in_newcomers().await?;
        let images = match self.plan.rollout().is_back {
            true => Some(self.parts.images.list().await?),
            false => None,
        };
        let now = Timestamp::system();
        let turn = self.plan.turn(now, images.as_deref());
        if let Some((rollout, targets)) = self.plan.take_unsaved() {
            match self.save(rollout, targets.clone(), Vec::new()).await {
                Ok(true) => {}
                Ok(false) => return Ok(After::Gone),
                Err(error) => {
                    self.plan.not_saved(&targets);
                    self.plan.not_tried(&turn.begin);
                    self.plan.not_recalled(&turn.recall);
                    return Err(error);
                }
            }
        }
        if turn.begin.is_empty() && turn.recall.is_empty() {
            return Ok(self.after(now, turn.due));
        }
        self.carry_out(turn).await?;
        // What came of it may lead to more; but first somebody may say something.
        Ok(After::Due(Duration::ZERO))
    }

    fn after(&self, now: Timestamp, due: Option<Timestamp>) -> After {
        let state = self.plan.rollout().state;
        let is_idle = self.plan.active().next().is_none();
        if self.plan.is_over() || (is_idle && !state.is_under_way()) {
            return After::Rests;
        }
        let settings = &self.parts.settings;
        let mut wait = Duration::from_secs(settings.look_s);
        if self.plan.rollout().spec.newcomers {
            wait = wait.min(Duration::from_secs(settings.newcomers_s));
        }
        if !self.in_doubt.is_empty() || self.recalls_again {
            wait = wait.min(PAUSE);
        }
        After::Due(due.map_or(wait, |due| wait.min(due.since(now))))
    }

    /// Reads what became of updates.
    async fn look(&mut self, look: Look) -> Result<(), StoreError> {
        // News may have been lost, whatever else was looked at meanwhile.
        let every = Duration::from_secs(self.parts.settings.look_s);
        let is_due = self.looked_at.is_none_or(|at| at.elapsed() >= every);
        let look = if is_due { Look::All } else { look };
        let looks_at_all = matches!(look, Look::All);
        let is_looked_at = |target: &RolloutTarget| match &look {
            Look::All => true,
            Look::At(names) => names.contains(&target.endpoint),
            Look::Away => false,
        };
        let doubtful = |target: &RolloutTarget| self.in_doubt.contains_key(&target.endpoint_id);
        let devices: Vec<EndpointId> = self
            .plan
            .active()
            .filter(|target| is_looked_at(target) || doubtful(target))
            .map(|target| target.endpoint_id)
            .collect();
        if looks_at_all {
            self.looked_at = Some(Instant::now());
        }
        if devices.is_empty() {
            return Ok(());
        }
        let id = self.plan.rollout().id;
        let updates = self.parts.updates.of_rollout(id, &devices).await?;
        let now = Timestamp::system();
        let direction = |update: &FirmwareUpdate| (update.endpoint_id, update.is_roll_back);
        let there: HashSet<(EndpointId, bool)> = updates.iter().map(direction).collect();
        let missing: Vec<EndpointId> = devices
            .into_iter()
            .filter(|device| {
                let target = self.plan.target(*device);
                target.is_some_and(|target| {
                    let is_back = target.status == TargetStatus::RollingBack;
                    !there.contains(&(*device, is_back))
                })
            })
            .collect();
        for update in &updates {
            let goes_back = |target: &RolloutTarget| target.status == TargetStatus::RollingBack;
            if self.plan.target(update.endpoint_id).is_some_and(goes_back) == update.is_roll_back {
                self.in_doubt.remove(&update.endpoint_id);
            }
            self.plan.handle(now, Happened::Update(update));
        }
        for device in missing {
            let since = self.in_doubt.get(&device);
            if since.is_some_and(|since| since.elapsed() < DOUBT) {
                continue;
            }
            self.in_doubt.remove(&device);
            self.plan.handle(now, Happened::Missing(device));
        }
        Ok(())
    }

    /// Looks for devices that fit and are not in it.
    async fn take_in_newcomers(&mut self) -> Result<(), StoreError> {
        let rollout = self.plan.rollout();
        let spec = rollout.spec.clone();
        let pause = Duration::from_secs(self.parts.settings.newcomers_s);
        let is_due = self.newcomers_at.is_none_or(|at| at.elapsed() >= pause);
        let is_open = spec.newcomers && !rollout.is_back && rollout.state == RolloutState::Running;
        if !is_open || !is_due {
            return Ok(());
        }
        self.newcomers_at = Some(Instant::now());
        let Some(image) = self.parts.images.find(spec.firmware).await? else {
            return Ok(());
        };
        let now = Timestamp::system();
        let endpoints = &*self.parts.endpoints;
        let chosen = choose(endpoints, &spec.selection, &image, now).await?;
        let room = self
            .parts
            .settings
            .max_devices
            .saturating_sub(self.plan.len());
        let is_new = |(id, _): &(EndpointId, EndpointName)| self.plan.target(*id).is_none();
        let newcomers: Vec<_> = chosen.named().filter(is_new).take(room).collect();
        self.plan.join(now, newcomers);
        Ok(())
    }

    /// Stores a rollout with these devices of it; false when it is gone.
    async fn save(
        &self,
        rollout: Rollout,
        mut targets: Vec<RolloutTarget>,
        audit: Vec<AuditEntry>,
    ) -> Result<bool, StoreError> {
        // The last part has the lines and says that it is over: a crash in between leaves one that goes on.
        while targets.len() > SAVED_AT_ONCE {
            let part = targets.split_off(targets.len() - SAVED_AT_ONCE);
            let unfinished = Rollout {
                finished_at: None,
                ..rollout.clone()
            };
            if !self
                .parts
                .rollouts
                .save(unfinished, part, Vec::new())
                .await?
            {
                return Ok(false);
            }
        }
        self.parts.rollouts.save(rollout, targets, audit).await
    }

    /// Begins updates and takes others back.
    async fn carry_out(&mut self, turn: Turn) -> Result<(), StoreError> {
        let wanted: HashSet<FirmwareId> = turn.begin.iter().map(|begin| begin.firmware).collect();
        let mut images = HashMap::new();
        for id in wanted {
            let image = self.parts.images.find(id).await;
            let image = image.inspect_err(|_| {
                self.plan.not_tried(&turn.begin);
                self.plan.not_recalled(&turn.recall);
            })?;
            images.insert(id, image);
        }
        let begun: Vec<_> = stream::iter(&turn.begin)
            .map(|begin| self.begin(begin, &images))
            .buffer_unordered(AT_A_TIME)
            .collect()
            .await;
        let recalled: Vec<_> = stream::iter(&turn.recall)
            .map(async |recall| (recall, self.parts.fleet.recall(&recall.0, recall.1).await))
            .buffer_unordered(AT_A_TIME)
            .collect()
            .await;
        let now = Timestamp::system();
        for (begin, outcome) in begun {
            let device = begin.device;
            match outcome {
                Begun::Update(update) => {
                    let direction = if begin.is_back {
                        Direction::Back
                    } else {
                        Direction::Forward
                    };
                    self.parts
                        .metrics
                        .begun
                        .get_or_create(&Way { direction })
                        .inc();
                    self.plan.handle(now, Happened::Update(&update));
                }
                Begun::Not(why) => {
                    if why == NotBegun::InDoubt {
                        self.in_doubt.insert(device, Instant::now());
                    }
                    self.plan.handle(now, Happened::NotBegun { device, why });
                }
                Begun::NoImage => self.plan.handle(now, Happened::NoImage(device)),
            }
        }
        self.recalls_again = false;
        for (recall, outcome) in recalled {
            match outcome {
                Recalled::NotNow => {
                    self.recalls_again = true;
                    self.plan.not_recalled(std::slice::from_ref(recall));
                }
                Recalled::TooLate => {}
                Recalled::Update(update) => self.plan.handle(now, Happened::Update(&update)),
            }
        }
        Ok(())
    }

    async fn begin<'a>(
        &self,
        begin: &'a Begin,
        images: &HashMap<FirmwareId, Option<FirmwareImage>>,
    ) -> (&'a Begin, Begun) {
        let Some(Some(image)) = images.get(&begin.firmware) else {
            return (begin, Begun::NoImage);
        };
        let rollout = self.plan.rollout();
        let new = NewUpdate {
            image: image.clone(),
            method: rollout.spec.method,
            rollout: Some(RolloutStep {
                id: rollout.id,
                is_back: begin.is_back,
                device: begin.device,
                only_from: begin.is_back.then(|| rollout.version.clone()),
            }),
            created_by: format!("rollout {}", rollout.id),
            by: None,
        };
        let begun = match self.parts.fleet.begin(&begin.endpoint, new).await {
            Ok(update) => Begun::Update(Box::new(update)),
            Err(why) => Begun::Not(why),
        };
        (begin, begun)
    }
}

/// What came of the beginning of an update.
enum Begun {
    NoImage,
    Not(NotBegun),
    Update(Box<FirmwareUpdate>),
}

/// So many devices are read at a time.
const PAGE: u64 = 5_000;

/// So many devices are saved in one transaction.
const SAVED_AT_ONCE: usize = 2_000;

/// So many updates are begun at a time: enough to share the commits of their devices.
const AT_A_TIME: usize = 64;

/// After the store failed, and while something is in doubt, it is tried again after so long.
const PAUSE: Duration = Duration::from_secs(2);

/// What was not stored after so long never will be: whoever asked has gone by then, and an update is not begun for
/// nobody (see [`crate::registry`]).
const DOUBT: Duration = Duration::from_secs(30);
