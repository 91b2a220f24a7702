//! A UDP socket that takes IPv6 and IPv4 and never blocks.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd as _;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{Interest, Ready};
use tokio::net::UdpSocket;

/// A bound socket.
#[derive(Debug)]
pub(super) struct PlainSocket {
    socket: UdpSocket,
    address: SocketAddr,
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
        Ok(Self { socket, address })
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

    /// The next datagram, if one is there.
    pub(super) fn receive(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.socket.try_recv_from(buffer)
    }

    /// Sends, if the kernel takes it at once.
    pub(super) fn send(&self, datagram: &[u8], to: SocketAddr) -> io::Result<()> {
        // A dual-stack socket takes IPv4 addresses in their mapped form only.
        let to = match (self.address, to) {
            (SocketAddr::V6(_), SocketAddr::V4(v4)) => (v4.ip().to_ipv6_mapped(), v4.port()).into(),
            (_, address) => address,
        };
        self.socket.try_send_to(datagram, to).map(drop)
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
