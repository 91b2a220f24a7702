//! What a chart reads instead of every value: for each path of a device and each day, hour and minute
//! the number of values, their sum, the smallest, the largest and the last, with their times. The rows
//! of a path lie side by side in the order of time, so that a chart reads few pages however many devices
//! there are.
//!
//! A path is one number here (see `store/history/tier.rs`): as four columns it would be the larger part
//! of a row. `divided` says that the rows of the next finer table are there; only days and hours with
//! many values have some. There is no foreign key: a check for each row for what the store looks up once.

use sea_orm_migration::prelude::*;

use crate::columns;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for (name, divisible) in TABLES {
            let mut table = Table::create();
            table
                .table(name)
                .col(columns::number("endpoint_id"))
                .col(columns::number("path"))
                .col(columns::number("bucket"))
                .col(columns::number("samples"))
                .col(columns::float("total"))
                .col(columns::float("low"))
                .col(columns::float("high"))
                .col(columns::float("last"))
                .col(columns::small_number("low_at"))
                .col(columns::small_number("high_at"))
                .col(columns::small_number("last_at"))
                .primary_key(Index::create().col("endpoint_id").col("path").col("bucket"));
            if divisible {
                table.col(columns::flag("divided"));
            }
            if manager.get_database_backend() == sea_orm::DbBackend::Sqlite {
                // One tree instead of two: the row lies in its key.
                table.extra("WITHOUT ROWID");
            }
            manager.create_table(table).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for (name, _) in TABLES {
            manager
                .drop_table(Table::drop().table(name).to_owned())
                .await?;
        }
        // What was rolled up into them is to be rolled up again.
        manager
            .get_connection()
            .execute_unprepared("DELETE FROM server_state WHERE \"key\" LIKE 'rollup.%'")
            .await?;
        Ok(())
    }
}

/// Each with whether it has a finer one.
const TABLES: [(&str, bool); 3] = [
    ("rollup_day", true),
    ("rollup_hour", true),
    ("rollup_minute", false),
];
