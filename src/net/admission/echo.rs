//! Values of the Echo option (RFC 9175 section 2.3): the time and a tag over time and address. Nothing
//! is remembered of those that were given out, and nobody without the key can make one.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};

/// Makes them and knows them again.
pub(super) struct Echoes {
    key: [u8; 32],
    /// Times are counted from here.
    start: Instant,
    /// How old a value may be.
    fresh: Duration,
}

impl Echoes {
    pub(super) fn new(key: [u8; 32], start: Instant, fresh: Duration) -> Self {
        Self { key, start, fresh }
    }

    /// A value for this address, in this stay there ([`Allowance::stay`](crate::coap::Allowance::stay)).
    pub(super) fn make(&self, now: Instant, place: (SocketAddr, u64)) -> Vec<u8> {
        let made = self.seconds(now).to_be_bytes();
        let mut value = made.to_vec();
        value.extend_from_slice(&self.tag(made, place));
        value
    }

    /// Whether a value was made for this address and stay, and lately.
    pub(super) fn knows(&self, now: Instant, place: (SocketAddr, u64), value: &[u8]) -> bool {
        let Some((made, tag)) = value.split_first_chunk::<4>() else {
            return false;
        };
        let expected = self.tag(*made, place);
        // Every byte is compared, so that the time tells nothing of where they differ.
        let differences = expected
            .iter()
            .zip(tag)
            .fold(0, |sum, (one, other)| sum | (one ^ other));
        let age = self
            .seconds(now)
            .checked_sub(u32::from_be_bytes(*made))
            .map(|age| Duration::from_secs(u64::from(age)));
        tag.len() == expected.len() && differences == 0 && age.is_some_and(|age| age < self.fresh)
    }

    fn seconds(&self, now: Instant) -> u32 {
        let passed = now.saturating_duration_since(self.start);
        u32::try_from(passed.as_secs()).unwrap_or(u32::MAX)
    }

    /// What is hashed has always the same length, and only a part of the hash is shown: nothing can
    /// be appended.
    fn tag(&self, made: [u8; 4], (address, stay): (SocketAddr, u64)) -> [u8; TAG] {
        let ip = match address.ip() {
            IpAddr::V4(v4) => v4.to_ipv6_mapped(),
            IpAddr::V6(v6) => v6,
        };
        let mut hash = Sha256::new();
        hash.update(self.key);
        hash.update(made);
        hash.update(ip.octets());
        hash.update(address.port().to_be_bytes());
        hash.update(stay.to_be_bytes());
        let mut tag = [0; TAG];
        for (to, from) in tag.iter_mut().zip(hash.finalize()) {
            *to = from;
        }
        tag
    }
}

impl std::fmt::Debug for Echoes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Not the key.
        f.debug_struct("Echoes").finish_non_exhaustive()
    }
}

/// Bytes: nobody guesses 64 bits by sending requests.
const TAG: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn address(port: u16) -> SocketAddr {
        ([192, 0, 2, 1], port).into()
    }

    #[test]
    fn a_value_is_good_for_its_address_and_its_time_only() {
        let start = Instant::now();
        let echoes = Echoes::new([7; 32], start, Duration::from_secs(3600));
        let now = start + Duration::from_secs(1000);
        let value = echoes.make(now, (address(1), 0));
        assert!(echoes.knows(now, (address(1), 0), &value));
        assert!(!echoes.knows(now, (address(2), 0), &value), "another port");
        assert!(!echoes.knows(now, (address(1), 1), &value), "another stay");
        let later = now + Duration::from_secs(3599);
        assert!(echoes.knows(later, (address(1), 0), &value));
        let too_late = now + Duration::from_secs(3600);
        assert!(!echoes.knows(too_late, (address(1), 0), &value));
        let before = now - Duration::from_secs(1);
        assert!(
            !echoes.knows(before, (address(1), 0), &value),
            "of the future"
        );
        let others = Echoes::new([8; 32], start, Duration::from_secs(3600));
        assert!(!others.knows(now, (address(1), 0), &value), "another key");
    }

    #[test]
    fn a_value_that_was_changed_anywhere_is_none() {
        let now = Instant::now();
        let echoes = Echoes::new([7; 32], now, Duration::from_secs(3600));
        let value = echoes.make(now, (address(1), 0));
        for at in 0..value.len() {
            let mut changed = value.clone();
            changed[at] ^= 1;
            assert!(!echoes.knows(now, (address(1), 0), &changed), "byte {at}");
            assert!(
                !echoes.knows(now, (address(1), 0), &value[..at]),
                "{at} bytes"
            );
        }
        let longer = [value.as_slice(), &[0]].concat();
        assert!(!echoes.knows(now, (address(1), 0), &longer));
    }
}
