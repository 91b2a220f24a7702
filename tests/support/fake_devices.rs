//! Devices that answer at once, over a [`FakeStore`].

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use flownexus::domain::{
    AuditEntry, Denial, Doer, EndpointName, FirmwareUpdate, FirmwareUpdateId, GatewayReport,
    NewOperation, NewUpdate, Node, Operation, OperationId, OperationKind, OperationResult,
    OperationStatus, Path, Profile, ProfileChange, Timestamp, Value,
};
use flownexus::registry::{Devices, OperateError};
use flownexus::store::OperationReader;

use super::fake_store::FakeStore;

/// Devices that confirm a Read when somebody waits, and leave everything else QUEUED.
pub(crate) struct FakeDevices(pub(crate) Arc<FakeStore>);

#[async_trait]
impl Devices for FakeDevices {
    async fn operate(
        &self,
        endpoint: &EndpointName,
        new: NewOperation,
        wait: Duration,
    ) -> Result<Operation, OperateError> {
        let mut tables = self.0.tables();
        let Some(row) = tables.endpoints.get(endpoint).cloned() else {
            return Err(OperateError::UnknownEndpoint(endpoint.clone()));
        };
        let now = Timestamp::system();
        let answered = !wait.is_zero() && new.request.kind == OperationKind::Read;
        let result = answered.then(|| OperationResult {
            code: "2.05".into(),
            nodes: vec![Node::new(
                Path::resource(3, 0, 0),
                Value::String("<b>Acme</b>".into()),
            )],
            links: String::new(),
            location: None,
            note: None,
        });
        let operation = Operation {
            id: OperationId(tables.next_id()),
            endpoint_id: row.id,
            endpoint: endpoint.clone(),
            request: new.request,
            origin: new.origin,
            status: if answered {
                OperationStatus::Confirmed
            } else {
                OperationStatus::Queued
            },
            attempts: u32::from(answered),
            max_attempts: new.max_attempts,
            result,
            error: None,
            token: None,
            created_at: now,
            last_attempt_at: answered.then_some(now),
            finished_at: answered.then_some(now),
            expires_at: new.expires_in.map(|time| now.plus(time)),
        };
        tables.operations.push(operation.clone());
        self.0.people().note(
            new.by
                .map(|by| AuditEntry::operation_created(by, &operation)),
        );
        Ok(operation)
    }

    async fn await_end(&self, id: OperationId, _: Duration) -> Result<Operation, OperateError> {
        let found = OperationReader::find(&*self.0, id).await?;
        found.ok_or(OperateError::UnknownOperation(id))
    }

    async fn cancel(&self, id: OperationId, by: Option<Doer>) -> Result<Operation, OperateError> {
        let mut tables = self.0.tables();
        let mut operations = tables.operations.iter_mut();
        let Some(operation) = operations.find(|operation| operation.id == id) else {
            return Err(OperateError::UnknownOperation(id));
        };
        if operation.status != OperationStatus::Queued {
            return Err(OperateError::NotQueued(Box::new(operation.clone())));
        }
        operation.status = OperationStatus::Cancelled;
        operation.finished_at = Some(Timestamp::system());
        let operation = operation.clone();
        let at = Timestamp::system();
        let line = by.map(|by| AuditEntry::operation_cancelled(by, at, &operation));
        self.0.people().note(line);
        Ok(operation)
    }

    async fn forget(
        &self,
        endpoint: &EndpointName,
        by: Option<Doer>,
    ) -> Result<bool, OperateError> {
        let removed = self.0.tables().endpoints.remove(endpoint).is_some();
        if removed {
            let line = by.map(|by| by.line("endpoint.delete", endpoint.as_str(), ""));
            self.0.people().note(line);
        }
        Ok(removed)
    }

    async fn report(&self, _: &EndpointName, _: GatewayReport) -> Result<(), OperateError> {
        Ok(())
    }

    async fn awake(&self, endpoint: &EndpointName) -> Option<bool> {
        self.0.tables().endpoints.get(endpoint).map(|_| false)
    }

    fn last_refusal(&self, _: &EndpointName) -> Option<Denial> {
        // Nobody is refused here.
        None
    }

    async fn change_profile(
        &self,
        endpoint: &EndpointName,
        change: ProfileChange,
        by: Option<Doer>,
    ) -> Result<Profile, OperateError> {
        let mut tables = self.0.tables();
        let Some(row) = tables.endpoints.get_mut(endpoint) else {
            return Err(OperateError::UnknownEndpoint(endpoint.clone()));
        };
        row.profile = change.applied_to(&row.profile);
        let profile = row.profile.clone();
        let at = Timestamp::system();
        let line = by.map(|by| AuditEntry::endpoint_updated(by, at, endpoint, &profile));
        self.0.people().note(line);
        Ok(profile)
    }

    async fn update_firmware(
        &self,
        endpoint: &EndpointName,
        new: NewUpdate,
    ) -> Result<FirmwareUpdate, OperateError> {
        let row = self.0.tables().endpoints.get(endpoint).cloned();
        let row = row.ok_or_else(|| OperateError::UnknownEndpoint(endpoint.clone()))?;
        Ok(self.0.updates.begin((row.id, endpoint), &new)?)
    }

    async fn cancel_update(
        &self,
        _: &EndpointName,
        id: FirmwareUpdateId,
        _: Option<Doer>,
    ) -> Result<FirmwareUpdate, OperateError> {
        Ok(self.0.updates.cancel(id)?)
    }

    async fn reload_templates(&self) -> Result<(), OperateError> {
        Ok(())
    }
    async fn reload_rules(&self) -> Result<(), OperateError> {
        Ok(())
    }

    async fn reload_log_resources(&self) -> Result<(), OperateError> {
        Ok(())
    }
}
