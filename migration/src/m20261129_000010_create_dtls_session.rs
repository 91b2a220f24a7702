//! DTLS sessions outlive the server: a sleeping device need not shake hands again, and often cannot
//! afford to. Every record that comes changes a row, so it is small, and nothing but its key is
//! indexed: idle sessions are looked for once, at the start.

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
                    .table("dtls_session")
                    .col(columns::number("id").primary_key())
                    .col(columns::text("address"))
                    .col(columns::flag("is_proven"))
                    .col(columns::number("numbers"))
                    .col(columns::number("highest"))
                    .col(columns::number("seen"))
                    .col(columns::number("heard_at"))
                    .col(columns::bytes("sealed"))
                    .to_owned(),
            )
            .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .drop_table(Table::drop().table("dtls_session").to_owned())
            .await
    }
}
