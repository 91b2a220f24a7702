//! Keys that came with what was asked of devices (`Idempotency-Key`), so that asking once more finds the operation
//! that there is and makes no other: written in the commit of that operation.

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
                    .table("idempotency_key")
                    .col(columns::number("endpoint_id"))
                    .col(columns::bytes("key_hash"))
                    .col(columns::bytes("request_hash"))
                    .col(columns::number("operation_id"))
                    .col(columns::number("expires_at"))
                    .primary_key(Index::create().col("endpoint_id").col("key_hash"))
                    .foreign_key(&mut columns::belongs_to(
                        "idempotency_key",
                        "endpoint_id",
                        "endpoint",
                        ForeignKeyAction::NoAction,
                    ))
                    .to_owned(),
            )
            .await?;
        manager
            .create_index(columns::index(
                "idempotency_key_expiry",
                "idempotency_key",
                &["expires_at"],
                false,
            ))
            .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .drop_table(Table::drop().table("idempotency_key").to_owned())
            .await
    }
}
