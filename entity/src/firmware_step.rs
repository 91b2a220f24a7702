//! The timelines of firmware updates, line by line.

use sea_orm::entity::prelude::*;

/// One row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "firmware_step")]
pub struct Model {
    /// Its row, given out once; grows with time.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i64,
    /// The device.
    pub endpoint_id: i64,
    /// The update.
    pub update_id: i64,
    /// The step that the server was at, for example `deliver`.
    pub phase: String,
    /// What happened, in plain words.
    pub text: String,
    /// Epoch milliseconds.
    pub at: i64,
}

/// Rows of other tables that belong to a row.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
