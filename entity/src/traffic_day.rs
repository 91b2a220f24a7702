//! What a device sent and got on a day, by what it was for.

use sea_orm::entity::prelude::*;

/// One row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "traffic_day")]
pub struct Model {
    /// The device; 0: all of them together, also those that are forgotten since.
    #[sea_orm(primary_key, auto_increment = false)]
    pub endpoint_id: i64,
    /// The day of UTC, counted from 1970-01-01.
    #[sea_orm(primary_key, auto_increment = false)]
    pub day: i64,
    /// What it was for, by name.
    #[sea_orm(primary_key, auto_increment = false)]
    pub kind: String,
    /// Bytes of the device's datagrams, without IP and UDP.
    pub up_bytes: i64,
    /// Bytes of datagrams to the device, without IP and UDP.
    pub down_bytes: i64,
    /// The device's datagrams.
    pub up_messages: i64,
    /// Datagrams to the device.
    pub down_messages: i64,
}

/// Rows of other tables that belong to a row.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
