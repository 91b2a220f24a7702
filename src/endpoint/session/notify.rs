//! What devices tell: notifications (RFC 7641) and Send (OMA-TS-LightweightM2M Core 6.4.6).

use std::time::Duration;

use serde_json::json;

use super::register::{MAX_WARNINGS, proof, unavailable};
use super::trust::may_speak_for;
use super::{Action, CommitStep, Env, Fetch, Session, Step};
use crate::coap::observe::is_newer;
use crate::coap::{Code, FirstBlock, NotificationKey, Request, RequestKey, Response};
use crate::domain::{
    Denied, LiveKind, Node, Observation, ObservationState, Path, Timestamp, Value, Warning,
};
use crate::lwm2m::codec::anchor_times;
use crate::lwm2m::register::sent;
use crate::lwm2m::{ModelView, report};
use crate::store::{Change, Commit, Notified};

impl Session {
    /// A notification arrived. It is acknowledged once its values are on disk.
    pub(super) fn notification(
        &mut self,
        env: &Env<'_>,
        key: NotificationKey,
        response: Response,
        more: Option<FirstBlock>,
        steps: &mut Vec<Step>,
    ) {
        let Some(registration) = &mut self.registration else {
            steps.push(Step::Do(Action::Reject(key)));
            return;
        };
        let Some(at) = self
            .observations
            .iter()
            .position(|observation| observation.token == key.token)
        else {
            steps.push(Step::Do(Action::Reject(key)));
            return;
        };
        if let Err(reason) = may_speak_for(env, registration, key.peer) {
            // Somebody else knows the token; without credentials that proves nothing. A Reset would
            // let whoever can send from its address end the observation of the device.
            steps.push(Step::Do(Action::Distrust(key, reason)));
            return;
        }
        steps.extend(proof(env, registration, key.peer));
        let Some(observation) = self.observations.get_mut(at) else {
            return;
        };
        if is_copy(env, observation, &key) {
            steps.push(Step::Do(Action::Acknowledge(key)));
            return;
        }

        let mut commit = Commit::default();
        let mut then = Vec::new();
        let follows = !key.peer.is_secure() || env.settings.update_on_notification;
        let is_in_another_session = registration.peer != key.peer && key.peer.is_secure();
        let moves = key.peer.has_moved_from(&registration.peer);
        if registration.peer != key.peer && follows || moves {
            registration.peer = key.peer;
            commit.changes.push(Change::Moved {
                endpoint_id: self.endpoint_id,
                peer: key.peer,
            });
            then.push(Action::Registered(registration.id.clone(), key.peer));
        }
        let newer = newer(env, observation, &response);
        observation.last_message_id = Some(key.message_id);
        observation.last_hash = Some(key.hash);
        observation.state = ObservationState::Active;
        observation.notifications = observation.notifications.saturating_add(1);
        if newer {
            observation.last_sequence = response.options.observe();
            observation.notified_at = Some(env.now.wall);
        }
        let observation = observation.clone();
        if is_in_another_session && follows {
            self.ask_in_the_next_session(env, &mut commit, steps);
        }
        self.heard(env);

        if !response.code.is_success() {
            // The device ends the observation, for example because the instance is gone.
            let why = format!("the device answered {}", response.code);
            self.drop_observation(Some(observation.token), &mut commit, &mut then);
            self.observation_lost(env, &observation, why, &mut commit);
        } else if let Some(block) = more {
            self.is_back(env, &observation, &mut commit);
            let mut observation = observation;
            observation.staged = Some(response.payload.clone());
            self.fetches
                .retain(|fetch| fetch.token != observation.token);
            self.fetches.push_back(Fetch {
                token: observation.token,
                first: Some((block, response.payload)),
                stale: !newer,
            });
            commit
                .changes
                .push(Change::SaveObservation(Box::new(observation.clone())));
            if let Some(stored) = self.observations.get_mut(at) {
                *stored = observation;
            }
        } else {
            self.is_back(env, &observation, &mut commit);
            let at = commit.changes.len();
            self.take_values(env, &observation, &response, !newer, &mut commit);
            let counted = if observation.staged.is_some() {
                Change::SaveObservation(Box::new(observation))
            } else {
                Change::Notified(Notified::of(&observation))
            };
            commit.changes.insert(at, counted);
        }
        self.note_seen(env, &mut commit);
        then.push(Action::Acknowledge(key));
        then.push(Action::Pump);
        steps.push(Step::Commit(Box::new(CommitStep {
            commit,
            then,
            otherwise: vec![Action::Ignore(key)],
        })));
    }

    /// Decodes the whole body of a notification and writes what is in it.
    pub(super) fn take_values(
        &mut self,
        env: &Env<'_>,
        observation: &Observation,
        response: &Response,
        stale: bool,
        commit: &mut Commit,
    ) {
        let Some(registration) = &self.registration else {
            return;
        };
        let device = self.device(registration, env.models);
        match report::notification(&observation.paths, observation.composite, &device, response) {
            Ok(nodes) if nodes.is_empty() => {}
            Ok(nodes) if is_event(observation) => {
                let nodes = self.arriving(env, nodes, commit);
                let object = observation.paths.first().and_then(|path| path.object_id());
                let event_type = object.map_or_else(|| "/".to_owned(), |object| object.to_string());
                self.event(env, event_type, nodes, stale, commit);
            }
            Ok(nodes) => {
                self.arrived(env, nodes, stale, commit);
            }
            Err(error) => self.bad_notification(env, observation, error.to_string(), commit),
        }
    }

    /// A notification that cannot be read, or that tells of what is not observed: an event, and no
    /// data. A device that goes on like this makes one event, as it makes one warning.
    fn bad_notification(
        &mut self,
        env: &Env<'_>,
        observation: &Observation,
        reason: String,
        commit: &mut Commit,
    ) {
        if !self.warn(BAD_NOTIFICATION, reason.clone(), commit) {
            return;
        }
        let id = env.ids.event();
        let paths: Vec<String> = observation.paths.iter().map(ToString::to_string).collect();
        commit.publish.push(self.live(
            LiveKind::Event,
            env.now.wall,
            json!({ "id": id.0, "type": BAD_NOTIFICATION, "paths": paths, "reason": reason }),
        ));
        commit.changes.push(Change::Event {
            id,
            endpoint_id: self.endpoint_id,
            event_type: BAD_NOTIFICATION.to_owned(),
            nodes: Vec::new(),
            at: env.now.wall,
        });
    }

    /// What every value of the device passes, however it came: its time is made absolute, its type
    /// is looked at, and it is told to the page once it is on disk. Writing it is the caller's.
    fn arriving(&mut self, env: &Env<'_>, mut nodes: Vec<Node>, commit: &mut Commit) -> Vec<Node> {
        anchor_times(&mut nodes, env.now.wall);
        if let Some(reason) = too_large(env, &nodes) {
            self.warn("value_too_large", reason, commit);
            nodes.retain(|node| node.value.content_bytes() <= env.settings.max_value_bytes);
        }
        if let Some(path) = seconds_from_millis(&mut nodes, env.now.wall) {
            let message = format!("{path} came with a time in milliseconds, LwM2M has seconds");
            self.warn("time_in_ms", message, commit);
        }
        self.entering(env, nodes, commit)
    }

    /// What every value passes, those of a gateway included, which are as long as its request may
    /// be.
    pub(super) fn entering(
        &mut self,
        env: &Env<'_>,
        nodes: Vec<Node>,
        commit: &mut Commit,
    ) -> Vec<Node> {
        let nodes = self.take_logs(env, nodes, commit);
        self.warn_about_types(env, &nodes, commit);
        self.warn_about_instances(&nodes, commit);
        commit
            .publish
            .extend(self.live_resources(&nodes, env.now.wall));
        nodes
    }

    /// Writes values that the device reported and returns them as they are written. Stale ones, which
    /// are known to be older than what is stored, go to the history only.
    pub(super) fn arrived(
        &mut self,
        env: &Env<'_>,
        nodes: Vec<Node>,
        stale: bool,
        commit: &mut Commit,
    ) -> Vec<Node> {
        let is_log = |node: &&Node| self.is_log(env, &node.path);
        let logs: Vec<Node> = nodes.iter().filter(is_log).cloned().collect();
        let mut nodes = self.arriving(env, nodes, commit);
        self.keep(env, &nodes, stale, commit);
        // Whoever asked for a log gets it as it came.
        nodes.extend(logs);
        nodes
    }

    /// Writes values that have come in, and lets the rules see them.
    pub(super) fn keep(&mut self, env: &Env<'_>, nodes: &[Node], stale: bool, commit: &mut Commit) {
        if nodes.is_empty() {
            return;
        }
        commit.changes.push(Change::Resources {
            endpoint_id: self.endpoint_id,
            nodes: nodes.to_vec(),
            at: env.now.wall,
            stale,
        });
        self.judge_values(env, nodes, stale, commit);
        if !stale {
            self.note_update_values(env, nodes, commit);
        }
    }

    /// Values that do not fit their model are kept as they came; the device's page says so.
    fn warn_about_types(&mut self, env: &Env<'_>, nodes: &[Node], commit: &mut Commit) {
        let models = match &self.registration {
            Some(registration) => self.device(registration, env.models).view(),
            None => ModelView::newest(env.models),
        };
        let wanted = |node: &Node| {
            models
                .at(&node.path)?
                .value_type
                .filter(|wanted| *wanted != node.value.value_type())
        };
        let misfit = nodes.iter().find_map(|node| Some((node, wanted(node)?)));
        if let Some((node, wanted)) = misfit {
            let (path, came) = (node.path, node.value.value_type());
            self.warn(
                "wrong_type",
                format!("{path} came as {came}, its model says {wanted}"),
                commit,
            );
        }
    }

    /// An object without instances is announced as such; one that has some must name them, or what
    /// is to be observed of it is not known to exist.
    fn warn_about_instances(&mut self, nodes: &[Node], commit: &mut Commit) {
        let Some(registration) = &self.registration else {
            return;
        };
        let mut missing: Vec<Path> = Vec::new();
        // Sorted by path: the values of an instance follow each other.
        for group in nodes.chunk_by(|left, right| left.path.truncated(2) == right.path.truncated(2))
        {
            let Some(instance) = group.first().map(|node| node.path.truncated(2)) else {
                continue;
            };
            let object = instance.truncated(1);
            // Sorted by path, too.
            let objects = &registration.objects;
            let from = objects.partition_point(|announced| announced.path < object);
            let mut announced = objects
                .get(from..)
                .unwrap_or_default()
                .iter()
                .map(|announced| announced.path)
                .take_while(|path| object.contains(path));
            let only_object = announced.clone().any(|path| path == object)
                && announced.all(|path| path.depth() == 1);
            if only_object {
                missing.push(instance);
            }
        }
        for instance in missing.into_iter().take(MAX_WARNINGS) {
            let object = instance.truncated(1);
            let message = format!("{instance} exists, but only {object} was announced");
            self.warn("instance_not_announced", message, commit);
        }
    }

    /// Writes values that belong together, and the event that they are.
    pub(super) fn event(
        &mut self,
        env: &Env<'_>,
        event_type: String,
        nodes: Vec<Node>,
        stale: bool,
        commit: &mut Commit,
    ) {
        if nodes.is_empty() {
            // All of them were lines of its log.
            return;
        }
        let id = env.ids.event();
        let values: Vec<_> = nodes.iter().map(Node::to_json).collect();
        commit.publish.push(self.live(
            LiveKind::Event,
            env.now.wall,
            json!({ "id": id.0, "type": event_type, "resources": values }),
        ));
        commit.changes.push(Change::Event {
            id,
            endpoint_id: self.endpoint_id,
            event_type,
            nodes: nodes.clone(),
            at: env.now.wall,
        });
        self.judge_values(env, &nodes, stale, commit);
    }

    /// Remembers something that a device does wrong, once; false when it was remembered already, or
    /// when there is no more room.
    pub(super) fn warn(&mut self, code: &str, message: String, commit: &mut Commit) -> bool {
        tracing::debug!(endpoint.name = %self.name, "{} {code}: {message}", self.name);
        let Some(registration) = &mut self.registration else {
            return self.warn_of_gateway(code, message);
        };
        let known = registration
            .warnings
            .iter()
            .any(|warning| warning.code == code && warning.message == message);
        if known || registration.warnings.len() >= MAX_WARNINGS {
            return false;
        }
        registration.warnings.push(Warning {
            code: code.to_owned(),
            message,
        });
        commit
            .changes
            .push(Change::UpdateRegistration(registration.clone()));
        true
    }

    /// Values that a device sends of its own accord.
    pub(super) fn receive(
        &mut self,
        env: &Env<'_>,
        key: RequestKey,
        request: &Request,
        steps: &mut Vec<Step>,
    ) {
        let Some(registration) = &mut self.registration else {
            let refusal = Response::refusal(Code::BAD_REQUEST, "not registered");
            steps.push(Step::Do(Action::Respond(key, refusal)));
            return;
        };
        if let Err(reason) = may_speak_for(env, registration, key.peer) {
            // 4.00 is what OMA-TS-LightweightM2M Core 6.4.6 has for whoever is not registered.
            let code = match reason {
                Denied::OtherAddress | Denied::RegisteredInPlain => Code::BAD_REQUEST,
                _ => Code::FORBIDDEN,
            };
            steps.push(Step::Do(Action::Deny(key, code, reason)));
            return;
        }
        let mut commit = Commit::default();
        let mut then = Vec::new();
        let follows = registration.peer != key.peer && env.settings.update_on_send;
        if follows || key.peer.has_moved_from(&registration.peer) {
            registration.peer = key.peer;
            commit.changes.push(Change::Moved {
                endpoint_id: self.endpoint_id,
                peer: key.peer,
            });
            then.push(Action::Registered(registration.id.clone(), key.peer));
        }
        if follows && key.peer.is_secure() {
            self.ask_in_the_next_session(env, &mut commit, steps);
        }
        let Some(registration) = &self.registration else {
            return;
        };
        let sent_values = report::send(request, &self.device(registration, env.models));
        self.heard(env);
        let nodes = match sent_values {
            Ok(nodes) => nodes,
            Err(refusal) => {
                self.warn("bad_send", refusal.reason.clone(), &mut commit);
                self.note_seen(env, &mut commit);
                then.push(Action::Respond(key.clone(), refusal.into()));
                then.push(Action::Pump);
                steps.push(Step::Commit(Box::new(CommitStep {
                    commit,
                    then,
                    otherwise: vec![Action::Respond(key, unavailable())],
                })));
                return;
            }
        };
        let mut strange: Vec<Path> = self
            .registration
            .iter()
            .flat_map(|registration| {
                nodes
                    .iter()
                    .filter(|node| !registration.announces(&node.path))
            })
            .map(|node| node.path.truncated(2))
            .collect();
        strange.dedup();
        for path in strange.into_iter().take(MAX_WARNINGS) {
            self.warn(
                "send_not_announced",
                format!("Send carries {path}, which was not announced"),
                &mut commit,
            );
        }
        self.arrived(env, nodes, false, &mut commit);
        self.note_seen(env, &mut commit);
        then.push(Action::Respond(key.clone(), sent()));
        then.push(Action::Pump);
        steps.push(Step::Commit(Box::new(CommitStep {
            commit,
            then,
            otherwise: vec![Action::Respond(key, unavailable())],
        })));
    }
}

/// Says which value is longer than what is taken of one, if there is any.
pub(super) fn too_large(env: &Env<'_>, nodes: &[Node]) -> Option<String> {
    let limit = env.settings.max_value_bytes;
    let node = nodes
        .iter()
        .find(|node| node.value.content_bytes() > limit)?;
    Some(format!(
        "{} came with {} bytes; at most {limit} are taken (endpoint.max_value_bytes)",
        node.path,
        node.value.content_bytes()
    ))
}

/// A copy of a notification that was stored before a restart: the message layer has forgotten it,
/// the observation has not (docs/adr/0004).
fn is_copy(env: &Env<'_>, observation: &Observation, key: &NotificationKey) -> bool {
    observation.last_message_id == Some(key.message_id)
        && observation.last_hash == Some(key.hash)
        && observation
            .notified_at
            .is_some_and(|at| env.now.wall.since(at) < env.settings.exchange_lifetime)
}

fn newer(env: &Env<'_>, observation: &Observation, response: &Response) -> bool {
    match (
        observation.last_sequence,
        observation.notified_at,
        response.options.observe(),
    ) {
        (Some(before), Some(at), Some(sequence)) => {
            let now = env.now.instant;
            // Restored from the store, the time before may lie before this machine's start.
            let Some(then) = now.checked_sub(env.now.wall.since(at)) else {
                return true;
            };
            is_newer((before, then), (sequence, now))
        }
        _ => true,
    }
}

/// A composite notification becomes an event, and so does the notification of a whole object,
/// which is what devices of LwM2M 1.0 are asked for in its place.
fn is_event(observation: &Observation) -> bool {
    observation.composite || matches!(observation.paths.as_slice(), [path] if path.depth() == 1)
}

/// Turns times that can only be milliseconds into the seconds that they should be, and names the
/// first path that had one. Read as seconds they lie more than [`FAR_AHEAD`] in the future; kept
/// so, they would stay the latest of their resource for good.
fn seconds_from_millis(nodes: &mut [Node], now: Timestamp) -> Option<Path> {
    let limit = now.plus(FAR_AHEAD).as_millis();
    let mut first = None;
    for node in nodes {
        let mut converted = false;
        if let Value::Time(seconds) = &mut node.value
            && *seconds > limit.div_euclid(1000)
        {
            *seconds = seconds.div_euclid(1000);
            converted = true;
        }
        if let Some(time) = &mut node.time
            && time.as_millis() > limit
        {
            *time = Timestamp::clamped_from_millis(time.as_millis().div_euclid(1000));
            converted = true;
        }
        if converted {
            first = first.or(Some(node.path));
        }
    }
    first
}

/// No clock of a device is fast by so much: 100 years.
const FAR_AHEAD: Duration = Duration::from_secs(100 * 365 * 86_400);

/// The type of the event and the code of the warning about a notification that tells nothing.
const BAD_NOTIFICATION: &str = "bad_notification";
