//! Keys that came with what was asked of devices.

use flownexus_entity::idempotency_key;
use sea_orm::{ConnectionTrait as _, DatabaseConnection, DbErr, EntityTrait as _, Value as Bind};

use super::records::{corrupt, time};
use super::sql::statement;
use super::{Store, StoreError};
use crate::domain::{EndpointId, IdempotencyKey, KeyedOperation, OperationId, Timestamp};

/// The columns of `idempotency_key`, in the order of the table.
pub(super) fn key_row(keyed: &KeyedOperation, row: &mut Vec<Bind>) {
    row.extend([
        keyed.endpoint_id.0.into(),
        keyed.key.key.to_vec().into(),
        keyed.key.request.to_vec().into(),
        keyed.operation.0.into(),
        keyed.expires_at.as_millis().into(),
    ]);
}

/// What was asked of a device with a key, an expired one included.
pub(super) async fn find(
    store: &Store,
    endpoint: EndpointId,
    key: [u8; 32],
) -> Result<Option<KeyedOperation>, StoreError> {
    let query = idempotency_key::Entity::find_by_id((endpoint.0, key.to_vec()));
    store
        .read_devices(&[endpoint], move |database| async move {
            let Some(row) = query.one(&database).await? else {
                return Ok(None);
            };
            let request = row
                .request_hash
                .try_into()
                .map_err(|_| corrupt("key", "its hash has not 32 bytes"))?;
            Ok(Some(KeyedOperation {
                endpoint_id: endpoint,
                key: IdempotencyKey { key, request },
                operation: OperationId(row.operation_id),
                expires_at: time(row.expires_at),
            }))
        })
        .await
}

/// Removes some of those that have expired. True when there may be more.
pub(super) async fn prune(
    database: &DatabaseConnection,
    now: Timestamp,
    most: u64,
) -> Result<bool, DbErr> {
    let sql = format!(
        "DELETE FROM idempotency_key WHERE (endpoint_id, key_hash) IN (\
        SELECT endpoint_id, key_hash FROM idempotency_key WHERE expires_at <= ? LIMIT {most})"
    );
    let removed = database
        .execute_raw(statement(database, &sql, [now.as_millis().into()]))
        .await?;
    Ok(removed.rows_affected() >= most)
}
