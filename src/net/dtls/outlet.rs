//! Where the datagrams of handshakes go.

use std::net::{SocketAddr, UdpSocket};

/// Takes a datagram for a peer; what it cannot send is lost, and sent again in time.
pub(super) trait Outlet: Send {
    fn send(&self, to: SocketAddr, datagram: &[u8]);
}

/// The socket that all peers share.
pub(super) struct Socket {
    socket: UdpSocket,
    /// It takes IPv4 addresses in their mapped form only.
    is_dual: bool,
}

impl Socket {
    pub(super) fn new(socket: UdpSocket) -> Self {
        let is_dual = socket.local_addr().is_ok_and(|address| address.is_ipv6());
        Self { socket, is_dual }
    }
}

impl Outlet for Socket {
    fn send(&self, to: SocketAddr, datagram: &[u8]) {
        let to = match to {
            SocketAddr::V4(v4) if self.is_dual => (v4.ip().to_ipv6_mapped(), v4.port()).into(),
            to => to,
        };
        let _ = self.socket.send_to(datagram, to);
    }
}
