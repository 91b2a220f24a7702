//! Why a handshake or a datagram was refused, in words for the log and the device's page. What a stranger
//! or a library says in them is escaped and short, so that it is never taken for words of ours.

use std::net::SocketAddr;

use crate::domain::EndpointName;

/// Why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Not a DTLS record.
    #[error("what came is no DTLS 1.2 record")]
    Foreign,
    /// No credential has this PSK identity. The peer is answered as one with a wrong key.
    #[error("the PSK identity `{}` is unknown", quoted(.0))]
    UnknownIdentity(String),
    /// The identity is known, the key is not the stored one.
    #[error("the key of the PSK identity `{}` is wrong", quoted(.0))]
    WrongKey(String),
    /// The raw public key is not stored; its SHA-256.
    #[error("the raw public key {0} is unknown")]
    UnknownKey(String),
    /// The certificate is not trusted.
    #[error("the certificate {} is refused: {}", quoted(serial), quoted(why))]
    Certificate {
        /// Its serial number in hex.
        serial: String,
        /// What is wrong.
        why: String,
    },
    /// The device that we called has called us meanwhile.
    #[error("the device has begun a handshake itself")]
    Overtaken,
    /// The device that we called is another one.
    #[error("another device answered: {0}")]
    OtherDevice(EndpointName),
    /// The handshake was not finished, and more was sent for it than may be kept.
    #[error(
        "the handshake was not finished, and more was sent too early than is kept \
         (coaps.max_handshake_bytes)"
    )]
    KeptTooMuch,
    /// The handshake was not finished in time.
    #[error("the handshake was not finished in time (coaps.handshake_timeout_s)")]
    TimedOut,
    /// No room for one more.
    #[error("as many handshakes as may be are under way (coaps.max_handshakes)")]
    TooManyHandshakes,
    /// No room for one more, and none is idle.
    #[error("as many sessions as may be are in use (coaps.max_sessions)")]
    TooManySessions,
    /// OpenSSL says why: no common suite, an alert of the peer, a broken message.
    #[error("the handshake failed: {}", quoted(.0))]
    Protocol(String),
}

impl Refusal {
    /// A short name for the metric.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::Foreign => "no_dtls",
            Self::UnknownIdentity(_) => "unknown_identity",
            Self::WrongKey(_) => "wrong_key",
            Self::UnknownKey(_) => "unknown_key",
            Self::Certificate { .. } => "certificate",
            Self::KeptTooMuch => "kept_too_much",
            Self::OtherDevice(_) => "other_device",
            Self::Overtaken => "overtaken",
            Self::TimedOut => "timed_out",
            Self::TooManyHandshakes => "too_many_handshakes",
            Self::TooManySessions => "too_many_sessions",
            Self::Protocol(_) => "protocol",
        }
    }
}

/// A refused handshake or datagram.
#[derive(Clone, Debug)]
pub struct Refused {
    /// The devices that the peer claimed to be, whether or not it is one of them.
    pub claimed: Vec<EndpointName>,
    /// Where it came from.
    pub address: SocketAddr,
    /// Why it was refused.
    pub refusal: Refusal,
}

/// A text of others for a line of the log: without line ends, escape sequences of terminals and what
/// else cannot be seen, and only the beginning of a long one.
fn quoted(text: &str) -> String {
    let mut left = text.chars();
    let mut quoted = String::new();
    for character in left.by_ref().take(MOST_CHARACTERS) {
        match character {
            // They are seen as they are.
            '\'' | '"' => quoted.push(character),
            other => quoted.extend(other.escape_debug()),
        }
    }
    if left.next().is_some() {
        quoted.push('…');
    }
    quoted
}

/// More than the longest identity that can be stored (128 bytes) has.
const MOST_CHARACTERS: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_strangers_stay_on_their_line_and_are_short() {
        let identity = "a\nERROR\r\u{1b}[2J\u{202e}ü's `\\";
        for (refusal, expected) in [
            (
                Refusal::UnknownIdentity(identity.to_owned()),
                "the PSK identity `a\\nERROR\\r\\u{1b}[2J\\u{202e}ü's `\\\\` is unknown",
            ),
            (
                Refusal::WrongKey("a\n".to_owned()),
                "the key of the PSK identity `a\\n` is wrong",
            ),
            (
                Refusal::Protocol("bad\nreason".to_owned()),
                "the handshake failed: bad\\nreason",
            ),
        ] {
            assert_eq!(refusal.to_string(), expected);
        }
        let stored = "x".repeat(128);
        let long = "\n".repeat(MOST_CHARACTERS + 1);
        assert_eq!(quoted(&stored), stored);
        assert_eq!(quoted(&long), format!("{}…", "\\n".repeat(MOST_CHARACTERS)));
    }
}
