//! Who a peer has proven to be.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::names::names;
use super::{CredentialId, EndpointName};

/// How a device proves who it is (OMA-TS-LightweightM2M Transport 5.2.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CredentialKind {
    /// A pre-shared key (RFC 4279).
    Psk,
    /// A raw public key (RFC 7250).
    Rpk,
    /// An X.509 certificate.
    X509,
}

names!(CredentialKind, "kind of credential", {
    Psk = "psk",
    Rpk = "rpk",
    X509 = "x509",
});

impl CredentialKind {
    /// The words for it in a sentence.
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Psk => "pre-shared key",
            Self::Rpk => "raw public key",
            Self::X509 => "certificate",
        }
    }
}

/// What a finished DTLS handshake has proven.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The endpoint that the peer may speak for; who names nobody in its Register means this one.
    pub endpoint: EndpointName,
    /// Further names of the same certificate.
    pub others: Vec<EndpointName>,
    /// The kind of proof.
    pub kind: CredentialKind,
    /// The stored credential that was used; none for a certificate that is trusted because our CA
    /// signed it.
    pub credential: Option<CredentialId>,
    /// What names the proof to people: the PSK identity, the SHA-256 of the raw public key in hex,
    /// or the serial number of the certificate in hex.
    pub label: String,
    /// SHA-256 of the CA's certificate, where a CA of ours has vouched for the peer.
    pub anchor: Option<[u8; 32]>,
}

impl Identity {
    /// True when the peer may speak for this endpoint.
    pub fn speaks_for(&self, endpoint: &EndpointName) -> bool {
        self.endpoint == *endpoint || self.others.contains(endpoint)
    }
}

/// For people who may know whose credentials there are.
impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            label, endpoint, ..
        } = self;
        write!(f, "the {} `{label}` of `{endpoint}`", self.kind.in_words())?;
        for other in &self.others {
            write!(f, ", `{other}`")?;
        }
        Ok(())
    }
}

/// Whether a peer can be sent something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// There is a session, or none is needed.
    Open,
    /// A session of ours is being made.
    Connecting,
    /// Its session is over; one of ours can be tried.
    Closed,
}

/// Why a session of ours cannot be begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreachable {
    /// CoAP over DTLS is switched off.
    #[error("CoAP over DTLS is switched off (coaps.enabled)")]
    SwitchedOff,
    /// Nothing that both sides could prove themselves with.
    #[error("there is no session with the device and no credential to begin one with")]
    NoCredential,
    /// None of the cipher suites is for its kind of credential.
    #[error("no cipher suite is for its kind of credential (coaps.cipher_suites)")]
    NoSuite,
    /// Its address is blocked.
    #[error("the address is blocked (admission.block)")]
    Blocked,
    /// Its address has not been heard for long, or never, and may get no more than it has paid for.
    #[error("its address is not proven, and may not get a handshake (admission.grace_bytes)")]
    Unproven,
    /// As many handshakes as may be are under way.
    #[error("too many handshakes are under way (coaps.max_handshakes)")]
    TooManyHandshakes,
}
