//! Where a message comes from and goes to.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

/// How datagrams travel between us and a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// CoAP over plain UDP (`coap://`, RFC 7252).
    Udp,
    /// CoAP over DTLS (`coaps://`).
    Dtls,
}

/// One peer as the message layer sees it: a transport and an address.
///
/// IPv4-mapped IPv6 addresses are folded to IPv4, so that a peer has one name on a dual-stack
/// socket.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Peer {
    /// How it is reached.
    pub transport: Transport,
    /// Its address and port.
    pub address: SocketAddr,
}

impl Peer {
    /// A peer at this address.
    pub fn new(transport: Transport, address: SocketAddr) -> Self {
        let ip = match address.ip() {
            IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(IpAddr::V6(v6), IpAddr::V4),
            v4 @ IpAddr::V4(_) => v4,
        };
        let address = match (ip, address) {
            (IpAddr::V6(_), SocketAddr::V6(v6)) => SocketAddr::V6(v6),
            (ip, address) => SocketAddr::new(ip, address.port()),
        };
        Self { transport, address }
    }

    /// A peer on plain UDP.
    pub fn udp(address: SocketAddr) -> Self {
        Self::new(Transport::Udp, address)
    }

    /// True on a transport that proves who the peer is.
    pub fn is_secure(&self) -> bool {
        self.transport == Transport::Dtls
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.transport {
            Transport::Udp => "coap",
            Transport::Dtls => "coaps",
        };
        write!(f, "{scheme}://{}", self.address)
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
