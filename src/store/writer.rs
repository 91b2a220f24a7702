//! The one writer: everything that is written goes through its queue, in order.
//!
//! It has a thread, a runtime and a connection of its own. Commits that wait share a transaction
//! (group commit). When that transaction fails, each of its commits is tried alone, so that one
//! that the database refuses fails alone. Only after the transaction is on disk is anything
//! published, and then the callers are told.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use sea_orm::{
    DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, SqliteTransactionMode,
    TransactionOptions, TransactionTrait,
};
use tokio::sync::{Mutex, mpsc, oneshot};

use super::batch::Batch;
use super::checkpoint::Checkpointer;
use super::failure::Failure;
use super::ids::Counter;
use super::open::Publisher;
use super::prune::Pruner;
use super::rows::{self, Statements};
use super::transaction::{Target, Transaction};
use super::{Change, Commit, Ids, Metrics, StoreError};
use crate::config;
use crate::domain::Timestamp;

/// Values in one transaction: a bound on memory and on the time of a transaction.
const BATCH_VALUES: usize = 20_000;

/// After this long without work the writer tidies up.
const IDLE: Duration = Duration::from_secs(1);

/// What nobody needs any more is removed when idle, but not more often than this…
const PRUNE_INTERVAL: Duration = Duration::from_secs(30);

/// … and even without idle time when they have waited for this long.
const PRUNE_OVERDUE: Duration = Duration::from_secs(600);

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

/// The writer with everything it owns.
pub(super) struct Writer {
    database: DatabaseConnection,
    checkpointer: Option<Checkpointer>,
    /// Held while writing; a checkpoint that needs the writer to wait takes it.
    gate: Arc<Mutex<()>>,
    queue: mpsc::Receiver<Job>,
    /// A call that came while commits were gathered.
    next: Option<Job>,
    ids: Arc<Ids>,
    publish: Publisher,
    metrics: Metrics,
    settings: config::Store,
    statements: Statements,
    pruner: Pruner,
    /// True when a server owns the database: then this one leaves its marks, its log and its old
    /// answers alone.
    beside: bool,
}

impl Writer {
    #[expect(
        clippy::too_many_arguments,
        reason = "a list of parts, named at the only call"
    )]
    pub(super) fn new(
        database: DatabaseConnection,
        checkpointer: Option<Checkpointer>,
        gate: Arc<Mutex<()>>,
        queue: mpsc::Receiver<Job>,
        ids: Arc<Ids>,
        publish: Publisher,
        metrics: Metrics,
        settings: config::Store,
        logs: config::Logs,
        beside: bool,
    ) -> Self {
        Self {
            database,
            checkpointer,
            gate,
            queue,
            next: None,
            ids,
            publish,
            metrics,
            settings,
            statements: Statements::default(),
            pruner: Pruner::new(logs),
            beside,
        }
    }

    /// Works until the queue is closed and empty.
    pub(super) async fn run(mut self) {
        loop {
            let job = match self.next.take() {
                Some(job) => job,
                None => match tokio::time::timeout(IDLE, self.queue.recv()).await {
                    Ok(Some(job)) => job,
                    Ok(None) => break,
                    Err(_) => {
                        self.prune(PRUNE_INTERVAL, true).await;
                        continue;
                    }
                },
            };
            let gate = Arc::clone(&self.gate);
            {
                let _writing = gate.lock().await;
                match job {
                    Job::Commit(first) => self.commits(first).await,
                    Job::Call(call) => self.call(call).await,
                }
            }
            self.metrics.queue_length.set(self.waiting());
            if let Some(checkpointer) = &self.checkpointer {
                checkpointer.check();
            }
            self.prune(PRUNE_OVERDUE, false).await;
        }
        self.finish().await;
    }

    fn waiting(&self) -> i64 {
        let waiting = self.queue.len() + usize::from(self.next.is_some());
        i64::try_from(waiting).unwrap_or(i64::MAX)
    }

    /// Writes this commit and those that wait behind it.
    async fn commits(&mut self, first: Waiting) {
        let batch = self.gather(first).await;
        self.metrics.batch_commits.observe(batch.len() as f64);
        let begun = Instant::now();
        let commits: Vec<&Commit> = batch.iter().map(|waiting| &waiting.commit).collect();
        match self.write(&commits).await {
            Ok(()) => {
                self.metrics
                    .commit_seconds
                    .observe(begun.elapsed().as_secs_f64());
                self.confirm(batch);
            }
            Err(failure) if batch.len() == 1 || failure.is_connection() => {
                self.refuse(batch, &failure.into());
            }
            Err(_) => self.one_by_one(batch).await,
        }
    }

    /// What waits, up to the limits. A call in between ends the batch: the order is kept.
    async fn gather(&mut self, first: Waiting) -> Vec<Waiting> {
        let mut values = values(&first.commit);
        let mut batch = vec![first];
        let delay = Duration::from_millis(self.settings.batch_delay_ms);
        let deadline = tokio::time::Instant::now() + delay;
        while batch.len() < self.settings.batch_commits && values < BATCH_VALUES {
            let job = match self.queue.try_recv() {
                Ok(job) => job,
                Err(_) if delay.is_zero() => break,
                Err(_) => match tokio::time::timeout_at(deadline, self.queue.recv()).await {
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
        batch
    }

    /// One of the commits was refused, and nobody knows which: each gets a transaction.
    async fn one_by_one(&mut self, batch: Vec<Waiting>) {
        let mut batch = batch.into_iter();
        while let Some(waiting) = batch.next() {
            let begun = Instant::now();
            match self.write(&[&waiting.commit]).await {
                Ok(()) => {
                    self.metrics
                        .commit_seconds
                        .observe(begun.elapsed().as_secs_f64());
                    self.confirm(vec![waiting]);
                }
                Err(failure) => {
                    let gone = failure.is_connection();
                    let error = failure.into();
                    self.refuse(vec![waiting], &error);
                    if gone {
                        self.refuse(batch.collect(), &error);
                        return;
                    }
                }
            }
        }
    }

    /// One transaction with these commits.
    async fn write(&mut self, commits: &[&Commit]) -> Result<(), Failure> {
        if commits.iter().all(|commit| commit.changes.is_empty()) {
            return Ok(());
        }
        let mut transaction = Transaction::begin(&self.database).await?;
        match self.write_all(&mut transaction, commits).await {
            Ok((marks, values)) => {
                transaction.commit().await?;
                self.stored(&marks);
                self.metrics.values.inc_by(values);
                self.pruner.written(commits);
                Ok(())
            }
            Err(failure) => {
                note(transaction.roll_back().await);
                Err(failure)
            }
        }
    }

    /// Returns the new marks and the number of values.
    async fn write_all(
        &mut self,
        transaction: &mut Transaction,
        commits: &[&Commit],
    ) -> Result<(Marks, u64), Failure> {
        let mut values = 0;
        let mut batch = Batch::default();
        for change in commits.iter().flat_map(|commit| &commit.changes) {
            if batch.conflicts(change) {
                values += std::mem::take(&mut batch)
                    .write(transaction, &mut self.statements)
                    .await?;
            }
            batch.add(change, &self.ids)?;
        }
        values += batch.write(transaction, &mut self.statements).await?;
        let marks = self.write_marks(transaction).await?;
        Ok((marks, values))
    }

    /// Runs something in a transaction of its own.
    async fn call(&mut self, call: Call) {
        let result = self.call_in_transaction(call.work).await;
        if result.is_err() {
            self.metrics.failures.inc();
        }
        // Whoever asked may have gone; the work is done all the same.
        _ = call.done.send(result.map_err(StoreError::from));
    }

    async fn call_in_transaction(&mut self, work: Work) -> Result<(), Failure> {
        let transaction = begin(&self.database).await?;
        let result = async {
            work(&transaction).await?;
            self.write_marks(&mut &transaction).await
        };
        match result.await {
            Ok(marks) => {
                transaction.commit().await?;
                self.stored(&marks);
                Ok(())
            }
            Err(failure) => {
                note(transaction.rollback().await);
                Err(failure)
            }
        }
    }

    /// Moves the marks of those counters that reached theirs, in the transaction that holds the
    /// rows.
    async fn write_marks(&mut self, target: &mut impl Target) -> Result<Marks, Failure> {
        let marks: Marks = self
            .ids
            .counters()
            .into_iter()
            .enumerate()
            .filter_map(|(index, counter)| Some((index, counter.due()?)))
            .collect();
        self.save_marks(target, &marks).await?;
        Ok(marks)
    }

    async fn save_marks(&mut self, target: &mut impl Target, marks: &Marks) -> Result<(), Failure> {
        let counters = self.ids.counters();
        let values = marks
            .iter()
            .filter_map(|(index, mark)| {
                let key = format!("{MARK_PREFIX}{}", counters.get(*index)?.table);
                Some([key.into(), (*mark).into()])
            })
            .flatten()
            .collect();
        Ok(self
            .statements
            .run(target, &rows::SERVER_STATE, values)
            .await?)
    }

    /// The transaction with these marks is on disk.
    fn stored(&self, marks: &Marks) {
        let counters = self.ids.counters();
        for (index, mark) in marks {
            if let Some(counter) = counters.get(*index) {
                counter.stored(*mark);
            }
        }
    }

    /// These commits are on disk.
    fn confirm(&self, mut batch: Vec<Waiting>) {
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

    fn refuse(&self, batch: Vec<Waiting>, error: &StoreError) {
        if batch.is_empty() {
            return;
        }
        self.metrics.failures.inc_by(batch.len() as u64);
        tracing::error!(%error, commits = batch.len(), "The database refused a commit: {error}");
        for waiting in batch {
            _ = waiting.done.send(Err(error.clone()));
        }
    }

    /// Removes some of what nobody needs any more.
    async fn prune(&mut self, interval: Duration, idle: bool) {
        if self.beside || !self.pruner.is_due(interval, idle) {
            return;
        }
        let gate = Arc::clone(&self.gate);
        let _writing = gate.lock().await;
        self.pruner.run(&self.database, Timestamp::system()).await;
    }

    /// The orderly end: marks without gaps, an empty log, closed connections.
    async fn finish(mut self) {
        if !self.beside {
            self.save_exact_marks().await;
        }
        if let Some(checkpointer) = self.checkpointer.take() {
            checkpointer.finish().await;
        }
        if let Err(error) = self.database.close().await {
            tracing::warn!(%error, "Could not close the database: {error}");
        }
    }

    async fn save_exact_marks(&mut self) {
        let marks: Marks = self
            .ids
            .counters()
            .into_iter()
            .map(Counter::exact)
            .enumerate()
            .collect();
        let saved = async {
            let mut transaction = Transaction::begin(&self.database).await?;
            self.save_marks(&mut transaction, &marks).await?;
            transaction.commit().await?;
            Ok::<(), Failure>(())
        };
        if let Err(failure) = saved.await {
            let error = StoreError::from(failure);
            tracing::warn!(%error, "Could not store the marks of row ids: {error}");
        }
    }
}

/// New marks, each with the place of its counter in [`Ids::counters`].
type Marks = Vec<(usize, i64)>;

fn values(commit: &Commit) -> usize {
    let values = commit.changes.iter().map(|change| match change {
        Change::Event { nodes, .. } | Change::Resources { nodes, .. } => nodes.len(),
        Change::Log { lines, .. } => lines.len(),
        _ => 0,
    });
    values.sum()
}

/// A transaction that may write from its first statement.
async fn begin(database: &DatabaseConnection) -> Result<DatabaseTransaction, DbErr> {
    let sqlite = database.get_database_backend() == DbBackend::Sqlite;
    database
        .begin_with_options(TransactionOptions {
            sqlite_transaction_mode: sqlite.then_some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        })
        .await
}

fn note(rolled_back: Result<(), DbErr>) {
    if let Err(error) = rolled_back {
        tracing::debug!(%error, "Could not roll back: {error}");
    }
}
