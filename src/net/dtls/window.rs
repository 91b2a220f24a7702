//! Which records of a peer have come already (RFC 6347 section 4.1.2.6).

use crate::domain::ReceiveWindow;

/// The anti-replay window over 64 numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Window(ReceiveWindow);

impl Window {
    /// Goes on where another one was.
    pub(super) fn from_kept(kept: ReceiveWindow) -> Self {
        Self(kept)
    }

    pub(super) fn kept(self) -> ReceiveWindow {
        self.0
    }

    /// True for a number that has not come and is not too old to know.
    pub(super) fn is_fresh(self, number: u64) -> bool {
        match self.0.highest.checked_sub(number) {
            None => true,
            Some(age) => age < WIDTH && self.0.seen & (1 << age) == 0,
        }
    }

    /// True for a number above all that have come.
    pub(super) fn is_newest(self, number: u64) -> bool {
        self.0.seen == 0 || number > self.0.highest
    }

    /// It has come. What is not fresh changes nothing.
    pub(super) fn take(&mut self, number: u64) {
        if self.is_newest(number) {
            let ahead = number - self.0.highest;
            let before = if ahead < WIDTH {
                self.0.seen << ahead
            } else {
                0
            };
            self.0 = ReceiveWindow {
                highest: number,
                seen: before | 1,
            };
        } else if let Some(age) = self
            .0
            .highest
            .checked_sub(number)
            .filter(|age| *age < WIDTH)
        {
            self.0.seen |= 1 << age;
        }
    }
}

/// Numbers that it is over.
const WIDTH: u64 = 64;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_first_record_may_have_any_number() {
        for number in [0, 1, 63, 64, (1 << 48) - 1] {
            let mut window = Window::default();
            assert!(
                window.is_fresh(number) && window.is_newest(number),
                "{number}"
            );
            window.take(number);
            assert!(
                !window.is_fresh(number) && !window.is_newest(number),
                "{number}"
            );
        }
    }

    proptest! {
        /// Against a window that remembers everything.
        #[test]
        fn no_number_is_taken_twice_and_none_of_the_last_64_is_refused(
            steps in prop::collection::vec(-80i64..120, 1..400)
        ) {
            let mut window = Window::default();
            let mut taken = BTreeSet::new();
            let mut at = 500i64;
            for step in steps {
                at = (at + step).max(0);
                let number = at.unsigned_abs();
                let highest = taken.last().copied();
                let expected = !taken.contains(&number)
                    && highest.is_none_or(|highest: u64| number + 64 > highest);
                prop_assert_eq!(window.is_fresh(number), expected);
                prop_assert_eq!(window.is_newest(number), highest.is_none_or(|highest| number > highest));
                if expected {
                    window.take(number);
                    taken.insert(number);
                } else {
                    let before = window;
                    if taken.contains(&number) {
                        window.take(number);
                        prop_assert_eq!(window, before, "a copy changes nothing");
                    }
                }
            }
        }
    }
}
