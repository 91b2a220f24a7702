//! The people who may log in.

use sea_orm::entity::prelude::*;

/// One row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "user")]
pub struct Model {
    /// Its row.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i64,
    /// The login name.
    #[sea_orm(unique)]
    pub name: String,
    /// `viewer`, `operator` or `admin`.
    pub role: String,
    /// A PHC string (Argon2id); empty without a password.
    pub password_hash: String,
    /// True until the first password was changed.
    pub must_change_password: bool,
    /// Epoch milliseconds.
    pub created_at: i64,
    /// True while the person may not log in.
    pub disabled: bool,
    /// Who it is to an OpenID Connect provider: the issuer, a space, the subject. None: a local account.
    #[sea_orm(unique)]
    pub subject: Option<String>,
    /// The sealed secret of the one-time codes.
    pub totp_secret: Option<Vec<u8>>,
    /// True once a code of it was shown.
    pub totp_confirmed: bool,
    /// The last time step whose code was used.
    pub totp_step: i64,
}

/// Rows of other tables that belong to a row.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
