//! What is observed or read on each registration.

use sea_orm::entity::prelude::*;

/// One row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "observation_template")]
pub struct Model {
    /// Its row.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i64,
    /// A JSON array of paths.
    pub paths: String,
    /// `read`, `observe` or `observe_composite`.
    pub kind: String,
    /// Notification attributes, a JSON array of name and value.
    pub attributes: String,
    /// For which devices, JSON.
    pub selection: String,
    /// The name of the content format asked for.
    pub format: Option<String>,
    /// False while it counts for nobody.
    pub enabled: bool,
    /// Counted up with each change.
    pub revision: i64,
}

/// Rows of other tables that belong to a row.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
