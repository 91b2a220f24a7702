//! The devices of what somebody asks of many at once.

use sea_orm::entity::prelude::*;

/// One row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "bulk_item")]
pub struct Model {
    /// What is asked.
    #[sea_orm(primary_key, auto_increment = false)]
    pub bulk_id: i64,
    /// Its place, from 0.
    #[sea_orm(primary_key, auto_increment = false)]
    pub position: i64,
    /// The name of the device, which may be gone.
    pub endpoint: String,
    /// For example `PENDING`.
    pub state: String,
    /// The operation that was made.
    pub operation_id: Option<i64>,
    /// Why it was not taken.
    pub error: Option<String>,
}

/// Rows of other tables that belong to a row.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {
    /// What is asked.
    #[sea_orm(
        belongs_to = "super::bulk_operation::Entity",
        from = "Column::BulkId",
        to = "super::bulk_operation::Column::Id"
    )]
    Bulk,
}

impl Related<super::bulk_operation::Entity> for Entity {
    fn to() -> RelationDef {
        Relation::Bulk.def()
    }
}

impl ActiveModelBehavior for ActiveModel {}
