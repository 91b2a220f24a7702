//! Lines of devices' logs, read out of log data when it arrives. Ids grow with the order of arrival,
//! so one index serves the newest lines of a device, whatever is looked for in them, and the oldest
//! rows of all are the first ones of the table. `search_text` is kept only where a line has capital
//! letters: neither database knows all letters when it compares without case.

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
                    .table("device_log")
                    .col(columns::number("id").primary_key())
                    .col(columns::number("endpoint_id"))
                    .col(columns::text("path"))
                    .col(columns::small_number_or_none("level"))
                    .col(columns::text("text"))
                    .col(columns::text_or_none("search_text"))
                    .col(columns::number("time"))
                    .col(columns::number("received_at"))
                    .foreign_key(&mut columns::belongs_to(
                        "device_log",
                        "endpoint_id",
                        "endpoint",
                        ForeignKeyAction::NoAction,
                    ))
                    .to_owned(),
            )
            .await?;
        manager
            .create_index(columns::index(
                "device_log_endpoint",
                "device_log",
                &["endpoint_id", "id"],
                false,
            ))
            .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .drop_table(Table::drop().table("device_log").to_owned())
            .await
    }
}
