//! Serial numbers of certificates that are not trusted any more, whoever shows them: without this list
//! a certificate that our CA signed would be good until it expires.

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
                    .table("revoked_certificate")
                    .col(columns::sorted_text(manager, "serial").primary_key())
                    .col(columns::text("reason"))
                    .col(columns::text_or_none("endpoint"))
                    .col(columns::number("revoked_at"))
                    .col(columns::text("revoked_by"))
                    .to_owned(),
            )
            .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .drop_table(Table::drop().table("revoked_certificate").to_owned())
            .await
    }
}
