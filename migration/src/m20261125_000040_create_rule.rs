//! Rules: what makes events of values, or of their absence. There are few, and they are read as a whole,
//! so all but the name is one JSON text. `revision` tells what is remembered for an earlier form of a
//! rule from what counts.

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
                    .table("rule")
                    .col(columns::number("id").primary_key())
                    .col(columns::sorted_text(manager, "name").unique_key())
                    .col(columns::number("revision"))
                    .col(columns::text("spec"))
                    .to_owned(),
            )
            .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .drop_table(Table::drop().table("rule").to_owned())
            .await
    }
}
