//! Sessions live on the server, so that they can be ended there. Found by the hash of their key (the
//! key itself is not stored), ended by person or by time.

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
                    .table("session")
                    .col(columns::bytes("key_hash").primary_key())
                    .col(columns::text("state"))
                    .col(columns::text_or_none("user_name"))
                    .col(columns::number("expires_at"))
                    .to_owned(),
            )
            .await?;
        manager
            .create_index(columns::index(
                "session_user",
                "session",
                &["user_name"],
                false,
            ))
            .await?;
        manager
            .create_index(columns::index(
                "session_expiry",
                "session",
                &["expires_at"],
                false,
            ))
            .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .drop_table(Table::drop().table("session").to_owned())
            .await
    }
}
