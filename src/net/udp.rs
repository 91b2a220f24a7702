//! A UDP socket that takes IPv6 and IPv4 and never blocks. What goes out is gathered and handed to the
//! kernel many datagrams at a time.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd as _;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{Interest, Ready};
use tokio::net::UdpSocket;

use super::batch::{BATCH, Inbox, Outbox};

/// A bound socket.
pub(super) struct PlainSocket {
    socket: UdpSocket,
    address: SocketAddr,
    inbox: RefCell<Inbox>,
    outgoing: RefCell<Outgoing>,
}

/// What goes out next.
#[derive(Default)]
struct Outgoing {
    queue: VecDeque<(SocketAddr, Vec<u8>)>,
    /// The kernel did not take everything; it says when it does again.
    is_blocked: bool,
    outbox: Outbox,
}

/// Why the socket could not be had.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen for CoAP on {address}: {source}")]
pub struct BindError {
    address: SocketAddr,
    source: io::Error,
}

impl PlainSocket {
    /// Binds it, with kernel buffers of this size where the kernel grants them.
    pub(super) fn bind(address: SocketAddr, buffer_bytes: usize) -> Result<Self, BindError> {
        let fail = |source| BindError { address, source };
        let socket = open(address, buffer_bytes).map_err(fail)?;
        let address = socket.local_addr().map_err(fail)?;
        Ok(Self {
            socket,
            address,
            inbox: RefCell::new(Inbox::new(MAX_DATAGRAM)),
            outgoing: RefCell::default(),
        })
    }

    /// Where it is bound.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same socket for another thread, which only sends.
    pub(super) fn sending(&self) -> io::Result<std::net::UdpSocket> {
        let copy = self.socket.as_fd().try_clone_to_owned()?;
        Ok(copy.into())
    }

    pub(super) async fn ready(&self, interest: Interest) -> io::Result<Ready> {
        self.socket.ready(interest).await
    }

    /// Takes what has arrived, at most [`BATCH`] datagrams. Returns how many.
    pub(super) fn receive(&self, take: impl FnMut(SocketAddr, &[u8])) -> io::Result<usize> {
        let mut inbox = self.inbox.borrow_mut();
        self.socket
            .try_io(Interest::READABLE, || inbox.receive(&self.socket, take))
    }

    /// Gathers a datagram; [`PlainSocket::flush`] sends it, and so does this once there are many. Beyond
    /// `most` that wait it is lost, which CoAP is made for.
    pub(super) fn put(&self, to: SocketAddr, datagram: Vec<u8>, most: usize) {
        // A dual-stack socket takes IPv4 addresses in their mapped form only.
        let to = match (self.address, to) {
            (SocketAddr::V6(_), SocketAddr::V4(v4)) => (v4.ip().to_ipv6_mapped(), v4.port()).into(),
            (_, address) => address,
        };
        let mut outgoing = self.outgoing.borrow_mut();
        if outgoing.queue.len() < most.max(1) {
            outgoing.queue.push_back((to, datagram));
        }
        let is_full = outgoing.queue.len() >= BATCH && !outgoing.is_blocked;
        drop(outgoing);
        if is_full {
            self.flush();
        }
    }

    /// Sends what was gathered. False when the kernel took no more; what is left waits.
    pub(super) fn flush(&self) -> bool {
        let Outgoing {
            queue,
            is_blocked,
            outbox,
        } = &mut *self.outgoing.borrow_mut();
        while !queue.is_empty() {
            let sent = self.socket.try_io(Interest::WRITABLE, || {
                let datagrams = queue.iter();
                outbox.send(
                    &self.socket,
                    datagrams.map(|(to, datagram)| (Some(*to), datagram.as_slice())),
                )
            });
            match sent {
                Ok(count) => _ = queue.drain(..count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    *is_blocked = true;
                    return false;
                }
                Err(error) => {
                    let to = queue.pop_front().map(|(to, _)| to);
                    tracing::debug!("Cannot send from {} to {to:?}: {error}", self.address);
                }
            }
        }
        *is_blocked = false;
        true
    }

    /// True when the kernel did not take everything.
    pub(super) fn is_blocked(&self) -> bool {
        self.outgoing.borrow().is_blocked
    }
}

fn open(address: SocketAddr, buffer_bytes: usize) -> io::Result<UdpSocket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    if address.is_ipv6() {
        // [::] takes IPv4 as well, whatever the system's default is.
        socket.set_only_v6(false)?;
    }
    // The kernel grants what it can; a smaller buffer only loses datagrams earlier.
    let _ = socket.set_recv_buffer_size(buffer_bytes);
    let _ = socket.set_send_buffer_size(buffer_bytes);
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    UdpSocket::from_std(socket.into())
}

/// The largest UDP payload.
const MAX_DATAGRAM: usize = 65_535;
