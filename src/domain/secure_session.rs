//! DTLS sessions as they are kept, so that they outlive the server.

use serde::{Deserialize, Serialize};

use std::net::SocketAddr;

use super::{SessionId, Timestamp};

/// Which records of the peer have come, against replays (RFC 6347 section 4.1.2.6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiveWindow {
    /// The highest number that has come.
    pub highest: u64,
    /// Which of the 64 up to `highest` have come: bit 0 is `highest` itself, bit n the one n before
    /// it.
    pub seen: u64,
}

/// Where a session stands: what changes with the records that come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionMark {
    /// Which session.
    pub id: SessionId,
    /// Where its records go.
    pub address: SocketAddr,
    /// False while the peer has moved to `address` and not answered from there yet (RFC 9146
    /// section 6).
    pub is_proven: bool,
    /// Which of its records have come.
    pub window: ReceiveWindow,
    /// When the last of them came.
    pub heard_at: Timestamp,
}

/// A session as it is kept: enough to go on after a restart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptSession {
    /// Where it stands.
    pub mark: SessionMark,
    /// Numbers of records of ours from here on have never been used: a number that is used twice
    /// under one key breaks the cipher (RFC 5288 section 3).
    pub numbers: u64,
    /// Keys and identity, sealed: whoever reads the database learns neither.
    pub sealed: Vec<u8>,
}
