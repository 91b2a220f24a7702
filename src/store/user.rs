//! People.

use async_trait::async_trait;
use flownexus_entity::{session, user};
use sea_orm::{
    ActiveValue::Set, ColumnTrait as _, DatabaseTransaction, DbErr, EntityTrait as _,
    QueryFilter as _, QueryOrder as _,
};

use super::records::{corrupt, text, time};
use super::sequence::next_id;
use super::{Role, Store, StoreError, User, UserStore};

#[async_trait]
impl UserStore for Store {
    async fn list(&self) -> Result<Vec<User>, StoreError> {
        self.read_tables(|database| async move {
            user::Entity::find()
                .order_by_asc(user::Column::Name)
                .all(&database)
                .await?
                .into_iter()
                .map(user)
                .collect()
        })
        .await
    }

    async fn find(&self, name: &str) -> Result<Option<User>, StoreError> {
        let Some(name) = storable(name) else {
            return Ok(None);
        };
        self.read_tables(move |database| async move {
            user::Entity::find()
                .filter(user::Column::Name.eq(name))
                .one(&database)
                .await?
                .map(user)
                .transpose()
        })
        .await
    }

    async fn add(&self, user: User) -> Result<User, StoreError> {
        let user = User {
            name: text(&user.name).into_owned(),
            ..user
        };
        self.write(move |transaction| {
            Box::pin(async move {
                // Nobody writes between this and the insert: there is one writer.
                let taken = user::Entity::find()
                    .filter(user::Column::Name.eq(user.name.as_str()))
                    .one(transaction)
                    .await?;
                if taken.is_some() {
                    return Err(StoreError::Exists(format!("user `{}`", user.name)));
                }
                let id = next_id(transaction, "user").await?;
                user::Entity::insert(user::ActiveModel {
                    id: Set(id),
                    name: Set(user.name.clone()),
                    role: Set(role_name(user.role).to_owned()),
                    password_hash: Set(user.password_hash.clone()),
                    must_change_password: Set(user.must_change_password),
                    created_at: Set(user.created_at.as_millis()),
                })
                .exec_without_returning(transaction)
                .await?;
                Ok(User { id, ..user })
            })
        })
        .await
    }

    async fn set_password(&self, name: &str, hash: &str) -> Result<bool, StoreError> {
        let Some(name) = storable(name) else {
            return Ok(false);
        };
        let hash = hash.to_owned();
        self.write(move |transaction| {
            Box::pin(async move {
                let result = user::Entity::update_many()
                    .set(user::ActiveModel {
                        password_hash: Set(hash),
                        must_change_password: Set(false),
                        ..user::ActiveModel::default()
                    })
                    .filter(user::Column::Name.eq(name.as_str()))
                    .exec(transaction)
                    .await?;
                end_sessions(transaction, &name).await?;
                Ok(result.rows_affected > 0)
            })
        })
        .await
    }

    async fn remove(&self, name: &str) -> Result<bool, StoreError> {
        let Some(name) = storable(name) else {
            return Ok(false);
        };
        self.write(move |transaction| {
            Box::pin(async move {
                let result = user::Entity::delete_many()
                    .filter(user::Column::Name.eq(name.as_str()))
                    .exec(transaction)
                    .await?;
                end_sessions(transaction, &name).await?;
                Ok(result.rows_affected > 0)
            })
        })
        .await
    }
}

async fn end_sessions(transaction: &DatabaseTransaction, name: &str) -> Result<(), DbErr> {
    session::Entity::delete_many()
        .filter(session::Column::UserName.eq(name))
        .exec(transaction)
        .await?;
    Ok(())
}

/// A name to look for; none when nobody can have it.
fn storable(name: &str) -> Option<String> {
    (!name.contains('\0')).then(|| name.to_owned())
}

/// How a role is stored.
pub(super) fn role_name(role: Role) -> &'static str {
    match role {
        Role::Viewer => "viewer",
        Role::Operator => "operator",
        Role::Admin => "admin",
    }
}

/// Reads what [`role_name`] wrote.
pub(super) fn role(what: &'static str, name: &str) -> Result<Role, StoreError> {
    match name {
        "viewer" => Ok(Role::Viewer),
        "operator" => Ok(Role::Operator),
        "admin" => Ok(Role::Admin),
        other => Err(corrupt(what, format!("`{other}` is no role"))),
    }
}

fn user(row: user::Model) -> Result<User, StoreError> {
    Ok(User {
        id: row.id,
        role: role("user", &row.role)?,
        name: row.name,
        password_hash: row.password_hash,
        must_change_password: row.must_change_password,
        created_at: time(row.created_at),
    })
}
