//! Which actors rest early when there are too many: they stand in a ring, and the first of them are asked. One that
//! was spoken to since it was asked before stays, the second time it goes (the algorithm called CLOCK). So
//! devices that speak often keep theirs, and nothing has to be noted with each message.

use std::collections::VecDeque;

use crate::domain::EndpointId;

/// An actor of an endpoint, by its generation.
type Entry = (EndpointId, u64);

/// All actors, by the time at which they were started or last asked. Pure: whoever owns it knows which of them are
/// still there.
#[derive(Debug)]
pub(super) struct Ring {
    max: usize,
    entries: VecDeque<Entry>,
    /// With so many entries it is looked through for those of actors that are gone.
    sweep_at: usize,
}

impl Ring {
    /// For so many actors; none for any number of them.
    pub(super) fn new(max: usize) -> Option<Self> {
        (max > 0).then(|| Self {
            max,
            entries: VecDeque::new(),
            sweep_at: LEAST,
        })
    }

    /// An actor was started.
    pub(super) fn add(&mut self, entry: Entry, is_running: impl Fn(Entry) -> bool) {
        self.entries.push_back(entry);
        if self.entries.len() >= self.sweep_at {
            self.entries.retain(|entry| is_running(*entry));
            self.sweep_at = self.entries.len().saturating_mul(2).max(LEAST);
        }
    }

    /// Whom to ask when so many are running: more than one for each actor that is started, so that their number
    /// falls although some stay.
    pub(super) fn surplus(
        &mut self,
        running: usize,
        is_running: impl Fn(Entry) -> bool,
    ) -> Vec<EndpointId> {
        let mut asked = Vec::new();
        if running <= self.max {
            return asked;
        }
        // The newest one is what room is made for.
        for _ in 1..self.entries.len() {
            if asked.len() >= ASKED {
                break;
            }
            let Some(entry) = self.entries.pop_front() else {
                break;
            };
            if is_running(entry) {
                self.entries.push_back(entry);
                asked.push(entry.0);
            }
        }
        asked
    }
}

/// So many are asked for each one that is started.
const ASKED: usize = 4;
/// Below this it is not worth while to look for actors that are gone.
const LEAST: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(number: u64) -> Entry {
        (EndpointId(number.cast_signed()), 1)
    }

    #[test]
    fn nobody_is_asked_while_there_is_room() {
        let mut ring = Ring::new(3).expect("a bound");
        for number in 0..3 {
            ring.add(entry(number), |_| true);
        }
        assert_eq!(ring.surplus(3, |_| true), []);
        assert!(Ring::new(0).is_none());
    }

    #[test]
    fn the_first_are_asked_and_then_stand_behind_all_others() {
        let mut ring = Ring::new(3).expect("a bound");
        for number in 0..7 {
            ring.add(entry(number), |_| true);
        }
        let ids = |numbers: [i64; 4]| numbers.map(EndpointId);
        assert_eq!(ring.surplus(7, |_| true), ids([0, 1, 2, 3]));
        assert_eq!(ring.surplus(7, |_| true), ids([4, 5, 6, 0]));
    }

    #[test]
    fn those_that_are_gone_are_not_asked_and_take_no_room() {
        let mut ring = Ring::new(1).expect("a bound");
        for number in 0..100_000 {
            ring.add(entry(number), |(id, _)| id.0 >= 99_999);
        }
        assert!(ring.entries.len() <= LEAST, "{}", ring.entries.len());
        let asked = ring.surplus(2, |(id, _)| id.0 % 2 == 0);
        assert!(asked.iter().all(|id| id.0 % 2 == 0), "{asked:?}");
    }
}
