//! Events group values that belong together. They are listed newest first, of all devices or one,
//! of all types or one; ids grow with time, so they are also the place in the list. `event_time`
//! serves what is bound by time, such as deleting old ones.

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
                    .table("event")
                    .col(columns::number("id").primary_key())
                    .col(columns::number("endpoint_id"))
                    .col(columns::text("event_type"))
                    .col(columns::number("time"))
                    .foreign_key(&mut columns::belongs_to(
                        "event",
                        "endpoint_id",
                        "endpoint",
                        ForeignKeyAction::NoAction,
                    ))
                    .to_owned(),
            )
            .await?;
        manager
            .create_index(columns::index(
                "event_endpoint",
                "event",
                &["endpoint_id", "id"],
                false,
            ))
            .await?;
        manager
            .create_index(columns::index(
                "event_endpoint_type",
                "event",
                &["endpoint_id", "event_type", "id"],
                false,
            ))
            .await?;
        manager
            .create_index(columns::index(
                "event_type",
                "event",
                &["event_type", "id"],
                false,
            ))
            .await?;
        manager
            .create_index(columns::index("event_time", "event", &["time"], false))
            .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .drop_table(Table::drop().table("event").to_owned())
            .await
    }
}
