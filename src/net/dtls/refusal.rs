//! Why a handshake or a datagram was refused, in words for the log and the device's page.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use crate::domain::EndpointName;

/// Why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Not a DTLS record.
    #[error("what came is no DTLS 1.2 record")]
    Foreign,
    /// No credential has this PSK identity. The peer is answered as one with a wrong key.
    #[error("the PSK identity `{0}` is unknown")]
    UnknownIdentity(String),
    /// The identity is known, the key is not the stored one.
    #[error("the key of the PSK identity `{0}` is wrong")]
    WrongKey(String),
    /// The raw public key is not stored; its SHA-256.
    #[error("the raw public key {0} is unknown")]
    UnknownKey(String),
    /// The certificate is not trusted.
    #[error("the certificate {serial} is refused: {why}")]
    Certificate {
        /// Its serial number in hex.
        serial: String,
        /// What is wrong.
        why: String,
    },
    /// The device that we called is another one.
    #[error("another device answered: {0}")]
    OtherDevice(EndpointName),
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
    #[error("the handshake failed: {0}")]
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
            Self::OtherDevice(_) => "other_device",
            Self::TimedOut => "timed_out",
            Self::TooManyHandshakes => "too_many_handshakes",
            Self::TooManySessions => "too_many_sessions",
            Self::Protocol(_) => "protocol",
        }
    }
}

/// A refused handshake of a peer that named a device, whether or not it is that device.
#[derive(Clone, Debug)]
pub struct Refused {
    /// The device it claimed to be.
    pub endpoint: EndpointName,
    /// Where it came from.
    pub address: SocketAddr,
    /// Why it was refused.
    pub refusal: Refusal,
}

/// Lets one line a minute through for each source, and for a bounded number of sources.
#[derive(Debug, Default)]
pub(super) struct OncePerMinute {
    logged: HashMap<IpAddr, Instant>,
}

impl OncePerMinute {
    /// True when this source was not logged within the last minute.
    pub(super) fn lets_through(&mut self, now: Instant, source: IpAddr) -> bool {
        let is_recent = |at: &Instant| now.saturating_duration_since(*at) < MINUTE;
        if self.logged.get(&source).is_some_and(is_recent) {
            return false;
        }
        if self.logged.len() >= MOST_SOURCES {
            self.logged.retain(|_, at| is_recent(at));
            if self.logged.len() >= MOST_SOURCES {
                return false;
            }
        }
        self.logged.insert(source, now);
        true
    }
}

const MINUTE: Duration = Duration::from_secs(60);
const MOST_SOURCES: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_logged_once_a_minute_and_many_sources_take_bounded_room() {
        let mut once = OncePerMinute::default();
        let now = Instant::now();
        let source = |number: u32| IpAddr::from(number.to_be_bytes());
        assert!(once.lets_through(now, source(1)));
        assert!(!once.lets_through(now + Duration::from_secs(59), source(1)));
        assert!(once.lets_through(now + MINUTE, source(1)));
        for number in 0..10_000 {
            once.lets_through(now + MINUTE, source(number));
        }
        assert_eq!(once.logged.len(), MOST_SOURCES);
        assert!(once.lets_through(now + 3 * MINUTE, source(20_000)));
    }
}
