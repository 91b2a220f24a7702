//! The page of operations shows those of one kind, newest first. Some kinds are rare, and without an
//! index the whole table would be read to find a page of them.

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
            .create_index(columns::index(
                "endpoint_operation_kind",
                "endpoint_operation",
                &["operation_type", "id"],
                false,
            ))
            .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .drop_index(
                Index::drop()
                    .name("endpoint_operation_kind")
                    .table("endpoint_operation")
                    .to_owned(),
            )
            .await
    }
}
