//! Second factors of people.

use async_trait::async_trait;
use flownexus_entity::{recovery_code, user};
use sea_orm::sea_query::{ExprTrait as _, SimpleExpr};
use sea_orm::{
    ActiveValue::Set, ColumnTrait as _, DatabaseTransaction, EntityTrait as _, PaginatorTrait as _,
    QueryFilter as _,
};

use super::audit;
use super::user::storable;
use super::{Store, StoreError, Totp, TotpStore};
use crate::domain::Doer;

#[async_trait]
impl TotpStore for Store {
    async fn totp(&self, name: &str) -> Result<Option<Totp>, StoreError> {
        let Some(name) = storable(name) else {
            return Ok(None);
        };
        self.read_tables(move |database| async move {
            let row = user::Entity::find()
                .filter(user::Column::Name.eq(name))
                .one(&database)
                .await?;
            let Some(row) = row else { return Ok(None) };
            let Some(sealed_secret) = row.totp_secret else {
                return Ok(None);
            };
            let recovery_codes = recovery_code::Entity::find()
                .filter(recovery_code::Column::UserId.eq(row.id))
                .count(&database)
                .await?;
            Ok(Some(Totp {
                user_id: row.id,
                sealed_secret,
                confirmed: row.totp_confirmed,
                recovery_codes,
            }))
        })
        .await
    }

    async fn begin_totp(&self, name: &str, sealed_secret: Vec<u8>) -> Result<bool, StoreError> {
        let Some(name) = storable(name) else {
            return Ok(false);
        };
        self.write(move |transaction| {
            Box::pin(async move {
                let change = user::ActiveModel {
                    totp_secret: Set(Some(sealed_secret)),
                    totp_step: Set(0),
                    ..user::ActiveModel::default()
                };
                let is_open = user::Column::TotpConfirmed.eq(false);
                change_where(transaction, &name, change, is_open).await
            })
        })
        .await
    }

    async fn confirm_totp(
        &self,
        name: &str,
        sealed_secret: Vec<u8>,
        step: i64,
        recovery: Vec<Vec<u8>>,
        by: Doer,
    ) -> Result<bool, StoreError> {
        let Some(name) = storable(name) else {
            return Ok(false);
        };
        self.write(move |transaction| {
            Box::pin(async move {
                let change = user::ActiveModel {
                    totp_confirmed: Set(true),
                    totp_step: Set(step),
                    ..user::ActiveModel::default()
                };
                let is_begun = user::Column::TotpConfirmed
                    .eq(false)
                    .and(user::Column::TotpSecret.eq(sealed_secret));
                if !change_where(transaction, &name, change, is_begun).await? {
                    return Ok(false);
                }
                let Some(id) = id_of(transaction, &name).await? else {
                    return Ok(false);
                };
                // None should be left of another time.
                remove_codes(transaction, id).await?;
                let rows = recovery.into_iter().map(|hash| recovery_code::ActiveModel {
                    hash: Set(hash),
                    user_id: Set(id),
                });
                recovery_code::Entity::insert_many(rows)
                    .exec_without_returning(transaction)
                    .await?;
                audit::insert(transaction, by.line("totp.enable", &name, "")).await?;
                Ok(true)
            })
        })
        .await
    }

    async fn use_totp_step(
        &self,
        name: &str,
        sealed_secret: Vec<u8>,
        step: i64,
    ) -> Result<bool, StoreError> {
        let Some(name) = storable(name) else {
            return Ok(false);
        };
        self.write(move |transaction| {
            Box::pin(async move {
                let change = user::ActiveModel {
                    totp_step: Set(step),
                    ..user::ActiveModel::default()
                };
                let is_unused = user::Column::TotpSecret
                    .eq(sealed_secret)
                    .and(user::Column::TotpConfirmed.eq(true))
                    .and(user::Column::TotpStep.lt(step));
                change_where(transaction, &name, change, is_unused).await
            })
        })
        .await
    }

    async fn use_recovery_code(
        &self,
        name: &str,
        hash: Vec<u8>,
        by: Doer,
    ) -> Result<bool, StoreError> {
        let Some(name) = storable(name) else {
            return Ok(false);
        };
        self.write(move |transaction| {
            Box::pin(async move {
                let Some(id) = id_of(transaction, &name).await? else {
                    return Ok(false);
                };
                let result = recovery_code::Entity::delete_many()
                    .filter(recovery_code::Column::UserId.eq(id))
                    .filter(recovery_code::Column::Hash.eq(hash))
                    .exec(transaction)
                    .await?;
                if result.rows_affected == 0 {
                    return Ok(false);
                }
                let left = recovery_code::Entity::find()
                    .filter(recovery_code::Column::UserId.eq(id))
                    .count(transaction)
                    .await?;
                let line = by.line("totp.recovery_code", &name, format!("{left} are left"));
                audit::insert(transaction, line).await?;
                Ok(true)
            })
        })
        .await
    }

    async fn remove_totp(&self, name: &str, by: Doer) -> Result<bool, StoreError> {
        let Some(name) = storable(name) else {
            return Ok(false);
        };
        self.write(move |transaction| {
            Box::pin(async move {
                let change = user::ActiveModel {
                    totp_secret: Set(None),
                    totp_confirmed: Set(false),
                    totp_step: Set(0),
                    ..user::ActiveModel::default()
                };
                let is_in_force = user::Column::TotpConfirmed.eq(true);
                if !change_where(transaction, &name, change, is_in_force).await? {
                    return Ok(false);
                }
                let Some(id) = id_of(transaction, &name).await? else {
                    return Ok(false);
                };
                remove_codes(transaction, id).await?;
                audit::insert(transaction, by.line("totp.disable", &name, "")).await?;
                Ok(true)
            })
        })
        .await
    }
}

/// Changes the row of a person in one conditional update; false where it is not so, or there is nobody of this name.
async fn change_where(
    transaction: &DatabaseTransaction,
    name: &str,
    change: user::ActiveModel,
    is_so: SimpleExpr,
) -> Result<bool, StoreError> {
    let result = user::Entity::update_many()
        .set(change)
        .filter(user::Column::Name.eq(name))
        .filter(is_so)
        .exec(transaction)
        .await?;
    Ok(result.rows_affected > 0)
}

async fn id_of(transaction: &DatabaseTransaction, name: &str) -> Result<Option<i64>, StoreError> {
    let row = user::Entity::find()
        .filter(user::Column::Name.eq(name))
        .one(transaction)
        .await?;
    Ok(row.map(|row| row.id))
}

async fn remove_codes(transaction: &DatabaseTransaction, user: i64) -> Result<(), StoreError> {
    recovery_code::Entity::delete_many()
        .filter(recovery_code::Column::UserId.eq(user))
        .exec(transaction)
        .await?;
    Ok(())
}
