//! Templates are for chosen devices, set notification attributes, ask for a format, and can be
//! switched off. The revision tells a device's actor that a template is not what it was.

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
        // SQLite takes one column in each statement.
        for column in [
            columns::text("attributes").default("[]").take(),
            columns::text("selection").default("{}").take(),
            columns::text_or_none("format"),
            columns::flag("enabled").default(true).take(),
            columns::number("revision").default(0).take(),
        ] {
            manager
                .alter_table(
                    Table::alter()
                        .table("observation_template")
                        .add_column(column)
                        .to_owned(),
                )
                .await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for column in ["revision", "enabled", "format", "selection", "attributes"] {
            manager
                .alter_table(
                    Table::alter()
                        .table("observation_template")
                        .drop_column(column)
                        .to_owned(),
                )
                .await?;
        }
        Ok(())
    }
}
