//! What each role may do with rollouts.

use crate::domain::{FirmwareId, Rollout, RolloutId, RolloutSpec, RolloutTarget};
use crate::rollout::{Command, Forecast, Rehearsal};
use crate::store::TargetFilter;
use crate::web::ApiError;

use super::views::{Operator, Viewer};

impl Viewer {
    /// Rollouts, newest first.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn rollouts(
        &self,
        before: Option<RolloutId>,
        limit: u64,
    ) -> Result<Vec<Rollout>, ApiError> {
        Ok(self.stores().rollouts.list(before, limit).await?)
    }

    /// One rollout.
    ///
    /// # Errors
    /// 404 when there is none of this id.
    pub async fn rollout(&self, id: RolloutId) -> Result<Rollout, ApiError> {
        let found = self.stores().rollouts.find(id).await?;
        found.ok_or_else(|| ApiError::not_found(format!("there is no rollout {id}")))
    }

    /// Devices of a rollout, in their order.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn rollout_targets(
        &self,
        id: RolloutId,
        filter: &TargetFilter,
        limit: u64,
    ) -> Result<Vec<RolloutTarget>, ApiError> {
        Ok(self.stores().rollouts.targets(id, filter, limit).await?)
    }
}

impl Operator {
    /// Makes a rollout of the devices that fit now; it is on disk when this returns.
    ///
    /// # Errors
    /// 422 naming the field that makes no sense, 503 when the server is busy.
    pub async fn create_rollout(
        &self,
        spec: RolloutSpec,
        start: bool,
    ) -> Result<Rollout, ApiError> {
        let by = self.identity().doer();
        Ok(self.state.rollouts.create(spec, start, by).await?)
    }

    /// Steers a rollout, and returns it as it is then.
    ///
    /// # Errors
    /// 404 without such a rollout, 409 when it does not stand so that this can be done.
    pub async fn steer_rollout(
        &self,
        id: RolloutId,
        command: Command,
    ) -> Result<Rollout, ApiError> {
        let by = self.identity().doer();
        Ok(self.state.rollouts.steer(id, command, by).await?)
    }

    /// Removes a rollout; the updates of its devices stay.
    ///
    /// # Errors
    /// 404 without such a rollout, 409 while it is under way or paused.
    pub async fn remove_rollout(&self, id: RolloutId) -> Result<(), ApiError> {
        let by = self.identity().doer();
        Ok(self.state.rollouts.remove(id, by).await?)
    }

    /// Plays a rollout through without touching a device; nothing is stored.
    ///
    /// # Errors
    /// As [`Operator::create_rollout`].
    pub async fn rehearse_rollout(
        &self,
        spec: RolloutSpec,
        rehearsal: Rehearsal,
    ) -> Result<Forecast, ApiError> {
        Ok(self.state.rollouts.rehearse(spec, rehearsal).await?)
    }
}

impl Viewer {
    /// The rollout that is not over and needs an image, for one of its two ways.
    ///
    /// # Errors
    /// When the store fails.
    pub(in crate::web::auth) async fn rollout_in_need_of(
        &self,
        image: FirmwareId,
    ) -> Result<Option<RolloutId>, ApiError> {
        let needs = |rollout: &Rollout| {
            let spec = &rollout.spec;
            spec.firmware == image || spec.roll_back_to == Some(image)
        };
        let rollouts = self.stores().rollouts.not_over().await?;
        let found = rollouts.iter().find(|rollout| needs(rollout));
        Ok(found.map(|rollout| rollout.id))
    }
}
