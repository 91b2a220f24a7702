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
    /// Those that are not on disk: what templates want to be observed. It is asked for anew after a restart, and
    /// what came of it is told by what is wanted; so they are written only when the device has to be waited
    /// for, or refuses. The one that is on its way is among them.
    unwritten: Vec<OperationId>,
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

    /// Behind all others, and not on disk.
    pub(super) fn push_unwritten(&mut self, operation: Operation) {
        self.unwritten.push(operation.id);
        self.push_back(operation);
    }

    /// Those that wait and are not on disk.
    pub(super) fn unwritten(&self) -> Vec<Operation> {
        let is_unwritten = |operation: &&Operation| self.unwritten.contains(&operation.id);
        self.waiting.iter().filter(is_unwritten).cloned().collect()
    }

    /// True when one that waits, or is on its way, is not on disk.
    pub(super) fn has_unwritten(&self) -> bool {
        !self.unwritten.is_empty()
    }

    /// It is on disk, or never will be; true when it was not.
    pub(super) fn note_written(&mut self, id: OperationId) -> bool {
        let Some(at) = self.unwritten.iter().position(|one| *one == id) else {
            return false;
        };
        self.unwritten.swap_remove(at);
        if self.unwritten.is_empty() {
            self.unwritten = Vec::new();
        }
        true
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

    /// True when [`Queue::next`] takes one.
    pub(super) fn has_next(&self) -> bool {
        self.waiting.len() > self.held.len()
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
        self.forget_room();
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
        self.forget_room();
        Some(operation)
    }

    /// Most devices are asked something once, and then nothing for long: no room is kept.
    fn forget_room(&mut self) {
        if self.waiting.is_empty() {
            let unwritten = std::mem::take(&mut self.unwritten);
            *self = Self {
                unwritten,
                ..Self::default()
            };
        }
    }
}
