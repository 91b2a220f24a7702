//! Results that are taken in the order in which what leads to them was begun, whichever comes first.

use std::collections::VecDeque;

/// What is under way, and the results that wait for an earlier one.
#[derive(Debug)]
pub(super) struct InOrder<T> {
    /// The number of the first one.
    first: u64,
    results: VecDeque<Option<T>>,
}

impl<T> Default for InOrder<T> {
    fn default() -> Self {
        Self {
            first: 0,
            results: VecDeque::new(),
        }
    }
}

impl<T> InOrder<T> {
    /// Something is under way. Its number.
    pub(super) fn begin(&mut self) -> u64 {
        self.results.push_back(None);
        self.first + self.results.len() as u64 - 1
    }

    /// This is what it came to.
    pub(super) fn end(&mut self, number: u64, result: T) {
        let place = number
            .checked_sub(self.first)
            .and_then(|place| self.results.get_mut(usize::try_from(place).ok()?));
        if let Some(place) = place {
            *place = Some(result);
        }
    }

    /// The next result, if nothing that was begun earlier is still under way.
    pub(super) fn next(&mut self) -> Option<T> {
        let result = self.results.front_mut()?.take()?;
        self.results.pop_front();
        self.first += 1;
        if self.results.is_empty() {
            // An idle actor keeps no room.
            self.results = VecDeque::new();
        }
        Some(result)
    }

    /// Nothing is under way.
    pub(super) fn is_empty(&self) -> bool {
        self.results.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_taken_in_the_order_of_their_beginnings() {
        let mut all = InOrder::default();
        let numbers = [(); 4].map(|()| all.begin());
        for (number, ready) in [(2, 0), (0, 1), (3, 0), (1, 3)] {
            all.end(numbers[number], number);
            let taken: Vec<_> = std::iter::from_fn(|| all.next()).collect();
            assert_eq!(taken.len(), ready, "after {number}");
            assert!(taken.is_sorted());
        }
        assert!(all.is_empty());
        let later = all.begin();
        all.end(numbers[0], 9);
        assert_eq!(all.next(), None, "a number is used once");
        all.end(later, 7);
        assert_eq!(all.next(), Some(7));
    }
}
