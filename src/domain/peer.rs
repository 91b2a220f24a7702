//! Where a message comes from and goes to.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
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

/// Names a DTLS session (RFC 6347): random, so that no two sessions, before or after a restart, have
/// the same one.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct SessionId(pub u64);

/// One peer as the message layer sees it.
///
/// On plain UDP a peer is its address. On DTLS a peer is its session, wherever that is at the
/// moment: what was asked in one session is never answered in another (RFC 7252 section 9.1), and a
/// session that moves stays the same peer. So two DTLS peers are equal when their sessions are, and
/// the address only says where this one was last seen.
///
/// IPv4-mapped IPv6 addresses are folded to IPv4, so that a peer has one name on a dual-stack
/// socket.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub struct Peer {
    /// How it is reached.
    pub transport: Transport,
    /// Its address and port.
    pub address: SocketAddr,
    /// Its session, on DTLS.
    pub session: Option<SessionId>,
}

impl Peer {
    /// A peer on plain UDP.
    pub fn udp(address: SocketAddr) -> Self {
        Self {
            transport: Transport::Udp,
            address: unmapped(address),
            session: None,
        }
    }

    /// A peer in a DTLS session.
    pub fn dtls(address: SocketAddr, session: SessionId) -> Self {
        Self {
            transport: Transport::Dtls,
            address: unmapped(address),
            session: Some(session),
        }
    }

    /// True on a transport that proves who the peer is.
    pub fn is_secure(&self) -> bool {
        self.transport == Transport::Dtls
    }

    /// True for the same peer at another address: a session that has moved.
    pub fn has_moved_from(&self, before: &Self) -> bool {
        self == before && self.address != before.address
    }

    /// What makes it this peer and no other.
    fn key(&self) -> (Option<SessionId>, Option<SocketAddr>) {
        (self.session, self.session.is_none().then_some(self.address))
    }
}

/// The address with IPv4-mapped IPv6 folded to IPv4.
pub fn unmapped(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V6(v6) => match v6.ip().to_ipv4_mapped() {
            Some(v4) => SocketAddr::new(IpAddr::V4(v4), v6.port()),
            None => address,
        },
        SocketAddr::V4(_) => address,
    }
}

impl PartialEq for Peer {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Peer {}

impl Hash for Peer {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self.session {
            Some(session) => session.hash(state),
            None => Place(self.address).hash(state),
        }
    }
}

/// An address as the key of a table: hashed at once, where [`SocketAddr`] hands over one part after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place(pub SocketAddr);

impl Hash for Place {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self.0 {
            SocketAddr::V4(v4) => {
                let ip = u64::from(v4.ip().to_bits());
                state.write_u64((ip << 16) | u64::from(v4.port()));
            }
            SocketAddr::V6(v6) => {
                let mut bytes = [0; 18];
                let (ip, port) = bytes.split_at_mut(16);
                ip.copy_from_slice(&v6.ip().octets());
                port.copy_from_slice(&v6.port().to_ne_bytes());
                state.write(&bytes);
            }
        }
    }
}

impl PartialOrd for Peer {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Peer {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
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
