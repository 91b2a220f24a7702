//! What devices were asked to report.

use sea_orm::entity::prelude::*;

/// One row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "observation")]
pub struct Model {
    /// Its row, given out once.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i64,
    /// The device.
    pub endpoint_id: i64,
    /// What its notifications carry.
    pub token: Vec<u8>,
    /// A JSON array of paths.
    pub paths: String,
    /// True for Observe-Composite.
    pub composite: bool,
    /// The content format asked for.
    pub format: Option<i32>,
    /// `requested` or `active`.
    pub state: String,
    /// The Observe value of the newest notification.
    pub last_sequence: Option<i64>,
    /// The message id of the last notification stored.
    pub last_message_id: Option<i32>,
    /// The hash of that notification.
    pub last_hash: Option<i64>,
    /// When it came, epoch milliseconds.
    pub notified_at: Option<i64>,
    /// The first block of a notification that is not complete.
    pub staged: Option<Vec<u8>>,
    /// Epoch milliseconds.
    pub created_at: i64,
    /// How many notifications were stored.
    pub notifications: i64,
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
