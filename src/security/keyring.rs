//! The credentials that are valid now, in memory, for every thread: a handshake cannot wait for a
//! database.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use smallvec::SmallVec;
use tokio::sync::watch;
use zeroize::Zeroizing;

use super::credential_input::fingerprint_hex;
use crate::domain::{CredentialId, CredentialKind, EndpointName, Identity};

/// A credential of a device.
#[derive(Clone, Debug)]
pub struct Credential {
    /// Its row.
    pub id: CredentialId,
    /// Whom it lets speak.
    pub endpoint: EndpointName,
    /// What proves it.
    pub proof: Proof,
}

/// What a credential is checked by.
#[derive(Clone)]
pub enum Proof {
    /// A pre-shared key under an identity, which names one device only.
    Psk {
        /// The PSK identity (RFC 4279 section 5.1).
        identity: String,
        /// The key.
        key: PskKey,
    },
    /// A raw public key.
    Rpk {
        /// The `SubjectPublicKeyInfo`, DER (RFC 7250).
        public_key: Vec<u8>,
    },
    /// One certificate, whoever signed it.
    X509 {
        /// SHA-256 of the DER.
        fingerprint: [u8; 32],
        /// Its serial number, in hex.
        serial: String,
    },
}

/// A pre-shared key; wiped when it is dropped, never shown.
pub type PskKey = Zeroizing<Vec<u8>>;

impl std::fmt::Debug for Proof {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Psk { identity, .. } => write!(f, "Psk({identity})"),
            Self::Rpk { public_key } => write!(f, "Rpk({} bytes)", public_key.len()),
            Self::X509 { serial, .. } => write!(f, "X509({serial})"),
        }
    }
}

/// The credentials in force. Cheap to clone; every clone sees the same.
#[derive(Clone)]
pub struct Keyring {
    keys: Arc<RwLock<Keys>>,
    /// Told whenever something was taken away.
    removals: Arc<watch::Sender<u64>>,
}

#[derive(Default)]
struct Keys {
    all: HashMap<CredentialId, Credential>,
    psk: HashMap<String, CredentialId>,
    rpk: HashMap<Vec<u8>, CredentialId>,
    x509: HashMap<[u8; 32], CredentialId>,
    /// What each endpoint has.
    endpoints: HashMap<EndpointName, Held>,
    /// Serial numbers, in hex, of certificates that are not trusted any more.
    revoked: HashSet<String>,
    /// Stored credentials that proved somebody since this was last taken.
    used: HashSet<CredentialId>,
}

#[derive(Clone, Default)]
struct Held {
    ids: SmallVec<[CredentialId; 2]>,
    certificates: usize,
    /// The one that the endpoint has proven itself by last: it has that one, whatever was added since.
    last: Option<CredentialId>,
}

impl Default for Keyring {
    fn default() -> Self {
        Self {
            keys: Arc::default(),
            removals: Arc::new(watch::channel(0).0),
        }
    }
}

impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keyring").finish_non_exhaustive()
    }
}

impl Keyring {
    /// Takes the place of everything before.
    pub fn replace(&self, credentials: Vec<Credential>, revoked: impl IntoIterator<Item = String>) {
        let mut keys = Keys::default();
        for credential in credentials {
            keys.add(credential);
        }
        keys.revoked = revoked.into_iter().collect();
        *self.write() = keys;
        self.tell();
    }

    /// A credential is valid from now on.
    pub fn add(&self, credential: Credential) {
        self.write().add(credential);
    }

    /// A credential is not valid any more; sessions that it opened end.
    pub fn remove(&self, id: CredentialId) {
        self.write().remove(id);
        self.tell();
    }

    /// A certificate with this serial number (hex) is not trusted any more.
    pub fn revoke(&self, serial: String) {
        self.write().revoked.insert(serial);
        self.tell();
    }

    /// These serial numbers (hex) are the ones that are not trusted, and no others; true when that
    /// was not so before.
    pub fn set_revoked(&self, serials: impl IntoIterator<Item = String>) -> bool {
        let serials: HashSet<String> = serials.into_iter().collect();
        let mut keys = self.write();
        let before = std::mem::replace(&mut keys.revoked, serials);
        let is_more = !keys.revoked.is_subset(&before);
        let is_other = keys.revoked != before;
        drop(keys);
        if is_more {
            self.tell();
        }
        is_other
    }

    /// A handshake has proven this identity: its credential is in use.
    pub fn used(&self, identity: &Identity) {
        if let Some(id) = identity.credential {
            let mut keys = self.write();
            // Bounded by the credentials that there are.
            if keys.all.contains_key(&id) {
                keys.used.insert(id);
                if let Some(held) = keys.endpoints.get_mut(&identity.endpoint) {
                    held.last = Some(id);
                }
            }
        }
    }

    /// The credentials that were in use since this was last asked.
    pub fn take_used(&self) -> HashSet<CredentialId> {
        std::mem::take(&mut self.write().used)
    }

    /// The key of a PSK identity, and whom it lets speak.
    pub fn psk(&self, identity: &str) -> Option<(Identity, PskKey)> {
        let keys = self.read();
        let credential = keys.all.get(keys.psk.get(identity)?)?;
        let Proof::Psk { key, .. } = &credential.proof else {
            return None;
        };
        Some((credential.identity(), key.clone()))
    }

    /// The pre-shared key of an endpoint for a session that we begin ourselves: the one that it has proven
    /// itself by last, or the newest. While a key is changed the device has the old one still.
    pub fn psk_of(&self, endpoint: &EndpointName) -> Option<(Identity, PskKey)> {
        let keys = self.read();
        let held = keys.endpoints.get(endpoint)?;
        let newest = held
            .ids
            .iter()
            .filter_map(|id| keys.all.get(id))
            .filter(|credential| matches!(credential.proof, Proof::Psk { .. }))
            .max_by_key(|credential| (held.last == Some(credential.id), credential.id))?;
        match &newest.proof {
            Proof::Psk { key, .. } => Some((newest.identity(), key.clone())),
            Proof::Rpk { .. } | Proof::X509 { .. } => None,
        }
    }

    /// Whom a raw public key (`SubjectPublicKeyInfo`, DER) lets speak.
    pub fn rpk(&self, public_key: &[u8]) -> Option<Identity> {
        let keys = self.read();
        Some(keys.all.get(keys.rpk.get(public_key)?)?.identity())
    }

    /// Whom a stored certificate (SHA-256 of its DER) lets speak.
    pub fn x509(&self, fingerprint: &[u8; 32]) -> Option<Identity> {
        let keys = self.read();
        Some(keys.all.get(keys.x509.get(fingerprint)?)?.identity())
    }

    /// True when no certificate with this serial number (hex) is trusted.
    pub fn is_revoked(&self, serial: &str) -> bool {
        self.read().revoked.contains(serial)
    }

    /// True when the endpoint has a credential of any kind: it is refused on plain CoAP.
    pub fn holds(&self, endpoint: &EndpointName) -> bool {
        self.read().endpoints.contains_key(endpoint)
    }

    /// True when the endpoint has stored certificates: then no other certificate speaks for it,
    /// whoever signed it.
    pub fn pins_certificates(&self, endpoint: &EndpointName) -> bool {
        self.read()
            .endpoints
            .get(endpoint)
            .is_some_and(|held| held.certificates > 0)
    }

    /// False once the credential that proved the identity is gone, or its certificate was revoked.
    pub fn is_current(&self, identity: &Identity) -> bool {
        let keys = self.read();
        if identity.kind == CredentialKind::X509 && keys.revoked.contains(&identity.label) {
            return false;
        }
        match identity.credential {
            Some(id) => keys
                .all
                .get(&id)
                .is_some_and(|credential| credential.endpoint == identity.endpoint),
            None => keys
                .endpoints
                .get(&identity.endpoint)
                .is_none_or(|held| held.certificates == 0),
        }
    }

    /// The identity as far as it is still valid: nothing once its credential is gone, and without the names
    /// of its certificate that others have been stored for since.
    pub fn current(&self, identity: &Arc<Identity>) -> Option<Arc<Identity>> {
        if !self.is_current(identity) {
            return None;
        }
        if identity
            .others
            .iter()
            .any(|name| self.pins_certificates(name))
        {
            let mut left = Identity::clone(identity);
            left.others.retain(|name| !self.pins_certificates(name));
            return Some(Arc::new(left));
        }
        Some(Arc::clone(identity))
    }

    /// Changes whenever a credential was taken away.
    pub fn removals(&self) -> watch::Receiver<u64> {
        self.removals.subscribe()
    }

    fn tell(&self) {
        self.removals
            .send_modify(|count| *count = count.wrapping_add(1));
    }

    // A panic while the lock is held cannot leave the tables half changed in a way that matters: the
    // next reload replaces them.
    fn read(&self) -> RwLockReadGuard<'_, Keys> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Keys> {
        self.keys.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Credential {
    /// What a handshake with it proves.
    pub fn identity(&self) -> Identity {
        let (kind, label) = match &self.proof {
            Proof::Psk { identity, .. } => (CredentialKind::Psk, identity.clone()),
            Proof::Rpk { public_key } => (CredentialKind::Rpk, fingerprint_hex(public_key)),
            Proof::X509 { serial, .. } => (CredentialKind::X509, serial.clone()),
        };
        Identity {
            anchor: None,
            endpoint: self.endpoint.clone(),
            others: Vec::new(),
            kind,
            credential: Some(self.id),
            label,
        }
    }
}

impl Keys {
    fn add(&mut self, credential: Credential) {
        self.remove(credential.id);
        let id = credential.id;
        let held = self
            .endpoints
            .entry(credential.endpoint.clone())
            .or_default();
        held.ids.push(id);
        match &credential.proof {
            Proof::Psk { identity, .. } => {
                self.psk.insert(identity.clone(), id);
            }
            Proof::Rpk { public_key } => {
                self.rpk.insert(public_key.clone(), id);
            }
            Proof::X509 { fingerprint, .. } => {
                held.certificates = held.certificates.saturating_add(1);
                self.x509.insert(*fingerprint, id);
            }
        }
        self.all.insert(id, credential);
    }

    fn remove(&mut self, id: CredentialId) {
        let Some(credential) = self.all.remove(&id) else {
            return;
        };
        let is_certificate = match &credential.proof {
            Proof::Psk { identity, .. } => {
                forget(&mut self.psk, identity, id);
                false
            }
            Proof::Rpk { public_key } => {
                forget(&mut self.rpk, public_key, id);
                false
            }
            Proof::X509 { fingerprint, .. } => {
                forget(&mut self.x509, fingerprint, id);
                true
            }
        };
        self.used.remove(&id);
        if let Some(held) = self.endpoints.get_mut(&credential.endpoint) {
            held.ids.retain(|held| *held != id);
            held.certificates = held
                .certificates
                .saturating_sub(usize::from(is_certificate));
            if held.ids.is_empty() {
                self.endpoints.remove(&credential.endpoint);
            }
        }
    }
}

/// Another credential may have taken the place meanwhile.
fn forget<K, Q>(map: &mut HashMap<K, CredentialId>, key: &Q, id: CredentialId)
where
    K: std::borrow::Borrow<Q> + Eq + std::hash::Hash,
    Q: Eq + std::hash::Hash + ?Sized,
{
    if map.get(key) == Some(&id) {
        map.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> EndpointName {
        EndpointName::new(text).expect("a name")
    }

    fn psk(id: i64, endpoint: &str, identity: &str) -> Credential {
        Credential {
            id: CredentialId(id),
            endpoint: name(endpoint),
            proof: Proof::Psk {
                identity: identity.to_owned(),
                key: Zeroizing::new(vec![7; 16]),
            },
        }
    }

    fn certificate(id: i64, endpoint: &str, fill: u8) -> Credential {
        Credential {
            id: CredentialId(id),
            endpoint: name(endpoint),
            proof: Proof::X509 {
                fingerprint: [fill; 32],
                serial: format!("{fill:02x}"),
            },
        }
    }

    #[test]
    fn keys_can_be_rotated_without_a_gap() {
        let ring = Keyring::default();
        ring.add(psk(1, "thing", "old"));
        let (before, _) = ring.psk("old").expect("the first key");
        ring.add(psk(2, "thing", "new"));
        assert!(ring.is_current(&before));
        let to_call = || ring.psk_of(&name("thing")).expect("a key").0.label;
        assert_eq!(to_call(), "new", "nothing is known of the device");
        ring.used(&before);
        assert_eq!(to_call(), "old", "it has this one");
        ring.used(&ring.psk("new").expect("the second key").0);
        assert_eq!(to_call(), "new");
        ring.used(&before);
        ring.remove(CredentialId(1));
        assert_eq!(to_call(), "new");
        assert!(!ring.is_current(&before));
        assert!(ring.psk("old").is_none());
        assert!(ring.holds(&name("thing")));
        ring.remove(CredentialId(2));
        assert!(!ring.holds(&name("thing")));
    }

    #[test]
    fn a_removal_is_told_and_an_addition_is_not() {
        let ring = Keyring::default();
        let mut told = ring.removals();
        told.mark_unchanged();
        ring.add(psk(1, "thing", "one"));
        assert!(!told.has_changed().expect("the ring lives"));
        ring.remove(CredentialId(1));
        assert!(told.has_changed().expect("the ring lives"));
    }

    #[test]
    fn a_stored_certificate_excludes_others_of_the_endpoint() {
        let ring = Keyring::default();
        let by_our_ca = Identity {
            anchor: None,
            endpoint: name("thing"),
            others: Vec::new(),
            kind: CredentialKind::X509,
            credential: None,
            label: "99".to_owned(),
        };
        assert!(ring.is_current(&by_our_ca));
        ring.add(psk(1, "thing", "also a key"));
        assert!(ring.is_current(&by_our_ca));
        ring.add(certificate(2, "thing", 5));
        assert!(!ring.is_current(&by_our_ca));
        assert!(ring.pins_certificates(&name("thing")));
        assert_eq!(ring.x509(&[5; 32]).expect("stored").label, "05");
    }

    #[test]
    fn a_name_that_a_certificate_is_stored_for_is_no_longer_that_of_others() {
        let ring = Keyring::default();
        let of_both = Arc::new(Identity {
            anchor: Some([1; 32]),
            endpoint: name("one"),
            others: vec![name("two"), name("three")],
            kind: CredentialKind::X509,
            credential: None,
            label: "99".to_owned(),
        });
        let names = |ring: &Keyring| {
            ring.current(&of_both)
                .map(|identity| identity.others.clone())
        };
        assert_eq!(names(&ring), Some(vec![name("two"), name("three")]));
        ring.add(certificate(1, "two", 5));
        assert_eq!(names(&ring), Some(vec![name("three")]));
        ring.add(certificate(2, "one", 6));
        assert_eq!(names(&ring), None);
    }

    #[test]
    fn a_revoked_serial_number_ends_every_trust() {
        let ring = Keyring::default();
        ring.add(certificate(2, "thing", 5));
        let identity = ring.x509(&[5; 32]).expect("stored");
        ring.revoke("05".to_owned());
        assert!(ring.is_revoked("05"));
        assert!(!ring.is_current(&identity));
    }

    #[test]
    fn an_identity_that_went_to_another_credential_stays_with_that_one() {
        let ring = Keyring::default();
        ring.add(psk(1, "thing", "one"));
        ring.add(psk(2, "other", "one"));
        ring.remove(CredentialId(1));
        let (identity, _) = ring.psk("one").expect("the second one");
        assert_eq!(identity.endpoint, name("other"));
    }

    #[test]
    fn a_use_is_noted_once_and_only_of_credentials_that_are_there() {
        let ring = Keyring::default();
        ring.add(psk(1, "thing", "one"));
        let (identity, _) = ring.psk("one").expect("stored");
        ring.used(&identity);
        ring.used(&identity);
        assert_eq!(ring.take_used(), HashSet::from([CredentialId(1)]));
        assert_eq!(ring.take_used(), HashSet::new());
        ring.used(&identity);
        ring.remove(CredentialId(1));
        ring.used(&identity);
        assert_eq!(ring.take_used(), HashSet::new());
    }

    #[test]
    fn sessions_are_told_of_new_revocations_and_not_of_restored_trust() {
        let ring = Keyring::default();
        let mut told = ring.removals();
        ring.set_revoked(["05".to_owned(), "06".to_owned()]);
        assert!(told.has_changed().expect("the ring lives"));
        told.mark_unchanged();
        ring.set_revoked(["06".to_owned()]);
        assert!(!told.has_changed().expect("the ring lives"));
        assert!(!ring.is_revoked("05") && ring.is_revoked("06"));
    }

    #[test]
    fn secrets_are_not_printed() {
        let text = format!("{:?}", psk(1, "thing", "one"));
        assert!(!text.contains("7, 7"), "{text}");
    }
}
