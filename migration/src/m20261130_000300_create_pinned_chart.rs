//! Charts that people want to see on the overview. A chart is what its address says, so it is one text;
//! `place` is where it stands among the others.

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
                    .table("pinned_chart")
                    .col(columns::number("id").primary_key())
                    .col(columns::text("title"))
                    .col(columns::text("view"))
                    .col(columns::small_number("place"))
                    .col(columns::text("created_by"))
                    .col(columns::number("created_at"))
                    .to_owned(),
            )
            .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .drop_table(Table::drop().table("pinned_chart").to_owned())
            .await
    }
}
