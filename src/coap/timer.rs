//! A table of deadlines. Nothing is allocated for a single timer but its place in the table, and
//! nothing runs by itself: the owner asks which deadlines have passed.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

/// Deadlines of things named by `K`, in the order of time. The owner of a thing remembers its
/// deadline, as it is part of the place.
#[derive(Clone, Debug)]
pub(super) struct Deadlines<K> {
    /// Those that were added in their order, as nearly all are: it begins with one that is left.
    run: VecDeque<Place<K>>,
    /// How many of those were removed.
    gaps: usize,
    /// The others.
    apart: BTreeSet<(Instant, K)>,
}

#[derive(Clone, Copy, Debug)]
struct Place<K> {
    at: Instant,
    key: K,
    is_left: bool,
}

impl<K: Copy + Ord> Deadlines<K> {
    /// Adds a deadline.
    pub(super) fn insert(&mut self, at: Instant, key: K) {
        let last = self.run.back().map(|last| (last.at, last.key));
        if last.is_none_or(|last| last < (at, key)) {
            // What is apart may lie behind the run by now.
            if !self.apart.contains(&(at, key)) {
                let is_left = true;
                self.run.push_back(Place { at, key, is_left });
            }
        } else if self.left(at, key).is_none() {
            self.apart.insert((at, key));
        }
    }

    /// Removes a deadline.
    pub(super) fn remove(&mut self, at: Instant, key: K) {
        if let Some(place) = self.left(at, key) {
            place.is_left = false;
            self.gaps = self.gaps.saturating_add(1);
            self.tidy();
        } else {
            self.apart.remove(&(at, key));
        }
    }

    /// The earliest deadline.
    pub(super) fn next(&self) -> Option<Instant> {
        self.earliest().map(|(at, _)| at)
    }

    /// The thing with the earliest deadline.
    pub(super) fn first(&self) -> Option<K> {
        self.earliest().map(|(_, key)| key)
    }

    /// Removes the earliest deadline if it has passed.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<K> {
        let (at, key) = self.earliest().filter(|(at, _)| *at <= now)?;
        if self.apart.first() == Some(&(at, key)) {
            self.apart.pop_first();
        } else {
            self.run.pop_front();
            self.tidy();
        }
        Some(key)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        let in_run = self.run.len().saturating_sub(self.gaps);
        in_run.saturating_add(self.apart.len())
    }

    /// One of the run that was not removed.
    fn left(&mut self, at: Instant, key: K) -> Option<&mut Place<K>> {
        let found = self
            .run
            .binary_search_by_key(&(at, key), |place| (place.at, place.key))
            .ok()?;
        self.run.get_mut(found).filter(|place| place.is_left)
    }

    fn earliest(&self) -> Option<(Instant, K)> {
        let in_run = self.run.front().map(|place| (place.at, place.key));
        let apart = self.apart.first().copied();
        match (in_run, apart) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        }
    }

    /// Lets go of gaps at the beginning, and of all when they are more than what is left.
    fn tidy(&mut self) {
        while self.run.pop_front_if(|place| !place.is_left).is_some() {
            self.gaps = self.gaps.saturating_sub(1);
        }
        let len = self.run.len();
        if self.gaps > len / 2 {
            self.run.retain(|place| place.is_left);
            self.gaps = 0;
        }
        if self.run.capacity() > ROOM && self.run.len() < self.run.capacity() / 8 {
            self.run.shrink_to(self.run.len().saturating_mul(2));
        }
    }
}

impl<K> Default for Deadlines<K> {
    fn default() -> Self {
        Self {
            run: VecDeque::new(),
            gaps: 0,
            apart: BTreeSet::new(),
        }
    }
}

/// So many places are kept without being used.
const ROOM: usize = 1024;

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
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_an_ordered_set(
            steps in prop::collection::vec((0_u8..4, 0_u64..20, 0_u8..3), 0..200),
        ) {
            let start = Instant::now();
            let (mut deadlines, mut set) = (Deadlines::default(), BTreeSet::new());
            let mut clock = 0;
            for (step, seconds, key) in steps {
                let at = start + Duration::from_secs(seconds + clock);
                match step {
                    0 => {
                        clock += 1;
                        set.insert((at, key));
                        deadlines.insert(at, key);
                    }
                    1 => {
                        set.remove(&(at, key));
                        deadlines.remove(at, key);
                    }
                    _ => {
                        let due = set.first().copied().filter(|(due, _)| *due <= at);
                        set.remove(&due.unwrap_or((start, 99)));
                        prop_assert_eq!(deadlines.pop_due(at), due.map(|(_, key)| key));
                    }
                }
                prop_assert_eq!(deadlines.len(), set.len());
                prop_assert_eq!(deadlines.next(), set.first().map(|(at, _)| *at));
                prop_assert_eq!(deadlines.first(), set.first().map(|(_, key)| *key));
                prop_assert!(deadlines.gaps <= deadlines.run.len());
            }
        }
    }

    #[test]
    fn what_is_apart_and_added_again_is_there_once() {
        let start = Instant::now();
        let at = |seconds| after(start, Duration::from_secs(seconds));
        let mut deadlines = Deadlines::default();
        deadlines.insert(at(2), 'b');
        deadlines.insert(at(1), 'a');
        deadlines.remove(at(2), 'b');
        deadlines.insert(at(1), 'a');
        assert_eq!(deadlines.len(), 1);
        assert_eq!(deadlines.pop_due(at(1)), Some('a'));
        assert_eq!(deadlines.pop_due(at(1)), None);
    }

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
