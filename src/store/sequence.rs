//! Row ids of what is written seldom and also by other processes: people, tokens, templates and
//! lines of the audit log.
//!
//! `flownexus user add` works beside a running server, so neither may count in its memory. The
//! next id lies in the database and is taken in the transaction that uses it.

use flownexus_entity::server_state;
use sea_orm::{ConnectionTrait as _, DatabaseConnection, DatabaseTransaction, EntityTrait as _};

use super::StoreError;
use super::open::statement;
use super::records::corrupt;
use super::writer::MARK_PREFIX;

/// A row id for this table, never used before, also not by a row that was deleted.
pub(super) async fn next_id(
    transaction: &DatabaseTransaction,
    table: &'static str,
) -> Result<i64, StoreError> {
    let sql = format!("SELECT MAX(id) FROM \"{table}\"");
    let largest: Option<i64> = match transaction
        .query_one_raw(statement(transaction, &sql, []))
        .await?
    {
        Some(row) => row.try_get_by_index(0)?,
        None => None,
    };
    let free = largest.unwrap_or(0).saturating_add(1);
    let key = format!("{MARK_PREFIX}{table}");
    let next = raise(transaction, key, free.saturating_add(1)).await?;
    Ok(next.saturating_sub(1))
}

/// Makes a stored number larger by one, and at least `least`; returns it. In one statement: of two
/// processes at once the second waits, and gets the number behind that of the first.
pub(super) async fn raise(
    transaction: &DatabaseTransaction,
    key: String,
    least: i64,
) -> Result<i64, StoreError> {
    let sql = "INSERT INTO server_state (\"key\", \"value\") VALUES (?, ?) \
        ON CONFLICT (\"key\") DO UPDATE SET \"value\" = CASE \
        WHEN server_state.\"value\" >= excluded.\"value\" THEN server_state.\"value\" + 1 \
        ELSE excluded.\"value\" END RETURNING \"value\"";
    let values = [key.into(), least.into()];
    let row = transaction
        .query_one_raw(statement(transaction, sql, values))
        .await?
        .ok_or_else(|| {
            corrupt(
                "server_state",
                "a stored number was not returned".to_owned(),
            )
        })?;
    Ok(row.try_get_by_index(0)?)
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
