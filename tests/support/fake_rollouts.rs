//! Rollouts in memory, which go on by nothing but what they are told.

use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use flownexus::config::Settings;
use flownexus::domain::{
    AuditEntry, Doer, EndpointId, EndpointName, InvalidRollout, Rollout, RolloutId, RolloutLine,
    RolloutSpec, RolloutState, RolloutTarget, TargetStatus, Timestamp,
};
use flownexus::rollout::{Command, Forecast, GroupForecast, Rehearsal, RolloutError, Rollouts};
use flownexus::store::{RolloutStore, StoreError, TargetFilter};

/// Keeps the rollouts of something that has some.
macro_rules! keeps_rollouts {
    ($type:ty) => {
        #[async_trait::async_trait]
        impl flownexus::store::RolloutStore for $type {
            async fn list(
                &self,
                before: Option<flownexus::domain::RolloutId>,
                limit: u64,
            ) -> Result<Vec<flownexus::domain::Rollout>, flownexus::store::StoreError> {
                self.rollouts.list(before, limit).await
            }

            async fn not_over(
                &self,
            ) -> Result<Vec<flownexus::domain::Rollout>, flownexus::store::StoreError> {
                self.rollouts.not_over().await
            }

            async fn find(
                &self,
                id: flownexus::domain::RolloutId,
            ) -> Result<Option<flownexus::domain::Rollout>, flownexus::store::StoreError> {
                self.rollouts.find(id).await
            }

            async fn targets(
                &self,
                id: flownexus::domain::RolloutId,
                filter: &flownexus::store::TargetFilter,
                limit: u64,
            ) -> Result<Vec<flownexus::domain::RolloutTarget>, flownexus::store::StoreError> {
                self.rollouts.targets(id, filter, limit).await
            }

            async fn add(
                &self,
                rollout: flownexus::domain::Rollout,
                targets: Vec<flownexus::domain::RolloutTarget>,
                by: flownexus::domain::Doer,
                limit: u64,
            ) -> Result<flownexus::domain::Rollout, flownexus::store::StoreError> {
                self.rollouts.add(rollout, targets, by, limit).await
            }

            async fn save(
                &self,
                rollout: flownexus::domain::Rollout,
                targets: Vec<flownexus::domain::RolloutTarget>,
                audit: Vec<flownexus::domain::AuditEntry>,
            ) -> Result<bool, flownexus::store::StoreError> {
                self.rollouts.save(rollout, targets, audit).await
            }

            async fn remove(
                &self,
                id: flownexus::domain::RolloutId,
                by: flownexus::domain::Doer,
            ) -> Result<bool, flownexus::store::StoreError> {
                flownexus::store::RolloutStore::remove(&*self.rollouts, id, by).await
            }
        }
    };
}

/// The version of every image.
pub(crate) const VERSION: &str = "2.0.0";

/// See the file.
pub(crate) struct FakeRollouts(Mutex<State>);

#[derive(Default)]
struct State {
    /// Of all ids that were ever given, the last one.
    last: i64,
    rows: Vec<(Rollout, Vec<RolloutTarget>)>,
    /// The devices that there are.
    devices: Vec<(EndpointId, EndpointName)>,
}

impl Default for FakeRollouts {
    /// Above the one device of a [`Site`](super::site::Site).
    fn default() -> Self {
        Self::of_devices(&[super::site::DEVICE])
    }
}

keeps_rollouts!(super::fake_store::FakeStore);

impl FakeRollouts {
    /// Above these devices.
    pub(crate) fn of_devices(names: &[&str]) -> Self {
        let names = (1..).zip(names);
        let devices = names
            .map(|(id, name)| (EndpointId(id), EndpointName::new(name).expect("a name")))
            .collect();
        Self(Mutex::new(State {
            devices,
            ..State::default()
        }))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As if there had never been one.
    pub(crate) fn forget_all(&self) {
        self.lock().rows.clear();
    }

    /// Changes a rollout and its devices behind everybody's back.
    pub(crate) fn change(
        &self,
        id: RolloutId,
        change: impl FnOnce(&mut Rollout, &mut Vec<RolloutTarget>),
    ) {
        let mut state = self.lock();
        let found = state.rows.iter_mut().find(|(rollout, _)| rollout.id == id);
        let (rollout, targets) = found.expect("a rollout of this id");
        change(rollout, targets);
        for group in &mut rollout.groups {
            group.counts = Default::default();
        }
        for target in targets {
            let group = rollout.groups.get_mut(usize::from(target.group));
            group.expect("its group").counts.add(target.status);
        }
    }

    /// Makes a rollout of all devices.
    pub(crate) fn make(&self, spec: RolloutSpec, by: &str) -> Rollout {
        let mut state = self.lock();
        let fits = |(_, name): &&(EndpointId, EndpointName)| spec.selection.selects(name, &[]);
        let devices: Vec<_> = state.devices.iter().filter(fits).cloned().collect();
        let now = Timestamp::system();
        let groups = spec.share_out(devices.len());
        let mut rollout = Rollout::new(spec, VERSION.to_owned(), &groups, by, now);
        state.last += 1;
        rollout.id = RolloutId(state.last);
        let targets = devices.into_iter().zip(groups);
        let targets = targets
            .map(|(device, group)| RolloutTarget::new(rollout.id, device, group, now))
            .collect();
        state.rows.push((rollout.clone(), targets));
        rollout
    }

    fn check(&self, spec: &RolloutSpec) -> Result<u32, RolloutError> {
        spec.check(Settings::defaults().rollouts.max_at_once)?;
        let named = [
            ("firmware_id", Some(spec.firmware)),
            ("roll_back_to", spec.roll_back_to),
        ];
        for (field, id) in named {
            if let Some(id) = id.filter(|id| id.0 > NEWEST_IMAGE) {
                let reason = format!("there is no firmware image {id}");
                return Err(RolloutError::Invalid(InvalidRollout { field, reason }));
            }
        }
        let state = self.lock();
        let devices = state.devices.iter();
        let fitting = devices.filter(|(_, name)| spec.selection.selects(name, &[]));
        match fitting.count() {
            0 => Err(RolloutError::Invalid(InvalidRollout {
                field: "filter",
                reason: "no device fits".to_owned(),
            })),
            count => Ok(count as u32),
        }
    }
}

#[async_trait]
impl Rollouts for FakeRollouts {
    async fn create(
        &self,
        spec: RolloutSpec,
        start: bool,
        by: Doer,
    ) -> Result<Rollout, RolloutError> {
        self.check(&spec)?;
        let rollout = self.make(spec, &by.actor);
        if start {
            return self.steer(rollout.id, Command::Start, by).await;
        }
        Ok(rollout)
    }

    async fn steer(
        &self,
        id: RolloutId,
        command: Command,
        by: Doer,
    ) -> Result<Rollout, RolloutError> {
        let mut state = self.lock();
        let found = state.rows.iter_mut().find(|(rollout, _)| rollout.id == id);
        let (rollout, _) = found.ok_or(RolloutError::Unknown(id))?;
        use RolloutState::{Paused, Ready, RollingBack, Running, Stopped};
        let next = match (command, rollout.state) {
            (Command::Start, Ready) | (Command::Resume, Paused) => Running,
            (Command::Pause, Running | RollingBack) => Paused,
            (Command::RollBack, state) if state != Ready && !rollout.is_back => RollingBack,
            (Command::Stop, state) if !state.is_over() => Stopped,
            (_, state) => {
                let why = format!("it cannot be told to {}", command.name());
                return Err(RolloutError::NotNow { id, state, why });
            }
        };
        rollout.state = next;
        rollout.is_back |= next == RollingBack;
        let text = format!("{}: {}", by.actor, command.name());
        rollout.tell(Timestamp::system(), text);
        Ok(rollout.clone())
    }

    async fn remove(&self, id: RolloutId, _: Doer) -> Result<(), RolloutError> {
        let found = RolloutStore::find(self, id).await?;
        let rollout = found.ok_or(RolloutError::Unknown(id))?;
        let state = rollout.state;
        if state != RolloutState::Ready && !state.is_over() {
            let why = "stop it first".to_owned();
            return Err(RolloutError::NotNow { id, state, why });
        }
        self.lock().rows.retain(|(rollout, _)| rollout.id != id);
        Ok(())
    }

    async fn rehearse(
        &self,
        spec: RolloutSpec,
        rehearsal: Rehearsal,
    ) -> Result<Forecast, RolloutError> {
        let devices = self.check(&spec)?;
        let begins_at: Timestamp = "2026-12-01T22:00:00Z".parse().expect("a time");
        let ends_at = begins_at.plus(std::time::Duration::from_secs(5_400));
        let failed = devices * u32::from(rehearsal.failing_percent) / 100;
        let group = |spec: &flownexus::domain::GroupSpec| GroupForecast {
            name: spec.name.clone(),
            devices,
            begins_at: Some(begins_at),
            passes_at: (failed == 0).then_some(ends_at),
            ends_at: Some(ends_at),
            succeeded: devices - failed,
            failed,
            rolled_back: 0,
        };
        Ok(Forecast {
            devices,
            begins_at: Some(begins_at),
            ends_at: Some(ends_at),
            state: RolloutState::Finished,
            reason: None,
            groups: spec.groups.iter().map(group).collect(),
            log: vec![RolloutLine {
                at: begins_at,
                text: "the first group begins".to_owned(),
            }],
            assumptions: vec!["an update takes 5 min".to_owned()],
            warnings: vec![format!("seed {}", rehearsal.seed)],
        })
    }
}

#[async_trait]
impl RolloutStore for FakeRollouts {
    async fn list(
        &self,
        before: Option<RolloutId>,
        limit: u64,
    ) -> Result<Vec<Rollout>, StoreError> {
        let state = self.lock();
        let rollouts = state.rows.iter().rev().map(|(rollout, _)| rollout);
        let rollouts = rollouts.filter(|rollout| before.is_none_or(|before| rollout.id < before));
        Ok(rollouts.take(limit as usize).cloned().collect())
    }

    async fn not_over(&self) -> Result<Vec<Rollout>, StoreError> {
        let state = self.lock();
        let rollouts = state.rows.iter().map(|(rollout, _)| rollout);
        let open = rollouts.filter(|rollout| !rollout.state.is_over());
        Ok(open.cloned().collect())
    }

    async fn find(&self, id: RolloutId) -> Result<Option<Rollout>, StoreError> {
        let state = self.lock();
        let mut rollouts = state.rows.iter().map(|(rollout, _)| rollout);
        Ok(rollouts.find(|rollout| rollout.id == id).cloned())
    }

    async fn targets(
        &self,
        id: RolloutId,
        filter: &TargetFilter,
        limit: u64,
    ) -> Result<Vec<RolloutTarget>, StoreError> {
        let state = self.lock();
        let targets = state
            .rows
            .iter()
            .filter(|(rollout, _)| rollout.id == id)
            .flat_map(|(_, targets)| targets)
            .filter(|target| {
                filter.group.is_none_or(|group| target.group == group)
                    && filter.status.is_none_or(|status| target.status == status)
                    && filter.after.is_none_or(|after| target.endpoint_id > after)
            });
        Ok(targets.take(limit as usize).cloned().collect())
    }

    async fn add(
        &self,
        mut rollout: Rollout,
        targets: Vec<RolloutTarget>,
        _: Doer,
        limit: u64,
    ) -> Result<Rollout, StoreError> {
        let mut state = self.lock();
        if state.rows.len() as u64 >= limit {
            let what = "rollouts";
            return Err(StoreError::Full { what, limit });
        }
        state.last += 1;
        rollout.id = RolloutId(state.last);
        state.rows.push((rollout.clone(), targets));
        Ok(rollout)
    }

    async fn save(
        &self,
        rollout: Rollout,
        changed: Vec<RolloutTarget>,
        _: Vec<AuditEntry>,
    ) -> Result<bool, StoreError> {
        let mut state = self.lock();
        let mut rows = state.rows.iter_mut();
        let Some((row, targets)) = rows.find(|(row, _)| row.id == rollout.id) else {
            return Ok(false);
        };
        *row = rollout;
        for change in changed {
            targets.retain(|target| target.endpoint_id != change.endpoint_id);
            targets.push(change);
        }
        targets.sort_by_key(|target| target.endpoint_id);
        Ok(true)
    }

    async fn remove(&self, id: RolloutId, _: Doer) -> Result<bool, StoreError> {
        let rows = &mut self.lock().rows;
        let before = rows.len();
        rows.retain(|(rollout, _)| rollout.id != id);
        Ok(rows.len() < before)
    }
}

/// One device of each status, as far as there are devices.
pub(crate) fn of_every_status(targets: &mut [RolloutTarget]) {
    for (target, status) in targets.iter_mut().zip(TargetStatus::ALL.into_iter().rev()) {
        target.status = status;
    }
}

pub(crate) use keeps_rollouts;

/// The images from 1 to this one are there.
const NEWEST_IMAGE: i64 = 8;
