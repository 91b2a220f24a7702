//! Object models that people uploaded.

use sea_orm::entity::prelude::*;

/// One row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "object_model")]
pub struct Model {
    /// Its row.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i64,
    /// The object; unique together with the version.
    pub object_id: i32,
    /// The version of the object, for example `1.0`.
    pub version: String,
    /// The name of the object.
    pub name: String,
    /// Its definition, the XML as it was uploaded.
    pub source: String,
    /// When it was uploaded.
    pub created_at: i64,
    /// Who uploaded it.
    pub created_by: String,
}

/// Rows of other tables that belong to a row.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
