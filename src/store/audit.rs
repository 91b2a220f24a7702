//! The audit log. A line is a change among those that it tells of, where these are in a commit; its row id is given
//! when it is written to the table, as the command line writes beside a running server.

use async_trait::async_trait;
use flownexus_entity::audit_log;
use sea_orm::sea_query::{Expr, ExprTrait as _, Func, LikeExpr};
use sea_orm::{
    ActiveValue::Set, ColumnTrait as _, Condition, DatabaseTransaction, EntityTrait as _,
    QueryFilter as _, QueryOrder as _, QuerySelect as _, Value as Bind,
};

use super::endpoint::like_pattern;
use super::failure::Failure;
use super::records::{text, time};
use super::sequence::{next_id, next_ids};
use super::transaction::Transaction;
use super::{AuditFilter, AuditStore, Change, Commit, FleetWriter as _, Store, StoreError};
use crate::domain::AuditEntry;

#[async_trait]
impl AuditStore for Store {
    async fn add(&self, entry: AuditEntry) -> Result<(), StoreError> {
        self.commit(Commit {
            changes: vec![Change::Audit(Box::new(entry))],
            publish: Vec::new(),
        })
        .await
    }

    async fn list(&self, filter: &AuditFilter) -> Result<Vec<AuditEntry>, StoreError> {
        use audit_log::Column;
        let mut query = audit_log::Entity::find()
            .order_by_desc(Column::Id)
            .limit(Ord::min(filter.limit, i64::MAX as u64));
        if let Some(before) = filter.before {
            query = query.filter(Column::Id.lt(before));
        }
        if let Some(actor) = &filter.actor {
            query = query.filter(Column::Actor.eq(text(actor).into_owned()));
        }
        let like = |pattern: &str| LikeExpr::new(pattern.to_owned()).escape('\\');
        if let Some(action) = &filter.action {
            query = match action.ends_with('.') {
                // All that begin with it.
                true => {
                    let pattern = like_pattern(&text(action));
                    query.filter(Column::Action.like(like(pattern.trim_start_matches('%'))))
                }
                false => query.filter(Column::Action.eq(text(action).into_owned())),
            };
        }
        if let Some(subject) = &filter.subject {
            // SQLite knows the lower case of ASCII alone: what was written in the same way is found too.
            let is = like_pattern(&text(subject));
            let lower = like_pattern(&text(&subject.to_lowercase()));
            let lowered = Expr::expr(Func::lower(Expr::col(Column::Subject)));
            query = query.filter(
                Condition::any()
                    .add(Column::Subject.like(like(&is)))
                    .add(lowered.like(like(&lower))),
            );
        }
        if let Some(from) = filter.from {
            query = query.filter(Column::At.gte(from.as_millis()));
        }
        if let Some(to) = filter.to {
            query = query.filter(Column::At.lt(to.as_millis()));
        }
        self.read(move |database| async move {
            let rows = query.all(&database).await?.into_iter();
            let entries = rows.map(|row| AuditEntry {
                id: row.id,
                at: time(row.at),
                actor: row.actor,
                remote: row.remote,
                action: row.action,
                subject: row.subject,
                detail: row.detail,
            });
            Ok(entries.collect())
        })
        .await
    }
}

/// Writes a line in the transaction of the change that it tells of, where that is none of the fleet.
pub(super) async fn insert(
    transaction: &DatabaseTransaction,
    line: AuditEntry,
) -> Result<(), StoreError> {
    let storable = |is: &str| Set(text(is).into_owned());
    let row = audit_log::ActiveModel {
        id: Set(next_id(transaction, "audit_log").await?),
        at: Set(line.at.as_millis()),
        actor: storable(&line.actor),
        remote: storable(&line.remote),
        action: storable(&line.action),
        subject: storable(&line.subject),
        detail: storable(&line.detail),
    };
    audit_log::Entity::insert(row)
        .exec_without_returning(transaction)
        .await?;
    Ok(())
}

/// The rows of these lines.
pub(super) async fn rows(
    transaction: &mut Transaction,
    lines: &[&AuditEntry],
) -> Result<Vec<Bind>, Failure> {
    if lines.is_empty() {
        return Ok(Vec::new());
    }
    let count = i64::try_from(lines.len()).unwrap_or(i64::MAX);
    let first = next_ids(transaction, "audit_log", count).await?;
    let row = |(id, line): (i64, &&AuditEntry)| {
        let texts = [
            &line.actor,
            &line.remote,
            &line.action,
            &line.subject,
            &line.detail,
        ];
        let texts = texts.map(|is| text(is).into_owned().into());
        [id.into(), line.at.as_millis().into()]
            .into_iter()
            .chain(texts)
    };
    Ok((first..).zip(lines).flat_map(row).collect())
}
