//! Firmware updates of devices. A partial index lets a device have one that is not over and no more, whatever the code
//! above it does; the others serve the pages of a device, of an image and of a rollout. The image may be removed while
//! what became of it stays: no foreign key.

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
                    .table("firmware_update")
                    .col(columns::number("id").primary_key())
                    .col(columns::number("endpoint_id"))
                    .col(columns::number("firmware_id"))
                    .col(columns::number_or_none("rollout_id"))
                    .col(columns::text("version"))
                    .col(columns::text_or_none("method"))
                    .col(columns::text("state"))
                    .col(columns::text("result"))
                    .col(columns::text("detail"))
                    .col(columns::number("created_at"))
                    .col(columns::number_or_none("finished_at"))
                    .foreign_key(&mut columns::belongs_to(
                        "firmware_update",
                        "endpoint_id",
                        "endpoint",
                        ForeignKeyAction::NoAction,
                    ))
                    .to_owned(),
            )
            .await?;
        manager
            .get_connection()
            .execute_unprepared(
                "CREATE UNIQUE INDEX firmware_update_active ON firmware_update (endpoint_id) \
                WHERE result = 'DEFAULT'",
            )
            .await?;
        for (name, column) in [
            ("firmware_update_endpoint", "endpoint_id"),
            ("firmware_update_firmware", "firmware_id"),
            ("firmware_update_rollout", "rollout_id"),
            ("firmware_update_result", "result"),
        ] {
            manager
                .create_index(columns::index(
                    name,
                    "firmware_update",
                    &[column, "id"],
                    false,
                ))
                .await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .drop_table(Table::drop().table("firmware_update").to_owned())
            .await
    }
}
