//! What each role may do with firmware updates.

use crate::domain::{
    EndpointName, FirmwareId, FirmwareUpdate, FirmwareUpdateId, NewUpdate, UpdateMethod, UpdateStep,
};
use crate::store::{FirmwareShelf as _, UpdateFilter};
use crate::web::ApiError;

use super::views::{Operator, Viewer};

impl Viewer {
    /// Firmware updates, newest first.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn firmware_updates(
        &self,
        filter: &UpdateFilter,
        limit: u64,
    ) -> Result<Vec<FirmwareUpdate>, ApiError> {
        Ok(self.stores().firmware_updates.list(filter, limit).await?)
    }

    /// One firmware update with its timeline.
    ///
    /// # Errors
    /// 404 when there is none of this id.
    pub async fn firmware_update(
        &self,
        id: FirmwareUpdateId,
    ) -> Result<(FirmwareUpdate, Vec<UpdateStep>), ApiError> {
        let found = self.stores().firmware_updates.find(id).await?;
        found.ok_or_else(|| ApiError::not_found(format!("there is no firmware update {id}")))
    }
}

impl Operator {
    /// Begins an update of a device; it is on disk when this returns.
    ///
    /// # Errors
    /// 404 without such a device, 409 when it cannot be updated now, 422 without such an image.
    pub async fn update_firmware(
        &self,
        endpoint: &EndpointName,
        firmware: FirmwareId,
        method: Option<UpdateMethod>,
    ) -> Result<FirmwareUpdate, ApiError> {
        let Some(shelved) = self.state.firmware.image(firmware) else {
            let detail = format!("there is no firmware image {firmware}, or its file is missing");
            return Err(ApiError::invalid("firmware_id", detail));
        };
        let by = self.identity().doer();
        let new = NewUpdate {
            image: (*shelved.image).clone(),
            method,
            rollout: None,
            created_by: by.actor.clone(),
            by: Some(by),
        };
        Ok(self.state.devices.update_firmware(endpoint, new).await?)
    }

    /// Gives an update up, and returns it as it is then: over, or on its way there.
    ///
    /// # Errors
    /// 404 without such an update, 409 when it is over or the device installs already.
    pub async fn cancel_update(&self, id: FirmwareUpdateId) -> Result<FirmwareUpdate, ApiError> {
        let (update, _) = self.firmware_update(id).await?;
        let by = Some(self.identity().doer());
        let devices = &self.state.devices;
        Ok(devices.cancel_update(&update.endpoint, id, by).await?)
    }
}
