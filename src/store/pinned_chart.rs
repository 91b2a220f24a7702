//! Charts that are pinned to the overview, in the order in which it shows them.

use async_trait::async_trait;
use flownexus_entity::pinned_chart::{ActiveModel, Column, Entity, Model};
use sea_orm::{
    ActiveValue::Set, ColumnTrait as _, DatabaseTransaction, EntityTrait as _, QueryFilter as _,
    QueryOrder as _,
};

use super::records::{text, time};
use super::sequence::next_id;
use super::{Store, StoreError, audit};
use crate::domain::{AuditEntry, Doer, Timestamp};

/// A chart on the overview; everybody sees the same ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PinnedChart {
    /// Its row.
    pub id: i64,
    /// What people call it.
    pub title: String,
    /// What it shows: the query of the address of its chart.
    pub view: String,
    /// Who has pinned it: a login or `token:NAME`.
    pub created_by: String,
    /// When.
    pub created_at: Timestamp,
}

/// What is to become of a pinned chart; what is none stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PinChange {
    /// What people call it.
    pub title: Option<String>,
    /// What it shows.
    pub view: Option<String>,
    /// Where it stands among the others, from 0 on; beyond the last one is the last.
    pub place: Option<usize>,
}

/// Keeps pinned charts. Each change writes a line of the audit log, in the same transaction.
#[async_trait]
pub trait PinStore: Send + Sync {
    /// All of them, in their order.
    async fn list(&self) -> Result<Vec<PinnedChart>, StoreError>;

    /// Pins a chart behind the others.
    ///
    /// # Errors
    /// [`StoreError::Full`] when there are `limit` already.
    async fn add(
        &self,
        title: String,
        view: String,
        by: Doer,
        limit: u64,
    ) -> Result<PinnedChart, StoreError>;

    /// Changes one; none when there is none of this id.
    async fn change(
        &self,
        id: i64,
        change: PinChange,
        by: Doer,
    ) -> Result<Option<PinnedChart>, StoreError>;

    /// Removes one; false when there is none of this id.
    async fn remove(&self, id: i64, by: Doer) -> Result<bool, StoreError>;
}

#[async_trait]
impl PinStore for Store {
    async fn list(&self) -> Result<Vec<PinnedChart>, StoreError> {
        self.read_tables(|database| async move {
            let rows = in_order().all(&database).await?;
            Ok(rows.into_iter().map(pin).collect())
        })
        .await
    }

    async fn add(
        &self,
        title: String,
        view: String,
        by: Doer,
        limit: u64,
    ) -> Result<PinnedChart, StoreError> {
        let now = Timestamp::system();
        self.write(move |transaction| {
            Box::pin(async move {
                let there = in_order().all(transaction).await?;
                if there.len() as u64 >= limit {
                    return Err(StoreError::Full {
                        what: "pinned charts",
                        limit,
                    });
                }
                let row = Model {
                    id: next_id(transaction, "pinned_chart").await?,
                    title: text(&title).into_owned(),
                    view: text(&view).into_owned(),
                    place: there.last().map_or(0, |last| last.place.saturating_add(1)),
                    created_by: text(&by.actor).into_owned(),
                    created_at: now.as_millis(),
                };
                Entity::insert(ActiveModel {
                    id: Set(row.id),
                    title: Set(row.title.clone()),
                    view: Set(row.view.clone()),
                    place: Set(row.place),
                    created_by: Set(row.created_by.clone()),
                    created_at: Set(row.created_at),
                })
                .exec_without_returning(transaction)
                .await?;
                note(transaction, by, now, "pinned_chart.create", &row, "").await?;
                Ok(pin(row))
            })
        })
        .await
    }

    async fn change(
        &self,
        id: i64,
        change: PinChange,
        by: Doer,
    ) -> Result<Option<PinnedChart>, StoreError> {
        let now = Timestamp::system();
        self.write(move |transaction| {
            Box::pin(async move {
                let mut rows = in_order().all(transaction).await?;
                let Some(at) = rows.iter().position(|row| row.id == id) else {
                    return Ok(None);
                };
                let mut row = rows.remove(at);
                let mut said = Vec::new();
                if let Some(title) = &change.title {
                    said.push(format!("was {}", row.title));
                    row.title = text(title).into_owned();
                }
                if let Some(view) = &change.view {
                    said.push("shows something else".to_owned());
                    row.view = text(view).into_owned();
                }
                if let Some(place) = change.place {
                    let place = place.min(rows.len());
                    said.push(format!("place {}", place + 1));
                    rows.insert(place, row.clone());
                    for (place, row) in (0_i32..).zip(&mut rows) {
                        if row.place != place {
                            row.place = place;
                            set(transaction, row).await?;
                        }
                    }
                    row.place = i32::try_from(place).unwrap_or(i32::MAX);
                }
                set(transaction, &row).await?;
                let said = said.join(", ");
                note(transaction, by, now, "pinned_chart.update", &row, &said).await?;
                Ok(Some(pin(row)))
            })
        })
        .await
    }

    async fn remove(&self, id: i64, by: Doer) -> Result<bool, StoreError> {
        let now = Timestamp::system();
        self.write(move |transaction| {
            Box::pin(async move {
                let Some(row) = Entity::find_by_id(id).one(transaction).await? else {
                    return Ok(false);
                };
                Entity::delete_by_id(id).exec(transaction).await?;
                note(transaction, by, now, "pinned_chart.delete", &row, "").await?;
                Ok(true)
            })
        })
        .await
    }
}

fn in_order() -> sea_orm::Select<Entity> {
    Entity::find()
        .order_by_asc(Column::Place)
        .order_by_asc(Column::Id)
}

async fn set(transaction: &DatabaseTransaction, row: &Model) -> Result<(), StoreError> {
    Entity::update_many()
        .set(ActiveModel {
            title: Set(row.title.clone()),
            view: Set(row.view.clone()),
            place: Set(row.place),
            ..ActiveModel::default()
        })
        .filter(Column::Id.eq(row.id))
        .exec(transaction)
        .await?;
    Ok(())
}

async fn note(
    transaction: &DatabaseTransaction,
    by: Doer,
    now: Timestamp,
    action: &str,
    row: &Model,
    what: &str,
) -> Result<(), StoreError> {
    let mut detail = format!("pinned chart {}", row.id);
    if !what.is_empty() {
        detail.push_str(&format!(": {what}"));
    }
    let line = AuditEntry::new(by, now, action, &row.title, detail);
    audit::insert(transaction, line).await
}

fn pin(row: Model) -> PinnedChart {
    PinnedChart {
        id: row.id,
        title: row.title,
        view: row.view,
        created_by: row.created_by,
        created_at: time(row.created_at),
    }
}
