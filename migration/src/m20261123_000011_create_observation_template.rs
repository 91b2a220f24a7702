//! What is read and observed when a device registers, and a first set: device information once, then
//! temperature, humidity and the state and result of firmware updates (what the first flownexus
//! observed), and its composite object 10300. A later removal by an administrator stays: migrations
//! run once.

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
                    .table("observation_template")
                    .col(columns::number("id").primary_key())
                    .col(columns::text("paths"))
                    .col(columns::text("kind"))
                    .to_owned(),
            )
            .await?;
        let mut seed = Query::insert();
        seed.into_table("observation_template")
            .columns(["id", "paths", "kind"]);
        for (id, (paths, kind)) in (1_i64..).zip(TEMPLATES) {
            seed.values_panic([id.into(), (*paths).into(), (*kind).into()]);
        }
        manager.execute(seed).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .drop_table(Table::drop().table("observation_template").to_owned())
            .await
    }
}

/// Paths as a JSON array, and the kind of operation.
const TEMPLATES: &[(&str, &str)] = &[
    (r#"["/3"]"#, "read"),
    (r#"["/3303/0/5700"]"#, "observe"),
    (r#"["/3304/0/5700"]"#, "observe"),
    (r#"["/5/0/3"]"#, "observe"),
    (r#"["/5/0/5"]"#, "observe"),
    (r#"["/10300"]"#, "observe_composite"),
];
