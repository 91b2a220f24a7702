//! Appends what comes, and tells whoever waits for it.

use std::sync::Arc;
use std::time::Instant;

use super::entry::Draft;
use super::{Entry, Journal, Pending};
use crate::store::writer::{Next, Outcome, Queue, Waiting};
use crate::store::{Commit, Ids, StoreError};

/// A buffer that was needed for a large record is not kept.
const KEPT_BUFFER: usize = 1 << 20;

/// In front of the tables: its own thread, whose work is to append and to wait for the disk.
pub(in crate::store) struct Front {
    queue: Queue,
    journal: Journal,
    pending: Arc<Pending>,
    outcome: Outcome,
    ids: Arc<Ids>,
    buffer: Vec<u8>,
}

impl Front {
    pub(in crate::store) fn new(
        queue: Queue,
        journal: Journal,
        pending: Arc<Pending>,
        outcome: Outcome,
        ids: Arc<Ids>,
    ) -> Self {
        Self {
            queue,
            journal,
            pending,
            outcome,
            ids,
            buffer: Vec::new(),
        }
    }

    /// Works until the queue is closed and empty, and returns the journal.
    pub(in crate::store) async fn run(mut self) -> Journal {
        loop {
            match self.queue.next().await {
                Next::Commits(batch) => self.commits(batch),
                Next::Call(call) => self.pending.push_call(call),
                Next::Idle => {
                    self.journal.trim(self.pending.folded());
                    if let Err(error) = self.journal.prepare() {
                        tracing::debug!(%error, "Could not prepare a file of the journal: {error}");
                    }
                    continue;
                }
                Next::End => break,
            }
            if !self.pending.room().await {
                break;
            }
        }
        self.pending.close();
        self.journal
    }

    /// One record with these commits.
    fn commits(&mut self, batch: Vec<Waiting>) {
        let begun = Instant::now();
        let marks: Vec<(usize, i64)> = self.ids.due().collect();
        let named = marks.iter().filter_map(|(index, mark)| {
            Some((self.ids.counters().get(*index)?.table.to_owned(), *mark))
        });
        let mut entry = Entry {
            marks: named.collect(),
            ..Entry::default()
        };
        let mut draft = match Draft::new(std::mem::take(&mut self.buffer), &entry.marks) {
            Ok(draft) => draft,
            Err(error) => return self.outcome.refuse(batch, &error),
        };
        let mut taken = Vec::with_capacity(batch.len());
        let mut changes = 0;
        for waiting in batch {
            match draft.add(&waiting.commit.changes) {
                Ok(()) => {
                    changes += waiting.commit.changes.len();
                    taken.push(waiting);
                }
                Err(error) => self.outcome.refuse(vec![waiting], &error),
            }
        }
        if changes == 0 {
            self.outcome.confirm(taken, begun);
        } else {
            match self.journal.append(draft.record()) {
                Ok(number) => {
                    entry.number = number;
                    for (index, mark) in marks {
                        if let Some(counter) = self.ids.counters().get(index) {
                            counter.stored(mark);
                        }
                    }
                    entry.commits = taken.iter_mut().map(changes_of).collect();
                    // Nobody may be told before readers know that they must wait.
                    self.pending.push(entry, draft.record().len());
                    self.outcome.confirm(taken, begun);
                }
                Err(error) => {
                    let error = StoreError::Database(format!("the journal: {error}"));
                    self.outcome.refuse(taken, &error);
                }
            }
        }
        self.buffer = draft.into_buffer();
        if self.buffer.capacity() > KEPT_BUFFER {
            self.buffer = Vec::new();
        }
        self.journal.trim(self.pending.folded());
    }
}

fn changes_of(waiting: &mut Waiting) -> Commit {
    Commit {
        changes: std::mem::take(&mut waiting.commit.changes),
        publish: Vec::new(),
    }
}
