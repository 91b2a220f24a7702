//! A datagram as a message, read in place (RFC 7252 section 3).
//!
//! Strict: what is a [`Datagram`] is a message by the letter of the RFC. Nothing is copied: copies of
//! messages, acknowledgements and resets, and whatever a stranger sends, cost no memory.

use crate::domain::Token;

use super::code::Code;
use super::message::{DecodeError, Message, MessageType};

/// A message that lies in the bytes of its datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram<'a> {
    /// How it is delivered.
    pub kind: MessageType,
    /// A method, a response code or 0.00.
    pub code: Code,
    /// Unique among the messages of the sender to one peer for `EXCHANGE_LIFETIME`.
    pub message_id: u16,
    /// Ties a response to its request.
    pub token: Token,
    /// Whole options, as they are on the wire.
    options: &'a [u8],
    /// What follows the payload marker.
    pub payload: &'a [u8],
}

impl<'a> Datagram<'a> {
    /// Reads a datagram to its end.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn read(datagram: &'a [u8]) -> Result<Self, DecodeError> {
        let [first, code, high, low, rest @ ..] = datagram else {
            return Err(DecodeError::TooShort);
        };
        let version = first >> 6;
        if version != 1 {
            return Err(DecodeError::Version(version));
        }
        let kind = MessageType::from_bits(first >> 4);
        let code = Code::from_byte(*code);
        let message_id = u16::from_be_bytes([*high, *low]);
        let token_length = usize::from(first & 15);
        if code == Code::EMPTY {
            return if token_length == 0 && rest.is_empty() {
                Ok(Self {
                    kind,
                    code,
                    message_id,
                    token: Token::default(),
                    options: &[],
                    payload: &[],
                })
            } else {
                Err(DecodeError::EmptyWithContent)
            };
        }
        let fits = match kind {
            MessageType::Confirmable | MessageType::NonConfirmable => {
                code.is_request() || code.is_response()
            }
            MessageType::Acknowledgement => code.is_response(),
            MessageType::Reset => false,
        };
        if !fits {
            return Err(DecodeError::ReservedCode(code));
        }
        if token_length > 8 {
            return Err(DecodeError::TokenLength);
        }
        let (token, rest) = rest
            .split_at_checked(token_length)
            .ok_or(DecodeError::Truncated)?;
        let (options, payload) = split_payload(rest)?;
        Ok(Self {
            kind,
            code,
            message_id,
            token: Token::new(token).ok_or(DecodeError::TokenLength)?,
            options,
            payload,
        })
    }

    /// The options, in the order of their numbers.
    pub fn options(&self) -> impl Iterator<Item = (u16, &'a [u8])> + use<'a> {
        let mut rest = self.options;
        let mut number = 0;
        // They were read once: there is no error any more.
        std::iter::from_fn(move || {
            let (value, behind) = option(&mut number, rest).ok()?;
            rest = behind;
            Some((number, value))
        })
    }
}

/// The options and the payload of what follows the token.
fn split_payload(all: &[u8]) -> Result<(&[u8], &[u8]), DecodeError> {
    let mut number = 0;
    let mut rest = all;
    for _ in 0..=Message::MAX_OPTIONS {
        let at = all.len().saturating_sub(rest.len());
        match rest {
            [] => return Ok((all, &[])),
            [0xff] => return Err(DecodeError::PayloadMarker),
            [0xff, payload @ ..] => return Ok((all.get(..at).unwrap_or_default(), payload)),
            _ => (_, rest) = option(&mut number, rest)?,
        }
    }
    Err(DecodeError::TooManyOptions)
}

/// Reads one option: changes the number of the one before it to its own, and returns its value and what
/// is behind it.
fn option<'a>(number: &mut u16, bytes: &'a [u8]) -> Result<(&'a [u8], &'a [u8]), DecodeError> {
    let (head, rest) = bytes.split_first().ok_or(DecodeError::Truncated)?;
    let (delta, rest) = extended(head >> 4, rest)?;
    let (length, rest) = extended(head & 15, rest)?;
    *number = u16::try_from(delta)
        .ok()
        .and_then(|delta| number.checked_add(delta))
        .ok_or(DecodeError::OptionNumber)?;
    rest.split_at_checked(length).ok_or(DecodeError::Truncated)
}

/// An option delta or length with its extension.
fn extended(nibble: u8, rest: &[u8]) -> Result<(usize, &[u8]), DecodeError> {
    match (nibble, rest) {
        (0..=12, rest) => Ok((usize::from(nibble), rest)),
        (13, [byte, rest @ ..]) => Ok((usize::from(*byte).saturating_add(13), rest)),
        (14, [high, low, rest @ ..]) => {
            let value = usize::from(u16::from_be_bytes([*high, *low]));
            Ok((value.saturating_add(269), rest))
        }
        (13 | 14, _) => Err(DecodeError::Truncated),
        _ => Err(DecodeError::ReservedNibble),
    }
}

/// Writes a message; see [`Message::encode`].
pub(super) fn write(message: &Message) -> Vec<u8> {
    let token = message.token.as_bytes();
    let options = || {
        let all = message.options.iter();
        all.filter(|(_, value)| value.len() <= MAX_OPTION_LENGTH)
    };
    let length = options()
        .map(|(_, value)| MAX_OPTION_HEAD.saturating_add(value.len()))
        .chain([HEADER, token.len(), 1, message.payload.len()])
        .fold(0, usize::saturating_add);
    let mut bytes = Vec::with_capacity(length);
    let token_length = u8::try_from(token.len()).unwrap_or(0);
    let [high, low] = message.message_id.to_be_bytes();
    let first = 0x40 | (message.kind.bits() << 4) | token_length;
    bytes.extend([first, message.code.to_byte(), high, low]);
    bytes.extend_from_slice(token);
    let mut before: u16 = 0;
    for (number, value) in options() {
        let delta = usize::from(number.saturating_sub(before));
        before = number;
        bytes.push((nibble(delta) << 4) | nibble(value.len()));
        write_extension(&mut bytes, delta);
        write_extension(&mut bytes, value.len());
        bytes.extend_from_slice(value);
    }
    if !message.payload.is_empty() {
        bytes.push(0xff);
        bytes.extend_from_slice(&message.payload);
    }
    bytes
}

/// What stands for an option delta or length in the first byte.
fn nibble(value: usize) -> u8 {
    match value {
        0..=12 => value as u8,
        13..=268 => 13,
        _ => 14,
    }
}

fn write_extension(bytes: &mut Vec<u8>, value: usize) {
    match value {
        0..=12 => {}
        13..=268 => bytes.push(value.saturating_sub(13) as u8),
        _ => bytes.extend((value.saturating_sub(269) as u16).to_be_bytes()),
    }
}

/// Bytes in front of the token.
const HEADER: usize = 4;
/// The most bytes in front of an option's value.
const MAX_OPTION_HEAD: usize = 5;
/// Two bytes of extension and 269 (RFC 7252 section 3.1).
pub(super) const MAX_OPTION_LENGTH: usize = 65_804;
