//! What was learnt of a device: its rhythm, its awake window. It belongs to the device and not to
//! its registration, which is replaced whenever the device registers again.

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
                    .table("endpoint")
                    .add_column(columns::text_or_none("learned"))
                    .to_owned(),
            )
            .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .alter_table(
                Table::alter()
                    .table("endpoint")
                    .drop_column("learned")
                    .to_owned(),
            )
            .await
    }
}
