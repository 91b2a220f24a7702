//! A session after its handshake: records in, messages out, and back. The rest of DTLS knows nothing
//! of how that is done.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use openssl::ssl::{ErrorCode, ShutdownState, SslStream};

use super::aead::Ciphers;
use super::alert::{self, CLOSE_NOTIFY, FATAL, NO_RENEGOTIATION, WARNING};
use super::cid::Cid;
use super::pipe::Pipe;
use super::record::{RecordLayer, SealError};
use super::records::{
    ALERT, APPLICATION_DATA, CLIENT_HELLO, FINISHED, HANDSHAKE, HELLO_REQUEST, Records,
};
use super::sieve::{shortest, sieve};
use super::takeover::{Content, Flight};
use crate::domain::{Identity, Peer, SessionId};

/// A live session.
pub(super) struct Session {
    pub(super) id: SessionId,
    /// Where the peer is.
    pub(super) address: SocketAddr,
    pub(super) identity: Arc<Identity>,
    /// Tells it from an earlier one of the same id: a device that is called keeps its peer.
    pub(super) generation: u64,
    /// False once it has moved, until its peer has answered from where it is now; as far as is known here.
    pub(super) is_proven: bool,
    /// Of the hello that it began with; a copy of that hello begins nothing.
    hello: u64,
    /// When something that could be read came last.
    pub(super) heard: Instant,
    /// The entry in the order of idle sessions.
    pub(super) noted: Instant,
    pub(super) carrier: Carrier,
}

/// What opens and seals its records.
pub(super) enum Carrier {
    /// We do.
    Own(Own),
    /// OpenSSL does: the suite has a MAC of its own.
    OpenSsl(Box<OpenSsl>),
}

/// See [`Carrier::Own`].
pub(super) struct Own {
    pub(super) layer: RecordLayer,
    /// What the peer may still ask for.
    flight: Option<Box<Flight>>,
    pub(super) keeping: Keeping,
}

/// Whether a session is on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keeping {
    /// It is not.
    Not,
    /// It may be: a write has failed, or nobody knows whether it has.
    Doubtful,
    /// It is not and will not be: it is too long, or sessions are not kept. Its numbers end with the server.
    Never,
    /// It is being written, for the first time or with more numbers.
    UnderWay,
    /// It is.
    Done,
}

/// See [`Carrier::OpenSsl`].
pub(super) struct OpenSsl {
    stream: SslStream<Pipe>,
    /// Bytes of the shortest record that its cipher makes.
    shortest: usize,
}

/// What sessions of a thread share.
#[derive(Default)]
pub(super) struct Tools {
    pub(super) ciphers: Ciphers,
    /// The text of a record, one after the other.
    text: Vec<u8>,
    /// The messages of a datagram.
    pub(super) messages: Vec<u8>,
    /// What OpenSSL reads into, which wants all the room that there may be.
    room: Vec<u8>,
}

/// What is left of a session after a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    /// It goes on, and nothing could be read.
    Unheard,
    /// It goes on. `is_newest`: something was above all numbers before it.
    Heard { is_newest: bool },
    /// The peer has ended it: by a fatal alert of this number (RFC 5246 section 7.2), or in good order.
    Closed(Option<u8>),
}

/// What a datagram of the peer calls for.
#[derive(Clone, Copy, Debug)]
enum Answer {
    /// A warning.
    Alert(u8),
    /// The last flight of the handshake.
    Flight,
}

impl Carrier {
    /// A connection that was taken over.
    pub(super) fn own(layer: RecordLayer, flight: Option<Box<Flight>>) -> Self {
        Self::Own(Own {
            layer,
            flight,
            keeping: Keeping::Not,
        })
    }

    /// A connection of the time before, which is on disk.
    pub(super) fn restored(layer: RecordLayer) -> Self {
        Self::Own(Own {
            layer,
            flight: None,
            keeping: Keeping::Done,
        })
    }

    /// From now on its numbers are counted against what is reserved, and the first step of them is. Whether
    /// the peer may still ask for the last flight of the handshake.
    pub(super) fn begin(&mut self, step: u64) -> bool {
        match self {
            Self::Own(own) => {
                own.layer.numbers.end = own.layer.numbers.next.saturating_add(step);
                own.flight.is_some()
            }
            Self::OpenSsl(_) => false,
        }
    }

    /// A connection that stays with OpenSSL.
    pub(super) fn open_ssl(stream: SslStream<Pipe>) -> Self {
        let shortest = stream.ssl().current_cipher().map_or(0, shortest);
        Self::OpenSsl(Box::new(OpenSsl { stream, shortest }))
    }

    /// Opens a datagram; each message in it goes to `take`, each datagram that answers it to `send`.
    /// Without a datagram, the messages that wait.
    pub(super) fn open(
        &mut self,
        datagram: Option<&[u8]>,
        tools: &mut Tools,
        take: &mut dyn FnMut(&[u8]),
        send: &mut dyn FnMut(Vec<u8>),
    ) -> After {
        match self {
            Self::Own(own) => datagram.map_or(After::Unheard, |datagram| {
                own.open(datagram, tools, take, send)
            }),
            Self::OpenSsl(theirs) => theirs.open(datagram, tools, take, send),
        }
    }

    /// Takes what came during its handshake already.
    pub(super) fn take_in(
        &mut self,
        contents: &[Content],
        tools: &mut Tools,
        take: &mut dyn FnMut(&[u8]),
        send: &mut dyn FnMut(Vec<u8>),
    ) -> After {
        let Self::Own(own) = self else {
            return After::Unheard;
        };
        let mut answer = None;
        let end = contents
            .iter()
            .find_map(|Content { kind, text }| own.content(*kind, text, take, &mut answer));
        own.answer(answer, tools, send);
        end.unwrap_or(After::Unheard)
    }

    /// Seals a message.
    ///
    /// # Errors
    /// It cannot be sent now.
    pub(super) fn seal(&mut self, tools: &mut Tools, message: &[u8]) -> Result<Vec<u8>, SealError> {
        match self {
            Self::Own(own) => own
                .layer
                .seal(&mut tools.ciphers, APPLICATION_DATA, message),
            Self::OpenSsl(theirs) => {
                // Fails only for what is longer than a record, which no CoAP message of ours is.
                let _ = theirs.stream.ssl_write(message);
                theirs.stream.get_mut().pop().ok_or(SealError::Failed)
            }
        }
    }

    /// Says good-bye: the `close_notify` to be sent.
    pub(super) fn close(&mut self, tools: &mut Tools) -> Option<Vec<u8>> {
        match self {
            Self::Own(own) => own.alert(tools, [WARNING, CLOSE_NOTIFY]),
            Self::OpenSsl(theirs) => {
                theirs.close();
                theirs.stream.get_mut().pop()
            }
        }
    }

    /// The last flight of the handshake cannot be asked for any more.
    pub(super) fn forget_flight(&mut self) {
        if let Self::Own(own) = self {
            own.flight = None;
        }
    }

    /// Lets go of it without a word to the peer; what was agreed upon can be taken up again.
    pub(super) fn lay_down(mut self) {
        if let Self::OpenSsl(theirs) = &mut self {
            lay_down(&mut theirs.stream);
        }
    }
}

impl Session {
    pub(super) fn new(
        id: SessionId,
        address: SocketAddr,
        identity: Arc<Identity>,
        client_random: &[u8; 32],
        carrier: Carrier,
        heard: Instant,
    ) -> Self {
        Self {
            id,
            address,
            identity,
            generation: 0,
            is_proven: true,
            hello: name_of(client_random),
            heard,
            noted: heard,
            carrier,
        }
    }

    pub(super) fn peer(&self) -> Peer {
        Peer::dtls(self.address, self.id)
    }

    /// Whether it began with the hello of this random.
    pub(super) fn began_with(&self, client_random: &[u8; 32]) -> bool {
        self.hello == name_of(client_random)
    }

    /// The record layer, if it is ours.
    pub(super) fn layer(&self) -> Option<&RecordLayer> {
        match &self.carrier {
            Carrier::Own(own) => Some(&own.layer),
            Carrier::OpenSsl(_) => None,
        }
    }

    /// By which the peer names it in its records; empty: by its address.
    pub(super) fn cid(&self) -> Cid {
        self.layer().map(|layer| layer.own).unwrap_or_default()
    }

    /// True when OpenSSL keeps it, which takes a hundred times the room.
    pub(super) fn is_large(&self) -> bool {
        matches!(self.carrier, Carrier::OpenSsl(_))
    }

    /// Opens a datagram; each message in it goes to `take`, each datagram that answers it to `send`.
    /// Without a datagram, the messages that wait.
    pub(super) fn open(
        &mut self,
        now: Instant,
        datagram: Option<&[u8]>,
        tools: &mut Tools,
        take: &mut dyn FnMut(&[u8]),
        send: &mut dyn FnMut(Vec<u8>),
    ) -> After {
        let after = self.carrier.open(datagram, tools, take, send);
        if matches!(after, After::Heard { .. }) {
            self.heard = now;
        }
        after
    }

    /// Says good-bye: the `close_notify` to be sent; none to where its peer has not answered from, which may
    /// be the address of somebody else.
    pub(super) fn close(&mut self, tools: &mut Tools) -> Option<Vec<u8>> {
        let good_bye = self.carrier.close(tools);
        good_bye.filter(|_| self.is_proven)
    }
}

impl Own {
    fn open(
        &mut self,
        datagram: &[u8],
        tools: &mut Tools,
        take: &mut dyn FnMut(&[u8]),
        send: &mut dyn FnMut(Vec<u8>),
    ) -> After {
        let mut after = After::Unheard;
        // At most one for a datagram, whatever is in it.
        let mut answer = None;
        let mut text = std::mem::take(&mut tools.text);
        for record in Records::with_cid(datagram, self.layer.own.as_bytes().len()) {
            let Some(opened) = self.layer.open(&mut tools.ciphers, record, &mut text) else {
                continue;
            };
            let was_newest = after == After::Heard { is_newest: true };
            after = After::Heard {
                is_newest: was_newest || opened.is_newest,
            };
            if let Some(end) = self.content(opened.kind, &text, take, &mut answer) {
                after = end;
                break;
            }
        }
        tools.text = text;
        self.answer(answer, tools, send);
        after
    }

    /// What a record was about; how it ends the session, if it does.
    fn content(
        &self,
        kind: u8,
        text: &[u8],
        take: &mut dyn FnMut(&[u8]),
        answer: &mut Option<Answer>,
    ) -> Option<After> {
        match (kind, text) {
            (APPLICATION_DATA, message) => take(message),
            (ALERT, [_, CLOSE_NOTIFY]) => {
                // RFC 5246 section 7.2.1.
                *answer = Some(Answer::Alert(CLOSE_NOTIFY));
                return Some(After::Closed(None));
            }
            (ALERT, [FATAL, alert]) => return Some(After::Closed(Some(*alert))),
            // Ours was lost (RFC 6347 section 4.2.4).
            (HANDSHAKE, [FINISHED, ..]) => *answer = Some(Answer::Flight),
            (HANDSHAKE, [CLIENT_HELLO | HELLO_REQUEST, ..]) => {
                *answer = answer.or(Some(Answer::Alert(NO_RENEGOTIATION)));
            }
            _ => {}
        }
        None
    }

    fn answer(&mut self, answer: Option<Answer>, tools: &mut Tools, send: &mut dyn FnMut(Vec<u8>)) {
        match answer {
            Some(Answer::Alert(description)) => {
                if let Some(alert) = self.alert(tools, [WARNING, description]) {
                    send(alert);
                }
            }
            Some(Answer::Flight) => {
                if let Some(flight) = &mut self.flight {
                    flight.repeat(&mut tools.ciphers, &mut self.layer, &mut *send);
                }
            }
            None => {}
        }
    }

    fn alert(&mut self, tools: &mut Tools, alert: [u8; 2]) -> Option<Vec<u8>> {
        self.layer.seal(&mut tools.ciphers, ALERT, &alert).ok()
    }
}

impl OpenSsl {
    fn close(&mut self) {
        // What cannot be said need not be: the peer finds out by itself.
        let _ = self.stream.shutdown();
        lay_down(&mut self.stream);
    }

    fn open(
        &mut self,
        datagram: Option<&[u8]>,
        tools: &mut Tools,
        take: &mut dyn FnMut(&[u8]),
        send: &mut dyn FnMut(Vec<u8>),
    ) -> After {
        if let Some(datagram) = datagram {
            let kept = sieve(Records::of(datagram), |record| {
                let is_long_enough = record.epoch() == 0 || record.body.len() >= self.shortest;
                is_long_enough.then(|| record.numbered(record.sequence()))
            });
            self.stream.get_mut().push(kept);
        }
        tools.room.resize(super::record::LONGEST_TEXT, 0);
        let mut after = After::Unheard;
        loop {
            match self.stream.ssl_read(&mut tools.room) {
                Ok(length) => {
                    after = After::Heard { is_newest: false };
                    take(tools.room.get(..length).unwrap_or_default());
                }
                Err(error) if error.code() == ErrorCode::WANT_READ => break,
                // A close_notify or a fatal alert, both authenticated.
                Err(error) => {
                    after = After::Closed(error.ssl_error().and_then(alert::of));
                    if error.code() == ErrorCode::ZERO_RETURN {
                        // RFC 5246 section 7.2.1.
                        self.close();
                    }
                    break;
                }
            }
        }
        while let Some(answer) = self.stream.get_mut().pop() {
            send(answer);
        }
        after
    }
}

/// Otherwise OpenSSL takes the session for broken when it is dropped, and its ticket for worthless.
pub(super) fn lay_down(stream: &mut SslStream<Pipe>) {
    stream.set_shutdown(ShutdownState::SENT | ShutdownState::RECEIVED);
}

/// Enough of a random to tell it from others; its first bytes may be the time.
fn name_of(client_random: &[u8; 32]) -> u64 {
    client_random
        .last_chunk()
        .map_or(0, |bytes| u64::from_be_bytes(*bytes))
}
