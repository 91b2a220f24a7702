//! What a peer has proven: which device the key or certificate of a handshake speaks for, or why it
//! speaks for nobody.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use openssl::ex_data::Index;
use openssl::pkey::Id;
use openssl::ssl::{Ssl, SslContext, SslRef};
use openssl::x509::{X509Ref, X509StoreContext, X509StoreContextRef, X509VerifyResult};
use zeroize::Zeroizing;

use super::cid::CidNegotiation;
use super::ffi;
use super::refusal::Refusal;
use crate::domain::{CredentialId, CredentialKind, EndpointName, Identity};
use crate::security::Keyring;
use crate::security::certificates::{fingerprint, names_of, serial_hex};
use crate::security::credential_input::fingerprint_hex;

/// By what peers are judged.
#[derive(Clone, Debug)]
pub(super) struct Trust {
    /// The credentials in force.
    pub(super) keyring: Keyring,
    /// SHA-256 of each certificate of the CAs in force: what another CA has proven is void.
    pub(super) authorities: Vec<[u8; 32]>,
    /// What an unknown PSK identity is answered by, so that it looks like a wrong key.
    pub(super) decoy: Zeroizing<[u8; 32]>,
}

/// What the callbacks of a handshake have found out, attached to its connection.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// Whom the peer claims to be, proven or not.
    pub(super) claimed: Vec<EndpointName>,
    /// Why it was refused.
    pub(super) refusal: Option<Refusal>,
    /// Whom we called, when the session is ours.
    pub(super) called: Option<EndpointName>,
    /// Whom the pre-shared key lets speak that this handshake is made with: the one whose key was used,
    /// whatever has its PSK identity by now.
    pub(super) keyed: Option<Identity>,
    /// By what we prove ourselves in a session of ours.
    pub(super) own_psk: Option<(String, Zeroizing<Vec<u8>>)>,
    /// What was said of connection ids.
    pub(super) cid: CidNegotiation,
}

impl Findings {
    /// What was found so far.
    pub(super) fn of(shared: &Mutex<Self>) -> MutexGuard<'_, Self> {
        shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Behind a lock, because the callbacks see the connection by shared reference.
pub(super) type SharedFindings = Arc<Mutex<Findings>>;

/// Where the findings of a connection are.
pub(super) fn findings_index() -> Option<Index<Ssl, SharedFindings>> {
    static INDEX: OnceLock<Option<Index<Ssl, SharedFindings>>> = OnceLock::new();
    *INDEX.get_or_init(|| Ssl::new_ex_index().ok())
}

/// Where the trust of a context is.
pub(super) fn trust_index() -> Option<Index<SslContext, Trust>> {
    static INDEX: OnceLock<Option<Index<SslContext, Trust>>> = OnceLock::new();
    *INDEX.get_or_init(|| SslContext::new_ex_index().ok())
}

/// Looks at the findings of a connection, or changes them.
pub(super) fn with_findings<T>(ssl: &SslRef, look: impl FnOnce(&mut Findings) -> T) -> Option<T> {
    let findings = ssl.ex_data(findings_index()?)?;
    Some(look(&mut Findings::of(findings)))
}

fn trust_of(ssl: &SslRef) -> Option<&Trust> {
    ssl.ssl_context().ex_data(trust_index()?)
}

impl Trust {
    /// The key of a PSK identity, written into `key`; its length. An unknown identity gets a key that
    /// nobody has, so that it is answered like a wrong key, and as fast.
    pub(super) fn server_psk(
        &self,
        ssl: &SslRef,
        identity: Option<&[u8]>,
        key: &mut [u8],
    ) -> usize {
        let identity = identity.unwrap_or_default();
        let text = String::from_utf8_lossy(identity);
        let found = std::str::from_utf8(identity)
            .ok()
            .and_then(|identity| self.keyring.psk(identity));
        let decoy = self.decoy.get(..16).unwrap_or_default();
        let (secret, claimed, refusal) = match &found {
            Some((proven, secret)) => (
                secret.as_slice(),
                Some(proven.endpoint.clone()),
                Refusal::WrongKey(text.into_owned()),
            ),
            None => (decoy, None, Refusal::UnknownIdentity(text.into_owned())),
        };
        with_findings(ssl, |findings| {
            findings.keyed = found.as_ref().map(|(identity, _)| identity.clone());
            findings.claimed = claimed.into_iter().collect();
            // True unless the handshake is finished after all.
            findings.refusal = Some(refusal);
        });
        match key.get_mut(..secret.len()) {
            Some(place) => {
                place.copy_from_slice(secret);
                secret.len()
            }
            None => 0,
        }
    }

    /// The verify callback: called for each certificate of a chain from the root down, and for each
    /// error; or once for a raw public key.
    pub(super) fn judge(&self, is_fine: bool, store: &mut X509StoreContextRef) -> bool {
        match self.verdict(is_fine, store) {
            Ok(()) => {
                store.set_error(X509VerifyResult::OK);
                true
            }
            Err((refusal, claimed)) => {
                if let Ok(index) = X509StoreContext::ssl_idx()
                    && let Some(ssl) = store.ex_data(index)
                {
                    with_findings(ssl, |findings| {
                        findings.claimed = claimed;
                        findings.refusal = Some(refusal);
                    });
                }
                if is_fine {
                    store.set_error(ffi::refused_by_us());
                }
                false
            }
        }
    }

    fn verdict(
        &self,
        is_fine: bool,
        store: &X509StoreContextRef,
    ) -> Result<(), (Refusal, Vec<EndpointName>)> {
        let broken =
            |error: openssl::error::ErrorStack| (Refusal::Protocol(error.to_string()), Vec::new());
        if let Some(key) = ffi::raw_public_key(store).map_err(broken)? {
            return match self.keyring.rpk(&key) {
                Some(_) => Ok(()),
                None => Err((Refusal::UnknownKey(fingerprint_hex(&key)), Vec::new())),
            };
        }
        let leaf = store
            .chain()
            .and_then(|chain| chain.get(0))
            .or_else(|| store.current_cert());
        let Some(leaf) = leaf else {
            let why = "there is no certificate".to_owned();
            return Err((Refusal::Protocol(why), Vec::new()));
        };
        let claimed = || names_of(leaf);
        let refuse = |why: String| {
            let serial = serial_hex(leaf).unwrap_or_default();
            (Refusal::Certificate { serial, why }, claimed())
        };
        let is_stored = fingerprint(leaf).is_ok_and(|print| self.keyring.x509(&print).is_some());
        let is_forgiven = is_stored && forgiven_of_stored(store.error());
        if !(is_fine || is_forgiven) {
            return Err(refuse(store.error().error_string().to_owned()));
        }
        if store.error_depth() == 0 {
            self.certificate(leaf).map(drop)?;
        }
        Ok(())
    }

    /// Whom a certificate speaks for whose chain and dates are in order, or which is stored.
    fn certificate(&self, leaf: &X509Ref) -> Result<Identity, (Refusal, Vec<EndpointName>)> {
        let names = names_of(leaf);
        let serial = serial_hex(leaf).unwrap_or_default();
        let refuse = |why: &str, names: Vec<EndpointName>| {
            let refusal = Refusal::Certificate {
                serial: serial.clone(),
                why: why.to_owned(),
            };
            (refusal, names)
        };
        if let Some(why) = unfit(leaf) {
            return Err(refuse(&why, names));
        }
        if self.keyring.is_revoked(&serial) {
            return Err(refuse("it was revoked", names));
        }
        if let Some(stored) = fingerprint(leaf)
            .ok()
            .and_then(|print| self.keyring.x509(&print))
        {
            return Ok(stored);
        }
        let open: Vec<EndpointName> = names
            .iter()
            .filter(|name| !self.keyring.pins_certificates(name))
            .cloned()
            .collect();
        let Some((endpoint, others)) = open.split_first() else {
            let why = if names.is_empty() {
                "it names no endpoint, neither in its CN nor in a SAN"
            } else {
                "the endpoint has stored certificates, and this is none of them"
            };
            return Err(refuse(why, names));
        };
        Ok(Identity {
            endpoint: endpoint.clone(),
            others: others.to_vec(),
            kind: CredentialKind::X509,
            credential: None,
            label: serial,
            anchor: None,
        })
    }

    /// Fails when the CA that has vouched for a peer is trusted no longer.
    pub(super) fn check_anchor(
        &self,
        identity: &Identity,
    ) -> Result<(), (Refusal, Vec<EndpointName>)> {
        let by_our_ca = identity.kind == CredentialKind::X509 && identity.credential.is_none();
        let is_trusted = identity
            .anchor
            .is_some_and(|anchor| self.authorities.contains(&anchor));
        if by_our_ca && !is_trusted {
            let refusal = Refusal::Certificate {
                serial: identity.label.clone(),
                why: "its CA is not trusted any more".to_owned(),
            };
            return Err((refusal, vec![identity.endpoint.clone()]));
        }
        Ok(())
    }

    /// Whom the peer of a finished handshake is.
    pub(super) fn identify(&self, ssl: &SslRef) -> Result<Identity, (Refusal, Vec<EndpointName>)> {
        let broken =
            |error: openssl::error::ErrorStack| (Refusal::Protocol(error.to_string()), Vec::new());
        if ssl.session_reused()
            && let Some(notes) = super::tickets::notes_of(ssl)
        {
            return by_notes(ssl, &notes).ok_or_else(|| {
                let why = "the ticket of a credential that is not valid any more".to_owned();
                (Refusal::Protocol(why), Vec::new())
            });
        }
        if let Some(identity) = ssl.psk_identity() {
            let text = String::from_utf8_lossy(identity).into_owned();
            let keyed = with_findings(ssl, |findings| findings.keyed.clone()).flatten();
            return keyed
                .filter(|keyed| self.keyring.is_current(keyed))
                .ok_or((Refusal::UnknownIdentity(text), Vec::new()));
        }
        if let Some(key) = ffi::peer_raw_public_key(ssl).map_err(broken)? {
            return self
                .keyring
                .rpk(&key)
                .ok_or_else(|| (Refusal::UnknownKey(fingerprint_hex(&key)), Vec::new()));
        }
        match ssl.peer_certificate() {
            Some(certificate) => {
                let mut identity = self.certificate(&certificate)?;
                if identity.credential.is_none() {
                    identity.anchor = ssl
                        .verified_chain()
                        .and_then(|chain| fingerprint(chain.iter().last()?).ok());
                    self.check_anchor(&identity)?;
                }
                Ok(identity)
            }
            None => {
                let why = "the peer has proven nothing".to_owned();
                Err((Refusal::Protocol(why), Vec::new()))
            }
        }
    }
}

/// Why a certificate cannot be used, whoever has signed it. OpenSSL is at a level at which it asks for
/// no strength of keys, see `context`; and it writes the certificate into the ticket of the session,
/// which ends the handshake where that is too long for a ticket (RFC 5077 section 3.3).
fn unfit(leaf: &X509Ref) -> Option<String> {
    let length = leaf.to_der().map_or(usize::MAX, |der| der.len());
    if length > MOST_CERTIFICATE_BYTES {
        return Some(format!("it has more than {MOST_CERTIFICATE_BYTES} bytes"));
    }
    let key = leaf.public_key().ok()?;
    (key.id() == Id::RSA && key.bits() < LEAST_RSA_BITS).then(|| {
        let bits = key.bits();
        format!("its RSA key has {bits} bits, fewer than {LEAST_RSA_BITS}")
    })
}

/// What the next ticket of a connection is to say.
pub(super) fn notes_for(ssl: &SslRef) -> Option<Vec<u8>> {
    let trust = trust_of(ssl)?;
    let identity = trust.identify(ssl).ok()?;
    let notes = Notes {
        anchor: identity.anchor.map(hex::encode),
        credential: identity.credential,
        endpoint: identity.endpoint,
        kind: identity.kind,
        label: identity.label,
        not_after: ssl
            .peer_certificate()
            .and_then(|certificate| seconds_of(certificate.not_after())),
        others: identity.others,
    };
    serde_json::to_vec(&notes).ok()
}

/// Whom a ticket with these notes speaks for, as long as that is still so.
pub(super) fn by_notes(ssl: &SslRef, notes: &[u8]) -> Option<Identity> {
    let trust = trust_of(ssl)?;
    let notes: Notes = serde_json::from_slice(notes).ok()?;
    let mut anchor = [0; 32];
    let anchor = match &notes.anchor {
        Some(text) => {
            hex::decode_to_slice(text, &mut anchor).ok()?;
            Some(anchor)
        }
        None => None,
    };
    let identity = Identity {
        endpoint: notes.endpoint,
        others: notes.others,
        anchor,
        kind: notes.kind,
        credential: notes.credential,
        label: notes.label,
    };
    trust.check_anchor(&identity).ok()?;
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .ok()?
        .as_secs();
    if notes
        .not_after
        .is_some_and(|end| u64::try_from(end).is_ok_and(|end| end < now))
    {
        return None;
    }
    let current = trust.keyring.current(&Arc::new(identity))?;
    Some(Arc::unwrap_or_clone(current))
}

/// What a ticket says of its session.
#[derive(serde::Serialize, serde::Deserialize)]
struct Notes {
    /// See [`Identity::anchor`], in hex.
    anchor: Option<String>,
    credential: Option<CredentialId>,
    endpoint: EndpointName,
    kind: CredentialKind,
    label: String,
    /// Of its certificate, in seconds since 1970.
    not_after: Option<i64>,
    others: Vec<EndpointName>,
}

/// Seconds since 1970.
fn seconds_of(time: &openssl::asn1::Asn1TimeRef) -> Option<i64> {
    let epoch = openssl::asn1::Asn1Time::from_unix(0).ok()?;
    let since = epoch.diff(time).ok()?;
    Some(i64::from(since.days) * 86_400 + i64::from(since.secs))
}

/// What does not matter for a certificate that is stored itself: who signed it, and for what.
fn forgiven_of_stored(error: X509VerifyResult) -> bool {
    // <openssl/x509_vfy.h>: expired, not yet valid, wrong dates, bad signature and out of memory are
    // not forgiven.
    const UNABLE_TO_GET_ISSUER: i32 = 2;
    const DEPTH_ZERO_SELF_SIGNED: i32 = 18;
    const SELF_SIGNED_IN_CHAIN: i32 = 19;
    const UNABLE_TO_GET_ISSUER_LOCALLY: i32 = 20;
    const UNABLE_TO_VERIFY_LEAF: i32 = 21;
    const INVALID_CA: i32 = 79;
    const INVALID_PURPOSE: i32 = 26;
    const CERTIFICATE_UNTRUSTED: i32 = 27;
    matches!(
        error.as_raw(),
        UNABLE_TO_GET_ISSUER
            | DEPTH_ZERO_SELF_SIGNED
            | SELF_SIGNED_IN_CHAIN
            | UNABLE_TO_GET_ISSUER_LOCALLY
            | UNABLE_TO_VERIFY_LEAF
            | INVALID_CA
            | INVALID_PURPOSE
            | CERTIFICATE_UNTRUSTED
    )
}

/// Of a device's certificate; those of constrained devices have some 500.
const MOST_CERTIFICATE_BYTES: usize = 16 * 1024;
/// Shorter keys are broken, or soon (NIST SP 800-57 part 1, 112 bits).
const LEAST_RSA_BITS: u32 = 2048;
