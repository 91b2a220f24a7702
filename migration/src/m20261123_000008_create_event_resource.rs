//! Which values belong to which event. An event takes its rows with it; there is no foreign key to
//! `resource`, which would need a second index: whoever deletes values deletes their events first.

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
        let mut table = Table::create();
        table
            .table("event_resource")
            .col(columns::number("event_id"))
            .col(columns::number("resource_row"))
            .primary_key(Index::create().col("event_id").col("resource_row"))
            .foreign_key(&mut columns::belongs_to(
                "event_resource",
                "event_id",
                "event",
                ForeignKeyAction::Cascade,
            ));
        if manager.get_database_backend() == sea_orm::DbBackend::Sqlite {
            // One tree instead of two: the row is its key.
            table.extra("WITHOUT ROWID");
        }
        manager.create_table(table).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .drop_table(Table::drop().table("event_resource").to_owned())
            .await
    }
}
