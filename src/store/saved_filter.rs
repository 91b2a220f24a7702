//! Filters of the list of devices that people have saved under a name, for themselves or for everybody.

use async_trait::async_trait;
use flownexus_entity::saved_filter::{ActiveModel, Column, Entity, Model};
use sea_orm::{
    ActiveValue::Set, ColumnTrait as _, Condition, DatabaseTransaction, EntityTrait as _,
    PaginatorTrait as _, QueryFilter as _, QueryOrder as _,
};

use super::records::{text, time};
use super::sequence::next_id;
use super::{Store, StoreError, audit};
use crate::domain::{AuditEntry, Doer, Timestamp};

/// A list of devices that somebody has saved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedFilter {
    /// Its row.
    pub id: i64,
    /// Who has saved it: a login or `token:NAME`.
    pub owner: String,
    /// What they call it; each owner has a name once.
    pub name: String,
    /// What it shows: the query of the address of the list.
    pub view: String,
    /// Whether everybody sees it.
    pub shared: bool,
    /// When it was saved last.
    pub saved_at: Timestamp,
}

/// What is to be saved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilterToSave {
    /// What people call it; what its owner had saved under this name is replaced.
    pub name: String,
    /// What it shows.
    pub view: String,
    /// Whether everybody sees it.
    pub shared: bool,
}

/// Which filters somebody may remove.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FilterReach {
    /// Their own.
    Own,
    /// Their own, and what others share.
    OwnAndShared,
}

/// What became of a filter that was to be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForgottenFilter {
    /// It is removed.
    Removed,
    /// It stays: another shares it.
    SharedByAnother,
    /// They see none of this id.
    Unseen,
}

/// Keeps saved filters. Each change writes a line of the audit log, in the same transaction.
#[async_trait]
pub trait SavedFilterStore: Send + Sync {
    /// Those that somebody sees, by their names: their own, and what others share.
    async fn seen_by(&self, owner: &str) -> Result<Vec<SavedFilter>, StoreError>;

    /// Saves one for who asks. True when they had none of this name.
    ///
    /// # Errors
    /// [`StoreError::Full`] when they have `limit` others already.
    async fn save(
        &self,
        filter: FilterToSave,
        by: Doer,
        limit: u64,
    ) -> Result<(SavedFilter, bool), StoreError>;

    /// Removes one that is within reach at the moment at which it is removed: what its owner has made private
    /// meanwhile is out of another's reach.
    async fn forget(
        &self,
        id: i64,
        reach: FilterReach,
        by: Doer,
    ) -> Result<ForgottenFilter, StoreError>;
}

#[async_trait]
impl SavedFilterStore for Store {
    async fn seen_by(&self, owner: &str) -> Result<Vec<SavedFilter>, StoreError> {
        let seen = Condition::any()
            .add(Column::Owner.eq(text(owner).into_owned()))
            .add(Column::Shared.eq(true));
        let query = Entity::find()
            .filter(seen)
            .order_by_asc(Column::Name)
            .order_by_asc(Column::Id);
        self.read_tables(move |database| async move {
            let rows = query.all(&database).await?;
            Ok(rows.into_iter().map(filter).collect())
        })
        .await
    }

    async fn save(
        &self,
        wanted: FilterToSave,
        by: Doer,
        limit: u64,
    ) -> Result<(SavedFilter, bool), StoreError> {
        let now = Timestamp::system();
        self.write(move |transaction| {
            Box::pin(async move {
                let owner = text(&by.actor).into_owned();
                let name = text(&wanted.name).into_owned();
                let theirs = || Entity::find().filter(Column::Owner.eq(owner.as_str()));
                let same = theirs().filter(Column::Name.eq(name.as_str()));
                let before = same.one(transaction).await?;
                let is_new = before.is_none();
                if is_new && theirs().count(transaction).await? >= limit {
                    return Err(StoreError::Full {
                        what: "saved filters of one person",
                        limit,
                    });
                }
                let id = match &before {
                    Some(row) => row.id,
                    None => next_id(transaction, "saved_filter").await?,
                };
                let row = Model {
                    id,
                    owner,
                    name,
                    view: text(&wanted.view).into_owned(),
                    shared: wanted.shared,
                    saved_at: now.as_millis(),
                };
                let values = ActiveModel {
                    id: Set(row.id),
                    owner: Set(row.owner.clone()),
                    name: Set(row.name.clone()),
                    view: Set(row.view.clone()),
                    shared: Set(row.shared),
                    saved_at: Set(row.saved_at),
                };
                let action = if is_new {
                    Entity::insert(values)
                        .exec_without_returning(transaction)
                        .await?;
                    "saved_filter.create"
                } else {
                    let update = Entity::update_many().set(values);
                    update.filter(Column::Id.eq(id)).exec(transaction).await?;
                    "saved_filter.update"
                };
                note(transaction, by, now, action, &row).await?;
                Ok((filter(row), is_new))
            })
        })
        .await
    }

    async fn forget(
        &self,
        id: i64,
        reach: FilterReach,
        by: Doer,
    ) -> Result<ForgottenFilter, StoreError> {
        let now = Timestamp::system();
        self.write(move |transaction| {
            Box::pin(async move {
                let owner = text(&by.actor).into_owned();
                let own = Column::Owner.eq(owner.as_str());
                let within = match reach {
                    FilterReach::Own => Condition::all().add(own),
                    FilterReach::OwnAndShared => {
                        Condition::any().add(own).add(Column::Shared.eq(true))
                    }
                };
                let Some(row) = Entity::find_by_id(id).one(transaction).await? else {
                    return Ok(ForgottenFilter::Unseen);
                };
                // This statement decides, not the look before it: another process may write in between.
                let removed = Entity::delete_many()
                    .filter(Column::Id.eq(id))
                    .filter(within)
                    .exec(transaction)
                    .await?;
                if removed.rows_affected > 0 {
                    note(transaction, by, now, "saved_filter.delete", &row).await?;
                    return Ok(ForgottenFilter::Removed);
                }
                Ok(match row.shared {
                    true => ForgottenFilter::SharedByAnother,
                    // What is another's own is nobody else's business.
                    false => ForgottenFilter::Unseen,
                })
            })
        })
        .await
    }
}

/// Removes what somebody who is no more has saved for themselves; what they share stays with the others.
pub(super) async fn remove_own(
    transaction: &DatabaseTransaction,
    owner: &str,
) -> Result<(), StoreError> {
    Entity::delete_many()
        .filter(Column::Owner.eq(owner))
        .filter(Column::Shared.eq(false))
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
) -> Result<(), StoreError> {
    let seen = if row.shared { "everybody" } else { &row.owner };
    let detail = format!("saved filter {} for {seen}", row.id);
    let line = AuditEntry::new(by, now, action, &row.name, detail);
    audit::insert(transaction, line).await
}

fn filter(row: Model) -> SavedFilter {
    SavedFilter {
        id: row.id,
        owner: row.owner,
        name: row.name,
        view: row.view,
        shared: row.shared,
        saved_at: time(row.saved_at),
    }
}
