//! What rollouts may do with devices: the registry's handle, in their words. And who hears of them: each change is
//! told on the live socket once it is on disk.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;

use crate::config::Settings;
use crate::domain::{
    AuditEntry, Doer, EndpointName, FirmwareUpdate, FirmwareUpdateId, LiveKind, LiveNews,
    NewUpdate, Rollout, RolloutId, RolloutState, RolloutTarget, Timestamp, Topic,
};
use crate::endpoint::UpdateRefusal;
use crate::live::Hub;
use crate::registry::{Devices, Handle, OperateError};
use crate::rollout::{self, Fleet, Metrics, NotBegun, Nudges, Parts, Recalled, Supervisor};
use crate::store::{Publisher, RolloutStore, Store, StoreError, TargetFilter};

/// Starts what is under way on this thread.
pub(super) fn start(
    settings: &Settings,
    store: &Store,
    devices: Handle,
    nudges: Nudges,
    hub: Hub,
    metrics: &mut prometheus_client::registry::Registry,
) -> rollout::Handle {
    let store = Arc::new(store.clone());
    let parts = Parts {
        rollouts: Arc::new(ToldRollouts {
            store: store.clone(),
            hub,
        }),
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

/// The stored rollouts. Whoever listens hears of each change.
struct ToldRollouts {
    store: Arc<Store>,
    hub: Hub,
}

impl ToldRollouts {
    fn tell(&self, id: RolloutId, state: Option<RolloutState>) {
        self.hub.announce(LiveNews {
            topic: Topic::Rollout(id),
            kind: LiveKind::Rollout,
            time: Timestamp::system(),
            fields: json!({"id": id.0, "state": state.map(RolloutState::name)}),
        });
    }
}

#[async_trait]
impl RolloutStore for ToldRollouts {
    async fn list(
        &self,
        before: Option<RolloutId>,
        limit: u64,
    ) -> Result<Vec<Rollout>, StoreError> {
        RolloutStore::list(&*self.store, before, limit).await
    }

    async fn not_over(&self) -> Result<Vec<Rollout>, StoreError> {
        self.store.not_over().await
    }

    async fn find(&self, id: RolloutId) -> Result<Option<Rollout>, StoreError> {
        RolloutStore::find(&*self.store, id).await
    }

    async fn targets(
        &self,
        id: RolloutId,
        filter: &TargetFilter,
        limit: u64,
    ) -> Result<Vec<RolloutTarget>, StoreError> {
        self.store.targets(id, filter, limit).await
    }

    async fn add(
        &self,
        rollout: Rollout,
        targets: Vec<RolloutTarget>,
        by: Doer,
        limit: u64,
    ) -> Result<Rollout, StoreError> {
        let added = RolloutStore::add(&*self.store, rollout, targets, by, limit).await?;
        self.tell(added.id, Some(added.state));
        Ok(added)
    }

    async fn save(
        &self,
        rollout: Rollout,
        targets: Vec<RolloutTarget>,
        audit: Vec<AuditEntry>,
    ) -> Result<bool, StoreError> {
        let (id, state) = (rollout.id, rollout.state);
        let saved = self.store.save(rollout, targets, audit).await?;
        if saved {
            self.tell(id, Some(state));
        }
        Ok(saved)
    }

    async fn remove(&self, id: RolloutId, by: Doer) -> Result<bool, StoreError> {
        let removed = RolloutStore::remove(&*self.store, id, by).await?;
        if removed {
            self.tell(id, None);
        }
        Ok(removed)
    }
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
