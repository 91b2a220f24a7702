//! What is acknowledged and not in the tables yet.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::{Notify, watch};

use super::Entry;
use crate::domain::EndpointId;
use crate::store::StoreError;
use crate::store::writer::Call;

/// What a call counts as in bytes: it holds a closure and what that has captured.
const CALL_BYTES: usize = 4_096;

/// In one transaction goes no more than this share of what may be pending: when it is full nobody is told anything
/// until a transaction is over, which should be soon.
const SHARES: usize = 4;

/// Handed from the [`Front`](super::Front) to the [`Folder`](super::Folder), in order.
pub(in crate::store) struct Pending {
    state: Mutex<State>,
    /// There is something to do for the folder.
    work: Notify,
    /// There is room again.
    room: Notify,
    folded: watch::Sender<Folded>,
    limit: usize,
    /// The bytes of [`State`], for whoever watches.
    gauge: Gauge,
}

/// How far the tables are.
#[derive(Clone, Debug, Default)]
struct Folded {
    /// The last record that is in them.
    number: u64,
    /// How often that failed, and why it last did.
    failures: u64,
    why: Option<StoreError>,
}

#[derive(Default)]
struct State {
    items: VecDeque<Item>,
    /// Of the items, and of what is being folded.
    bytes: usize,
    /// In the items.
    commits: usize,
    /// The last record that was acknowledged.
    acknowledged: u64,
    /// Somebody waits for the tables to be so far.
    asked: u64,
    /// Of the items.
    calls: usize,
    /// Devices, each with the last record about it.
    devices: HashMap<EndpointId, u64>,
    closed: bool,
    /// The folder is gone.
    ended: bool,
}

/// Something to do for the folder.
enum Item {
    Entry(Waiting),
    Call(Call),
}

/// An entry that waits.
#[derive(Debug)]
struct Waiting {
    entry: Entry,
    bytes: usize,
    since: Instant,
}

/// The next thing to do.
pub(super) enum Work {
    /// To be written to the tables; they take so many bytes.
    Fold(Vec<Entry>, usize),
    /// To be run.
    Call(Call),
    /// Nothing for now.
    Idle,
    /// Nothing any more.
    End,
}

impl Pending {
    /// Nothing is pending, and this record is the last one in the tables. No more than about `limit` bytes
    /// of records will be pending; `gauge` says how many.
    pub(in crate::store) fn new(folded: u64, limit: usize, gauge: Gauge) -> Self {
        let is = Folded {
            number: folded,
            ..Folded::default()
        };
        Self {
            state: Mutex::new(State {
                acknowledged: folded,
                ..State::default()
            }),
            work: Notify::new(),
            room: Notify::new(),
            folded: watch::Sender::new(is),
            limit,
            gauge,
        }
    }

    /// An entry whose record is on disk. To be called before anybody is told so.
    pub(super) fn push(&self, entry: Entry, bytes: usize) {
        let mut state = self.state();
        state.acknowledged = entry.number;
        self.count(&mut state, |before| before + bytes);
        state.commits += entry.commits.len();
        for change in entry.commits.iter().flat_map(|commit| &commit.changes) {
            if let Some(device) = change.device() {
                state.devices.insert(device, entry.number);
            }
        }
        state.items.push_back(Item::Entry(Waiting {
            entry,
            bytes,
            since: Instant::now(),
        }));
        drop(state);
        self.work.notify_one();
    }

    /// A call, in its turn.
    pub(super) fn push_call(&self, call: Call) {
        let mut state = self.state();
        self.count(&mut state, |before| before + CALL_BYTES);
        state.calls += 1;
        state.items.push_back(Item::Call(call));
        drop(state);
        self.work.notify_one();
    }

    /// Waits until there is room for more. False when there never will be: the folder is gone.
    pub(super) async fn room(&self) -> bool {
        loop {
            {
                let state = self.state();
                if state.ended {
                    return false;
                }
                if state.bytes < self.limit {
                    return true;
                }
            }
            self.work.notify_one();
            self.room.notified().await;
        }
    }

    /// Nothing more will come.
    pub(super) fn close(&self) {
        self.state().closed = true;
        self.work.notify_one();
    }

    /// True once nothing more will come.
    pub(super) fn is_closed(&self) -> bool {
        self.state().closed
    }

    /// Nothing more will be written to the tables.
    pub(super) fn end(&self) {
        self.state().ended = true;
        self.failed(StoreError::Closed);
        self.room.notify_one();
    }

    /// The last record that is in the tables.
    pub(super) fn folded(&self) -> u64 {
        self.folded.borrow().number
    }

    /// Returns once everything that is acknowledged by now is in the tables.
    ///
    /// # Errors
    /// Why it is not there after another try.
    pub(in crate::store) async fn settled(&self) -> Result<(), StoreError> {
        let number = self.state().acknowledged;
        self.is_folded(number).await
    }

    /// Like [`Pending::settled`], of what is about these devices.
    pub(in crate::store) async fn settled_for(
        &self,
        devices: &[EndpointId],
    ) -> Result<(), StoreError> {
        let number = {
            let state = self.state();
            devices
                .iter()
                .filter_map(|device| state.devices.get(device))
                .max()
                .copied()
        };
        match number {
            Some(number) => self.is_folded(number).await,
            None => Ok(()),
        }
    }

    async fn is_folded(&self, number: u64) -> Result<(), StoreError> {
        let mut folded = self.folded.subscribe();
        let failures = {
            let is = folded.borrow_and_update();
            if is.number >= number {
                return Ok(());
            }
            is.failures
        };
        {
            let mut state = self.state();
            if state.ended {
                return Err(StoreError::Closed);
            }
            state.asked = state.asked.max(number);
        }
        self.work.notify_one();
        let is = folded
            .wait_for(|is| is.number >= number || is.failures > failures)
            .await
            .map_err(|_| StoreError::Closed)?;
        match &is.why {
            Some(why) if is.number < number => Err(why.clone()),
            _ => Ok(()),
        }
    }

    /// The next thing to do: at once when somebody waits for it or much is there, else what is older than
    /// `age`. When there is nothing at all it waits no longer than `patience`.
    pub(super) async fn next(&self, age: Duration, commits: usize, patience: Duration) -> Work {
        let end = Instant::now() + patience;
        loop {
            let due = {
                let mut state = self.state();
                match state.due(age, commits, self.limit) {
                    Some(due) if due <= Instant::now() => {
                        return state.take(commits, self.limit / SHARES);
                    }
                    Some(due) => due,
                    None if state.closed => return Work::End,
                    None => end,
                }
            };
            let changed = tokio::time::timeout_at(due.into(), self.work.notified()).await;
            if changed.is_err() && self.state().items.is_empty() {
                return Work::Idle;
            }
        }
    }

    /// These are in the tables.
    pub(super) fn done(&self, number: u64, bytes: usize) {
        {
            let mut state = self.state();
            self.count(&mut state, |before| before.saturating_sub(bytes));
            state.devices.retain(|_, last| *last > number);
            if state.devices.is_empty() {
                // A burst must not keep its memory.
                state.devices = HashMap::new();
            }
        }
        self.folded.send_modify(|is| {
            is.number = number;
            is.why = None;
        });
        self.room.notify_one();
    }

    /// A call was run.
    pub(super) fn called(&self) {
        let mut state = self.state();
        self.count(&mut state, |before| before.saturating_sub(CALL_BYTES));
        drop(state);
        self.room.notify_one();
    }

    /// They could not be written; it is tried again.
    pub(super) fn failed(&self, why: StoreError) {
        self.folded.send_modify(|is| {
            is.failures += 1;
            is.why = Some(why);
        });
    }

    fn count(&self, state: &mut State, bytes: impl FnOnce(usize) -> usize) {
        state.bytes = bytes(state.bytes);
        self.gauge
            .set(i64::try_from(state.bytes).unwrap_or(i64::MAX));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// When there is something to do.
    fn due(&self, age: Duration, commits: usize, limit: usize) -> Option<Instant> {
        let now = Instant::now();
        match self.items.front()? {
            Item::Call(_) => Some(now),
            Item::Entry(first) => {
                let at_once = self.closed
                    || self.asked >= first.entry.number
                    || self.commits >= commits
                    || self.bytes >= limit / 2
                    || self.calls > 0;
                Some(if at_once { now } else { first.since + age })
            }
        }
    }

    /// The first call, or the entries in front of it, up to so many commits or bytes.
    fn take(&mut self, most: usize, most_bytes: usize) -> Work {
        let mut entries = Vec::new();
        let mut bytes = 0;
        let mut commits = 0;
        while commits < most && (bytes < most_bytes || entries.is_empty()) {
            match self.items.pop_front() {
                Some(Item::Entry(waiting)) => {
                    bytes += waiting.bytes;
                    commits += waiting.entry.commits.len();
                    entries.push(waiting.entry);
                }
                Some(call @ Item::Call(_)) if !entries.is_empty() => {
                    self.items.push_front(call);
                    break;
                }
                Some(Item::Call(call)) => {
                    self.calls -= 1;
                    return Work::Call(call);
                }
                None => break,
            }
        }
        self.commits = self.commits.saturating_sub(commits);
        Work::Fold(entries, bytes)
    }
}

#[cfg(test)]
#[path = "pending_tests.rs"]
mod tests;
