//! What somebody asks of many devices at once, and how it stands with each.
//!
//! All of it is on disk, in one transaction, before the first device is asked. From then on each device is settled
//! by its place: whoever goes on after a crash finds the operations that were made already by who they name as
//! their origin ([`Origin::Bulk`]), and makes none twice (docs/adr/0019).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use flownexus_entity::bulk_operation::Column;
use flownexus_entity::{bulk_item, bulk_operation};
use sea_orm::{
    ActiveValue::Set, ColumnTrait as _, ConnectionTrait, DatabaseConnection, DatabaseTransaction,
    EntityTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _, Value as Bind,
    sea_query::Expr,
};
use serde_json::{Value as Json, json};
use tokio::sync::Notify;

use super::records::{
    self, corrupt, from_json, millis, name, parse, request_from_json, request_to_json, text, time,
    to_json,
};
use super::sequence::next_id;
use super::sql::{places, statement};
use super::{Store, StoreError, audit};
use crate::domain::{
    AuditEntry, BulkAction, BulkCounts, BulkId, BulkItem, BulkItemState, BulkOperation, BulkState,
    Doer, EndpointName, IdempotencyKey, KeptKey, OperationId, OperationStatus, Origin, Timestamp,
    count,
};

/// Wakes whoever carries bulk operations out. Cheap to clone; every clone is the same one.
#[derive(Clone, Debug, Default)]
pub struct BulkNews(Arc<Notify>);

impl BulkNews {
    /// There is something new to do.
    pub fn tell(&self) {
        self.0.notify_one();
    }

    /// Waits until there is. Cancel-safe.
    pub async fn heard(&self) {
        self.0.notified().await;
    }
}

/// A device whose turn it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BulkTurn {
    /// Its place.
    pub position: u64,
    /// Its name.
    pub endpoint: EndpointName,
    /// The operation that was made already, if one was.
    pub operation: Option<OperationId>,
}

/// What became of a device's turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BulkSettled {
    /// Its place.
    pub position: u64,
    /// How it stands now.
    pub state: BulkItemState,
    /// The operation that was made.
    pub operation: Option<OperationId>,
    /// Why it was not taken.
    pub error: Option<String>,
}

/// A bulk operation that was asked for with a key which comes again.
#[derive(Clone, Debug, PartialEq)]
pub struct KnownBulk {
    /// The bulk operation as it is now.
    pub bulk: BulkOperation,
    /// The same is asked as then.
    pub is_same: bool,
}

/// What became of something to be stored.
#[derive(Clone, Debug, PartialEq)]
pub enum BulkAdded {
    /// It is stored, with its number.
    New(BulkOperation),
    /// Nothing was stored: it came with a key that is known.
    Known(KnownBulk),
}

/// Keeps what is asked of many devices at once.
#[async_trait]
pub trait BulkStore: Send + Sync {
    /// Stores something new that is asked of these devices, wholly or not at all, with its key and with a line of the
    /// audit log; nothing where the key is known already.
    async fn add(
        &self,
        bulk: BulkOperation,
        devices: Vec<EndpointName>,
        by: Doer,
        key: Option<KeptKey>,
    ) -> Result<BulkAdded, StoreError>;

    /// What was asked for with this key, while it counts.
    async fn known(
        &self,
        key: IdempotencyKey,
        now: Timestamp,
    ) -> Result<Option<KnownBulk>, StoreError>;

    /// Newest first, at most `limit`; `before` is the last one of the page before.
    async fn list(
        &self,
        before: Option<BulkId>,
        limit: u64,
    ) -> Result<Vec<BulkOperation>, StoreError>;

    /// Those that somebody has to go on with, oldest first.
    async fn under_way(&self) -> Result<Vec<BulkOperation>, StoreError>;

    /// One of them.
    async fn find(&self, id: BulkId) -> Result<Option<BulkOperation>, StoreError>;

    /// How many of its devices stand how.
    async fn counts(&self, id: BulkId) -> Result<BulkCounts, StoreError>;

    /// Its devices in their order, at most `limit`, from this place on; only those of a state, if one is given.
    async fn items(
        &self,
        id: BulkId,
        state: Option<BulkItemState>,
        from: u64,
        limit: u64,
    ) -> Result<Vec<BulkItem>, StoreError>;

    /// Devices that wait for their turn, from this place on, at most `limit`.
    async fn turns(
        &self,
        bulk: &BulkOperation,
        from: u64,
        limit: u64,
    ) -> Result<Vec<BulkTurn>, StoreError>;

    /// The operations that were made and are QUEUED, in their order, at most `limit`.
    async fn queued(&self, id: BulkId, limit: u64) -> Result<Vec<OperationId>, StoreError>;

    /// Writes what became of turns, all of it or nothing.
    async fn settle(&self, id: BulkId, settled: Vec<BulkSettled>) -> Result<(), StoreError>;

    /// It stands so from now on, if it stands as `from` says; the audit log names who did that. Returns how it
    /// stands then, or nothing where there is none of this number.
    async fn turn_to(
        &self,
        id: BulkId,
        from: &[BulkState],
        to: BulkState,
        by: Option<Doer>,
    ) -> Result<Option<BulkOperation>, StoreError>;
}

#[async_trait]
impl BulkStore for Store {
    async fn add(
        &self,
        mut bulk: BulkOperation,
        devices: Vec<EndpointName>,
        by: Doer,
        key: Option<KeptKey>,
    ) -> Result<BulkAdded, StoreError> {
        bulk.devices = devices.len() as u64;
        let row = columns(&bulk)?;
        self.write(move |transaction| {
            Box::pin(async move {
                if let Some(KeptKey { key, .. }) = key {
                    if let Some(known) = known(transaction, key, bulk.created_at).await? {
                        return Ok(BulkAdded::Known(known));
                    }
                    // What it stood for before is over.
                    bulk_operation::Entity::update_many()
                        .col_expr(Column::KeyHash, Expr::value(None::<Vec<u8>>))
                        .filter(Column::KeyHash.eq(key.key.to_vec()))
                        .exec(transaction)
                        .await?;
                }
                bulk.id = BulkId(next_id(transaction, "bulk_operation").await?);
                bulk_operation::Entity::insert(bulk_operation::ActiveModel {
                    id: Set(bulk.id.0),
                    key_hash: Set(key.map(|kept| kept.key.key.to_vec())),
                    request_hash: Set(key.map(|kept| kept.key.request.to_vec())),
                    key_expires_at: Set(millis(key.map(|kept| kept.expires_at))),
                    ..row
                })
                .exec_without_returning(transaction)
                .await?;
                write_items(transaction, bulk.id, &devices).await?;
                let detail = format!(
                    "bulk operation {}: {} {}",
                    bulk.id,
                    bulk.action.kind(),
                    count(devices.len(), "device")
                );
                let line = AuditEntry::new(by, bulk.created_at, "bulk.create", "", detail);
                audit::insert(transaction, line).await?;
                Ok(BulkAdded::New(bulk))
            })
        })
        .await
    }

    async fn known(
        &self,
        key: IdempotencyKey,
        now: Timestamp,
    ) -> Result<Option<KnownBulk>, StoreError> {
        self.read_tables(move |database| async move { known(&database, key, now).await })
            .await
    }

    async fn list(
        &self,
        before: Option<BulkId>,
        limit: u64,
    ) -> Result<Vec<BulkOperation>, StoreError> {
        let mut query = bulk_operation::Entity::find()
            .order_by_desc(Column::Id)
            .limit(limit.min(i64::MAX as u64));
        if let Some(before) = before {
            query = query.filter(Column::Id.lt(before.0));
        }
        self.read_tables(move |database| async move {
            let rows = query.all(&database).await?.into_iter();
            rows.map(bulk_operation).collect()
        })
        .await
    }

    async fn under_way(&self) -> Result<Vec<BulkOperation>, StoreError> {
        let states = [BulkState::Running, BulkState::Cancelling].map(BulkState::name);
        let query = bulk_operation::Entity::find()
            .filter(Column::State.is_in(states))
            .order_by_asc(Column::Id);
        self.read_tables(move |database| async move {
            let rows = query.all(&database).await?.into_iter();
            rows.map(bulk_operation).collect()
        })
        .await
    }

    async fn find(&self, id: BulkId) -> Result<Option<BulkOperation>, StoreError> {
        self.read_tables(move |database| async move {
            let found = bulk_operation::Entity::find_by_id(id.0).one(&database);
            found.await?.map(bulk_operation).transpose()
        })
        .await
    }

    async fn counts(&self, id: BulkId) -> Result<BulkCounts, StoreError> {
        let sql = "SELECT bulk_item.state, endpoint_operation.status, COUNT(*) FROM bulk_item \
            LEFT JOIN endpoint_operation ON endpoint_operation.id = bulk_item.operation_id \
            WHERE bulk_item.bulk_id = ? GROUP BY bulk_item.state, endpoint_operation.status";
        self.read(move |database| async move {
            let mut counts = BulkCounts::default();
            for row in database
                .query_all_raw(statement(&database, sql, [id.0.into()]))
                .await?
            {
                let state: String = row.try_get_by_index(0)?;
                let status: Option<String> = row.try_get_by_index(1)?;
                let many: i64 = row.try_get_by_index(2)?;
                let status = status.map(|status| parse(WHAT, &status)).transpose()?;
                counts.add(parse(WHAT, &state)?, status, many.unsigned_abs());
            }
            Ok(counts)
        })
        .await
    }

    async fn items(
        &self,
        id: BulkId,
        state: Option<BulkItemState>,
        from: u64,
        limit: u64,
    ) -> Result<Vec<BulkItem>, StoreError> {
        let mut sql = "SELECT position, endpoint, bulk_item.state, operation_id, \
            endpoint_operation.status, COALESCE(bulk_item.error, endpoint_operation.error) \
            FROM bulk_item \
            LEFT JOIN endpoint_operation ON endpoint_operation.id = bulk_item.operation_id \
            WHERE bulk_item.bulk_id = ? AND position >= ?"
            .to_owned();
        let mut values: Vec<Bind> = vec![id.0.into(), place(from).into()];
        if let Some(state) = state {
            sql.push_str(" AND bulk_item.state = ?");
            values.push(state.name().into());
        }
        sql.push_str(&format!(" ORDER BY position LIMIT {}", place(limit)));
        self.read(move |database| async move {
            let mut items = Vec::new();
            for row in database
                .query_all_raw(statement(&database, &sql, values))
                .await?
            {
                let endpoint: String = row.try_get_by_index(1)?;
                let state: String = row.try_get_by_index(2)?;
                let status: Option<String> = row.try_get_by_index(4)?;
                items.push(BulkItem {
                    position: row.try_get_by_index::<i64>(0)?.unsigned_abs(),
                    endpoint: name(&endpoint)?,
                    state: parse(WHAT, &state)?,
                    operation: row.try_get_by_index::<Option<i64>>(3)?.map(OperationId),
                    status: status.map(|status| parse(WHAT, &status)).transpose()?,
                    error: row.try_get_by_index(5)?,
                });
            }
            Ok(items)
        })
        .await
    }

    async fn turns(
        &self,
        bulk: &BulkOperation,
        from: u64,
        limit: u64,
    ) -> Result<Vec<BulkTurn>, StoreError> {
        let query = bulk_item::Entity::find()
            .filter(bulk_item::Column::BulkId.eq(bulk.id.0))
            .filter(bulk_item::Column::State.eq(BulkItemState::Pending.name()))
            .filter(bulk_item::Column::Position.gte(place(from)))
            .order_by_asc(bulk_item::Column::Position)
            .limit(limit.min(TURNS_AT_ONCE));
        let origin = to_json(&Origin::Bulk(bulk.id, bulk.requested_by.clone()))?;
        // Operations that were made before a crash may not be in the tables yet.
        self.read(move |database| async move {
            let rows = query.all(&database).await?;
            let made = made(&database, &rows, &origin).await?;
            let turns = rows.into_iter().map(|row| {
                Ok(BulkTurn {
                    position: row.position.unsigned_abs(),
                    operation: made.get(&row.endpoint).copied(),
                    endpoint: name(&row.endpoint)?,
                })
            });
            turns.collect()
        })
        .await
    }

    async fn queued(&self, id: BulkId, limit: u64) -> Result<Vec<OperationId>, StoreError> {
        let sql = format!(
            "SELECT endpoint_operation.id FROM bulk_item \
            JOIN endpoint_operation ON endpoint_operation.id = bulk_item.operation_id \
            WHERE bulk_item.bulk_id = ? AND endpoint_operation.status = ? \
            ORDER BY position LIMIT {}",
            place(limit)
        );
        self.read(move |database| async move {
            let values: [Bind; 2] = [id.0.into(), OperationStatus::Queued.name().into()];
            let rows = database
                .query_all_raw(statement(&database, &sql, values))
                .await?;
            let ids = rows
                .iter()
                .map(|row| Ok(OperationId(row.try_get_by_index(0)?)));
            ids.collect()
        })
        .await
    }

    async fn settle(&self, id: BulkId, settled: Vec<BulkSettled>) -> Result<(), StoreError> {
        self.write(move |transaction| {
            Box::pin(async move {
                let sql = "UPDATE bulk_item SET state = ?, operation_id = ?, error = ? \
                    WHERE bulk_id = ? AND position = ?";
                for one in settled {
                    let error = one.error.as_deref().map(|error| text(error).into_owned());
                    let values: [Bind; 5] = [
                        one.state.name().into(),
                        one.operation.map(|operation| operation.0).into(),
                        error.into(),
                        id.0.into(),
                        place(one.position).into(),
                    ];
                    transaction
                        .execute_raw(statement(transaction, sql, values))
                        .await?;
                }
                Ok(())
            })
        })
        .await
    }

    async fn turn_to(
        &self,
        id: BulkId,
        from: &[BulkState],
        to: BulkState,
        by: Option<Doer>,
    ) -> Result<Option<BulkOperation>, StoreError> {
        let from = from.to_vec();
        self.write(move |transaction| {
            Box::pin(async move {
                let found = bulk_operation::Entity::find_by_id(id.0).one(transaction);
                let Some(mut bulk) = found.await?.map(bulk_operation).transpose()? else {
                    return Ok(None);
                };
                if !from.contains(&bulk.state) {
                    return Ok(Some(bulk));
                }
                let now = Timestamp::system();
                bulk.state = to;
                bulk.finished_at = match to {
                    BulkState::Cancelled | BulkState::Finished => Some(now),
                    BulkState::Cancelling | BulkState::Running => None,
                };
                bulk_operation::Entity::update_many()
                    .set(columns(&bulk)?)
                    .filter(Column::Id.eq(id.0))
                    .exec(transaction)
                    .await?;
                if let Some(by) = by {
                    let detail = format!("bulk operation {id}: {}", bulk.action.kind());
                    let line = AuditEntry::new(by, now, "bulk.cancel", "", detail);
                    audit::insert(transaction, line).await?;
                }
                Ok(Some(bulk))
            })
        })
        .await
    }
}

async fn known(
    database: &impl ConnectionTrait,
    key: IdempotencyKey,
    now: Timestamp,
) -> Result<Option<KnownBulk>, StoreError> {
    let row = bulk_operation::Entity::find()
        .filter(Column::KeyHash.eq(key.key.to_vec()))
        .filter(Column::KeyExpiresAt.gt(now.as_millis()))
        .one(database)
        .await?;
    let known = row.map(|row| {
        Ok(KnownBulk {
            is_same: row.request_hash.as_deref() == Some(key.request.as_slice()),
            bulk: bulk_operation(row)?,
        })
    });
    known.transpose()
}

/// The operations that were made for these devices, by their names.
async fn made(
    database: &DatabaseConnection,
    items: &[bulk_item::Model],
    origin: &str,
) -> Result<HashMap<String, OperationId>, StoreError> {
    if items.is_empty() {
        return Ok(HashMap::new());
    }
    let places = places(items.len());
    let sql = format!(
        "SELECT endpoint.name, endpoint_operation.id FROM endpoint \
        JOIN endpoint_operation ON endpoint_operation.endpoint_id = endpoint.id \
        WHERE endpoint.name IN ({places}) AND endpoint_operation.origin = ?"
    );
    let names = items.iter().map(|item| Bind::from(item.endpoint.clone()));
    let values = names.chain([origin.into()]);
    let mut made = HashMap::new();
    for row in database
        .query_all_raw(statement(database, &sql, values))
        .await?
    {
        made.insert(
            row.try_get_by_index(0)?,
            OperationId(row.try_get_by_index(1)?),
        );
    }
    Ok(made)
}

async fn write_items(
    transaction: &DatabaseTransaction,
    id: BulkId,
    devices: &[EndpointName],
) -> Result<(), StoreError> {
    let mut position = 0_i64;
    for part in devices.chunks(ITEMS_AT_ONCE) {
        let rows: Vec<bulk_item::ActiveModel> = part
            .iter()
            .zip(position..)
            .map(|(endpoint, position)| bulk_item::ActiveModel {
                bulk_id: Set(id.0),
                position: Set(position),
                endpoint: Set(endpoint.as_str().to_owned()),
                state: Set(BulkItemState::Pending.name().to_owned()),
                operation_id: Set(None),
                error: Set(None),
            })
            .collect();
        position += i64::try_from(rows.len()).unwrap_or(0);
        bulk_item::Entity::insert_many(rows)
            .exec_without_returning(transaction)
            .await?;
    }
    Ok(())
}

/// All but the id.
fn columns(bulk: &BulkOperation) -> Result<bulk_operation::ActiveModel, StoreError> {
    let seconds = |time: Duration| i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    Ok(bulk_operation::ActiveModel {
        action: Set(action_to_json(&bulk.action).to_string()),
        requested_by: Set(text(&bulk.requested_by).into_owned()),
        state: Set(bulk.state.name().to_owned()),
        items: Set(place(bulk.devices)),
        expires_in_s: Set(bulk.expires_in.map(seconds)),
        created_at: Set(bulk.created_at.as_millis()),
        finished_at: Set(millis(bulk.finished_at)),
        ..bulk_operation::ActiveModel::default()
    })
}

fn bulk_operation(row: bulk_operation::Model) -> Result<BulkOperation, StoreError> {
    let action: Json = from_json(WHAT, &row.action)?;
    let seconds = |seconds: i64| Duration::from_secs(seconds.unsigned_abs());
    Ok(BulkOperation {
        id: BulkId(row.id),
        action: action_from_json(&action).map_err(|why| corrupt(WHAT, why))?,
        requested_by: row.requested_by,
        state: parse(WHAT, &row.state)?,
        devices: row.items.unsigned_abs(),
        expires_in: row.expires_in_s.map(seconds),
        created_at: time(row.created_at),
        finished_at: row.finished_at.map(time),
    })
}

fn action_to_json(action: &BulkAction) -> Json {
    match action {
        BulkAction::Forget => json!({"do": "forget"}),
        BulkAction::Operate(request) => {
            json!({"do": "operate", "request": request_to_json(request)})
        }
        BulkAction::Tag(tags) => json!({"do": "tag", "tags": tags}),
        BulkAction::Untag(tags) => json!({"do": "untag", "tags": tags}),
    }
}

fn action_from_json(json: &Json) -> Result<BulkAction, String> {
    let tags = || records::field::<Vec<String>>(json, "tags");
    let action: String = records::field(json, "do")?;
    Ok(match action.as_str() {
        "forget" => BulkAction::Forget,
        "operate" => {
            let request = json.get("request").ok_or("a request is missing")?;
            BulkAction::Operate(Box::new(request_from_json(request)?))
        }
        "tag" => BulkAction::Tag(tags()?),
        "untag" => BulkAction::Untag(tags()?),
        other => {
            return Err(format!(
                "`{other}` is nothing that is done with many devices"
            ));
        }
    })
}

fn place(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

const WHAT: &str = "bulk operation";

/// Rows of one statement.
const ITEMS_AT_ONCE: usize = 500;

/// Devices whose turns are looked up at once, at most.
const TURNS_AT_ONCE: u64 = 500;
