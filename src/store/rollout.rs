//! Rollouts and their devices.
//!
//! A rollout can have very many devices: these are written and removed in pieces, so that what devices send is
//! written in between. Until the last piece is there, and from the moment that it is removed, nobody sees the rollout.

use std::collections::BTreeMap;

use async_trait::async_trait;
use flownexus_entity::{rollout, rollout_target};
use sea_orm::{
    ActiveValue::Set, ColumnTrait as _, DatabaseTransaction, EntityTrait as _, PaginatorTrait as _,
    QueryFilter as _, QueryOrder as _, QuerySelect as _, Select, Value as Bind,
};
use serde::{Deserialize, Serialize};

use super::records::{corrupt, from_json, millis, name, parse, text, time, to_json};
use super::remove::Rows;
use super::rows::{self, Statements};
use super::sequence::next_id;
use super::{Store, StoreError, audit};
use crate::domain::{
    AuditEntry, Doer, EndpointId, FirmwareUpdateId, Rollout, RolloutId, RolloutTarget,
    TargetStatus, Timestamp, count,
};

/// Which devices of a rollout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TargetFilter {
    /// Only those of this group, by its index.
    pub group: Option<u16>,
    /// Only those with this status.
    pub status: Option<TargetStatus>,
    /// Only those behind this one (the last of the page before).
    pub after: Option<EndpointId>,
}

/// Keeps rollouts. What people do to them writes a line of the audit log, in the same transaction.
#[async_trait]
pub trait RolloutStore: Send + Sync {
    /// Newest first, at most `limit`; `before` is the last one of the page before.
    async fn list(&self, before: Option<RolloutId>, limit: u64)
    -> Result<Vec<Rollout>, StoreError>;

    /// Those that are not over ([`Rollout::finished_at`]), oldest first.
    async fn not_over(&self) -> Result<Vec<Rollout>, StoreError>;

    /// One of them.
    async fn find(&self, id: RolloutId) -> Result<Option<Rollout>, StoreError>;

    /// Devices of a rollout by their row, at most `limit`; none where there is no rollout of this id.
    async fn targets(
        &self,
        id: RolloutId,
        filter: &TargetFilter,
        limit: u64,
    ) -> Result<Vec<RolloutTarget>, StoreError>;

    /// Stores a new rollout with its devices, all of it or nothing, and returns it with its id. The ids of these are
    /// given here; of a device that is named twice the last one counts.
    ///
    /// # Errors
    /// [`StoreError::Full`] when there are `limit` already.
    async fn add(
        &self,
        rollout: Rollout,
        targets: Vec<RolloutTarget>,
        by: Doer,
        limit: u64,
    ) -> Result<Rollout, StoreError>;

    /// Overwrites a rollout and writes these devices of it, new or changed, with the lines of the audit log where
    /// somebody did it: in one transaction, during which nothing else is written, so whoever has many thousand
    /// devices saves them in parts. False when there is no rollout of its id (any more): then nothing is written.
    async fn save(
        &self,
        rollout: Rollout,
        targets: Vec<RolloutTarget>,
        audit: Vec<AuditEntry>,
    ) -> Result<bool, StoreError>;

    /// Removes one with its devices; false when there is none of this id. The updates of its devices stay.
    async fn remove(&self, id: RolloutId, by: Doer) -> Result<bool, StoreError>;
}

#[async_trait]
impl RolloutStore for Store {
    async fn list(
        &self,
        before: Option<RolloutId>,
        limit: u64,
    ) -> Result<Vec<Rollout>, StoreError> {
        let mut query = whole()
            .order_by_desc(rollout::Column::Id)
            .limit(limit.min(i64::MAX as u64));
        if let Some(before) = before {
            query = query.filter(rollout::Column::Id.lt(before.0));
        }
        self.rollouts(query).await
    }

    async fn not_over(&self) -> Result<Vec<Rollout>, StoreError> {
        let query = whole()
            .filter(rollout::Column::FinishedAt.is_null())
            .order_by_asc(rollout::Column::Id);
        self.rollouts(query).await
    }

    async fn find(&self, id: RolloutId) -> Result<Option<Rollout>, StoreError> {
        let found = self.rollouts(whole().filter(rollout::Column::Id.eq(id.0)));
        Ok(found.await?.pop())
    }

    async fn targets(
        &self,
        id: RolloutId,
        filter: &TargetFilter,
        limit: u64,
    ) -> Result<Vec<RolloutTarget>, StoreError> {
        use rollout_target::Column;
        let mut query = rollout_target::Entity::find()
            .filter(Column::RolloutId.eq(id.0))
            .order_by_asc(Column::EndpointId)
            .limit(limit.min(i64::MAX as u64));
        let conditions = [
            filter
                .group
                .map(|group| Column::GroupIndex.eq(i32::from(group))),
            filter.status.map(|status| Column::Status.eq(status.name())),
            filter.after.map(|after| Column::EndpointId.gt(after.0)),
        ];
        for condition in conditions.into_iter().flatten() {
            query = query.filter(condition);
        }
        self.read_tables(move |database| async move {
            let there = whole().filter(rollout::Column::Id.eq(id.0));
            if there.count(&database).await? == 0 {
                return Ok(Vec::new());
            }
            let rows = query.all(&database).await?.into_iter();
            rows.map(target).collect()
        })
        .await
    }

    async fn add(
        &self,
        rollout: Rollout,
        targets: Vec<RolloutTarget>,
        by: Doer,
        limit: u64,
    ) -> Result<Rollout, StoreError> {
        let store = self.clone();
        // Whoever asked may have gone; what was begun is seen through to its end all the same.
        self.run(async move {
            let rollout = store.begin_rollout(rollout, limit).await?;
            let id = rollout.id;
            let added = store.fill_rollout(rollout, targets, by, limit).await;
            if added.is_err() {
                // Also where nobody knows whether the last step has happened.
                let undone = match store.hide_rollout(id, None).await {
                    Ok(_) => store.clear_rollout(id).await,
                    Err(error) => Err(error),
                };
                note(undone);
            }
            added
        })
        .await
    }

    async fn save(
        &self,
        rollout: Rollout,
        targets: Vec<RolloutTarget>,
        audit: Vec<AuditEntry>,
    ) -> Result<bool, StoreError> {
        let id = rollout.id;
        let row = columns(&rollout)?;
        let targets = target_rows(id, &by_device(targets))?;
        self.write(move |transaction| {
            Box::pin(async move {
                let saved = rollout::Entity::update_many()
                    .set(row)
                    .filter(rollout::Column::Id.eq(id.0))
                    .filter(rollout::Column::IsWhole.eq(true))
                    .exec(transaction)
                    .await?;
                if saved.rows_affected == 0 {
                    return Ok(false);
                }
                write_targets(transaction, targets).await?;
                for line in audit {
                    audit::insert(transaction, line).await?;
                }
                Ok(true)
            })
        })
        .await
    }

    async fn remove(&self, id: RolloutId, by: Doer) -> Result<bool, StoreError> {
        let store = self.clone();
        self.run(async move {
            let removed = store.hide_rollout(id, Some(by)).await?;
            if removed {
                note(store.clear_rollout(id).await);
            }
            Ok(removed)
        })
        .await
    }
}

impl Store {
    /// Removes what is left of rollouts that were not whole when the last process ended: their devices in the
    /// background, as they may be many. A failure is logged.
    pub(super) async fn clear_rollouts(&self) {
        let found = self.read_tables(|database| async move {
            Ok(rollout::Entity::find()
                .select_only()
                .column(rollout::Column::Id)
                .filter(rollout::Column::IsWhole.eq(false))
                .into_tuple::<i64>()
                .all(&database)
                .await?)
        });
        let left = match found.await {
            Ok(left) if left.is_empty() => return,
            Ok(left) => left,
            Err(error) => return note(Err(error)),
        };
        let store = self.clone();
        drop(self.run(async move {
            for id in left.into_iter().map(RolloutId) {
                tracing::info!("Removing what is left of rollout {id}");
                note(store.clear_rollout(id).await);
            }
            Ok(())
        }));
    }

    /// Stores a new rollout that nobody sees, and returns it with its id.
    async fn begin_rollout(&self, mut rollout: Rollout, limit: u64) -> Result<Rollout, StoreError> {
        self.write(move |transaction| {
            Box::pin(async move {
                rollout.id = RolloutId(next_id(transaction, "rollout").await?);
                check_room(transaction, limit).await?;
                rollout::Entity::insert(rollout::ActiveModel {
                    id: Set(rollout.id.0),
                    is_whole: Set(false),
                    ..columns(&rollout)?
                })
                .exec_without_returning(transaction)
                .await?;
                Ok(rollout)
            })
        })
        .await
    }

    /// Writes the devices of a new rollout, and lets it be seen.
    async fn fill_rollout(
        &self,
        rollout: Rollout,
        targets: Vec<RolloutTarget>,
        by: Doer,
        limit: u64,
    ) -> Result<Rollout, StoreError> {
        let targets = by_device(targets);
        for part in targets.chunks(WRITTEN_AT_ONCE) {
            let rows = target_rows(rollout.id, part)?;
            self.write_patiently(move |transaction| Box::pin(write_targets(transaction, rows)))
                .await?;
        }
        let devices = count(targets.len(), "device");
        self.write_patiently(move |transaction| {
            Box::pin(async move {
                // Again: others may have come in between.
                check_room(transaction, limit).await?;
                let shown = rollout::Entity::update_many()
                    .set(rollout::ActiveModel {
                        is_whole: Set(true),
                        ..rollout::ActiveModel::default()
                    })
                    .filter(rollout::Column::Id.eq(rollout.id.0))
                    .exec(transaction)
                    .await?;
                if shown.rows_affected == 0 {
                    let why = "another process has cleared the rollout away while it was written";
                    return Err(StoreError::Database(why.to_owned()));
                }
                let what = format!("image {}, {devices}", rollout.spec.firmware);
                let at = rollout.created_at;
                let line =
                    AuditEntry::of_rollout(by.clone(), at, "rollout.create", &rollout, &what);
                audit::insert(transaction, line).await?;
                if rollout.started_at.is_some() {
                    let what = &rollout.version;
                    let line = AuditEntry::of_rollout(by, at, "rollout.start", &rollout, what);
                    audit::insert(transaction, line).await?;
                }
                Ok(rollout)
            })
        })
        .await
    }

    /// Lets nobody see a rollout any more; false when nobody did. The audit log names who did that.
    async fn hide_rollout(&self, id: RolloutId, by: Option<Doer>) -> Result<bool, StoreError> {
        self.write_patiently(move |transaction| {
            Box::pin(async move {
                let found = whole().filter(rollout::Column::Id.eq(id.0));
                let Some(row) = found.one(transaction).await? else {
                    return Ok(false);
                };
                rollout::Entity::update_many()
                    .set(rollout::ActiveModel {
                        is_whole: Set(false),
                        ..rollout::ActiveModel::default()
                    })
                    .filter(rollout::Column::Id.eq(id.0))
                    .exec(transaction)
                    .await?;
                if let Some(by) = by {
                    let (at, action) = (Timestamp::system(), "rollout.delete");
                    let detail = format!("rollout {id}: it was {}", row.state);
                    let line = AuditEntry::new(by, at, action, &row.name, detail);
                    audit::insert(transaction, line).await?;
                }
                Ok(true)
            })
        })
        .await
    }

    /// Removes a rollout that nobody sees, its devices first.
    async fn clear_rollout(&self, id: RolloutId) -> Result<(), StoreError> {
        let devices = Rows {
            table: "rollout_target",
            owner: "rollout_id",
            key: "endpoint_id",
        };
        self.remove_rows(&devices, id.0, REMOVED_AT_ONCE).await?;
        self.write_patiently(move |transaction| {
            Box::pin(async move {
                rollout::Entity::delete_by_id(id.0)
                    .exec(transaction)
                    .await?;
                Ok(())
            })
        })
        .await
    }

    async fn rollouts(&self, query: Select<rollout::Entity>) -> Result<Vec<Rollout>, StoreError> {
        self.read_tables(move |database| async move {
            let rows = query.all(&database).await?.into_iter();
            rows.map(|row| from_json("rollout", &row.detail)).collect()
        })
        .await
    }
}

/// Those that people see.
fn whole() -> Select<rollout::Entity> {
    rollout::Entity::find().filter(rollout::Column::IsWhole.eq(true))
}

async fn check_room(transaction: &DatabaseTransaction, limit: u64) -> Result<(), StoreError> {
    if whole().count(transaction).await? >= limit {
        let what = "rollouts";
        return Err(StoreError::Full { what, limit });
    }
    Ok(())
}

/// In the order of the table, and each once.
fn by_device(targets: Vec<RolloutTarget>) -> Vec<RolloutTarget> {
    let each = targets
        .into_iter()
        .map(|target| (target.endpoint_id, target));
    each.collect::<BTreeMap<_, _>>().into_values().collect()
}

async fn write_targets(
    mut transaction: &DatabaseTransaction,
    rows: Vec<Bind>,
) -> Result<(), StoreError> {
    Ok(Statements::default()
        .run(&mut transaction, &rows::ROLLOUT_TARGETS, rows)
        .await?)
}

fn target_rows(id: RolloutId, targets: &[RolloutTarget]) -> Result<Vec<Bind>, StoreError> {
    let mut rows = Vec::with_capacity(targets.len() * rows::ROLLOUT_TARGETS.columns());
    for target in targets {
        let detail = Detail {
            update: target.update,
            back_update: target.back_update,
            version_before: target.version_before.clone(),
            is_changed: target.is_changed,
            has_failed: target.has_failed,
            absent_since: target.absent_since,
            reason: target.reason.clone(),
        };
        rows.extend([
            id.0.into(),
            target.endpoint_id.0.into(),
            target.endpoint.as_str().into(),
            i32::from(target.group).into(),
            target.status.name().into(),
            to_json(&detail)?.into(),
            target.changed_at.as_millis().into(),
        ]);
    }
    Ok(rows)
}

/// What a device has no column for. Most have none of it for long.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Detail {
    #[serde(skip_serializing_if = "Option::is_none")]
    update: Option<FirmwareUpdateId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    back_update: Option<FirmwareUpdateId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version_before: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    is_changed: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    has_failed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    absent_since: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

fn target(row: rollout_target::Model) -> Result<RolloutTarget, StoreError> {
    const WHAT: &str = "device of a rollout";
    let detail: Detail = from_json(WHAT, &row.detail)?;
    Ok(RolloutTarget {
        rollout: RolloutId(row.rollout_id),
        endpoint_id: EndpointId(row.endpoint_id),
        endpoint: name(&row.endpoint)?,
        group: u16::try_from(row.group_index).map_err(|error| corrupt(WHAT, error))?,
        status: parse(WHAT, &row.status)?,
        update: detail.update,
        back_update: detail.back_update,
        version_before: detail.version_before,
        is_changed: detail.is_changed,
        has_failed: detail.has_failed,
        absent_since: detail.absent_since,
        reason: detail.reason,
        changed_at: time(row.changed_at),
    })
}

/// All columns but the id and whether it is seen.
fn columns(rollout: &Rollout) -> Result<rollout::ActiveModel, StoreError> {
    Ok(rollout::ActiveModel {
        name: Set(text(&rollout.spec.name).into_owned()),
        firmware_id: Set(rollout.spec.firmware.0),
        state: Set(rollout.state.name().to_owned()),
        detail: Set(to_json(rollout)?),
        created_at: Set(rollout.created_at.as_millis()),
        finished_at: Set(millis(rollout.finished_at)),
        ..rollout::ActiveModel::default()
    })
}

fn note(cleared: Result<(), StoreError>) {
    if let Err(error) = cleared {
        tracing::warn!(%error, "Could not remove the devices of a rollout; the next start does: {error}");
    }
}

/// So many devices are written in one transaction: other commits come in between.
const WRITTEN_AT_ONCE: usize = 2_048;

/// So many devices are removed in one transaction.
const REMOVED_AT_ONCE: u64 = 5_000;
