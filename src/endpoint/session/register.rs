//! Register, Update, Deregister and the end of a lifetime (OMA-TS-LightweightM2M Core 6.2).

use std::time::Duration;

use serde_json::json;

use super::templates::Reading;
use super::trust::{denial, may_speak_for};
use super::{
    Action, CommitStep, Env, MessageIds, REGISTERED, Session, Step, UNREGISTERED, UPDATED,
};
use crate::coap::{Code, RequestKey, Response};
use crate::domain::{
    LiveBody, LiveKind, LiveRegistration, Peer, RefusedFormats, Registration, RegistrationId,
};
use crate::lwm2m::register::{
    DEFAULT_LIFETIME, RegisterRequest, UpdateRequest, deregistered, registered, updated,
};
use crate::store::{Change, Commit};

impl Session {
    /// Makes or replaces the registration. Exchanges with the device end, operations stay.
    pub(super) fn register(
        &mut self,
        env: &Env<'_>,
        key: RequestKey,
        request: RegisterRequest,
        steps: &mut Vec<Step>,
    ) {
        if let Some(reason) = self.refuses_register(env, key.peer) {
            steps.push(Step::Do(denial(key, reason)));
            return;
        }
        let mut commit = Commit::default();
        let finished = self.give_up_attempt(env, &mut commit, steps);
        if self.message_ids.next == self.message_ids.end && self.registration.is_none() {
            let [high, low, ..] = (env.random)();
            let start = u16::from_be_bytes([high, low]);
            self.message_ids = MessageIds {
                next: start,
                end: start,
            };
        }
        self.have_message_ids(env.settings.message_id_step);
        for observation in self.observations.drain(..) {
            steps.push(Step::Do(Action::Unwatch(observation.token)));
        }
        self.fetches.clear();
        self.queue.release();
        let is_other = self.registration.as_ref().is_none_or(|before| {
            (before.lwm2m_version, &before.formats) != (request.version, &request.formats)
        });
        if is_other && !self.learned.refused.is_empty() {
            // Other firmware, perhaps: it may speak what the one before refused.
            self.learned.refused = RefusedFormats::default();
            self.learned_is_new = true;
        }

        let lifetime = self.granted(env, request.lifetime.unwrap_or(DEFAULT_LIFETIME));
        let mut registration = Registration {
            id: RegistrationId::from_random((env.random)()),
            endpoint_id: self.endpoint_id,
            endpoint: self.name.clone(),
            peer: key.peer,
            lwm2m_version: request.version,
            binding: request.binding,
            queue_mode: request.queue_mode,
            lifetime,
            sms_number: request.sms_number,
            root: request.root,
            objects: request.objects.into(),
            formats: request.formats,
            attributes: request.attributes,
            warnings: request.warnings,
            raw_links: request.raw_links.into(),
            registered_at: env.now.wall,
            updated_at: env.now.wall,
            expires_at: env.now.wall,
            message_id_mark: self.message_ids.end,
        };
        self.extend(env, &mut registration);
        let answer = registered(&registration.id);
        let location = registration.id.clone();
        let peer = registration.peer;

        commit
            .changes
            .push(Change::Register(Box::new(registration.clone())));
        commit.changes.push(Change::Seen {
            endpoint_id: self.endpoint_id,
            at: env.now.wall,
        });
        commit
            .changes
            .push(self.registration_event(env, REGISTERED));
        commit
            .publish
            .push(self.live(LiveKind::Registered, env.now.wall, facts(&registration)));
        self.registration = Some(Box::new(registration));
        self.is_shared = false;
        self.heard(env);
        self.note_learned(&mut commit);
        self.seen_written = Some(env.now.instant);
        self.read_by_templates(env, Reading::Registered, &mut commit);
        let mut wanted = Vec::new();
        self.reconcile_anew(env, &mut commit, &mut wanted);
        self.note_update_registered(env, &mut commit);

        let mut then = vec![
            Action::Registered(location, peer),
            Action::Respond(key.clone(), answer),
        ];
        then.extend(finished);
        then.extend(wanted);
        then.push(Action::Pump);
        steps.push(Step::Commit(Box::new(CommitStep {
            commit,
            then,
            otherwise: vec![Action::Respond(key, unavailable())],
        })));
    }

    /// Keeps the registration alive and takes over what changed.
    pub(super) fn update(
        &mut self,
        env: &Env<'_>,
        key: RequestKey,
        location: &RegistrationId,
        update: UpdateRequest,
        steps: &mut Vec<Step>,
    ) {
        let Some(mut registration) = self
            .registration
            .take_if(|registration| registration.id == *location)
        else {
            steps.push(Step::Do(Action::Respond(
                key,
                Response::new(Code::NOT_FOUND),
            )));
            return;
        };
        if let Err(reason) = may_speak_for(env, &registration, key.peer) {
            self.registration = Some(registration);
            steps.push(Step::Do(denial(key, reason)));
            return;
        }
        steps.extend(proof(env, &registration, key.peer));
        let announced_before = update
            .objects
            .as_ref()
            .map(|_| registration.objects.clone());
        if registration.peer != key.peer
            && let Some(in_flight) = &mut self.in_flight
        {
            // It has come by itself, so a session of ours that was being made was not made in vain.
            in_flight.connecting = false;
        }
        let is_in_another_session = registration.peer != key.peer && key.peer.is_secure();
        registration.peer = key.peer;
        registration.updated_at = env.now.wall;
        let mut says_nothing = update.says_nothing();
        if let Some(lifetime) = update.lifetime {
            registration.lifetime = self.granted(env, lifetime);
        }
        let queue_mode = update.queue_mode(registration.lwm2m_version, registration.queue_mode);
        says_nothing &= queue_mode == registration.queue_mode;
        registration.queue_mode = queue_mode;
        let mut warnings = update.warnings.clone();
        warnings.extend(update.binding_warning(registration.lwm2m_version));
        if let Some(binding) = update.binding {
            registration.binding = binding;
        }
        if let Some(number) = update.sms_number {
            registration.sms_number = Some(number);
        }
        if let Some(announced) = update.objects {
            registration.objects = announced.objects.into();
            registration.raw_links = announced.raw_links.into();
            self.is_shared = false;
            registration.root = announced.root;
            if !announced.formats.is_empty() {
                registration.formats = announced.formats;
            }
        }
        registration.attributes.extend(update.attributes);
        for warning in warnings {
            if !registration.warnings.contains(&warning)
                && registration.warnings.len() < MAX_WARNINGS
            {
                registration.warnings.push(warning);
            }
        }
        self.extend(env, &mut registration);
        self.queue.release();

        let mut commit = Commit::default();
        commit.changes.push(if says_nothing {
            Change::ExtendRegistration {
                endpoint_id: self.endpoint_id,
                registration_id: registration.id.clone(),
                peer: registration.peer,
                updated_at: registration.updated_at,
                expires_at: registration.expires_at,
            }
        } else {
            Change::UpdateRegistration(registration.clone())
        });
        commit.changes.push(self.registration_event(env, UPDATED));
        commit
            .publish
            .push(self.live(LiveKind::Updated, env.now.wall, facts(&registration)));
        let peer = registration.peer;
        self.registration = Some(registration);
        if is_in_another_session {
            self.ask_in_the_next_session(env, &mut commit, steps);
        }
        self.heard(env);
        self.note_seen(env, &mut commit);
        let mut then = vec![
            Action::Registered(location.clone(), peer),
            Action::Respond(key.clone(), updated()),
        ];
        if let Some(before) = announced_before {
            self.read_by_templates(env, Reading::Announced(&before), &mut commit);
            self.reconcile(env, &mut commit, &mut then);
        }
        then.push(Action::Pump);
        steps.push(Step::Commit(Box::new(CommitStep {
            commit,
            then,
            otherwise: vec![Action::Respond(key, unavailable())],
        })));
    }

    /// The device leaves; what waits for it stays.
    pub(super) fn deregister(
        &mut self,
        env: &Env<'_>,
        key: RequestKey,
        location: &RegistrationId,
        steps: &mut Vec<Step>,
    ) {
        let Some(registration) = self
            .registration
            .as_ref()
            .filter(|registration| registration.id == *location)
        else {
            steps.push(Step::Do(Action::Respond(
                key,
                Response::new(Code::NOT_FOUND),
            )));
            return;
        };
        if let Err(reason) = may_speak_for(env, registration, key.peer) {
            steps.push(Step::Do(denial(key, reason)));
            return;
        }
        let answer = Action::Respond(key.clone(), deregistered());
        self.end(
            env,
            LiveKind::Deregistered,
            vec![answer],
            vec![Action::Respond(key, unavailable())],
            steps,
        );
    }

    /// The lifetime is over.
    pub(super) fn expire(&mut self, env: &Env<'_>, steps: &mut Vec<Step>) {
        self.end(env, LiveKind::Expired, Vec::new(), Vec::new(), steps);
    }

    fn end(
        &mut self,
        env: &Env<'_>,
        kind: LiveKind,
        mut then: Vec<Action>,
        otherwise: Vec<Action>,
        steps: &mut Vec<Step>,
    ) {
        let Some(registration) = self.registration.take() else {
            return;
        };
        let mut commit = Commit::default();
        // While there is a registration, its last Update says so too.
        commit.changes.push(Change::Seen {
            endpoint_id: self.endpoint_id,
            at: match kind {
                LiveKind::Deregistered => env.now.wall,
                _ => registration.updated_at,
            },
        });
        then.extend(self.give_up_attempt(env, &mut commit, steps));
        for observation in self.observations.drain(..) {
            steps.push(Step::Do(Action::Unwatch(observation.token)));
        }
        self.fetches.clear();
        self.rest_wanted(env, &mut commit);
        self.expires = None;
        commit.changes.push(Change::EndRegistration {
            endpoint_id: self.endpoint_id,
            registration_id: registration.id.clone(),
        });
        commit
            .changes
            .push(self.registration_event(env, UNREGISTERED));
        commit.publish.push(self.live(
            kind,
            env.now.wall,
            json!({ "location": registration.id.as_str() }),
        ));
        then.push(Action::Unregistered);
        steps.push(Step::Commit(Box::new(CommitStep {
            commit,
            then,
            otherwise,
        })));
    }

    fn granted(&self, env: &Env<'_>, lifetime: Duration) -> Duration {
        let (shortest, longest) = env.settings.lifetime;
        lifetime.clamp(shortest, longest)
    }

    /// The lifetime begins anew.
    fn extend(&mut self, env: &Env<'_>, registration: &mut Registration) {
        registration.expires_at = env.now.wall.plus(registration.lifetime);
        self.expires = env.now.instant.checked_add(registration.lifetime);
    }
}

/// Whoever knows the location or a token and has the address that these were sent to receives what is
/// sent there, however large (RFC 9175 section 2.4). Where devices are followed to other addresses
/// this proves nothing: one could name a victim's address as its own, and be followed there.
pub(super) fn proof(env: &Env<'_>, registration: &Registration, peer: Peer) -> Option<Step> {
    let same = registration.peer.address.ip() == peer.address.ip();
    (same && !env.settings.follow_addresses).then_some(Step::Do(Action::Proven(peer)))
}

/// The store failed: the device may try again (RFC 7252 section 5.9.3.4).
pub(super) fn unavailable() -> Response {
    let mut response = Response::refusal(Code::SERVICE_UNAVAILABLE, "the store is not available");
    response
        .options
        .set_uint(crate::coap::number::MAX_AGE, RETRY_AFTER_S);
    response
}

/// What the live socket tells of a registration.
fn facts(registration: &Registration) -> LiveBody {
    LiveBody::Registration(LiveRegistration {
        peer: registration.peer,
        lwm2m_version: registration.lwm2m_version,
        binding: registration.binding.clone(),
        lifetime: registration.lifetime,
        queue_mode: registration.queue_mode,
        registered_at: registration.registered_at,
        expires_at: registration.expires_at,
    })
}

/// Max-Age of 5.03.
const RETRY_AFTER_S: u32 = 5;
/// Warnings that are kept of one registration.
pub(super) const MAX_WARNINGS: usize = 50;
