//! Tokens of programs.

use async_trait::async_trait;
use flownexus_entity::api_token;
use sea_orm::{
    ActiveValue::Set, ColumnTrait as _, EntityTrait as _, QueryFilter as _, QueryOrder as _,
};

use super::records::{millis, text, time};
use super::sequence::next_id;
use super::user::{role, role_name};
use super::{ApiToken, Store, StoreError, TokenStore};
use super::{audit, saved_filter};
use crate::domain::{Doer, Timestamp};

#[async_trait]
impl TokenStore for Store {
    async fn list(&self) -> Result<Vec<ApiToken>, StoreError> {
        self.read_tables(|database| async move {
            api_token::Entity::find()
                .order_by_asc(api_token::Column::Name)
                .all(&database)
                .await?
                .into_iter()
                .map(token)
                .collect()
        })
        .await
    }

    async fn find(&self, hash: &[u8]) -> Result<Option<ApiToken>, StoreError> {
        let hash = hash.to_vec();
        self.read_tables(move |database| async move {
            api_token::Entity::find()
                .filter(api_token::Column::Hash.eq(hash))
                .one(&database)
                .await?
                .map(token)
                .transpose()
        })
        .await
    }

    async fn add(&self, token: ApiToken, by: Doer) -> Result<ApiToken, StoreError> {
        let token = ApiToken {
            name: text(&token.name).into_owned(),
            ..token
        };
        self.write(move |transaction| {
            Box::pin(async move {
                let mut detail = format!("role {}", role_name(token.role));
                if let Some(owner) = &token.owner {
                    detail.push_str(&format!(", of {owner}"));
                }
                // Whoever writes a line goes on alone: nobody takes the name before the insert.
                audit::insert(transaction, by.line("token.create", &token.name, detail)).await?;
                let taken = api_token::Entity::find()
                    .filter(api_token::Column::Name.eq(token.name.as_str()))
                    .one(transaction)
                    .await?;
                if taken.is_some() {
                    return Err(StoreError::Exists(format!("token `{}`", token.name)));
                }
                let id = next_id(transaction, "api_token").await?;
                api_token::Entity::insert(api_token::ActiveModel {
                    id: Set(id),
                    name: Set(token.name.clone()),
                    role: Set(role_name(token.role).to_owned()),
                    hash: Set(token.hash.clone()),
                    created_at: Set(token.created_at.as_millis()),
                    expires_at: Set(millis(token.expires_at)),
                    last_used_at: Set(millis(token.last_used_at)),
                    owner: Set(token.owner.clone()),
                })
                .exec_without_returning(transaction)
                .await?;
                Ok(ApiToken { id, ..token })
            })
        })
        .await
    }

    async fn used(&self, id: i64, at: Timestamp) -> Result<(), StoreError> {
        self.write(move |transaction| {
            Box::pin(async move {
                api_token::Entity::update_many()
                    .set(api_token::ActiveModel {
                        last_used_at: Set(Some(at.as_millis())),
                        ..api_token::ActiveModel::default()
                    })
                    .filter(api_token::Column::Id.eq(id))
                    .exec(transaction)
                    .await?;
                Ok(())
            })
        })
        .await
    }

    async fn remove(&self, id: i64, owner: Option<&str>, by: Doer) -> Result<bool, StoreError> {
        let owner = owner.map(|owner| text(owner).into_owned());
        self.write(move |transaction| {
            Box::pin(async move {
                let mut query = api_token::Entity::find_by_id(id);
                if let Some(owner) = owner {
                    query = query.filter(api_token::Column::Owner.eq(owner));
                }
                let Some(token) = query.one(transaction).await? else {
                    return Ok(false);
                };
                let result = api_token::Entity::delete_by_id(id)
                    .exec(transaction)
                    .await?;
                if result.rows_affected > 0 {
                    // Nobody is called so any more.
                    let actor = format!("token:{}", token.name);
                    saved_filter::remove_own(transaction, &actor).await?;
                    let line = by.line("token.delete", &token.name, format!("token {id}"));
                    audit::insert(transaction, line).await?;
                }
                Ok(result.rows_affected > 0)
            })
        })
        .await
    }
}

fn token(row: api_token::Model) -> Result<ApiToken, StoreError> {
    Ok(ApiToken {
        id: row.id,
        name: row.name,
        role: role("API token", &row.role)?,
        hash: row.hash,
        created_at: time(row.created_at),
        expires_at: row.expires_at.map(time),
        last_used_at: row.last_used_at.map(time),
        owner: row.owner,
    })
}
