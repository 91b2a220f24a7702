//! One CoAP message and its bytes (RFC 7252 section 3).
//!
//! What comes in is read in place, strictly, and what goes out is written, by [`super::datagram`]. That
//! [`coap_lite`] reads and writes the same is tested, and fuzzed.

use crate::domain::Token;

use super::code::Code;
use super::datagram::{self, Datagram};
use super::options::Options;

/// A CoAP message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// How it is delivered.
    pub kind: MessageType,
    /// A method, a response code or 0.00.
    pub code: Code,
    /// Unique among the messages of the sender to one peer for `EXCHANGE_LIFETIME`.
    pub message_id: u16,
    /// Ties a response to its request.
    pub token: Token,
    /// All options, those of blocks included.
    pub options: Options,
    /// What follows the payload marker.
    pub payload: Vec<u8>,
}

/// The types of messages (RFC 7252 section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MessageType {
    /// CON: sent again until it is acknowledged.
    Confirmable,
    /// NON: sent once.
    NonConfirmable,
    /// ACK.
    Acknowledgement,
    /// RST: says that a message cannot be processed.
    Reset,
}

/// Why a datagram is no CoAP message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Code 0.00 with a token, options or a payload.
    #[error("an empty message has content")]
    EmptyWithContent,
    /// An option number above 65,535.
    #[error("an option number is above 65,535")]
    OptionNumber,
    /// 0xFF with nothing behind it.
    #[error("a payload marker without payload")]
    PayloadMarker,
    /// The classes 1, 6 and 7, and 0.xx codes in acknowledgements and resets.
    #[error("the code {0} is reserved or does not fit the type")]
    ReservedCode(Code),
    /// An option delta or length of 15.
    #[error("an option has a delta or length of 15")]
    ReservedNibble,
    /// Fewer than four bytes.
    #[error("shorter than a header")]
    TooShort,
    /// A token length of 9 to 15.
    #[error("a token length of 9 to 15")]
    TokenLength,
    /// More than [`Message::MAX_OPTIONS`].
    #[error("too many options")]
    TooManyOptions,
    /// The token or an option goes on behind the end.
    #[error("cut off in the middle")]
    Truncated,
    /// Another version than 1: to be ignored silently.
    #[error("version {0}")]
    Version(u8),
}

impl Message {
    /// The most options of one message. No use of ours comes near; each costs an allocation.
    pub const MAX_OPTIONS: usize = 256;

    /// An empty message: an acknowledgement, a reset or a ping.
    pub fn empty(kind: MessageType, message_id: u16) -> Self {
        Self {
            kind,
            code: Code::EMPTY,
            message_id,
            token: Token::default(),
            options: Options::new(),
            payload: Vec::new(),
        }
    }

    /// Reads a datagram, strictly.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn decode(datagram: &[u8]) -> Result<Self, DecodeError> {
        Datagram::read(datagram).map(Self::from)
    }

    /// The bytes on the wire. Always a datagram that [`Message::decode`] takes, as long as no
    /// option is above 65,804 bytes and the code is not reserved; an option that is longer is left
    /// out.
    pub fn encode(&self) -> Vec<u8> {
        if self.code == Code::EMPTY {
            empty(self.kind, self.message_id).to_vec()
        } else {
            datagram::write(self)
        }
    }
}

impl From<Datagram<'_>> for Message {
    fn from(datagram: Datagram<'_>) -> Self {
        Self {
            kind: datagram.kind,
            code: datagram.code,
            message_id: datagram.message_id,
            token: datagram.token,
            options: datagram.options().collect(),
            payload: datagram.payload.to_vec(),
        }
    }
}

/// An empty message, on the stack.
pub(super) fn empty(kind: MessageType, message_id: u16) -> [u8; 4] {
    let [high, low] = message_id.to_be_bytes();
    [0x40 | (kind.bits() << 4), Code::EMPTY.to_byte(), high, low]
}

/// The message id of a confirmable message that cannot be read but must be rejected with a Reset
/// (RFC 7252 section 4.2); nothing for other types, other versions and fragments.
pub(super) fn rejectable(datagram: &[u8]) -> Option<u16> {
    match datagram {
        [first, _, high, low, ..] if first >> 4 == 0b0100 => {
            Some(u16::from_be_bytes([*high, *low]))
        }
        _ => None,
    }
}

/// A hash of a datagram that is the same everywhere and always, as it is stored: FNV-1a's idea on
/// words of eight bytes. It tells a copy from a new message of the same peer; nothing depends on
/// collisions being hard to find.
pub(super) fn fingerprint(bytes: &[u8]) -> i64 {
    const PRIME: u64 = 0x9e37_79b9_7f4a_7c15;
    let mix = |hash: u64, word: u64| {
        let hash = (hash ^ word).wrapping_mul(PRIME);
        hash ^ (hash >> 29)
    };
    let mut hash = mix(0xcbf2_9ce4_8422_2325, bytes.len() as u64);
    let mut words = bytes.chunks_exact(8);
    for word in &mut words {
        hash = mix(hash, u64::from_le_bytes(word.try_into().unwrap_or([0; 8])));
    }
    let mut last = [0; 8];
    for (to, from) in last.iter_mut().zip(words.remainder()) {
        *to = *from;
    }
    hash = mix(hash, u64::from_le_bytes(last));
    i64::from_ne_bytes(mix(hash, 0).to_ne_bytes())
}

impl MessageType {
    pub(super) fn bits(self) -> u8 {
        match self {
            Self::Confirmable => 0,
            Self::NonConfirmable => 1,
            Self::Acknowledgement => 2,
            Self::Reset => 3,
        }
    }

    pub(super) fn from_bits(bits: u8) -> Self {
        match bits & 3 {
            0 => Self::Confirmable,
            1 => Self::NonConfirmable,
            2 => Self::Acknowledgement,
            _ => Self::Reset,
        }
    }
}
