//! What the rooms above may ask of rollouts.

use std::sync::Arc;
use std::time::Duration;

use actix::Addr;
use async_trait::async_trait;
use tokio::sync::{Mutex, Semaphore, oneshot};

use super::actor::Steer;
use super::choose::{Chosen, choose};
use super::rehearsal;
use super::runner::Parts;
use super::supervisor::{ActorOf, Supervisor};
use crate::domain::{
    Doer, FirmwareId, FirmwareImage, InvalidRollout, Rollout, RolloutId, RolloutLine, RolloutSpec,
    RolloutState, RolloutTarget, Timestamp, UpdateResult,
};
use crate::store::{StoreError, UpdateFilter};

/// Makes and steers rollouts. Every call ends in bounded time, and what it returns is on disk.
#[async_trait]
pub trait Rollouts: Send + Sync {
    /// Makes a rollout of the devices that fit now. It is READY, or RUNNING when it is to start at once.
    ///
    /// # Errors
    /// [`RolloutError::Invalid`] when it makes no sense or fits no device.
    async fn create(
        &self,
        spec: RolloutSpec,
        start: bool,
        by: Doer,
    ) -> Result<Rollout, RolloutError>;

    /// Steers a rollout, and returns it as it is then.
    ///
    /// # Errors
    /// [`RolloutError::Unknown`], [`RolloutError::NotNow`].
    async fn steer(
        &self,
        id: RolloutId,
        command: Command,
        by: Doer,
    ) -> Result<Rollout, RolloutError>;

    /// Removes a rollout that is READY or over. The updates of its devices stay.
    ///
    /// # Errors
    /// [`RolloutError::Unknown`], [`RolloutError::NotNow`].
    async fn remove(&self, id: RolloutId, by: Doer) -> Result<(), RolloutError>;

    /// Plays a rollout through against simulated devices that have the rhythm of the real ones, in no time. Nothing is
    /// stored and no device hears of it.
    ///
    /// # Errors
    /// As [`Rollouts::create`].
    async fn rehearse(
        &self,
        spec: RolloutSpec,
        rehearsal: Rehearsal,
    ) -> Result<Forecast, RolloutError>;
}

/// What somebody wants of a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// No further device is begun. Updates under way go on.
    Pause,
    /// It goes on from where it was paused.
    Resume,
    /// Devices that were changed get back what they ran before, also after the rollout was over.
    RollBack,
    /// It begins.
    Start,
    /// It is over. Updates that can still be taken back are.
    Stop,
}

impl Command {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::RollBack => "roll back",
            Self::Start => "start",
            Self::Stop => "stop",
        }
    }
}

/// How a rollout is rehearsed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rehearsal {
    /// So many percent of the devices fail, chosen at random.
    pub failing_percent: u8,
    /// Which ones: the same number, the same devices.
    pub seed: u64,
}

/// What a rehearsal foresees.
#[derive(Clone, Debug, PartialEq)]
pub struct Forecast {
    /// How many devices fit.
    pub devices: u32,
    /// When the first device would be begun.
    pub begins_at: Option<Timestamp>,
    /// When it would be over; none: not within a year.
    pub ends_at: Option<Timestamp>,
    /// How it would stand then.
    pub state: RolloutState,
    /// Why, in plain words.
    pub reason: Option<String>,
    /// Its groups.
    pub groups: Vec<GroupForecast>,
    /// What would happen, oldest first.
    pub log: Vec<RolloutLine>,
    /// What is not known and was assumed, in plain words.
    pub assumptions: Vec<String>,
    /// What somebody should look at before it is started, in plain words.
    pub warnings: Vec<String>,
}

/// What a rehearsal foresees of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupForecast {
    /// Its name.
    pub name: String,
    /// Its devices.
    pub devices: u32,
    /// When its first device would be begun.
    pub begins_at: Option<Timestamp>,
    /// When enough of its devices would have succeeded for the next group.
    pub passes_at: Option<Timestamp>,
    /// When the last of its devices would be through.
    pub ends_at: Option<Timestamp>,
    /// Devices that would run the image in the end.
    pub succeeded: u32,
    /// Devices on which it would fail.
    pub failed: u32,
    /// Devices that would have been given back what they ran before.
    pub rolled_back: u32,
}

/// Why a rollout was not made, or not steered.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RolloutError {
    /// Too much is asked at the moment.
    #[error("the server is busy, try again")]
    Busy,
    /// No answer came in time.
    #[error(
        "the server is busy, and it is not known whether rollout {0} has heard of it; look at it"
    )]
    InDoubt(RolloutId),
    /// It makes no sense.
    #[error(transparent)]
    Invalid(#[from] InvalidRollout),
    /// It does not stand so that this can be done.
    #[error("rollout {id} is {state}: {why}")]
    NotNow {
        /// Which.
        id: RolloutId,
        /// How it stands.
        state: RolloutState,
        /// Why that keeps it from being done.
        why: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// As many are under way as may be.
    #[error("{limit} rollouts are under way already (rollouts.max_under_way)")]
    TooMany {
        /// The limit in force.
        limit: usize,
    },
    /// There is none of this id.
    #[error("there is no rollout {0}")]
    Unknown(RolloutId),
}

/// The way to rollouts, for every thread.
#[derive(Clone)]
#[expect(missing_debug_implementations, reason = "it holds trait objects")]
pub struct Handle {
    supervisor: Addr<Supervisor>,
    parts: Parts,
    /// Held while a rollout is made, begun or removed, so that limits hold.
    changing: Arc<Mutex<()>>,
    /// A rehearsal takes a processor: one at a time.
    rehearsing: Arc<Semaphore>,
}

impl Handle {
    /// A handle of a running supervisor.
    pub fn new(supervisor: Addr<Supervisor>, parts: Parts) -> Self {
        Self {
            supervisor,
            parts,
            changing: Arc::default(),
            rehearsing: Arc::new(Semaphore::new(1)),
        }
    }

    async fn find(&self, id: RolloutId) -> Result<Rollout, RolloutError> {
        let found = self.parts.rollouts.find(id).await?;
        found.ok_or(RolloutError::Unknown(id))
    }

    async fn image(
        &self,
        id: FirmwareId,
        field: &'static str,
    ) -> Result<FirmwareImage, RolloutError> {
        let image = self.parts.images.find(id).await?;
        let reason = format!("there is no firmware image {id}");
        Ok(image.ok_or(InvalidRollout { field, reason })?)
    }

    /// Checks all of it, and finds the image and the devices.
    async fn check(&self, spec: &RolloutSpec) -> Result<(FirmwareImage, Chosen), RolloutError> {
        spec.check(self.parts.settings.max_at_once)?;
        let image = self.image(spec.firmware, "firmware_id").await?;
        if let Some(back) = spec.roll_back_to {
            self.image(back, "roll_back_to").await?;
        }
        let endpoints = &*self.parts.endpoints;
        let now = Timestamp::system();
        let chosen = choose(endpoints, &spec.selection, &image, now).await?;
        chosen.check(spec, &image, &self.parts.settings)?;
        Ok((image, chosen))
    }

    /// Refuses one more under way than there may be.
    async fn check_room(&self) -> Result<(), RolloutError> {
        let not_over = self.parts.rollouts.not_over().await?;
        let is_under_way = |rollout: &&Rollout| rollout.state != RolloutState::Ready;
        let most = self.parts.settings.max_under_way;
        if not_over.iter().filter(is_under_way).count() < most {
            return Ok(());
        }
        Err(RolloutError::TooMany { limit: most })
    }

    async fn ask(
        &self,
        id: RolloutId,
        command: Command,
        by: &Doer,
    ) -> Result<Rollout, RolloutError> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        let busy = |_| RolloutError::Busy;
        // An actor that is about to rest does not answer any more: the next one does.
        while tokio::time::Instant::now() < deadline {
            let actor = self.supervisor.send(ActorOf(id)).timeout(PATIENCE);
            let actor = actor.await.map_err(busy)?;
            let (answer, is_answered) = oneshot::channel();
            let by = by.clone();
            let steer = Steer {
                command,
                by,
                answer,
            };
            if actor.try_send(steer).is_ok() {
                match tokio::time::timeout_at(deadline, is_answered).await {
                    Ok(Ok(outcome)) => return outcome,
                    Ok(Err(_)) => {}
                    Err(_) => return Err(RolloutError::InDoubt(id)),
                }
            }
            tokio::time::sleep(MOMENT).await;
        }
        Err(RolloutError::Busy)
    }
}

#[async_trait]
impl Rollouts for Handle {
    async fn create(
        &self,
        spec: RolloutSpec,
        start: bool,
        by: Doer,
    ) -> Result<Rollout, RolloutError> {
        let (image, chosen) = self.check(&spec).await?;
        let _one_at_a_time = self.changing.lock().await;
        if start {
            self.check_room().await?;
        }
        let now = Timestamp::system();
        let groups = spec.share_out(chosen.devices.len());
        let mut rollout = Rollout::new(spec, image.version.clone(), &groups, &by.actor, now);
        for left_out in chosen.left_out(&image) {
            rollout.tell(now, left_out);
        }
        let target =
            |(device, group): (_, &u16)| RolloutTarget::new(RolloutId(0), device, *group, now);
        let targets = chosen.named().zip(&groups).map(target).collect();
        let settings = &self.parts.settings;
        if start {
            rollout.start(now, &by.actor);
        }
        let rollouts = &self.parts.rollouts;
        let rollout = rollouts.add(rollout, targets, by, settings.max).await?;
        if start {
            // A supervisor that is too busy for it takes it up by itself a little later.
            let started = self.supervisor.send(ActorOf(rollout.id)).timeout(PATIENCE);
            let _ = started.await;
        }
        Ok(rollout)
    }

    async fn steer(
        &self,
        id: RolloutId,
        command: Command,
        by: Doer,
    ) -> Result<Rollout, RolloutError> {
        // Whoever stops one or has it rolled back is never kept waiting, nor refused for want of room.
        let _one_at_a_time = match command {
            Command::Start => Some(self.changing.lock().await),
            _ => None,
        };
        let rollout = self.find(id).await?;
        if command == Command::Start && rollout.state == RolloutState::Ready {
            self.check_room().await?;
        }
        self.ask(id, command, &by).await
    }

    async fn remove(&self, id: RolloutId, by: Doer) -> Result<(), RolloutError> {
        let _one_at_a_time = self.changing.lock().await;
        let rollout = self.find(id).await?;
        if !rollout.is_removable() {
            let why = match rollout.state.is_over() {
                true => "updates are under way still; wait for their end",
                false => "stop it first",
            };
            return Err(RolloutError::NotNow {
                id,
                state: rollout.state,
                why: why.to_owned(),
            });
        }
        match self.parts.rollouts.remove(id, by).await? {
            true => Ok(()),
            false => Err(RolloutError::Unknown(id)),
        }
    }

    async fn rehearse(
        &self,
        spec: RolloutSpec,
        rehearsal: Rehearsal,
    ) -> Result<Forecast, RolloutError> {
        let (image, chosen) = self.check(&spec).await?;
        let images = self.parts.images.list().await?;
        let filter = UpdateFilter {
            result: Some(UpdateResult::Success),
            ..UpdateFilter::default()
        };
        let past = self.parts.updates.list(&filter, rehearsal::PAST).await?;
        let permit = Arc::clone(&self.rehearsing).try_acquire_owned();
        let permit = permit.map_err(|_| RolloutError::Busy)?;
        let now = Timestamp::system();
        let play = move || {
            let _one_at_a_time = permit;
            rehearsal::play(spec, &image, &chosen, &images, &past, rehearsal, now)
        };
        let forecast = tokio::task::spawn_blocking(play).await;
        forecast.map_err(|_| RolloutError::Busy)
    }
}

/// How long somebody waits for a rollout that is busy.
const PATIENCE: Duration = Duration::from_secs(30);

/// After so long an actor that did not answer is asked again.
const MOMENT: Duration = Duration::from_millis(50);
