//! The overview counts what failed in the last day: by this index it reads those alone.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // Of these alone: with every status in it, it would be taken for lists that have another order.
        manager
            .get_connection()
            .execute_unprepared(
                "CREATE INDEX endpoint_operation_failed ON endpoint_operation (finished_at) \
                WHERE status = 'FAILED'",
            )
            .await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .drop_index(
                Index::drop()
                    .name("endpoint_operation_failed")
                    .table("endpoint_operation")
                    .to_owned(),
            )
            .await
    }
}
