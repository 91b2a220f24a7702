//! Which values are logs.

use async_trait::async_trait;
use flownexus_entity::log_resource;
use sea_orm::{ActiveValue::Set, EntityTrait as _, QueryOrder as _};

use super::audit;
use super::records::{corrupt, from_json, to_json};
use super::sequence::next_id;
use super::{LogResourceStore, Store, StoreError};
use crate::domain::{Doer, LogResource};

const WHAT: &str = "log resource";

#[async_trait]
impl LogResourceStore for Store {
    async fn list(&self) -> Result<Vec<LogResource>, StoreError> {
        self.read_tables(|database| async move {
            log_resource::Entity::find()
                .order_by_asc(log_resource::Column::Id)
                .all(&database)
                .await?
                .into_iter()
                .map(|row| {
                    Ok(LogResource {
                        id: row.id,
                        path: row.path.parse().map_err(|why: String| corrupt(WHAT, why))?,
                        selection: from_json(WHAT, &row.selection)?,
                    })
                })
                .collect()
        })
        .await
    }

    async fn add(&self, resource: LogResource, by: Doer) -> Result<LogResource, StoreError> {
        let selection = to_json(&resource.selection)?;
        self.write(move |transaction| {
            Box::pin(async move {
                let id = next_id(transaction, "log_resource").await?;
                log_resource::Entity::insert(log_resource::ActiveModel {
                    id: Set(id),
                    path: Set(resource.path.to_string()),
                    selection: Set(selection),
                })
                .exec_without_returning(transaction)
                .await?;
                let detail = format!("{} for {}", resource.path, resource.selection);
                let line = by.line("log_resource.create", &id.to_string(), detail);
                audit::insert(transaction, line).await?;
                Ok(LogResource { id, ..resource })
            })
        })
        .await
    }

    async fn remove(&self, id: i64, by: Doer) -> Result<bool, StoreError> {
        self.write(move |transaction| {
            Box::pin(async move {
                let result = log_resource::Entity::delete_by_id(id)
                    .exec(transaction)
                    .await?;
                if result.rows_affected == 0 {
                    return Ok(false);
                }
                let line = by.line("log_resource.delete", &id.to_string(), "");
                audit::insert(transaction, line).await?;
                Ok(true)
            })
        })
        .await
    }
}
