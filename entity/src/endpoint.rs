//! Every device that was ever seen, registered or not.

use sea_orm::entity::prelude::*;

/// One row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "endpoint")]
pub struct Model {
    /// Its row, given out once.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i64,
    /// The name it gives itself.
    #[sea_orm(unique)]
    pub name: String,
    /// The name in lower case, for searching.
    pub search_name: String,
    /// When it was first seen, epoch milliseconds.
    pub created_at: i64,
    /// When it was last heard of, epoch milliseconds.
    pub last_seen_at: Option<i64>,
    /// What was learnt of it, JSON.
    pub learned: Option<String>,
    /// The newest registration with an outside gateway, epoch milliseconds.
    pub gateway_registered_at: Option<i64>,
    /// The newest end of a registration with an outside gateway, epoch milliseconds.
    pub gateway_unregistered_at: Option<i64>,
    /// What came wrongly through a gateway and was forgiven, a JSON array.
    pub gateway_warnings: Option<String>,
    /// What people call it beside its name, a JSON array of texts.
    pub tags: String,
    /// Its own awake window in seconds.
    pub awake_s: Option<i64>,
    /// The length of its eDRX cycle in seconds.
    pub edrx_cycle_s: Option<i64>,
    /// How often paths should be told of, a JSON array.
    pub periods: String,
    /// A copy of its latest 3/0/0, cut at 255 characters.
    pub manufacturer: Option<String>,
    /// A copy of its latest 3/0/1, cut at 255 characters.
    pub model_number: Option<String>,
    /// A copy of its latest 3/0/3, cut at 255 characters.
    pub firmware_version: Option<String>,
    /// By its rhythm it is late from then on, epoch milliseconds.
    pub late_at: Option<i64>,
}

/// Rows of other tables that belong to a row.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {
    /// Its registration, while it has one.
    #[sea_orm(has_one = "super::registration::Entity")]
    Registration,
}

impl Related<super::registration::Entity> for Entity {
    fn to() -> RelationDef {
        Relation::Registration.def()
    }
}

impl ActiveModelBehavior for ActiveModel {}
