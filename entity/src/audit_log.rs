//! Who did what.

use sea_orm::entity::prelude::*;

/// One row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "audit_log")]
pub struct Model {
    /// Its row, in the order of writing.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i64,
    /// Epoch milliseconds.
    pub at: i64,
    /// A login or `token:NAME`.
    pub actor: String,
    /// From which address.
    pub remote: String,
    /// For example `endpoint.delete`.
    pub action: String,
    /// What it was done to.
    pub subject: String,
    /// Anything else worth knowing.
    pub detail: String,
}

/// Rows of other tables that belong to a row.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
