//! Operations that wait: taking them, taking them back, giving them up.

use super::{Action, CommitStep, Env, Refusal, Session, Step, Ticket};
use crate::domain::{
    AuditEntry, Doer, EndpointId, EndpointName, IdempotencyKey, KeyedOperation, NewOperation,
    Operation, OperationId, OperationStatus,
};
use crate::store::{Change, Commit};

impl Session {
    /// Stores an operation and lets it wait for its turn.
    pub(super) fn operate(
        &mut self,
        env: &Env<'_>,
        mut new: NewOperation,
        ticket: Ticket,
        steps: &mut Vec<Step>,
    ) {
        let asked = new.key.and_then(|key| self.keys.find(&key, env.now.wall));
        if let Some((id, same)) = asked {
            let refusal = Refusal::AskedBefore { id, same };
            steps.push(Step::InTurn(Action::Refused(ticket, refusal)));
            return;
        }
        if new.request.passive {
            self.cancel_passively(env, new, ticket, steps);
            return;
        }
        let limit = env.settings.max_operations;
        if self.queue.len() >= limit {
            steps.push(Step::Do(Action::Refused(
                ticket,
                Refusal::TooMany { limit },
            )));
            return;
        }
        let by = new.by.take();
        let key = new.key.take();
        let operation = accept(env, self.endpoint_id, &self.name, new);
        let mut commit = Commit::default();
        commit.changes.extend(by.map(|by| created(by, &operation)));
        self.remember_key(env, key, &operation, &mut commit);
        self.save_operation(env, &operation, &mut commit);
        self.queue.push_back(operation.clone());
        steps.push(Step::Commit(Box::new(CommitStep {
            commit,
            then: vec![Action::Accepted(ticket, Box::new(operation)), Action::Pump],
            otherwise: Vec::new(),
        })));
    }

    /// Takes an operation back that still waits.
    pub(super) fn cancel(
        &mut self,
        env: &Env<'_>,
        id: OperationId,
        by: Option<Doer>,
        ticket: Ticket,
        steps: &mut Vec<Step>,
    ) {
        if let Some(operation) = self.queue.remove(id) {
            let mut commit = Commit::default();
            let operation = self.conclude(
                env,
                operation,
                OperationStatus::Cancelled,
                None,
                &mut commit,
            );
            let line = by.map(|by| AuditEntry::operation_cancelled(by, env.now.wall, &operation));
            commit.changes.extend(line.map(Box::new).map(Change::Audit));
            steps.push(Step::Commit(Box::new(CommitStep {
                commit,
                then: vec![
                    Action::Accepted(ticket, Box::new(operation.clone())),
                    Action::Finished(Box::new(operation)),
                ],
                otherwise: Vec::new(),
            })));
            return;
        }
        let pushed = self.push.as_ref().filter(|push| push.operation.id == id);
        if let Some(push) = pushed {
            let refusal = Refusal::NotQueued(push.operation.clone());
            steps.push(Step::Do(Action::Refused(ticket, refusal)));
            return;
        }
        let refusal = match &self.in_flight {
            Some(in_flight) => match &in_flight.job {
                super::Job::Operation(operation) if operation.id == id => {
                    Refusal::NotQueued(operation.clone())
                }
                _ => Refusal::NotWaiting(id),
            },
            None => Refusal::NotWaiting(id),
        };
        steps.push(Step::InTurn(Action::Refused(ticket, refusal)));
    }

    /// Gives up what waited too long.
    pub(super) fn expire_operations(&mut self, env: &Env<'_>, steps: &mut Vec<Step>) {
        let expired = self.queue.take_expired(env.now.wall);
        if expired.is_empty() {
            return;
        }
        let mut commit = Commit::default();
        let mut then = Vec::new();
        for operation in expired {
            let error = "its time ran out before the device could be reached".to_owned();
            let operation = self.conclude(
                env,
                operation,
                OperationStatus::Expired,
                Some(error),
                &mut commit,
            );
            then.push(Action::Finished(Box::new(operation)));
        }
        steps.push(Step::Commit(Box::new(CommitStep {
            commit,
            then,
            otherwise: Vec::new(),
        })));
    }

    /// Remembers with which key an operation was asked for, on disk with the operation.
    pub(super) fn remember_key(
        &mut self,
        env: &Env<'_>,
        key: Option<IdempotencyKey>,
        operation: &Operation,
        commit: &mut Commit,
    ) {
        if let Some(key) = key {
            let keyed = KeyedOperation {
                endpoint_id: self.endpoint_id,
                key,
                operation: operation.id,
                expires_at: env.now.wall.plus(env.settings.keys_count),
            };
            self.keys.push(keyed);
            commit.changes.push(Change::RememberKey(Box::new(keyed)));
        }
    }

    /// Writes an operation as it stands, and tells the page.
    pub(super) fn save_operation(&self, env: &Env<'_>, operation: &Operation, commit: &mut Commit) {
        commit
            .publish
            .push(self.live_operation(operation, env.now.wall));
        commit
            .changes
            .push(Change::SaveOperation(Box::new(operation.clone())));
    }

    /// What waits for a device that cannot be asked now is written: it may wait for long.
    pub(super) fn write_waiting(&mut self, env: &Env<'_>, steps: &mut Vec<Step>) {
        if !self.queue.has_unwritten() || self.is_reachable(env) {
            return;
        }
        let mut commit = Commit::default();
        for operation in self.queue.unwritten() {
            self.queue.note_written(operation.id);
            self.save_operation(env, &operation, &mut commit);
        }
        if !commit.is_empty() {
            steps.push(Step::Commit(Box::new(CommitStep {
                commit,
                ..CommitStep::default()
            })));
        }
    }

    /// Gives an operation its final status and writes it.
    pub(super) fn conclude(
        &mut self,
        env: &Env<'_>,
        mut operation: Operation,
        status: OperationStatus,
        error: Option<String>,
        commit: &mut Commit,
    ) -> Operation {
        operation.status = status;
        operation.error = error;
        operation.finished_at = Some(env.now.wall);
        operation.token = None;
        let was_unwritten = self.queue.note_written(operation.id);
        let is_worth_a_row = matches!(status, OperationStatus::Expired | OperationStatus::Failed);
        if !was_unwritten || is_worth_a_row {
            self.save_operation(env, &operation, commit);
        }
        self.note_end(env, &operation, commit);
        operation
    }
}

/// What the audit log says of a new operation.
pub(super) fn created(by: Doer, operation: &Operation) -> Change {
    Change::Audit(Box::new(AuditEntry::operation_created(by, operation)))
}

/// A new operation, QUEUED.
pub(super) fn accept(
    env: &Env<'_>,
    endpoint_id: EndpointId,
    endpoint: &EndpointName,
    new: NewOperation,
) -> Operation {
    let lives = new.expires_in.or(env.settings.default_expiry);
    Operation {
        id: env.ids.operation(),
        endpoint_id,
        endpoint: endpoint.clone(),
        request: new.request,
        origin: new.origin,
        status: OperationStatus::Queued,
        attempts: 0,
        max_attempts: new.max_attempts,
        result: None,
        error: None,
        token: None,
        created_at: env.now.wall,
        last_attempt_at: None,
        finished_at: None,
        expires_at: lives.map(|lives| env.now.wall.plus(lives)),
    }
}
