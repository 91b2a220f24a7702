//! A budget that fills up as time passes.

use std::time::Instant;

/// What is left of a budget, in whatever unit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    left: f64,
    at: Instant,
}

/// How fast it fills, and how much fits in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    per_second: f64,
    most: f64,
}

impl Rate {
    /// Nothing when there is no limit.
    pub(super) fn new(per_second: u32, most: u32) -> Option<Self> {
        (per_second > 0).then(|| Self {
            per_second: f64::from(per_second),
            most: f64::from(most),
        })
    }
}

impl Bucket {
    /// A full one.
    pub(super) fn full(rate: Rate, now: Instant) -> Self {
        Self {
            left: rate.most,
            at: now,
        }
    }

    /// Takes so much, if it is there.
    pub(super) fn take(&mut self, rate: Rate, now: Instant, amount: f64) -> bool {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.left = passed.mul_add(rate.per_second, self.left).min(rate.most);
        self.at = self.at.max(now);
        if self.left < amount {
            return false;
        }
        self.left -= amount;
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_burst_goes_through_and_then_the_rate() {
        let rate = Rate::new(10, 5).expect("a limit");
        let start = Instant::now();
        let mut bucket = Bucket::full(rate, start);
        let through = (0..20).filter(|_| bucket.take(rate, start, 1.0)).count();
        assert_eq!(through, 5);
        let later = start + Duration::from_millis(250);
        let through = (0..20).filter(|_| bucket.take(rate, later, 1.0)).count();
        assert_eq!(through, 2);
        let much_later = start + Duration::from_secs(3600);
        let through = (0..20)
            .filter(|_| bucket.take(rate, much_later, 1.0))
            .count();
        assert_eq!(through, 5, "it does not fill beyond its size");
    }

    #[test]
    fn a_clock_that_stands_still_fills_nothing() {
        let rate = Rate::new(1, 1).expect("a limit");
        let now = Instant::now();
        let mut bucket = Bucket::full(rate, now);
        assert!(bucket.take(rate, now, 1.0));
        assert!(!bucket.take(rate, now, 1.0));
    }
}
