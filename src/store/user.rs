//! People.

use async_trait::async_trait;
use flownexus_entity::{api_token, recovery_code, session, user};
use sea_orm::{
    ActiveValue::Set, ColumnTrait as _, DatabaseTransaction, DbErr, EntityTrait as _,
    ModelTrait as _, PaginatorTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _,
};

use super::records::{corrupt, text, time};
use super::sequence::next_id;
use super::{Outsider, Role, Store, StoreError, User, UserChange, UserSource, UserStore};
use super::{audit, saved_filter};
use crate::domain::Doer;

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

    async fn add(&self, user: User, by: Doer) -> Result<User, StoreError> {
        let user = User {
            name: text(&user.name).into_owned(),
            ..user
        };
        self.write(move |transaction| {
            Box::pin(async move {
                let detail = format!("role {}", role_name(user.role));
                audit::insert(transaction, by.line("user.create", &user.name, detail)).await?;
                if let Some(like) = named_like(transaction, &user.name).await? {
                    return Err(StoreError::Exists(format!("user `{like}`")));
                }
                insert(transaction, user, None).await
            })
        })
        .await
    }

    async fn set_password(
        &self,
        name: &str,
        hash: &str,
        must_change: bool,
        by: Doer,
    ) -> Result<bool, StoreError> {
        let Some(name) = storable(name) else {
            return Ok(false);
        };
        let hash = hash.to_owned();
        self.write(move |transaction| {
            Box::pin(async move {
                let result = user::Entity::update_many()
                    .set(user::ActiveModel {
                        password_hash: Set(hash),
                        must_change_password: Set(must_change),
                        ..user::ActiveModel::default()
                    })
                    .filter(user::Column::Name.eq(name.as_str()))
                    .filter(user::Column::Subject.is_null())
                    .exec(transaction)
                    .await?;
                if result.rows_affected == 0 {
                    return Ok(false);
                }
                end_sessions(transaction, &name).await?;
                let detail = if must_change {
                    "to be changed at the next login"
                } else {
                    ""
                };
                audit::insert(transaction, by.line("user.password", &name, detail)).await?;
                Ok(true)
            })
        })
        .await
    }

    async fn change(
        &self,
        name: &str,
        change: UserChange,
        by: Doer,
    ) -> Result<Option<User>, StoreError> {
        let Some(name) = storable(name) else {
            return Ok(None);
        };
        self.write(move |transaction| {
            Box::pin(async move {
                lock(transaction).await?;
                let Some(before) = find(transaction, &name).await? else {
                    return Ok(None);
                };
                let after = User {
                    role: change.role.unwrap_or(before.role),
                    disabled: change.disabled.unwrap_or(before.disabled),
                    ..before.clone()
                };
                if after == before {
                    return Ok(Some(after));
                }
                if is_admin(&before) && !is_admin(&after) {
                    another_admin(transaction, before.id).await?;
                }
                update(transaction, &before, &after, by).await?;
                Ok(Some(after))
            })
        })
        .await
    }

    async fn remove(&self, name: &str, by: Doer) -> Result<bool, StoreError> {
        let Some(name) = storable(name) else {
            return Ok(false);
        };
        self.write(move |transaction| {
            Box::pin(async move {
                lock(transaction).await?;
                let Some(user) = find(transaction, &name).await? else {
                    return Ok(false);
                };
                if is_admin(&user) {
                    another_admin(transaction, user.id).await?;
                }
                recovery_code::Entity::delete_many()
                    .filter(recovery_code::Column::UserId.eq(user.id))
                    .exec(transaction)
                    .await?;
                let tokens =
                    api_token::Entity::find().filter(api_token::Column::Owner.eq(name.as_str()));
                for token in tokens.all(transaction).await? {
                    let actor = format!("token:{}", token.name);
                    saved_filter::remove_own(transaction, &actor).await?;
                    token.delete(transaction).await?;
                }
                user::Entity::delete_by_id(user.id)
                    .exec(transaction)
                    .await?;
                saved_filter::remove_own(transaction, &name).await?;
                end_sessions(transaction, &name).await?;
                audit::insert(transaction, by.line("user.delete", &name, "")).await?;
                Ok(true)
            })
        })
        .await
    }

    async fn of_subject(&self, subject: &str) -> Result<Option<User>, StoreError> {
        let subject = text(subject).into_owned();
        self.read_tables(move |database| async move {
            user::Entity::find()
                .filter(user::Column::Subject.eq(subject))
                .one(&database)
                .await?
                .map(user)
                .transpose()
        })
        .await
    }

    async fn admit(&self, outsider: Outsider, by: Doer) -> Result<User, StoreError> {
        let outsider = Outsider {
            subject: text(&outsider.subject).into_owned(),
            name: text(&outsider.name).into_owned(),
            ..outsider
        };
        self.write(move |transaction| {
            Box::pin(async move {
                lock(transaction).await?;
                let known = user::Entity::find()
                    .filter(user::Column::Subject.eq(outsider.subject.as_str()))
                    .one(transaction)
                    .await?
                    .map(user)
                    .transpose()?;
                let Some(before) = known else {
                    if let Some(like) = named_like(transaction, &outsider.name).await? {
                        return Err(StoreError::NotTheirs(like));
                    }
                    let user = User {
                        source: UserSource::Oidc,
                        ..User::new(&outsider.name, outsider.role, String::new())
                    };
                    let detail = format!("role {}, by OpenID Connect", role_name(user.role));
                    let line = by.line("user.create", &user.name, detail);
                    audit::insert(transaction, line).await?;
                    return insert(transaction, user, Some(outsider.subject)).await;
                };
                let after = User {
                    role: outsider.role,
                    ..before.clone()
                };
                // The provider's word counts, even about the last admin: a right that was taken away there must
                // not live on here. The command line makes another admin.
                if after != before {
                    update(transaction, &before, &after, by).await?;
                }
                Ok(after)
            })
        })
        .await
    }
}

/// Whoever decides by what other accounts there are takes turns, with other processes too: the number of the next
/// account is one row, and who has touched it goes first. SQLite has one writer anyway.
async fn lock(transaction: &DatabaseTransaction) -> Result<(), StoreError> {
    next_id(transaction, "user").await.map(drop)
}

async fn find(transaction: &DatabaseTransaction, name: &str) -> Result<Option<User>, StoreError> {
    user::Entity::find()
        .filter(user::Column::Name.eq(name))
        .one(transaction)
        .await?
        .map(user)
        .transpose()
}

/// The name of an account that is this one but for capitals: in the audit log the two would be one.
async fn named_like(
    transaction: &DatabaseTransaction,
    name: &str,
) -> Result<Option<String>, StoreError> {
    let query = user::Entity::find()
        .select_only()
        .column(user::Column::Name)
        .into_tuple();
    let names: Vec<String> = query.all(transaction).await?;
    // Databases differ in what they take for capitals.
    let lower = name.to_lowercase();
    Ok(names
        .into_iter()
        .find(|other| other.to_lowercase() == lower))
}

async fn insert(
    transaction: &DatabaseTransaction,
    user: User,
    subject: Option<String>,
) -> Result<User, StoreError> {
    let id = next_id(transaction, "user").await?;
    user::Entity::insert(user::ActiveModel {
        id: Set(id),
        name: Set(user.name.clone()),
        role: Set(role_name(user.role).to_owned()),
        password_hash: Set(user.password_hash.clone()),
        must_change_password: Set(user.must_change_password),
        created_at: Set(user.created_at.as_millis()),
        disabled: Set(user.disabled),
        subject: Set(subject),
        totp_secret: Set(None),
        totp_confirmed: Set(false),
        totp_step: Set(0),
    })
    .exec_without_returning(transaction)
    .await?;
    Ok(User { id, ..user })
}

/// Stores what is different, with its line.
async fn update(
    transaction: &DatabaseTransaction,
    before: &User,
    after: &User,
    by: Doer,
) -> Result<(), StoreError> {
    user::Entity::update_many()
        .set(user::ActiveModel {
            role: Set(role_name(after.role).to_owned()),
            disabled: Set(after.disabled),
            ..user::ActiveModel::default()
        })
        .filter(user::Column::Id.eq(before.id))
        .exec(transaction)
        .await?;
    let mut words = Vec::new();
    if before.role != after.role {
        let (old, new) = (role_name(before.role), role_name(after.role));
        words.push(format!("role {new}, was {old}"));
    }
    match (before.disabled, after.disabled) {
        (false, true) => {
            words.push("disabled".to_owned());
            end_sessions(transaction, &before.name).await?;
        }
        (true, false) => words.push("enabled".to_owned()),
        (true, true) | (false, false) => {}
    }
    let line = by.line("user.update", &before.name, words.join(", "));
    audit::insert(transaction, line).await
}

/// True for somebody who can manage people.
fn is_admin(user: &User) -> bool {
    user.role == Role::Admin && !user.disabled
}

/// Refuses when there is no other admin who can log in.
async fn another_admin(transaction: &DatabaseTransaction, than: i64) -> Result<(), StoreError> {
    let others = user::Entity::find()
        .filter(user::Column::Id.ne(than))
        .filter(user::Column::Role.eq(role_name(Role::Admin)))
        .filter(user::Column::Disabled.eq(false))
        .count(transaction)
        .await?;
    if others == 0 {
        return Err(StoreError::LastAdmin);
    }
    Ok(())
}

async fn end_sessions(transaction: &DatabaseTransaction, name: &str) -> Result<(), DbErr> {
    session::Entity::delete_many()
        .filter(session::Column::UserName.eq(name))
        .exec(transaction)
        .await?;
    Ok(())
}

/// A name to look for; none when nobody can have it.
pub(super) fn storable(name: &str) -> Option<String> {
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
        disabled: row.disabled,
        source: match row.subject {
            Some(_) => UserSource::Oidc,
            None => UserSource::Local,
        },
        has_totp: row.totp_confirmed,
    })
}
