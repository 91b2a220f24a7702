//! Registrations in force, one a device at most.

use sea_orm::entity::prelude::*;

/// One row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "registration")]
pub struct Model {
    /// The device.
    #[sea_orm(primary_key, auto_increment = false)]
    pub endpoint_id: i64,
    /// What follows `/rd/` in Update and Deregister.
    #[sea_orm(unique)]
    pub location: String,
    /// `udp`, or `dtls:` and the session in hex.
    pub transport: String,
    /// Address and port.
    pub address: String,
    /// `1.0`, `1.1` or `1.2`.
    pub lwm2m_version: String,
    /// As announced.
    pub binding: String,
    /// True when it sleeps between its messages.
    pub queue_mode: bool,
    /// Milliseconds from each Register or Update to the expiry.
    pub lifetime_ms: i64,
    /// As announced.
    pub sms_number: Option<String>,
    /// The path in front of every LwM2M path.
    pub root: String,
    /// What it announced, a JSON array.
    pub objects: String,
    /// Content formats, a JSON array of numbers.
    pub formats: String,
    /// Unknown query parameters, a JSON object.
    pub attributes: String,
    /// What was forgiven, a JSON array.
    pub warnings: String,
    /// The object links as sent.
    pub raw_links: String,
    /// Epoch milliseconds.
    pub registered_at: i64,
    /// Epoch milliseconds.
    pub updated_at: i64,
    /// Epoch milliseconds.
    pub expires_at: i64,
    /// Message ids below it may have been used.
    pub message_id_mark: i32,
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
