//! What the live socket tells: facts that are on disk already.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::{
    BulkId, EndpointName, Lwm2mVersion, Operation, OperationId, OperationKind, OperationStatus,
    Path, Peer, RolloutId, StepFacts, Timestamp, UpdateFacts, Value, Wanted, WantedState,
};

/// What a live message is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LiveKind {
    /// Something that was asked of many devices went on.
    Bulk,
    /// A device went away in order.
    Deregistered,
    /// An event was stored.
    Event,
    /// A lifetime ran out.
    Expired,
    /// A firmware update moved on.
    FirmwareUpdate,
    /// A device was forgotten, with its data.
    Forgotten,
    /// A line of a device's log.
    Log,
    /// A device and the server have said something to each other: `newest`, the number of the last message. Told to
    /// those who listen to that alone, and never kept.
    Messages,
    /// What is wanted to be observed changed its state: `paths`, `state`, `reason`, `wanted`.
    Observation,
    /// An operation changed its state.
    Operation,
    /// People say something else of a device: `tags`, `awake_s`, `edrx_cycle_s`.
    Profile,
    /// A device registered.
    Registered,
    /// A value arrived: `path`, `type`, `value` and `time`.
    Resource,
    /// A rollout went on, or was steered or removed.
    Rollout,
    /// A device updated its registration.
    Updated,
}

/// What a client of the live socket can ask for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Topic {
    /// What was asked of many devices at once.
    Bulk(BulkId),
    /// Every device, and all other topics.
    Fleet,
    /// One device.
    Endpoint(EndpointName),
    /// The messages between one device and the server.
    Messages(EndpointName),
    /// One rollout.
    Rollout(RolloutId),
}

impl Topic {
    /// Reads `fleet`, `endpoint:NAME`, `messages:NAME`, `rollout:NUMBER` or `bulk:NUMBER`.
    ///
    /// # Errors
    /// Names the text that is no topic.
    pub fn parse(text: &str) -> Result<Self, String> {
        let device = |name| EndpointName::new(name).map_err(|error| error.to_string());
        let number = |number: &str| number.parse::<i64>().ok();
        let found = match text.split_once(':') {
            None if text == "fleet" => Some(Self::Fleet),
            Some(("endpoint", name)) => return device(name).map(Self::Endpoint),
            Some(("messages", name)) => return device(name).map(Self::Messages),
            Some(("rollout", id)) => number(id).map(RolloutId).map(Self::Rollout),
            Some(("bulk", id)) => number(id).map(BulkId).map(Self::Bulk),
            _ => None,
        };
        found.ok_or_else(|| {
            format!(
                "`{text}` is no topic (`fleet`, `endpoint:NAME`, `messages:NAME`, `rollout:NUMBER` and \
                 `bulk:NUMBER` are)"
            )
        })
    }

    /// True when a text that begins so may be a topic.
    pub fn begins(text: &str) -> bool {
        let with_name = ["endpoint:", "messages:", "rollout:", "bulk:"];
        text == "fleet"
            || text.starts_with("fleet,")
            || with_name.iter().any(|kind| text.starts_with(kind))
    }
}

impl std::fmt::Display for Topic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bulk(id) => write!(f, "bulk:{id}"),
            Self::Fleet => f.write_str("fleet"),
            Self::Endpoint(name) => write!(f, "endpoint:{name}"),
            Self::Messages(name) => write!(f, "messages:{name}"),
            Self::Rollout(id) => write!(f, "rollout:{id}"),
        }
    }
}

/// One fact, before the hub gives it its sequence number.
#[derive(Clone, Debug, PartialEq)]
pub struct LiveEvent {
    /// The device it is about.
    pub endpoint: EndpointName,
    /// What happened.
    pub kind: LiveKind,
    /// When it happened.
    pub time: Timestamp,
    /// The fields of this kind.
    pub body: LiveBody,
}

impl LiveEvent {
    /// To whom it is told, beside those who listen to everything.
    pub fn topic(&self) -> Topic {
        match self.kind {
            LiveKind::Messages => Topic::Messages(self.endpoint.clone()),
            _ => Topic::Endpoint(self.endpoint.clone()),
        }
    }
}

/// One fact that is about no device.
#[derive(Clone, Debug, PartialEq)]
pub struct LiveNews {
    /// What it is about.
    pub topic: Topic,
    /// What happened.
    pub kind: LiveKind,
    /// When it happened.
    pub time: Timestamp,
    /// The fields of this kind, an object.
    pub fields: Json,
}

/// What a live message tells beside whom, what and when. What happens often is made into JSON only when
/// somebody listens.
#[derive(Clone, Debug, PartialEq)]
pub enum LiveBody {
    /// An object.
    Fields(Json),
    /// Where a firmware update stands.
    FirmwareUpdate(Box<LiveUpdate>),
    /// Where something wanted stands.
    Observation(LiveObservation),
    /// Where an operation stands.
    Operation(LiveOperation),
    /// How a device is registered.
    Registration(LiveRegistration),
    /// A value: `path`, `type` and `value`.
    Resource {
        /// Where.
        path: Path,
        /// What.
        value: Value,
    },
}

/// What a live message tells of a registration.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the names are those of the registration")]
pub struct LiveRegistration {
    pub peer: Peer,
    pub lwm2m_version: Lwm2mVersion,
    pub binding: String,
    pub lifetime: Duration,
    pub queue_mode: bool,
    pub registered_at: Timestamp,
    pub expires_at: Timestamp,
}

/// What a live message tells of an operation.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the names are those of the operation")]
pub struct LiveOperation {
    pub id: OperationId,
    pub kind: OperationKind,
    pub paths: Vec<Path>,
    pub status: OperationStatus,
    pub attempts: u32,
    /// The CoAP code that the device answered with.
    pub code: Option<String>,
    pub error: Option<String>,
}

impl From<&Operation> for LiveBody {
    fn from(operation: &Operation) -> Self {
        Self::Operation(LiveOperation {
            id: operation.id,
            kind: operation.request.kind,
            paths: operation.request.paths.clone(),
            status: operation.status,
            attempts: operation.attempts,
            code: operation.result.as_ref().map(|result| result.code.clone()),
            error: operation.error.clone(),
        })
    }
}

/// What a live message tells of a firmware update.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LiveUpdate {
    /// As the API tells it.
    #[serde(flatten)]
    pub facts: UpdateFacts,
    /// The lines that are new.
    pub timeline: Vec<StepFacts>,
}

impl From<LiveUpdate> for LiveBody {
    fn from(update: LiveUpdate) -> Self {
        Self::FirmwareUpdate(Box::new(update))
    }
}

/// What a live message tells of something that is wanted to be observed.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the names are those of what is wanted")]
pub struct LiveObservation {
    pub paths: Vec<Path>,
    pub composite: bool,
    /// False for what was given up.
    pub is_wanted: bool,
    pub state: WantedState,
    pub reason: Option<String>,
}

impl From<&Wanted> for LiveBody {
    fn from(wanted: &Wanted) -> Self {
        Self::Observation(LiveObservation {
            paths: wanted.paths.clone(),
            composite: wanted.composite,
            is_wanted: wanted.is_wanted(),
            state: wanted.state,
            reason: wanted.reason.clone(),
        })
    }
}

impl LiveBody {
    /// The fields, an object.
    pub fn to_json(&self) -> Json {
        match self {
            Self::Fields(fields) => fields.clone(),
            Self::FirmwareUpdate(update) => json!(update),
            Self::Observation(observation) => json!({
                "paths": texts(&observation.paths),
                "composite": observation.composite,
                "wanted": observation.is_wanted,
                "state": observation.state.name(),
                "reason": observation.reason,
            }),
            Self::Operation(operation) => json!({
                "id": operation.id.0,
                "operation": operation.kind.name(),
                "path": operation.paths.first().map(Path::to_string),
                "paths": texts(&operation.paths),
                "status": operation.status.name(),
                "attempts": operation.attempts,
                "code": operation.code,
                "error": operation.error,
            }),
            Self::Registration(registration) => json!({
                "address": registration.peer.address.to_string(),
                "secure": registration.peer.is_secure(),
                "lwm2m_version": registration.lwm2m_version.to_string(),
                "binding": registration.binding,
                "lifetime_s": registration.lifetime.as_secs(),
                "queue_mode": registration.queue_mode,
                "registered_at": registration.registered_at.to_string(),
                "expires_at": registration.expires_at.to_string(),
            }),
            Self::Resource { path, value } => json!({
                "path": path.to_string(),
                "type": value.value_type().name(),
                "value": value.to_json(),
            }),
        }
    }
}

fn texts(paths: &[Path]) -> Vec<String> {
    paths.iter().map(Path::to_string).collect()
}

impl From<Json> for LiveBody {
    fn from(fields: Json) -> Self {
        Self::Fields(fields)
    }
}
