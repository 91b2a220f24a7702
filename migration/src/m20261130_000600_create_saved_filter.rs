//! Filters of the list of devices that people save under a name. A list is what its address says, so it is one text. The
//! owner is a name and not a row: tokens save filters too, and a shared one outlives who has saved it.

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
                    .table("saved_filter")
                    .col(columns::number("id").primary_key())
                    .col(columns::text("owner"))
                    .col(columns::sorted_text(manager, "name"))
                    .col(columns::text("view"))
                    .col(columns::flag("shared"))
                    .col(columns::number("saved_at"))
                    .to_owned(),
            )
            .await?;
        let index = columns::index(
            "saved_filter_owner_name",
            "saved_filter",
            &["owner", "name"],
            true,
        );
        manager.create_index(index).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .drop_table(Table::drop().table("saved_filter").to_owned())
            .await
    }
}
