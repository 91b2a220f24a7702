//! A socket of some clients, plain or with a DTLS session.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

use crate::net::batch::{BATCH, Inbox, Outbox};
use crate::net::dtls::{Client, ClientError, ClientEvent, ClientSettings};

/// What sends and receives for some clients.
pub(super) struct Socket {
    udp: UdpSocket,
    outgoing: Vec<Vec<u8>>,
    secure: Option<Box<Secure>>,
}

struct Secure {
    settings: ClientSettings,
    /// None before anything is said.
    session: Option<Client>,
    /// What is said once there is a session.
    waiting: Vec<Vec<u8>>,
}

impl Socket {
    /// On a port of its own, for this server only.
    pub(super) fn open(server: SocketAddr, security: Option<ClientSettings>) -> io::Result<Self> {
        let any: SocketAddr = match server {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let udp = UdpSocket::bind(any)?;
        udp.connect(server)?;
        udp.set_nonblocking(true)?;
        let options = socket2::SockRef::from(&udp);
        // The kernel grants what it can.
        let _ = options.set_recv_buffer_size(BUFFER);
        let _ = options.set_send_buffer_size(BUFFER);
        let secure = security.map(|settings| {
            Box::new(Secure {
                settings,
                session: None,
                waiting: Vec::new(),
            })
        });
        Ok(Self {
            udp,
            outgoing: Vec::new(),
            secure,
        })
    }

    /// Gathers a datagram; [`Socket::flush`] sends it.
    pub(super) fn put(&mut self, datagram: Vec<u8>) -> Result<(), ClientError> {
        let Some(secure) = &mut self.secure else {
            self.outgoing.push(datagram);
            return Ok(());
        };
        if secure.session.is_none() {
            secure.session = Some(Client::new(secure.settings.clone())?);
        }
        let Some(session) = &mut secure.session else {
            return Ok(());
        };
        if session.is_connected() {
            session.send(&datagram);
        } else {
            secure.waiting.push(datagram);
        }
        self.outgoing
            .extend(std::iter::from_fn(|| session.poll_transmit()));
        Ok(())
    }

    /// Sends what was gathered. True when all of it has gone.
    pub(super) fn flush(&mut self, outbox: &mut Outbox) -> bool {
        let mut sent = 0;
        while let Some(rest) = self.outgoing.get(sent..).filter(|rest| !rest.is_empty()) {
            let datagrams = rest.iter().map(|datagram| (None, datagram.as_slice()));
            match outbox.send(&self.udp, datagrams) {
                Ok(count) => sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // Refused by the host of the server, which is told by what stays unanswered.
                Err(_) => sent += 1,
            }
        }
        self.outgoing.drain(..sent);
        self.outgoing.is_empty()
    }

    /// Takes what has arrived, at most one batch. True when there may be more.
    pub(super) fn receive(
        &mut self,
        inbox: &mut Inbox,
        take: &mut dyn FnMut(&[u8]),
    ) -> Result<bool, ClientError> {
        let Self {
            udp,
            outgoing,
            secure,
        } = self;
        let Some(secure) = secure else {
            let read = inbox.receive(udp, |_, datagram| take(datagram));
            return Ok(read.is_ok_and(|count| count == BATCH));
        };
        let mut result = Ok(());
        let read = inbox.receive(udp, |_, datagram| {
            let Some(session) = &mut secure.session else {
                return;
            };
            let events = session.handle_datagram(datagram);
            result = std::mem::replace(&mut result, Ok(()))
                .and_then(|()| handle(session, &mut secure.waiting, events, take));
            outgoing.extend(std::iter::from_fn(|| session.poll_transmit()));
        });
        result.map(|()| read.is_ok_and(|count| count == BATCH))
    }

    /// Sends again what a handshake waits for. False when there is none.
    pub(super) fn look_at_handshake(&mut self, now: Instant) -> Result<bool, ClientError> {
        let Some(secure) = &mut self.secure else {
            return Ok(false);
        };
        let Some(session) = &mut secure.session else {
            return Ok(false);
        };
        let Some(at) = session.next_timeout() else {
            return Ok(false);
        };
        if at <= now {
            let events = session.handle_timeout();
            handle(session, &mut secure.waiting, events, &mut |_| {})?;
            self.outgoing
                .extend(std::iter::from_fn(|| session.poll_transmit()));
        }
        Ok(true)
    }

    /// A handshake is under way.
    pub(super) fn is_shaking(&self) -> bool {
        let session = self
            .secure
            .as_ref()
            .and_then(|secure| secure.session.as_ref());
        session.is_some_and(|session| !session.is_connected() && !session.is_closed())
    }

    /// Has something to send.
    pub(super) fn is_full(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Tells the server that a session is over.
    pub(super) fn close(&mut self) {
        let session = self
            .secure
            .as_mut()
            .and_then(|secure| secure.session.take());
        if let Some(mut session) = session {
            session.close();
            self.outgoing
                .extend(std::iter::from_fn(|| session.poll_transmit()));
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.udp.as_fd()
    }
}

fn handle(
    session: &mut Client,
    waiting: &mut Vec<Vec<u8>>,
    events: Vec<ClientEvent>,
    take: &mut dyn FnMut(&[u8]),
) -> Result<(), ClientError> {
    for event in events {
        match event {
            ClientEvent::Connected => {
                for datagram in waiting.drain(..) {
                    session.send(&datagram);
                }
            }
            ClientEvent::Received(message) => take(&message),
            ClientEvent::Closed(Some(error)) => return Err(error),
            ClientEvent::Closed(None) => {}
        }
    }
    Ok(())
}

/// Of the kernel, in bytes.
pub(super) const BUFFER: usize = 4 << 20;
