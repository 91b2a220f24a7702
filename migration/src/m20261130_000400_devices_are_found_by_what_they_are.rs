//! The list of devices is searched and sorted by what devices say of themselves (object 3: manufacturer,
//! model number, firmware version), which would otherwise be two look-ups in large tables for each of them.
//! The writer keeps these copies of the latest values; here they are filled for the devices that are there.
//!
//! `late_at` is when a device whose rhythm is known counts as late, written with what was learnt of it; those
//! of before have none until they wake, and are judged by their lifetime.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

use crate::columns;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

/// What is added.
const COLUMNS: [&str; 4] = [
    "manufacturer",
    "model_number",
    "firmware_version",
    "late_at",
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for name in COLUMNS {
            let mut column = match name {
                "late_at" => columns::number_or_none(name),
                _ => columns::text_or_none(name),
            };
            let sorted = name == "firmware_version";
            if sorted && manager.get_database_backend() == DbBackend::Postgres {
                column.extra(r#"COLLATE "C""#);
            }
            manager
                .alter_table(
                    Table::alter()
                        .table("endpoint")
                        .add_column(column)
                        .to_owned(),
                )
                .await?;
        }
        for (column, path) in [
            ("manufacturer", "/3/0/0"),
            ("model_number", "/3/0/1"),
            ("firmware_version", "/3/0/3"),
        ] {
            let sql = format!(
                "UPDATE endpoint SET {column} = (SELECT substr(value_text, 1, 255) FROM resource \
                WHERE id = (SELECT resource_row FROM latest_resource \
                WHERE latest_resource.endpoint_id = endpoint.id AND path = '{path}'))"
            );
            manager.get_connection().execute_unprepared(&sql).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for name in COLUMNS {
            manager
                .alter_table(
                    Table::alter()
                        .table("endpoint")
                        .drop_column(name)
                        .to_owned(),
                )
                .await?;
        }
        Ok(())
    }
}
