//! What is wanted to be observed on devices, by templates and by people.

use sea_orm::entity::prelude::*;

/// One row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "wanted_observation")]
pub struct Model {
    /// Its row, given out once.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i64,
    /// The device.
    pub endpoint_id: i64,
    /// A JSON array of paths.
    pub paths: String,
    /// True for Observe-Composite.
    pub composite: bool,
    /// The template that wants it.
    pub template_id: Option<i64>,
    /// The template's revision.
    pub template_revision: Option<i64>,
    /// Who asked for it by an operation.
    pub user_name: Option<String>,
    /// Who cancelled what the template wants.
    pub cancelled_by: Option<String>,
    /// Notification attributes, a JSON array of name and value.
    pub attributes: String,
    /// Attributes that are to be removed, a JSON array of names.
    pub withdrawn: String,
    /// True once the attributes were asked for in this registration.
    pub attributes_asked: bool,
    /// Why the device did not take them, in words.
    pub attributes_error: Option<String>,
    /// The name of the content format asked for.
    pub format: Option<String>,
    /// `active`, `lost`, `missing`, `refused` or `requested`.
    pub state: String,
    /// Why, in words.
    pub reason: Option<String>,
    /// Since when, epoch milliseconds.
    pub since: i64,
    /// Not asked for before this time, epoch milliseconds.
    pub retry_at: Option<i64>,
    /// How often it was lost in a row.
    pub losses: i64,
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
