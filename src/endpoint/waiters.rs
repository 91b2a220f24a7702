//! Who waits for what an endpoint's session is asked to do.

use std::collections::HashMap;

use tokio::sync::oneshot;

use super::messages::NotTaken;
use super::session::{Refusal, Ticket};
use crate::domain::{Operation, OperationId, Profile};
use crate::registry::OperateError;
use crate::store::StoreError;

/// Answers that are due, by what they wait for.
#[derive(Default)]
pub(super) struct Waiters {
    next: u64,
    accepted: HashMap<Ticket, Waiter>,
    pub(super) profiled: HashMap<Ticket, oneshot::Sender<Result<Profile, OperateError>>>,
    finished: HashMap<OperationId, Vec<oneshot::Sender<Operation>>>,
    pub(super) reported: HashMap<Ticket, oneshot::Sender<Result<(), NotTaken>>>,
}

struct Waiter {
    accepted: oneshot::Sender<Result<Operation, OperateError>>,
    finished: Option<oneshot::Sender<Operation>>,
}

impl Waiters {
    pub(super) fn add(
        &mut self,
        accepted: oneshot::Sender<Result<Operation, OperateError>>,
        finished: Option<oneshot::Sender<Operation>>,
    ) -> Ticket {
        let ticket = self.ticket();
        self.accepted.insert(ticket, Waiter { accepted, finished });
        ticket
    }

    pub(super) fn ticket(&mut self) -> Ticket {
        self.next = self.next.wrapping_add(1);
        Ticket(self.next)
    }

    pub(super) fn reported(&mut self, ticket: Ticket, outcome: Result<(), NotTaken>) {
        if let Some(answer) = self.reported.remove(&ticket) {
            // Whoever asked may have gone meanwhile.
            let _ = answer.send(outcome);
        }
    }

    /// True when nobody waits for something to be stored.
    pub(super) fn are_gone(&self) -> bool {
        self.accepted.is_empty() && self.profiled.is_empty()
    }

    pub(super) fn profiled(&mut self, ticket: Ticket, profile: Profile) {
        if let Some(waiter) = self.profiled.remove(&ticket) {
            // Whoever asked may have gone meanwhile; the change stands.
            let _ = waiter.send(Ok(profile));
        }
    }

    pub(super) fn accepted(&mut self, ticket: Ticket, operation: Operation) {
        let Some(waiter) = self.accepted.remove(&ticket) else {
            return;
        };
        if let Some(finished) = waiter.finished {
            self.finished.retain(|_, waiting| {
                waiting.retain(|sender| !sender.is_closed());
                !waiting.is_empty()
            });
            self.finished
                .entry(operation.id)
                .or_default()
                .push(finished);
        }
        // Whoever asked may have gone meanwhile; the operation stands.
        let _ = waiter.accepted.send(Ok(operation));
    }

    pub(super) fn refused(&mut self, ticket: Ticket, refusal: Refusal) {
        let Some(waiter) = self.accepted.remove(&ticket) else {
            return;
        };
        let error = match refusal {
            Refusal::TooMany { limit } => OperateError::TooMany { limit },
            Refusal::NotQueued(operation) => OperateError::NotQueued(operation),
            Refusal::NotWaiting(id) => OperateError::UnknownOperation(id),
        };
        let _ = waiter.accepted.send(Err(error));
    }

    pub(super) fn finished(&mut self, operation: &Operation) {
        for waiting in self.finished.remove(&operation.id).unwrap_or_default() {
            let _ = waiting.send(operation.clone());
        }
    }

    pub(super) fn fail(&mut self, error: &StoreError) {
        for (_, waiter) in self.accepted.drain() {
            let _ = waiter
                .accepted
                .send(Err(OperateError::Store(error.clone())));
        }
        for (_, waiter) in self.profiled.drain() {
            let _ = waiter.send(Err(OperateError::Store(error.clone())));
        }
    }
}
