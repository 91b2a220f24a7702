//! The tables, as whoever writes them has them: one connection, the statements, what tidies up.

use std::sync::Arc;
use std::time::Duration;

use sea_orm::{
    DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, SqliteTransactionMode,
    TransactionOptions, TransactionTrait,
};
use tokio::sync::Mutex;

use super::batch::Batch;
use super::checkpoint::Checkpointer;
use super::failure::Failure;
use super::ids::Counter;
use super::prune::Pruner;
use super::rows::{self, Statements};
use super::transaction::{Target, Transaction};
use super::writer::{Call, MARK_PREFIX, Work};
use super::{Commit, Ids, Metrics, StoreError};
use crate::config;
use crate::domain::Timestamp;

/// After this long without work the writer tidies up.
pub(super) const IDLE: Duration = Duration::from_secs(1);

/// What nobody needs any more is removed when idle, but not more often than this…
const PRUNE_INTERVAL: Duration = Duration::from_secs(30);

/// … and even without idle time when they have waited for this long.
const PRUNE_OVERDUE: Duration = Duration::from_secs(600);

/// So many values are collected before they are written: a bound on memory.
const VALUES_AT_ONCE: usize = 10_000;

/// The tables with everything that is needed to write them.
pub(super) struct Tables {
    database: DatabaseConnection,
    checkpointer: Option<Checkpointer>,
    /// Held while writing; a checkpoint that needs the writer to wait takes it.
    gate: Arc<Mutex<()>>,
    ids: Arc<Ids>,
    metrics: Metrics,
    statements: Statements,
    pruner: Pruner,
    /// True when a server owns the database: then this one leaves its marks, its log and its old
    /// answers alone.
    beside: bool,
}

/// Numbers that are stored with commits, beside the marks that are due.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Numbers<'a> {
    /// Marks of row ids that count already, each with its table.
    pub(super) marks: &'a [(String, i64)],
    /// The last record of the journal that these commits come from.
    pub(super) folded: Option<u64>,
}

impl Tables {
    pub(super) fn new(
        database: DatabaseConnection,
        checkpointer: Option<Checkpointer>,
        gate: Arc<Mutex<()>>,
        ids: Arc<Ids>,
        metrics: Metrics,
        logs: config::Logs,
        beside: bool,
    ) -> Self {
        Self {
            database,
            checkpointer,
            gate,
            ids,
            metrics,
            statements: Statements::default(),
            pruner: Pruner::new(logs),
            beside,
        }
    }

    /// One transaction with these commits: all of them are written, or none.
    pub(super) async fn write(
        &mut self,
        commits: &[&Commit],
        numbers: Numbers<'_>,
    ) -> Result<(), Failure> {
        if numbers.folded.is_none() && commits.iter().all(|commit| commit.changes.is_empty()) {
            return Ok(());
        }
        let gate = Arc::clone(&self.gate);
        let _writing = gate.lock().await;
        let mut transaction = Transaction::begin(&self.database).await?;
        match self.write_all(&mut transaction, commits, numbers).await {
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

    /// Like [`Tables::write`], and then takes everything back.
    pub(super) async fn rehearse(&mut self, commits: &[&Commit]) -> Result<(), Failure> {
        let gate = Arc::clone(&self.gate);
        let _writing = gate.lock().await;
        let mut transaction = Transaction::begin(&self.database).await?;
        let written = self
            .write_all(&mut transaction, commits, Numbers::default())
            .await;
        note(transaction.roll_back().await);
        written.map(drop)
    }

    /// Returns the new marks and the number of values.
    async fn write_all(
        &mut self,
        transaction: &mut Transaction,
        commits: &[&Commit],
        numbers: Numbers<'_>,
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
            if batch.values_waiting() >= VALUES_AT_ONCE {
                batch
                    .write_values(transaction, &mut self.statements)
                    .await?;
            }
        }
        values += batch.write(transaction, &mut self.statements).await?;
        let marks = self.write_marks(transaction, numbers).await?;
        Ok((marks, values))
    }

    /// Runs something in a transaction of its own, and tells who asked.
    pub(super) async fn call(&mut self, call: Call) {
        let gate = Arc::clone(&self.gate);
        let _writing = gate.lock().await;
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
            self.write_marks(&mut &transaction, Numbers::default())
                .await
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
    async fn write_marks(
        &mut self,
        target: &mut impl Target,
        numbers: Numbers<'_>,
    ) -> Result<Marks, Failure> {
        if self.beside {
            // Its counters begin at 1: the server's marks would go back to there.
            return Ok(Marks::new());
        }
        let counters = self.ids.counters();
        let given = |table| {
            numbers
                .marks
                .iter()
                .filter(move |(is, _)| is == table)
                .map(|(_, mark)| *mark)
                .max()
        };
        let marks: Marks = counters
            .into_iter()
            .enumerate()
            .filter_map(|(index, counter)| {
                let due = counter.due();
                // One that counts already by a later record must not be taken back.
                let given = given(counter.table).map(|mark| mark.max(counter.mark()));
                Some((index, due.max(given)?))
            })
            .collect();
        self.save_marks(target, &marks, numbers.folded).await?;
        Ok(marks)
    }

    async fn save_marks(
        &mut self,
        target: &mut impl Target,
        marks: &Marks,
        folded: Option<u64>,
    ) -> Result<(), Failure> {
        let counters = self.ids.counters();
        let mut values: Vec<sea_orm::Value> = marks
            .iter()
            .filter_map(|(index, mark)| {
                let key = format!("{MARK_PREFIX}{}", counters.get(*index)?.table);
                Some([key.into(), (*mark).into()])
            })
            .flatten()
            .collect();
        if let Some(folded) = folded {
            let folded = i64::try_from(folded).unwrap_or(i64::MAX);
            values.extend([super::journal::FOLDED.into(), folded.into()]);
        }
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

    /// Looks at the size of the write-ahead log, and tidies up when there is time for it or when it has
    /// waited for too long.
    pub(super) async fn look_after(&mut self, is_idle: bool) {
        if let Some(checkpointer) = &self.checkpointer {
            checkpointer.check();
        }
        let interval = if is_idle {
            PRUNE_INTERVAL
        } else {
            PRUNE_OVERDUE
        };
        if self.beside || !self.pruner.is_due(interval, is_idle) {
            return;
        }
        let gate = Arc::clone(&self.gate);
        let _writing = gate.lock().await;
        self.pruner.run(&self.database, Timestamp::system()).await;
    }

    /// The orderly end: marks without gaps, an empty log, closed connections.
    pub(super) async fn finish(mut self) {
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
            self.save_marks(&mut transaction, &marks, None).await?;
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
