//! On PostgreSQL the values lie in partitions by the time of arrival, so that those over age go by
//! dropping a table instead of row by row.
//!
//! The key of a partition is the row id: the store lets ids begin anew each day, at the number of the day
//! since 1970 times 2^36. So an id tells the day of its arrival, the primary key stays the id alone, and
//! whatever looks a value up by its id (latest values, values of events) looks into one partition. With a
//! time as the key each of these would have to look into all of them, and unlike the time that a device
//! says, ids only grow. Values that were there before become the first partition as they are; what fits
//! nowhere goes to the default partition, so that no insert fails.
//!
//! SQLite has no partitions: nothing happens there, and its ids stay small.

use std::time::{SystemTime, UNIX_EPOCH};

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::{DbBackend, Statement};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        if manager.get_database_backend() != DbBackend::Postgres {
            return Ok(());
        }
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let today = (since.as_secs() / 86_400).cast_signed();
        let connection = manager.get_connection();
        // Ids of a table that was partitioned once before may be of today.
        let largest: Option<i64> = connection
            .query_one_raw(Statement::from_string(
                DbBackend::Postgres,
                "SELECT MAX(id) FROM resource",
            ))
            .await?
            .map(|row| row.try_get_by_index(0))
            .transpose()?
            .flatten();
        let first = Ord::max(today, largest.map_or(0, |id| (id >> 36) + 1)) << 36;
        for sql in RENAMED.into_iter().chain(PARTITIONED) {
            connection.execute_unprepared(sql).await?;
        }
        connection
            .execute_unprepared(&format!(
                "ALTER TABLE resource ATTACH PARTITION resource_before \
                FOR VALUES FROM (MINVALUE) TO ({first})"
            ))
            .await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        if manager.get_database_backend() != DbBackend::Postgres {
            return Ok(());
        }
        for sql in WHOLE {
            manager.get_connection().execute_unprepared(sql).await?;
        }
        Ok(())
    }
}

const RENAMED: [&str; 5] = [
    "ALTER TABLE resource RENAME TO resource_before",
    "ALTER INDEX resource_pkey RENAME TO resource_before_pkey",
    "ALTER INDEX resource_path_time RENAME TO resource_before_path_time",
    "ALTER INDEX resource_type_arrival RENAME TO resource_before_type_arrival",
    "ALTER TABLE resource_before RENAME CONSTRAINT resource_endpoint TO resource_before_endpoint",
];

/// Indices and keys of the partition that match are taken as they are.
const PARTITIONED: [&str; 6] = [
    "CREATE TABLE resource (LIKE resource_before) PARTITION BY RANGE (id)",
    "ALTER TABLE resource ADD CONSTRAINT resource_pkey PRIMARY KEY (id)",
    "ALTER TABLE resource ADD CONSTRAINT resource_endpoint FOREIGN KEY (endpoint_id) \
        REFERENCES endpoint (id)",
    "CREATE INDEX resource_path_time ON resource (endpoint_id, object_id, object_instance_id, \
        resource_id, resource_instance_id, measured_at)",
    "CREATE INDEX resource_type_arrival ON resource \
        ((CAST(object_id AS BIGINT) * 65536 + resource_id), id)",
    "CREATE TABLE resource_rest PARTITION OF resource DEFAULT",
];

const WHOLE: [&str; 8] = [
    "ALTER TABLE resource RENAME TO resource_in_parts",
    "CREATE TABLE resource (LIKE resource_in_parts)",
    "INSERT INTO resource SELECT * FROM resource_in_parts",
    "DROP TABLE resource_in_parts",
    "ALTER TABLE resource ADD CONSTRAINT resource_pkey PRIMARY KEY (id)",
    "ALTER TABLE resource ADD CONSTRAINT resource_endpoint FOREIGN KEY (endpoint_id) \
        REFERENCES endpoint (id)",
    "CREATE INDEX resource_path_time ON resource (endpoint_id, object_id, object_instance_id, \
        resource_id, resource_instance_id, measured_at)",
    "CREATE INDEX resource_type_arrival ON resource \
        ((CAST(object_id AS BIGINT) * 65536 + resource_id), id)",
];
