//! What makes events of values, or of their absence.

use sea_orm::entity::prelude::*;

/// One row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "rule")]
pub struct Model {
    /// Its row, given out once.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i64,
    /// Its name, unique.
    pub name: String,
    /// Grows when what it watches changes.
    pub revision: i64,
    /// Everything that people said of it, as JSON.
    pub spec: String,
}

/// Rows of other tables that belong to a row.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
