//! Somebody who looks on: what goes to and fro between us and the peers, behind DTLS.

use crate::domain::{EndpointName, Peer};

/// Sees each message of a peer and each to one, as they are behind DTLS, with the bytes that they were on the
/// wire. It is called on the arbiter of the socket between two datagrams, so it has no time.
pub trait Tap {
    /// A datagram has come, or a message in one. `wire`: bytes of the datagram; of a further message of the
    /// same datagram none. `is_copy`: the same was heard before.
    fn received(&self, peer: Peer, message: &[u8], wire: usize, is_copy: bool);

    /// A datagram goes out. `again`: the same was sent before.
    fn sent(&self, peer: Peer, message: &[u8], wire: usize, again: bool);

    /// Datagrams of a session that hold no messages: its handshake, alerts, flights that are repeated.
    /// `endpoint`: whose the session is, where that is one device and no other.
    fn carried(&self, peer: Peer, endpoint: Option<&EndpointName>, carried: Carried);

    /// The session of a peer is over.
    fn over(&self, peer: Peer);
}

/// Datagrams that were counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Carried {
    /// Bytes of datagrams of the peer.
    pub up_bytes: u64,
    /// How many datagrams of the peer.
    pub up: u64,
    /// Bytes of datagrams to the peer.
    pub down_bytes: u64,
    /// How many datagrams to the peer.
    pub down: u64,
}

impl Carried {
    /// A datagram of the peer.
    pub(super) fn up(&mut self, bytes: usize) {
        self.up = self.up.saturating_add(1);
        self.up_bytes = self.up_bytes.saturating_add(bytes as u64);
    }

    /// A datagram to the peer.
    pub(super) fn down(&mut self, bytes: usize) {
        self.down = self.down.saturating_add(1);
        self.down_bytes = self.down_bytes.saturating_add(bytes as u64);
    }

    /// True when there was none.
    pub(super) fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}
