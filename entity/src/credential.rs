//! What devices prove themselves with.

use sea_orm::entity::prelude::*;

/// One row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "credential")]
pub struct Model {
    /// Its row, given out once.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i64,
    /// The endpoint that it lets speak; it need not have been seen yet.
    pub endpoint: String,
    /// `psk`, `rpk` or `x509`.
    pub kind: String,
    /// What names it to people: the PSK identity, the fingerprint of the public key, the serial
    /// number of the certificate.
    pub label: String,
    /// The PSK identity; unique.
    pub psk_identity: Option<String>,
    /// The pre-shared key, sealed.
    pub sealed_key: Option<Vec<u8>>,
    /// The public key (`SubjectPublicKeyInfo`) or the certificate, DER.
    pub public_part: Option<Vec<u8>>,
    /// SHA-256 of `public_part` in hex; unique.
    pub fingerprint: Option<String>,
    /// The serial number of the certificate in hex.
    pub serial: Option<String>,
    /// The subject of the certificate.
    pub subject: Option<String>,
    /// From when on the certificate is valid.
    pub not_before: Option<i64>,
    /// Until when the certificate is valid.
    pub not_after: Option<i64>,
    /// What somebody noted.
    pub note: String,
    /// When it was stored.
    pub created_at: i64,
    /// Who stored it.
    pub created_by: String,
    /// When a device last proved itself with it, to the minute.
    pub last_used_at: Option<i64>,
}

/// Rows of other tables that belong to a row.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
