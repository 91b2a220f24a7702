//! What rollouts may do with devices: the registry's handle, in their words.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::config::Settings;
use crate::domain::{EndpointName, FirmwareUpdate, FirmwareUpdateId, NewUpdate, RolloutId};
use crate::endpoint::UpdateRefusal;
use crate::live::Hub;
use crate::registry::{Devices, Handle, OperateError};
use crate::rollout::{self, Fleet, Metrics, NotBegun, Nudges, Parts, Recalled, Supervisor};
use crate::store::{Publisher, Store};

/// Starts what is under way on this thread.
pub(super) fn start(
    settings: &Settings,
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
        settings: settings.rollouts.clone(),
        patience: Duration::from_secs(settings.firmware.wait_for_device_s),
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
        let rollout = new.rollout.as_ref().map(|step| step.id);
        let begun = self.0.update_firmware(endpoint, new).await;
        begun.map_err(|error| why(&error, rollout))
    }

    async fn recall(&self, endpoint: &EndpointName, id: FirmwareUpdateId) -> Recalled {
        match self.0.cancel_update(endpoint, id, None).await {
            Ok(update) => Recalled::Update(Box::new(update)),
            Err(OperateError::Busy | OperateError::Store(_)) => Recalled::NotNow,
            // It is over, or installs already.
            Err(_) => Recalled::TooLate,
        }
    }
}

fn why(error: &OperateError, asks: Option<RolloutId>) -> NotBegun {
    match error {
        // Its own, of which it did not hear.
        OperateError::Update(UpdateRefusal::Active { rollout, .. })
            if asks.is_some() && *rollout == asks =>
        {
            NotBegun::InDoubt
        }
        OperateError::Update(UpdateRefusal::Absent) => NotBegun::Absent(error.to_string()),
        OperateError::Update(UpdateRefusal::Active { .. }) => NotBegun::Later(error.to_string()),
        OperateError::Update(_) => NotBegun::Never(error.to_string()),
        OperateError::UnknownEndpoint(_) => {
            NotBegun::Never("it was removed from this server".to_owned())
        }
        // It may be that the answer was lost and not the question.
        OperateError::Busy | OperateError::Store(_) => NotBegun::InDoubt,
        // None of these is said of an update.
        OperateError::AskedBefore { .. }
        | OperateError::NotQueued(_)
        | OperateError::TooMany { .. }
        | OperateError::TooManyEndpoints { .. }
        | OperateError::UnknownOperation(_) => NotBegun::Later(error.to_string()),
    }
}
