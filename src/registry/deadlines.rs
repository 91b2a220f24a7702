//! When which device is to be looked at: one ordered set for all actors of an arbiter, running or not, so
//! that an idle one has no timer of its own. Pure: whoever owns it waits for [`Deadlines::first`].

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::domain::{ById, EndpointId};

/// At most one deadline a device.
#[derive(Debug)]
pub(super) struct Deadlines {
    /// Times are counted from here, in nanoseconds: half the size of an [`Instant`].
    epoch: Instant,
    times: ById<EndpointId, u64>,
    ordered: BTreeSet<(u64, EndpointId)>,
}

impl Deadlines {
    /// No deadlines.
    pub(super) fn new(epoch: Instant) -> Self {
        Self {
            epoch,
            times: ById::default(),
            ordered: BTreeSet::new(),
        }
    }

    /// Puts the deadline of a device in the place of the one that it had. True when nobody else's is
    /// earlier: whoever waits for the first one waits for too long.
    pub(super) fn set(&mut self, id: EndpointId, at: Option<Instant>) -> bool {
        let Some(at) = at else {
            if let Some(before) = self.times.remove(&id) {
                self.ordered.remove(&(before, id));
            }
            return false;
        };
        let since = at.saturating_duration_since(self.epoch);
        let at = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
        if let Some(before) = self.times.insert(id, at) {
            self.ordered.remove(&(before, id));
        }
        self.ordered.insert((at, id));
        self.ordered.first() == Some(&(at, id))
    }

    /// The earliest one.
    pub(super) fn first(&self) -> Option<Instant> {
        let (at, _) = self.ordered.first()?;
        self.epoch.checked_add(Duration::from_nanos(*at))
    }

    /// Takes a device whose time has come, the earliest first.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<EndpointId> {
        let now = now.saturating_duration_since(self.epoch).as_nanos();
        let (_, id) = *self
            .ordered
            .first()
            .filter(|(at, _)| u128::from(*at) <= now)?;
        self.set(id, None);
        Some(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(number: u64) -> Duration {
        Duration::from_secs(number)
    }

    #[test]
    fn who_is_due_is_taken_once_and_in_order() {
        let start = Instant::now();
        let mut deadlines = Deadlines::new(start);
        for (id, at) in [(1, 30), (2, 10), (3, 20)] {
            deadlines.set(EndpointId(id), Some(start + second(at)));
        }
        assert_eq!(deadlines.first(), Some(start + second(10)));
        assert_eq!(deadlines.take_due(start + second(9)), None);
        let mut due = Vec::new();
        while let Some(EndpointId(id)) = deadlines.take_due(start + second(20)) {
            due.push(id);
        }
        assert_eq!(due, [2, 3]);
        assert_eq!(deadlines.first(), Some(start + second(30)));
    }

    #[test]
    fn another_deadline_takes_the_place_of_the_one_before() {
        let start = Instant::now();
        let mut deadlines = Deadlines::new(start);
        let (one, other) = (EndpointId(1), EndpointId(2));
        assert!(deadlines.set(one, Some(start + second(10))));
        assert!(!deadlines.set(other, Some(start + second(20))));
        assert!(
            deadlines.set(other, Some(start + second(5))),
            "it is the first now"
        );
        assert!(!deadlines.set(other, Some(start + second(40))));
        assert_eq!(deadlines.take_due(start + second(30)), Some(one));
        assert_eq!(deadlines.take_due(start + second(30)), None);
        deadlines.set(other, None);
        assert_eq!(deadlines.first(), None);
        assert!(deadlines.times.is_empty() && deadlines.ordered.is_empty());
    }

    #[test]
    fn a_deadline_in_the_past_or_very_far_away_is_one_as_any_other() {
        let start = Instant::now();
        let mut deadlines = Deadlines::new(start);
        let far = start + second(1_000 * 365 * 86_400);
        deadlines.set(EndpointId(1), Some(far));
        assert_eq!(deadlines.take_due(start + second(1)), None);
        deadlines.set(EndpointId(2), start.checked_sub(second(1)).or(Some(start)));
        assert_eq!(deadlines.take_due(start), Some(EndpointId(2)));
        assert_eq!(deadlines.take_due(start), None);
    }
}
