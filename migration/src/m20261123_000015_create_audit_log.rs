//! Who did what, for ever and in order. Nothing refers to it and it refers to nothing, so that it
//! outlives what it tells of.

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
                    .table("audit_log")
                    .col(columns::number("id").primary_key())
                    .col(columns::number("at"))
                    .col(columns::text("actor"))
                    .col(columns::text("remote"))
                    .col(columns::text("action"))
                    .col(columns::text("subject"))
                    .col(columns::text("detail"))
                    .to_owned(),
            )
            .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .drop_table(Table::drop().table("audit_log").to_owned())
            .await
    }
}
