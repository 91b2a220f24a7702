//! What a simulated device does wrong on purpose, so that a server can show that it copes.

use std::time::Duration;

use crate::domain::Path;

use super::firmware::{BlockLimit, FirmwareBehaviour};

/// Misbehaviour of one device; by default none at all.
///
/// The first group is what the device itself does, in virtual time as everything else of it. The
/// second group is what becomes of its datagrams; it needs a relay between device and server, see
/// [`SimSettings::relay`](super::SimSettings::relay).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Quirks {
    /// Content formats that it announces and yet refuses: 4.06 as Accept, 4.15 in a body.
    pub refused_formats: Vec<u16>,
    /// How many requests it hears after each message of its own accord; `Some(1)` is a device that
    /// falls asleep after one datagram.
    pub hears: Option<u32>,
    /// Reads and Observes are answered with a value at this path, which nobody asked for.
    pub stray_path: Option<Path>,
    /// Reads and Observes are answered with so many bytes.
    pub body_bytes: Option<usize>,
    /// How it goes with its firmware.
    pub firmware: FirmwareBehaviour,
    /// The largest block of an image.
    pub block_limit: Option<BlockLimit>,
    /// A larger image does not fit: result 2, and 4.13 to a push.
    pub storage: Option<u64>,
    /// A push that has paused for longer is forgotten: its next block is answered with 4.08. None: a push
    /// is never forgotten, as what came of it is on the flash of a device.
    pub forgets_after: Option<Duration>,

    /// How it answers requests.
    pub answers: Answers,
    /// Every so many datagrams one is lost, either way; 0 counts as 1: all of them.
    pub loses_every: Option<u32>,
    /// So many datagrams pass, either way; then none until the quirks are changed.
    pub passes: Option<u32>,
}

/// How the datagrams that answer a request are treated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Answers {
    /// With an empty acknowledgement, and then nothing.
    AcknowledgementOnly,
    /// With the acknowledgement, as the device wrote it.
    #[default]
    AtOnce,
    /// Not at all.
    Never,
    /// With an empty acknowledgement, and so much later with a confirmable message of its own.
    Separately(Duration),
    /// At once, and once more with a message of its own.
    Twice,
    /// Under a token that nobody has used.
    WrongToken,
}

impl Quirks {
    /// True when its datagrams have to go through a relay.
    pub(super) fn need_a_relay(&self) -> bool {
        self.answers != Answers::AtOnce || self.loses_every.is_some() || self.passes.is_some()
    }
}
