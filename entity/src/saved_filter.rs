//! Filters of the list of devices that people have saved.

use sea_orm::entity::prelude::*;

/// One row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "saved_filter")]
pub struct Model {
    /// Its row, given out once.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i64,
    /// Who has saved it: a login or `token:NAME`.
    pub owner: String,
    /// What they call it; each owner has a name once.
    pub name: String,
    /// What it shows: the query of the address of the list.
    #[sea_orm(column_name = "view")]
    pub view: String,
    /// Whether everybody sees it.
    pub shared: bool,
    /// When it was saved last, epoch milliseconds.
    pub saved_at: i64,
}

/// Rows of other tables that belong to a row.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
