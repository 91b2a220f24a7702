//! Events that a rule makes say which, how bad it is and what happened. The rule's name is kept as a
//! text, so that an event stays readable when its rule is gone.

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
        // SQLite adds one column at a time.
        for column in COLUMNS {
            manager
                .alter_table(
                    Table::alter()
                        .table("event")
                        .add_column(columns::text_or_none(column))
                        .to_owned(),
                )
                .await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for column in COLUMNS {
            manager
                .alter_table(Table::alter().table("event").drop_column(column).to_owned())
                .await?;
        }
        Ok(())
    }
}

const COLUMNS: [&str; 3] = ["rule", "severity", "message"];
