//! Lines of devices' logs.

use sea_orm::entity::prelude::*;

/// One row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "device_log")]
pub struct Model {
    /// Its row, given out once; grows with the order of arrival.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i64,
    /// The device.
    pub endpoint_id: i64,
    /// The resource that it came from, for example `/20/0/4014`.
    pub path: String,
    /// 0 error, 1 warning, 2 information, 3 debug; none where the line does not say.
    pub level: Option<i32>,
    /// The line, without its level.
    pub text: String,
    /// The line in lower case, where that differs.
    pub search_text: Option<String>,
    /// The device's time, or that of the arrival, epoch milliseconds.
    pub time: i64,
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
