//! Rollouts: what of them is looked for has columns, the whole is in `detail`.

use sea_orm::entity::prelude::*;

/// One row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "rollout")]
pub struct Model {
    /// Its row, in the order of creation; never used again.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i64,
    /// Its name, for people; not unique.
    pub name: String,
    /// The image, which may be gone.
    pub firmware_id: i64,
    /// For example `RUNNING`.
    pub state: String,
    /// False while its devices are being written, and once they are being removed: then nobody sees it.
    pub is_whole: bool,
    /// All of it, a JSON object.
    pub detail: String,
    /// Epoch milliseconds.
    pub created_at: i64,
    /// Epoch milliseconds.
    pub finished_at: Option<i64>,
}

/// Rows of other tables that belong to a row.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
