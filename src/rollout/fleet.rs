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

    /// Takes an update back, and returns how it is then; nothing when that cannot be, or when it is not known.
    async fn recall(&self, endpoint: &EndpointName, id: FirmwareUpdateId)
    -> Option<FirmwareUpdate>;
}
