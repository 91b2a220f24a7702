//! Sessions of the web pages.

use sea_orm::entity::prelude::*;

/// One row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "session")]
pub struct Model {
    /// SHA-256 of the key.
    #[sea_orm(primary_key, auto_increment = false)]
    pub key_hash: Vec<u8>,
    /// A JSON object of strings.
    pub state: String,
    /// The person, once logged in.
    pub user_name: Option<String>,
    /// Epoch milliseconds.
    pub expires_at: i64,
    /// Epoch milliseconds; none of sessions that are older than the column.
    pub began_at: Option<i64>,
    /// Epoch milliseconds, to the minute.
    pub used_at: Option<i64>,
    /// From which address it was begun.
    pub remote: String,
    /// What the browser called itself.
    pub agent: String,
}

/// Rows of other tables that belong to a row.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
