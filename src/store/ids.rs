//! Row ids, handed out before the row is written.

use std::sync::atomic::{AtomicI64, Ordering};

use crate::domain::{EndpointId, EventId, FirmwareUpdateId, ObservationId, OperationId, WantedId};

/// Hands out row ids: each one once, also over restarts and after rows were deleted.
///
/// An id that was handed out may stay unused (its commit failed); then there is a gap.
#[derive(Debug)]
pub struct Ids {
    pub(super) endpoint: Counter,
    pub(super) observation: Counter,
    pub(super) operation: Counter,
    pub(super) event: Counter,
    pub(super) resource: Counter,
    pub(super) wanted: Counter,
    pub(super) log: Counter,
    pub(super) firmware_update: Counter,
    pub(super) firmware_step: Counter,
}

impl Ids {
    /// The row of a new endpoint.
    pub fn endpoint(&self) -> EndpointId {
        EndpointId(self.endpoint.next())
    }

    /// The row of a new observation.
    pub fn observation(&self) -> ObservationId {
        ObservationId(self.observation.next())
    }

    /// The row of a new operation.
    pub fn operation(&self) -> OperationId {
        OperationId(self.operation.next())
    }

    /// The row of a new event.
    pub fn event(&self) -> EventId {
        EventId(self.event.next())
    }

    /// The row of a new firmware update.
    pub fn firmware_update(&self) -> FirmwareUpdateId {
        FirmwareUpdateId(self.firmware_update.next())
    }

    /// The row of something that is wanted to be observed.
    pub fn wanted(&self) -> WantedId {
        WantedId(self.wanted.next())
    }

    /// The marks that must be stored now, each with the place of its counter.
    pub(super) fn due(&self) -> impl Iterator<Item = (usize, i64)> {
        let counters = self.counters().into_iter().enumerate();
        counters.filter_map(|(index, counter)| Some((index, counter.due()?)))
    }

    /// Every counter, to store and restore their marks.
    pub(super) fn counters(&self) -> [&Counter; 9] {
        [
            &self.endpoint,
            &self.observation,
            &self.operation,
            &self.event,
            &self.resource,
            &self.wanted,
            &self.log,
            &self.firmware_update,
            &self.firmware_step,
        ]
    }
}

impl Default for Ids {
    /// Counters that begin at 1, for an empty store.
    fn default() -> Self {
        Self {
            endpoint: Counter::new("endpoint", 1_000),
            observation: Counter::new("observation", 10_000),
            operation: Counter::new("endpoint_operation", 10_000),
            event: Counter::new("event", 10_000),
            resource: Counter::new("resource", 100_000),
            wanted: Counter::new("wanted_observation", 10_000),
            log: Counter::new("device_log", 100_000),
            firmware_update: Counter::new("firmware_update", 1_000),
            firmware_step: Counter::new("firmware_step", 10_000),
        }
    }
}

/// The ids of one table.
///
/// The database holds a mark that no committed id ever reaches: the writer moves it ahead in the
/// transaction that would pass it, `step` ids at a time, so that it costs a write only now and
/// then. After a crash the numbers go on from the mark; after an orderly stop without a gap.
#[derive(Debug)]
pub(super) struct Counter {
    /// The table, and the key of the mark in `server_state`.
    pub(super) table: &'static str,
    /// How far the mark is moved at a time.
    step: i64,
    next: AtomicI64,
    /// The mark on disk, in the database or in the journal.
    mark: AtomicI64,
}

impl Counter {
    fn new(table: &'static str, step: i64) -> Self {
        Self {
            table,
            step,
            next: AtomicI64::new(1),
            mark: AtomicI64::new(0),
        }
    }

    /// A new id.
    pub(super) fn next(&self) -> i64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Goes on from this id, unless it is beyond it.
    pub(super) fn advance(&self, first: i64) {
        self.next.fetch_max(first, Ordering::Relaxed);
    }

    /// Goes on from what the database holds: its mark and the largest id of the table.
    pub(super) fn restore(&self, mark: i64, largest: i64) {
        let next = mark.max(largest.saturating_add(1)).max(1);
        self.next.store(next, Ordering::Relaxed);
        self.mark.store(mark, Ordering::Relaxed);
    }

    /// The mark that must be stored before any id handed out so far may be committed; none while
    /// the stored one is far enough ahead.
    pub(super) fn due(&self) -> Option<i64> {
        let next = self.next.load(Ordering::Relaxed);
        (next > self.mark.load(Ordering::Relaxed)).then(|| next.saturating_add(self.step))
    }

    /// The mark without a gap, for an orderly stop.
    pub(super) fn exact(&self) -> i64 {
        self.next.load(Ordering::Relaxed)
    }

    /// The largest mark that is on disk.
    pub(super) fn mark(&self) -> i64 {
        self.mark.load(Ordering::Relaxed)
    }

    /// Notes that this mark is on disk.
    pub(super) fn stored(&self, mark: i64) {
        self.mark.fetch_max(mark, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_go_on_behind_the_mark_and_behind_the_largest_row() {
        let counter = Counter::new("event", 10);
        counter.restore(0, 0);
        assert_eq!((counter.next(), counter.next()), (1, 2));
        counter.restore(100, 7);
        assert_eq!(counter.next(), 100);
        counter.restore(100, 170);
        assert_eq!(counter.next(), 171);
    }

    #[test]
    fn the_mark_is_due_before_an_id_reaches_it() {
        let counter = Counter::new("event", 10);
        let mark = counter.due().expect("nothing is stored yet");
        assert_eq!(mark, 11);
        counter.stored(mark);
        for _ in 1..mark {
            assert_eq!(counter.due(), None);
            assert!(counter.next() < mark);
        }
        assert_eq!(counter.due(), None);
        assert_eq!(counter.next(), mark);
        assert_eq!(counter.due(), Some(mark + 1 + 10));
    }
}
