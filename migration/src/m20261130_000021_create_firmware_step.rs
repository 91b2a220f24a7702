//! The timelines of firmware updates: they grow with each thing that happens, so they are not part of the update's row.
//! Ids grow with time: one index serves the timeline of an update in its order, another the end of a device.

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
                    .table("firmware_step")
                    .col(columns::number("id").primary_key())
                    .col(columns::number("endpoint_id"))
                    .col(columns::number("update_id"))
                    .col(columns::text("phase"))
                    .col(columns::text("text"))
                    .col(columns::number("at"))
                    .foreign_key(&mut columns::belongs_to(
                        "firmware_step",
                        "update_id",
                        "firmware_update",
                        ForeignKeyAction::NoAction,
                    ))
                    .to_owned(),
            )
            .await?;
        for (name, columns) in [
            ("firmware_step_update", ["update_id", "id"]),
            ("firmware_step_endpoint", ["endpoint_id", "id"]),
        ] {
            manager
                .create_index(columns::index(name, "firmware_step", &columns, false))
                .await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .drop_table(Table::drop().table("firmware_step").to_owned())
            .await
    }
}
