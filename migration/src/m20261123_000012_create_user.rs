//! The people who may log in; passwords are PHC strings (Argon2id). No account is made here: the
//! first flownexus set its administrator's password back at every start.

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
                    .table("user")
                    .col(columns::number("id").primary_key())
                    .col(columns::sorted_text(manager, "name").unique_key())
                    .col(columns::text("role"))
                    .col(columns::text("password_hash"))
                    .col(columns::flag("must_change_password"))
                    .col(columns::number("created_at"))
                    .to_owned(),
            )
            .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .drop_table(Table::drop().table("user").to_owned())
            .await
    }
}
