//! The devices of rollouts, and how a rollout stands with each.

use sea_orm::entity::prelude::*;

/// One row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "rollout_target")]
pub struct Model {
    /// The rollout.
    #[sea_orm(primary_key, auto_increment = false)]
    pub rollout_id: i64,
    /// The device, which may be gone.
    #[sea_orm(primary_key, auto_increment = false)]
    pub endpoint_id: i64,
    /// Its name.
    pub endpoint: String,
    /// The index of its group.
    pub group_index: i32,
    /// For example `WAITING`.
    pub status: String,
    /// What has no column, a JSON object.
    pub detail: String,
    /// When its status last changed, epoch milliseconds.
    pub changed_at: i64,
}

/// Rows of other tables that belong to a row.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {
    /// The rollout.
    #[sea_orm(
        belongs_to = "super::rollout::Entity",
        from = "Column::RolloutId",
        to = "super::rollout::Column::Id"
    )]
    Rollout,
}

impl Related<super::rollout::Entity> for Entity {
    fn to() -> RelationDef {
        Relation::Rollout.def()
    }
}

impl ActiveModelBehavior for ActiveModel {}
