//! People may be disabled, and some come from an OpenID Connect provider: these are known by their subject there, which
//! belongs to one account. Everybody of before is local and may log in.

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
            columns::flag("disabled").default(false).take(),
            columns::text_or_none("subject"),
        ];
        for mut column in columns {
            // One at a time: SQLite alters a table by one column.
            let table = Table::alter()
                .table("user")
                .add_column(&mut column)
                .to_owned();
            manager.alter_table(table).await?;
        }
        manager
            .create_index(columns::index("user_subject", "user", &["subject"], true))
            .await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .drop_index(Index::drop().name("user_subject").table("user").to_owned())
            .await?;
        for column in ["subject", "disabled"] {
            let table = Table::alter().table("user").drop_column(column).to_owned();
            manager.alter_table(table).await?;
        }
        Ok(())
    }
}
