//! What the server knows of itself: the heartbeat and the marks of the row ids.

use sea_orm::entity::prelude::*;

/// One row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "server_state")]
pub struct Model {
    /// `heartbeat`, or `next_id.TABLE`.
    #[sea_orm(primary_key, auto_increment = false)]
    pub key: String,
    /// A number: epoch milliseconds or an id.
    pub value: i64,
}

/// Rows of other tables that belong to a row.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
