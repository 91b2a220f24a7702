//! A value that an event refers to outlives its retention: whoever removes values asks whether some
//! event does. Events are few beside values, so the index costs little.

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
        let index = columns::index(
            "event_resource_row",
            "event_resource",
            &["resource_row"],
            false,
        );
        manager.create_index(index).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .drop_index(Index::drop().name("event_resource_row").to_owned())
            .await
    }
}
