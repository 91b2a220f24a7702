//! Charts on the overview.

use sea_orm::entity::prelude::*;

/// One row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "pinned_chart")]
pub struct Model {
    /// Its row, given out once.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i64,
    /// What people call it.
    pub title: String,
    /// What it shows: the query of the address of its chart.
    #[sea_orm(column_name = "view")]
    pub view: String,
    /// Where it stands among the others, from 0 on.
    pub place: i32,
    /// Who has pinned it: a login or `token:NAME`.
    pub created_by: String,
    /// When, epoch milliseconds.
    pub created_at: i64,
}

/// Rows of other tables that belong to a row.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
