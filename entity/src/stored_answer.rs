//! Answers to confirmable requests, repeated for their copies.

use sea_orm::entity::prelude::*;

/// One row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "stored_answer")]
pub struct Model {
    /// `udp`, or `dtls:` and the session in hex.
    #[sea_orm(primary_key, auto_increment = false)]
    pub transport: String,
    /// Who asked: address and port.
    #[sea_orm(primary_key, auto_increment = false)]
    pub address: String,
    /// The message id of the request.
    #[sea_orm(primary_key, auto_increment = false)]
    pub message_id: i32,
    /// The hash of the request.
    #[sea_orm(primary_key, auto_increment = false)]
    pub hash: i64,
    /// The datagram that went back.
    pub answer: Vec<u8>,
    /// Until when copies can arrive, epoch milliseconds.
    pub expires_at: i64,
}

/// Rows of other tables that belong to a row.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
