//! Firmware updates of devices that never answer, kept in memory: begun and cancelled as the real ones are.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use flownexus::domain::{
    EndpointId, EndpointName, FirmwareId, FirmwareUpdate, FirmwareUpdateId, NewUpdate, RolloutId,
    Timestamp, UpdateLimits, UpdateStep,
};
use flownexus::endpoint::UpdateRefusal;
use flownexus::lwm2m::firmware::{self, Event};
use flownexus::store::{FirmwareUpdateReader, StoreError, UpdateFilter};

/// See the file.
#[derive(Default)]
pub(crate) struct FakeUpdates(Mutex<Vec<(FirmwareUpdate, Vec<UpdateStep>)>>);

const LIMITS: UpdateLimits = UpdateLimits {
    wait_for_device: Duration::from_secs(604_800),
    start: Duration::from_secs(600),
    stall: Duration::from_secs(900),
    install: Duration::from_secs(1800),
    report: Duration::from_secs(120),
    tries: 3,
};

impl FakeUpdates {
    fn rows(&self) -> MutexGuard<'_, Vec<(FirmwareUpdate, Vec<UpdateStep>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn begin(
        &self,
        device: (EndpointId, &EndpointName),
        new: &NewUpdate,
    ) -> Result<FirmwareUpdate, UpdateRefusal> {
        let mut rows = self.rows();
        let active = rows
            .iter()
            .find(|(update, _)| update.endpoint_id == device.0 && update.is_active());
        if let Some((active, _)) = active {
            return Err(UpdateRefusal::Active {
                id: active.id,
                version: active.version.clone(),
                rollout: None,
            });
        }
        let id = FirmwareUpdateId(rows.len() as i64 + 1);
        let now = Timestamp::system();
        let device = (device.0, device.1.clone());
        rows.push((FirmwareUpdate::new(id, device, new, now), Vec::new()));
        drop(rows);
        self.advance(id, Event::Begun)
    }

    pub(crate) fn cancel(&self, id: FirmwareUpdateId) -> Result<FirmwareUpdate, UpdateRefusal> {
        let may = match self.rows().iter().find(|(update, _)| update.id == id) {
            None => return Err(UpdateRefusal::NotActive(id)),
            Some((update, _)) => firmware::may_cancel(update),
        };
        may?;
        self.advance(id, Event::Cancelled { by: "somebody" })
    }

    fn advance(
        &self,
        id: FirmwareUpdateId,
        event: Event<'_>,
    ) -> Result<FirmwareUpdate, UpdateRefusal> {
        let mut rows = self.rows();
        let found = rows.iter_mut().find(|(update, _)| update.id == id);
        let (update, steps) = found.ok_or(UpdateRefusal::NotActive(id))?;
        let at = Timestamp::system();
        let turn = firmware::advance(update, &LIMITS, at, event);
        let told = turn.told.into_iter();
        steps.extend(told.map(|(phase, text)| UpdateStep { at, phase, text }));
        Ok(update.clone())
    }
}

#[async_trait]
impl FirmwareUpdateReader for FakeUpdates {
    async fn list(
        &self,
        filter: &UpdateFilter,
        limit: u64,
    ) -> Result<Vec<FirmwareUpdate>, StoreError> {
        let rows = self.rows();
        let fits = |update: &&FirmwareUpdate| {
            filter.endpoint.is_none_or(|id| update.endpoint_id == id)
                && filter.firmware.is_none_or(|id| update.firmware_id == id)
                && filter.rollout.is_none_or(|id| update.rollout == Some(id))
                && filter.result.is_none_or(|result| update.result == result)
                && filter.before.is_none_or(|before| update.id < before)
        };
        let updates = rows.iter().rev().map(|(update, _)| update);
        Ok(updates.filter(fits).take(limit as usize).cloned().collect())
    }

    async fn find(
        &self,
        id: FirmwareUpdateId,
    ) -> Result<Option<(FirmwareUpdate, Vec<UpdateStep>)>, StoreError> {
        Ok(self
            .rows()
            .iter()
            .find(|(update, _)| update.id == id)
            .cloned())
    }

    async fn of_rollout(
        &self,
        rollout: RolloutId,
        endpoints: &[EndpointId],
    ) -> Result<Vec<FirmwareUpdate>, StoreError> {
        let rows = self.rows();
        let updates = rows.iter().map(|(update, _)| update);
        let of_it = updates.filter(|update| {
            update.rollout == Some(rollout) && endpoints.contains(&update.endpoint_id)
        });
        Ok(of_it.cloned().collect())
    }

    async fn count_active(&self, firmware: FirmwareId) -> Result<u64, StoreError> {
        let rows = self.rows();
        let active = rows
            .iter()
            .filter(|(update, _)| update.firmware_id == firmware && update.is_active());
        Ok(active.count() as u64)
    }
}

/// Reads the updates of something that has some.
macro_rules! reads_updates {
    ($type:ty) => {
        #[async_trait::async_trait]
        impl flownexus::store::FirmwareUpdateReader for $type {
            async fn list(
                &self,
                filter: &flownexus::store::UpdateFilter,
                limit: u64,
            ) -> Result<Vec<flownexus::domain::FirmwareUpdate>, flownexus::store::StoreError> {
                self.updates.list(filter, limit).await
            }

            async fn find(
                &self,
                id: flownexus::domain::FirmwareUpdateId,
            ) -> Result<
                Option<(
                    flownexus::domain::FirmwareUpdate,
                    Vec<flownexus::domain::UpdateStep>,
                )>,
                flownexus::store::StoreError,
            > {
                self.updates.find(id).await
            }

            async fn of_rollout(
                &self,
                rollout: flownexus::domain::RolloutId,
                endpoints: &[flownexus::domain::EndpointId],
            ) -> Result<Vec<flownexus::domain::FirmwareUpdate>, flownexus::store::StoreError> {
                self.updates.of_rollout(rollout, endpoints).await
            }

            async fn count_active(
                &self,
                firmware: flownexus::domain::FirmwareId,
            ) -> Result<u64, flownexus::store::StoreError> {
                self.updates.count_active(firmware).await
            }
        }
    };
}

pub(crate) use reads_updates;
