//! A device that is registered with an outside gateway has no row in `registration`, for nothing can
//! be sent to it from here. That it is there is a mark on its endpoint. Two moments instead of one
//! flag, as messages of a gateway come in any order: the newest registration and the newest end of
//! one, and whichever is later holds.

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
        for column in [
            columns::number_or_none("gateway_registered_at"),
            columns::number_or_none("gateway_unregistered_at"),
            columns::text_or_none("gateway_warnings"),
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
        for column in [
            "gateway_warnings",
            "gateway_unregistered_at",
            "gateway_registered_at",
        ] {
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
