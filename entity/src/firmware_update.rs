//! Firmware updates of devices: what of them is looked for has columns, the whole is in `detail`.

use sea_orm::entity::prelude::*;

/// One row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "firmware_update")]
pub struct Model {
    /// Its row, in the order of creation.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i64,
    /// The device. At most one row of a device has the result DEFAULT.
    pub endpoint_id: i64,
    /// The image, which may be gone.
    pub firmware_id: i64,
    /// The rollout that it belongs to.
    pub rollout_id: Option<i64>,
    /// True when its rollout gives the device back what it ran before. A device has at most one row of a rollout in
    /// each direction.
    pub is_roll_back: bool,
    /// What the device should run in the end.
    pub version: String,
    /// For example `pull_https`; none until it is known.
    pub method: Option<String>,
    /// For example `DOWNLOADING`.
    pub state: String,
    /// For example `DEFAULT` while it is not over.
    pub result: String,
    /// All of it, a JSON object.
    pub detail: String,
    /// Epoch milliseconds.
    pub created_at: i64,
    /// Epoch milliseconds.
    pub finished_at: Option<i64>,
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
