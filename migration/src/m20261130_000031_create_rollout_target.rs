//! The devices of rollouts, and how a rollout stands with each. Pages go by the device, of all, of a group, of a
//! status or of both: the key and an index each. (Not without a row id on SQLite: it would take the key for each of
//! them, and read all devices to find the few that wait.) What became of a device that was forgotten stays: there is no foreign key to
//! `endpoint`, and its name stands here.

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
                    .table("rollout_target")
                    .col(columns::number("rollout_id"))
                    .col(columns::number("endpoint_id"))
                    .col(columns::text("endpoint"))
                    .col(columns::small_number("group_index"))
                    .col(columns::text("status"))
                    .col(columns::text("detail"))
                    .col(columns::number("changed_at"))
                    .primary_key(Index::create().col("rollout_id").col("endpoint_id"))
                    .foreign_key(&mut columns::belongs_to(
                        "rollout_target",
                        "rollout_id",
                        "rollout",
                        ForeignKeyAction::NoAction,
                    ))
                    .to_owned(),
            )
            .await?;
        for (name, by) in [
            ("rollout_target_group", &["group_index"][..]),
            ("rollout_target_status", &["status"]),
            ("rollout_target_group_status", &["group_index", "status"]),
        ] {
            let columns = [&["rollout_id"], by, &["endpoint_id"]].concat();
            manager
                .create_index(columns::index(name, "rollout_target", &columns, false))
                .await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .drop_table(Table::drop().table("rollout_target").to_owned())
            .await
    }
}
