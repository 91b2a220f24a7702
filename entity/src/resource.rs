//! Every value ever received, one row each.

use sea_orm::entity::prelude::*;

/// One row.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "resource")]
pub struct Model {
    /// Its row, in the order of arrival.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i64,
    /// The device.
    pub endpoint_id: i64,
    /// The object.
    pub object_id: i32,
    /// The object instance.
    pub object_instance_id: i32,
    /// The resource.
    pub resource_id: i32,
    /// The resource instance, for resources that have several.
    pub resource_instance_id: Option<i32>,
    /// Which of the columns below holds the value.
    pub value_type: String,
    /// INTEGER, and `UNSIGNED_INTEGER` up to 2^63 - 1.
    pub value_integer: Option<i64>,
    /// FLOAT (none is NaN); for larger `UNSIGNED_INTEGER` values an approximation.
    pub value_float: Option<f64>,
    /// STRING, CORELINK; larger `UNSIGNED_INTEGER` values in decimal digits.
    pub value_text: Option<String>,
    /// BOOLEAN.
    pub value_boolean: Option<bool>,
    /// TIME, epoch seconds as in LwM2M.
    pub value_time: Option<i64>,
    /// OPAQUE; also texts with a NUL character, which PostgreSQL cannot hold as text.
    pub value_opaque: Option<Vec<u8>>,
    /// OBJLNK, for example `3303:0`.
    pub value_objlnk: Option<String>,
    /// When it was measured; when it arrived where the device did not say. Epoch milliseconds.
    pub measured_at: i64,
    /// True when `measured_at` is what the device said.
    pub measured_by_device: bool,
    /// When it arrived, epoch milliseconds.
    pub received_at: i64,
}

/// Rows of other tables that belong to a row.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {
    /// The device.
    #[sea_orm(
        belongs_to = "super::endpoint::Entity",
        from = "Column::EndpointId",
        to = "super::endpoint::Column::Id"
    )]
    Endpoint,
}

impl Related<super::endpoint::Entity> for Entity {
    fn to() -> RelationDef {
        Relation::Endpoint.def()
    }
}

impl ActiveModelBehavior for ActiveModel {}
