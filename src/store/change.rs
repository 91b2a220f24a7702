//! What can be written: every change of the state of the fleet is one of these.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::StoreError;
use crate::domain::{
    AuditEntry, EndpointId, EndpointName, EventId, FirmwareUpdate, FirmwareUpdateId, GatewayState,
    KeptSession, KeyedOperation, Learned, LiveEvent, LogLine, Node, Observation, ObservationId,
    Operation, Path, Peer, Periods, Profile, Registration, RegistrationId, RuleEvent, RuleState,
    SessionId, SessionMark, StoredAnswer, Timestamp, Token, UpdateStep, Wanted, WantedId,
};

/// One write. All changes of one [`Commit`] are in one transaction: all of them happen or none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Change {
    /// Makes the endpoint's row where it is new (`registration.endpoint_id` comes from
    /// [`Ids`](super::Ids)), and replaces its registration. Observations of an earlier
    /// registration are removed.
    Register(Box<Registration>),
    /// An Update: the registration's row is overwritten, observations stay.
    UpdateRegistration(Box<Registration>),
    /// An Update with nothing new: the registration lives on, and the device may be at another address.
    ExtendRegistration {
        /// Which device.
        endpoint_id: EndpointId,
        /// Which registration: a newer one is not touched.
        registration_id: RegistrationId,
        /// Where the device is.
        peer: Peer,
        /// When the Update came.
        updated_at: Timestamp,
        /// When the lifetime ends.
        expires_at: Timestamp,
    },
    /// Deregistered or expired: the registration and its observations go, the endpoint and its
    /// data stay.
    EndRegistration {
        /// Which device.
        endpoint_id: EndpointId,
        /// Which registration: a newer one is not touched.
        registration_id: RegistrationId,
    },
    /// What an outside gateway told of the device: makes the endpoint's row where it is new
    /// (`endpoint_id` comes from [`Ids`](super::Ids)), and overwrites what is remembered of the
    /// gateway.
    Gateway {
        /// Which device.
        endpoint_id: EndpointId,
        /// Its name.
        endpoint: EndpointName,
        /// What is remembered.
        state: Box<GatewayState>,
        /// When it was told.
        at: Timestamp,
    },
    /// When the device was last heard of.
    Seen {
        /// Which device.
        endpoint_id: EndpointId,
        /// When.
        at: Timestamp,
    },
    /// What was learnt of the device, in the place of what was known.
    Learned {
        /// Which device.
        endpoint_id: EndpointId,
        /// What is known now.
        learned: Box<Learned>,
    },
    /// What people say of the device, in the place of what they said.
    Profile {
        /// Which device.
        endpoint_id: EndpointId,
        /// What they say now.
        profile: Box<Profile>,
    },
    /// How often paths of the device should be told of, in the place of what was known.
    Periods {
        /// Which device.
        endpoint_id: EndpointId,
        /// What is known now.
        periods: Vec<Periods>,
    },
    /// The registration follows the device to another address (NAT).
    Moved {
        /// Which device.
        endpoint_id: EndpointId,
        /// Where it is now.
        peer: Peer,
    },
    /// Message ids below this mark may have been used.
    ReserveMessageIds {
        /// Which device.
        endpoint_id: EndpointId,
        /// The new mark.
        mark: u16,
    },
    /// Values that arrived, one row each.
    Resources {
        /// From which device.
        endpoint_id: EndpointId,
        /// The values; those without a time of their own get `at`.
        nodes: Vec<Node>,
        /// When they arrived.
        at: Timestamp,
        /// True when these values are known to be older than the newest stored ones: they go to
        /// the history, but are not shown as the latest.
        stale: bool,
    },
    /// Values that belong together (a composite notification): rows in `resource`, one `event`
    /// and the `event_resource` rows between them.
    Event {
        /// Its row, from [`Ids`](super::Ids).
        id: EventId,
        /// From which device.
        endpoint_id: EndpointId,
        /// What kind of event; for composite notifications the object's id as text.
        event_type: String,
        /// The values.
        nodes: Vec<Node>,
        /// When it happened.
        at: Timestamp,
    },
    /// Lines of the device's log.
    Log {
        /// From which device.
        endpoint_id: EndpointId,
        /// The resource that they came in.
        path: Path,
        /// The lines, oldest first.
        lines: Vec<LogLine>,
        /// The device's time where it sent one, else that of the arrival.
        time: Timestamp,
        /// When they arrived.
        at: Timestamp,
    },
    /// A rule made an event of values that are written already: in the change in front of this one,
    /// or earlier. The `event_resource` rows point at the value that made it and at the latest
    /// values of what it includes, as they are behind this change.
    RuleEvent(Box<RuleEvent>),
    /// Where a rule stands with a path of a device, new or changed.
    SaveRuleState(Box<RuleState>),
    /// Stores an observation, new or changed; `id` comes from [`Ids`](super::Ids).
    SaveObservation(Box<Observation>),
    /// A notification came for a stored observation. One that is not stored any more does not come back.
    Notified(Notified),
    /// Forgets an observation.
    RemoveObservation {
        /// Which device.
        endpoint_id: EndpointId,
        /// Its token.
        token: Token,
    },
    /// Stores something that is wanted to be observed, new or changed; `id` comes from
    /// [`Ids`](super::Ids).
    SaveWanted(Box<Wanted>),
    /// It is not wanted any more.
    RemoveWanted {
        /// Which device.
        endpoint_id: EndpointId,
        /// Its row.
        id: WantedId,
    },
    /// Stores an operation, new or changed; `id` comes from [`Ids`](super::Ids).
    SaveOperation(Box<Operation>),
    /// Remembers with which key an operation was asked for.
    RememberKey(Box<KeyedOperation>),
    /// Stores a firmware update, new or changed; `id` comes from [`Ids`](super::Ids). A device has at most one that is
    /// not over: a second one is refused by the database.
    SaveFirmwareUpdate(Box<FirmwareUpdate>),
    /// Adds a line to the timeline of a firmware update.
    FirmwareStep {
        /// Which device.
        endpoint_id: EndpointId,
        /// Which update.
        update: FirmwareUpdateId,
        /// What happened.
        step: UpdateStep,
    },
    /// Remembers the answer to a confirmable request.
    RememberAnswer(Box<StoredAnswer>),
    /// Stores a DTLS session, or puts it in the place of the one with its id.
    KeepSession(Box<KeptSession>),
    /// A stored DTLS session stands elsewhere now. One that is not stored, because it has ended,
    /// does not come back.
    MarkSession(SessionMark),
    /// A DTLS session is over: forgets it.
    EndSession {
        /// Which one.
        id: SessionId,
    },
    /// Adds a line to the audit log; it gets its row when it is written to the table.
    Audit(Box<AuditEntry>),
}

/// What a notification changes of its observation, and no more: the rest of the row stays as it is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Notified {
    /// Which observation. It is active now.
    pub id: ObservationId,
    /// Which device.
    pub endpoint_id: EndpointId,
    /// See [`Observation::last_sequence`].
    pub last_sequence: Option<u32>,
    /// See [`Observation::last_message_id`].
    pub last_message_id: Option<u16>,
    /// See [`Observation::last_hash`].
    pub last_hash: Option<i64>,
    /// See [`Observation::notified_at`].
    pub notified_at: Option<Timestamp>,
    /// See [`Observation::notifications`].
    pub notifications: u64,
}

impl Notified {
    /// Where this observation stands after its newest notification.
    pub fn of(observation: &Observation) -> Self {
        Self {
            id: observation.id,
            endpoint_id: observation.endpoint_id,
            last_sequence: observation.last_sequence,
            last_message_id: observation.last_message_id,
            last_hash: observation.last_hash,
            notified_at: observation.notified_at,
            notifications: observation.notifications,
        }
    }
}

impl Change {
    /// Which device it is about, where [what is needed to go on with that](StoredEndpoint) changes.
    pub(super) fn device(&self) -> Option<EndpointId> {
        match self {
            Self::Register(registration) | Self::UpdateRegistration(registration) => {
                Some(registration.endpoint_id)
            }
            Self::ExtendRegistration { endpoint_id, .. }
            | Self::EndRegistration { endpoint_id, .. }
            | Self::Gateway { endpoint_id, .. }
            | Self::Seen { endpoint_id, .. }
            | Self::Learned { endpoint_id, .. }
            | Self::Profile { endpoint_id, .. }
            | Self::Periods { endpoint_id, .. }
            | Self::Moved { endpoint_id, .. }
            | Self::ReserveMessageIds { endpoint_id, .. }
            | Self::Resources { endpoint_id, .. }
            | Self::Event { endpoint_id, .. }
            | Self::Log { endpoint_id, .. }
            | Self::RemoveObservation { endpoint_id, .. }
            | Self::FirmwareStep { endpoint_id, .. }
            | Self::RemoveWanted { endpoint_id, .. } => Some(*endpoint_id),
            Self::RuleEvent(event) => Some(event.endpoint_id),
            Self::SaveRuleState(state) => Some(state.endpoint_id),
            Self::SaveObservation(observation) => Some(observation.endpoint_id),
            Self::Notified(notified) => Some(notified.endpoint_id),
            Self::SaveWanted(wanted) => Some(wanted.endpoint_id),
            Self::SaveOperation(operation) => Some(operation.endpoint_id),
            Self::RememberKey(keyed) => Some(keyed.endpoint_id),
            Self::SaveFirmwareUpdate(update) => Some(update.endpoint_id),
            Self::RememberAnswer(_)
            | Self::KeepSession(_)
            | Self::MarkSession(_)
            | Self::EndSession { .. }
            | Self::Audit(_) => None,
        }
    }

    /// Says what no table can hold, before anybody is told that it is kept.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        let (Self::Event { nodes, .. } | Self::Resources { nodes, .. }) = self else {
            return Ok(());
        };
        match nodes.iter().find(|node| node.path.ids().len() < 3) {
            None => Ok(()),
            Some(node) => Err(StoreError::Database(format!(
                "{} is no path of a resource",
                node.path
            ))),
        }
    }
}

/// Changes that belong together, and what the page is told once they are on disk.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Commit {
    /// What is written, in this order.
    pub changes: Vec<Change>,
    /// What is published after the transaction has been committed, never before.
    pub publish: Vec<LiveEvent>,
}

impl Commit {
    /// True when there is nothing to write or tell.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.publish.is_empty()
    }
}

/// What one device needs to go on after a restart.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StoredEndpoint {
    /// What people say of it.
    pub profile: Profile,
    /// What was learnt of it.
    pub learned: Learned,
    /// The registration in force.
    pub registration: Option<Registration>,
    /// Its observations, oldest first.
    pub observations: Vec<Observation>,
    /// Operations that are QUEUED or SENDING, oldest first.
    pub operations: Vec<Operation>,
    /// Its firmware update, while one is not over.
    pub update: Option<FirmwareUpdate>,
    /// Where the rules stand with it.
    pub rule_states: Vec<RuleState>,
    /// What is wanted to be observed, oldest first.
    pub wanted: Vec<Wanted>,
    /// How often its paths should be told of.
    pub periods: Vec<Periods>,
}

/// A registration in force when the server stopped: what leads to its device.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredRoute {
    /// Which device.
    pub endpoint_id: EndpointId,
    /// Under which location it is registered.
    pub location: RegistrationId,
    /// Where requests to it go.
    pub peer: Peer,
    /// True when it sleeps between its messages.
    pub queue_mode: bool,
    /// When it is taken as gone.
    pub expires_at: Timestamp,
    /// When that address last showed that it receives what is sent there, as far as it is stored; see
    /// [`StoredFleet::keep_proofs`].
    pub proven_at: Option<Timestamp>,
    /// Of its observations.
    pub tokens: Vec<Token>,
}

/// What is needed before the first datagram is read, to go on after a restart as if there had been none.
/// The rest is read when something is first for a device:
/// [`load_endpoints`](super::FleetLoader::load_endpoints).
#[derive(Debug, Default)]
pub struct StoredFleet {
    /// Every endpoint ever seen, registered or not.
    pub endpoints: Vec<(EndpointId, EndpointName)>,
    /// Registrations in force when the server stopped.
    pub registered: Vec<StoredRoute>,
    /// Those that were being asked for something: their answers may be among the first datagrams.
    pub asked: Vec<(EndpointId, StoredEndpoint)>,
    /// Those for which there may be something to do without a datagram: operations wait, a firmware update is
    /// not over, the rest of a notification is to be fetched, or values are missed. Registered or not, each once.
    pub busy: Vec<EndpointId>,
    /// Answers whose copies can still be asked for.
    pub answers: Vec<StoredAnswer>,
    /// How long the server was down: since its last [heartbeat](super::FleetLoader::heartbeat).
    pub downtime: Duration,
}
