//! Rollouts: what is looked for has columns, the whole is in `detail`. The image may be removed while what became of
//! the rollout stays: no foreign key.
//!
//! A rollout can have very many devices, which are written and removed in pieces so that nobody waits for long; only
//! while `is_whole` is true anybody sees it. What a crash leaves of the others is removed at the next start.

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
                    .table("rollout")
                    .col(columns::number("id").primary_key())
                    .col(columns::text("name"))
                    .col(columns::number("firmware_id"))
                    .col(columns::text("state"))
                    .col(columns::flag("is_whole"))
                    .col(columns::text("detail"))
                    .col(columns::number("created_at"))
                    .col(columns::number_or_none("finished_at"))
                    .to_owned(),
            )
            .await?;
        manager
            .create_index(columns::index(
                "rollout_state",
                "rollout",
                &["state", "id"],
                false,
            ))
            .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .drop_table(Table::drop().table("rollout").to_owned())
            .await
    }
}
