//! The end of an attempt: an answer, a failure, or the end of the registration it belonged to.

use super::attempt::starts_observation;
use super::notify::too_large;
use super::{Action, CommitStep, Env, Fetch, InFlight, Job, Session, Step};
use crate::coap::{Code, ExchangeFailure, ExchangeId, MessageIds, NotificationKey, Response};
use crate::domain::{
    ObservationState, Operation, OperationFailure, OperationKind, OperationRequest,
    OperationStatus, Registration, Token,
};
use crate::lwm2m::manage::{self, UsedFormats};
use crate::store::{Change, Commit};

impl Session {
    /// The device answered.
    pub(super) fn response(
        &mut self,
        env: &Env<'_>,
        exchange: ExchangeId,
        response: &Response,
        acknowledge: Option<NotificationKey>,
        message_ids: Option<MessageIds>,
        steps: &mut Vec<Step>,
    ) {
        let Some(in_flight) = self
            .in_flight
            .take_if(|in_flight| in_flight.exchange == Some(exchange))
        else {
            steps.extend(acknowledge.map(|key| Step::Do(Action::Acknowledge(key))));
            return;
        };
        if let Some(unused) = message_ids {
            self.message_ids = unused;
        }
        self.learn_answered(in_flight.sent_after);
        self.heard(env);
        let mut commit = Commit::default();
        let mut then: Vec<Action> = acknowledge
            .iter()
            .cloned()
            .map(Action::Acknowledge)
            .collect();
        match in_flight.job {
            Job::Operation(mut operation)
                if self.refuses(&operation.request, in_flight.formats, response.code) =>
            {
                // The next format is tried at once. There are few, so this ends soon.
                operation.attempts = operation.attempts.saturating_sub(1);
                self.requeue(env, *operation, &mut commit);
            }
            Job::Operation(operation) => {
                self.answered(env, *operation, response, &mut commit, &mut then)
            }
            Job::Fetch(fetch) => self.fetched(env, &fetch, response, &mut commit),
            Job::Block => {
                let whole = self.block_answered(env, response, &mut commit, &mut then, steps);
                if let Some(operation) = whole {
                    self.answered(env, operation, response, &mut commit, &mut then);
                }
            }
        }
        self.note_seen(env, &mut commit);
        then.push(Action::Pump);
        let otherwise = acknowledge.map(Action::Ignore).into_iter().collect();
        steps.push(Step::Commit(Box::new(CommitStep {
            commit,
            then,
            otherwise,
        })));
    }

    /// True when the device refused the format that we chose, and this is new: it is remembered.
    fn refuses(&mut self, request: &OperationRequest, formats: UsedFormats, code: Code) -> bool {
        let is_new = formats.learn(request, code, &mut self.learned.refused);
        self.learned_is_new |= is_new;
        is_new
    }

    fn answered(
        &mut self,
        env: &Env<'_>,
        mut operation: Operation,
        response: &Response,
        commit: &mut Commit,
        then: &mut Vec<Action>,
    ) {
        let Some(registration) = &self.registration else {
            return;
        };
        let kind = operation.request.kind;
        let result = manage::interpret(
            &operation.request,
            &self.device(registration, env.models),
            response,
        );
        let mut error = None;
        match result {
            Ok(mut result) => {
                if let Some(reason) = too_large(env, &result.nodes) {
                    result.nodes.clear();
                    error = Some(reason);
                } else if response.code.is_success() {
                    let nodes = std::mem::take(&mut result.nodes);
                    result.nodes = self.arrived(env, nodes, false, commit);
                } else {
                    error = Some(refused(response));
                }
                operation.result = Some(result);
            }
            Err(reason) => error = Some(reason.to_string()),
        }
        if starts_observation(kind) {
            let accepted = response.code.is_success() && response.options.observe().is_some();
            if !accepted && error.is_none() {
                error = Some(
                    "the device answered, but does not notify (its answer has no Observe option)"
                        .to_owned(),
                );
            }
            if accepted {
                self.observation_accepted(env, &operation, response, commit);
            } else {
                self.drop_observation(operation.token, commit, then);
            }
        } else if kind == OperationKind::CancelObserve
            || kind == OperationKind::CancelObserveComposite
        {
            self.drop_observation(operation.token, commit, then);
        }
        let status = if error.is_none() {
            OperationStatus::Confirmed
        } else {
            OperationStatus::Failed
        };
        let operation = self.conclude(env, operation, status, error, commit);
        then.push(Action::Finished(Box::new(operation)));
    }

    fn observation_accepted(
        &mut self,
        env: &Env<'_>,
        operation: &Operation,
        response: &Response,
        commit: &mut Commit,
    ) {
        let found = self
            .observations
            .iter_mut()
            .find(|observation| Some(observation.token) == operation.token);
        if let Some(observation) = found {
            observation.state = ObservationState::Active;
            observation.last_sequence = response.options.observe();
            observation.notified_at = Some(env.now.wall);
            observation.format = response.options.content_format().or(observation.format);
            commit
                .changes
                .push(Change::SaveObservation(Box::new(observation.clone())));
        }
    }

    pub(super) fn drop_observation(
        &mut self,
        token: Option<Token>,
        commit: &mut Commit,
        then: &mut Vec<Action>,
    ) {
        let Some(at) = self
            .observations
            .iter()
            .position(|observation| Some(observation.token) == token)
        else {
            return;
        };
        let observation = self.observations.remove(at);
        self.fetches
            .retain(|fetch| fetch.token != observation.token);
        commit.changes.push(Change::RemoveObservation {
            endpoint_id: self.endpoint_id,
            token: observation.token,
        });
        then.push(Action::Unwatch(observation.token));
    }

    /// No answer came.
    pub(super) fn failed(
        &mut self,
        env: &Env<'_>,
        exchange: ExchangeId,
        failure: ExchangeFailure,
        message_ids: Option<MessageIds>,
        steps: &mut Vec<Step>,
    ) {
        let Some(in_flight) = self
            .in_flight
            .take_if(|in_flight| in_flight.exchange == Some(exchange))
        else {
            return;
        };
        if let Some(unused) = message_ids {
            self.message_ids = unused;
        }
        let mut commit = Commit::default();
        let mut then = Vec::new();
        // Of an attempt in a session that was there, the end of that session tells nothing. One that
        // waited for a session of ours was made in vain.
        let disconnected = matches!(failure, ExchangeFailure::Disconnected);
        let lost_its_session = disconnected && !in_flight.connecting;
        // The answer may have come while the server was down: that it is not here says nothing of the device.
        let resumed = in_flight.resumed;
        let harmless =
            resumed || lost_its_session || matches!(failure, ExchangeFailure::WindowClosed);
        let has_wrong_token = in_flight.has_wrong_token;
        let reason = match failure {
            ExchangeFailure::Reset => OperationFailure::Reset,
            ExchangeFailure::TooLarge => OperationFailure::TooLarge,
            ExchangeFailure::Blockwise(_) => OperationFailure::Blockwise,
            ExchangeFailure::WrongToken => OperationFailure::WrongToken,
            ExchangeFailure::NotAcknowledged | ExchangeFailure::NotAnswered if has_wrong_token => {
                OperationFailure::WrongToken
            }
            ExchangeFailure::NotAnswered => OperationFailure::NotAnswered,
            ExchangeFailure::NotAcknowledged
            | ExchangeFailure::WindowClosed
            | ExchangeFailure::Cancelled => OperationFailure::NotAcknowledged,
            ExchangeFailure::Disconnected => OperationFailure::Disconnected,
        };
        // Whoever acknowledges is there; whoever does not is not asked again until heard of.
        if resumed {
            // Asked again, if it listens.
        } else if reason == OperationFailure::NotAcknowledged {
            self.learn_silent(env, in_flight.sent_after);
            self.fall_silent(env);
        } else if disconnected {
            // Nothing is learnt of when it listens.
            if in_flight.connecting {
                self.fall_silent(env);
            }
        } else {
            self.learn_answered(in_flight.sent_after);
        }
        self.note_learned(&mut commit);
        match in_flight.job {
            Job::Operation(mut operation) => {
                let lost = matches!(
                    reason,
                    OperationFailure::Disconnected
                        | OperationFailure::NotAcknowledged
                        | OperationFailure::NotAnswered
                        | OperationFailure::WrongToken
                );
                if harmless {
                    operation.attempts = operation.attempts.saturating_sub(1);
                }
                if lost && !operation.request.may_be_repeated() {
                    self.fail(
                        env,
                        *operation,
                        OperationFailure::OutcomeUnknown,
                        &mut commit,
                        &mut then,
                    );
                } else if resumed {
                    self.requeue(env, *operation, &mut commit);
                } else {
                    self.try_again(env, *operation, reason, &mut commit, &mut then);
                }
            }
            Job::Block => {
                let why = reason.to_string();
                then.extend(self.block_failed(env, harmless, &why, &mut commit));
            }
            Job::Fetch(fetch) if lost_its_session => self.fetches.push_front(fetch),
            Job::Fetch(fetch) => {
                // The body changed meanwhile: read all of it, once.
                if fetch.first.is_some() {
                    self.fetches.push_back(Fetch {
                        first: None,
                        ..fetch
                    });
                } else {
                    self.unstage(&fetch, &mut commit);
                }
            }
        }
        then.push(Action::Pump);
        steps.push(Step::Commit(Box::new(CommitStep {
            commit,
            then,
            otherwise: Vec::new(),
        })));
    }

    /// An attempt that could not even be sent: it does not count.
    pub fn not_sent(&mut self, env: &Env<'_>, attempt: u64) -> Vec<Step> {
        let mut steps = Vec::new();
        let Some(in_flight) = self
            .in_flight
            .take_if(|in_flight| in_flight.attempt == attempt)
        else {
            return steps;
        };
        if matches!(in_flight.job, Job::Block)
            && (self.sends_small_block(env, &mut steps) || self.asks_for_proof(env, &mut steps))
        {
            return steps;
        }
        self.fall_silent(env);
        match in_flight.job {
            Job::Operation(mut operation) => {
                let mut commit = Commit::default();
                operation.attempts = operation.attempts.saturating_sub(1);
                self.requeue(env, *operation, &mut commit);
                self.note_learned(&mut commit);
                steps.push(Step::Commit(Box::new(CommitStep {
                    commit,
                    ..CommitStep::default()
                })));
            }
            Job::Block => {}
            Job::Fetch(fetch) => self.fetches.push_front(fetch),
        }
        self.write_waiting(env, &mut steps);
        steps
    }

    pub(super) fn try_again(
        &mut self,
        env: &Env<'_>,
        operation: Operation,
        reason: OperationFailure,
        commit: &mut Commit,
        then: &mut Vec<Action>,
    ) {
        if operation.attempts >= operation.max_attempts {
            self.fail(env, operation, reason, commit, then);
            return;
        }
        let operation = self.queued_again(env, operation, commit);
        // Nothing goes to a silent device, so nobody overtakes what it did not acknowledge; one that is
        // there and does not answer this must not keep the others waiting.
        let keeps_its_turn = matches!(
            reason,
            OperationFailure::Disconnected
                | OperationFailure::NotAcknowledged
                | OperationFailure::Reregistered
                | OperationFailure::Unreachable(_)
        );
        if keeps_its_turn {
            self.queue.put_back(operation);
        } else {
            self.queue.hold(operation);
        }
    }

    fn fail(
        &mut self,
        env: &Env<'_>,
        operation: Operation,
        reason: OperationFailure,
        commit: &mut Commit,
        then: &mut Vec<Action>,
    ) {
        if starts_observation(operation.request.kind) {
            self.drop_observation(operation.token, commit, then);
        }
        let operation = self.conclude(
            env,
            operation,
            OperationStatus::Failed,
            Some(reason.to_string()),
            commit,
        );
        then.push(Action::Finished(Box::new(operation)));
    }

    /// Back to its place in the queue, so that the order stays.
    pub(super) fn requeue(&mut self, env: &Env<'_>, operation: Operation, commit: &mut Commit) {
        let operation = self.queued_again(env, operation, commit);
        self.queue.put_back(operation);
    }

    fn queued_again(
        &mut self,
        env: &Env<'_>,
        mut operation: Operation,
        commit: &mut Commit,
    ) -> Operation {
        operation.status = OperationStatus::Queued;
        self.queue.note_written(operation.id);
        self.save_operation(env, &operation, commit);
        operation
    }

    /// Ends the outstanding exchange because the registration ends: the operation returns to the
    /// queue, unless it was sent and must not be done twice.
    pub(super) fn give_up_attempt(
        &mut self,
        env: &Env<'_>,
        commit: &mut Commit,
        steps: &mut Vec<Step>,
    ) -> Vec<Action> {
        let mut then = Vec::new();
        let Some(in_flight) = self.in_flight.take() else {
            return then;
        };
        steps.extend(
            in_flight
                .exchange
                .map(|exchange| Step::Do(Action::CancelExchange(exchange))),
        );
        if let Job::Operation(operation) = in_flight.job {
            if in_flight.exchange.is_some() && !operation.request.may_be_repeated() {
                self.fail(
                    env,
                    *operation,
                    OperationFailure::OutcomeUnknown,
                    commit,
                    &mut then,
                );
            } else {
                self.try_again(
                    env,
                    *operation,
                    OperationFailure::Reregistered,
                    commit,
                    &mut then,
                );
            }
        }
        then
    }

    /// The device has come in another session. What was asked in the one before cannot be answered in
    /// this one (RFC 7252 section 9.1), and nobody may be left in that one, so it is asked again at
    /// once and the attempt does not count. What must not be done twice waits for its answer.
    pub(super) fn ask_in_the_next_session(
        &mut self,
        env: &Env<'_>,
        commit: &mut Commit,
        steps: &mut Vec<Step>,
    ) {
        let Some(in_flight) = self.in_flight.take_if(|in_flight| match &in_flight.job {
            Job::Operation(operation) => operation.request.may_be_repeated(),
            Job::Block | Job::Fetch(_) => true,
        }) else {
            return;
        };
        steps.extend(
            in_flight
                .exchange
                .map(|exchange| Step::Do(Action::CancelExchange(exchange))),
        );
        match in_flight.job {
            Job::Operation(mut operation) => {
                operation.attempts = operation.attempts.saturating_sub(1);
                self.requeue(env, *operation, commit);
            }
            Job::Block => {}
            Job::Fetch(fetch) => self.fetches.push_front(fetch),
        }
    }

    /// An operation that was SENDING when the server stopped.
    pub(super) fn resume(
        &mut self,
        env: &Env<'_>,
        registration: Option<&Registration>,
        mut operation: Operation,
        steps: &mut Vec<Step>,
    ) {
        // An image begins anew: nobody knows which of its blocks the device has.
        let registration = registration
            .filter(|registration| self.may_still_answer(env, registration))
            .filter(|_| operation.request.image.is_none());
        if let (Some(registration), Some(token)) = (registration, operation.token) {
            self.attempts = self.attempts.wrapping_add(1);
            let attempt = self.attempts;
            self.in_flight = Some(Box::new(InFlight {
                attempt,
                exchange: None,
                job: Job::Operation(Box::new(operation)),
                window: None,
                formats: UsedFormats::default(),
                sent_after: None,
                resumed: true,
                connecting: false,
                lease: None,
                has_wrong_token: false,
            }));
            steps.push(Step::Do(Action::Await {
                attempt,
                peer: registration.peer,
                token,
                timeout: env.settings.response_timeout,
            }));
            return;
        }
        let mut commit = Commit::default();
        let mut then = Vec::new();
        if operation.request.may_be_repeated() {
            operation.attempts = operation.attempts.saturating_sub(1);
            self.requeue(env, operation, &mut commit);
        } else {
            self.fail(
                env,
                operation,
                OperationFailure::OutcomeUnknown,
                &mut commit,
                &mut then,
            );
        }
        steps.push(Step::Commit(Box::new(CommitStep {
            commit,
            then,
            otherwise: Vec::new(),
        })));
    }

    /// What was sent before a restart and may be done twice is sent again once the device listens,
    /// instead of letting the others wait for an answer that may never come.
    pub(super) fn stop_awaiting(&mut self, env: &Env<'_>, steps: &mut Vec<Step>) {
        if self.last_uplink.is_none() || !self.is_reachable(env) {
            return;
        }
        let may_go = |in_flight: &mut Box<InFlight>| {
            in_flight.resumed
                && match &in_flight.job {
                    Job::Operation(operation) => operation.request.may_be_repeated(),
                    Job::Block | Job::Fetch(_) => true,
                }
        };
        let Some(in_flight) = self.in_flight.take_if(may_go) else {
            return;
        };
        let cancel = in_flight
            .exchange
            .map(|exchange| Step::Do(Action::CancelExchange(exchange)));
        steps.extend(cancel);
        match in_flight.job {
            Job::Operation(mut operation) => {
                operation.attempts = operation.attempts.saturating_sub(1);
                let mut commit = Commit::default();
                self.requeue(env, *operation, &mut commit);
                steps.push(Step::Commit(Box::new(CommitStep {
                    commit,
                    ..CommitStep::default()
                })));
            }
            Job::Block => {}
            Job::Fetch(fetch) => self.fetches.push_front(fetch),
        }
    }

    /// Something answered with a token that was not asked with.
    pub(super) fn stray(&mut self) {
        if let Some(in_flight) = &mut self.in_flight {
            in_flight.has_wrong_token = true;
        }
    }

    /// The rest of a blockwise notification came, or all of it.
    fn fetched(&mut self, env: &Env<'_>, fetch: &Fetch, response: &Response, commit: &mut Commit) {
        if response.code.is_success() {
            let found = self
                .observations
                .iter()
                .find(|observation| observation.token == fetch.token)
                .cloned();
            if let Some(observation) = found {
                self.take_values(env, &observation, response, fetch.stale, commit);
            }
        }
        self.unstage(fetch, commit);
    }

    pub(super) fn unstage(&mut self, fetch: &Fetch, commit: &mut Commit) {
        let found = self
            .observations
            .iter_mut()
            .find(|observation| observation.token == fetch.token);
        if let Some(observation) = found {
            observation.staged = None;
            commit
                .changes
                .push(Change::SaveObservation(Box::new(observation.clone())));
        }
    }
}

/// The device's refusal in words: the code, and what it said beside it.
fn refused(response: &Response) -> String {
    let said: String = String::from_utf8_lossy(&response.payload)
        .chars()
        .take(MAX_DIAGNOSTIC_CHARS)
        .collect();
    let is_text = response.options.content_format().is_none() && !said.trim().is_empty();
    if is_text {
        format!("the device answered {}: {said}", response.code)
    } else {
        format!("the device answered {}", response.code)
    }
}

/// Of a diagnostic payload so much is kept.
const MAX_DIAGNOSTIC_CHARS: usize = 200;
