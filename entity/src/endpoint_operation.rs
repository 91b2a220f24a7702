//! What people, templates and updates ask of devices, and what became of it.

use sea_orm::entity::prelude::*;

/// One row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "endpoint_operation")]
pub struct Model {
    /// Its row, in the order of creation.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i64,
    /// The device.
    pub endpoint_id: i64,
    /// The kind, for example `read`.
    pub operation_type: String,
    /// What is to be done, a JSON object.
    pub request: String,
    /// Who asked, a JSON object.
    pub origin: String,
    /// For example `QUEUED`.
    pub status: String,
    /// How often it was sent.
    pub attempts: i64,
    /// How often it may be sent.
    pub max_attempts: i64,
    /// What the device answered, a JSON object.
    pub result: Option<String>,
    /// Why it failed.
    pub error: Option<String>,
    /// The token of the last attempt.
    pub token: Option<Vec<u8>>,
    /// Epoch milliseconds.
    pub created_at: i64,
    /// Epoch milliseconds.
    pub last_attempt_at: Option<i64>,
    /// Epoch milliseconds.
    pub finished_at: Option<i64>,
    /// Epoch milliseconds.
    pub expires_at: Option<i64>,
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
