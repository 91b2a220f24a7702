//! Sessions of the web pages.

use async_trait::async_trait;
use flownexus_entity::session;
use sea_orm::sea_query::OnConflict;
use sea_orm::{ActiveValue::Set, ColumnTrait as _, EntityTrait as _, QueryFilter as _};

use super::records::{text, time};
use super::{SessionStore, Store, StoreError, WebSession};
use crate::domain::Timestamp;

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
            Ok(row.map(|row| WebSession {
                key_hash: row.key_hash,
                state: row.state,
                user: row.user_name,
                expires_at: time(row.expires_at),
            }))
        })
        .await
    }

    async fn save(&self, session: WebSession) -> Result<(), StoreError> {
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
                            ])
                            .to_owned(),
                    )
                    .exec_without_returning(transaction)
                    .await?;
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
    }
}
