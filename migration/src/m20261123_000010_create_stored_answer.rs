//! One effect per request, restarts included: a copy of a confirmable request gets the answer of the
//! first one. The hash is part of the key, as the same message id with other bytes is a new message.
//! Rows are pruned by their time.

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
                    .table("stored_answer")
                    .col(columns::text("transport"))
                    .col(columns::text("address"))
                    .col(columns::small_number("message_id"))
                    .col(columns::number("hash"))
                    .col(columns::bytes("answer"))
                    .col(columns::number("expires_at"))
                    .primary_key(
                        Index::create()
                            .col("transport")
                            .col("address")
                            .col("message_id")
                            .col("hash"),
                    )
                    .to_owned(),
            )
            .await?;
        manager
            .create_index(columns::index(
                "stored_answer_expiry",
                "stored_answer",
                &["expires_at"],
                false,
            ))
            .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .drop_table(Table::drop().table("stored_answer").to_owned())
            .await
    }
}
