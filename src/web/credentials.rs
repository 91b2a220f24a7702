//! The credentials of devices: how what is stored gets into force, and stays in step with it.
//!
//! Who changes credentials does it here, so that the database and the [`Keyring`] change together and at
//! once; what `flownexus credential` does beside the running server is noticed by the composition root's
//! regular look ([`Credentials::refresh`]).

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use zeroize::Zeroizing;

use crate::config;
use crate::domain::{CredentialId, CredentialKind, Doer, EndpointName, Timestamp};
use crate::security::certificates::{DeviceEnds, Ending, Holder, is_signed_by};
use crate::security::{
    CheckedProof, Credential, InputError, Keyring, Proof, Vault, VaultError, credential_input,
};
use crate::store::{
    Addition, CredentialFilter, CredentialStore, RevocationStore, RevokedCertificate, StoreError,
    StoredCertificate, StoredCredential, StoredProof,
};

/// Everything that the credentials are kept in.
pub trait CredentialStores: CredentialStore + RevocationStore {}

impl<T: CredentialStore + RevocationStore> CredentialStores for T {}

/// The credentials in the database and those in force.
#[expect(missing_debug_implementations, reason = "it holds a trait object")]
pub struct Credentials {
    store: Arc<dyn CredentialStores>,
    vault: Vault,
    keyring: Keyring,
    /// The certificates that ours are signed with, one after the other, where there are any.
    ca: PathBuf,
    /// So many may be stored.
    max: usize,
    /// The ends of stored certificates, for who warns of them.
    ends: DeviceEnds,
    /// Held while the store is changed or read and the keyring follows, so that an older look never
    /// follows a newer one.
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// What the store said when it was last read.
    revision: Option<i64>,
    /// The credentials in force, and those that cannot be.
    ids: BTreeSet<CredentialId>,
    /// When a use was last noted in the store.
    touched: BTreeMap<CredentialId, Timestamp>,
}

/// A credential to be stored.
#[derive(Clone, Debug)]
pub struct NewCredential {
    /// Whom it lets speak.
    pub endpoint: EndpointName,
    /// What proves it.
    pub proof: CheckedProof,
    /// What somebody notes.
    pub note: String,
    /// Who stores it.
    pub by: Doer,
}

/// What becomes of the serial number of a certificate that is removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AfterRemoval {
    /// It is revoked when the certificate would be trusted without its credential: when one of our CAs
    /// signed it, or may have.
    #[default]
    RevokeOurs,
    /// It is not revoked: where our CA signed it the device may come back.
    Keep,
}

/// A credential that was removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removed {
    /// As it was.
    pub credential: StoredCredential,
    /// The serial number that was revoked with it.
    pub revoked: Option<String>,
}

/// Why credentials cannot be changed or put into force.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// What was given is no credential.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The note is too long.
    #[error("a note or reason has at most {MAX_NOTE_BYTES} bytes")]
    LongNote,
    /// A certificate with this serial number was revoked.
    #[error("certificates with the serial number {0} are revoked; restore it first")]
    Revoked(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Only one credential may have it. Admins may know whose it is, nobody else.
    #[error("{what} is that of another credential")]
    Taken {
        /// What it is about.
        what: String,
        /// The one that has it.
        holder: Box<StoredCredential>,
    },
    /// No more may be stored.
    #[error("there are {limit} credentials, which is all that setting `credentials.max` allows")]
    TooMany {
        /// `credentials.max`
        limit: u64,
    },
    /// The secrets cannot be opened.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

impl CredentialError {
    /// The same for an admin, with the endpoint that has what only one may have.
    pub fn for_admins(&self) -> String {
        match self {
            Self::Taken { what, holder } => format!(
                "{what} is that of credential {} of the endpoint `{}`",
                holder.id, holder.endpoint
            ),
            other => other.to_string(),
        }
    }
}

impl Credentials {
    /// The stored ones come into force with [`Credentials::load`].
    pub fn new(
        store: Arc<dyn CredentialStores>,
        vault: Vault,
        keyring: Keyring,
        ends: DeviceEnds,
        data_dir: &Path,
    ) -> Self {
        Self {
            store,
            vault,
            keyring,
            ca: data_dir.join(CA_FILE),
            max: config::Settings::defaults().credentials.max,
            ends,
            known: Mutex::default(),
        }
    }

    /// The same with another limit of what may be stored (`credentials.max`).
    #[must_use]
    pub fn at_most(self, max: usize) -> Self {
        Self { max, ..self }
    }

    /// Puts what is stored into force, all of it: to be called before the first datagram is read.
    ///
    /// # Errors
    /// When the store fails, or when the key of a secret is missing: a server without the credentials of
    /// its devices would let others take their names.
    pub async fn load(&self) -> Result<usize, CredentialError> {
        let mut known = self.known.lock().await;
        let revision = self.store.revision().await?;
        let ids = self.store.ids().await?;
        let revoked = self.store.revoked().await?;
        let mut credentials = Vec::with_capacity(ids.len());
        self.ends.clear();
        for some in ids.chunks(ROWS_AT_ONCE) {
            for row in self.store.find(some.to_vec()).await? {
                self.watch(&row);
                credentials.push(self.opened(row)?);
            }
        }
        known.ids = credentials.iter().map(|credential| credential.id).collect();
        known.revision = Some(revision);
        let count = credentials.len();
        self.keyring.replace(
            credentials,
            revoked.into_iter().map(|certificate| certificate.serial),
        );
        Ok(count)
    }

    /// Puts what another process changed into force; true when there was something. A secret that cannot
    /// be opened is logged; nobody can use it, and its endpoint stays closed to everybody else.
    ///
    /// # Errors
    /// When the store fails; then the rest stays as it is until the next look.
    pub async fn refresh(&self) -> Result<bool, StoreError> {
        let mut known = self.known.lock().await;
        // Asked first: what changes meanwhile is seen by the next look.
        let revision = self.store.revision().await?;
        if known.revision == Some(revision) {
            return Ok(false);
        }
        let ids: BTreeSet<CredentialId> = self.store.ids().await?.into_iter().collect();
        let gone: Vec<CredentialId> = known.ids.difference(&ids).copied().collect();
        let new: Vec<CredentialId> = ids.difference(&known.ids).copied().collect();
        // Read after the ids and in force before them: what was removed and revoked meanwhile is trusted at
        // no moment in between.
        let revoked = self.store.revoked().await?;
        let serials = revoked.into_iter().map(|certificate| certificate.serial);
        let mut changed = self.keyring.set_revoked(serials);
        changed |= !gone.is_empty() || !new.is_empty();
        for id in gone {
            self.forget(&mut known, id);
        }
        for some in new.chunks(ROWS_AT_ONCE) {
            for row in self.store.find(some.to_vec()).await? {
                let id = row.id;
                let closed = closed(&row);
                self.watch(&row);
                let credential = self.opened(row).unwrap_or_else(|error| {
                    tracing::error!(
                        credential.id = %id,
                        error = %error,
                        "Nobody can use credential {id}: {error}"
                    );
                    closed
                });
                self.keyring.add(credential);
                known.ids.insert(id);
            }
        }
        known.revision = Some(revision);
        Ok(changed)
    }

    /// Stores a credential and puts it into force at once.
    ///
    /// # Errors
    /// [`CredentialError::Taken`], [`CredentialError::Revoked`], [`CredentialError::TooMany`], or when it
    /// cannot be stored or sealed.
    pub async fn add(&self, new: NewCredential) -> Result<StoredCredential, CredentialError> {
        check_note(&new.note)?;
        let mut known = self.known.lock().await;
        let id = self.store.reserve().await?;
        let proof = match new.proof {
            CheckedProof::Psk { identity, key } => {
                self.check_key().await?;
                let sealed_key = self.vault.seal(id, &identity, &key)?;
                StoredProof::Psk {
                    identity,
                    sealed_key,
                }
            }
            CheckedProof::Rpk { public_key } => StoredProof::Rpk {
                fingerprint: credential_input::fingerprint_hex(&public_key),
                public_key,
            },
            CheckedProof::X509(certificate) => StoredProof::X509(StoredCertificate {
                fingerprint: hex::encode(certificate.fingerprint),
                der: certificate.der,
                serial: certificate.serial,
                subject: certificate.subject,
                not_before: certificate.not_before,
                not_after: certificate.not_after,
            }),
        };
        let credential = StoredCredential {
            id,
            endpoint: new.endpoint,
            proof,
            note: new.note,
            created_at: Timestamp::system(),
            created_by: new.by.actor.clone(),
            last_used_at: None,
        };
        let stored = self
            .store
            .add(credential.clone(), self.max as u64, new.by)
            .await;
        let stored = stored.map_err(|error| match error {
            StoreError::Full { limit, .. } => CredentialError::TooMany { limit },
            error => error.into(),
        })?;
        match stored {
            Addition::Added => {}
            Addition::Revoked(certificate) => {
                return Err(CredentialError::Revoked(certificate.serial));
            }
            Addition::Taken(holder) => {
                let what = match &credential.proof {
                    StoredProof::Psk { identity, .. } => format!("the PSK identity `{identity}`"),
                    StoredProof::Rpk { .. } => "this public key".to_owned(),
                    StoredProof::X509(_) => "this certificate".to_owned(),
                };
                return Err(CredentialError::Taken { what, holder });
            }
        }
        self.keyring.add(self.opened(credential.clone())?);
        known.ids.insert(id);
        self.watch(&credential);
        Ok(credential)
    }

    /// Removes a credential; sessions that it opened end at once. Nothing when there is none of this id.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn remove(
        &self,
        id: CredentialId,
        then: AfterRemoval,
        by: Doer,
    ) -> Result<Option<Removed>, CredentialError> {
        // Before the lock: a slow disk must hold up nobody else.
        let cas = match then {
            AfterRemoval::RevokeOurs => self.read_cas().await,
            AfterRemoval::Keep => None,
        };
        let mut known = self.known.lock().await;
        let Some(credential) = self.store.find(vec![id]).await?.pop() else {
            return Ok(None);
        };
        let revoke = match &credential.proof {
            StoredProof::X509(certificate)
                if then == AfterRemoval::RevokeOurs && may_be_ours(certificate, cas.as_deref()) =>
            {
                Some(RevokedCertificate {
                    serial: certificate.serial.clone(),
                    reason: format!("credential {id} was removed"),
                    endpoint: Some(credential.endpoint.clone()),
                    revoked_at: Timestamp::system(),
                    revoked_by: by.actor.clone(),
                })
            }
            StoredProof::Psk { .. } | StoredProof::Rpk { .. } | StoredProof::X509(_) => None,
        };
        let revoked = revoke.as_ref().map(|revoke| revoke.serial.clone());
        let Some(credential) = self.store.remove(id, revoke, by).await? else {
            return Ok(None);
        };
        // First the serial number, so that the certificate is trusted at no moment in between.
        if let Some(serial) = &revoked {
            self.keyring.revoke(serial.clone());
        }
        self.forget(&mut known, id);
        Ok(Some(Removed {
            credential,
            revoked,
        }))
    }

    /// Trusts no certificate with this serial number any more, whoever shows it; nothing when that was so
    /// already.
    ///
    /// # Errors
    /// When the serial number is none, or the store fails.
    pub async fn revoke(
        &self,
        serial: &str,
        reason: &str,
        endpoint: Option<EndpointName>,
        by: Doer,
    ) -> Result<Option<RevokedCertificate>, CredentialError> {
        check_note(reason)?;
        let certificate = RevokedCertificate {
            serial: credential_input::serial(serial)?,
            reason: reason.to_owned(),
            endpoint,
            revoked_at: Timestamp::system(),
            revoked_by: by.actor.clone(),
        };
        let _known = self.known.lock().await;
        if !self.store.revoke(certificate.clone(), by).await? {
            return Ok(None);
        }
        self.keyring.revoke(certificate.serial.clone());
        Ok(Some(certificate))
    }

    /// Trusts certificates with this serial number again; false when they were not revoked.
    ///
    /// # Errors
    /// When the serial number is none, or the store fails.
    pub async fn restore(&self, serial: &str, by: Doer) -> Result<bool, CredentialError> {
        let serial = credential_input::serial(serial)?;
        let _known = self.known.lock().await;
        let restored = self.store.restore(&serial, by).await?;
        if restored {
            let revoked = self.store.revoked().await?;
            self.keyring
                .set_revoked(revoked.into_iter().map(|certificate| certificate.serial));
        }
        Ok(restored)
    }

    /// Some of the stored ones.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn list(
        &self,
        filter: &CredentialFilter,
    ) -> Result<Vec<StoredCredential>, StoreError> {
        self.store.list(filter).await
    }

    /// One of the stored ones.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn find(&self, id: CredentialId) -> Result<Option<StoredCredential>, StoreError> {
        Ok(self.store.find(vec![id]).await?.pop())
    }

    /// The certificates that are not trusted, newest first.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn revoked(&self) -> Result<Vec<RevokedCertificate>, StoreError> {
        self.store.revoked().await
    }

    /// Stores which credentials were used since this was last called, each at most once a minute.
    ///
    /// # Errors
    /// When the store fails; these uses are then forgotten.
    pub async fn note_uses(&self, now: Timestamp) -> Result<(), StoreError> {
        let used = self.keyring.take_used();
        if used.is_empty() {
            return Ok(());
        }
        let mut known = self.known.lock().await;
        let due: Vec<CredentialId> = used
            .into_iter()
            .filter(|id| {
                known.ids.contains(id)
                    && known
                        .touched
                        .get(id)
                        .is_none_or(|before| now.since(*before) >= TOUCH_INTERVAL)
            })
            .collect();
        if due.is_empty() {
            return Ok(());
        }
        self.store.touch(due.clone(), now).await?;
        known.touched.extend(due.into_iter().map(|id| (id, now)));
        Ok(())
    }

    /// Makes sure that what is sealed already opens, so that a second key is never begun.
    async fn check_key(&self) -> Result<(), CredentialError> {
        let one = CredentialFilter {
            kind: Some(CredentialKind::Psk),
            limit: 1,
            ..CredentialFilter::default()
        };
        for sealed in self.store.list(&one).await? {
            self.opened(sealed)?;
        }
        Ok(())
    }

    /// One that is in force has to be warned of before it ends.
    fn watch(&self, row: &StoredCredential) {
        if let StoredProof::X509(certificate) = &row.proof {
            let ending = Ending {
                holder: Holder::Device(row.endpoint.clone(), certificate.serial.clone()),
                ends: certificate.not_after,
            };
            self.ends.watch(row.id, ending);
        }
    }

    /// One that is not stored any more is in force no more.
    fn forget(&self, known: &mut Known, id: CredentialId) {
        self.keyring.remove(id);
        self.ends.forget(id);
        known.ids.remove(&id);
        known.touched.remove(&id);
    }

    /// The form that handshakes need.
    fn opened(&self, row: StoredCredential) -> Result<Credential, CredentialError> {
        let proof = match row.proof {
            StoredProof::Psk {
                identity,
                sealed_key,
            } => {
                let key: Zeroizing<Vec<u8>> = self.vault.unseal(row.id, &identity, &sealed_key)?;
                Proof::Psk { identity, key }
            }
            StoredProof::Rpk { public_key, .. } => Proof::Rpk { public_key },
            StoredProof::X509(certificate) => {
                let mut fingerprint = [0; 32];
                hex::decode_to_slice(&certificate.fingerprint, &mut fingerprint).map_err(
                    |error| StoreError::Corrupt {
                        what: "credential",
                        why: error.to_string(),
                    },
                )?;
                Proof::X509 {
                    fingerprint,
                    serial: certificate.serial,
                }
            }
        };
        Ok(Credential {
            id: row.id,
            endpoint: row.endpoint,
            proof,
        })
    }

    /// The certificates that ours are signed with, where there are any.
    async fn read_cas(&self) -> Option<Vec<u8>> {
        let ca = self.ca.clone();
        let read = tokio::task::spawn_blocking(move || std::fs::read(ca)).await;
        read.ok()?.ok()
    }
}

/// True when the certificate would be trusted without its credential: one of our CAs signed it. A serial
/// number is that of one CA only: revoking one that a stranger chose could shut out another device.
///
/// Whether an authority signed it that one of our CAs has signed is not seen here, since devices bring the
/// certificates in between themselves: such a serial number has to be revoked by hand, unless what is in
/// between stands in `certs/ca.crt` too.
fn may_be_ours(certificate: &StoredCertificate, cas: Option<&[u8]>) -> bool {
    cas.and_then(|cas| is_signed_by(&certificate.der, cas))
        // Without a CA that can be read nobody can tell, except that nobody else signed it.
        .unwrap_or_else(|| is_signed_by(&certificate.der, &certificate.der) != Some(true))
}

/// Takes the place of one that cannot be opened.
fn closed(row: &StoredCredential) -> Credential {
    // A key that nobody has; without randomness none at all, which ends handshakes too.
    let mut key = Zeroizing::new(vec![0; 32]);
    if getrandom::fill(&mut key).is_err() {
        key.clear();
    }
    let proof = Proof::Psk {
        identity: row.proof.label().to_owned(),
        key,
    };
    Credential {
        id: row.id,
        endpoint: row.endpoint.clone(),
        proof,
    }
}

fn check_note(note: &str) -> Result<(), CredentialError> {
    if note.len() > MAX_NOTE_BYTES {
        return Err(CredentialError::LongNote);
    }
    Ok(())
}

/// Where `serve` finds the certificates of its CAs, below `data_dir`.
const CA_FILE: &str = "certs/ca.crt";
/// Rows that are in memory at once while they are read.
const ROWS_AT_ONCE: usize = 1_000;
/// A use is written at most this often.
const TOUCH_INTERVAL: Duration = Duration::from_secs(60);
const MAX_NOTE_BYTES: usize = 1_000;
