//! A store in memory, and devices that answer at once: for tests of the web room alone.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use flownexus::domain::{
    AuditEntry, Denial, Doer, EndpointId, EndpointName, EventId, FirmwareUpdate, FirmwareUpdateId,
    GatewayReport, GatewayState, Learned, LogResource, NewOperation, NewUpdate, Node, Observation,
    Operation, OperationId, OperationKind, OperationResult, OperationStatus, Path, Peer, Profile,
    ProfileChange, Registration, RegistrationId, Rule, StoredLogLine, Timestamp, Value, ValueType,
    Wanted,
};
use flownexus::registry::{Devices, OperateError};
use flownexus::store::{
    Aggregate, ApiToken, AuditStore, EndpointFilter, EndpointReader, EndpointRow, EventReader,
    HistoryStore, ObservationTemplate, OperationFilter, OperationReader, ResourceReader,
    ResourceType, Retention, SessionStore, StoreError, StoredEvent, StoredValue, TemplateStore,
    TokenStore, User, UserStore, WebSession,
};

use super::fake_updates::{FakeUpdates, reads_updates};

/// Everything that is stored.
#[derive(Default)]
pub(crate) struct Tables {
    pub(crate) endpoints: BTreeMap<EndpointName, EndpointRow>,
    pub(crate) values: Vec<StoredValue>,
    pub(crate) types: Vec<ResourceType>,
    pub(crate) events: Vec<(StoredEvent, Vec<Node>)>,
    pub(crate) operations: Vec<Operation>,
    pub(crate) templates: Vec<ObservationTemplate>,
    pub(crate) rules: Vec<Rule>,
    pub(crate) observations: Vec<Observation>,
    pub(crate) wanted: Vec<Wanted>,
    pub(crate) logs: Vec<StoredLogLine>,
    pub(crate) log_resources: Vec<LogResource>,
    pub(crate) users: Vec<User>,
    pub(crate) sessions: Vec<WebSession>,
    pub(crate) tokens: Vec<ApiToken>,
    pub(crate) audit: Vec<AuditEntry>,
    /// How often a token's use was noted.
    pub(crate) uses: usize,
    last_id: i64,
}

impl Tables {
    pub(crate) fn next_id(&mut self) -> i64 {
        self.last_id += 1;
        self.last_id
    }

    /// A line of the audit log, if there is one.
    fn note(&mut self, line: Option<AuditEntry>) {
        if let Some(line) = line {
            let id = self.next_id();
            self.audit.push(AuditEntry { id, ..line });
        }
    }
}

/// The store.
#[derive(Default)]
pub(crate) struct FakeStore {
    tables: Mutex<Tables>,
    pub(crate) updates: FakeUpdates,
    pub(crate) bulks: super::fake_fleet::FakeBulks,
    pub(crate) rollouts: Arc<super::fake_rollouts::FakeRollouts>,
}

reads_updates!(FakeStore);
super::fake_fleet::finds_devices!(FakeStore);

impl FakeStore {
    pub(crate) fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A registered device with an event and values of its temperature.
    pub(crate) fn add_device(&self, name: &str, queue_mode: bool) {
        let mut tables = self.tables();
        let id = EndpointId(tables.next_id());
        let event = EventId(tables.next_id());
        let endpoint = EndpointName::new(name).expect("a name");
        let start = Timestamp::from_millis(1_700_000_000_000).expect("a time");
        let registration = Registration {
            id: RegistrationId::from_text("r1"),
            endpoint_id: id,
            endpoint: endpoint.clone(),
            peer: Peer::udp(([192, 0, 2, 7], 56830).into()),
            lwm2m_version: "1.1".parse().expect("a version"),
            binding: "U".into(),
            queue_mode,
            lifetime: Duration::from_secs(300),
            sms_number: None,
            root: String::new(),
            objects: vec![flownexus::domain::AnnouncedObject {
                path: Path::instance(3, 0),
                version: None,
            }]
            .into(),
            formats: vec![110],
            attributes: BTreeMap::new(),
            warnings: Vec::new(),
            raw_links: "</3/0>".into(),
            registered_at: start,
            updated_at: start,
            expires_at: start.plus(Duration::from_secs(300)),
            message_id_mark: 0,
        };
        let path = Path::resource(3303, 0, 5700);
        for minute in 0..3_u32 {
            let time = start.plus(Duration::from_secs(60) * minute);
            tables.values.push(StoredValue {
                endpoint: endpoint.clone(),
                path,
                value: Value::Float(20.0 + f64::from(minute)),
                time,
                received_at: time,
            });
        }
        if tables.types.is_empty() {
            tables.types.push(ResourceType {
                object_id: 3303,
                resource_id: 5700,
                name: "temperature".into(),
                value_type: Some(ValueType::Float),
            });
        }
        tables.events.push((
            StoredEvent {
                id: event,
                endpoint: endpoint.clone(),
                event_type: "10300".into(),
                time: start,
                rule: None,
                severity: None,
                message: None,
            },
            vec![Node::new(path, Value::Float(20.0))],
        ));
        let row = EndpointRow {
            id,
            name: endpoint.clone(),
            created_at: start,
            last_seen_at: Some(start),
            profile: Profile::default(),
            learned: Learned::default(),
            registration: Some(registration),
            gateway: GatewayState::default(),
        };
        tables.endpoints.insert(endpoint, row);
    }
}

fn at_most(limit: u64) -> usize {
    usize::try_from(limit).expect("a small number")
}

#[async_trait]
impl EndpointReader for FakeStore {
    async fn list(&self, _: &EndpointFilter) -> Result<(Vec<EndpointRow>, bool), StoreError> {
        // Only rollouts ask so.
        Ok((self.all_rows(), false))
    }

    async fn find(&self, name: &EndpointName) -> Result<Option<EndpointRow>, StoreError> {
        Ok(self.tables().endpoints.get(name).cloned())
    }

    async fn observations(&self, id: EndpointId) -> Result<Vec<Observation>, StoreError> {
        let tables = self.tables();
        let of_device = |observation: &&Observation| observation.endpoint_id == id;
        Ok(tables
            .observations
            .iter()
            .filter(of_device)
            .cloned()
            .collect())
    }

    async fn wanted(&self, id: EndpointId) -> Result<Vec<Wanted>, StoreError> {
        let tables = self.tables();
        let of_device = |wanted: &&Wanted| wanted.endpoint_id == id;
        Ok(tables.wanted.iter().filter(of_device).cloned().collect())
    }

    async fn count(&self) -> Result<(u64, u64), StoreError> {
        let count = self.tables().endpoints.len() as u64;
        Ok((count, count))
    }

    async fn remove(&self, id: EndpointId) -> Result<(), StoreError> {
        self.tables().endpoints.retain(|_, row| row.id != id);
        Ok(())
    }
}

#[async_trait]
impl ResourceReader for FakeStore {
    async fn latest(&self, id: EndpointId) -> Result<Vec<StoredValue>, StoreError> {
        let tables = self.tables();
        let row = tables.endpoints.values().find(|row| row.id == id);
        let mut latest = BTreeMap::new();
        for value in &tables.values {
            if row.is_some_and(|row| row.name == value.endpoint) {
                latest.insert(value.path, value.clone());
            }
        }
        Ok(latest.into_values().collect())
    }

    async fn by_type(
        &self,
        object_id: u16,
        resource_id: u16,
        limit: u64,
        before: Option<i64>,
    ) -> Result<Vec<(i64, StoredValue)>, StoreError> {
        let tables = self.tables();
        let rows: Vec<(i64, &StoredValue)> = (0..).zip(tables.values.iter()).collect();
        let values = rows.into_iter().rev();
        Ok(values
            .filter(|(row, value)| {
                before.is_none_or(|before| *row < before)
                    && value.path.object_id() == Some(object_id)
                    && value.path.resource_id() == Some(resource_id)
            })
            .take(at_most(limit))
            .map(|(row, value)| (row, value.clone()))
            .collect())
    }

    async fn types(&self) -> Result<Vec<ResourceType>, StoreError> {
        Ok(self.tables().types.clone())
    }
}

#[async_trait]
impl HistoryStore for FakeStore {
    async fn history(
        &self,
        _: EndpointId,
        path: Path,
        from: Timestamp,
        to: Timestamp,
        points: usize,
        _: Aggregate,
    ) -> Result<Vec<(Timestamp, f64)>, StoreError> {
        let tables = self.tables();
        let values = tables.values.iter();
        Ok(values
            .filter(|value| value.path == path && (from..to).contains(&value.time))
            .filter_map(|value| Some((value.time, value.value.as_number()?)))
            .take(points)
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
impl EventReader for FakeStore {
    async fn list(
        &self,
        endpoint: Option<EndpointId>,
        event_type: Option<&str>,
        limit: u64,
        before: Option<EventId>,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        let tables = self.tables();
        let wanted = endpoint.and_then(|id| tables.endpoints.values().find(|row| row.id == id));
        let events = tables.events.iter().rev().map(|(event, _)| event);
        Ok(events
            .filter(|event| {
                before.is_none_or(|before| event.id < before)
                    && event_type.is_none_or(|wanted| event.event_type == wanted)
                    && wanted.is_none_or(|row| row.name == event.endpoint)
            })
            .take(at_most(limit))
            .cloned()
            .collect())
    }

    async fn find(&self, id: EventId) -> Result<Option<(StoredEvent, Vec<Node>)>, StoreError> {
        let tables = self.tables();
        Ok(tables
            .events
            .iter()
            .find(|(event, _)| event.id == id)
            .cloned())
    }
}

#[async_trait]
impl OperationReader for FakeStore {
    async fn list(
        &self,
        filter: &OperationFilter,
        limit: u64,
    ) -> Result<Vec<Operation>, StoreError> {
        let tables = self.tables();
        let operations = tables.operations.iter().rev();
        Ok(operations
            .filter(|operation| {
                let kind = operation.request.kind;
                filter.endpoint.is_none_or(|id| operation.endpoint_id == id)
                    && filter
                        .status
                        .is_none_or(|wanted| operation.status == wanted)
                    && filter.kind.is_none_or(|wanted| kind == wanted)
                    && filter.before.is_none_or(|before| operation.id < before)
            })
            .take(at_most(limit))
            .cloned()
            .collect())
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
        let tables = self.tables();
        Ok(tables
            .operations
            .iter()
            .find(|operation| operation.id == id)
            .cloned())
    }
}

#[async_trait]
impl TemplateStore for FakeStore {
    async fn list(&self) -> Result<Vec<ObservationTemplate>, StoreError> {
        Ok(self.tables().templates.clone())
    }

    async fn add(
        &self,
        mut template: ObservationTemplate,
    ) -> Result<ObservationTemplate, StoreError> {
        let mut tables = self.tables();
        template.id = tables.next_id();
        tables.templates.push(template.clone());
        Ok(template)
    }

    async fn update(
        &self,
        mut template: ObservationTemplate,
    ) -> Result<Option<ObservationTemplate>, StoreError> {
        let mut tables = self.tables();
        let mut templates = tables.templates.iter_mut();
        let Some(known) = templates.find(|known| known.id == template.id) else {
            return Ok(None);
        };
        template.revision = known.revision + 1;
        *known = template.clone();
        Ok(Some(template))
    }

    async fn remove(&self, id: i64) -> Result<bool, StoreError> {
        let templates = &mut self.tables().templates;
        let before = templates.len();
        templates.retain(|template| template.id != id);
        Ok(templates.len() < before)
    }
}

#[async_trait]
impl UserStore for FakeStore {
    async fn list(&self) -> Result<Vec<User>, StoreError> {
        Ok(self.tables().users.clone())
    }

    async fn find(&self, name: &str) -> Result<Option<User>, StoreError> {
        let tables = self.tables();
        Ok(tables.users.iter().find(|user| user.name == name).cloned())
    }

    async fn add(&self, mut user: User) -> Result<User, StoreError> {
        let mut tables = self.tables();
        if tables.users.iter().any(|known| known.name == user.name) {
            return Err(StoreError::Exists(format!("user `{}`", user.name)));
        }
        user.id = tables.next_id();
        tables.users.push(user.clone());
        Ok(user)
    }

    async fn set_password(&self, name: &str, hash: &str) -> Result<bool, StoreError> {
        let mut tables = self.tables();
        tables
            .sessions
            .retain(|session| session.user.as_deref() != Some(name));
        let user = tables.users.iter_mut().find(|user| user.name == name);
        Ok(user
            .map(|user| {
                hash.clone_into(&mut user.password_hash);
                user.must_change_password = false;
            })
            .is_some())
    }

    async fn remove(&self, name: &str) -> Result<bool, StoreError> {
        let mut tables = self.tables();
        tables
            .sessions
            .retain(|session| session.user.as_deref() != Some(name));
        let before = tables.users.len();
        tables.users.retain(|user| user.name != name);
        Ok(tables.users.len() < before)
    }
}

#[async_trait]
impl SessionStore for FakeStore {
    async fn find(
        &self,
        key_hash: &[u8],
        now: Timestamp,
    ) -> Result<Option<WebSession>, StoreError> {
        let tables = self.tables();
        let found = tables
            .sessions
            .iter()
            .find(|session| session.key_hash == key_hash && session.expires_at > now);
        Ok(found.cloned())
    }

    async fn save(&self, session: WebSession) -> Result<(), StoreError> {
        let sessions = &mut self.tables().sessions;
        sessions.retain(|known| known.key_hash != session.key_hash);
        sessions.push(session);
        Ok(())
    }

    async fn replace(&self, session: WebSession) -> Result<bool, StoreError> {
        let sessions = &mut self.tables().sessions;
        let known = sessions
            .iter_mut()
            .find(|known| known.key_hash == session.key_hash);
        Ok(known.map(|known| *known = session).is_some())
    }

    async fn remove(&self, key_hash: &[u8]) -> Result<(), StoreError> {
        let sessions = &mut self.tables().sessions;
        sessions.retain(|session| session.key_hash != key_hash);
        Ok(())
    }

    async fn prune(&self, now: Timestamp) -> Result<u64, StoreError> {
        let sessions = &mut self.tables().sessions;
        let before = sessions.len();
        sessions.retain(|session| session.expires_at > now);
        Ok((before - sessions.len()) as u64)
    }
}

#[async_trait]
impl TokenStore for FakeStore {
    async fn list(&self) -> Result<Vec<ApiToken>, StoreError> {
        Ok(self.tables().tokens.clone())
    }

    async fn find(&self, hash: &[u8]) -> Result<Option<ApiToken>, StoreError> {
        let tables = self.tables();
        Ok(tables
            .tokens
            .iter()
            .find(|token| token.hash == hash)
            .cloned())
    }

    async fn add(&self, mut token: ApiToken) -> Result<ApiToken, StoreError> {
        let mut tables = self.tables();
        if tables.tokens.iter().any(|known| known.name == token.name) {
            return Err(StoreError::Exists(format!("token `{}`", token.name)));
        }
        token.id = tables.next_id();
        tables.tokens.push(token.clone());
        Ok(token)
    }

    async fn used(&self, id: i64, at: Timestamp) -> Result<(), StoreError> {
        let mut tables = self.tables();
        tables.uses += 1;
        for token in tables.tokens.iter_mut().filter(|token| token.id == id) {
            token.last_used_at = Some(at);
        }
        Ok(())
    }

    async fn remove(&self, id: i64) -> Result<bool, StoreError> {
        let tokens = &mut self.tables().tokens;
        let before = tokens.len();
        tokens.retain(|token| token.id != id);
        Ok(tokens.len() < before)
    }
}

#[async_trait]
impl AuditStore for FakeStore {
    async fn add(&self, entry: AuditEntry) -> Result<(), StoreError> {
        self.tables().note(Some(entry));
        Ok(())
    }

    async fn list(&self, limit: u64, before: Option<i64>) -> Result<Vec<AuditEntry>, StoreError> {
        let tables = self.tables();
        let lines = tables.audit.iter().rev();
        Ok(lines
            .filter(|line| before.is_none_or(|before| line.id < before))
            .take(at_most(limit))
            .cloned()
            .collect())
    }
}

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
        tables.note(
            new.by
                .map(|by| AuditEntry::operation_created(by, &operation)),
        );
        Ok(operation)
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
        tables.note(by.map(|by| AuditEntry::operation_cancelled(by, at, &operation)));
        Ok(operation)
    }

    async fn forget(&self, endpoint: &EndpointName) -> Result<bool, OperateError> {
        Ok(self.0.tables().endpoints.remove(endpoint).is_some())
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
        tables.note(by.map(|by| AuditEntry::endpoint_updated(by, at, endpoint, &profile)));
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
