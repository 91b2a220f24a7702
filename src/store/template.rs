//! Observation templates.

use async_trait::async_trait;
use flownexus_entity::observation_template;
use sea_orm::{ActiveValue::Set, EntityTrait as _, QueryOrder as _};

use super::records::{corrupt, from_json, to_json};
use super::sequence::next_id;
use super::{ObservationTemplate, Store, StoreError, TemplateStore};
use crate::domain::Selection;

const WHAT: &str = "observation template";

#[async_trait]
impl TemplateStore for Store {
    async fn list(&self) -> Result<Vec<ObservationTemplate>, StoreError> {
        self.read(|database| async move {
            observation_template::Entity::find()
                .order_by_asc(observation_template::Column::Id)
                .all(&database)
                .await?
                .into_iter()
                .map(|row| {
                    Ok(ObservationTemplate {
                        id: row.id,
                        paths: from_json(WHAT, &row.paths)?,
                        kind: row.kind.parse().map_err(|why: String| corrupt(WHAT, why))?,
                        selection: Selection::default(),
                    })
                })
                .collect()
        })
        .await
    }

    async fn add(&self, template: ObservationTemplate) -> Result<ObservationTemplate, StoreError> {
        let paths = to_json(&template.paths)?;
        self.write(move |transaction| {
            Box::pin(async move {
                let id = next_id(transaction, "observation_template").await?;
                observation_template::Entity::insert(observation_template::ActiveModel {
                    id: Set(id),
                    paths: Set(paths),
                    kind: Set(template.kind.name().to_owned()),
                })
                .exec_without_returning(transaction)
                .await?;
                Ok(ObservationTemplate { id, ..template })
            })
        })
        .await
    }

    async fn remove(&self, id: i64) -> Result<bool, StoreError> {
        self.write(move |transaction| {
            Box::pin(async move {
                let result = observation_template::Entity::delete_by_id(id)
                    .exec(transaction)
                    .await?;
                Ok(result.rows_affected > 0)
            })
        })
        .await
    }
}
