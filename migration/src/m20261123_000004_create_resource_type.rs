//! The names that the first flownexus gave to 34 resources, under which its API served them. Values
//! of resources without a name are kept all the same: nothing refers to this table.

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
                    .table("resource_type")
                    .col(columns::small_number("object_id"))
                    .col(columns::small_number("resource_id"))
                    .col(columns::text("name").unique_key())
                    .col(columns::text_or_none("value_type"))
                    .primary_key(Index::create().col("object_id").col("resource_id"))
                    .to_owned(),
            )
            .await?;
        let mut seed = Query::insert();
        seed.into_table("resource_type").columns([
            "object_id",
            "resource_id",
            "name",
            "value_type",
        ]);
        for (object, resource, name, value_type) in TYPES {
            seed.values_panic([
                (*object).into(),
                (*resource).into(),
                (*name).into(),
                (*value_type).into(),
            ]);
        }
        manager.execute(seed).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .drop_table(Table::drop().table("resource_type").to_owned())
            .await
    }
}

/// Object, resource, name, type (none: executable).
const TYPES: &[(i32, i32, &str, Option<&str>)] = &[
    (3303, 5700, "temperature", Some("FLOAT")),
    (3304, 5700, "humidity", Some("FLOAT")),
    (3, 0, "manufacturer", Some("STRING")),
    (3, 1, "model_number", Some("STRING")),
    (3, 2, "serial_number", Some("STRING")),
    (3, 3, "firmware_version", Some("STRING")),
    (3, 4, "reboot", None),
    (3, 5, "factory_reset", None),
    (3, 6, "power_source", Some("INTEGER")),
    (3, 7, "power_source_v", Some("INTEGER")),
    (3, 8, "power_source_i", Some("INTEGER")),
    (3, 9, "battery_level", Some("INTEGER")),
    (3, 10, "memory_free", Some("INTEGER")),
    (3, 11, "error_code", Some("INTEGER")),
    (3, 12, "reset_error_code", None),
    (3, 13, "current_time", Some("TIME")),
    (3, 14, "utc_offset", Some("STRING")),
    (3, 15, "timezone", Some("STRING")),
    (3, 16, "binding_mode", Some("STRING")),
    (3, 17, "device_type", Some("STRING")),
    (3, 18, "hardware_version", Some("STRING")),
    (3, 19, "software_version", Some("STRING")),
    (3, 20, "battery_status", Some("INTEGER")),
    (3, 21, "memory_total", Some("INTEGER")),
    (3, 22, "ext_dev_info", Some("OBJLNK")),
    (5, 0, "package", Some("OPAQUE")),
    (5, 1, "package_uri", Some("STRING")),
    (5, 2, "update", None),
    (5, 3, "state", Some("INTEGER")),
    (5, 5, "update_result", Some("INTEGER")),
    (5, 6, "package_version", Some("STRING")),
    (10240, 0, "ep_registered", Some("INTEGER")),
    (10240, 1, "ep_unregistered", Some("INTEGER")),
    (10240, 2, "ep_registration_update", Some("INTEGER")),
];
