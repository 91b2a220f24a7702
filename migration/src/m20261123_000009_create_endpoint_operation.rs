//! Every device operation is a row, committed before anything is sent. The indices serve the lists
//! (all, of a device, of a status, of both; ids are the order) and the restart, which asks for what
//! is QUEUED or SENDING.

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
                    .table("endpoint_operation")
                    .col(columns::number("id").primary_key())
                    .col(columns::number("endpoint_id"))
                    .col(columns::text("operation_type"))
                    .col(columns::text("request"))
                    .col(columns::text("origin"))
                    .col(columns::text("status"))
                    .col(columns::number("attempts"))
                    .col(columns::number("max_attempts"))
                    .col(columns::text_or_none("result"))
                    .col(columns::text_or_none("error"))
                    .col(columns::bytes_or_none("token"))
                    .col(columns::number("created_at"))
                    .col(columns::number_or_none("last_attempt_at"))
                    .col(columns::number_or_none("finished_at"))
                    .col(columns::number_or_none("expires_at"))
                    .foreign_key(&mut columns::belongs_to(
                        "endpoint_operation",
                        "endpoint_id",
                        "endpoint",
                        ForeignKeyAction::NoAction,
                    ))
                    .to_owned(),
            )
            .await?;
        manager
            .create_index(columns::index(
                "endpoint_operation_endpoint",
                "endpoint_operation",
                &["endpoint_id", "id"],
                false,
            ))
            .await?;
        manager
            .create_index(columns::index(
                "endpoint_operation_endpoint_status",
                "endpoint_operation",
                &["endpoint_id", "status", "id"],
                false,
            ))
            .await?;
        manager
            .create_index(columns::index(
                "endpoint_operation_status",
                "endpoint_operation",
                &["status", "id"],
                false,
            ))
            .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .drop_table(Table::drop().table("endpoint_operation").to_owned())
            .await
    }
}
