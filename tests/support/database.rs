//! A database of its own for one test, on SQLite or PostgreSQL.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use flownexus::config::Settings;
use flownexus::store::{EndpointReader, Publisher, Store, StoreError};
use sea_orm::{ConnectOptions, ConnectionTrait as _, Database, DatabaseConnection, Statement};
use tempfile::TempDir;

use super::postgres;

/// Every test of the store runs on both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Engine {
    Postgres,
    Sqlite,
    /// SQLite without a journal: for what is told of the tables themselves.
    SqliteDirect,
}

/// An empty database and a data folder; gone with the test.
pub(crate) struct TestDatabase {
    pub(crate) folder: TempDir,
    pub(crate) settings: Settings,
}

impl TestDatabase {
    /// A new one; nothing where the engine is not installed, which is said on standard error.
    pub(crate) fn new(engine: Engine) -> Option<Self> {
        let url = match engine {
            Engine::Postgres => postgres::new_database()?,
            Engine::Sqlite | Engine::SqliteDirect => String::new(),
        };
        let mut database = Self::at(url);
        database.settings.store.journal = engine != Engine::SqliteDirect;
        Some(database)
    }

    fn at(url: String) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut settings = Settings::defaults();
        settings.data_dir = folder.path().join("data");
        settings.database.url = url;
        Self { folder, settings }
    }

    /// Another data folder for the same database.
    pub(crate) fn elsewhere(&self) -> Self {
        Self::at(self.settings.database.url.clone())
    }

    /// The store on it; live messages go nowhere.
    pub(crate) async fn open(&self) -> Store {
        self.open_publishing(Arc::new(|_| {})).await
    }

    /// The store on it.
    pub(crate) async fn open_publishing(&self, publish: Publisher) -> Store {
        self.try_open(publish).await.expect("the store opens")
    }

    /// The store as a command has it that runs beside the server.
    pub(crate) async fn open_beside(&self) -> Store {
        let beside = Store::open_beside(&self.settings).await;
        beside.expect("beside the server")
    }

    pub(crate) async fn try_open(&self, publish: Publisher) -> Result<Store, StoreError> {
        Store::open(&self.settings, publish).await
    }

    /// A process of its own on this database, which can be killed: it runs one test of this program, an ignored
    /// one of this module, that begins with [`of_child`]. Its output is read by the caller.
    pub(crate) fn child(&self, module: &str, test: &str) -> Child {
        let (_, module) = module.split_once("::").expect("a module in a crate");
        let test = format!("{module}::{test}");
        Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", &test, "--ignored", "--nocapture"])
            .env(CHILD_FOLDER, &self.settings.data_dir)
            .env(CHILD_URL, &self.settings.database.url)
            .stdout(Stdio::piped())
            .spawn()
            .expect("a child")
    }

    /// A connection beside the store, to look at what is really there.
    pub(crate) async fn connection(&self) -> DatabaseConnection {
        let mut options = if self.settings.database.url.is_empty() {
            let file = self.settings.data_dir.join("flownexus.db");
            ConnectOptions::new(format!("sqlite://{}", file.display()))
        } else {
            ConnectOptions::new(self.settings.database.url.as_str())
        };
        options.max_connections(1).sqlx_logging(false);
        Database::connect(options).await.expect("a connection")
    }

    /// Waits until what the store has confirmed is in the tables, for those who look into them beside it.
    pub(crate) async fn in_tables(store: &Store) {
        EndpointReader::count(store).await.expect("read");
    }

    /// The first column of every row.
    pub(crate) async fn numbers(&self, sql: &str) -> Vec<i64> {
        let database = self.connection().await;
        let statement = Statement::from_string(database.get_database_backend(), sql);
        let rows = database.query_all_raw(statement).await.expect(sql);
        let numbers = rows
            .iter()
            .map(|row| row.try_get_by_index(0).expect("a number"))
            .collect();
        database.close().await.expect("an orderly end");
        numbers
    }
}

/// In the process that [`TestDatabase::child`] has started: the store on the same database. In any other
/// there is nothing to do.
pub(crate) async fn of_child() -> Option<Store> {
    let mut settings = Settings::defaults();
    settings.data_dir = std::env::var(CHILD_FOLDER).ok()?.into();
    settings.database.url = std::env::var(CHILD_URL).unwrap_or_default();
    let store = Store::open(&settings, Arc::new(|_| {})).await;
    Some(store.expect("the store opens"))
}

/// The data folder of a process that will be killed.
const CHILD_FOLDER: &str = "FLOWNEXUS_TEST_CHILD_FOLDER";
/// Its database.
const CHILD_URL: &str = "FLOWNEXUS_TEST_CHILD_URL";
