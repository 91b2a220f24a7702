//! How much may be sent to whom (RFC 7252 section 11.3, RFC 9175 section 2.4).
//!
//! The source address of a datagram is easily forged. Whoever answers it with more bytes than came
//! can be used to flood others, so an address gets a few bytes for each of its own until it has shown
//! that it receives what is sent to it. Who has shown that, for how long it holds and how many bytes
//! are left is kept outside of the message layer, which asks before each datagram.

use std::fmt;
use std::time::Instant;

use crate::domain::Peer;

/// The books on peers that have not proven their addresses.
pub trait Allowance: fmt::Debug {
    /// A datagram of this length came from the peer.
    fn received(&mut self, now: Instant, peer: Peer, bytes: usize);

    /// The bytes that are left for an answer to the peer; nothing: no limit.
    fn room(&mut self, now: Instant, peer: Peer) -> Option<usize>;

    /// The bytes that are left for a request of ours; nothing: no limit. May be more than
    /// [`Allowance::room`]: a peer that was silent for long cannot have paid for it.
    fn room_to_ask(&mut self, now: Instant, peer: Peer) -> Option<usize>;

    /// A datagram of this length is about to be sent; false: it must not be.
    fn take(&mut self, now: Instant, peer: Peer, bytes: usize) -> bool;

    /// Tells where the peer is now from everywhere that it was before, or will be: a session of DTLS moves.
    fn stay(&self, peer: Peer) -> u64;

    /// The peer has repeated something that only its address was sent and nobody can guess.
    fn proven(&mut self, now: Instant, peer: Peer);

    /// A value of the Echo option for the peer.
    fn echo(&self, now: Instant, peer: Peer) -> Vec<u8>;

    /// Whether a value of the Echo option was made for this peer, and not too long ago.
    fn is_echo(&self, now: Instant, peer: Peer, value: &[u8]) -> bool;
}
