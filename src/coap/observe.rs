//! Which of two notifications is newer (RFC 7641 section 3.4).

use std::time::{Duration, Instant};

/// True when the notification `new` is newer than `previous`, the newest so far. Each is the value
/// of its `Observe` option (24 bits) and the time at which it arrived.
///
/// Sequence numbers wrap, so they say nothing any more once 128 s have passed.
pub fn is_newer(previous: (u32, Instant), new: (u32, Instant)) -> bool {
    let (old_sequence, old_time) = (previous.0 & MASK, previous.1);
    let (new_sequence, new_time) = (new.0 & MASK, new.1);
    // Less than half of the circle ahead: V1 < V2 and V2 - V1 < 2^23, or V1 > V2 and
    // V1 - V2 > 2^23.
    let ahead = new_sequence.wrapping_sub(old_sequence) & MASK;
    let newer_by_number = if new_sequence > old_sequence {
        ahead < HALF
    } else {
        ahead != 0 && old_sequence.saturating_sub(new_sequence) > HALF
    };
    newer_by_number || new_time.saturating_duration_since(old_time) > FORGET_AFTER
}

/// Sequence numbers have 24 bits.
const MASK: u32 = (1 << 24) - 1;
const HALF: u32 = 1 << 23;
/// "T2 > T1 + 128 seconds"
const FORGET_AFTER: Duration = Duration::from_secs(128);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn newer(old: u32, new: u32) -> bool {
        let now = Instant::now();
        is_newer((old, now), (new, now))
    }

    #[test]
    fn a_larger_number_is_newer() {
        assert!(newer(1, 2));
        assert!(newer(0, HALF - 1));
        assert!(!newer(2, 1));
        assert!(!newer(0, HALF));
    }

    #[test]
    fn the_same_number_is_not_newer() {
        assert!(!newer(7, 7));
    }

    #[test]
    fn numbers_wrap_at_24_bits() {
        assert!(newer(MASK, 0));
        assert!(newer(MASK - 5, 17));
        assert!(!newer(0, MASK));
        assert!(!newer(HALF, 0));
        assert!(newer(HALF + 1, 0));
    }

    #[test]
    fn after_128_seconds_every_number_is_newer() {
        let then = Instant::now();
        let edge = then + Duration::from_secs(128);
        assert!(!is_newer((9, then), (3, edge)));
        assert!(is_newer((9, then), (3, edge + Duration::from_millis(1))));
    }

    #[test]
    fn time_that_runs_backwards_does_no_harm() {
        let then = Instant::now();
        let later = then + Duration::from_secs(500);
        assert!(!is_newer((9, later), (3, then)));
    }

    proptest! {
        #[test]
        fn the_rule_is_that_of_the_rfc(v1 in 0_u32..1 << 24, v2 in 0_u32..1 << 24) {
            let expected = (v1 < v2 && v2 - v1 < HALF) || (v1 > v2 && v1 - v2 > HALF);
            prop_assert_eq!(newer(v1, v2), expected);
        }
    }
}
