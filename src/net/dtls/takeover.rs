//! The records under keys of a handshake that OpenSSL makes, where its suite is one that our own record layer
//! can go on with: they are opened here, so that the state of the connection is known when OpenSSL is done,
//! and can be let go. OpenSSL gets the Finished and the alerts in them, without the connection ids that it
//! knows nothing of; what it writes under keys gets them.

use openssl::error::ErrorStack;
use openssl::ssl::SslRef;

use super::aead::{Aead, Ciphers};
use super::cid::Cid;
use super::record::{EPOCH, RecordLayer};
use super::records::{ALERT, APPLICATION_DATA, CID, Record, Records, plain};

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
    /// It is a message, for when the handshake is over.
    Message(Content),
    /// It is an alert: OpenSSL is to read it, as it is here, and so are we if it comes too late for that.
    Alert(Content, Vec<u8>),
    /// OpenSSL is to read it, as it is here.
    Handshake(Vec<u8>),
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
    /// Keeps a record until there are keys.
    pub(super) fn keep(&mut self, record: Record<'_>) {
        self.early.push(record.numbered(record.sequence()));
    }

    /// Keeps what belongs behind the handshake until it is over.
    pub(super) fn keep_content(&mut self, content: Content) {
        self.contents.push(content);
    }

    /// The records that were kept.
    pub(super) fn take_early(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.early)
    }

    pub(super) fn has_early(&self) -> bool {
        !self.early.is_empty()
    }

    /// Opens a record.
    pub(super) fn open(
        &mut self,
        ciphers: &mut Ciphers,
        connection: Connection<'_>,
        record: Record<'_>,
    ) -> Protected {
        let Ok(layer) = self.layer(connection) else {
            return Protected::Dropped;
        };
        let mut text = Vec::new();
        let Some(opened) = layer.open(ciphers, record, &mut text) else {
            return Protected::Dropped;
        };
        let kind = opened.kind;
        if kind == APPLICATION_DATA {
            return Protected::Message(Content { kind, text });
        }
        let sequence = record.sequence();
        let without_cid = if record.kind() == CID {
            layer.without_cid(ciphers, kind, sequence, &text)
        } else {
            Ok(record.numbered(sequence))
        };
        match without_cid {
            Ok(record) if kind == ALERT => Protected::Alert(Content { kind, text }, record),
            Ok(record) => Protected::Handshake(record),
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
            out(again);
        }
    }
}
