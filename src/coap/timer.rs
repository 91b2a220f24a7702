//! A table of deadlines. Nothing is allocated for a single timer but its place in the tree, and
//! nothing runs by itself: the owner asks which deadlines have passed.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Deadlines of things named by `K`, in the order of time. The owner of a thing remembers its
/// deadline, as it is part of the place.
#[derive(Clone, Debug)]
pub(super) struct Deadlines<K>(BTreeSet<(Instant, K)>);

impl<K: Copy + Ord> Deadlines<K> {
    /// Adds a deadline.
    pub(super) fn insert(&mut self, at: Instant, key: K) {
        self.0.insert((at, key));
    }

    /// Removes a deadline.
    pub(super) fn remove(&mut self, at: Instant, key: K) {
        self.0.remove(&(at, key));
    }

    /// The earliest deadline.
    pub(super) fn next(&self) -> Option<Instant> {
        self.0.first().map(|(at, _)| *at)
    }

    /// The thing with the earliest deadline.
    pub(super) fn first(&self) -> Option<K> {
        self.0.first().map(|(_, key)| *key)
    }

    /// Removes the earliest deadline if it has passed.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<K> {
        if self.next()? > now {
            return None;
        }
        self.0.pop_first().map(|(_, key)| key)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

impl<K> Default for Deadlines<K> {
    fn default() -> Self {
        Self(BTreeSet::new())
    }
}

/// `now + wait`, or some years from now when the clock cannot hold it.
pub(super) fn after(now: Instant, wait: Duration) -> Instant {
    now.checked_add(wait)
        .or_else(|| now.checked_add(FAR))
        .unwrap_or(now)
}

/// Ten years.
const FAR: Duration = Duration::from_secs(315_360_000);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_pass_in_the_order_of_time() {
        let start = Instant::now();
        let mut deadlines = Deadlines::default();
        for (seconds, key) in [(3, 'c'), (1, 'a'), (2, 'b'), (2, 'x')] {
            deadlines.insert(after(start, Duration::from_secs(seconds)), key);
        }
        deadlines.remove(after(start, Duration::from_secs(2)), 'x');
        assert_eq!(deadlines.next(), Some(after(start, Duration::from_secs(1))));
        assert_eq!(deadlines.pop_due(start), None);
        let later = after(start, Duration::from_secs(2));
        assert_eq!(deadlines.pop_due(later), Some('a'));
        assert_eq!(deadlines.pop_due(later), Some('b'));
        assert_eq!(deadlines.pop_due(later), None);
        assert_eq!(deadlines.first(), Some('c'));
    }

    #[test]
    fn a_wait_that_no_clock_can_hold_is_cut() {
        let start = Instant::now();
        assert!(after(start, Duration::MAX) > after(start, Duration::from_secs(86_400)));
    }
}
