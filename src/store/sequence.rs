//! Row ids of what is written seldom and also by other processes: people, tokens, templates and
//! lines of the audit log.
//!
//! `flownexus user add` works beside a running server, so neither may count in its memory. The
//! next id lies in the database and is taken in the transaction that uses it.

use flownexus_entity::server_state;
use sea_orm::{
    ConnectionTrait as _, DatabaseConnection, DatabaseTransaction, EntityTrait as _, Value as Bind,
};

use super::StoreError;
use super::failure::Failure;
use super::records::corrupt;
use super::sql::statement;
use super::transaction::Transaction;
use super::writer::MARK_PREFIX;

/// A row id for this table, never used before, also not by a row that was deleted.
pub(super) async fn next_id(
    transaction: &DatabaseTransaction,
    table: &'static str,
) -> Result<i64, StoreError> {
    let (sql, values) = take(table, 1);
    let row = transaction
        .query_one_raw(statement(transaction, &sql, values))
        .await?
        .ok_or_else(not_returned)?;
    Ok(row.try_get_by_index::<i64>(1)? - 1)
}

/// Like [`next_id`], for so many rows: the first of their ids.
pub(super) async fn next_ids(
    transaction: &mut Transaction,
    table: &'static str,
    count: i64,
) -> Result<i64, Failure> {
    let (sql, values) = take(table, count);
    let stored = transaction.pairs(&sql, values.into_iter()).await?;
    let (_, next) = stored.first().ok_or_else(not_returned)?;
    Ok(next - count)
}

/// Moves the next free row id of a table on, and returns its key and where it is then. In one statement, for the
/// reason that [`count_up`] has.
fn take(table: &'static str, count: i64) -> (String, [Bind; 4]) {
    let sql = format!(
        "INSERT INTO server_state (\"key\", \"value\") \
        VALUES (?, (SELECT COALESCE(MAX(id), 0) FROM \"{table}\") + 1 + ?) \
        ON CONFLICT (\"key\") DO UPDATE SET \"value\" = CASE \
        WHEN server_state.\"value\" + ? >= excluded.\"value\" THEN server_state.\"value\" + ? \
        ELSE excluded.\"value\" END RETURNING \"key\", \"value\""
    );
    let key = format!("{MARK_PREFIX}{table}");
    (sql, [key.into(), count.into(), count.into(), count.into()])
}

fn not_returned() -> StoreError {
    corrupt(
        "server_state",
        "a stored number was not returned".to_owned(),
    )
}

/// Makes a stored number larger by one; the first is 1. In one statement: of two processes at once the second
/// waits, and goes on from the number of the first.
pub(super) async fn count_up(
    transaction: &DatabaseTransaction,
    key: String,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO server_state (\"key\", \"value\") VALUES (?, 1) \
        ON CONFLICT (\"key\") DO UPDATE SET \"value\" = server_state.\"value\" + 1";
    transaction
        .execute_raw(statement(transaction, sql, [key.into()]))
        .await?;
    Ok(())
}

/// The number that is stored under a key.
pub(super) async fn load(
    database: &DatabaseConnection,
    key: &str,
) -> Result<Option<i64>, StoreError> {
    let row = server_state::Entity::find_by_id(key.to_owned())
        .one(database)
        .await?;
    Ok(row.map(|row| row.value))
}

/// Stores a number under a key.
pub(super) async fn save(
    transaction: &DatabaseTransaction,
    key: String,
    value: i64,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO server_state (\"key\", \"value\") VALUES (?, ?) \
        ON CONFLICT (\"key\") DO UPDATE SET \"value\" = excluded.\"value\"";
    let values = [key.into(), value.into()];
    transaction
        .execute_raw(statement(transaction, sql, values))
        .await?;
    Ok(())
}
