//! The latest value of every path of a device is what each page of a device shows, and what grows
//! is only the history: with 100 million rows in `resource` an index alone would have to skip over
//! the whole history of the device, path by path (SQLite has no skip scan to rely on). This table
//! points at the row of each path instead. It is written in the transaction of the value and has as
//! many rows as there are paths, so that reading a device costs one short range of this table and
//! one look-up by key for each path, however long the history is.
//!
//! It holds no copy of the value, so the two cannot disagree; and no foreign key to `resource`,
//! which would need an index of its own there. `at` is the earlier of measurement and arrival: an
//! older value that comes late does not take the place, and a clock that once ran ahead does not
//! keep it for ever.

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
            .table("latest_resource")
            .col(columns::number("endpoint_id"))
            .col(columns::sorted_text(manager, "path"))
            .col(columns::number("resource_row"))
            .col(columns::number("at"))
            .primary_key(Index::create().col("endpoint_id").col("path"))
            .foreign_key(&mut columns::belongs_to(
                "latest_resource",
                "endpoint_id",
                "endpoint",
                ForeignKeyAction::NoAction,
            ));
        if manager.get_database_backend() == sea_orm::DbBackend::Sqlite {
            // One tree instead of two: the row lies in its key.
            table.extra("WITHOUT ROWID");
        }
        manager.create_table(table).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .drop_table(Table::drop().table("latest_resource").to_owned())
            .await
    }
}
