//! People see their sessions: when and from where each was begun, and with which browser. Of those that are there already
//! nobody knows.

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
        let columns = [
            columns::number_or_none("began_at"),
            columns::number_or_none("used_at"),
            columns::text("remote").default("").take(),
            columns::text("agent").default("").take(),
        ];
        for mut column in columns {
            // One at a time: SQLite alters a table by one column.
            let table = Table::alter()
                .table("session")
                .add_column(&mut column)
                .to_owned();
            manager.alter_table(table).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for column in ["agent", "remote", "used_at", "began_at"] {
            let table = Table::alter()
                .table("session")
                .drop_column(column)
                .to_owned();
            manager.alter_table(table).await?;
        }
        Ok(())
    }
}
