//! What is kept: SeaORM behind narrow traits, one file per aggregate, and one writer.
//!
//! Data flows one way: rooms hand a [`Commit`] to the [`FleetWriter`], it shares a transaction with
//! others, and once that transaction is on disk the caller is told and the live messages go out
//! (commit before acknowledge, commit before publish). Reading goes through the `…Reader` traits.
//!
//! This room never talks to the network and never decides what a change means.

mod audit;
mod batch;
mod bulk;
mod change;
mod checkpoint;
mod connect;
mod credential;
mod device_log;
mod devices;
mod downsample;
mod dtls_session;
mod endpoint;
mod event;
mod failure;
mod firmware;
mod firmware_update;
mod fleet;
mod forgiven;
mod history;
mod idempotency;
mod ids;
mod journal;
mod lock;
mod log_resource;
mod metrics;
mod model;
mod open;
mod operation;
mod operation_search;
mod over_age;
mod people;
mod pinned_chart;
mod place;
mod proof;
mod prune;
mod records;
mod remove;
mod resource;
mod rollout;
mod routes;
mod rows;
mod rule;
mod rule_event;
mod saved_filter;
mod sequence;
mod session;
mod sql;
mod tables;
mod template;
mod token;
mod totp;
mod traffic;
mod transaction;
mod user;
mod values;
mod writer;

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::BoxFuture;

use crate::domain::{
    AuditEntry, ContentFormat, Doer, EndpointId, EndpointName, EventId, GatewayState, KeptSession,
    KeyedOperation, Learned, LogLevel, LogResource, NextWake, Node, Observation, Operation,
    OperationId, OperationKind, Path, Profile, Registration, Rule, RuleId, RuleSpec, Selection,
    Severity, StoredLogLine, Timestamp, Value, ValueType, Wanted,
};

pub use bulk::{BulkAdded, BulkNews, BulkSettled, BulkStore, BulkTurn, KnownBulk};
pub use change::{Change, Commit, Notified, StoredEndpoint, StoredFleet, StoredRoute};
pub use credential::{
    Addition, CredentialFilter, CredentialStore, RevocationStore, RevokedCertificate,
    StoredCertificate, StoredCredential, StoredProof,
};
pub use devices::{
    DeviceFilter, DevicePage, DevicePlace, DeviceQuery, DeviceSearch, DeviceSort, DeviceState,
    FleetCounts, ListedDevice, Moment,
};
pub use downsample::{Point, downsample};
pub use firmware::{
    FirmwareFolder, FirmwareShelf, FirmwareStore, FirmwareUpdateReader, IncomingFile, NewImage,
    ReceiveError, ReceivedFile, Shelf, Shelved, UpdateFilter, check_new_image,
};
pub use history::{
    Aggregate, HistoryStore, LatestValue, RawValue, Retention, Series, SeriesPoint, SeriesReader,
    Summary,
};
pub use ids::Ids;
pub use metrics::Metrics;
pub use open::{Publisher, Store};
pub use operation_search::{OperationQuery, OperationSearch};
pub use people::{
    ApiToken, AuditFilter, AuditStore, Outsider, Role, SessionStore, TokenStore, Totp, TotpStore,
    User, UserChange, UserSource, UserStore, WebSession,
};
pub use pinned_chart::{PinChange, PinStore, PinnedChart};
pub use place::{Found, Place};
pub use rollout::{RolloutStore, TargetFilter};
pub use saved_filter::{FilterReach, FilterToSave, ForgottenFilter, SavedFilter, SavedFilterStore};
pub use traffic::TrafficStore;

/// Why the store could not do it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The database refused or is gone.
    #[error("database: {0}")]
    Database(String),
    /// The writer's queue is full: the database is slower than the devices.
    #[error("the store is busy: {limit} commits are waiting")]
    Busy {
        /// `store.queue_length`
        limit: usize,
    },
    /// The store is shutting down.
    #[error("the store is closed")]
    Closed,
    /// A row holds what this version cannot read.
    #[error("the database holds {what} that cannot be read: {why}")]
    Corrupt {
        /// Which kind of row.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// The folder that everything is kept in cannot be used.
    #[error("cannot write to the data folder {}: {why}", folder.display())]
    DataDir {
        /// `data_dir`
        folder: PathBuf,
        /// What the operating system says.
        why: String,
    },
    /// Something of this name exists already.
    #[error("{0} exists already")]
    Exists(String),
    /// There are as many as there may be.
    #[error("there may be at most {limit} {what}")]
    Full {
        /// Of what.
        what: &'static str,
        /// How many.
        limit: u64,
    },
    /// It would leave nobody who may manage people.
    #[error("this is the last admin who can log in")]
    LastAdmin,
    /// The name belongs to somebody who logs in another way.
    #[error("the name `{0}` belongs to another account")]
    NotTheirs(String),
    /// Another process has the data.
    #[error("another flownexus is running on {what}; stop it first")]
    InUse {
        /// The data folder or the database.
        what: String,
    },
}

/// Writes what happens in the fleet.
pub trait FleetWriter: Send + Sync {
    /// Takes its place in the writer's queue at once, when it is called and not when it is first
    /// polled: commits of one caller are written in the order of its calls. The future is ready
    /// when the changes are on disk and the live messages are out; dropping it changes nothing.
    ///
    /// # Errors
    /// [`StoreError::Busy`] when the queue is full, [`StoreError::Closed`] after
    /// [`Store::close`], [`StoreError::Database`] when the database refused this commit: then
    /// none of its changes happened.
    fn commit(&self, commit: Commit) -> BoxFuture<'static, Result<(), StoreError>>;

    /// Hands out row ids, unique for ever (also when the commit they were meant for fails).
    fn ids(&self) -> &Ids;
}

/// A device and what it needs to go on, or why that cannot be read ([`StoreError::Corrupt`]).
pub type Loaded = (EndpointId, Result<StoredEndpoint, StoreError>);

/// Loads what a restart needs.
#[async_trait]
pub trait FleetLoader: Send + Sync {
    /// What leads to the devices. First the downtime is forgiven: every registration lives longer by the
    /// time since the last [heartbeat](FleetLoader::heartbeat) and `grace`, on disk too, and this
    /// counts as a heartbeat, so that a crash right after it forgives nothing twice. It takes no longer
    /// for many registrations than for one (docs/adr/0013). To be called once, at the start, before anything
    /// else of this store is used.
    async fn load(&self, grace: Duration) -> Result<StoredFleet, StoreError>;

    /// What these devices need to go on, for actors that are started anew: one entry for each of them
    /// that has a row, in the order of their ids. One that cannot be read does not keep the others from
    /// theirs. As cheap for a few hundred as for a few.
    async fn load_endpoints(&self, ids: Vec<EndpointId>) -> Result<Vec<Loaded>, StoreError>;

    /// What one device needs to go on; nothing of a device that has no row yet.
    async fn load_endpoint(&self, endpoint_id: EndpointId) -> Result<StoredEndpoint, StoreError> {
        let mut loaded = self.load_endpoints(vec![endpoint_id]).await?;
        loaded
            .pop()
            .map_or_else(|| Ok(StoredEndpoint::default()), |(_, stored)| stored)
    }

    /// What is remembered of the gateways that told of a device; nothing of a device that has no
    /// row yet.
    async fn load_gateway(&self, endpoint_id: EndpointId) -> Result<GatewayState, StoreError>;

    /// Notes that the server is alive; the downtime after a crash is counted from here. How often that was
    /// noted in this database so far.
    async fn heartbeat(&self, at: Timestamp) -> Result<i64, StoreError>;
}

/// A file beside the database that is not put back together with it, or is another file then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Witness {
    /// Tells it from other files, copies of it included.
    pub file: i64,
    /// The number of the last [heartbeat](FleetLoader::heartbeat) that it has seen; 0: none.
    pub seen: i64,
}

/// Takes up the DTLS sessions of the time before.
#[async_trait]
pub trait SecureSessionLoader: Send + Sync {
    /// Removes those that were not heard of since `since`, moves the mark
    /// [`numbers`](KeptSession::numbers) of all others on by `step` on disk (saturating at
    /// [`i64::MAX`]), and returns them with the mark as it was before: the numbers from there on,
    /// `step` of them, may be used, and never again after the next call. One transaction, on disk
    /// before this returns. To be called once, at the start.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when the address of one cannot be read; then nothing has changed.
    async fn take_up(&self, step: u64, since: Timestamp) -> Result<Vec<KeptSession>, StoreError>;

    /// Forgets all sessions and says true when the database is not the one that was there at the last
    /// [heartbeat](FleetLoader::heartbeat), but an earlier state of it that was put back: the marks in it
    /// are too low. To be called before the first heartbeat and before
    /// [`take_up`](SecureSessionLoader::take_up).
    async fn compare_with(&self, witness: Witness) -> Result<bool, StoreError>;
}

/// One line of the device list.
#[derive(Clone, Debug, PartialEq)]
pub struct EndpointRow {
    /// Its row.
    pub id: EndpointId,
    /// Its name.
    pub name: EndpointName,
    /// When it was first seen.
    pub created_at: Timestamp,
    /// When it was last heard of.
    pub last_seen_at: Option<Timestamp>,
    /// What was learnt of it.
    pub learned: Learned,
    /// What people say of it.
    pub profile: Profile,
    /// Its registration, while it has one.
    pub registration: Option<Registration>,
    /// What outside gateways told of it.
    pub gateway: GatewayState,
}

impl EndpointRow {
    /// True while it is registered here or with a gateway.
    pub fn is_registered(&self) -> bool {
        self.registration.is_some() || self.through_gateway().is_some()
    }

    /// Since when it is registered with a gateway, unless it is registered here: then it can be
    /// talked to, and what the gateway says does not matter.
    pub fn through_gateway(&self) -> Option<Timestamp> {
        match self.registration {
            Some(_) => None,
            None => self.gateway.registered_since(),
        }
    }
}

impl EndpointRow {
    /// When a device in queue mode that sleeps now is expected to wake; nothing for the others.
    pub fn next_wake(&self, now: Timestamp) -> Option<NextWake> {
        let registration = self
            .registration
            .as_ref()
            .filter(|registration| registration.queue_mode)?;
        Some(self.learned.next_wake(now, registration.expires_at))
    }
}

/// What to list.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EndpointFilter {
    /// Only registered ones, or only the others.
    pub registered: Option<bool>,
    /// A part of the name, upper and lower case alike.
    pub search: Option<String>,
    /// A tag that they have.
    pub tag: Option<String>,
    /// At most so many.
    pub limit: u64,
    /// Only names after this one (the last of the page before).
    pub after: Option<EndpointName>,
}

/// Reads and forgets endpoints.
#[async_trait]
pub trait EndpointReader: Send + Sync {
    /// Endpoints by name, with whether there are more behind the last one.
    async fn list(&self, filter: &EndpointFilter) -> Result<(Vec<EndpointRow>, bool), StoreError>;
    /// One endpoint.
    async fn find(&self, name: &EndpointName) -> Result<Option<EndpointRow>, StoreError>;
    /// Its observations.
    async fn observations(&self, id: EndpointId) -> Result<Vec<Observation>, StoreError>;
    /// What is wanted to be observed on it.
    async fn wanted(&self, id: EndpointId) -> Result<Vec<Wanted>, StoreError>;
    /// How many endpoints there are, and how many are registered.
    async fn count(&self) -> Result<(u64, u64), StoreError>;
    /// Forgets an endpoint and all its data, in pieces; the line is written with the last of them. The caller ends its actor
    /// first.
    async fn remove(&self, id: EndpointId, line: Option<AuditEntry>) -> Result<(), StoreError>;
}

/// A resource type as the first flownexus names them: `temperature` is 3303/5700.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceType {
    /// Its object.
    pub object_id: u16,
    /// Its resource.
    pub resource_id: u16,
    /// Its name, unique.
    pub name: String,
    /// Its type; none for executables.
    pub value_type: Option<ValueType>,
}

/// A stored value.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredValue {
    /// From which device.
    pub endpoint: EndpointName,
    /// Where.
    pub path: Path,
    /// What.
    pub value: Value,
    /// When it was measured; where the device did not say, when it arrived.
    pub time: Timestamp,
    /// When it arrived.
    pub received_at: Timestamp,
}

/// Reads values.
#[async_trait]
pub trait ResourceReader: Send + Sync {
    /// The latest value of each path of a device, by path.
    async fn latest(&self, id: EndpointId) -> Result<Vec<StoredValue>, StoreError>;
    /// The newest values of one resource over all devices, newest first, each with its row;
    /// `before` is the row of the last one of the page before.
    async fn by_type(
        &self,
        object_id: u16,
        resource_id: u16,
        limit: u64,
        before: Option<i64>,
    ) -> Result<Vec<(i64, StoredValue)>, StoreError>;
    /// The known resource types, by object and resource.
    async fn types(&self) -> Result<Vec<ResourceType>, StoreError>;
}

/// A stored event.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredEvent {
    /// Its row.
    pub id: EventId,
    /// From which device.
    pub endpoint: EndpointName,
    /// What kind.
    pub event_type: String,
    /// When.
    pub time: Timestamp,
    /// The name of the rule that made it, if one did; it may be gone.
    pub rule: Option<String>,
    /// How bad it is, as its rule says.
    pub severity: Option<Severity>,
    /// What happened, in words, as its rule says.
    pub message: Option<String>,
}

/// Reads events.
#[async_trait]
pub trait EventReader: Send + Sync {
    /// A page of events.
    async fn search(&self, query: &EventQuery) -> Result<Found<StoredEvent>, StoreError>;
    /// One event with its values.
    async fn find(&self, id: EventId) -> Result<Option<(StoredEvent, Vec<Node>)>, StoreError>;
    /// What is in these events, of each at most `most` values.
    async fn glance(&self, ids: Vec<EventId>, most: u64) -> Result<Vec<EventGlance>, StoreError>;
}

/// Which events, and which page of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EventQuery {
    /// Only those of this device.
    pub endpoint: Option<EndpointId>,
    /// Only those of this type.
    pub event_type: Option<String>,
    /// Only those that the rule of this name made.
    pub rule: Option<String>,
    /// Only those of rules that say that it is at least so bad.
    pub severity: Option<Severity>,
    /// Only those that happened then or later.
    pub from: Option<Timestamp>,
    /// Only those that happened before then.
    pub to: Option<Timestamp>,
    /// Where the page begins; nothing for the newest.
    pub place: Option<Place<EventId>>,
    /// So many at most.
    pub limit: u64,
}

/// The first values of an event.
#[derive(Clone, Debug, PartialEq)]
pub struct EventGlance {
    /// Of which event.
    pub id: EventId,
    /// In the order in which the device sent them.
    pub first: Vec<Node>,
    /// How many it has, those included.
    pub count: u64,
}

/// Reads operations. They are changed by the endpoint's actor alone, through [`FleetWriter`].
#[async_trait]
pub trait OperationReader: Send + Sync {
    /// One operation.
    async fn find(&self, id: OperationId) -> Result<Option<Operation>, StoreError>;
    /// What was asked of a device with a key, also when that was so long ago that it counts no more.
    async fn keyed(
        &self,
        endpoint: EndpointId,
        key: [u8; 32],
    ) -> Result<Option<KeyedOperation>, StoreError>;
    /// How many operations of a device are QUEUED.
    async fn count_waiting(&self, endpoint: EndpointId) -> Result<u64, StoreError>;
}

/// What is observed or read on each registration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservationTemplate {
    /// Its row; 0 before it is stored.
    pub id: i64,
    /// One path, or several for a composite.
    pub paths: Vec<Path>,
    /// `read` reads once, `observe` and `observe_composite` ask for notifications.
    pub kind: OperationKind,
    /// For which devices.
    pub selection: Selection,
    /// Notification attributes that are set before the observation is made, by name.
    pub attributes: Vec<(String, String)>,
    /// The format that is asked for, or the server's choice.
    pub format: Option<ContentFormat>,
    /// False while it counts for nobody.
    pub enabled: bool,
    /// Counted up with each change, by the store.
    pub revision: i64,
}

impl ObservationTemplate {
    /// What it is, in words: for the audit log.
    pub fn describe(&self) -> String {
        let paths: Vec<String> = self.paths.iter().map(Path::to_string).collect();
        let mut text = format!("{} {}", self.kind, paths.join(" "));
        for (name, value) in &self.attributes {
            text.push_str(&format!(" {name}={value}"));
        }
        if let Some(format) = self.format {
            text.push_str(&format!(" as {}", format.name()));
        }
        text.push_str(&format!(" for {}", self.selection));
        if !self.enabled {
            text.push_str(", disabled");
        }
        text
    }
}

/// Reads and changes observation templates.
#[async_trait]
pub trait TemplateStore: Send + Sync {
    /// All of them, by id.
    async fn list(&self) -> Result<Vec<ObservationTemplate>, StoreError>;
    /// Stores a new one and returns it with its id. Each change is written with its line of the audit log.
    async fn add(
        &self,
        template: ObservationTemplate,
        by: Doer,
    ) -> Result<ObservationTemplate, StoreError>;
    /// Puts another in the place of the one with its id, counts the revision up and returns it;
    /// nothing when there is none of this id.
    async fn update(
        &self,
        template: ObservationTemplate,
        by: Doer,
    ) -> Result<Option<ObservationTemplate>, StoreError>;
    /// Removes one; false when there is none of this id.
    async fn remove(&self, id: i64, by: Doer) -> Result<bool, StoreError>;
}

/// Which lines of a device's log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogFilter {
    /// A part of the line, upper and lower case alike.
    pub search: Option<String>,
    /// Lines that are at least as important.
    pub level: Option<LogLevel>,
    /// Not before this time.
    pub from: Option<Timestamp>,
    /// Before this time.
    pub to: Option<Timestamp>,
    /// At most so many.
    pub limit: u64,
    /// Only lines with a smaller id (the last of the page before).
    pub before: Option<i64>,
}

/// Reads devices' logs.
#[async_trait]
pub trait LogReader: Send + Sync {
    /// Lines of one device, newest first.
    async fn list(
        &self,
        endpoint: EndpointId,
        filter: &LogFilter,
    ) -> Result<Vec<StoredLogLine>, StoreError>;
}

/// Reads and changes which values are logs.
#[async_trait]
pub trait LogResourceStore: Send + Sync {
    /// All of them, by id.
    async fn list(&self) -> Result<Vec<LogResource>, StoreError>;
    /// Stores a new one and returns it with its id. Each change is written with its line of the audit log.
    async fn add(&self, resource: LogResource, by: Doer) -> Result<LogResource, StoreError>;
    /// Removes one; false when there is none of this id.
    async fn remove(&self, id: i64, by: Doer) -> Result<bool, StoreError>;
}

/// Reads and changes rules.
#[async_trait]
pub trait RuleStore: Send + Sync {
    /// All of them, by id.
    async fn list(&self) -> Result<Vec<Rule>, StoreError>;
    /// Stores a new one; [`StoreError::Exists`] when the name is taken. Each change is written with its line of the audit log.
    async fn add(&self, spec: RuleSpec, by: Doer) -> Result<Rule, StoreError>;
    /// Replaces one; nothing when there is none of this id, [`StoreError::Exists`] when another one
    /// has the name. What is remembered for it counts on unless it watches something else now.
    async fn replace(
        &self,
        id: RuleId,
        spec: RuleSpec,
        by: Doer,
    ) -> Result<Option<Rule>, StoreError>;
    /// Removes one; false when there is none of this id. Its events stay.
    async fn remove(&self, id: RuleId, by: Doer) -> Result<bool, StoreError>;
    /// Removes what is remembered for a rule that is gone, in pieces.
    async fn forget_states(&self, id: RuleId) -> Result<(), StoreError>;
}

/// An object model that somebody uploaded, without its definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelEntry {
    /// Its row; 0 before it is stored. It is never used again, also when the model is replaced.
    pub id: i64,
    /// The object.
    pub object_id: u16,
    /// Its version, as `MAJOR.MINOR`.
    pub version: String,
    /// Its name.
    pub name: String,
    /// When it was uploaded.
    pub created_at: Timestamp,
    /// Who uploaded it: a login or `token:NAME`.
    pub created_by: String,
}

/// An object model that somebody uploaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadedModel {
    /// What is known of it.
    pub entry: ModelEntry,
    /// Its definition, the XML as it was uploaded.
    pub source: String,
}

/// An object model that was just stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddedModel {
    /// What is known of it, with its row.
    pub entry: ModelEntry,
    /// True when one of the same object and version went.
    pub replaced: bool,
}

/// Differs whenever the uploaded models differ: each addition takes a new row id, and each removal
/// alone makes them fewer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ModelMark {
    /// How many there are.
    pub count: i64,
    /// The largest row id.
    pub newest: i64,
}

/// Keeps the object models that people uploaded.
#[async_trait]
pub trait ModelStore: Send + Sync {
    /// All of them without their definitions, by object id.
    async fn list(&self) -> Result<Vec<ModelEntry>, StoreError>;
    /// At most `limit` with a row id above `id`, by row id.
    async fn newer_than(&self, id: i64, limit: u64) -> Result<Vec<UploadedModel>, StoreError>;
    /// One with its definition.
    async fn find(
        &self,
        object_id: u16,
        version: &str,
    ) -> Result<Option<UploadedModel>, StoreError>;
    /// Whether they are still the same; cheap.
    async fn mark(&self) -> Result<ModelMark, StoreError>;
    /// Stores all of these (their row ids are ignored) or none. One that is there already is
    /// replaced when `replace` says so, otherwise [`StoreError::Exists`] names it;
    /// [`StoreError::Full`] when there would be more than `limit`. Each change is written with its line of the audit log.
    async fn add(
        &self,
        models: Vec<UploadedModel>,
        replace: bool,
        limit: u64,
        by: Doer,
    ) -> Result<Vec<AddedModel>, StoreError>;
    /// Removes one; false when there is none of this object and version.
    async fn remove(&self, object_id: u16, version: &str, by: Doer) -> Result<bool, StoreError>;
}
