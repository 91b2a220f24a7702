//! A notification for a token that was given out before a restart is accepted after it. A token
//! belongs to one observation of a device.

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
                    .table("observation")
                    .col(columns::number("id").primary_key())
                    .col(columns::number("endpoint_id"))
                    .col(columns::bytes("token"))
                    .col(columns::text("paths"))
                    .col(columns::flag("composite"))
                    .col(columns::small_number_or_none("format"))
                    .col(columns::text("state"))
                    .col(columns::number_or_none("last_sequence"))
                    .col(columns::small_number_or_none("last_message_id"))
                    .col(columns::number_or_none("last_hash"))
                    .col(columns::number_or_none("notified_at"))
                    .col(columns::bytes_or_none("staged"))
                    .col(columns::number("created_at"))
                    .foreign_key(&mut columns::belongs_to(
                        "observation",
                        "endpoint_id",
                        "endpoint",
                        ForeignKeyAction::NoAction,
                    ))
                    .to_owned(),
            )
            .await?;
        manager
            .create_index(columns::index(
                "observation_endpoint_token",
                "observation",
                &["endpoint_id", "token"],
                true,
            ))
            .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .drop_table(Table::drop().table("observation").to_owned())
            .await
    }
}
