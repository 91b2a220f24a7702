//! What is wanted to be observed outlives the observation and the registration: a device that
//! registers again is asked again, by whomever it was wanted.
//!
//! Observations that are there already stay wanted: those that look like a template's are the
//! template's, the others are taken for somebody's.

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
                    .table("wanted_observation")
                    .col(columns::number("id").primary_key())
                    .col(columns::number("endpoint_id"))
                    .col(columns::text("paths"))
                    .col(columns::flag("composite"))
                    .col(columns::number_or_none("template_id"))
                    .col(columns::number_or_none("template_revision"))
                    .col(columns::text_or_none("user_name"))
                    .col(columns::text_or_none("cancelled_by"))
                    .col(columns::text("attributes"))
                    .col(columns::text("withdrawn"))
                    .col(columns::flag("attributes_asked"))
                    .col(columns::text_or_none("attributes_error"))
                    .col(columns::text_or_none("format"))
                    .col(columns::text("state"))
                    .col(columns::text_or_none("reason"))
                    .col(columns::number("since"))
                    .col(columns::number_or_none("retry_at"))
                    .col(columns::number("losses"))
                    .foreign_key(&mut columns::belongs_to(
                        "wanted_observation",
                        "endpoint_id",
                        "endpoint",
                        ForeignKeyAction::NoAction,
                    ))
                    .to_owned(),
            )
            .await?;
        manager
            .create_index(columns::index(
                "wanted_observation_endpoint",
                "wanted_observation",
                &["endpoint_id"],
                false,
            ))
            .await?;
        manager
            .alter_table(
                Table::alter()
                    .table("observation")
                    .add_column(columns::number("notifications").default(0).take())
                    .to_owned(),
            )
            .await?;
        manager
            .get_connection()
            .execute_unprepared(ADOPT_OBSERVATIONS)
            .await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .alter_table(
                Table::alter()
                    .table("observation")
                    .drop_column("notifications")
                    .to_owned(),
            )
            .await?;
        manager
            .drop_table(Table::drop().table("wanted_observation").to_owned())
            .await
    }
}

/// An observation's row lends its number: the table is empty, and numbers go on behind the largest.
const ADOPT_OBSERVATIONS: &str = "INSERT INTO wanted_observation (id, endpoint_id, paths, \
    composite, user_name, attributes, withdrawn, attributes_asked, state, since, losses) \
    SELECT id, endpoint_id, paths, composite, 'somebody', '[]', '[]', FALSE, state, created_at, 0 \
    FROM observation WHERE paths NOT IN (SELECT paths FROM observation_template)";
