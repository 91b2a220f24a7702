//! Keys that came with what was asked of devices, each with the operation that was made of it.

use sea_orm::entity::prelude::*;

/// One row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "idempotency_key")]
pub struct Model {
    /// The device.
    #[sea_orm(primary_key, auto_increment = false)]
    pub endpoint_id: i64,
    /// SHA-256 of who asked and of the key.
    #[sea_orm(primary_key, auto_increment = false)]
    pub key_hash: Vec<u8>,
    /// SHA-256 of what was asked.
    pub request_hash: Vec<u8>,
    /// What was made of it.
    pub operation_id: i64,
    /// From then on it counts for nothing, epoch milliseconds.
    pub expires_at: i64,
}

/// Rows of other tables that belong to a row.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
