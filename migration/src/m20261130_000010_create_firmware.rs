//! Firmware images. Their bytes are files in the data folder: a row stays small, and a file is read in
//! parts by many at once. Version and name are unique, as devices and people mean an image by either.

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
                    .table("firmware")
                    .col(columns::number("id").primary_key())
                    .col(columns::text("version"))
                    .col(columns::text("name"))
                    .col(columns::text("key"))
                    .col(columns::text("sha256"))
                    .col(columns::number("size"))
                    .col(columns::text("notes"))
                    .col(columns::text("selection"))
                    .col(columns::number("created_at"))
                    .col(columns::text("created_by"))
                    .to_owned(),
            )
            .await?;
        for (name, column) in [
            ("firmware_version", "version"),
            ("firmware_name", "name"),
            ("firmware_key", "key"),
        ] {
            manager
                .create_index(columns::index(name, "firmware", &[column], true))
                .await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .drop_table(Table::drop().table("firmware").to_owned())
            .await
    }
}
