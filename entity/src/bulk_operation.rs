//! What somebody asks of many devices at once.

use sea_orm::entity::prelude::*;

/// One row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "bulk_operation")]
pub struct Model {
    /// Its row, given out once.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i64,
    /// What is done with each device, a JSON object.
    pub action: String,
    /// A login or `token:NAME`.
    pub requested_by: String,
    /// For example `RUNNING`.
    pub state: String,
    /// How many devices it is about.
    pub items: i64,
    /// Its operations are given up after so many seconds.
    pub expires_in_s: Option<i64>,
    /// Epoch milliseconds.
    pub created_at: i64,
    /// Epoch milliseconds.
    pub finished_at: Option<i64>,
    /// SHA-256 of who asked and of the key that came with it.
    pub key_hash: Option<Vec<u8>>,
    /// SHA-256 of what was asked with the key.
    pub request_hash: Option<Vec<u8>>,
    /// From then on the key counts for nothing, epoch milliseconds.
    pub key_expires_at: Option<i64>,
}

/// Rows of other tables that belong to a row.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
