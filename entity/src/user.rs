//! The people who may log in.

use sea_orm::entity::prelude::*;

/// One row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "user")]
pub struct Model {
    /// Its row.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i64,
    /// The login name.
    #[sea_orm(unique)]
    pub name: String,
    /// `viewer`, `operator` or `admin`.
    pub role: String,
    /// A PHC string (Argon2id).
    pub password_hash: String,
    /// True until the first password was changed.
    pub must_change_password: bool,
    /// Epoch milliseconds.
    pub created_at: i64,
}

/// Rows of other tables that belong to a row.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
