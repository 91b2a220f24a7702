//! Firmware updates say whether they give a device back what it ran before. A partial index lets a device have one
//! update of a rollout in each direction and no more, whatever the code above it does.

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
            .alter_table(
                Table::alter()
                    .table("firmware_update")
                    // Nothing was given back before.
                    .add_column(columns::flag("is_roll_back").default(false))
                    .to_owned(),
            )
            .await?;
        manager
            .get_connection()
            .execute_unprepared(
                "CREATE UNIQUE INDEX firmware_update_once ON firmware_update \
                (rollout_id, endpoint_id, is_roll_back) WHERE rollout_id IS NOT NULL",
            )
            .await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .drop_index(
                Index::drop()
                    .name("firmware_update_once")
                    .table("firmware_update")
                    .to_owned(),
            )
            .await?;
        manager
            .alter_table(
                Table::alter()
                    .table("firmware_update")
                    .drop_column("is_roll_back")
                    .to_owned(),
            )
            .await
    }
}
