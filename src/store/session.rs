//! Sessions of the web pages.

use async_trait::async_trait;
use flownexus_entity::session;
use sea_orm::sea_query::OnConflict;
use sea_orm::{
    ActiveValue::Set, ColumnTrait as _, EntityTrait as _, QueryFilter as _, QueryOrder as _,
    QuerySelect as _,
};

use super::audit;
use super::records::{millis, text, time};
use super::user::storable;
use super::{SessionStore, Store, StoreError, WebSession};
use crate::domain::{AuditEntry, Timestamp};

/// Sessions that are listed at once.
const MOST_LISTED: u64 = 1_000;

#[async_trait]
impl SessionStore for Store {
    async fn find(
        &self,
        key_hash: &[u8],
        now: Timestamp,
    ) -> Result<Option<WebSession>, StoreError> {
        let key_hash = key_hash.to_vec();
        self.read_tables(move |database| async move {
            let row = session::Entity::find_by_id(key_hash)
                .filter(session::Column::ExpiresAt.gt(now.as_millis()))
                .one(&database)
                .await?;
            Ok(row.map(web_session))
        })
        .await
    }

    async fn list(
        &self,
        user: Option<&str>,
        now: Timestamp,
    ) -> Result<Vec<WebSession>, StoreError> {
        let mut query = session::Entity::find()
            .filter(session::Column::ExpiresAt.gt(now.as_millis()))
            .filter(session::Column::UserName.is_not_null())
            .order_by_desc(session::Column::UsedAt)
            .order_by_asc(session::Column::KeyHash)
            .limit(MOST_LISTED);
        if let Some(user) = user {
            let Some(user) = storable(user) else {
                return Ok(Vec::new());
            };
            query = query.filter(session::Column::UserName.eq(user));
        }
        self.read_tables(move |database| async move {
            let rows = query.all(&database).await?;
            Ok(rows.into_iter().map(web_session).collect())
        })
        .await
    }

    async fn save(&self, session: WebSession, line: Option<AuditEntry>) -> Result<(), StoreError> {
        let row = row(session);
        self.write(move |transaction| {
            Box::pin(async move {
                session::Entity::insert(row)
                    .on_conflict(
                        OnConflict::column(session::Column::KeyHash)
                            .update_columns([
                                session::Column::State,
                                session::Column::UserName,
                                session::Column::ExpiresAt,
                                session::Column::BeganAt,
                                session::Column::UsedAt,
                                session::Column::Remote,
                                session::Column::Agent,
                            ])
                            .to_owned(),
                    )
                    .exec_without_returning(transaction)
                    .await?;
                if let Some(line) = line {
                    audit::insert(transaction, line).await?;
                }
                Ok(())
            })
        })
        .await
    }

    async fn replace(&self, session: WebSession) -> Result<bool, StoreError> {
        let key_hash = session.key_hash.clone();
        let row = row(session);
        self.write(move |transaction| {
            Box::pin(async move {
                let result = session::Entity::update_many()
                    .set(row)
                    .filter(session::Column::KeyHash.eq(key_hash))
                    .exec(transaction)
                    .await?;
                Ok(result.rows_affected > 0)
            })
        })
        .await
    }

    async fn remove(&self, key_hash: &[u8]) -> Result<(), StoreError> {
        let key_hash = key_hash.to_vec();
        self.write(move |transaction| {
            Box::pin(async move {
                session::Entity::delete_by_id(key_hash)
                    .exec(transaction)
                    .await?;
                Ok(())
            })
        })
        .await
    }

    async fn end(&self, key_hashes: Vec<Vec<u8>>, line: AuditEntry) -> Result<u64, StoreError> {
        if key_hashes.is_empty() {
            return Ok(0);
        }
        self.write(move |transaction| {
            Box::pin(async move {
                let result = session::Entity::delete_many()
                    .filter(session::Column::KeyHash.is_in(key_hashes))
                    .exec(transaction)
                    .await?;
                if result.rows_affected > 0 {
                    audit::insert(transaction, line).await?;
                }
                Ok(result.rows_affected)
            })
        })
        .await
    }

    async fn prune(&self, now: Timestamp) -> Result<u64, StoreError> {
        self.write(move |transaction| {
            Box::pin(async move {
                let result = session::Entity::delete_many()
                    .filter(session::Column::ExpiresAt.lte(now.as_millis()))
                    .exec(transaction)
                    .await?;
                Ok(result.rows_affected)
            })
        })
        .await
    }
}

fn row(session: WebSession) -> session::ActiveModel {
    session::ActiveModel {
        key_hash: Set(session.key_hash),
        state: Set(text(&session.state).into_owned()),
        user_name: Set(session.user.map(|user| text(&user).into_owned())),
        expires_at: Set(session.expires_at.as_millis()),
        began_at: Set(millis(session.began_at)),
        used_at: Set(millis(session.used_at)),
        remote: Set(text(&session.remote).into_owned()),
        agent: Set(text(&session.agent).into_owned()),
    }
}

fn web_session(row: session::Model) -> WebSession {
    WebSession {
        key_hash: row.key_hash,
        state: row.state,
        user: row.user_name,
        expires_at: time(row.expires_at),
        began_at: row.began_at.map(time),
        used_at: row.used_at.map(time),
        remote: row.remote,
        agent: row.agent,
    }
}
