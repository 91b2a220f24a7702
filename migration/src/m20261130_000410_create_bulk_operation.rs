//! What somebody asks of many devices at once: one row, and one for each device. Both are there before the
//! first device is asked, so that a server that is killed goes on where it was (docs/adr/0019).

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
        manager
            .create_table(
                Table::create()
                    .table("bulk_operation")
                    .col(columns::number("id").primary_key())
                    .col(columns::text("action"))
                    .col(columns::text("requested_by"))
                    .col(columns::text("state"))
                    .col(columns::number("items"))
                    .col(columns::number_or_none("expires_in_s"))
                    .col(columns::number("created_at"))
                    .col(columns::number_or_none("finished_at"))
                    .to_owned(),
            )
            .await?;
        // The name and not the row of a device: what was asked is told of a device that is forgotten, too.
        manager
            .create_table(
                Table::create()
                    .table("bulk_item")
                    .col(columns::number("bulk_id"))
                    .col(columns::number("position"))
                    .col(columns::text("endpoint"))
                    .col(columns::text("state"))
                    .col(columns::number_or_none("operation_id"))
                    .col(columns::text_or_none("error"))
                    .primary_key(Index::create().col("bulk_id").col("position"))
                    .to_owned(),
            )
            .await?;
        manager
            .create_index(columns::index(
                "bulk_item_state",
                "bulk_item",
                &["bulk_id", "state", "position"],
                false,
            ))
            .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .drop_table(Table::drop().table("bulk_item").to_owned())
            .await?;
        manager
            .drop_table(Table::drop().table("bulk_operation").to_owned())
            .await
    }
}
