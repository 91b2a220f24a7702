//! Registrations must survive a restart: a device that was registered need not register again. One
//! row a device (the key), found by location when it updates.

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
                    .table("registration")
                    .col(columns::number("endpoint_id").primary_key())
                    .col(columns::text("location").unique_key())
                    .col(columns::text("transport"))
                    .col(columns::text("address"))
                    .col(columns::text("lwm2m_version"))
                    .col(columns::text("binding"))
                    .col(columns::flag("queue_mode"))
                    .col(columns::number("lifetime_ms"))
                    .col(columns::text_or_none("sms_number"))
                    .col(columns::text("root"))
                    .col(columns::text("objects"))
                    .col(columns::text("formats"))
                    .col(columns::text("attributes"))
                    .col(columns::text("warnings"))
                    .col(columns::text("raw_links"))
                    .col(columns::number("registered_at"))
                    .col(columns::number("updated_at"))
                    .col(columns::number("expires_at"))
                    .col(columns::small_number("message_id_mark"))
                    .foreign_key(&mut columns::belongs_to(
                        "registration",
                        "endpoint_id",
                        "endpoint",
                        ForeignKeyAction::NoAction,
                    ))
                    .to_owned(),
            )
            .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .drop_table(Table::drop().table("registration").to_owned())
            .await
    }
}
