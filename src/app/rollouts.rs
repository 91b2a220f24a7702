//! Stands in until the actor is there: nothing can be asked of rollouts.

use async_trait::async_trait;

use crate::domain::{Doer, Rollout, RolloutId, RolloutSpec};
use crate::rollout::{Command, Forecast, Rehearsal, RolloutError, Rollouts};

/// See the file.
pub(super) struct Nobody;

#[async_trait]
impl Rollouts for Nobody {
    async fn create(&self, _: RolloutSpec, _: bool, _: Doer) -> Result<Rollout, RolloutError> {
        Err(RolloutError::Busy)
    }

    async fn steer(&self, _: RolloutId, _: Command, _: Doer) -> Result<Rollout, RolloutError> {
        Err(RolloutError::Busy)
    }

    async fn remove(&self, _: RolloutId, _: Doer) -> Result<(), RolloutError> {
        Err(RolloutError::Busy)
    }

    async fn rehearse(&self, _: RolloutSpec, _: Rehearsal) -> Result<Forecast, RolloutError> {
        Err(RolloutError::Busy)
    }
}
