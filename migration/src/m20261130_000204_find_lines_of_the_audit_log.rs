//! The audit log is searched by who, what and when, page by page: each index has the row last, as pages go by it.

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
        for (name, column) in INDEXES {
            manager
                .create_index(columns::index(name, "audit_log", &[column, "id"], false))
                .await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for (name, _) in INDEXES {
            manager
                .drop_index(Index::drop().name(name).table("audit_log").to_owned())
                .await?;
        }
        Ok(())
    }
}

const INDEXES: [(&str, &str); 3] = [
    ("audit_log_actor", "actor"),
    ("audit_log_action", "action"),
    ("audit_log_at", "at"),
];
