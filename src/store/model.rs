//! Object models that people uploaded.

use async_trait::async_trait;
use flownexus_entity::object_model;
use sea_orm::{
    ActiveValue::Set, ColumnTrait as _, DatabaseTransaction, EntityTrait as _, PaginatorTrait as _,
    QueryFilter as _, QueryOrder as _, QuerySelect as _,
};

use super::audit;
use super::records::{corrupt, text, time};
use super::sequence::next_id;
use super::sql::statement;
use super::{AddedModel, ModelEntry, ModelMark, ModelStore, Store, StoreError, UploadedModel};
use crate::domain::Doer;

const WHAT: &str = "object model";

#[async_trait]
impl ModelStore for Store {
    async fn list(&self) -> Result<Vec<ModelEntry>, StoreError> {
        self.read_tables(|database| async move {
            type Row = (i64, i32, String, String, i64, String);
            let rows: Vec<Row> = object_model::Entity::find()
                .select_only()
                .columns([
                    object_model::Column::Id,
                    object_model::Column::ObjectId,
                    object_model::Column::Version,
                    object_model::Column::Name,
                    object_model::Column::CreatedAt,
                    object_model::Column::CreatedBy,
                ])
                .order_by_asc(object_model::Column::ObjectId)
                .order_by_asc(object_model::Column::Id)
                .into_tuple()
                .all(&database)
                .await?;
            rows.into_iter()
                .map(|(id, object, version, name, created_at, created_by)| {
                    Ok(ModelEntry {
                        id,
                        object_id: object_id(object)?,
                        version,
                        name,
                        created_at: time(created_at),
                        created_by,
                    })
                })
                .collect()
        })
        .await
    }

    async fn newer_than(&self, id: i64, limit: u64) -> Result<Vec<UploadedModel>, StoreError> {
        self.read_tables(move |database| async move {
            object_model::Entity::find()
                .filter(object_model::Column::Id.gt(id))
                .order_by_asc(object_model::Column::Id)
                .limit(limit)
                .all(&database)
                .await?
                .into_iter()
                .map(uploaded)
                .collect()
        })
        .await
    }

    async fn find(
        &self,
        object_id: u16,
        version: &str,
    ) -> Result<Option<UploadedModel>, StoreError> {
        let version = version.to_owned();
        self.read_tables(move |database| async move {
            object_model::Entity::find()
                .filter(object_model::Column::ObjectId.eq(i32::from(object_id)))
                .filter(object_model::Column::Version.eq(version))
                .one(&database)
                .await?
                .map(uploaded)
                .transpose()
        })
        .await
    }

    async fn mark(&self) -> Result<ModelMark, StoreError> {
        self.read_tables(|database| async move {
            use sea_orm::ConnectionTrait as _;
            let sql = "SELECT COUNT(*), COALESCE(MAX(id), 0) FROM object_model";
            let row = database
                .query_one_raw(statement(&database, sql, []))
                .await?;
            let Some(row) = row else {
                return Ok(ModelMark::default());
            };
            Ok(ModelMark {
                count: row.try_get_by_index(0)?,
                newest: row.try_get_by_index(1)?,
            })
        })
        .await
    }

    async fn add(
        &self,
        models: Vec<UploadedModel>,
        replace: bool,
        limit: u64,
        by: Doer,
    ) -> Result<Vec<AddedModel>, StoreError> {
        self.write(move |transaction| {
            Box::pin(async move {
                let mut added = Vec::with_capacity(models.len());
                for model in models {
                    let model = add_one(transaction, model, replace).await?;
                    let action = match model.replaced {
                        true => "model.replace",
                        false => "model.create",
                    };
                    let subject = subject(model.entry.object_id, &model.entry.version);
                    let line = by.clone().line(action, &subject, model.entry.name.as_str());
                    audit::insert(transaction, line).await?;
                    added.push(model);
                }
                let more = added.iter().any(|model| !model.replaced);
                if more && object_model::Entity::find().count(transaction).await? > limit {
                    return Err(StoreError::Full {
                        what: "uploaded object models",
                        limit,
                    });
                }
                Ok(added)
            })
        })
        .await
    }

    async fn remove(&self, object_id: u16, version: &str, by: Doer) -> Result<bool, StoreError> {
        let version = version.to_owned();
        self.write(move |transaction| {
            Box::pin(async move {
                let removed = remove_one(transaction, object_id, &version).await?;
                if removed {
                    let line = by.line("model.delete", &subject(object_id, &version), "");
                    audit::insert(transaction, line).await?;
                }
                Ok(removed)
            })
        })
        .await
    }
}

/// How the audit log names a model.
fn subject(object_id: u16, version: &str) -> String {
    format!("/{object_id} {version}")
}

async fn add_one(
    transaction: &DatabaseTransaction,
    model: UploadedModel,
    replace: bool,
) -> Result<AddedModel, StoreError> {
    let entry = ModelEntry {
        name: text(&model.entry.name).into_owned(),
        created_by: text(&model.entry.created_by).into_owned(),
        ..model.entry
    };
    // Nobody writes between this and the insert: there is one writer, and the index says so where
    // there is one more in another process.
    let replaced = remove_one(transaction, entry.object_id, &entry.version).await?;
    if replaced && !replace {
        // The whole transaction is rolled back.
        let (object, version) = (entry.object_id, &entry.version);
        return Err(StoreError::Exists(format!(
            "an uploaded model of object {object} version {version}"
        )));
    }
    let id = next_id(transaction, "object_model").await?;
    object_model::Entity::insert(object_model::ActiveModel {
        id: Set(id),
        object_id: Set(entry.object_id.into()),
        version: Set(entry.version.clone()),
        name: Set(entry.name.clone()),
        source: Set(text(&model.source).into_owned()),
        created_at: Set(entry.created_at.as_millis()),
        created_by: Set(entry.created_by.clone()),
    })
    .exec_without_returning(transaction)
    .await?;
    Ok(AddedModel {
        entry: ModelEntry { id, ..entry },
        replaced,
    })
}

async fn remove_one(
    transaction: &DatabaseTransaction,
    object_id: u16,
    version: &str,
) -> Result<bool, sea_orm::DbErr> {
    let result = object_model::Entity::delete_many()
        .filter(object_model::Column::ObjectId.eq(i32::from(object_id)))
        .filter(object_model::Column::Version.eq(version))
        .exec(transaction)
        .await?;
    Ok(result.rows_affected > 0)
}

fn uploaded(row: object_model::Model) -> Result<UploadedModel, StoreError> {
    Ok(UploadedModel {
        entry: ModelEntry {
            id: row.id,
            object_id: object_id(row.object_id)?,
            version: row.version,
            name: row.name,
            created_at: time(row.created_at),
            created_by: row.created_by,
        },
        source: row.source,
    })
}

fn object_id(id: i32) -> Result<u16, StoreError> {
    u16::try_from(id).map_err(|_| corrupt(WHAT, format!("{id} is no object id")))
}
