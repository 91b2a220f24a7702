//! Folds the write-ahead log of SQLite into the database, beside the writer.
//!
//! A checkpoint in the path of a commit makes some commits take 100 ms (measured). So the log is
//! folded in by a second connection while the writer goes on, and only what was written meanwhile
//! is folded in while the writer waits: then the log begins at its start again. Checkpoints that
//! never make it wait let the log grow without bound under load.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, DbErr, Statement};
use tokio::sync::Mutex;

use super::Metrics;

/// How often the log is folded in beside the writer before the writer waits.
const PASSES: usize = 3;

/// So many pages may be left when the writer waits; each has 4 KiB.
const FEW_PAGES: i64 = 1_000;

/// A reader that does not come to its end keeps the log; then this long nothing is tried.
const PAUSE: Duration = Duration::from_secs(5);

/// Folds in the log when it is large.
#[derive(Debug)]
pub(super) struct Checkpointer {
    database: DatabaseConnection,
    log: PathBuf,
    limit: u64,
    /// Held by the writer while it writes.
    gate: Arc<Mutex<()>>,
    running: Arc<AtomicBool>,
    /// Not before this time.
    after: Arc<std::sync::Mutex<Instant>>,
    metrics: Metrics,
}

impl Checkpointer {
    pub(super) fn new(
        database: DatabaseConnection,
        file: &Path,
        limit: u64,
        gate: Arc<Mutex<()>>,
        metrics: Metrics,
    ) -> Self {
        let mut log = file.as_os_str().to_owned();
        log.push("-wal");
        Self {
            database,
            log: log.into(),
            limit,
            gate,
            running: Arc::default(),
            after: Arc::new(std::sync::Mutex::new(Instant::now())),
            metrics,
        }
    }

    /// Looks at the size of the log, and begins to fold it in when it is over the limit. Returns
    /// at once.
    pub(super) fn check(&self) {
        let size = std::fs::metadata(&self.log).map_or(0, |log| log.len());
        self.metrics
            .wal_bytes
            .set(i64::try_from(size).unwrap_or(i64::MAX));
        let due = size > self.limit && *lock(&self.after) <= Instant::now();
        if !due || self.running.swap(true, Ordering::AcqRel) {
            return;
        }
        let database = self.database.clone();
        let gate = Arc::clone(&self.gate);
        let running = Arc::clone(&self.running);
        let after = Arc::clone(&self.after);
        let metrics = self.metrics.clone();
        tokio::spawn(async move {
            let begun = Instant::now();
            match fold(&database, &gate).await {
                Ok(true) => {
                    metrics
                        .checkpoint_seconds
                        .observe(begun.elapsed().as_secs_f64());
                }
                Ok(false) => *lock(&after) = Instant::now() + PAUSE,
                Err(error) => {
                    *lock(&after) = Instant::now() + PAUSE;
                    tracing::warn!(%error, "Could not fold in the write-ahead log: {error}");
                }
            }
            running.store(false, Ordering::Release);
        });
    }

    /// Folds in everything, at the end.
    pub(super) async fn finish(self) {
        if let Err(error) = pragma(&self.database, "TRUNCATE").await {
            tracing::warn!(%error, "Could not fold in the write-ahead log: {error}");
        }
        if let Err(error) = self.database.close().await {
            tracing::warn!(%error, "Could not close the database: {error}");
        }
    }
}

/// True when the log begins at its start again, false when a reader kept it.
async fn fold(database: &DatabaseConnection, gate: &Mutex<()>) -> Result<bool, DbErr> {
    let mut before = 0;
    for _ in 0..PASSES {
        // `pages` counts what the log held when the pass began: what came since shows in the next.
        let pass = pragma(database, "PASSIVE").await?;
        let new = pass.pages.saturating_sub(before);
        before = pass.folded;
        if new < FEW_PAGES {
            break;
        }
    }
    let _writer_waits = gate.lock().await;
    let last = pragma(database, "TRUNCATE").await?;
    Ok(!last.busy)
}

struct Pass {
    busy: bool,
    /// In the log.
    pages: i64,
    /// Of them in the database.
    folded: i64,
}

async fn pragma(database: &DatabaseConnection, mode: &str) -> Result<Pass, DbErr> {
    let sql = format!("PRAGMA wal_checkpoint({mode})");
    let row = database
        .query_one_raw(Statement::from_string(DbBackend::Sqlite, sql))
        .await?
        .ok_or_else(|| DbErr::RecordNotFound("the checkpoint says nothing".to_owned()))?;
    Ok(Pass {
        busy: row.try_get_by_index::<i64>(0)? != 0,
        pages: row.try_get_by_index(1)?,
        folded: row.try_get_by_index(2)?,
    })
}

fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
