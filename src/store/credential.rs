//! What devices prove themselves with, and the certificates that are not trusted any more.
//!
//! The store keeps pre-shared keys sealed and has no key to open them (`security/vault.rs`). A
//! credential never changes: it is added and removed, under a row id that is not used again.

use async_trait::async_trait;
use flownexus_entity::{credential, revoked_certificate, server_state};
use sea_orm::sea_query::{Expr, ExprTrait as _, Func, LikeExpr};
use sea_orm::{
    ActiveValue::Set, ColumnTrait as _, Condition, DatabaseTransaction, EntityTrait as _,
    PaginatorTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _,
};

use super::audit;
use super::endpoint::like_pattern;
use super::records::{corrupt, millis, name, text, time};
use super::sequence::{count_up, next_id};
use super::{Store, StoreError};
use crate::domain::{CredentialId, CredentialKind, Doer, EndpointName, Timestamp};

/// A credential as it is kept: all of it but the key may be shown to admins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredCredential {
    /// Its row, from [`CredentialStore::reserve`].
    pub id: CredentialId,
    /// Whom it lets speak.
    pub endpoint: EndpointName,
    /// What it is checked by.
    pub proof: StoredProof,
    /// What somebody noted.
    pub note: String,
    /// When it was stored.
    pub created_at: Timestamp,
    /// Who stored it: a login, `token:NAME` or `command line`.
    pub created_by: String,
    /// When a device last proved itself with it, to the minute.
    pub last_used_at: Option<Timestamp>,
}

/// What a credential is checked by, as it is kept.
#[derive(Clone, PartialEq, Eq)]
pub enum StoredProof {
    /// A pre-shared key.
    Psk {
        /// The PSK identity, which no other credential has.
        identity: String,
        /// The key as the vault sealed it for this row and identity.
        sealed_key: Vec<u8>,
    },
    /// A raw public key.
    Rpk {
        /// The `SubjectPublicKeyInfo`, DER.
        public_key: Vec<u8>,
        /// SHA-256 of it, hex.
        fingerprint: String,
    },
    /// A certificate.
    X509(StoredCertificate),
}

/// A certificate as it is kept.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredCertificate {
    /// The certificate, DER.
    pub der: Vec<u8>,
    /// SHA-256 of it, hex.
    pub fingerprint: String,
    /// Its serial number, hex.
    pub serial: String,
    /// Its subject, for people.
    pub subject: String,
    /// From when on it is valid.
    pub not_before: Timestamp,
    /// Until when it is valid.
    pub not_after: Timestamp,
}

/// A certificate that is not trusted any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevokedCertificate {
    /// Its serial number, hex.
    pub serial: String,
    /// Why.
    pub reason: String,
    /// Whose it was, where that is known.
    pub endpoint: Option<EndpointName>,
    /// Since when.
    pub revoked_at: Timestamp,
    /// Who said so.
    pub revoked_by: String,
}

/// Which credentials, and in which part of the list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CredentialFilter {
    /// Those of one endpoint.
    pub endpoint: Option<EndpointName>,
    /// Those of one kind.
    pub kind: Option<CredentialKind>,
    /// A part of the endpoint's name, the label or the note, in any case (ASCII).
    pub search: Option<String>,
    /// Certificates that end before this moment.
    pub expires_before: Option<Timestamp>,
    /// Only those behind this one: the endpoint and the row of the last one of the page before.
    pub after: Option<(EndpointName, CredentialId)>,
    /// At most so many.
    pub limit: u64,
}

/// What became of a credential that was to be added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Addition {
    /// It is stored.
    Added,
    /// Its certificate is on the list of revoked ones; nothing was stored.
    Revoked(RevokedCertificate),
    /// This one has the same PSK identity, public key or certificate; nothing was stored.
    Taken(Box<StoredCredential>),
}

/// Keeps what devices prove themselves with.
#[async_trait]
pub trait CredentialStore: Send + Sync {
    /// A row id for a new credential, never given out before: its key is sealed for it.
    async fn reserve(&self) -> Result<CredentialId, StoreError>;
    /// Stores one under the id that was reserved for it. Fails with [`StoreError::Full`] when there would be
    /// more than `limit`. Each change is written with its line of the audit log.
    async fn add(
        &self,
        credential: StoredCredential,
        limit: u64,
        by: Doer,
    ) -> Result<Addition, StoreError>;
    /// Some of them, by endpoint and row.
    async fn list(&self, filter: &CredentialFilter) -> Result<Vec<StoredCredential>, StoreError>;
    /// Those of these rows that are there, by row.
    async fn find(&self, ids: Vec<CredentialId>) -> Result<Vec<StoredCredential>, StoreError>;
    /// The rows of all, by row.
    async fn ids(&self) -> Result<Vec<CredentialId>, StoreError>;
    /// Removes one and returns it; its PSK identity is free then. `revoke` makes an entry for the list
    /// of revoked certificates of it, in the same transaction.
    async fn remove(
        &self,
        id: CredentialId,
        revoke: Option<RevokedCertificate>,
        by: Doer,
    ) -> Result<Option<StoredCredential>, StoreError>;
    /// Notes when credentials were last used.
    async fn touch(&self, used: Vec<CredentialId>, at: Timestamp) -> Result<(), StoreError>;
    /// Changes with each addition, removal and revocation, whichever process made it; cheap.
    async fn revision(&self) -> Result<i64, StoreError>;
}

/// Keeps the serial numbers of certificates that are not trusted any more.
#[async_trait]
pub trait RevocationStore: Send + Sync {
    /// Puts a certificate on the list; false when it was there already, then it stays as it was.
    /// Each change is written with its line of the audit log.
    async fn revoke(&self, certificate: RevokedCertificate, by: Doer) -> Result<bool, StoreError>;
    /// Takes a certificate off the list; false when it was not there.
    async fn restore(&self, serial: &str, by: Doer) -> Result<bool, StoreError>;
    /// The list, newest first.
    async fn revoked(&self) -> Result<Vec<RevokedCertificate>, StoreError>;
}

impl StoredCredential {
    /// What it is, without the endpoint: for the audit log.
    pub fn describe(&self) -> String {
        let (kind, label) = (self.proof.kind(), self.proof.label());
        format!("{kind} {label}, credential {}", self.id)
    }
}

impl StoredProof {
    /// Which kind it is.
    pub fn kind(&self) -> CredentialKind {
        match self {
            Self::Psk { .. } => CredentialKind::Psk,
            Self::Rpk { .. } => CredentialKind::Rpk,
            Self::X509(_) => CredentialKind::X509,
        }
    }

    /// What names it to people: the PSK identity, the SHA-256 of the public key in hex, or the serial
    /// number of the certificate in hex.
    pub fn label(&self) -> &str {
        match self {
            Self::Psk { identity, .. } => identity,
            Self::Rpk { fingerprint, .. } => fingerprint,
            Self::X509(certificate) => &certificate.serial,
        }
    }
}

impl std::fmt::Debug for StoredProof {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}({})", self.kind(), self.label())
    }
}

impl std::fmt::Debug for StoredCertificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.serial, self.subject)
    }
}

#[async_trait]
impl CredentialStore for Store {
    async fn reserve(&self) -> Result<CredentialId, StoreError> {
        self.write(|transaction| {
            Box::pin(async move { Ok(CredentialId(next_id(transaction, TABLE).await?)) })
        })
        .await
    }

    async fn add(
        &self,
        credential: StoredCredential,
        limit: u64,
        by: Doer,
    ) -> Result<Addition, StoreError> {
        self.write(move |transaction| {
            Box::pin(async move {
                // Nobody writes between these and the insert: there is one writer, and the indexes
                // say so where there is one more in another process.
                if let Some(other) = same(transaction, &credential.proof).await? {
                    return Ok(Addition::Taken(Box::new(stored(other)?)));
                }
                if let StoredProof::X509(certificate) = &credential.proof
                    && let Some(row) =
                        revoked_certificate::Entity::find_by_id(certificate.serial.clone())
                            .one(transaction)
                            .await?
                {
                    return Ok(Addition::Revoked(revoked(row)?));
                }
                let (subject, detail) = (credential.endpoint.clone(), credential.describe());
                credential::Entity::insert(row(credential))
                    .exec_without_returning(transaction)
                    .await?;
                count_up(transaction, REVISION.to_owned()).await?;
                // Behind the count: whoever else writes waits for that row, so nobody misses another.
                check_count(transaction, limit).await?;
                let line = by.line("credential.create", subject.as_str(), detail);
                audit::insert(transaction, line).await?;
                Ok(Addition::Added)
            })
        })
        .await
    }

    async fn list(&self, filter: &CredentialFilter) -> Result<Vec<StoredCredential>, StoreError> {
        use credential::Column;
        let mut query = credential::Entity::find();
        if let Some(endpoint) = &filter.endpoint {
            query = query.filter(Column::Endpoint.eq(endpoint.as_str()));
        }
        if let Some(kind) = filter.kind {
            query = query.filter(Column::Kind.eq(kind.name()));
        }
        if let Some(search) = &filter.search {
            let part = text(search);
            // Only PostgreSQL knows the lower case of letters beyond ASCII: these are looked for as
            // they are, too.
            let (as_is, lower) = (
                like_pattern(&part),
                like_pattern(&part.to_ascii_lowercase()),
            );
            let like = |part: &str| LikeExpr::new(part.to_owned()).escape('\\');
            let contains = |column: Column| {
                Condition::any()
                    .add(column.like(like(&as_is)))
                    .add(Expr::from(Func::lower(Expr::col(column))).like(like(&lower)))
            };
            query = query.filter(
                Condition::any()
                    .add(contains(Column::Endpoint))
                    .add(contains(Column::Label))
                    .add(contains(Column::Note)),
            );
        }
        if let Some(moment) = filter.expires_before {
            query = query.filter(Column::NotAfter.lt(moment.as_millis()));
        }
        if let Some((endpoint, id)) = &filter.after {
            query = query.filter(
                Condition::any()
                    .add(Column::Endpoint.gt(endpoint.as_str()))
                    .add(
                        Condition::all()
                            .add(Column::Endpoint.eq(endpoint.as_str()))
                            .add(Column::Id.gt(id.0)),
                    ),
            );
        }
        let query = query
            .order_by_asc(Column::Endpoint)
            .order_by_asc(Column::Id)
            .limit(filter.limit);
        self.read_tables(|database| async move {
            query
                .all(&database)
                .await?
                .into_iter()
                .map(stored)
                .collect()
        })
        .await
    }

    async fn find(&self, ids: Vec<CredentialId>) -> Result<Vec<StoredCredential>, StoreError> {
        self.read_tables(|database| async move {
            let mut found = Vec::with_capacity(ids.len());
            for some in ids.chunks(BOUND_AT_ONCE) {
                let rows = credential::Entity::find()
                    .filter(credential::Column::Id.is_in(some.iter().map(|id| id.0)))
                    .order_by_asc(credential::Column::Id)
                    .all(&database)
                    .await?;
                for row in rows {
                    found.push(stored(row)?);
                }
            }
            Ok(found)
        })
        .await
    }

    async fn ids(&self) -> Result<Vec<CredentialId>, StoreError> {
        self.read_tables(|database| async move {
            let ids: Vec<i64> = credential::Entity::find()
                .select_only()
                .column(credential::Column::Id)
                .order_by_asc(credential::Column::Id)
                .into_tuple()
                .all(&database)
                .await?;
            Ok(ids.into_iter().map(CredentialId).collect())
        })
        .await
    }

    async fn remove(
        &self,
        id: CredentialId,
        revoke: Option<RevokedCertificate>,
        by: Doer,
    ) -> Result<Option<StoredCredential>, StoreError> {
        self.write(move |transaction| {
            Box::pin(async move {
                let Some(row) = credential::Entity::find_by_id(id.0)
                    .one(transaction)
                    .await?
                else {
                    return Ok(None);
                };
                credential::Entity::delete_by_id(id.0)
                    .exec(transaction)
                    .await?;
                if let Some(certificate) = revoke {
                    insert_revoked(transaction, certificate).await?;
                }
                count_up(transaction, REVISION.to_owned()).await?;
                let removed = stored(row)?;
                let (subject, detail) = (removed.endpoint.as_str(), removed.describe());
                let line = by.line("credential.delete", subject, detail);
                audit::insert(transaction, line).await?;
                Ok(Some(removed))
            })
        })
        .await
    }

    async fn touch(&self, used: Vec<CredentialId>, at: Timestamp) -> Result<(), StoreError> {
        self.write(move |transaction| {
            Box::pin(async move {
                for some in used.chunks(BOUND_AT_ONCE) {
                    credential::Entity::update_many()
                        .set(credential::ActiveModel {
                            last_used_at: Set(Some(at.as_millis())),
                            ..credential::ActiveModel::default()
                        })
                        .filter(credential::Column::Id.is_in(some.iter().map(|id| id.0)))
                        .exec(transaction)
                        .await?;
                }
                Ok(())
            })
        })
        .await
    }

    async fn revision(&self) -> Result<i64, StoreError> {
        self.read_tables(|database| async move {
            let row = server_state::Entity::find_by_id(REVISION.to_owned())
                .one(&database)
                .await?;
            Ok(row.map_or(0, |row| row.value))
        })
        .await
    }
}

#[async_trait]
impl RevocationStore for Store {
    async fn revoke(&self, certificate: RevokedCertificate, by: Doer) -> Result<bool, StoreError> {
        self.write(move |transaction| {
            Box::pin(async move {
                let (serial, reason) = (&certificate.serial, certificate.reason.as_str());
                let line = by.line("certificate.revoke", serial, reason);
                let is_new = insert_revoked(transaction, certificate).await?;
                if is_new {
                    audit::insert(transaction, line).await?;
                    count_up(transaction, REVISION.to_owned()).await?;
                }
                Ok(is_new)
            })
        })
        .await
    }

    async fn restore(&self, serial: &str, by: Doer) -> Result<bool, StoreError> {
        let serial = text(serial).into_owned();
        let line = by.line("certificate.restore", &serial, "");
        self.write(move |transaction| {
            Box::pin(async move {
                let result = revoked_certificate::Entity::delete_by_id(serial)
                    .exec(transaction)
                    .await?;
                if result.rows_affected > 0 {
                    audit::insert(transaction, line).await?;
                    count_up(transaction, REVISION.to_owned()).await?;
                }
                Ok(result.rows_affected > 0)
            })
        })
        .await
    }

    async fn revoked(&self) -> Result<Vec<RevokedCertificate>, StoreError> {
        self.read_tables(|database| async move {
            revoked_certificate::Entity::find()
                .order_by_desc(revoked_certificate::Column::RevokedAt)
                .order_by_asc(revoked_certificate::Column::Serial)
                .all(&database)
                .await?
                .into_iter()
                .map(revoked)
                .collect()
        })
        .await
    }
}

/// The credential that has what only one may have.
async fn same(
    transaction: &DatabaseTransaction,
    proof: &StoredProof,
) -> Result<Option<credential::Model>, StoreError> {
    let is_same = match proof {
        StoredProof::Psk { identity, .. } => credential::Column::PskIdentity.eq(identity.as_str()),
        StoredProof::Rpk { fingerprint, .. }
        | StoredProof::X509(StoredCertificate { fingerprint, .. }) => {
            credential::Column::Fingerprint.eq(fingerprint.as_str())
        }
    };
    Ok(credential::Entity::find()
        .filter(is_same)
        .one(transaction)
        .await?)
}

async fn insert_revoked(
    transaction: &DatabaseTransaction,
    certificate: RevokedCertificate,
) -> Result<bool, StoreError> {
    let known = revoked_certificate::Entity::find_by_id(certificate.serial.clone())
        .one(transaction)
        .await?;
    if known.is_some() {
        return Ok(false);
    }
    let endpoint = certificate.endpoint.as_ref().map(EndpointName::as_str);
    revoked_certificate::Entity::insert(revoked_certificate::ActiveModel {
        serial: Set(certificate.serial),
        reason: Set(text(&certificate.reason).into_owned()),
        endpoint: Set(endpoint.map(str::to_owned)),
        revoked_at: Set(certificate.revoked_at.as_millis()),
        revoked_by: Set(text(&certificate.revoked_by).into_owned()),
    })
    .exec_without_returning(transaction)
    .await?;
    Ok(true)
}

/// Fails when there are more than `limit`, and so ends the transaction without a change.
async fn check_count(transaction: &DatabaseTransaction, limit: u64) -> Result<(), StoreError> {
    // Ids begin at 1 and are not used again: below the limit there is no need to count.
    let newest: Option<i64> = credential::Entity::find()
        .select_only()
        .column_as(credential::Column::Id.max(), "newest")
        .into_tuple()
        .one(transaction)
        .await?
        .flatten();
    let may_be_more = newest.is_some_and(|id| u64::try_from(id).is_ok_and(|id| id > limit));
    if may_be_more && credential::Entity::find().count(transaction).await? > limit {
        return Err(StoreError::Full {
            what: "credentials",
            limit,
        });
    }
    Ok(())
}

fn row(credential: StoredCredential) -> credential::ActiveModel {
    let mut row = credential::ActiveModel {
        id: Set(credential.id.0),
        endpoint: Set(credential.endpoint.as_str().to_owned()),
        kind: Set(credential.proof.kind().name().to_owned()),
        label: Set(credential.proof.label().to_owned()),
        psk_identity: Set(None),
        sealed_key: Set(None),
        public_part: Set(None),
        fingerprint: Set(None),
        serial: Set(None),
        subject: Set(None),
        not_before: Set(None),
        not_after: Set(None),
        note: Set(text(&credential.note).into_owned()),
        created_at: Set(credential.created_at.as_millis()),
        created_by: Set(text(&credential.created_by).into_owned()),
        last_used_at: Set(millis(credential.last_used_at)),
    };
    match credential.proof {
        StoredProof::Psk {
            identity,
            sealed_key,
        } => {
            row.psk_identity = Set(Some(identity));
            row.sealed_key = Set(Some(sealed_key));
        }
        StoredProof::Rpk {
            public_key,
            fingerprint,
        } => {
            row.public_part = Set(Some(public_key));
            row.fingerprint = Set(Some(fingerprint));
        }
        StoredProof::X509(certificate) => {
            row.public_part = Set(Some(certificate.der));
            row.fingerprint = Set(Some(certificate.fingerprint));
            row.serial = Set(Some(certificate.serial));
            row.subject = Set(Some(text(&certificate.subject).into_owned()));
            row.not_before = Set(Some(certificate.not_before.as_millis()));
            row.not_after = Set(Some(certificate.not_after.as_millis()));
        }
    }
    row
}

fn stored(row: credential::Model) -> Result<StoredCredential, StoreError> {
    let id = row.id;
    let missing = |column| move || corrupt(WHAT, format!("row {id} has no {column}"));
    let proof = match row.kind.as_str() {
        "psk" => StoredProof::Psk {
            identity: row.psk_identity.ok_or_else(missing("psk_identity"))?,
            sealed_key: row.sealed_key.ok_or_else(missing("sealed_key"))?,
        },
        "rpk" => StoredProof::Rpk {
            public_key: row.public_part.ok_or_else(missing("public_part"))?,
            fingerprint: row.fingerprint.ok_or_else(missing("fingerprint"))?,
        },
        "x509" => StoredProof::X509(StoredCertificate {
            der: row.public_part.ok_or_else(missing("public_part"))?,
            fingerprint: row.fingerprint.ok_or_else(missing("fingerprint"))?,
            serial: row.serial.ok_or_else(missing("serial"))?,
            subject: row.subject.ok_or_else(missing("subject"))?,
            not_before: time(row.not_before.ok_or_else(missing("not_before"))?),
            not_after: time(row.not_after.ok_or_else(missing("not_after"))?),
        }),
        kind => return Err(corrupt(WHAT, format!("row {id} is of the kind `{kind}`"))),
    };
    Ok(StoredCredential {
        id: CredentialId(id),
        endpoint: name(&row.endpoint)?,
        proof,
        note: row.note,
        created_at: time(row.created_at),
        created_by: row.created_by,
        last_used_at: row.last_used_at.map(time),
    })
}

fn revoked(row: revoked_certificate::Model) -> Result<RevokedCertificate, StoreError> {
    Ok(RevokedCertificate {
        serial: row.serial,
        reason: row.reason,
        endpoint: row.endpoint.as_deref().map(name).transpose()?,
        revoked_at: time(row.revoked_at),
        revoked_by: row.revoked_by,
    })
}

const WHAT: &str = "credential";
const TABLE: &str = "credential";

/// The key in `server_state` of the number that each change counts up.
const REVISION: &str = "credential_revision";

/// SQLite binds at most 32,766 variables.
const BOUND_AT_ONCE: usize = 1_000;
