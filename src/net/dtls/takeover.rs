//! The records under keys of a handshake that OpenSSL makes, where its suite is one that our own record layer
//! can go on with: they are opened here, so that the state of the connection is known when OpenSSL is done,
//! and can be let go. OpenSSL gets the Finished and the alerts in them, without the connection ids that it
//! knows nothing of; what it writes under keys gets them.

use openssl::error::ErrorStack;
use openssl::ssl::SslRef;

use super::aead::{Aead, Ciphers};
use super::cid::Cid;
use super::ffi;
use super::proof::{Findings, SharedFindings};
use super::record::{EPOCH, RecordLayer};
use super::records::{ALERT, APPLICATION_DATA, CID, HANDSHAKE, Record, Records, plain};
use super::window::Window;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Takeover {
    /// Once there are keys.
    layer: Option<RecordLayer>,
    /// Records that have come before them.
    early: Vec<Vec<u8>>,
    /// What has come behind the Finished of the peer.
    contents: Vec<Content>,
}

/// What was in a record.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Content {
    pub(super) kind: u8,
    pub(super) text: Vec<u8>,
}

/// What becomes of a record under keys.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Protected {
    /// Nobody with the keys has made it, or it is a copy.
    Dropped,
    /// It is for later: there are no keys yet, or it is a message and the handshake is not over.
    Kept,
    /// It would be for later, and too much was kept already.
    NoRoom,
    /// OpenSSL is to read it, as it is here.
    ForOpenSsl(Vec<u8>),
}

/// A finished handshake, in our hands.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) layer: RecordLayer,
    /// What came right behind it.
    pub(super) contents: Vec<Content>,
    /// What the peer may ask for again, when it is ours to repeat.
    pub(super) flight: Option<Box<Flight>>,
}

impl Takeover {
    /// The records that were kept until there are keys, once there are.
    pub(super) fn take_early(&mut self, ssl: &SslRef) -> Vec<Vec<u8>> {
        if epoch(ssl) < EPOCH {
            return Vec::new();
        }
        std::mem::take(&mut self.early)
    }

    /// True once a record of the peer was genuine.
    pub(super) fn has_heard(&self) -> bool {
        let layer = self.layer.as_ref();
        layer.is_some_and(|layer| layer.window != Window::default())
    }

    /// Opens a record; keeps it when it is for later and there is room.
    pub(super) fn take(
        &mut self,
        ciphers: &mut Ciphers,
        connection: Connection<'_>,
        record: Record<'_>,
        has_room: impl FnOnce() -> bool,
    ) -> Protected {
        if record.epoch() > epoch(connection.ssl) {
            if !has_room() {
                return Protected::NoRoom;
            }
            self.early.push(record.numbered(record.sequence()));
            return Protected::Kept;
        }
        let Ok(layer) = self.layer(connection) else {
            return Protected::Dropped;
        };
        let mut text = Vec::new();
        let Some(opened) = layer.open(ciphers, record, &mut text) else {
            return Protected::Dropped;
        };
        let kind = opened.kind;
        if matches!(kind, ALERT | APPLICATION_DATA) && !has_room() {
            return Protected::NoRoom;
        }
        if kind == APPLICATION_DATA {
            self.contents.push(Content { kind, text });
            return Protected::Kept;
        }
        let sequence = record.sequence();
        let without_cid = if record.kind() == CID {
            layer.without_cid(ciphers, kind, sequence, &text)
        } else {
            Ok(record.numbered(sequence))
        };
        match without_cid {
            Ok(record) => {
                if kind == ALERT {
                    // For us too, if it comes too late for OpenSSL.
                    self.contents.push(Content { kind, text });
                }
                Protected::ForOpenSsl(record)
            }
            Err(_) => Protected::Dropped,
        }
    }

    /// A datagram of OpenSSL, as it goes to the peer; the numbers in it are taken.
    pub(super) fn outgoing(
        &mut self,
        ciphers: &mut Ciphers,
        connection: Connection<'_>,
        datagram: Vec<u8>,
    ) -> Vec<u8> {
        let is_plain = Records::of(&datagram).all(|record| record.epoch() < EPOCH);
        if is_plain {
            return datagram;
        }
        let Ok(layer) = self.layer(connection) else {
            return datagram;
        };
        if layer.peer.is_empty() {
            // As it is: only what is named is another record than OpenSSL's.
            for record in Records::of(&datagram).filter(|record| record.epoch() == EPOCH) {
                layer.numbers.next = record.sequence().saturating_add(1);
            }
            return datagram;
        }
        let mut named = Vec::with_capacity(datagram.len() + 1 + Cid::LONGEST);
        let mut text = Vec::new();
        for record in Records::of(&datagram) {
            let sequence = record.sequence();
            if record.epoch() < EPOCH {
                named.extend(record.numbered(sequence));
                continue;
            }
            layer.numbers.next = sequence;
            if let Some(kind) = layer.open_own(ciphers, record, &mut text)
                && let Ok(sealed) = layer.seal(ciphers, kind, &text)
            {
                named.extend(sealed);
            }
        }
        named
    }

    /// The end of the handshake. `sent` is what OpenSSL wrote last of all.
    ///
    /// # Errors
    /// There are no keys.
    pub(super) fn finish(
        mut self,
        ciphers: &mut Ciphers,
        connection: Connection<'_>,
        sent: &[Vec<u8>],
    ) -> Result<Taken, ErrorStack> {
        let layer = self.layer(connection)?;
        let flight = Flight::of(ciphers, layer, sent);
        let layer = layer.clone();
        Ok(Taken {
            layer,
            contents: self.contents,
            flight: flight.map(Box::new),
        })
    }

    fn layer(&mut self, connection: Connection<'_>) -> Result<&mut RecordLayer, ErrorStack> {
        let Connection { ssl, aead, cids } = connection;
        match &mut self.layer {
            Some(layer) => Ok(layer),
            place => Ok(place.insert(RecordLayer::of(ssl, aead, cids.0, cids.1)?)),
        }
    }
}

/// What OpenSSL has agreed upon so far.
#[derive(Clone, Copy)]
pub(super) struct Connection<'a> {
    pub(super) ssl: &'a SslRef,
    pub(super) aead: Aead,
    /// In what comes, and in what goes.
    pub(super) cids: (Cid, Cid),
}

impl<'a> Connection<'a> {
    /// Nothing when no suite is agreed upon yet, or one that our own record layer does not know.
    pub(super) fn of(ssl: &'a SslRef, findings: &SharedFindings) -> Option<Self> {
        let cipher = ffi::pending_cipher(ssl).or_else(|| ssl.current_cipher());
        Some(Self {
            ssl,
            aead: cipher.and_then(Aead::of)?,
            cids: Findings::of(findings).cid.agreed(),
        })
    }
}

/// The epoch of the keys by which OpenSSL reads now: once the peer has changed to its own, what is
/// under them is read, or thrown away, and no longer kept.
pub(super) fn epoch(ssl: &SslRef) -> u16 {
    u16::from(ssl.is_init_finished() || ssl.state_string() == READ_CHANGE_CIPHER_SPEC)
}

/// The last flight of a handshake, when it was ours: the peer asks for it by repeating its own (RFC 6347
/// section 4.2.4). It is small, so the connection of OpenSSL need not be kept for it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Flight {
    datagrams: Vec<Vec<Part>>,
    /// The next number without keys.
    plain: u64,
}

/// A record of it, as it was before it was sealed.
#[derive(Debug, PartialEq, Eq)]
struct Part {
    kind: u8,
    has_keys: bool,
    text: Vec<u8>,
}

impl Flight {
    fn of(ciphers: &mut Ciphers, layer: &RecordLayer, sent: &[Vec<u8>]) -> Option<Self> {
        let mut flight = Self {
            datagrams: Vec::new(),
            plain: 0,
        };
        let mut has_keys = false;
        for datagram in sent {
            let mut parts = Vec::new();
            for record in Records::of(datagram) {
                let mut part = Part {
                    kind: record.kind(),
                    has_keys: record.epoch() == EPOCH,
                    text: record.body.to_vec(),
                };
                if part.has_keys {
                    part.kind = layer.open_own(ciphers, record, &mut part.text)?;
                } else {
                    flight.plain = flight.plain.max(record.sequence().saturating_add(1));
                }
                has_keys |= part.has_keys;
                parts.push(part);
            }
            flight.datagrams.push(parts);
        }
        has_keys.then_some(flight)
    }

    /// Of one handshake message, which is under keys.
    pub(super) fn of_one(text: &[u8]) -> Self {
        let part = Part {
            kind: HANDSHAKE,
            has_keys: true,
            text: text.to_vec(),
        };
        Self {
            datagrams: vec![vec![part]],
            plain: 0,
        }
    }

    /// The flight once more, under new numbers; `out` takes its datagrams.
    pub(super) fn repeat(
        &mut self,
        ciphers: &mut Ciphers,
        layer: &mut RecordLayer,
        mut out: impl FnMut(Vec<u8>),
    ) {
        for datagram in &self.datagrams {
            let mut again = Vec::new();
            for part in datagram {
                if !part.has_keys {
                    again.extend(plain(part.kind, self.plain, &part.text));
                    self.plain = self.plain.saturating_add(1);
                } else if let Ok(record) = layer.seal(ciphers, part.kind, &part.text) {
                    again.extend(record);
                }
            }
            // Without numbers there may be nothing to say.
            if !again.is_empty() {
                out(again);
            }
        }
    }
}

/// OpenSSL's short name of the state in which it waits for the Finished of the other side.
const READ_CHANGE_CIPHER_SPEC: &str = "TRCCS";
