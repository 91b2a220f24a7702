//! People look for what rules found, which are few among all events: by the rule, and by how bad it is.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let database = manager.get_connection();
        for sql in [
            "CREATE INDEX event_rule ON event (rule, id) WHERE rule IS NOT NULL",
            "CREATE INDEX event_severity ON event (id) WHERE severity IS NOT NULL",
        ] {
            database.execute_unprepared(sql).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for name in ["event_rule", "event_severity"] {
            let index = Index::drop().name(name).table("event").to_owned();
            manager.drop_index(index).await?;
        }
        Ok(())
    }
}
