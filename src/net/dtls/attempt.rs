//! One handshake that is under way, and what of the peer's datagrams OpenSSL is given.

use std::time::Instant;

use openssl::ssl::{ErrorCode, SslStream};

use super::aead::Ciphers;
use super::alert::FATAL;
use super::budget::Budget;
use super::ffi;
use super::handshake::Call;
use super::pipe::Pipe;
use super::proof::{Findings, SharedFindings};
use super::records::{ALERT, CHANGE_CIPHER_SPEC, HANDSHAKE, Record, Records};
use super::sieve::{shortest, sieve};
use super::takeover::{self, Connection, Protected, Taken, Takeover};
use crate::net::Carried;

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
    /// Something under keys has come that was not read, perhaps before its time, and nothing that was.
    pub(super) has_protected: bool,
    /// The number of the next record without keys, as OpenSSL sees it.
    pub(super) plain: u64,
    /// A fatal alert without keys: genuine, or forged.
    pub(super) alert: Option<Vec<u8>>,
    /// A Finished has come that could not be read.
    pub(super) is_doubted: bool,
    pub(super) call: Option<Call>,
    /// What is under keys, where OpenSSL does not see to that.
    pub(super) takeover: Takeover,
    /// The datagrams so far.
    pub(super) carried: Carried,
}

impl Handshake {
    /// A datagram has come from its address.
    pub(super) fn paid(&mut self, bytes: usize, amplification: usize) {
        if bytes > 0 {
            self.carried.up(bytes);
        }
        if let Some(allowance) = self.allowance_mut() {
            *allowance = allowance.saturating_add(bytes.saturating_mul(amplification));
        }
    }

    /// Whether a datagram of ours may go out: always, unless we call an address that is not proven.
    pub(super) fn may_send(&mut self, bytes: usize) -> bool {
        if let Some(allowance) = self.allowance_mut() {
            let Some(left) = allowance.checked_sub(bytes) else {
                return false;
            };
            *allowance = left;
        }
        self.carried.down(bytes);
        true
    }

    fn allowance_mut(&mut self) -> Option<&mut usize> {
        self.call.as_mut()?.allowance.as_mut()
    }

    /// The epoch of the keys by which OpenSSL reads now.
    pub(super) fn epoch(&self) -> u16 {
        takeover::epoch(self.stream.ssl())
    }

    /// The records of a datagram of the peer.
    pub(super) fn records<'a>(&self, datagram: &'a [u8]) -> Records<'a> {
        let (own, _) = Findings::of(&self.findings).cid.agreed();
        Records::with_cid(datagram, own.as_bytes().len())
    }

    /// Gives OpenSSL what may be genuine: no record under keys before a cipher suite is agreed upon, none
    /// that is shorter than this one's, and no more of those whose keys are not there yet than may be
    /// kept. Where our own record layer knows the suite, it opens them, see `takeover`. How many there was
    /// no room for.
    pub(super) fn push(&mut self, ciphers: &mut Ciphers, datagram: &[u8]) -> usize {
        self.push_what(ciphers, datagram, false)
    }

    /// The same; what was kept is paid for already.
    fn push_what(&mut self, ciphers: &mut Ciphers, datagram: &[u8], was_kept: bool) -> usize {
        let mut dropped = 0;
        let kept = sieve(self.records(datagram), |record| {
            if record.epoch() == 0 {
                return self.plain(record);
            }
            let passed = self.protected(ciphers, record, was_kept);
            passed.unwrap_or_else(|NoRoom| {
                dropped += 1;
                None
            })
        });
        self.stream.get_mut().push(kept);
        dropped
    }

    /// Gives OpenSSL what was kept until there were keys. Whether it has something to read.
    pub(super) fn push_kept(&mut self, ciphers: &mut Ciphers) -> bool {
        let early = self.takeover.take_early(self.stream.ssl());
        for datagram in &early {
            self.push_what(ciphers, datagram, true);
        }
        !early.is_empty()
    }

    /// What goes to the peer of a datagram that OpenSSL has written.
    pub(super) fn outgoing(&mut self, ciphers: &mut Ciphers, datagram: Vec<u8>) -> Vec<u8> {
        match Connection::of(self.stream.ssl(), &self.findings) {
            Some(connection) => self.takeover.outgoing(ciphers, connection, datagram),
            None => datagram,
        }
    }

    /// Takes the connection out of OpenSSL's hands, where that can be; `sent` is what it wrote in the end.
    pub(super) fn take_over(&mut self, ciphers: &mut Ciphers, sent: &[Vec<u8>]) -> Option<Taken> {
        let connection = Connection::of(self.stream.ssl(), &self.findings)?;
        let takeover = std::mem::take(&mut self.takeover);
        takeover.finish(ciphers, connection, sent).ok()
    }

    /// What is read before there are keys, under a number of ours.
    fn plain(&mut self, record: Record<'_>) -> Option<Vec<u8>> {
        // Nothing protects these numbers, and one that is far ahead would make OpenSSL take
        // every later one for old.
        let sequence = self.plain;
        self.plain = sequence.saturating_add(1);
        let numbered = record.numbered(sequence);
        // It may be forged: a fatal one is looked at when nothing better has come.
        if record.kind() == ALERT && record.body.first() == Some(&FATAL) {
            self.alert = Some(numbered);
            return None;
        }
        matches!(record.kind(), HANDSHAKE | CHANGE_CIPHER_SPEC).then_some(numbered)
    }

    /// A record under keys that OpenSSL sees to.
    fn theirs(&mut self, record: Record<'_>) -> Result<Option<Vec<u8>>, NoRoom> {
        let ssl = self.stream.ssl();
        let cipher = ffi::pending_cipher(ssl).or_else(|| ssl.current_cipher());
        let is_whole = cipher.is_some_and(|cipher| record.body.len() >= shortest(cipher));
        if !is_whole {
            return Ok(None);
        }
        if record.epoch() > self.epoch() && !self.budget.keep_record() {
            return Err(NoRoom);
        }
        self.has_protected = true;
        Ok(Some(record.numbered(record.sequence())))
    }

    /// A record under keys; it is opened here, where that can be.
    fn protected(
        &mut self,
        ciphers: &mut Ciphers,
        record: Record<'_>,
        was_kept: bool,
    ) -> Result<Option<Vec<u8>>, NoRoom> {
        let Some(connection) = Connection::of(self.stream.ssl(), &self.findings) else {
            return self.theirs(record);
        };
        let has_room = || was_kept || self.budget.keep_record();
        match self.takeover.take(ciphers, connection, record, has_room) {
            Protected::ForOpenSsl(record) => Ok(Some(record)),
            Protected::Kept => Ok(None),
            Protected::NoRoom => Err(NoRoom),
            Protected::Dropped => {
                // A copy or a forgery, if something was genuine: then the keys are the same.
                self.has_protected |= !self.takeover.has_heard();
                Ok(None)
            }
        }
    }
}

/// Too much was kept already.
struct NoRoom;

/// True when the handshake waits for the peer.
pub(super) fn is_waiting(error: &openssl::ssl::Error) -> bool {
    matches!(error.code(), ErrorCode::WANT_READ | ErrorCode::WANT_WRITE)
}
