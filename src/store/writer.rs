//! Everything that is written goes through one queue, in order.
//!
//! Commits that wait share a transaction (group commit). When that transaction fails, each of its commits is
//! tried alone, so that one that the database refuses fails alone. Only after the transaction is on disk is
//! anything published, and then the callers are told.
//!
//! On SQLite there is the [journal](super::journal) between this queue and the tables; [`Writer`] is what
//! PostgreSQL has, whose own log is as fast.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use sea_orm::DatabaseTransaction;
use tokio::sync::{mpsc, oneshot};

use super::open::Publisher;
use super::tables::{IDLE, Numbers, Tables};
use super::{Change, Commit, Metrics, StoreError};
use crate::config;

/// Values in one transaction: a bound on memory and on the time of a transaction.
const BATCH_VALUES: usize = 20_000;

/// The beginning of the keys in `server_state` that hold the marks of row ids.
pub(super) const MARK_PREFIX: &str = "next_id.";

/// What somebody wants to be written.
pub(super) enum Job {
    /// Changes of the fleet, in a transaction with others.
    Commit(Waiting),
    /// Anything else, in a transaction of its own.
    Call(Call),
}

/// A commit in the queue.
pub(super) struct Waiting {
    pub(super) commit: Commit,
    pub(super) done: oneshot::Sender<Result<(), StoreError>>,
}

/// Something to do in a transaction of its own.
pub(super) struct Call {
    pub(super) work: Work,
    pub(super) done: oneshot::Sender<Result<(), StoreError>>,
}

/// What a [`Call`] does.
pub(super) type Work = Box<
    dyn for<'t> FnOnce(&'t DatabaseTransaction) -> BoxFuture<'t, Result<(), StoreError>> + Send,
>;

/// What waits to be written, as the one who writes it sees it.
pub(super) struct Queue {
    jobs: mpsc::Receiver<Job>,
    /// A call that came while commits were gathered.
    next: Option<Job>,
    settings: config::Store,
    metrics: Metrics,
}

/// What comes next.
pub(super) enum Next {
    /// These share a transaction.
    Commits(Vec<Waiting>),
    /// It has one of its own.
    Call(Call),
    /// Nothing came for a while.
    Idle,
    /// Nothing will come any more.
    End,
}

impl Queue {
    pub(super) fn new(
        jobs: mpsc::Receiver<Job>,
        settings: config::Store,
        metrics: Metrics,
    ) -> Self {
        Self {
            jobs,
            next: None,
            settings,
            metrics,
        }
    }

    /// Waits for what is next to be done.
    pub(super) async fn next(&mut self) -> Next {
        let job = match self.next.take() {
            Some(job) => job,
            None => match tokio::time::timeout(IDLE, self.jobs.recv()).await {
                Ok(Some(job)) => job,
                Ok(None) => return Next::End,
                Err(_) => return Next::Idle,
            },
        };
        let next = match job {
            Job::Commit(first) => Next::Commits(self.gather(first).await),
            Job::Call(call) => Next::Call(call),
        };
        let waiting = self.jobs.len() + usize::from(self.next.is_some());
        self.metrics
            .queue_length
            .set(i64::try_from(waiting).unwrap_or(i64::MAX));
        next
    }

    /// What waits, up to the limits. A call in between ends the batch: the order is kept.
    async fn gather(&mut self, first: Waiting) -> Vec<Waiting> {
        let mut values = values(&first.commit);
        let mut batch = vec![first];
        let delay = Duration::from_millis(self.settings.batch_delay_ms);
        let deadline = tokio::time::Instant::now() + delay;
        while batch.len() < self.settings.batch_commits && values < BATCH_VALUES {
            let job = match self.jobs.try_recv() {
                Ok(job) => job,
                Err(_) if delay.is_zero() => break,
                Err(_) => match tokio::time::timeout_at(deadline, self.jobs.recv()).await {
                    Ok(Some(job)) => job,
                    Ok(None) | Err(_) => break,
                },
            };
            match job {
                Job::Commit(waiting) => {
                    values += self::values(&waiting.commit);
                    batch.push(waiting);
                }
                call @ Job::Call(_) => {
                    self.next = Some(call);
                    break;
                }
            }
        }
        self.metrics.batch_commits.observe(batch.len() as f64);
        batch
    }
}

/// Whom the outcome is told.
pub(super) struct Outcome {
    publish: Publisher,
    metrics: Metrics,
}

impl Outcome {
    pub(super) fn new(publish: Publisher, metrics: Metrics) -> Self {
        Self { publish, metrics }
    }

    /// These commits are on disk, since a moment ago; it began at `begun`.
    pub(super) fn confirm(&self, mut batch: Vec<Waiting>, begun: Instant) {
        self.metrics
            .commit_seconds
            .observe(begun.elapsed().as_secs_f64());
        self.metrics.commits.inc_by(batch.len() as u64);
        let events: Vec<_> = batch
            .iter_mut()
            .flat_map(|waiting| std::mem::take(&mut waiting.commit.publish))
            .collect();
        if !events.is_empty() {
            // What is on disk is on disk: a page that cannot be told must not stop the writer.
            let told = catch_unwind(AssertUnwindSafe(|| (self.publish)(events)));
            if told.is_err() {
                tracing::error!("The publisher panicked; live messages were lost");
            }
        }
        for waiting in batch {
            _ = waiting.done.send(Ok(()));
        }
    }

    /// These commits are not on disk.
    pub(super) fn refuse(&self, batch: Vec<Waiting>, error: &StoreError) {
        if batch.is_empty() {
            return;
        }
        self.metrics.failures.inc_by(batch.len() as u64);
        tracing::error!(%error, commits = batch.len(), "The database refused a commit: {error}");
        for waiting in batch {
            _ = waiting.done.send(Err(error.clone()));
        }
    }
}

/// Writes to the tables what is then acknowledged.
pub(super) struct Writer {
    tables: Tables,
    queue: Queue,
    outcome: Outcome,
}

impl Writer {
    pub(super) fn new(tables: Tables, queue: Queue, outcome: Outcome) -> Self {
        Self {
            tables,
            queue,
            outcome,
        }
    }

    /// Works until the queue is closed and empty.
    pub(super) async fn run(mut self) {
        loop {
            match self.queue.next().await {
                Next::Commits(batch) => self.commits(batch).await,
                Next::Call(call) => self.tables.call(call).await,
                Next::Idle => {
                    self.tables.look_after(true).await;
                    continue;
                }
                Next::End => break,
            }
            self.tables.look_after(false).await;
        }
        self.tables.finish().await;
    }

    /// Writes these commits.
    async fn commits(&mut self, batch: Vec<Waiting>) {
        let begun = Instant::now();
        let commits: Vec<&Commit> = batch.iter().map(|waiting| &waiting.commit).collect();
        match self.tables.write(&commits, Numbers::default()).await {
            Ok(()) => self.outcome.confirm(batch, begun),
            Err(failure) if batch.len() == 1 || failure.is_connection() => {
                self.outcome.refuse(batch, &failure.into());
            }
            Err(_) => self.one_by_one(batch).await,
        }
    }

    /// One of the commits was refused, and nobody knows which: each gets a transaction.
    async fn one_by_one(&mut self, batch: Vec<Waiting>) {
        let mut batch = batch.into_iter();
        while let Some(waiting) = batch.next() {
            let begun = Instant::now();
            match self
                .tables
                .write(&[&waiting.commit], Numbers::default())
                .await
            {
                Ok(()) => self.outcome.confirm(vec![waiting], begun),
                Err(failure) => {
                    let gone = failure.is_connection();
                    let error = failure.into();
                    self.outcome.refuse(vec![waiting], &error);
                    if gone {
                        self.outcome.refuse(batch.collect(), &error);
                        return;
                    }
                }
            }
        }
    }
}

fn values(commit: &Commit) -> usize {
    let values = commit.changes.iter().map(|change| match change {
        Change::Event { nodes, .. } | Change::Resources { nodes, .. } => nodes.len(),
        Change::Log { lines, .. } => lines.len(),
        _ => 0,
    });
    values.sum()
}
