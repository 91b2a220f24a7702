//! What was computed of the values of one path of a device in one hour.

use sea_orm::entity::prelude::*;

/// One row.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "rollup_hour")]
pub struct Model {
    /// The device.
    #[sea_orm(primary_key, auto_increment = false)]
    pub endpoint_id: i64,
    /// The path: four ids of 16 bits, the last 65535 where there is no resource instance.
    #[sea_orm(primary_key, auto_increment = false)]
    pub path: i64,
    /// The hour, counted from 1970-01-01T00:00:00Z.
    #[sea_orm(primary_key, auto_increment = false)]
    pub bucket: i64,
    /// How many values there were.
    pub samples: i64,
    /// Their sum.
    pub total: f64,
    /// The smallest.
    pub low: f64,
    /// The largest.
    pub high: f64,
    /// The last by time; of several at that time the one that came last.
    pub last: f64,
    /// When the smallest was measured for the first time, in milliseconds after the beginning.
    pub low_at: i32,
    /// The same for the largest.
    pub high_at: i32,
    /// The same for the last.
    pub last_at: i32,
    /// True when the rows of its minutes are there.
    pub divided: bool,
}

/// Rows of other tables that belong to a row.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
