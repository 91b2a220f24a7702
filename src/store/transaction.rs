//! The transaction of the hot write. It speaks to the driver itself: the mapper copies and converts each value
//! on its way, which costs as much as the database.

use std::sync::Arc;

use sea_orm::sqlx::postgres::PgArguments;
use sea_orm::sqlx::sqlite::SqliteArguments;
use sea_orm::sqlx::{self, Arguments, AssertSqlSafe, Postgres, Sqlite};
use sea_orm::{
    ConnectionTrait as _, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, RuntimeErr,
    Statement, Value as Bind,
};

use super::sql::numbered;

/// A transaction that may write from its first statement. Dropped, it is rolled back.
pub(super) enum Transaction {
    /// Of SQLite.
    Sqlite(sqlx::Transaction<'static, Sqlite>),
    /// Of PostgreSQL.
    Postgres(sqlx::Transaction<'static, Postgres>),
}

/// What statements are executed in.
pub(super) trait Target {
    /// Which database it is.
    fn backend(&self) -> DbBackend;

    /// Executes a statement, which stays prepared.
    async fn execute(
        &mut self,
        sql: &Arc<str>,
        values: impl Iterator<Item = Bind>,
    ) -> Result<(), DbErr>;
}

impl Transaction {
    /// Begins one.
    pub(super) async fn begin(database: &DatabaseConnection) -> Result<Self, DbErr> {
        Ok(match database.get_database_backend() {
            DbBackend::Sqlite => {
                let pool = database.get_sqlite_connection_pool();
                // Not only when it first writes: then it might be too late (SQLITE_BUSY_SNAPSHOT).
                let begun = pool.begin_with("BEGIN IMMEDIATE").await;
                Self::Sqlite(begun.map_err(failed)?)
            }
            _ => {
                let pool = database.get_postgres_connection_pool();
                Self::Postgres(pool.begin().await.map_err(failed)?)
            }
        })
    }

    /// What was written is on disk when this returns.
    pub(super) async fn commit(self) -> Result<(), DbErr> {
        match self {
            Self::Sqlite(transaction) => transaction.commit().await,
            Self::Postgres(transaction) => transaction.commit().await,
        }
        .map_err(failed)
    }

    /// Nothing was written.
    pub(super) async fn roll_back(self) -> Result<(), DbErr> {
        match self {
            Self::Sqlite(transaction) => transaction.rollback().await,
            Self::Postgres(transaction) => transaction.rollback().await,
        }
        .map_err(failed)
    }

    /// Reads rows of a text and a number; `sql` has `?` for its values.
    pub(super) async fn pairs(
        &mut self,
        sql: &str,
        values: impl Iterator<Item = Bind>,
    ) -> Result<Vec<(String, i64)>, DbErr> {
        let sql = AssertSqlSafe(numbered(self.backend(), sql));
        match self {
            Self::Sqlite(transaction) => {
                let read = sqlx::query_as_with(sql, sqlite_arguments(values)?);
                read.fetch_all(&mut **transaction).await
            }
            Self::Postgres(transaction) => {
                let read = sqlx::query_as_with(sql, postgres_arguments(values)?);
                read.fetch_all(&mut **transaction).await
            }
        }
        .map_err(failed)
    }
}

impl Target for Transaction {
    fn backend(&self) -> DbBackend {
        match self {
            Self::Sqlite(_) => DbBackend::Sqlite,
            Self::Postgres(_) => DbBackend::Postgres,
        }
    }

    async fn execute(
        &mut self,
        sql: &Arc<str>,
        values: impl Iterator<Item = Bind>,
    ) -> Result<(), DbErr> {
        let sql = AssertSqlSafe(Arc::clone(sql));
        match self {
            Self::Sqlite(transaction) => {
                let values = sqlite_arguments(values)?;
                let done = sqlx::query_with(sql, values).execute(&mut **transaction);
                done.await.map(drop)
            }
            Self::Postgres(transaction) => {
                let values = postgres_arguments(values)?;
                let done = sqlx::query_with(sql, values).execute(&mut **transaction);
                done.await.map(drop)
            }
        }
        .map_err(failed)
    }
}

impl Target for &DatabaseTransaction {
    fn backend(&self) -> DbBackend {
        self.get_database_backend()
    }

    async fn execute(
        &mut self,
        sql: &Arc<str>,
        values: impl Iterator<Item = Bind>,
    ) -> Result<(), DbErr> {
        let backend = self.get_database_backend();
        let statement = Statement::from_sql_and_values(backend, &**sql, values);
        self.execute_raw(statement).await.map(drop)
    }
}

fn sqlite_arguments(values: impl Iterator<Item = Bind>) -> Result<SqliteArguments, DbErr> {
    let mut all = SqliteArguments::default();
    all.reserve(values.size_hint().0, 0);
    for value in values {
        add(&mut all, value)?;
    }
    Ok(all)
}

fn postgres_arguments(values: impl Iterator<Item = Bind>) -> Result<PgArguments, DbErr> {
    let mut all = PgArguments::default();
    all.reserve(values.size_hint().0, 0);
    for value in values {
        add(&mut all, value)?;
    }
    Ok(all)
}

/// Adds a value of one of the types that columns have here.
fn add<A>(arguments: &mut A, value: Bind) -> Result<(), DbErr>
where
    A: Arguments,
    for<'q> Option<bool>: sqlx::Encode<'q, A::Database> + sqlx::Type<A::Database>,
    for<'q> Option<i16>: sqlx::Encode<'q, A::Database> + sqlx::Type<A::Database>,
    for<'q> Option<i32>: sqlx::Encode<'q, A::Database> + sqlx::Type<A::Database>,
    for<'q> Option<i64>: sqlx::Encode<'q, A::Database> + sqlx::Type<A::Database>,
    for<'q> Option<f64>: sqlx::Encode<'q, A::Database> + sqlx::Type<A::Database>,
    for<'q> Option<String>: sqlx::Encode<'q, A::Database> + sqlx::Type<A::Database>,
    for<'q> Option<Vec<u8>>: sqlx::Encode<'q, A::Database> + sqlx::Type<A::Database>,
{
    match value {
        Bind::Bool(value) => arguments.add(value),
        Bind::SmallInt(value) => arguments.add(value),
        Bind::Int(value) => arguments.add(value),
        Bind::BigInt(value) => arguments.add(value),
        Bind::Double(value) => arguments.add(value),
        Bind::String(value) => arguments.add(value),
        Bind::Bytes(value) => arguments.add(value),
        other => return Err(DbErr::Type(format!("no column is like {other:?}"))),
    }
    .map_err(|error| failed(sqlx::Error::Encode(error)))
}

fn failed(error: sqlx::Error) -> DbErr {
    DbErr::Exec(RuntimeErr::SqlxError(error.into()))
}
