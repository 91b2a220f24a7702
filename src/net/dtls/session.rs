//! A session after its handshake: records in, messages out, and back. The rest of DTLS knows nothing
//! of how that is done.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use openssl::ssl::{ErrorCode, ShutdownState, SslStream};

use super::pipe::Pipe;
use super::sieve::{shortest, sieve};
use crate::domain::{Identity, Peer, SessionId};

/// A live session.
pub(super) struct Session {
    pub(super) id: SessionId,
    /// Where the peer is.
    pub(super) address: SocketAddr,
    pub(super) identity: Arc<Identity>,
    /// Of the hello that it began with; a copy of that hello begins nothing.
    pub(super) client_random: [u8; 32],
    /// When something that could be read came last.
    pub(super) heard: Instant,
    /// Bytes of the shortest record that its cipher makes.
    shortest: usize,
    stream: SslStream<Pipe>,
}

/// What is left of a session after a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    /// It goes on. `heard` says whether anything could be read.
    Open { heard: bool },
    /// The peer has closed it.
    Closed,
}

impl Session {
    pub(super) fn new(
        id: SessionId,
        address: SocketAddr,
        identity: Arc<Identity>,
        client_random: [u8; 32],
        stream: SslStream<Pipe>,
        now: Instant,
    ) -> Self {
        let cipher = stream.ssl().current_cipher();
        Self {
            id,
            address,
            identity,
            client_random,
            heard: now,
            shortest: cipher.map_or(0, shortest),
            stream,
        }
    }

    pub(super) fn peer(&self) -> Peer {
        Peer::dtls(self.address, self.id)
    }

    /// Opens a datagram; each message in it goes to `take`. Without a datagram, those that wait.
    pub(super) fn open(
        &mut self,
        now: Instant,
        datagram: Option<&[u8]>,
        buffer: &mut [u8],
        mut take: impl FnMut(&[u8]),
    ) -> After {
        if let Some(datagram) = datagram {
            let kept = sieve(datagram, |record| {
                let is_long_enough = record.epoch() == 0 || record.body.len() >= self.shortest;
                is_long_enough.then_some(record.sequence())
            });
            self.stream.get_mut().push(kept);
        }
        let mut heard = false;
        loop {
            match self.stream.ssl_read(buffer) {
                Ok(length) => {
                    heard = true;
                    self.heard = now;
                    take(buffer.get(..length).unwrap_or_default());
                }
                Err(error) if error.code() == ErrorCode::WANT_READ => {
                    return After::Open { heard };
                }
                // A close_notify or a fatal alert, both authenticated.
                Err(_) => return After::Closed,
            }
        }
    }

    /// Seals a message; what is to be sent comes by [`Session::pop`].
    pub(super) fn seal(&mut self, message: &[u8]) {
        // Fails only for what is longer than a record, which no CoAP message of ours is.
        let _ = self.stream.ssl_write(message);
    }

    /// The next datagram for the peer.
    pub(super) fn pop(&mut self) -> Option<Vec<u8>> {
        self.stream.get_mut().pop()
    }

    /// Says good-bye: a `close_notify` waits to be sent then.
    pub(super) fn close(&mut self) {
        let _ = self.stream.shutdown();
        // Otherwise OpenSSL takes the session for broken, and its ticket for worthless.
        self.stream
            .set_shutdown(ShutdownState::SENT | ShutdownState::RECEIVED);
    }
}
