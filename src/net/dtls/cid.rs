//! Connection ids (RFC 9146): what a peer puts into its records so that the server knows them wherever they
//! come from.
//!
//! OpenSSL knows nothing of them. They are agreed upon by a custom extension, and the records that bear them
//! are made and read in `takeover` and `record`. Simulated devices offer them; the server does not when it
//! calls a device: a device that can be called is where it was.

use openssl::error::ErrorStack;
use openssl::ssl::{ExtensionContext, SslAlert, SslContextBuilder};

use super::aead::Aead;
use super::ffi;
use super::proof::with_findings;

/// A connection id; empty where none is used.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(super) struct Cid {
    length: u8,
    bytes: [u8; Self::LONGEST],
}

impl Cid {
    /// Bytes of the longest one that we send to a peer or choose; a peer that wants a longer one in what it
    /// gets goes without.
    pub(super) const LONGEST: usize = 20;

    /// Nothing when it is too long.
    pub(super) fn new(bytes: &[u8]) -> Option<Self> {
        let mut cid = Self {
            length: u8::try_from(bytes.len()).ok()?,
            ..Self::default()
        };
        cid.bytes.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(cid)
    }

    /// A new one of so many bytes, which nobody can guess.
    ///
    /// # Errors
    /// The system has no randomness.
    pub(super) fn random(length: usize) -> Result<Self, ErrorStack> {
        let mut bytes = [0; Self::LONGEST];
        let bytes = bytes.get_mut(..length).unwrap_or_default();
        openssl::rand::rand_bytes(bytes)?;
        Ok(Self::new(bytes).unwrap_or_default())
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.bytes
            .get(..usize::from(self.length))
            .unwrap_or_default()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.length == 0
    }
}

impl std::fmt::Debug for Cid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Cid({})", hex::encode(self.as_bytes()))
    }
}

/// What a handshake says of connection ids.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct CidNegotiation {
    /// What the other side wants in the records that it gets, once it has said that it knows them.
    pub(super) peer: Option<Cid>,
    /// What we want in ours, once we have told it.
    pub(super) own: Option<Cid>,
}

impl CidNegotiation {
    /// What goes into the records of both directions: those that come, those that go. Empty unless both
    /// sides have spoken.
    pub(super) fn agreed(&self) -> (Cid, Cid) {
        match (self.own, self.peer) {
            (Some(own), Some(peer)) => (own, peer),
            _ => Default::default(),
        }
    }
}

/// Has a server take connection ids where a client offers them, and choose ones of so many bytes.
///
/// # Errors
/// OpenSSL fails.
pub(super) fn take(context: &mut SslContextBuilder, length: usize) -> Result<(), ErrorStack> {
    context.add_custom_ext(
        EXTENSION,
        ExtensionContext::CLIENT_HELLO | ExtensionContext::TLS1_2_SERVER_HELLO,
        move |ssl, _, _| {
            // Suites with a MAC stay with OpenSSL, which cannot make such records.
            if ffi::pending_cipher(ssl).and_then(Aead::of).is_none() {
                return Ok(None);
            }
            let chosen = with_findings(ssl, |found| {
                found.cid.peer?;
                found.cid.own = Cid::random(length).ok();
                found.cid.own
            });
            Ok(chosen.flatten().map(encoded))
        },
        |ssl, _, text, _| {
            let wanted = decoded(text)?;
            with_findings(ssl, |found| found.cid.peer = wanted);
            Ok(())
        },
    )
}

/// Has a client offer connection ids: what its findings say that it wants in the records that it gets, if
/// they say anything.
///
/// # Errors
/// OpenSSL fails.
pub(super) fn offer(context: &mut SslContextBuilder) -> Result<(), ErrorStack> {
    context.add_custom_ext(
        EXTENSION,
        ExtensionContext::CLIENT_HELLO | ExtensionContext::TLS1_2_SERVER_HELLO,
        |ssl, _, _| {
            let wanted = with_findings(ssl, |found| found.cid.own);
            Ok(wanted.flatten().map(encoded))
        },
        |ssl, _, text, _| {
            // The server has said that it will use them: there is no going without any more.
            let is_possible = ffi::pending_cipher(ssl).and_then(Aead::of).is_some();
            let wanted = decoded(text)?.filter(|_| is_possible);
            let wanted = wanted.ok_or(SslAlert::ILLEGAL_PARAMETER)?;
            with_findings(ssl, |found| found.cid.peer = Some(wanted));
            Ok(())
        },
    )
}

/// What stands in the extension (RFC 9146 section 3).
pub(super) fn encoded(cid: Cid) -> Vec<u8> {
    let mut text = vec![cid.length];
    text.extend(cid.as_bytes());
    text
}

/// Nothing when it is longer than what is sent to anybody here.
pub(super) fn decoded(text: &[u8]) -> Result<Option<Cid>, SslAlert> {
    match text.split_first() {
        Some((length, cid)) if usize::from(*length) == cid.len() => Ok(Cid::new(cid)),
        _ => Err(SslAlert::DECODE_ERROR),
    }
}

/// `connection_id`, registered by RFC 9146 section 10.
pub(super) const EXTENSION: u16 = 54;
