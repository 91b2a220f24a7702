//! Where each rule stands with each path of each device. Written in the transaction of the value that
//! moved it and of the event that it made, so that a crash neither loses an event nor makes it twice.
//!
//! There is no foreign key to `rule`: a value that arrives while its rule is removed must not fail for
//! that. What is left of rules that are gone is removed in pieces, and at the next start.

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
            .table("rule_state")
            .col(columns::number("rule_id"))
            .col(columns::number("endpoint_id"))
            .col(columns::sorted_text(manager, "path"))
            .col(columns::number("revision"))
            .col(columns::text("phase"))
            .col(columns::number_or_none("newest_at"))
            .col(columns::number_or_none("since"))
            .col(columns::number_or_none("clock_at"))
            .col(columns::number_or_none("event_at"))
            .col(columns::text_or_none("reported"))
            .col(columns::text_or_none("seen"))
            .primary_key(
                Index::create()
                    .col("rule_id")
                    .col("endpoint_id")
                    .col("path"),
            )
            .foreign_key(&mut columns::belongs_to(
                "rule_state",
                "endpoint_id",
                "endpoint",
                ForeignKeyAction::NoAction,
            ));
        if manager.get_database_backend() == sea_orm::DbBackend::Sqlite {
            // One tree instead of two: the row lies in its key.
            table.extra("WITHOUT ROWID");
        }
        manager.create_table(table).await?;
        manager
            .create_index(columns::index(
                "rule_state_endpoint",
                "rule_state",
                &["endpoint_id"],
                false,
            ))
            .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .drop_table(Table::drop().table("rule_state").to_owned())
            .await
    }
}
