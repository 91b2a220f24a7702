//! Row ids of what is written seldom and also by other processes: people, tokens, templates and
//! lines of the audit log.
//!
//! `flownexus user add` works beside a running server, so neither may count in its memory. The
//! next id lies in the database and is taken in the transaction that uses it.

use flownexus_entity::server_state;
use sea_orm::{ConnectionTrait as _, DatabaseTransaction, EntityTrait as _};

use super::StoreError;
use super::open::statement;
use super::writer::MARK_PREFIX;

/// A row id for this table, never used before, also not by a row that was deleted.
pub(super) async fn next_id(
    transaction: &DatabaseTransaction,
    table: &'static str,
) -> Result<i64, StoreError> {
    let key = format!("{MARK_PREFIX}{table}");
    let mark = server_state::Entity::find_by_id(key.clone())
        .one(transaction)
        .await?
        .map_or(1, |row| row.value);
    let sql = format!("SELECT MAX(id) FROM \"{table}\"");
    let largest: Option<i64> = match transaction
        .query_one_raw(statement(transaction, &sql, []))
        .await?
    {
        Some(row) => row.try_get_by_index(0)?,
        None => None,
    };
    let id = mark.max(largest.unwrap_or(0).saturating_add(1));
    save(transaction, key, id.saturating_add(1)).await?;
    Ok(id)
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
