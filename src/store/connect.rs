//! How connections are made, and what they are set to.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use sea_orm::sqlx;
use sea_orm::sqlx::sqlite::{SqliteJournalMode, SqliteSynchronous};
use sea_orm::{ConnectOptions, Database, DatabaseConnection};

use super::StoreError;
use crate::config::Settings;

/// The one PostgreSQL advisory lock of a flownexus database (the letters `flownexu`).
const ADVISORY_LOCK: i64 = 0x666c_6f77_6e65_7875;

/// How long a connection to PostgreSQL may take, waiting for the lock included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the lock of a process that was killed is waited for: PostgreSQL needs a moment to see
/// that it is gone.
const LOCK_PATIENCE: Duration = Duration::from_secs(3);

/// How long a statement on SQLite waits for the checkpoint.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);

/// How long the checkpoint waits for readers.
const CHECKPOINT_BUSY_TIMEOUT: Duration = Duration::from_millis(250);

/// Which database.
#[derive(Clone, Debug)]
pub(super) enum Place {
    /// A file in the data folder.
    Sqlite { file: std::path::PathBuf },
    /// A server.
    Postgres { url: String },
}

impl Place {
    /// What the settings say.
    pub(super) fn of(settings: &Settings) -> Result<Self, StoreError> {
        let url = &settings.database.url;
        if url.is_empty() {
            return Ok(Self::Sqlite {
                file: settings.data_dir.join("flownexus.db"),
            });
        }
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            return Ok(Self::Postgres { url: url.clone() });
        }
        // Not the URL itself: it can hold a password.
        Err(StoreError::Database(
            "`database.url` must be empty (SQLite in data_dir) or begin with postgres://"
                .to_owned(),
        ))
    }

    /// The one connection that writes. On PostgreSQL it holds the advisory lock, so that a process
    /// that lost its connection cannot write behind the back of its successor.
    ///
    /// `beside` the server nothing is locked: each transaction waits for its turn.
    pub(super) async fn writer(&self, beside: bool) -> Result<DatabaseConnection, StoreError> {
        match self {
            Self::Sqlite { file } => {
                let mut options = sqlite(file, BUSY_TIMEOUT, Access::Write);
                single(&mut options);
                Ok(Database::connect(options).await?)
            }
            Self::Postgres { url } => {
                let refused = Arc::new(AtomicBool::new(false));
                let mut options = postgres(url);
                single(&mut options);
                if !beside {
                    let flag = Arc::clone(&refused);
                    options.map_sqlx_postgres_pool_opts(move |options| {
                        let flag = Arc::clone(&flag);
                        options.after_connect(move |connection, _| {
                            let flag = Arc::clone(&flag);
                            Box::pin(async move { take_advisory_lock(connection, &flag).await })
                        })
                    });
                }
                Database::connect(options).await.map_err(|error| {
                    if refused.load(Ordering::Relaxed) {
                        StoreError::InUse {
                            what: "this PostgreSQL database".to_owned(),
                        }
                    } else {
                        error.into()
                    }
                })
            }
        }
    }

    /// The connections that read.
    pub(super) async fn readers(&self, connections: u32) -> Result<DatabaseConnection, StoreError> {
        let mut options = match self {
            Self::Sqlite { file } => sqlite(file, BUSY_TIMEOUT, Access::Read),
            Self::Postgres { url } => postgres(url),
        };
        options
            .max_connections(connections.max(1))
            .acquire_timeout(CONNECT_TIMEOUT);
        Ok(Database::connect(options).await?)
    }
}

/// The connection that folds the write-ahead log of SQLite into the database.
pub(super) async fn checkpointer(file: &Path) -> Result<DatabaseConnection, StoreError> {
    let mut options = sqlite(file, CHECKPOINT_BUSY_TIMEOUT, Access::Write);
    single(&mut options);
    Ok(Database::connect(options).await?)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    Read,
    Write,
}

fn sqlite(file: &Path, busy_timeout: Duration, access: Access) -> ConnectOptions {
    // The name is replaced below: as a URL it would need escaping.
    let mut options = ConnectOptions::new("sqlite:flownexus.db");
    let file = file.to_owned();
    options.map_sqlx_sqlite_opts(move |options| {
        let options = options
            .filename(&file)
            .create_if_missing(access == Access::Write)
            .journal_mode(SqliteJournalMode::Wal)
            // FULL: what is committed survives the loss of power, and so may be acknowledged.
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(busy_timeout)
            // Folded in by the checkpointer, never in the path of a commit.
            .pragma("wal_autocheckpoint", "0");
        match access {
            Access::Read => options
                .pragma("query_only", "1")
                .pragma("cache_size", "-8000"),
            // A statement of many rows keeps the pages as they were before it, in case that it fails: in
            // memory, where a file would cost more than the rows.
            Access::Write => options
                .pragma("cache_size", "-32000")
                .pragma("temp_store", "2"),
        }
    });
    quiet(&mut options);
    options
}

fn postgres(url: &str) -> ConnectOptions {
    let mut options = ConnectOptions::new(url);
    options
        .connect_timeout(CONNECT_TIMEOUT)
        .acquire_timeout(CONNECT_TIMEOUT)
        .map_sqlx_postgres_opts(|options| {
            options
                .application_name("flownexus")
                // What is committed survives the loss of power, and so may be acknowledged.
                .options([("synchronous_commit", "on")])
        });
    quiet(&mut options);
    options
}

/// One connection, for as long as the pool lives.
fn single(options: &mut ConnectOptions) {
    options
        .min_connections(1)
        .max_connections(1)
        .idle_timeout(None::<Duration>)
        .max_lifetime(None::<Duration>)
        .test_before_acquire(false)
        .acquire_timeout(CONNECT_TIMEOUT);
}

/// Statements are not logged: they hold what devices and people said.
fn quiet(options: &mut ConnectOptions) {
    options.sqlx_logging(false).record_stmt_in_spans(false);
}

async fn take_advisory_lock(
    connection: &mut sqlx::PgConnection,
    refused: &AtomicBool,
) -> Result<(), sqlx::Error> {
    let begun = Instant::now();
    loop {
        let taken: bool = sqlx::query_scalar("SELECT pg_try_advisory_lock($1)")
            .bind(ADVISORY_LOCK)
            .fetch_one(&mut *connection)
            .await?;
        refused.store(!taken, Ordering::Relaxed);
        if taken {
            return Ok(());
        }
        if begun.elapsed() > LOCK_PATIENCE {
            return Err(sqlx::Error::Configuration(
                "another flownexus uses this database".into(),
            ));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
