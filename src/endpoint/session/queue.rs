//! Operations that wait for their device, in the order in which they were asked for, which is that
//! of their ids.
//!
//! However many wait, taking the next, adding one and asking for the next expiry stay cheap: a
//! device that never wakes may have thousands.

use std::collections::{BTreeSet, VecDeque};

use crate::domain::{Operation, OperationId, Timestamp};

/// The operations of one device that are QUEUED.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: VecDeque<Operation>,
    /// Those whose last attempt was acknowledged and then not answered: they let the others pass
    /// until the device registers or updates again. Always a part of `waiting`.
    held: BTreeSet<OperationId>,
    /// When each of them expires, where it does.
    expiries: BTreeSet<(Timestamp, OperationId)>,
}

impl Queue {
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// True when one that was tried lets the others pass.
    pub(super) fn has_held(&self) -> bool {
        !self.held.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Operation> {
        self.waiting.iter()
    }

    /// Behind all others.
    pub(super) fn push_back(&mut self, operation: Operation) {
        self.note(&operation);
        self.waiting.push_back(operation);
    }

    /// Where it was among the others: one that was tried and whose turn it still is.
    pub(super) fn put_back(&mut self, operation: Operation) {
        self.note(&operation);
        // Ids are given out in the order in which operations are asked for.
        let at = self
            .waiting
            .partition_point(|waiting| waiting.id < operation.id);
        self.waiting.insert(at, operation);
    }

    /// Like [`Queue::put_back`], but the others may go first until [`Queue::release`].
    pub(super) fn hold(&mut self, operation: Operation) {
        self.held.insert(operation.id);
        self.put_back(operation);
    }

    /// Those that let the others pass have their turn again.
    pub(super) fn release(&mut self) {
        self.held.clear();
    }

    /// Takes the one whose turn it is.
    pub(super) fn next(&mut self) -> Option<Operation> {
        let at = self
            .waiting
            .iter()
            .position(|operation| !self.held.contains(&operation.id))?;
        self.take(at)
    }

    /// Takes one that nobody wants any more.
    pub(super) fn remove(&mut self, id: OperationId) -> Option<Operation> {
        let at = self
            .waiting
            .binary_search_by_key(&id, |operation| operation.id)
            .ok()?;
        self.take(at)
    }

    /// When the next one expires.
    pub(super) fn next_expiry(&self) -> Option<Timestamp> {
        self.expiries.first().map(|(at, _)| *at)
    }

    /// Takes those whose time has run out, the oldest expiry first.
    pub(super) fn take_expired(&mut self, now: Timestamp) -> Vec<Operation> {
        let mut due = BTreeSet::new();
        while let Some((_, id)) = self.expiries.first().copied().filter(|(at, _)| *at <= now) {
            self.expiries.pop_first();
            self.held.remove(&id);
            due.insert(id);
        }
        if due.is_empty() {
            return Vec::new();
        }
        let (expired, waiting): (Vec<_>, Vec<_>) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|operation| due.contains(&operation.id));
        self.waiting = waiting.into();
        if self.waiting.is_empty() {
            *self = Self::default();
        }
        expired
    }

    fn note(&mut self, operation: &Operation) {
        if let Some(at) = operation.expires_at {
            self.expiries.insert((at, operation.id));
        }
    }

    fn take(&mut self, at: usize) -> Option<Operation> {
        let operation = self.waiting.remove(at)?;
        self.held.remove(&operation.id);
        if let Some(at) = operation.expires_at {
            self.expiries.remove(&(at, operation.id));
        }
        if self.waiting.is_empty() {
            // Most devices are asked something once, and then nothing for long: no room is kept.
            *self = Self::default();
        }
        Some(operation)
    }
}
