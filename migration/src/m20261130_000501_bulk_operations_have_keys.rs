//! The key with which a bulk operation was asked for (`Idempotency-Key`) lies in its row, so that it is there exactly when
//! the bulk operation is. Each counts for one of them.

use sea_orm_migration::prelude::*;

use crate::columns;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

const TABLE: &str = "bulk_operation";
const INDEX: &str = "bulk_operation_key";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let columns = [
            columns::bytes_or_none("key_hash"),
            columns::bytes_or_none("request_hash"),
            columns::number_or_none("key_expires_at"),
        ];
        for mut column in columns {
            // One at a time: SQLite alters a table by one column.
            let table = Table::alter()
                .table(TABLE)
                .add_column(&mut column)
                .to_owned();
            manager.alter_table(table).await?;
        }
        manager
            .create_index(columns::index(INDEX, TABLE, &["key_hash"], true))
            .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .drop_index(Index::drop().name(INDEX).table(TABLE).to_owned())
            .await?;
        for column in ["key_expires_at", "request_hash", "key_hash"] {
            let table = Table::alter().table(TABLE).drop_column(column).to_owned();
            manager.alter_table(table).await?;
        }
        Ok(())
    }
}
