//! Credentials in memory.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use flownexus::config::Settings;
use flownexus::domain::{AuditEntry, CredentialId, Doer, Timestamp};
use flownexus::security::{Certificates, Keyring, Vault};
use flownexus::store::{
    Addition, CredentialFilter, CredentialStore, RevocationStore, RevokedCertificate, StoreError,
    StoredCredential, StoredProof,
};
use flownexus::web::credentials::Credentials;

use super::fake_people::People;

pub(crate) struct FakeCredentials(Mutex<Rows>, Arc<Mutex<People>>);

#[derive(Default)]
struct Rows {
    rows: Vec<StoredCredential>,
    revoked: Vec<RevokedCertificate>,
    last_id: i64,
    revision: i64,
}

/// The service on an empty store with a key of its own, which tells these certificates what ends. Its changes are in
/// the audit log of these people.
pub(crate) fn fake_credentials(
    certificates: &Certificates,
    people: &Arc<Mutex<People>>,
) -> Arc<Credentials> {
    let folder = Path::new("/nowhere");
    Arc::new(Credentials::new(
        Arc::new(FakeCredentials(Mutex::default(), Arc::clone(people))),
        Vault::with(folder, Some(&"07".repeat(32))).expect("a key"),
        Keyring::default(),
        certificates.devices().clone(),
        folder,
    ))
}

/// Certificates that were made just now.
pub(crate) fn fake_certificates() -> Certificates {
    let folder = tempfile::tempdir().expect("a folder");
    let mut settings = Settings::defaults();
    settings.data_dir = folder.path().to_owned();
    Certificates::open(&settings, Timestamp::system()).expect("certificates")
}

impl FakeCredentials {
    fn note(&self, line: AuditEntry) {
        let mut people = self.1.lock().unwrap_or_else(PoisonError::into_inner);
        people.note(Some(line));
    }

    fn with<T>(&self, work: impl FnOnce(&mut Rows) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Rows {
    fn revoke(&mut self, certificate: RevokedCertificate) -> bool {
        let known = self
            .revoked
            .iter()
            .any(|other| other.serial == certificate.serial);
        if !known {
            self.revoked.push(certificate);
            self.revision += 1;
        }
        !known
    }
}

/// True when only one of both may be there.
fn collide(one: &StoredProof, other: &StoredProof) -> bool {
    match (one, other) {
        (StoredProof::Psk { .. }, StoredProof::Psk { .. }) => one.label() == other.label(),
        (
            StoredProof::Rpk { fingerprint, .. },
            StoredProof::Rpk {
                fingerprint: other, ..
            },
        ) => fingerprint == other,
        (StoredProof::X509(one), StoredProof::X509(other)) => one.fingerprint == other.fingerprint,
        _ => false,
    }
}

fn matches(row: &StoredCredential, filter: &CredentialFilter) -> bool {
    let search = filter.search.as_deref().unwrap_or("").to_ascii_lowercase();
    let texts = [row.endpoint.as_str(), row.proof.label(), &row.note];
    let end = match &row.proof {
        StoredProof::X509(certificate) => Some(certificate.not_after),
        _ => None,
    };
    filter
        .endpoint
        .as_ref()
        .is_none_or(|endpoint| row.endpoint == *endpoint)
        && filter.kind.is_none_or(|kind| row.proof.kind() == kind)
        && texts
            .iter()
            .any(|text| text.to_ascii_lowercase().contains(&search))
        && filter
            .expires_before
            .is_none_or(|moment| end.is_some_and(|end| end < moment))
        && filter
            .after
            .as_ref()
            .is_none_or(|(endpoint, id)| (&row.endpoint, row.id) > (endpoint, *id))
}

#[async_trait]
impl CredentialStore for FakeCredentials {
    async fn reserve(&self) -> Result<CredentialId, StoreError> {
        Ok(self.with(|state| {
            state.last_id += 1;
            CredentialId(state.last_id)
        }))
    }

    async fn add(
        &self,
        credential: StoredCredential,
        limit: u64,
        by: Doer,
    ) -> Result<Addition, StoreError> {
        let (subject, detail) = (credential.endpoint.clone(), credential.describe());
        let added = self.with(|state| {
            let mut rows = state.rows.iter();
            if let Some(other) = rows.find(|row| collide(&row.proof, &credential.proof)) {
                return Ok(Addition::Taken(Box::new(other.clone())));
            }
            if let StoredProof::X509(certificate) = &credential.proof
                && let Some(revoked) = state
                    .revoked
                    .iter()
                    .find(|revoked| revoked.serial == certificate.serial)
            {
                return Ok(Addition::Revoked(revoked.clone()));
            }
            if state.rows.len() as u64 >= limit {
                return Err(StoreError::Full {
                    what: "credentials",
                    limit,
                });
            }
            state.rows.push(credential);
            state.revision += 1;
            Ok(Addition::Added)
        });
        if matches!(added, Ok(Addition::Added)) {
            self.note(by.line("credential.create", subject.as_str(), detail));
        }
        added
    }

    async fn list(&self, filter: &CredentialFilter) -> Result<Vec<StoredCredential>, StoreError> {
        Ok(self.with(|state| {
            let mut rows: Vec<_> = state
                .rows
                .iter()
                .filter(|row| matches(row, filter))
                .cloned()
                .collect();
            rows.sort_by(|one, other| (&one.endpoint, one.id).cmp(&(&other.endpoint, other.id)));
            rows.truncate(filter.limit as usize);
            rows
        }))
    }

    async fn find(&self, ids: Vec<CredentialId>) -> Result<Vec<StoredCredential>, StoreError> {
        Ok(self.with(|state| {
            let rows = state.rows.iter().filter(|row| ids.contains(&row.id));
            rows.cloned().collect()
        }))
    }

    async fn ids(&self) -> Result<Vec<CredentialId>, StoreError> {
        Ok(self.with(|state| state.rows.iter().map(|row| row.id).collect()))
    }

    async fn remove(
        &self,
        id: CredentialId,
        revoke: Option<RevokedCertificate>,
        by: Doer,
    ) -> Result<Option<StoredCredential>, StoreError> {
        let removed = self.with(|state| {
            let at = state.rows.iter().position(|row| row.id == id)?;
            if let Some(certificate) = revoke {
                state.revoke(certificate);
            }
            state.revision += 1;
            Some(state.rows.remove(at))
        });
        if let Some(removed) = &removed {
            let (subject, detail) = (removed.endpoint.as_str(), removed.describe());
            self.note(by.line("credential.delete", subject, detail));
        }
        Ok(removed)
    }

    async fn touch(&self, used: Vec<CredentialId>, at: Timestamp) -> Result<(), StoreError> {
        self.with(|state| {
            for row in &mut state.rows {
                if used.contains(&row.id) {
                    row.last_used_at = Some(at);
                }
            }
        });
        Ok(())
    }

    async fn revision(&self) -> Result<i64, StoreError> {
        Ok(self.with(|state| state.revision))
    }
}

#[async_trait]
impl RevocationStore for FakeCredentials {
    async fn revoke(&self, certificate: RevokedCertificate, by: Doer) -> Result<bool, StoreError> {
        let (serial, reason) = (certificate.serial.clone(), certificate.reason.clone());
        let revoked = self.with(|state| state.revoke(certificate));
        if revoked {
            self.note(by.line("certificate.revoke", &serial, reason));
        }
        Ok(revoked)
    }

    async fn restore(&self, serial: &str, by: Doer) -> Result<bool, StoreError> {
        let restored = self.with(|state| {
            let before = state.revoked.len();
            state.revoked.retain(|revoked| revoked.serial != serial);
            state.revision += 1;
            state.revoked.len() < before
        });
        if restored {
            self.note(by.line("certificate.restore", serial, ""));
        }
        Ok(restored)
    }

    async fn revoked(&self) -> Result<Vec<RevokedCertificate>, StoreError> {
        Ok(self.with(|state| state.revoked.iter().rev().cloned().collect()))
    }
}
