//! Our own record layer of DTLS 1.2 (RFC 6347 section 4.1) for a handshake that OpenSSL has made: the suites
//! whose ciphers authenticate what they encrypt, with or without connection ids (RFC 9146).
//!
//! A connection has one epoch with keys, as nobody may renegotiate. No number is used twice with a key: a
//! number is taken before its record is made, and only from those that are reserved, of which a restart
//! knows the end.

use openssl::error::ErrorStack;
use openssl::ssl::SslRef;
use zeroize::Zeroizing;

use super::aead::{self, Aead, Ciphers, Secret, Use};
use super::cid::Cid;
use super::ffi;
use super::records::{CID, HEAD, Record, number};
use super::window::Window;

/// The state of a connection after its handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RecordLayer {
    pub(super) aead: Aead,
    pub(super) inbound: Secret,
    pub(super) outbound: Secret,
    pub(super) window: Window,
    pub(super) numbers: Numbers,
    /// By which the peer names us in its records; empty: it does not.
    pub(super) own: Cid,
    /// By which we name the peer.
    pub(super) peer: Cid,
}

/// The numbers of records that may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Numbers {
    /// The next one.
    pub(super) next: u64,
    /// The first one that may not be used.
    pub(super) end: u64,
}

/// What a record was, beside its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Opened {
    /// The content type.
    pub(super) kind: u8,
    /// Its number is above those of all records before it.
    pub(super) is_newest: bool,
}

/// Why a record cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SealError {
    /// All numbers that are reserved are used up.
    NoNumbers,
    /// Longer than a record may be, or OpenSSL fails.
    Failed,
}

impl Numbers {
    fn take(&mut self) -> Option<u64> {
        let number = self.next;
        if number >= self.end || number > LAST_NUMBER {
            return None;
        }
        self.next = number.saturating_add(1);
        Some(number)
    }
}

impl RecordLayer {
    /// Takes over a connection whose keys OpenSSL has agreed upon: its handshake has got as far as the
    /// Finished messages.
    ///
    /// # Errors
    /// There are no keys yet, or OpenSSL fails.
    pub(super) fn of(ssl: &SslRef, aead: Aead, own: Cid, peer: Cid) -> Result<Self, ErrorStack> {
        let mut master = Zeroizing::new([0; MASTER_SECRET]);
        let session = ssl.session().ok_or_else(ErrorStack::get)?;
        if session.master_key(master.as_mut_slice()) != MASTER_SECRET {
            return Err(ErrorStack::get());
        }
        let mut randoms = [[0; RANDOM]; 2];
        let [client, server] = &mut randoms;
        ssl.client_random(client);
        ssl.server_random(server);
        Self::with_keys(aead, ssl.is_server(), &master, randoms, (own, peer))
    }

    /// The two directions of a connection by its master secret and the randoms of client and server (RFC 5246
    /// section 6.3), and by which its records are named: those that come, those that go.
    pub(super) fn with_keys(
        aead: Aead,
        is_server: bool,
        master: &[u8; MASTER_SECRET],
        [client_random, server_random]: [[u8; RANDOM]; 2],
        (own, peer): (Cid, Cid),
    ) -> Result<Self, ErrorStack> {
        let seed = [KEY_EXPANSION, &server_random, &client_random].concat();
        let mut block = aead::key_block(aead);
        ffi::prf(aead.digest(), master.as_slice(), &seed, &mut block)?;
        let [client, server] = aead::secrets(aead, &block).ok_or_else(ErrorStack::get)?;
        let (inbound, outbound) = if is_server {
            (client, server)
        } else {
            (server, client)
        };
        Ok(Self {
            aead,
            inbound,
            outbound,
            window: Window::default(),
            numbers: Numbers {
                next: 0,
                end: FIRST_NUMBERS,
            },
            own,
            peer,
        })
    }

    /// Opens a record; its text replaces what is in `out`. Nothing when it is not genuine, a copy, or too old
    /// to know: it is to be dropped in silence (RFC 6347 section 4.1.2.7).
    pub(super) fn open(
        &mut self,
        ciphers: &mut Ciphers,
        record: Record<'_>,
        out: &mut Vec<u8>,
    ) -> Option<Opened> {
        let number = record.sequence();
        let is_mine = record.epoch() == EPOCH
            && record.is_dtls_1_2()
            && (record.kind() == CID) != self.own.is_empty()
            && record.cid == self.own.as_bytes();
        if !is_mine || !self.window.is_fresh(number) {
            return None;
        }
        let kind = open_with(ciphers, self.aead, &self.inbound, record, out)?;
        let is_newest = self.window.is_newest(number);
        self.window.take(number);
        Some(Opened { kind, is_newest })
    }

    /// Opens a record of our own, which nobody but OpenSSL has made and nobody has seen yet.
    pub(super) fn open_own(
        &self,
        ciphers: &mut Ciphers,
        record: Record<'_>,
        out: &mut Vec<u8>,
    ) -> Option<u8> {
        open_with(ciphers, self.aead, &self.outbound, record, out)
    }

    /// The same record as the peer has sent it without connection ids: for OpenSSL, which knows none.
    ///
    /// # Errors
    /// OpenSSL fails.
    pub(super) fn without_cid(
        &self,
        ciphers: &mut Ciphers,
        kind: u8,
        sequence: u64,
        text: &[u8],
    ) -> Result<Vec<u8>, SealError> {
        let none = Cid::default();
        seal_with(
            ciphers,
            self.aead,
            &self.inbound,
            &none,
            kind,
            sequence,
            text,
        )
    }

    /// Makes a record.
    ///
    /// # Errors
    /// See [`SealError`]; a number may be used up.
    pub(super) fn seal(
        &mut self,
        ciphers: &mut Ciphers,
        kind: u8,
        text: &[u8],
    ) -> Result<Vec<u8>, SealError> {
        let number = self.numbers.take().ok_or(SealError::NoNumbers)?;
        let (aead, peer) = (self.aead, &self.peer);
        seal_with(ciphers, aead, &self.outbound, peer, kind, number, text)
    }

    /// Bytes that a record has beside its text.
    pub(super) fn overhead(&self) -> usize {
        let cid = self.peer.as_bytes().len();
        let kind = usize::from(!self.peer.is_empty());
        HEAD + cid + 2 + self.aead.explicit() + kind + self.aead.tag()
    }
}

fn open_with(
    ciphers: &mut Ciphers,
    aead: Aead,
    secret: &Secret,
    record: Record<'_>,
    out: &mut Vec<u8>,
) -> Option<u8> {
    let (in_record, sealed) = record.body.split_at_checked(aead.explicit())?;
    let sequence = epoch_and_number(record.sequence());
    let text = sealed.len().checked_sub(aead.tag())?;
    let beside = Beside::new(record.kind(), &sequence, record.cid, text)?;
    let with = Use {
        aead,
        secret,
        explicit: in_record.try_into().unwrap_or(sequence),
        beside: beside.as_bytes(),
    };
    if !ciphers.open(with, sealed, out) {
        return None;
    }
    let kind = if record.kind() == CID {
        // The type stands behind the text, and zeros behind it hide the length (RFC 9146 section 4).
        let end = out.iter().rposition(|byte| *byte != 0)?;
        out.truncate(end + 1);
        out.pop()?
    } else {
        record.kind()
    };
    (out.len() <= LONGEST_TEXT).then_some(kind)
}

fn seal_with(
    ciphers: &mut Ciphers,
    aead: Aead,
    secret: &Secret,
    cid: &Cid,
    kind: u8,
    sequence: u64,
    text: &[u8],
) -> Result<Vec<u8>, SealError> {
    if text.len() > LONGEST_TEXT {
        return Err(SealError::Failed);
    }
    let sequence = epoch_and_number(sequence);
    let mut inner;
    let (outer, text) = if cid.is_empty() {
        (kind, text)
    } else {
        inner = Zeroizing::new(Vec::with_capacity(text.len() + 1));
        inner.extend_from_slice(text);
        inner.push(kind);
        (CID, inner.as_slice())
    };
    let beside = Beside::new(outer, &sequence, cid.as_bytes(), text.len());
    let beside = beside.ok_or(SealError::Failed)?;
    let length = aead.explicit() + text.len() + aead.tag();
    let mut record = Vec::with_capacity(HEAD + cid.as_bytes().len() + 2 + length + aead.tag());
    record.extend([outer, 0xfe, 0xfd]);
    record.extend(sequence);
    record.extend(cid.as_bytes());
    record.extend(u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes());
    record.extend(sequence.get(..aead.explicit()).unwrap_or_default());
    let with = Use {
        aead,
        secret,
        explicit: sequence,
        beside: beside.as_bytes(),
    };
    match ciphers.seal(with, text, &mut record) {
        Ok(()) => Ok(record),
        Err(_) => Err(SealError::Failed),
    }
}

/// What is authenticated beside the text (RFC 5246 section 6.2.3.3, RFC 9146 section 5.3).
struct Beside {
    bytes: [u8; 8 + 5 + 8 + Cid::LONGEST + 2],
    length: usize,
}

impl Beside {
    /// Nothing when the connection id or the text is too long.
    fn new(kind: u8, sequence: &[u8; 8], cid: &[u8], text: usize) -> Option<Self> {
        let text = u16::try_from(text).ok()?.to_be_bytes();
        let mut beside = Self {
            bytes: [0; _],
            length: 0,
        };
        if kind == CID {
            let length = u8::try_from(cid.len()).ok()?;
            beside.put(&[0xff; 8])?;
            beside.put(&[CID, length, CID, 0xfe, 0xfd])?;
            beside.put(sequence)?;
            beside.put(cid)?;
        } else {
            beside.put(sequence)?;
            beside.put(&[kind, 0xfe, 0xfd])?;
        }
        beside.put(&text)?;
        Some(beside)
    }

    fn put(&mut self, bytes: &[u8]) -> Option<()> {
        let end = self.length + bytes.len();
        self.bytes.get_mut(self.length..end)?.copy_from_slice(bytes);
        self.length = end;
        Some(())
    }

    fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

fn epoch_and_number(sequence: u64) -> [u8; 8] {
    let [n5, n4, n3, n2, n1, n0] = number(sequence);
    let [high, low] = EPOCH.to_be_bytes();
    [high, low, n5, n4, n3, n2, n1, n0]
}

/// The only epoch with keys.
pub(super) const EPOCH: u16 = 1;
/// The largest number of a record: after it a connection can send no more.
const LAST_NUMBER: u64 = (1 << 48) - 1;
/// What may be sent before anything is reserved: by OpenSSL, within the handshake.
const FIRST_NUMBERS: u64 = 1 << 16;
/// The longest text of a record, in bytes (RFC 5246 section 6.2.1).
pub(super) const LONGEST_TEXT: usize = 1 << 14;
/// Bytes of a master secret (RFC 5246 section 8.1) and of a random (section 7.4.1.2).
pub(super) const MASTER_SECRET: usize = 48;
pub(super) const RANDOM: usize = 32;
const KEY_EXPANSION: &[u8] = b"key expansion";
