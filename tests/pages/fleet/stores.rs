//! The fleet as the pages' store, and as the devices that answer at once.

use std::time::Duration;

use async_trait::async_trait;
use flownexus::domain::{
    AuditEntry, Denial, Denied, Doer, EndpointId, EndpointName, EventId, FirmwareUpdate,
    FirmwareUpdateId, GatewayReport, KeyedOperation, NewOperation, NewUpdate, Node, Observation,
    Operation, OperationId, OperationKind, OperationResult, OperationStatus, Path, Profile,
    ProfileChange, Timestamp, Transport, Value, Wanted,
};
use flownexus::registry::{Devices, OperateError};
use flownexus::store::{
    Aggregate, EndpointFilter, EndpointReader, EndpointRow, EventGlance, EventReader, HistoryStore,
    ObservationTemplate, OperationFilter, OperationReader, ResourceReader, ResourceType, Retention,
    StoreError, StoredEvent, StoredValue, TemplateStore,
};

use super::{ASLEEP, Fleet, GONE, WRONG_KEY};

impl Fleet {
    pub(super) fn all_rows(&self) -> Vec<EndpointRow> {
        self.lock().rows.clone()
    }

    pub(super) fn all_operations(&self) -> Vec<Operation> {
        self.lock().operations.clone()
    }
}

#[async_trait]
impl EndpointReader for Fleet {
    async fn list(&self, _: &EndpointFilter) -> Result<(Vec<EndpointRow>, bool), StoreError> {
        // Only rollouts ask so.
        Ok((self.all_rows(), false))
    }

    async fn find(&self, name: &EndpointName) -> Result<Option<EndpointRow>, StoreError> {
        Ok(self
            .lock()
            .rows
            .iter()
            .find(|row| row.name == *name)
            .cloned())
    }

    async fn observations(&self, id: EndpointId) -> Result<Vec<Observation>, StoreError> {
        let state = self.lock();
        let of_device = |observation: &&Observation| observation.endpoint_id == id;
        Ok(state
            .observations
            .iter()
            .filter(of_device)
            .cloned()
            .collect())
    }

    async fn wanted(&self, id: EndpointId) -> Result<Vec<Wanted>, StoreError> {
        let state = self.lock();
        let of_device = |wanted: &&Wanted| wanted.endpoint_id == id;
        Ok(state.wanted.iter().filter(of_device).cloned().collect())
    }

    async fn count(&self) -> Result<(u64, u64), StoreError> {
        let state = self.lock();
        let registered = state.rows.iter().filter(|row| row.is_registered());
        Ok((state.rows.len() as u64, registered.count() as u64))
    }

    async fn remove(&self, id: EndpointId, _: Option<AuditEntry>) -> Result<(), StoreError> {
        self.lock().rows.retain(|row| row.id != id);
        Ok(())
    }
}

#[async_trait]
impl ResourceReader for Fleet {
    async fn latest(&self, id: EndpointId) -> Result<Vec<StoredValue>, StoreError> {
        Ok(match id.0 {
            1 => self.lock().values.clone(),
            _ => Vec::new(),
        })
    }

    async fn by_type(
        &self,
        _: u16,
        _: u16,
        _: u64,
        _: Option<i64>,
    ) -> Result<Vec<(i64, StoredValue)>, StoreError> {
        Ok(Vec::new())
    }

    async fn types(&self) -> Result<Vec<ResourceType>, StoreError> {
        Ok(Vec::new())
    }
}

#[async_trait]
impl HistoryStore for Fleet {
    async fn history(
        &self,
        _: EndpointId,
        path: Path,
        from: Timestamp,
        to: Timestamp,
        points: usize,
        _: Aggregate,
    ) -> Result<Vec<(Timestamp, f64)>, StoreError> {
        // A day's wave with some noise.
        let (from, to) = (
            from.as_millis(),
            to.as_millis().min(Timestamp::system().as_millis()),
        );
        let step = ((to - from) / points.clamp(1, 200) as i64).max(1000);
        let of_switch = path.resource_id() == Some(5850);
        Ok((from / step..to / step)
            .map(|at| {
                let at = at * step;
                let day = at as f64 / 86_400_000.0 * std::f64::consts::TAU;
                let noise = ((at / 1000 * 7919) % 101) as f64 / 101.0;
                let value = 20.0 + 4.0 * day.sin() + 1.5 * (day * 24.0).sin() + noise * 0.3;
                let value = if of_switch {
                    f64::from(value > 20.0)
                } else {
                    value
                };
                (Timestamp::clamped_from_millis(at), value)
            })
            .collect())
    }

    async fn retentions(&self) -> Result<Vec<(ResourceType, Retention)>, StoreError> {
        let types = self.types().await?.into_iter();
        Ok(types.map(|is| (is, Retention::default())).collect())
    }

    async fn set_retention(
        &self,
        object_id: u16,
        resource_id: u16,
        _: Retention,
        _: Doer,
    ) -> Result<ResourceType, StoreError> {
        Ok(ResourceType {
            object_id,
            resource_id,
            name: format!("{object_id}_{resource_id}"),
            value_type: None,
        })
    }
}

#[async_trait]
impl EventReader for Fleet {
    async fn list(
        &self,
        endpoint: Option<EndpointId>,
        event_type: Option<&str>,
        _: u64,
        before: Option<EventId>,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        let state = self.lock();
        let events = state.events.iter().map(|(event, _)| event.clone());
        let of = endpoint.and_then(|id| state.rows.iter().find(|row| row.id == id));
        Ok(events
            .filter(|event| of.is_none_or(|row| event.endpoint == row.name))
            .filter(|event| event_type.is_none_or(|wanted| event.event_type == wanted))
            .filter(|event| before.is_none_or(|before| event.id < before))
            .collect())
    }

    async fn find(&self, id: EventId) -> Result<Option<(StoredEvent, Vec<Node>)>, StoreError> {
        Ok(self
            .lock()
            .events
            .iter()
            .find(|(event, _)| event.id == id)
            .cloned())
    }

    async fn glance(&self, ids: Vec<EventId>, most: u64) -> Result<Vec<EventGlance>, StoreError> {
        let state = self.lock();
        let events = state.events.iter();
        let wanted = events.filter(|(event, _)| ids.contains(&event.id));
        Ok(wanted
            .map(|(event, values)| EventGlance {
                id: event.id,
                first: values
                    .iter()
                    .take(usize::try_from(most).unwrap_or(usize::MAX))
                    .cloned()
                    .collect(),
                count: values.len() as u64,
            })
            .collect())
    }
}

#[async_trait]
impl OperationReader for Fleet {
    async fn list(
        &self,
        filter: &OperationFilter,
        limit: u64,
    ) -> Result<Vec<Operation>, StoreError> {
        let state = self.lock();
        let mut found: Vec<Operation> = state
            .operations
            .iter()
            .filter(|it| filter.endpoint.is_none_or(|id| it.endpoint_id == id))
            .filter(|it| filter.status.is_none_or(|status| it.status == status))
            .filter(|it| filter.kind.is_none_or(|kind| it.request.kind == kind))
            .filter(|it| filter.before.is_none_or(|before| it.id < before))
            .cloned()
            .collect();
        found.sort_by_key(|operation| std::cmp::Reverse(operation.id));
        found.truncate(limit as usize);
        Ok(found)
    }

    async fn keyed(
        &self,
        _: EndpointId,
        _: [u8; 32],
    ) -> Result<Option<KeyedOperation>, StoreError> {
        Ok(None)
    }

    async fn count_waiting(&self, endpoint: EndpointId) -> Result<u64, StoreError> {
        let filter = OperationFilter {
            endpoint: Some(endpoint),
            status: Some(OperationStatus::Queued),
            ..OperationFilter::default()
        };
        let waiting = OperationReader::list(self, &filter, u64::from(u32::MAX));
        Ok(waiting.await?.len() as u64)
    }

    async fn find(&self, id: OperationId) -> Result<Option<Operation>, StoreError> {
        Ok(self
            .lock()
            .operations
            .iter()
            .find(|operation| operation.id == id)
            .cloned())
    }
}

#[async_trait]
impl TemplateStore for Fleet {
    async fn list(&self) -> Result<Vec<ObservationTemplate>, StoreError> {
        Ok(self.lock().templates.clone())
    }

    async fn add(
        &self,
        template: ObservationTemplate,
        _: Doer,
    ) -> Result<ObservationTemplate, StoreError> {
        let mut state = self.lock();
        let id = state.templates.len() as i64 + 1;
        state.templates.push(ObservationTemplate { id, ..template });
        Ok(state.templates.last().cloned().expect("just added"))
    }

    async fn update(
        &self,
        mut template: ObservationTemplate,
        _: Doer,
    ) -> Result<Option<ObservationTemplate>, StoreError> {
        let mut state = self.lock();
        let mut templates = state.templates.iter_mut();
        let Some(known) = templates.find(|known| known.id == template.id) else {
            return Ok(None);
        };
        template.revision = known.revision + 1;
        *known = template.clone();
        Ok(Some(template))
    }

    async fn remove(&self, id: i64, _: Doer) -> Result<bool, StoreError> {
        let mut state = self.lock();
        let before = state.templates.len();
        state.templates.retain(|template| template.id != id);
        Ok(state.templates.len() < before)
    }
}

#[async_trait]
impl Devices for Fleet {
    async fn operate(
        &self,
        endpoint: &EndpointName,
        operation: NewOperation,
        _: Duration,
    ) -> Result<Operation, OperateError> {
        let mut state = self.lock();
        let id = OperationId(state.operations.len() as i64 + 1);
        let now = Timestamp::system();
        let status = match operation.request.kind {
            OperationKind::Read | OperationKind::Observe => OperationStatus::Confirmed,
            OperationKind::Write => OperationStatus::Failed,
            _ => OperationStatus::Queued,
        };
        let nodes = match (operation.request.kind, operation.request.paths.first()) {
            (OperationKind::Read, Some(path)) if path.depth() == 3 => {
                vec![Node::new(*path, Value::Float(21.7))]
            }
            _ => Vec::new(),
        };
        let row = state.rows.iter().find(|row| row.name == *endpoint);
        let Some(endpoint_id) = row.map(|row| row.id) else {
            return Err(OperateError::UnknownEndpoint(endpoint.clone()));
        };
        let failed = status == OperationStatus::Failed;
        state.operations.push(Operation {
            id,
            endpoint_id,
            endpoint: endpoint.clone(),
            request: operation.request,
            origin: operation.origin,
            status,
            attempts: 1,
            max_attempts: operation.max_attempts,
            result: Some(OperationResult {
                code: if failed {
                    "4.05".to_owned()
                } else {
                    "2.05".to_owned()
                },
                nodes,
                links: String::new(),
                location: None,
                note: None,
            }),
            error: failed.then(|| "the device answered 4.05: read-only".to_owned()),
            token: None,
            created_at: now,
            last_attempt_at: Some(now),
            finished_at: status.is_final().then_some(now),
            expires_at: None,
        });
        Ok(state.operations.last().cloned().expect("just added"))
    }

    async fn await_end(&self, id: OperationId, _: Duration) -> Result<Operation, OperateError> {
        let found = OperationReader::find(self, id).await?;
        found.ok_or(OperateError::UnknownOperation(id))
    }

    async fn cancel(&self, id: OperationId, _: Option<Doer>) -> Result<Operation, OperateError> {
        let mut state = self.lock();
        let Some(operation) = state
            .operations
            .iter_mut()
            .find(|operation| operation.id == id)
        else {
            return Err(OperateError::UnknownOperation(id));
        };
        operation.status = OperationStatus::Cancelled;
        Ok(operation.clone())
    }

    async fn forget(&self, endpoint: &EndpointName, _: Option<Doer>) -> Result<bool, OperateError> {
        let mut state = self.lock();
        let before = state.rows.len();
        state.rows.retain(|row| row.name != *endpoint);
        Ok(state.rows.len() < before)
    }

    async fn report(&self, _: &EndpointName, _: GatewayReport) -> Result<(), OperateError> {
        Ok(())
    }

    async fn awake(&self, _: &EndpointName) -> Option<bool> {
        Some(false)
    }

    /// Somebody has tried to be the one that is gone, over plain CoAP, and the one that sleeps, with a wrong
    /// key.
    fn last_refusal(&self, endpoint: &EndpointName) -> Option<Denial> {
        let (transport, reason) = match endpoint.as_str() {
            GONE => (Transport::Udp, Denied::HasCredentials),
            ASLEEP => (Transport::Dtls, Denied::Handshake(WRONG_KEY.to_owned())),
            _ => return None,
        };
        Some(Denial {
            at: Timestamp::system(),
            transport,
            address: "192.0.2.9:40001".parse().expect("an address"),
            reason,
            shown: None,
        })
    }

    async fn change_profile(
        &self,
        endpoint: &EndpointName,
        change: ProfileChange,
        _: Option<Doer>,
    ) -> Result<Profile, OperateError> {
        let mut state = self.lock();
        let Some(row) = state.rows.iter_mut().find(|row| row.name == *endpoint) else {
            return Err(OperateError::UnknownEndpoint(endpoint.clone()));
        };
        row.profile = change.applied_to(&row.profile);
        Ok(row.profile.clone())
    }

    async fn update_firmware(
        &self,
        endpoint: &EndpointName,
        new: NewUpdate,
    ) -> Result<FirmwareUpdate, OperateError> {
        let id = self
            .lock()
            .rows
            .iter()
            .find(|row| row.name == *endpoint)
            .map(|row| row.id);
        let id = id.ok_or_else(|| OperateError::UnknownEndpoint(endpoint.clone()))?;
        Ok(self.updates.begin((id, endpoint), &new)?)
    }

    async fn cancel_update(
        &self,
        _: &EndpointName,
        id: FirmwareUpdateId,
        _: Option<Doer>,
    ) -> Result<FirmwareUpdate, OperateError> {
        Ok(self.updates.cancel(id)?)
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
