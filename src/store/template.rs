//! Observation templates.

use async_trait::async_trait;
use flownexus_entity::observation_template;
use sea_orm::{ActiveModelTrait as _, ActiveValue::Set, EntityTrait as _, QueryOrder as _};

use super::audit;
use super::records::{corrupt, format, from_json, to_json};
use super::sequence::next_id;
use super::{ObservationTemplate, Store, StoreError, TemplateStore};
use crate::domain::Doer;

const WHAT: &str = "observation template";

#[async_trait]
impl TemplateStore for Store {
    async fn list(&self) -> Result<Vec<ObservationTemplate>, StoreError> {
        self.read_tables(|database| async move {
            observation_template::Entity::find()
                .order_by_asc(observation_template::Column::Id)
                .all(&database)
                .await?
                .into_iter()
                .map(template)
                .collect()
        })
        .await
    }

    async fn add(
        &self,
        template: ObservationTemplate,
        by: Doer,
    ) -> Result<ObservationTemplate, StoreError> {
        let mut row = row(&template)?;
        self.write(move |transaction| {
            Box::pin(async move {
                let id = next_id(transaction, "observation_template").await?;
                row.id = Set(id);
                row.revision = Set(0);
                observation_template::Entity::insert(row)
                    .exec_without_returning(transaction)
                    .await?;
                let line = by.line("template.create", &id.to_string(), template.describe());
                audit::insert(transaction, line).await?;
                Ok(ObservationTemplate {
                    id,
                    revision: 0,
                    ..template
                })
            })
        })
        .await
    }

    async fn update(
        &self,
        template: ObservationTemplate,
        by: Doer,
    ) -> Result<Option<ObservationTemplate>, StoreError> {
        let mut row = row(&template)?;
        let id = template.id;
        self.write(move |transaction| {
            Box::pin(async move {
                let Some(before) = observation_template::Entity::find_by_id(id)
                    .one(transaction)
                    .await?
                else {
                    return Ok(None);
                };
                let revision = before.revision.saturating_add(1);
                row.id = Set(id);
                row.revision = Set(revision);
                row.update(transaction).await?;
                let line = by.line("template.update", &id.to_string(), template.describe());
                audit::insert(transaction, line).await?;
                Ok(Some(ObservationTemplate {
                    revision,
                    ..template
                }))
            })
        })
        .await
    }

    async fn remove(&self, id: i64, by: Doer) -> Result<bool, StoreError> {
        self.write(move |transaction| {
            Box::pin(async move {
                let result = observation_template::Entity::delete_by_id(id)
                    .exec(transaction)
                    .await?;
                if result.rows_affected == 0 {
                    return Ok(false);
                }
                let line = by.line("template.delete", &id.to_string(), "");
                audit::insert(transaction, line).await?;
                Ok(true)
            })
        })
        .await
    }
}

fn template(row: observation_template::Model) -> Result<ObservationTemplate, StoreError> {
    Ok(ObservationTemplate {
        id: row.id,
        paths: from_json(WHAT, &row.paths)?,
        kind: row.kind.parse().map_err(|why: String| corrupt(WHAT, why))?,
        selection: from_json(WHAT, &row.selection)?,
        attributes: from_json(WHAT, &row.attributes)?,
        format: format(WHAT, row.format.as_deref())?,
        enabled: row.enabled,
        revision: row.revision,
    })
}

/// The columns but for the row's id and its revision.
fn row(template: &ObservationTemplate) -> Result<observation_template::ActiveModel, StoreError> {
    Ok(observation_template::ActiveModel {
        paths: Set(to_json(&template.paths)?),
        kind: Set(template.kind.name().to_owned()),
        selection: Set(to_json(&template.selection)?),
        attributes: Set(to_json(&template.attributes)?),
        format: Set(template.format.map(|format| format.name().to_owned())),
        enabled: Set(template.enabled),
        ..Default::default()
    })
}
