//! What devices cost: bytes and datagrams of a device and a day, by what they were for. The sum of all devices has
//! rows of its own (of no device: 0), so that a page need not add up a fleet. There is no foreign key, as the sum
//! belongs to nobody; whoever removes a device removes its rows.

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
        let mut table = Table::create();
        table
            .table("traffic_day")
            .col(columns::number("endpoint_id"))
            .col(columns::number("day"))
            .col(columns::text("kind"))
            .col(columns::number("up_bytes"))
            .col(columns::number("down_bytes"))
            .col(columns::number("up_messages"))
            .col(columns::number("down_messages"))
            .primary_key(Index::create().col("endpoint_id").col("day").col("kind"));
        if manager.get_database_backend() == sea_orm::DbBackend::Sqlite {
            // One tree instead of two: the row lies in its key.
            table.extra("WITHOUT ROWID");
        }
        manager.create_table(table).await?;
        // For those that are over age.
        manager
            .create_index(columns::index(
                "traffic_day_day",
                "traffic_day",
                &["day"],
                false,
            ))
            .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .drop_table(Table::drop().table("traffic_day").to_owned())
            .await
    }
}
