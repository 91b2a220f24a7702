//! What was learnt of a device by watching it: when it wakes and how long it listens then.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::refused::RefusedFormats;
use super::time::Timestamp;

/// What was learnt of a device, registered or not. Kept until the device is forgotten.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Learned {
    /// When it last woke up, as far as it was heard.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub woke_at: Option<Timestamp>,
    /// The times between its latest wakes in seconds, the newest last; [`Self::MAX_INTERVALS`] at
    /// most.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub intervals_s: Vec<u32>,
    /// How long it listens after a message of its own, once that was learnt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub awake: Option<LearntWindow>,
    /// How long after its last message it was asked for something and stayed silent, in
    /// milliseconds, since it last answered so late; [`Self::MAX_SILENCES`] at most.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub silences_ms: Vec<u32>,
    /// The content formats that it refused.
    #[serde(skip_serializing_if = "RefusedFormats::is_empty")]
    pub refused: RefusedFormats,
}

/// A learnt awake window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LearntWindow {
    /// Its length in milliseconds.
    pub ms: u32,
    /// When it was learnt.
    pub at: Timestamp,
}

/// When a sleeping device is expected to wake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextWake {
    /// The best guess.
    pub at: Timestamp,
    /// What it rests on.
    pub basis: WakeBasis,
}

/// What the guess of the next wake rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WakeBasis {
    /// Too little is known of its rhythm; it has to update its registration until then.
    Lifetime,
    /// Its own rhythm.
    Rhythm,
    /// Its own rhythm; but it was expected before and did not come.
    Overdue,
}

impl WakeBasis {
    /// The name used in the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lifetime => "lifetime",
            Self::Overdue => "overdue",
            Self::Rhythm => "rhythm",
        }
    }
}

impl Learned {
    /// So many intervals are kept: enough for a median that single irregular wakes do not move.
    pub const MAX_INTERVALS: usize = 9;
    /// So many silences are kept.
    pub const MAX_SILENCES: usize = 4;
    /// One silence can be a lost datagram; two, and no answer as late in between, are a habit.
    const SILENCES_TO_BELIEVE: usize = 2;
    /// A rhythm needs this many intervals.
    const INTERVALS_TO_BELIEVE: usize = 2;

    /// The device woke up. `continuous`: it was watched since its last wake, so that the time in
    /// between is one interval.
    pub fn woke(&mut self, at: Timestamp, continuous: bool) {
        if let Some(before) = self.woke_at.replace(at)
            && continuous
        {
            let seconds = u32::try_from(at.since(before).as_secs()).unwrap_or(u32::MAX);
            if seconds > 0 {
                self.intervals_s.push(seconds);
            }
            let surplus = self.intervals_s.len().saturating_sub(Self::MAX_INTERVALS);
            self.intervals_s.drain(..surplus);
        }
    }

    /// When a device that sleeps now wakes next. `until`: it has to update its registration by then.
    pub fn next_wake(&self, now: Timestamp, until: Timestamp) -> NextWake {
        let by_lifetime = NextWake {
            at: until,
            basis: WakeBasis::Lifetime,
        };
        let (Some(woke_at), Some(interval)) = (self.woke_at, self.interval()) else {
            return by_lifetime;
        };
        let first = woke_at.plus(interval);
        if first > now {
            return NextWake {
                at: first.min(until),
                basis: WakeBasis::Rhythm,
            };
        }
        // It has its own clock: its wakes go on at the same distance.
        let interval_ms = interval.as_millis().max(1);
        let missed = now.since(woke_at).as_millis() / interval_ms;
        let ahead = missed.saturating_add(1).saturating_mul(interval_ms);
        let ahead = Duration::from_millis(u64::try_from(ahead).unwrap_or(u64::MAX));
        let at = woke_at.plus(ahead);
        // A few percent late is nothing unusual.
        let late = now.since(first) > interval / 10;
        NextWake {
            at: if late { at } else { now }.min(until),
            basis: if late {
                WakeBasis::Overdue
            } else {
                WakeBasis::Rhythm
            },
        }
    }

    /// From when on a device whose rhythm is known is late, unless it wakes: a tenth of its interval
    /// after it was expected.
    pub fn late_from(&self) -> Option<Timestamp> {
        let interval = self.interval()?;
        Some(self.woke_at?.plus(interval).plus(interval / 10))
    }

    /// The usual time between two wakes.
    pub fn interval(&self) -> Option<Duration> {
        if self.intervals_s.len() < Self::INTERVALS_TO_BELIEVE {
            return None;
        }
        let mut sorted = self.intervals_s.clone();
        sorted.sort_unstable();
        let median = sorted.get(sorted.len() / 2)?;
        Some(Duration::from_secs(u64::from(*median)))
    }

    /// The learnt window, while it is younger than `fresh`.
    pub fn window(&self, now: Timestamp, fresh: Duration) -> Option<Duration> {
        let learnt = self.awake?;
        (now.since(learnt.at) < fresh).then(|| Duration::from_millis(u64::from(learnt.ms)))
    }

    /// It answered a request that was sent so long after its last message: whatever was thought of
    /// earlier silences was wrong. True when that changed something.
    pub fn answered(&mut self, after: Duration) -> bool {
        let after_ms = milliseconds(after);
        let before = self.silences_ms.len();
        self.silences_ms.retain(|silence| *silence > after_ms);
        let disproved = self.awake.take_if(|learnt| learnt.ms < after_ms).is_some();
        disproved || self.silences_ms.len() != before
    }

    /// It did not answer a request that was sent so long after its last message. A window is
    /// never learnt to be shorter than `least`.
    pub fn silent(&mut self, after: Duration, least: Duration, now: Timestamp) {
        self.silences_ms.push(milliseconds(after));
        let surplus = self.silences_ms.len().saturating_sub(Self::MAX_SILENCES);
        self.silences_ms.drain(..surplus);
        if self.silences_ms.len() < Self::SILENCES_TO_BELIEVE {
            return;
        }
        if let Some(shortest) = self.silences_ms.iter().min() {
            let ms = (*shortest).max(milliseconds(least));
            if self.awake.is_none_or(|learnt| ms < learnt.ms) {
                self.awake = Some(LearntWindow { ms, at: now });
            }
        }
    }
}

fn milliseconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(1_700_000_000_000 + seconds * 1000).expect("a time")
    }

    const LEAST: Duration = Duration::from_secs(2);

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_rhythm_is_the_median_of_the_latest_intervals() {
        let mut learned = Learned::default();
        for time in [0, 600, 1200, 1210, 1800, 2400, 3000] {
            learned.woke(at(time), true);
        }
        assert_eq!(learned.interval(), Some(seconds(600)));
        let next = learned.next_wake(at(3100), at(9000));
        assert_eq!((next.at, next.basis), (at(3600), WakeBasis::Rhythm));
        let late = learned.next_wake(at(3700), at(9000));
        assert_eq!((late.at, late.basis), (at(4200), WakeBasis::Overdue));
        let nearly = learned.next_wake(at(3630), at(9000));
        assert_eq!((nearly.at, nearly.basis), (at(3630), WakeBasis::Rhythm));
    }

    #[test]
    fn without_a_rhythm_the_lifetime_is_what_is_known() {
        let mut learned = Learned::default();
        learned.woke(at(0), true);
        learned.woke(at(600), true);
        let next = learned.next_wake(at(700), at(9000));
        assert_eq!((next.at, next.basis), (at(9000), WakeBasis::Lifetime));
    }

    #[test]
    fn time_in_which_nobody_watched_is_no_interval() {
        let mut learned = Learned::default();
        learned.woke(at(0), true);
        learned.woke(at(100_000), false);
        assert!(learned.intervals_s.is_empty());
        assert_eq!(learned.woke_at, Some(at(100_000)));
    }

    #[test]
    fn memory_is_bounded() {
        let mut learned = Learned::default();
        for time in 0..1000 {
            learned.woke(at(time * 10), true);
            learned.silent(seconds(50), LEAST, at(time));
        }
        assert_eq!(learned.intervals_s.len(), Learned::MAX_INTERVALS);
        assert_eq!(learned.silences_ms.len(), Learned::MAX_SILENCES);
    }

    #[test]
    fn two_silences_make_a_window_and_an_answer_as_late_unmakes_it() {
        let mut learned = Learned::default();
        learned.silent(seconds(30), LEAST, at(0));
        assert_eq!(learned.window(at(0), seconds(1000)), None);
        learned.silent(seconds(25), LEAST, at(1));
        assert_eq!(learned.window(at(2), seconds(1000)), Some(seconds(25)));
        assert_eq!(learned.window(at(1002), seconds(1000)), None, "too old");
        assert!(
            !learned.answered(seconds(10)),
            "an early answer says nothing"
        );
        assert!(learned.answered(seconds(40)));
        assert_eq!(learned.window(at(2), seconds(1000)), None);
        assert!(learned.silences_ms.is_empty());
    }

    #[test]
    fn a_window_is_never_shorter_than_the_least() {
        let mut learned = Learned::default();
        learned.silent(seconds(0), LEAST, at(0));
        learned.silent(seconds(0), LEAST, at(0));
        assert_eq!(learned.window(at(0), seconds(1000)), Some(LEAST));
    }
}
