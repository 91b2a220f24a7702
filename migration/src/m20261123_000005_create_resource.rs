//! Every value ever received. A column for each kind of value, so that a chart is drawn by the
//! database and no number becomes a text; `measured_at` is always set, so that one index serves the
//! history of a path whether or not the device sends times.
//!
//! The indices serve: one path over time (also everything of one device, for its removal), and the
//! newest values of one resource over all devices (rows are numbered in the order of arrival). The
//! second is on an expression on purpose: as an index on `object_id` and `resource_id` PostgreSQL
//! takes it for the history of one path while it has no statistics yet, and reads the values of
//! all devices (measured). There is deliberately no more: each index costs a write for each value.

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
                    .table("resource")
                    .col(columns::number("id").primary_key())
                    .col(columns::number("endpoint_id"))
                    .col(columns::small_number("object_id"))
                    .col(columns::small_number("object_instance_id"))
                    .col(columns::small_number("resource_id"))
                    .col(columns::small_number_or_none("resource_instance_id"))
                    .col(columns::text("value_type"))
                    .col(columns::number_or_none("value_integer"))
                    .col(columns::float_or_none("value_float"))
                    .col(columns::text_or_none("value_text"))
                    .col(columns::flag_or_none("value_boolean"))
                    .col(columns::number_or_none("value_time"))
                    .col(columns::bytes_or_none("value_opaque"))
                    .col(columns::text_or_none("value_objlnk"))
                    .col(columns::number("measured_at"))
                    .col(columns::flag("measured_by_device"))
                    .col(columns::number("received_at"))
                    .foreign_key(&mut columns::belongs_to(
                        "resource",
                        "endpoint_id",
                        "endpoint",
                        ForeignKeyAction::NoAction,
                    ))
                    .to_owned(),
            )
            .await?;
        manager
            .create_index(columns::index(
                "resource_path_time",
                "resource",
                &[
                    "endpoint_id",
                    "object_id",
                    "object_instance_id",
                    "resource_id",
                    "resource_instance_id",
                    "measured_at",
                ],
                false,
            ))
            .await?;
        manager
            .get_connection()
            .execute_unprepared(
                "CREATE INDEX resource_type_arrival ON resource \
                ((CAST(object_id AS BIGINT) * 65536 + resource_id), id)",
            )
            .await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .drop_table(Table::drop().table("resource").to_owned())
            .await
    }
}
