//! What the rooms above may ask of rollouts.

use async_trait::async_trait;

use crate::domain::{
    Doer, InvalidRollout, Rollout, RolloutId, RolloutLine, RolloutSpec, RolloutState, Timestamp,
};
use crate::store::StoreError;

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
    /// There is none of this id.
    #[error("there is no rollout {0}")]
    Unknown(RolloutId),
}
