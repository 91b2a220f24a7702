//! Certificates that are not trusted any more.

use sea_orm::entity::prelude::*;

/// One row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "revoked_certificate")]
pub struct Model {
    /// The serial number in hex.
    #[sea_orm(primary_key, auto_increment = false)]
    pub serial: String,
    /// Why.
    pub reason: String,
    /// Whose it was, where that is known.
    pub endpoint: Option<String>,
    /// Since when.
    pub revoked_at: i64,
    /// Who said so.
    pub revoked_by: String,
}

/// Rows of other tables that belong to a row.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
