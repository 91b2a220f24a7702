//! What people say of a device: its tags, by which templates choose it, its awake window and its
//! eDRX cycle. And how often it should tell of its paths, as far as that is known, so that silence
//! is noticed after a restart too.

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
            columns::text("tags").default("[]").take(),
            columns::number_or_none("awake_s"),
            columns::number_or_none("edrx_cycle_s"),
            columns::text("periods").default("[]").take(),
        ] {
            manager
                .alter_table(
                    Table::alter()
                        .table("endpoint")
                        .add_column(column)
                        .to_owned(),
                )
                .await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for column in ["periods", "edrx_cycle_s", "awake_s", "tags"] {
            manager
                .alter_table(
                    Table::alter()
                        .table("endpoint")
                        .drop_column(column)
                        .to_owned(),
                )
                .await?;
        }
        Ok(())
    }
}
