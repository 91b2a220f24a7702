//! A store in memory, and devices that answer at once: for tests of the web room alone.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use flownexus::domain::{
    AuditEntry, Doer, EndpointId, EndpointName, EventId, GatewayState, KeyedOperation, Learned,
    LogResource, Node, Observation, Operation, OperationId, OperationStatus, Path, Peer, Profile,
    Registration, RegistrationId, Rule, StoredLogLine, Timestamp, Value, ValueType, Wanted,
};
use flownexus::store::{
    Aggregate, EndpointFilter, EndpointReader, EndpointRow, EventGlance, EventQuery, EventReader,
    Found, HistoryStore, ObservationTemplate, OperationReader, ResourceReader, ResourceType,
    Retention, StoreError, StoredEvent, StoredValue, TemplateStore,
};

use super::fake_fleet;
use super::fake_people::{People, keeps_people};
use super::fake_updates::FakeUpdates;

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
    last_id: i64,
}

impl Tables {
    pub(crate) fn next_id(&mut self) -> i64 {
        self.last_id += 1;
        self.last_id
    }
}

/// The store.
#[derive(Default)]
pub(crate) struct FakeStore {
    tables: Mutex<Tables>,
    pub(crate) filters: super::fake_filters::FakeFilters,
    pub(crate) pins: super::fake_charts::FakePins,
    pub(crate) people: Arc<Mutex<People>>,
    pub(crate) updates: FakeUpdates,
    pub(crate) bulks: fake_fleet::FakeBulks,
    pub(crate) rollouts: Arc<super::fake_rollouts::FakeRollouts>,
}

keeps_people!(FakeStore);
super::fake_filters::keeps_filters!(FakeStore);
super::fake_fleet::finds_devices!(FakeStore);

impl FakeStore {
    pub(crate) fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A line of the audit log about a row.
    pub(crate) fn say(&self, by: Doer, action: &str, row: i64, detail: &str) {
        let line = by.line(action, &row.to_string(), detail);
        self.people().note(Some(line));
    }

    pub(crate) fn people(&self) -> MutexGuard<'_, People> {
        self.people.lock().unwrap_or_else(PoisonError::into_inner)
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
    async fn list(&self, filter: &EndpointFilter) -> Result<(Vec<EndpointRow>, bool), StoreError> {
        // Rollouts ask for all of them, and charts for those with a tag.
        let mut rows = self.all_rows();
        rows.retain(|row| {
            let tags = &row.profile.tags;
            filter.tag.as_ref().is_none_or(|tag| tags.contains(tag))
        });
        Ok((rows, false))
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

    async fn remove(&self, id: EndpointId, line: Option<AuditEntry>) -> Result<(), StoreError> {
        self.people().note(line);
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
        retention: Retention,
        by: Doer,
    ) -> Result<ResourceType, StoreError> {
        let subject = format!("/{object_id}/*/{resource_id}");
        let line = by.line("resource_type.retention", &subject, retention.describe());
        self.people().note(Some(line));
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
    async fn search(&self, query: &EventQuery) -> Result<Found<StoredEvent>, StoreError> {
        let tables = self.tables();
        let device = query.endpoint;
        let device = device.and_then(|id| tables.endpoints.values().find(|row| row.id == id));
        let all: Vec<StoredEvent> = tables
            .events
            .iter()
            .map(|(event, _)| event.clone())
            .collect();
        Ok(fake_fleet::events(&all, device.map(|row| &row.name), query))
    }

    async fn find(&self, id: EventId) -> Result<Option<(StoredEvent, Vec<Node>)>, StoreError> {
        let tables = self.tables();
        Ok(tables
            .events
            .iter()
            .find(|(event, _)| event.id == id)
            .cloned())
    }

    async fn glance(&self, ids: Vec<EventId>, most: u64) -> Result<Vec<EventGlance>, StoreError> {
        let tables = self.tables();
        let events = tables.events.iter();
        let wanted = events.filter(|(event, _)| ids.contains(&event.id));
        Ok(wanted
            .map(|(event, values)| EventGlance {
                id: event.id,
                first: values.iter().take(at_most(most)).cloned().collect(),
                count: values.len() as u64,
            })
            .collect())
    }
}

#[async_trait]
impl OperationReader for FakeStore {
    async fn keyed(
        &self,
        _: EndpointId,
        _: [u8; 32],
    ) -> Result<Option<KeyedOperation>, StoreError> {
        Ok(None)
    }

    async fn count_waiting(&self, endpoint: EndpointId) -> Result<u64, StoreError> {
        let tables = self.tables();
        let waiting = tables.operations.iter().filter(|operation| {
            operation.endpoint_id == endpoint && operation.status == OperationStatus::Queued
        });
        Ok(waiting.count() as u64)
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
        by: Doer,
    ) -> Result<ObservationTemplate, StoreError> {
        let mut tables = self.tables();
        template.id = tables.next_id();
        self.say(by, "template.create", template.id, &template.describe());
        tables.templates.push(template.clone());
        Ok(template)
    }

    async fn update(
        &self,
        mut template: ObservationTemplate,
        by: Doer,
    ) -> Result<Option<ObservationTemplate>, StoreError> {
        let mut tables = self.tables();
        let mut templates = tables.templates.iter_mut();
        let Some(known) = templates.find(|known| known.id == template.id) else {
            return Ok(None);
        };
        template.revision = known.revision + 1;
        *known = template.clone();
        self.say(by, "template.update", template.id, &template.describe());
        Ok(Some(template))
    }

    async fn remove(&self, id: i64, by: Doer) -> Result<bool, StoreError> {
        let templates = &mut self.tables().templates;
        let before = templates.len();
        templates.retain(|template| template.id != id);
        let removed = templates.len() < before;
        if removed {
            self.say(by, "template.delete", id, "");
        }
        Ok(removed)
    }
}
