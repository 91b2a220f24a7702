//! The devices of rollouts, and how a rollout stands with each. Pages go by the device, of all, of a group or of a
//! status: the key and one index each. What became of a device that was forgotten stays: there is no foreign key to
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
        let mut table = Table::create();
        table
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
            ));
        if manager.get_database_backend() == sea_orm::DbBackend::Sqlite {
            // One tree instead of two: the row lies in its key.
            table.extra("WITHOUT ROWID");
        }
        manager.create_table(table).await?;
        for (name, column) in [
            ("rollout_target_status", "status"),
            ("rollout_target_group", "group_index"),
        ] {
            manager
                .create_index(columns::index(
                    name,
                    "rollout_target",
                    &["rollout_id", column, "endpoint_id"],
                    false,
                ))
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
