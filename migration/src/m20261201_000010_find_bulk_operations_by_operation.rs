//! An operation that many were asked for outlives its age as long as what was asked counts it: whoever removes old
//! operations finds by this index whether something does.

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
        let index = columns::index("bulk_item_operation", "bulk_item", &["operation_id"], false);
        manager.create_index(index).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .drop_index(
                Index::drop()
                    .name("bulk_item_operation")
                    .table("bulk_item")
                    .to_owned(),
            )
            .await
    }
}
