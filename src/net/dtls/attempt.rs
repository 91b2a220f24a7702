//! One handshake that is under way, and what of the peer's datagrams OpenSSL is given.

use std::time::Instant;

use openssl::ssl::{ErrorCode, SslStream};

use super::budget::Budget;
use super::ffi;
use super::handshake::Call;
use super::pipe::Pipe;
use super::proof::SharedFindings;
use super::records::{ALERT, CHANGE_CIPHER_SPEC, HANDSHAKE};
use super::sieve::{shortest, sieve};

/// See the module.
pub(super) struct Handshake {
    pub(super) stream: SslStream<Pipe>,
    pub(super) findings: SharedFindings,
    pub(super) budget: Budget,
    pub(super) client_random: [u8; 32],
    pub(super) begun: Instant,
    /// When it is given up.
    pub(super) deadline: Instant,
    /// The entry in `due`.
    pub(super) due: Instant,
    /// When it last got further.
    pub(super) heard: Instant,
    /// Something under keys has come, perhaps before its time.
    pub(super) has_protected: bool,
    /// The number of the next record without keys, as OpenSSL sees it.
    pub(super) plain: u64,
    /// A fatal alert without keys: genuine, or forged.
    pub(super) alert: Option<Vec<u8>>,
    /// A Finished has come that could not be read.
    pub(super) is_doubted: bool,
    pub(super) call: Option<Call>,
}

impl Handshake {
    /// A datagram has come from its address.
    pub(super) fn paid(&mut self, bytes: usize, amplification: usize) {
        if let Some(allowance) = self.allowance_mut() {
            *allowance = allowance.saturating_add(bytes.saturating_mul(amplification));
        }
    }

    /// Whether a datagram of ours may go out: always, unless we call an address that is not proven.
    pub(super) fn may_send(&mut self, bytes: usize) -> bool {
        let Some(allowance) = self.allowance_mut() else {
            return true;
        };
        let left = allowance.checked_sub(bytes);
        if let Some(left) = left {
            *allowance = left;
        }
        left.is_some()
    }

    fn allowance_mut(&mut self) -> Option<&mut usize> {
        self.call.as_mut()?.allowance.as_mut()
    }

    /// The epoch of the keys by which OpenSSL reads now: once the peer has changed to its own, what is
    /// under them is read, or thrown away, and no longer kept.
    pub(super) fn epoch(&self) -> u16 {
        let ssl = self.stream.ssl();
        u16::from(ssl.is_init_finished() || ssl.state_string() == READ_CHANGE_CIPHER_SPEC)
    }

    /// Gives OpenSSL what may be genuine: no record under keys before a cipher suite is agreed upon, none
    /// that is shorter than this one's, and no more of those whose keys are not there yet than may be
    /// kept. How many there was no room for.
    pub(super) fn push(&mut self, datagram: &[u8]) -> usize {
        let ssl = self.stream.ssl();
        let cipher = ffi::pending_cipher(ssl).or_else(|| ssl.current_cipher());
        let (epoch, shortest) = (self.epoch(), cipher.map(shortest));
        let mut dropped = 0;
        let kept = sieve(datagram, |record| {
            if record.epoch() == 0 {
                // Nothing protects these numbers, and one that is far ahead would make OpenSSL take
                // every later one for old.
                let sequence = self.plain;
                self.plain = sequence.saturating_add(1);
                // It may be forged: a fatal one is looked at when nothing better has come.
                if record.kind() == ALERT && record.body.first() == Some(&FATAL) {
                    self.alert = Some(record.numbered(sequence));
                }
                return matches!(record.kind(), HANDSHAKE | CHANGE_CIPHER_SPEC).then_some(sequence);
            }
            if shortest.is_none_or(|shortest| record.body.len() < shortest) {
                return None;
            }
            let fits = record.epoch() <= epoch || self.budget.keep_record();
            self.has_protected |= fits;
            dropped += usize::from(!fits);
            fits.then_some(record.sequence())
        });
        self.stream.get_mut().push(kept);
        dropped
    }
}

/// True when the handshake waits for the peer.
pub(super) fn is_waiting(error: &openssl::ssl::Error) -> bool {
    matches!(error.code(), ErrorCode::WANT_READ | ErrorCode::WANT_WRITE)
}

/// OpenSSL's short name of the state in which it waits for the Finished of the other side.
const READ_CHANGE_CIPHER_SPEC: &str = "TRCCS";
/// The level of an alert (RFC 5246 section 7.2).
const FATAL: u8 = 2;
