//! Tokens of programs, found by the hash of the token; the token itself is not stored.

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
                    .table("api_token")
                    .col(columns::number("id").primary_key())
                    .col(columns::sorted_text(manager, "name").unique_key())
                    .col(columns::text("role"))
                    .col(columns::bytes("hash").unique_key())
                    .col(columns::number("created_at"))
                    .col(columns::number_or_none("expires_at"))
                    .col(columns::number_or_none("last_used_at"))
                    .to_owned(),
            )
            .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .drop_table(Table::drop().table("api_token").to_owned())
            .await
    }
}
