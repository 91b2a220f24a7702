//! DTLS sessions that go on after a restart.

use sea_orm::entity::prelude::*;

/// One row. Numbers of 64 bits without a sign are kept bit for bit, so large ones are negative here.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "dtls_session")]
pub struct Model {
    /// The session, 64 random bits.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i64,
    /// Where its records go: address and port.
    pub address: String,
    /// False until the device has answered from this address.
    pub is_proven: bool,
    /// Numbers of our records from here on have never been used.
    pub numbers: i64,
    /// The highest number of a record of the device.
    pub highest: i64,
    /// Which of the 64 records up to it have come, one bit each.
    pub seen: i64,
    /// When the last record came, epoch milliseconds.
    pub heard_at: i64,
    /// Keys and identity, sealed.
    pub sealed: Vec<u8>,
}

/// Rows of other tables that belong to a row.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
