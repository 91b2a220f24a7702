//! What a rollout may do with devices.

use async_trait::async_trait;

use super::plan::NotBegun;
use crate::domain::{EndpointName, FirmwareUpdate, FirmwareUpdateId, NewUpdate};

/// Begins updates on devices and takes them back. Every call ends in bounded time.
#[async_trait]
pub trait Fleet: Send + Sync {
    /// Begins an update of a device; it is on disk when this returns it.
    ///
    /// # Errors
    /// Says whether it may be begun later, or is perhaps begun.
    async fn begin(
        &self,
        endpoint: &EndpointName,
        new: NewUpdate,
    ) -> Result<FirmwareUpdate, NotBegun>;

    /// Takes an update back, where that can be.
    async fn recall(&self, endpoint: &EndpointName, id: FirmwareUpdateId) -> Recalled;
}

/// What came of taking an update back.
#[derive(Clone, Debug, PartialEq)]
pub enum Recalled {
    /// It is not known; it can be tried again.
    NotNow,
    /// The device installs already, or the update is over.
    TooLate,
    /// It is over, or on its way there.
    Update(Box<FirmwareUpdate>),
}
