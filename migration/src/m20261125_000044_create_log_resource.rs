//! Which values are logs: their texts become lines of `device_log`. At first the log data of object 20
//! (Event Log), whole and incremental. A later removal by an operator stays: migrations run once.

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
                    .table("log_resource")
                    .col(columns::number("id").primary_key())
                    .col(columns::text("path"))
                    .col(columns::text("selection"))
                    .to_owned(),
            )
            .await?;
        let mut seed = Query::insert();
        seed.into_table("log_resource")
            .columns(["id", "path", "selection"]);
        for (id, path) in (1_i64..).zip(LOGS) {
            seed.values_panic([id.into(), path.into(), "{}".into()]);
        }
        manager.execute(seed).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .drop_table(Table::drop().table("log_resource").to_owned())
            .await
    }
}

/// `LogData` and `LogDataIncremental`.
const LOGS: [&str; 2] = ["/20/*/4014", "/20/*/4016"];
