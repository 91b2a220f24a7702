//! What rollouts may do with devices: the registry's handle, in their words.

use std::sync::Arc;

use async_trait::async_trait;

use crate::config;
use crate::domain::{EndpointName, FirmwareUpdate, FirmwareUpdateId, NewUpdate};
use crate::endpoint::UpdateRefusal;
use crate::live::Hub;
use crate::registry::{Devices, Handle, OperateError};
use crate::rollout::{self, Fleet, Metrics, NotBegun, Nudges, Parts, Supervisor};
use crate::store::{Publisher, Store};

/// Starts what is under way on this thread.
pub(super) fn start(
    settings: &config::Rollouts,
    store: &Store,
    devices: Handle,
    nudges: Nudges,
    metrics: &mut prometheus_client::registry::Registry,
) -> rollout::Handle {
    let store = Arc::new(store.clone());
    let parts = Parts {
        rollouts: store.clone(),
        updates: store.clone(),
        images: store.clone(),
        endpoints: store,
        fleet: Arc::new(RegisteredFleet(devices)),
        settings: settings.clone(),
        metrics: Metrics::default(),
    };
    parts.metrics.register(metrics);
    let supervisor = Supervisor::start(parts.clone(), nudges);
    rollout::Handle::new(supervisor, parts)
}

/// What was committed goes to the hub, and rollouts hear of updates that are over.
pub(super) fn noting(nudges: &Nudges, hub: Hub) -> Publisher {
    let nudges = nudges.clone();
    Arc::new(move |events| {
        nudges.note(&events);
        hub.publish(events);
    })
}

struct RegisteredFleet(Handle);

#[async_trait]
impl Fleet for RegisteredFleet {
    async fn begin(
        &self,
        endpoint: &EndpointName,
        new: NewUpdate,
    ) -> Result<FirmwareUpdate, NotBegun> {
        let begun = self.0.update_firmware(endpoint, new).await;
        begun.map_err(|error| why(&error))
    }

    async fn recall(
        &self,
        endpoint: &EndpointName,
        id: FirmwareUpdateId,
    ) -> Option<FirmwareUpdate> {
        // One that is over or installs already is told of otherwise.
        self.0.cancel_update(endpoint, id, None).await.ok()
    }
}

fn why(error: &OperateError) -> NotBegun {
    match error {
        OperateError::Update(UpdateRefusal::Active { .. }) => NotBegun::Later(error.to_string()),
        OperateError::Update(_) => NotBegun::Never(error.to_string()),
        OperateError::UnknownEndpoint(_) => {
            NotBegun::Never("it was removed from this server".to_owned())
        }
        // It may be that the answer was lost and not the question.
        OperateError::Busy | OperateError::Store(_) => NotBegun::InDoubt,
        // None of these is said of an update.
        OperateError::NotQueued(_)
        | OperateError::TooMany { .. }
        | OperateError::TooManyEndpoints { .. }
        | OperateError::UnknownOperation(_) => NotBegun::Later(error.to_string()),
    }
}
