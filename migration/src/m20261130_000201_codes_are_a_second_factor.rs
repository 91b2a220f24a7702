//! A login may need a one-time code beside the password (RFC 6238). The secret is sealed; the last step that was used is
//! kept, so that no code works twice. Recovery codes are stored as hashes.

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
        let columns = [
            columns::bytes_or_none("totp_secret"),
            columns::flag("totp_confirmed").default(false).take(),
            columns::number("totp_step").default(0).take(),
        ];
        for mut column in columns {
            // One at a time: SQLite alters a table by one column.
            let table = Table::alter()
                .table("user")
                .add_column(&mut column)
                .to_owned();
            manager.alter_table(table).await?;
        }
        manager
            .create_table(
                Table::create()
                    .table("recovery_code")
                    .col(columns::bytes("hash").primary_key())
                    .col(columns::number("user_id"))
                    .foreign_key(&mut columns::belongs_to(
                        "recovery_code",
                        "user_id",
                        "user",
                        ForeignKeyAction::Cascade,
                    ))
                    .to_owned(),
            )
            .await?;
        manager
            .create_index(columns::index(
                "recovery_code_user",
                "recovery_code",
                &["user_id"],
                false,
            ))
            .await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .drop_table(Table::drop().table("recovery_code").to_owned())
            .await?;
        for column in ["totp_step", "totp_confirmed", "totp_secret"] {
            let table = Table::alter().table("user").drop_column(column).to_owned();
            manager.alter_table(table).await?;
        }
        Ok(())
    }
}
