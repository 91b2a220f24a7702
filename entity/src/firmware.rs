//! Firmware images; their bytes are files in the data folder, named by the key.

use sea_orm::entity::prelude::*;

/// One row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "firmware")]
pub struct Model {
    /// Its row.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i64,
    /// What a device that runs it says of itself; unique.
    pub version: String,
    /// The name of the file for devices; unique.
    pub name: String,
    /// 32 hexadecimal digits; also the name of the file in the data folder.
    pub key: String,
    /// Of the bytes, in hexadecimal.
    pub sha256: String,
    /// Bytes.
    pub size: i64,
    /// What people should know of it.
    pub notes: String,
    /// The devices it is made for, as JSON.
    pub selection: String,
    /// When it was uploaded.
    pub created_at: i64,
    /// Who uploaded it.
    pub created_by: String,
}

/// Rows of other tables that belong to a row.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
