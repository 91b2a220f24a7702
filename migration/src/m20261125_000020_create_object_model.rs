//! Object models that people uploaded, as the XML that they uploaded: they add to the built-in ones
//! and take the place of those with the same id and version.

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
                    .table("object_model")
                    .col(columns::number("id").primary_key())
                    .col(columns::small_number("object_id"))
                    .col(columns::text("version"))
                    .col(columns::text("name"))
                    .col(columns::text("source"))
                    .col(columns::number("created_at"))
                    .col(columns::text("created_by"))
                    .to_owned(),
            )
            .await?;
        manager
            .create_index(columns::index(
                "object_model_object_version",
                "object_model",
                &["object_id", "version"],
                true,
            ))
            .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .drop_table(Table::drop().table("object_model").to_owned())
            .await
    }
}
