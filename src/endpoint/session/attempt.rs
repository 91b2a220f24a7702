//! One attempt after the other: which request goes next, and how it goes out. What its end means
//! is in [`outcome`](super::outcome).
//!
//! What an attempt needs is on disk before it is sent: its token and its message ids. That it is sent is written
//! and told too when somebody asked for it, and not when an observation template did: whatever that asks for may
//! be asked twice, and is asked again after a restart. At most one attempt is outstanding.

use super::{Action, CommitStep, Env, Fetch, InFlight, Job, MessageIds, Session, Step};
use crate::coap::{ExchangeId, OutgoingRequest, Request, number};
use crate::domain::{
    Observation, ObservationState, Operation, OperationKind, OperationRequest, OperationStatus,
    Origin, Token,
};
use crate::lwm2m::manage;
use crate::store::{Change, Commit};

impl Session {
    /// Sends the next request if the device listens and nothing is outstanding.
    pub(super) fn pump(&mut self, env: &Env<'_>, steps: &mut Vec<Step>) {
        self.stop_awaiting(env, steps);
        while self.in_flight.is_none() && self.is_reachable(env) {
            if let Some(fetch) = self.fetches.pop_front() {
                self.start_fetch(env, fetch, steps);
            } else if self.is_block_due() {
                self.send_block(env, Commit::default(), steps);
            } else if let Some(operation) = self.queue.next() {
                self.start_operation(env, operation, steps);
            } else {
                return;
            }
        }
    }

    fn start_operation(&mut self, env: &Env<'_>, mut operation: Operation, steps: &mut Vec<Step>) {
        let Some(registration) = &self.registration else {
            self.queue.put_back(operation);
            return;
        };
        if let Some(push) = &mut self.push {
            push.yields = false;
        }
        if operation.request.image.is_some() {
            return self.start_push(env, operation, steps);
        }
        let mut commit = Commit::default();
        let mut then = Vec::new();
        let kind = operation.request.kind;
        let observed = self.observations.iter().position(|observation| {
            observation.composite == is_composite(kind)
                && observation.paths == operation.request.paths
        });
        let encoded = manage::build(&operation.request, &self.device(registration, env.models))
            .map_err(|error| error.to_string())
            .and_then(|request| {
                self.token_for(env, kind, observed, &request)
                    .map(|token| (request, token))
            });
        let (request, token) = match encoded {
            Ok(encoded) => encoded,
            Err(error) => {
                let operation = self.conclude(
                    env,
                    operation,
                    OperationStatus::Failed,
                    Some(error),
                    &mut commit,
                );
                let then = vec![Action::Finished(Box::new(operation))];
                steps.push(Step::Commit(Box::new(CommitStep {
                    commit,
                    then,
                    otherwise: Vec::new(),
                })));
                return;
            }
        };
        if starts_observation(kind) {
            let format = request.options.accept();
            match observed.and_then(|at| self.observations.get_mut(at)) {
                // Its answer says which it is.
                Some(known) if known.state == ObservationState::Requested => known.format = format,
                Some(_) => {}
                None => {
                    let paths = operation.request.paths.clone();
                    let id = env.ids.observation();
                    let observation = Observation {
                        composite: is_composite(kind),
                        format,
                        ..Observation::requested(id, self.endpoint_id, token, paths, env.now.wall)
                    };
                    self.add_observation(observation, &mut commit, &mut then);
                }
            }
        }
        operation.status = OperationStatus::Sending;
        operation.attempts = operation.attempts.saturating_add(1);
        operation.last_attempt_at = Some(env.now.wall);
        operation.token = Some(token);
        if operation.origin != Origin::Template || !operation.request.may_be_repeated() {
            self.save_operation(env, &operation, &mut commit);
        }
        let outgoing = self.outgoing(env, request, token, &mut commit);
        let job = Job::Operation(Box::new(operation));
        self.send(env, outgoing, job, commit, then, steps);
    }

    /// An observation keeps its token for every request about it (RFC 7641 section 3.6); all other
    /// requests get one of their own.
    fn token_for(
        &self,
        env: &Env<'_>,
        kind: OperationKind,
        observed: Option<usize>,
        request: &Request,
    ) -> Result<Token, String> {
        let existing = observed
            .and_then(|at| self.observations.get(at))
            .map(|observation| observation.token);
        if request.options.observe().is_none() {
            return Ok(env.token());
        }
        if !starts_observation(kind) {
            return existing.ok_or_else(|| "this is not observed".to_owned());
        }
        let limit = env.settings.max_observations;
        if existing.is_none() && self.observations.len() >= limit {
            return Err(format!(
                "{limit} observations are the limit for one device (operations.max_observations)"
            ));
        }
        Ok(existing.unwrap_or_else(|| env.token()))
    }

    fn start_fetch(&mut self, env: &Env<'_>, fetch: Fetch, steps: &mut Vec<Step>) {
        let Some(registration) = &self.registration else {
            return;
        };
        let Some(observation) = self
            .observations
            .iter()
            .find(|observation| observation.token == fetch.token)
        else {
            return;
        };
        let kind = if observation.composite {
            OperationKind::ReadComposite
        } else {
            OperationKind::Read
        };
        let read = OperationRequest::new(kind, observation.paths.clone());
        let device = self.device(registration, env.models);
        let mut request = match manage::build(&read, &device) {
            Ok(request) => request,
            Err(error) => {
                tracing::warn!(endpoint.name = %self.name, "Cannot fetch the rest of a notification of {}: {error}", self.name);
                return;
            }
        };
        if let Some(format) = observation.format {
            request.options.set_uint(number::ACCEPT, u32::from(format));
        }
        let mut commit = Commit::default();
        let mut outgoing = self.outgoing(env, request, env.token(), &mut commit);
        outgoing.start_block2 = fetch
            .first
            .as_ref()
            .map(|(block, body)| (1, body.clone(), block.etag.clone()));
        self.send(env, outgoing, Job::Fetch(fetch), commit, Vec::new(), steps);
    }

    pub(super) fn outgoing(
        &mut self,
        env: &Env<'_>,
        request: Request,
        token: Token,
        commit: &mut Commit,
    ) -> OutgoingRequest {
        let before = self.message_ids.end;
        self.have_message_ids(env.settings.message_id_step);
        if self.message_ids.end != before {
            self.save_message_ids(commit);
        }
        let lease = self.message_ids;
        // Until the exchange gives back what it did not use, all of it counts as used.
        self.message_ids.next = lease.end;
        OutgoingRequest {
            request,
            token,
            confirmable: true,
            message_ids: Some(lease),
            response_timeout: self
                .profile
                .edrx_cycle
                .unwrap_or_default()
                .saturating_add(env.settings.response_timeout),
            window: self.window(env),
            patience: self.patience(env),
            start_block2: None,
            block1: None,
            block2: None,
        }
    }

    /// Reserves message ids when few are left; they are used once that is on disk.
    pub(super) fn have_message_ids(&mut self, step: u16) {
        if self.message_ids.end.wrapping_sub(self.message_ids.next) < LOW_ON_MESSAGE_IDS {
            self.reserve_message_ids(step);
        }
    }

    fn reserve_message_ids(&mut self, step: u16) {
        let step = step.max(LOW_ON_MESSAGE_IDS);
        self.message_ids.end = self.message_ids.end.wrapping_add(step);
    }

    fn save_message_ids(&mut self, commit: &mut Commit) {
        if let Some(registration) = &mut self.registration {
            registration.message_id_mark = self.message_ids.end;
        }
        commit.changes.push(Change::ReserveMessageIds {
            endpoint_id: self.endpoint_id,
            mark: self.message_ids.end,
        });
    }

    pub(super) fn send(
        &mut self,
        env: &Env<'_>,
        outgoing: OutgoingRequest,
        job: Job,
        commit: Commit,
        mut then: Vec<Action>,
        steps: &mut Vec<Step>,
    ) {
        let Some(registration) = &self.registration else {
            return;
        };
        self.attempts = self.attempts.wrapping_add(1);
        let attempt = self.attempts;
        let peer = registration.peer;
        let formats = manage::used(&outgoing.request);
        self.in_flight = Some(Box::new(InFlight {
            attempt,
            exchange: None,
            job,
            window: outgoing.window,
            formats,
            sent_after: self.sent_after(env),
            resumed: false,
            connecting: false,
            lease: outgoing.message_ids.map(|ids| ids.next),
            has_wrong_token: false,
        }));
        then.push(Action::Transmit {
            attempt,
            peer,
            request: Box::new(outgoing),
        });
        steps.push(Step::Commit(Box::new(CommitStep {
            commit,
            then,
            otherwise: Vec::new(),
        })));
    }

    /// A blockwise exchange has used up its message ids.
    pub(super) fn message_ids_exhausted(
        &mut self,
        env: &Env<'_>,
        exchange: ExchangeId,
        steps: &mut Vec<Step>,
    ) {
        if self.exchange() != Some(exchange) {
            return;
        }
        let mut commit = Commit::default();
        let next = self.message_ids.end;
        self.reserve_message_ids(env.settings.message_id_step);
        self.save_message_ids(&mut commit);
        let more = MessageIds {
            next,
            end: self.message_ids.end,
        };
        self.message_ids.next = more.end;
        steps.push(Step::Commit(Box::new(CommitStep {
            commit,
            then: vec![Action::ExtendMessageIds(exchange, more)],
            otherwise: Vec::new(),
        })));
    }
}

pub(super) fn is_composite(kind: OperationKind) -> bool {
    matches!(
        kind,
        OperationKind::ObserveComposite | OperationKind::CancelObserveComposite
    )
}

pub(super) fn starts_observation(kind: OperationKind) -> bool {
    matches!(
        kind,
        OperationKind::Observe | OperationKind::ObserveComposite
    )
}

/// A request takes one message id and each further block one more; with fewer left than this, more
/// are reserved in the commit of the attempt.
const LOW_ON_MESSAGE_IDS: u16 = 8;
