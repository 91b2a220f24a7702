//! The audit log.

use async_trait::async_trait;
use flownexus_entity::audit_log;
use sea_orm::{
    ActiveValue::Set, ColumnTrait as _, EntityTrait as _, QueryFilter as _, QueryOrder as _,
    QuerySelect as _,
};

use super::records::{text, time};
use super::sequence::next_id;
use super::{AuditEntry, AuditStore, Store, StoreError};

#[async_trait]
impl AuditStore for Store {
    async fn add(&self, entry: AuditEntry) -> Result<(), StoreError> {
        self.write(move |transaction| {
            Box::pin(async move {
                audit_log::Entity::insert(audit_log::ActiveModel {
                    id: Set(next_id(transaction, "audit_log").await?),
                    at: Set(entry.at.as_millis()),
                    actor: Set(text(&entry.actor).into_owned()),
                    remote: Set(text(&entry.remote).into_owned()),
                    action: Set(text(&entry.action).into_owned()),
                    subject: Set(text(&entry.subject).into_owned()),
                    detail: Set(text(&entry.detail).into_owned()),
                })
                .exec_without_returning(transaction)
                .await?;
                Ok(())
            })
        })
        .await
    }

    async fn list(&self, limit: u64, before: Option<i64>) -> Result<Vec<AuditEntry>, StoreError> {
        let mut query = audit_log::Entity::find()
            .order_by_desc(audit_log::Column::Id)
            .limit(limit.min(i64::MAX as u64));
        if let Some(before) = before {
            query = query.filter(audit_log::Column::Id.lt(before));
        }
        self.read_tables(move |database| async move {
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
