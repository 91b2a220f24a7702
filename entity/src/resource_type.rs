//! The names of resources: `temperature` is 3303/5700.

use sea_orm::entity::prelude::*;

/// One row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "resource_type")]
pub struct Model {
    /// The object.
    #[sea_orm(primary_key, auto_increment = false)]
    pub object_id: i32,
    /// The resource.
    #[sea_orm(primary_key, auto_increment = false)]
    pub resource_id: i32,
    /// Its name.
    #[sea_orm(unique)]
    pub name: String,
    /// Its type; none for executables.
    pub value_type: Option<String>,
    /// Days that values are kept; none: as the settings say, 0: for ever.
    pub raw_days: Option<i32>,
    /// The same for what was computed of each minute…
    pub minute_days: Option<i32>,
    /// … each hour…
    pub hour_days: Option<i32>,
    /// … and each day.
    pub day_days: Option<i32>,
}

/// Rows of other tables that belong to a row.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
