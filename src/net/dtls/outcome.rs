//! What the threads that shake hands have to tell.

use std::net::SocketAddr;

use super::refusal::Refusal;
use super::session::Carrier;
use super::takeover::Content;
use crate::domain::{EndpointName, Identity, SessionId};
use crate::net::Carried;

/// What comes back.
pub(in crate::net) enum Outcome {
    /// A peer has shown its address; what it sends belongs to a handshake now.
    Begun(SocketAddr),
    /// A handshake has ended well.
    Established(Box<Established>),
    /// A handshake has ended, or was not begun.
    Refused {
        address: SocketAddr,
        /// True when no handshake is under way with the address any more.
        ended: bool,
        /// The session of ours that will not be.
        call: Option<SessionId>,
        claimed: Vec<EndpointName>,
        refusal: Refusal,
    },
    /// A datagram of a session that was established here a moment ago.
    Returned(SocketAddr, Vec<u8>),
    /// A session was written to disk, or could not be.
    Kept(Kept),
}

/// See [`Outcome::Kept`].
#[derive(Clone, Copy, Debug)]
pub(in crate::net) struct Kept {
    pub(super) session: SessionId,
    pub(super) generation: u64,
    /// Numbers below this one are reserved; nothing when it could not be written.
    pub(super) end: Option<u64>,
}

/// A finished handshake.
pub(in crate::net) struct Established {
    pub(super) address: SocketAddr,
    pub(super) identity: Identity,
    pub(super) carrier: Carrier,
    /// What came right behind the handshake.
    pub(super) contents: Vec<Content>,
    pub(super) client_random: [u8; 32],
    /// Set when the session is one that we began.
    pub(super) call: Option<SessionId>,
    /// The datagrams of the handshake.
    pub(super) carried: Carried,
}
