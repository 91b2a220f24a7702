//! What devices prove themselves with. The endpoint is a name and not a row: a device may be announced
//! before it is first seen, and a credential outlives the data of a device that is forgotten, so that
//! nobody else takes its name.

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
                    .table("credential")
                    .col(columns::number("id").primary_key())
                    .col(columns::sorted_text(manager, "endpoint"))
                    .col(columns::text("kind"))
                    .col(columns::text("label"))
                    .col(columns::text_or_none("psk_identity"))
                    .col(columns::bytes_or_none("sealed_key"))
                    .col(columns::bytes_or_none("public_part"))
                    .col(columns::text_or_none("fingerprint"))
                    .col(columns::text_or_none("serial"))
                    .col(columns::text_or_none("subject"))
                    .col(columns::number_or_none("not_before"))
                    .col(columns::number_or_none("not_after"))
                    .col(columns::text("note"))
                    .col(columns::number("created_at"))
                    .col(columns::text("created_by"))
                    .col(columns::number_or_none("last_used_at"))
                    .to_owned(),
            )
            .await?;
        for (name, columns, unique) in [
            ("credential_endpoint", &["endpoint", "id"][..], false),
            ("credential_psk_identity", &["psk_identity"], true),
            ("credential_fingerprint", &["fingerprint"], true),
        ] {
            manager
                .create_index(columns::index(name, "credential", columns, unique))
                .await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .drop_table(Table::drop().table("credential").to_owned())
            .await
    }
}
