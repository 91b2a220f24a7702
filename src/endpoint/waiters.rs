//! Who waits for what an endpoint's session is asked to do.

use std::collections::HashMap;

use tokio::sync::oneshot;

use super::messages::NotTaken;
use super::session::{Refusal, Ticket, UpdateRefusal};
use crate::domain::{FirmwareUpdate, Operation, OperationId, Profile};
use crate::registry::OperateError;
use crate::store::StoreError;

/// Answers that are due, by what they wait for. Most devices have none.
#[derive(Default)]
pub(super) struct Waiters {
    next: u64,
    due: Option<Box<Due>>,
}

#[derive(Default)]
struct Due {
    accepted: HashMap<Ticket, Waiter>,
    profiled: HashMap<Ticket, oneshot::Sender<Result<Profile, OperateError>>>,
    updated: HashMap<Ticket, oneshot::Sender<Result<FirmwareUpdate, OperateError>>>,
    finished: HashMap<OperationId, Vec<oneshot::Sender<Operation>>>,
    reported: HashMap<Ticket, oneshot::Sender<Result<(), NotTaken>>>,
}

impl Due {
    fn forget_who_has_gone(&mut self) {
        self.finished.retain(|_, waiting| {
            waiting.retain(|sender| !sender.is_closed());
            !waiting.is_empty()
        });
    }

    fn is_empty(&self) -> bool {
        self.accepted.is_empty()
            && self.profiled.is_empty()
            && self.updated.is_empty()
            && self.finished.is_empty()
            && self.reported.is_empty()
    }
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
        let waiter = Waiter { accepted, finished };
        self.due().accepted.insert(ticket, waiter);
        ticket
    }

    /// Somebody waits for the end of an operation that is stored.
    pub(super) fn add_end(&mut self, id: OperationId, finished: oneshot::Sender<Operation>) {
        let due = self.due();
        due.forget_who_has_gone();
        due.finished.entry(id).or_default().push(finished);
    }

    /// Somebody waits until a profile is stored.
    pub(super) fn add_profile(
        &mut self,
        waiter: oneshot::Sender<Result<Profile, OperateError>>,
    ) -> Ticket {
        let ticket = self.ticket();
        self.due().profiled.insert(ticket, waiter);
        ticket
    }

    /// Somebody waits until a firmware update is stored.
    pub(super) fn add_update(
        &mut self,
        waiter: oneshot::Sender<Result<FirmwareUpdate, OperateError>>,
    ) -> Ticket {
        let ticket = self.ticket();
        self.due().updated.insert(ticket, waiter);
        ticket
    }

    /// A firmware update is stored, or was refused.
    pub(super) fn updated(
        &mut self,
        ticket: Ticket,
        outcome: Result<FirmwareUpdate, UpdateRefusal>,
    ) {
        let waiter = self
            .due
            .as_mut()
            .and_then(|due| due.updated.remove(&ticket));
        if let Some(waiter) = waiter {
            // Whoever asked may have gone meanwhile; the update stands.
            let _ = waiter.send(outcome.map_err(OperateError::Update));
        }
        self.tidy();
    }

    /// Somebody waits until a report is stored.
    pub(super) fn add_report(&mut self, waiter: oneshot::Sender<Result<(), NotTaken>>) -> Ticket {
        let ticket = self.ticket();
        self.due().reported.insert(ticket, waiter);
        ticket
    }

    fn due(&mut self) -> &mut Due {
        self.due.get_or_insert_default()
    }

    /// No room is kept when nobody waits.
    fn tidy(&mut self) {
        self.due.take_if(|due| due.is_empty());
    }

    fn ticket(&mut self) -> Ticket {
        self.next = self.next.wrapping_add(1);
        Ticket(self.next)
    }

    pub(super) fn reported(&mut self, ticket: Ticket, outcome: Result<(), NotTaken>) {
        let waiter = self
            .due
            .as_mut()
            .and_then(|due| due.reported.remove(&ticket));
        if let Some(answer) = waiter {
            // Whoever asked may have gone meanwhile.
            let _ = answer.send(outcome);
        }
        self.tidy();
    }

    /// True when nobody waits for anything.
    pub(super) fn are_none(&mut self) -> bool {
        if let Some(due) = &mut self.due {
            due.forget_who_has_gone();
        }
        self.tidy();
        self.due.is_none()
    }

    /// True when nobody waits for something to be stored.
    pub(super) fn are_gone(&self) -> bool {
        let is_gone = |due: &Due| {
            due.accepted.is_empty() && due.profiled.is_empty() && due.updated.is_empty()
        };
        self.due.as_deref().is_none_or(is_gone)
    }

    pub(super) fn profiled(&mut self, ticket: Ticket, profile: Profile) {
        let waiter = self
            .due
            .as_mut()
            .and_then(|due| due.profiled.remove(&ticket));
        if let Some(waiter) = waiter {
            // Whoever asked may have gone meanwhile; the change stands.
            let _ = waiter.send(Ok(profile));
        }
        self.tidy();
    }

    pub(super) fn accepted(&mut self, ticket: Ticket, operation: Operation) {
        let Some(due) = &mut self.due else {
            return;
        };
        let Some(waiter) = due.accepted.remove(&ticket) else {
            return;
        };
        due.forget_who_has_gone();
        if let Some(finished) = waiter.finished {
            due.finished.entry(operation.id).or_default().push(finished);
        }
        // Whoever asked may have gone meanwhile; the operation stands.
        let _ = waiter.accepted.send(Ok(operation));
        self.tidy();
    }

    pub(super) fn refused(&mut self, ticket: Ticket, refusal: Refusal) {
        let waiter = self
            .due
            .as_mut()
            .and_then(|due| due.accepted.remove(&ticket));
        let Some(waiter) = waiter else {
            return;
        };
        let error = match refusal {
            Refusal::TooMany { limit } => OperateError::TooMany { limit },
            Refusal::AskedBefore { id, same } => OperateError::AskedBefore { id, same },
            Refusal::NotQueued(operation) => OperateError::NotQueued(operation),
            Refusal::NotWaiting(id) => OperateError::UnknownOperation(id),
        };
        let _ = waiter.accepted.send(Err(error));
        self.tidy();
    }

    pub(super) fn finished(&mut self, operation: &Operation) {
        let due = self.due.as_mut();
        let waiting = due.and_then(|due| due.finished.remove(&operation.id));
        for waiting in waiting.unwrap_or_default() {
            let _ = waiting.send(operation.clone());
        }
        self.tidy();
    }

    pub(super) fn fail(&mut self, error: &StoreError) {
        let Some(due) = &mut self.due else {
            return;
        };
        for (_, waiter) in due.accepted.drain() {
            let _ = waiter
                .accepted
                .send(Err(OperateError::Store(error.clone())));
        }
        for (_, waiter) in due.profiled.drain() {
            let _ = waiter.send(Err(OperateError::Store(error.clone())));
        }
        for (_, waiter) in due.updated.drain() {
            let _ = waiter.send(Err(OperateError::Store(error.clone())));
        }
        self.tidy();
    }
}
