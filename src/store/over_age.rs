//! Removes what is over and over age: operations, what was asked of many devices, events, and lines of the audit log.
//!
//! Rows are numbered in the order of their arrival, so that what is old lies at the front: each table is walked
//! through from there, in pieces that leave the writer time for the devices. What has to stay for another reason is
//! passed over, and looked at again on the next day.

use flownexus_entity::bulk_operation;
use sea_orm::{ConnectionTrait, DatabaseTransaction, EntityTrait as _, Value as Bind};

use super::remove::Rows;
use super::sql::{places, statement};
use super::{Metrics, Store, StoreError};
use crate::config;
use crate::domain::Timestamp;

/// So many rows are looked at, or removed, at a time.
const ROWS: usize = 500;

/// Milliseconds.
const DAY: i64 = 86_400_000;

/// What has an age.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Operation,
    Bulk,
    Event,
    Audit,
}

impl Kind {
    /// What was asked of many devices before their operations, which it holds.
    const ALL: [Self; 4] = [Self::Bulk, Self::Operation, Self::Event, Self::Audit];

    fn days(self, settings: config::Retention) -> u32 {
        match self {
            Self::Operation | Self::Bulk => settings.operation_days,
            Self::Event => settings.event_days,
            Self::Audit => settings.audit_days,
        }
    }

    fn table(self) -> &'static str {
        match self {
            Self::Operation => "endpoint_operation",
            Self::Bulk => "bulk_operation",
            Self::Event => "event",
            Self::Audit => "audit_log",
        }
    }

    /// The column that is never later than when the row was written.
    fn born(self) -> &'static str {
        match self {
            Self::Operation | Self::Bulk => "created_at",
            Self::Event => "\"time\"",
            Self::Audit => "\"at\"",
        }
    }

    /// Which of the rows that are old enough may go; `?` are that they ended before a moment, and now.
    fn may_go(self) -> &'static str {
        match self {
            // Whoever asks again with a key finds what they asked for, and what many were asked counts its own.
            Self::Operation => {
                "finished_at < ? AND NOT EXISTS (SELECT 1 FROM idempotency_key \
                WHERE idempotency_key.endpoint_id = endpoint_operation.endpoint_id \
                AND operation_id = endpoint_operation.id AND expires_at > ?) \
                AND NOT EXISTS (SELECT 1 FROM bulk_item \
                WHERE bulk_item.operation_id = endpoint_operation.id)"
            }
            // Whoever takes it back takes all of it back.
            Self::Bulk => {
                "finished_at < ? AND COALESCE(key_expires_at, 0) <= ? \
                AND NOT EXISTS (SELECT 1 FROM bulk_item \
                JOIN endpoint_operation ON endpoint_operation.id = bulk_item.operation_id \
                WHERE bulk_item.bulk_id = bulk_operation.id AND endpoint_operation.finished_at IS NULL)"
            }
            // A rule tells of the time that its device's clock showed; what came lately is no old event.
            Self::Event => {
                "\"time\" < ? AND \"time\" <= ? AND NOT EXISTS (SELECT 1 FROM event_resource \
                JOIN resource ON resource.id = event_resource.resource_row \
                WHERE event_resource.event_id = event.id AND resource.received_at >= ?)"
            }
            Self::Audit => "\"at\" < ? AND \"at\" <= ?",
        }
    }
}

/// On which day each was walked through.
#[derive(Debug, Default)]
pub(super) struct Walked([Option<i64>; Kind::ALL.len()]);

/// Removes everything that is over age at this moment, once a day.
pub(super) async fn remove_old(
    store: &Store,
    settings: config::Retention,
    metrics: &Metrics,
    walked: &mut Walked,
    now: Timestamp,
) -> Result<(), StoreError> {
    let today = now.as_millis().div_euclid(DAY);
    for (kind, done) in Kind::ALL.into_iter().zip(&mut walked.0) {
        let days = kind.days(settings);
        if days == 0 || *done == Some(today) {
            continue;
        }
        let kept = i64::from(days).saturating_mul(DAY);
        let cut = now.as_millis().saturating_sub(kept);
        let removed = walk(store, kind, cut, now).await?;
        *done = Some(today);
        metrics.over_age_removed.inc_by(removed);
        if removed > 0 {
            let table = kind.table();
            tracing::info!(
                table,
                removed,
                "Removed {removed} rows of {table}: they are over age"
            );
        }
    }
    Ok(())
}

/// Removes what is over age of one table, and says how many rows that were.
async fn walk(store: &Store, kind: Kind, cut: i64, now: Timestamp) -> Result<u64, StoreError> {
    let mut after = i64::MIN;
    let mut removed = 0;
    loop {
        let (table, born) = (kind.table(), kind.born());
        let sql = format!("SELECT id, {born} FROM {table} WHERE id > ? ORDER BY id LIMIT {ROWS}");
        let rows: Vec<(i64, i64)> = store
            .read_tables(move |database| async move {
                database
                    .query_all_raw(statement(&database, &sql, [after.into()]))
                    .await?
                    .iter()
                    .map(|row| Ok((row.try_get_by_index(0)?, row.try_get_by_index(1)?)))
                    .collect()
            })
            .await?;
        let Some((last, _)) = rows.iter().rev().find(|(_, born)| *born < cut).copied() else {
            return Ok(removed);
        };
        removed += match kind {
            Kind::Bulk => remove_bulk(store, [after, last], cut, now).await?,
            _ => remove_piece(store, kind, [after, last], cut, now).await?,
        };
        after = last;
        if rows.len() < ROWS {
            return Ok(removed);
        }
        store.pause().await;
    }
}

/// Which rows behind one and up to another may go.
async fn found(
    database: &impl ConnectionTrait,
    kind: Kind,
    [after, last]: [i64; 2],
    cut: i64,
    now: Timestamp,
) -> Result<Vec<i64>, StoreError> {
    let (table, may_go) = (kind.table(), kind.may_go());
    let sql = format!("SELECT id FROM {table} WHERE id > ? AND id <= ? AND {may_go}");
    let mut values: Vec<Bind> = vec![
        after.into(),
        last.into(),
        cut.into(),
        now.as_millis().into(),
    ];
    if kind == Kind::Event {
        values.push(cut.into());
    }
    let rows = database
        .query_all_raw(statement(database, &sql, values))
        .await?;
    let ids = rows.iter().map(|row| row.try_get_by_index(0));
    Ok(ids.collect::<Result<_, _>>()?)
}

async fn remove_piece(
    store: &Store,
    kind: Kind,
    between: [i64; 2],
    cut: i64,
    now: Timestamp,
) -> Result<u64, StoreError> {
    store
        .write_patiently(move |transaction| {
            Box::pin(async move {
                let ids = found(transaction, kind, between, cut, now).await?;
                if kind == Kind::Event {
                    remove_ids(transaction, "event_resource", "event_id", &ids).await?;
                }
                remove_ids(transaction, kind.table(), "id", &ids).await?;
                Ok(ids.len() as u64)
            })
        })
        .await
}

async fn remove_ids(
    transaction: &DatabaseTransaction,
    table: &str,
    column: &str,
    ids: &[i64],
) -> Result<(), StoreError> {
    if ids.is_empty() {
        return Ok(());
    }
    let sql = format!(
        "DELETE FROM {table} WHERE {column} IN ({})",
        places(ids.len())
    );
    let values = ids.iter().map(|id| Bind::from(*id));
    transaction
        .execute_raw(statement(transaction, &sql, values))
        .await?;
    Ok(())
}

/// Each has up to `operations.max_bulk` devices, which go first; nobody has asked for it for days.
async fn remove_bulk(
    store: &Store,
    between: [i64; 2],
    cut: i64,
    now: Timestamp,
) -> Result<u64, StoreError> {
    let ids = store
        .read_tables(move |database| async move {
            found(&database, Kind::Bulk, between, cut, now).await
        })
        .await?;
    let devices = Rows {
        table: "bulk_item",
        owner: "bulk_id",
        key: "position",
    };
    for id in &ids {
        let id = *id;
        store.remove_rows(&devices, id, ROWS as u64).await?;
        store
            .write_patiently(move |transaction| {
                Box::pin(async move {
                    bulk_operation::Entity::delete_by_id(id)
                        .exec(transaction)
                        .await?;
                    Ok(())
                })
            })
            .await?;
    }
    Ok(ids.len() as u64)
}
