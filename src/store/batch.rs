//! The changes of many commits as few statements.
//!
//! Changes are collected by table: of rows that are written twice only the last state is written,
//! values are only appended. The tables are then written in a fixed order, which is right for
//! changes of different devices, as each change names its device. Where it would be wrong for the
//! changes of one device (an observation that was saved, and then a new registration that forgets
//! it), [`Batch::conflicts`] says so and what was collected is written first.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use sea_orm::Value as Bind;

use super::audit;
use super::device_log::line_row;
use super::dtls_session::SessionChanges;
use super::failure::Failure;
use super::firmware_update::{step_row, update_row};
use super::idempotency::key_row;
use super::records::{
    answer_row, gateway_columns, millis, notified_row, observation_row, operation_row,
    peer_columns, profile_row, registration_row, text, to_json, wanted_row,
};
use super::rows::{self, Statements};
use super::rule::state_row;
use super::rule_event::Found;
use super::transaction::Transaction;
use super::values::Columns;
use super::{Change, Ids, Notified, StoreError};
use crate::domain::{
    AuditEntry, EndpointId, EndpointName, EventId, FirmwareUpdate, FirmwareUpdateId, GatewayState,
    KeyedOperation, Learned, Node, Observation, ObservationId, Operation, OperationId, Path,
    PathPattern, Peer, Periods, Profile, Registration, RegistrationId, RuleId, RuleState, Severity,
    StoredAnswer, Timestamp, Token, Wanted, WantedId,
};

/// Changes that are not written yet.
#[derive(Debug, Default)]
pub(super) struct Batch<'a> {
    touched: HashMap<EndpointId, Touched>,
    ended: HashMap<(EndpointId, &'a RegistrationId), ()>,
    registered: HashMap<EndpointId, &'a Registration>,
    gateways: HashMap<EndpointId, (&'a EndpointName, &'a GatewayState, Timestamp)>,
    updated: HashMap<(EndpointId, &'a RegistrationId), &'a Registration>,
    extended: HashMap<(EndpointId, &'a RegistrationId), (Peer, [Timestamp; 2])>,
    moved: HashMap<EndpointId, Peer>,
    marks: HashMap<EndpointId, u16>,
    seen: HashMap<EndpointId, Timestamp>,
    learned: HashMap<EndpointId, &'a Learned>,
    profiles: HashMap<EndpointId, &'a Profile>,
    periods: HashMap<EndpointId, &'a [Periods]>,
    observations: HashMap<ObservationId, &'a Observation>,
    notified: HashMap<ObservationId, &'a Notified>,
    unobserved: HashMap<(EndpointId, Token), ()>,
    wanted: HashMap<WantedId, &'a Wanted>,
    unwanted: HashMap<WantedId, ()>,
    operations: HashMap<OperationId, &'a Operation>,
    keys: HashMap<(EndpointId, [u8; 32]), &'a KeyedOperation>,
    /// In the order of their ids: the one before ends before the next one begins.
    updates: BTreeMap<FirmwareUpdateId, &'a FirmwareUpdate>,
    /// Rows of `firmware_step`.
    update_steps: Vec<Bind>,
    /// Rows of `resource`.
    resources: Vec<Bind>,
    values: u64,
    latest: HashMap<(EndpointId, Path), Latest>,
    /// Rows of `event`.
    events: Vec<Bind>,
    /// Rows of `event_resource`.
    event_resources: Vec<Bind>,
    /// The rows of the values of the last change that had some.
    last_values: Vec<i64>,
    /// Events of rules, whose other values are looked for once these ones are written…
    found: Vec<Found<'a>>,
    /// … and whose devices' next values must wait until then.
    found_on: HashSet<EndpointId>,
    /// Rows of `device_log`.
    logs: Vec<Bind>,
    rule_states: HashMap<(EndpointId, RuleId, PathPattern), &'a RuleState>,
    answers: HashMap<(Peer, u16, i64), &'a StoredAnswer>,
    sessions: SessionChanges<'a>,
    audited: Vec<&'a AuditEntry>,
}

/// The latest value of a path.
#[derive(Clone, Copy, Debug)]
struct Latest {
    row: i64,
    at: Timestamp,
}

/// In which order the changes of one device to one table are written. A change that comes after
/// one of a later step must not share the batch with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    #[default]
    Nothing,
    End,
    Register,
    Update,
    Partial,
    SaveObservation,
    Notify,
    RemoveObservation,
}

/// How far each table of a device is.
#[derive(Clone, Copy, Debug, Default)]
struct Touched {
    registration: Step,
    observation: Step,
}

impl Touched {
    fn by(change: &Change) -> Option<(EndpointId, Self)> {
        let (endpoint, registration, observation) = match change {
            Change::EndRegistration { endpoint_id, .. } => (*endpoint_id, Step::End, Step::End),
            Change::Register(registration) => {
                (registration.endpoint_id, Step::Register, Step::Register)
            }
            Change::UpdateRegistration(registration) => {
                (registration.endpoint_id, Step::Update, Step::Nothing)
            }
            Change::ExtendRegistration { endpoint_id, .. }
            | Change::Moved { endpoint_id, .. }
            | Change::ReserveMessageIds { endpoint_id, .. } => {
                (*endpoint_id, Step::Partial, Step::Nothing)
            }
            Change::SaveObservation(observation) => (
                observation.endpoint_id,
                Step::Nothing,
                Step::SaveObservation,
            ),
            Change::Notified(notified) => (notified.endpoint_id, Step::Nothing, Step::Notify),
            Change::RemoveObservation { endpoint_id, .. } => {
                (*endpoint_id, Step::Nothing, Step::RemoveObservation)
            }
            Change::EndSession { .. }
            | Change::Event { .. }
            | Change::Learned { .. }
            | Change::Gateway { .. }
            | Change::KeepSession(_)
            | Change::MarkSession(_)
            | Change::Periods { .. }
            | Change::Profile { .. }
            | Change::RememberAnswer(_)
            | Change::RemoveWanted { .. }
            | Change::Log { .. }
            | Change::Resources { .. }
            | Change::RuleEvent(_)
            | Change::SaveOperation(_)
            | Change::RememberKey(_)
            | Change::SaveFirmwareUpdate(_)
            | Change::FirmwareStep { .. }
            | Change::Audit(_)
            | Change::SaveRuleState(_)
            | Change::SaveWanted(_)
            | Change::Seen { .. } => return None,
        };
        let touched = Self {
            registration,
            observation,
        };
        Some((endpoint, touched))
    }
}

impl<'a> Batch<'a> {
    /// True when the changes collected so far must be written before this one is added.
    pub(super) fn conflicts(&self, change: &Change) -> bool {
        if let Change::Event { endpoint_id, .. } | Change::Resources { endpoint_id, .. } = change
            && self.found_on.contains(endpoint_id)
        {
            return true;
        }
        // Both say where the device is, and a move is written last.
        if let Change::ExtendRegistration { endpoint_id, .. } = change
            && self.moved.contains_key(endpoint_id)
        {
            return true;
        }
        let Some((endpoint, wanted)) = Touched::by(change) else {
            return false;
        };
        let is = self.touched.get(&endpoint).copied().unwrap_or_default();
        let behind = |wanted: Step, is: Step| wanted != Step::Nothing && wanted < is;
        behind(wanted.registration, is.registration) || behind(wanted.observation, is.observation)
    }

    /// Collects a change.
    pub(super) fn add(&mut self, change: &'a Change, ids: &Ids) -> Result<(), StoreError> {
        if let Some((endpoint, step)) = Touched::by(change) {
            let touched = self.touched.entry(endpoint).or_default();
            touched.registration = touched.registration.max(step.registration);
            touched.observation = touched.observation.max(step.observation);
        }
        match change {
            Change::Register(registration) => {
                self.registered
                    .insert(registration.endpoint_id, registration);
            }
            Change::UpdateRegistration(registration) => {
                self.updated
                    .insert((registration.endpoint_id, &registration.id), registration);
            }
            Change::EndRegistration {
                endpoint_id,
                registration_id,
            } => {
                self.ended.insert((*endpoint_id, registration_id), ());
            }
            Change::Gateway {
                endpoint_id,
                endpoint,
                state,
                at,
            } => {
                self.gateways.insert(*endpoint_id, (endpoint, state, *at));
            }
            Change::Seen { endpoint_id, at } => {
                let seen = self.seen.entry(*endpoint_id).or_insert(*at);
                *seen = (*seen).max(*at);
            }
            Change::Learned {
                endpoint_id,
                learned,
            } => {
                self.learned.insert(*endpoint_id, learned);
            }
            Change::Profile {
                endpoint_id,
                profile,
            } => {
                self.profiles.insert(*endpoint_id, profile);
            }
            Change::Periods {
                endpoint_id,
                periods,
            } => {
                self.periods.insert(*endpoint_id, periods);
            }
            Change::ExtendRegistration {
                endpoint_id,
                registration_id,
                peer,
                updated_at,
                expires_at,
            } => {
                self.extended.insert(
                    (*endpoint_id, registration_id),
                    (*peer, [*updated_at, *expires_at]),
                );
            }
            Change::Moved { endpoint_id, peer } => {
                self.moved.insert(*endpoint_id, *peer);
            }
            Change::ReserveMessageIds { endpoint_id, mark } => {
                self.marks.insert(*endpoint_id, *mark);
            }
            Change::Resources {
                endpoint_id,
                nodes,
                at,
                stale,
            } => {
                self.last_values.clear();
                for node in nodes {
                    let row = self.add_value(*endpoint_id, node, *at, *stale, ids)?;
                    self.last_values.push(row);
                }
            }
            Change::Event {
                id,
                endpoint_id,
                event_type,
                nodes,
                at,
            } => self.add_event(*id, *endpoint_id, event_type, nodes, *at, ids)?,
            Change::Log {
                endpoint_id,
                path,
                lines,
                time,
                at,
            } => {
                for line in lines {
                    let id = ids.log.next();
                    line_row(id, *endpoint_id, *path, line, [*time, *at], &mut self.logs);
                }
            }
            Change::RuleEvent(event) => {
                self.events.extend([
                    event.id.0.into(),
                    event.endpoint_id.0.into(),
                    text(&event.event_type).into_owned().into(),
                    event.at.as_millis().into(),
                    text(&event.rule).into_owned().into(),
                    event.severity.map(Severity::name).into(),
                    text(&event.message).into_owned().into(),
                ]);
                let row = event
                    .value
                    .and_then(|index| self.last_values.get(index).copied());
                self.found_on.insert(event.endpoint_id);
                self.found.push(Found { event, row });
            }
            Change::SaveRuleState(state) => {
                let key = (state.endpoint_id, state.rule, state.place);
                self.rule_states.insert(key, state);
            }
            Change::SaveObservation(observation) => {
                self.observations.insert(observation.id, observation);
            }
            Change::Notified(notified) => {
                self.notified.insert(notified.id, notified);
            }
            Change::RemoveObservation { endpoint_id, token } => {
                self.unobserved.insert((*endpoint_id, *token), ());
            }
            Change::SaveWanted(wanted) => {
                self.unwanted.remove(&wanted.id);
                self.wanted.insert(wanted.id, wanted);
            }
            Change::RemoveWanted { id, .. } => {
                self.wanted.remove(id);
                self.unwanted.insert(*id, ());
            }
            Change::SaveOperation(operation) => {
                self.operations.insert(operation.id, operation);
            }
            Change::SaveFirmwareUpdate(update) => {
                self.updates.insert(update.id, update);
            }
            Change::FirmwareStep {
                endpoint_id,
                update,
                step,
            } => {
                let id = ids.firmware_step.next();
                step_row(id, (*endpoint_id, *update), step, &mut self.update_steps);
            }
            Change::RememberKey(keyed) => {
                self.keys.insert((keyed.endpoint_id, keyed.key.key), keyed);
            }
            Change::RememberAnswer(answer) => {
                let key = (answer.peer, answer.message_id, answer.hash);
                self.answers.insert(key, answer);
            }
            Change::KeepSession(session) => self.sessions.keep(session),
            Change::MarkSession(mark) => self.sessions.mark(*mark),
            Change::EndSession { id } => self.sessions.end(*id),
            Change::Audit(entry) => self.audited.push(entry),
        }
        Ok(())
    }

    /// How many values were collected and not written.
    pub(super) fn values_waiting(&self) -> usize {
        self.resources.len() / rows::RESOURCES.columns()
    }

    /// Writes the values that were collected, so that they take no memory any more.
    pub(super) async fn write_values(
        &mut self,
        transaction: &mut Transaction,
        statements: &mut Statements,
    ) -> Result<(), Failure> {
        // The devices that they belong to must be there.
        let mut endpoints = Vec::new();
        for registration in self.registered.values() {
            endpoint_row(registration, &mut endpoints);
        }
        let mut gateways = Vec::new();
        for (id, (name, state, at)) in &self.gateways {
            gateway_row(*id, name, state, *at, &mut gateways)?;
        }
        let values = std::mem::take(&mut self.resources);
        for (rows, values) in [
            (&rows::ENDPOINTS, endpoints),
            (&rows::GATEWAYS, gateways),
            (&rows::RESOURCES, values),
        ] {
            statements.run(transaction, rows, values).await?;
        }
        Ok(())
    }

    /// Writes everything that was collected, and says how many values there were.
    pub(super) async fn write(
        self,
        transaction: &mut Transaction,
        statements: &mut Statements,
    ) -> Result<u64, Failure> {
        let ended: Vec<Bind> = self
            .ended
            .into_keys()
            .flat_map(|(endpoint, id)| [endpoint.0.into(), text(id.as_str()).into_owned().into()])
            .collect();
        let mut forgotten = Vec::new();
        let mut endpoints = Vec::new();
        let mut registrations = Vec::new();
        for registration in self.registered.into_values() {
            forgotten.push(registration.endpoint_id.0.into());
            endpoint_row(registration, &mut endpoints);
            registration_row(registration, &mut registrations)?;
        }
        let mut gateways = Vec::new();
        for (id, (name, state, at)) in self.gateways {
            gateway_row(id, name, state, at, &mut gateways)?;
        }
        let mut updates = Vec::new();
        for registration in self.updated.into_values() {
            registration_row(registration, &mut updates)?;
        }
        let extensions = self
            .extended
            .into_iter()
            .flat_map(|((endpoint, id), (peer, times))| {
                let [transport, address] = peer_columns(peer);
                let [updated_at, expires_at] = times.map(|time| time.as_millis().into());
                [
                    endpoint.0.into(),
                    text(id.as_str()).into_owned().into(),
                    transport.into(),
                    address.into(),
                    updated_at,
                    expires_at,
                ]
            });
        let moves = self.moved.into_iter().flat_map(|(endpoint, peer)| {
            let [transport, address] = peer_columns(peer);
            [endpoint.0.into(), transport.into(), address.into()]
        });
        let marks = self
            .marks
            .into_iter()
            .flat_map(|(endpoint, mark)| [endpoint.0.into(), i32::from(mark).into()]);
        let seen = self
            .seen
            .into_iter()
            .flat_map(|(endpoint, at)| [endpoint.0.into(), at.as_millis().into()]);
        let mut learned = Vec::new();
        for (endpoint, is) in self.learned {
            learned.extend([
                endpoint.0.into(),
                to_json(is)?.into(),
                millis(is.late_from()).into(),
            ]);
        }
        let mut profiles = Vec::new();
        for (endpoint, profile) in self.profiles {
            profile_row(endpoint, profile, &mut profiles)?;
        }
        let mut periods = Vec::new();
        for (endpoint, is) in self.periods {
            periods.extend([endpoint.0.into(), to_json(is)?.into()]);
        }
        let mut observations = Vec::new();
        for observation in self.observations.into_values() {
            observation_row(observation, &mut observations)?;
        }
        let notified = self.notified.into_values().flat_map(notified_row);
        let unobserved = self
            .unobserved
            .into_keys()
            .flat_map(|(endpoint, token)| [endpoint.0.into(), token.as_bytes().to_vec().into()]);
        let mut wanted = Vec::new();
        for is in self.wanted.into_values() {
            wanted_row(is, &mut wanted)?;
        }
        let unwanted = self.unwanted.into_keys().map(|id| id.0.into());
        let mut operations = Vec::new();
        for operation in self.operations.into_values() {
            operation_row(operation, &mut operations)?;
        }
        let mut firmware_updates = Vec::new();
        for update in self.updates.into_values() {
            update_row(update, &mut firmware_updates)?;
        }
        let described = described(self.latest.keys());
        let latest = self.latest.into_iter().flat_map(|((endpoint, path), is)| {
            [
                endpoint.0.into(),
                path.to_string().into(),
                is.row.into(),
                is.at.as_millis().into(),
            ]
        });
        let mut answers = Vec::new();
        for answer in self.answers.into_values() {
            answer_row(answer, &mut answers);
        }
        let mut keys = Vec::new();
        for keyed in self.keys.into_values() {
            key_row(keyed, &mut keys);
        }
        let mut rule_states = Vec::new();
        for state in self.rule_states.into_values() {
            state_row(state, &mut rule_states);
        }
        let [kept_sessions, session_marks, ended_sessions] = self.sessions.rows();
        let audited = audit::rows(transaction, &self.audited).await?;
        let mut event_resources = self.event_resources;
        for (rows, values) in [
            (&rows::END_OBSERVATIONS, ended.clone()),
            (&rows::END_REGISTRATIONS, ended),
            (&rows::FORGET_OBSERVATIONS, forgotten),
            (&rows::ENDPOINTS, endpoints),
            (&rows::GATEWAYS, gateways),
            (&rows::REGISTRATIONS, registrations),
            (&rows::REGISTRATION_UPDATES, updates),
            (&rows::EXTENSIONS, extensions.collect()),
            (&rows::MOVES, moves.collect()),
            (&rows::MESSAGE_ID_MARKS, marks.collect()),
            (&rows::SEEN, seen.collect()),
            (&rows::LEARNED, learned),
            (&rows::PROFILES, profiles),
            (&rows::PERIODS, periods),
            (&rows::OBSERVATIONS, observations),
            (&rows::NOTIFIED, notified.collect()),
            (&rows::OBSERVATIONS_REMOVED, unobserved.collect()),
            (&rows::WANTED, wanted),
            (&rows::WANTED_REMOVED, unwanted.collect()),
            (&rows::OPERATIONS, operations),
            (&rows::IDEMPOTENCY_KEYS, keys),
            (&rows::FIRMWARE_UPDATES, firmware_updates),
            (&rows::FIRMWARE_STEPS, self.update_steps),
            (&rows::RESOURCES, self.resources),
            (&rows::LATEST, latest.collect()),
            (&rows::DESCRIBED, described),
            (&rows::EVENTS, self.events),
            (&rows::RULE_STATES, rule_states),
            (&rows::LOGS, self.logs),
            (&rows::ANSWERS, answers),
            (&rows::SESSIONS, kept_sessions),
            (&rows::SESSION_MARKS, session_marks),
            (&rows::SESSIONS_ENDED, ended_sessions),
            (&rows::AUDIT_LOG, audited),
        ] {
            statements.run(transaction, rows, values).await?;
        }
        for found in self.found {
            found.rows(transaction, &mut event_resources).await?;
        }
        statements
            .run(transaction, &rows::EVENT_RESOURCES, event_resources)
            .await?;
        Ok(self.values)
    }

    fn add_event(
        &mut self,
        id: EventId,
        endpoint: EndpointId,
        event_type: &str,
        nodes: &[Node],
        at: Timestamp,
        ids: &Ids,
    ) -> Result<(), StoreError> {
        self.events.extend([
            id.0.into(),
            endpoint.0.into(),
            text(event_type).into_owned().into(),
            at.as_millis().into(),
            None::<String>.into(),
            None::<String>.into(),
            None::<String>.into(),
        ]);
        self.last_values.clear();
        for node in nodes {
            let row = self.add_value(endpoint, node, at, false, ids)?;
            self.last_values.push(row);
            self.event_resources.extend([id.0.into(), row.into()]);
        }
        Ok(())
    }

    /// Collects a value and returns its row.
    fn add_value(
        &mut self,
        endpoint: EndpointId,
        node: &Node,
        received_at: Timestamp,
        stale: bool,
        ids: &Ids,
    ) -> Result<i64, StoreError> {
        let [object, instance, resource, rest @ ..] = node.path.ids() else {
            return Err(StoreError::Database(format!(
                "{} is no path of a resource",
                node.path
            )));
        };
        let row = ids.resource.next();
        let measured_at = node.time.unwrap_or(received_at);
        self.resources.extend([
            row.into(),
            endpoint.0.into(),
            i32::from(*object).into(),
            i32::from(*instance).into(),
            i32::from(*resource).into(),
            rest.first().copied().map(i32::from).into(),
            node.value.value_type().name().into(),
        ]);
        Columns::of(&node.value).bind(&mut self.resources);
        self.resources.extend([
            measured_at.as_millis().into(),
            node.time.is_some().into(),
            received_at.as_millis().into(),
        ]);
        self.values += 1;
        if !stale {
            // A clock that runs ahead must not keep its place for ever.
            let at = measured_at.min(received_at);
            match self.latest.entry((endpoint, node.path)) {
                Entry::Occupied(mut is) if at >= is.get().at => {
                    is.insert(Latest { row, at });
                }
                Entry::Occupied(_) => {}
                Entry::Vacant(place) => {
                    place.insert(Latest { row, at });
                }
            }
        }
        Ok(row)
    }
}

/// The devices that told anew what they are: manufacturer, model number or firmware version.
fn described<'a>(latest: impl Iterator<Item = &'a (EndpointId, Path)>) -> Vec<Bind> {
    let tells = |path: &Path| matches!(path.ids(), [3, 0, 0 | 1 | 3]);
    let devices: BTreeSet<EndpointId> = latest
        .filter(|(_, path)| tells(path))
        .map(|(endpoint, _)| *endpoint)
        .collect();
    devices.into_iter().map(|id| id.0.into()).collect()
}

fn endpoint_row(registration: &Registration, row: &mut Vec<Bind>) {
    let name = registration.endpoint.as_str();
    row.extend([
        registration.endpoint_id.0.into(),
        name.into(),
        name.to_lowercase().into(),
        registration.registered_at.as_millis().into(),
        registration.updated_at.as_millis().into(),
    ]);
}

fn gateway_row(
    id: EndpointId,
    name: &EndpointName,
    state: &GatewayState,
    at: Timestamp,
    row: &mut Vec<Bind>,
) -> Result<(), StoreError> {
    row.extend([
        id.0.into(),
        name.as_str().into(),
        name.as_str().to_lowercase().into(),
        at.as_millis().into(),
    ]);
    row.extend(gateway_columns(state)?);
    Ok(())
}
