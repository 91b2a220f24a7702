//! The device list. `name` is compared byte by byte on both databases, so that a page of the list
//! continues where the one before it ended whatever the locale; `search_name` (lower case) serves
//! the search for a part of a name, which reads the whole of this small table.

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
                    .table("endpoint")
                    .col(columns::number("id").primary_key())
                    .col(columns::sorted_text(manager, "name").unique_key())
                    .col(columns::text("search_name"))
                    .col(columns::number("created_at"))
                    .col(columns::number_or_none("last_seen_at"))
                    .to_owned(),
            )
            .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .drop_table(Table::drop().table("endpoint").to_owned())
            .await
    }
}
