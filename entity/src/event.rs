//! Values that belong together, such as a composite notification.

use sea_orm::entity::prelude::*;

/// One row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "event")]
pub struct Model {
    /// Its row, given out once.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i64,
    /// The device.
    pub endpoint_id: i64,
    /// What kind of event.
    pub event_type: String,
    /// When it happened, epoch milliseconds.
    pub time: i64,
    /// The name of the rule that made it, if one did.
    pub rule: Option<String>,
    /// How bad it is: `info`, `warning`, `critical`.
    pub severity: Option<String>,
    /// What happened, in words.
    pub message: Option<String>,
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
