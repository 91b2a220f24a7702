//! Why somebody was not taken for a device.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use super::{EndpointName, Identity, Timestamp, Transport};

/// Why a request, a notification or a handshake was refused.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Denied {
    /// It came over plain CoAP and names no endpoint, so nothing says who it is.
    #[error("an endpoint without credentials must name itself (`ep`)")]
    Anonymous,
    /// The DTLS handshake did not end well; the text says why.
    #[error("the DTLS handshake failed: {0}")]
    Handshake(String),
    /// It came over plain CoAP, and the endpoint has credentials.
    #[error("the endpoint has credentials and must speak CoAP over DTLS")]
    HasCredentials,
    /// Its session is over, or the credential that began it is gone.
    #[error("there is no current credential behind this session")]
    NoIdentity,
    /// On plain CoAP: it came from another address than the endpoint registered from.
    #[error("the endpoint registered from another address")]
    OtherAddress,
    /// The credential lets another endpoint speak, and no other.
    #[error("the credential is for another endpoint")]
    OtherEndpoint,
    /// It came over DTLS, and the endpoint registered over plain CoAP.
    #[error("the endpoint is registered over plain CoAP; register again")]
    RegisteredInPlain,
    /// It came over plain CoAP, and the endpoint is registered over DTLS.
    #[error("the endpoint is registered over DTLS")]
    RegisteredSecurely,
    /// It came over plain CoAP, where strangers are not taken.
    #[error("only devices with credentials may register (registration.unknown_endpoints)")]
    Stranger,
}

impl Denied {
    /// A short, stable name, for metrics and the API.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Anonymous => "anonymous",
            Self::Handshake(_) => "handshake",
            Self::HasCredentials => "has_credentials",
            Self::NoIdentity => "no_identity",
            Self::OtherAddress => "other_address",
            Self::OtherEndpoint => "other_endpoint",
            Self::RegisteredInPlain => "registered_in_plain",
            Self::RegisteredSecurely => "registered_securely",
            Self::Stranger => "stranger",
        }
    }
}

/// An attempt to speak for an endpoint that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// When.
    pub at: Timestamp,
    /// How it came.
    pub transport: Transport,
    /// From where.
    pub address: SocketAddr,
    /// Why.
    pub reason: Denied,
    /// What it had proven nevertheless.
    pub shown: Option<Shown>,
}

impl Denial {
    /// Why, with whose credential was used and what for: for people who may know, and never for the
    /// device.
    pub fn for_people(&self) -> String {
        match &self.shown {
            Some(shown) => format!("{}; {shown}", self.reason),
            None => self.reason.to_string(),
        }
    }

    /// Why, for people who may not know which credentials there are: what went wrong in a handshake would
    /// name one.
    pub fn for_everybody(&self) -> String {
        match &self.reason {
            Denied::Handshake(_) => "the DTLS handshake failed".to_owned(),
            reason => reason.to_string(),
        }
    }
}

/// What somebody had proven over DTLS who was refused all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Whose credential it has.
    pub identity: Arc<Identity>,
    /// The endpoint that it wanted to speak for.
    pub wanted: Option<EndpointName>,
}

impl Shown {
    /// Of a peer that has proven something: what, and for whom it wanted to speak.
    pub fn of(identity: Option<Arc<Identity>>, wanted: Option<&EndpointName>) -> Option<Self> {
        Some(Self {
            identity: identity?,
            wanted: wanted.cloned(),
        })
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "it has {}", self.identity)?;
        match &self.wanted {
            Some(wanted) => write!(f, " and called itself `{wanted}`"),
            None => Ok(()),
        }
    }
}
