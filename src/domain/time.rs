//! Time as an argument: protocol code never asks the operating system.

use std::fmt;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// A moment of the calendar, in milliseconds since 1970-01-01T00:00:00Z.
///
/// Serialised as RFC 3339 in UTC with milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The earliest moment that is kept, 0000-01-01T00:00:00Z.
    pub const MIN: Self = Self(-62_167_219_200_000);
    /// The latest moment that is kept, 9999-12-31T23:59:59Z.
    pub const MAX: Self = Self(253_402_300_799_000);

    /// A moment, or nothing outside the years 0 to 9999.
    pub fn from_millis(millis: i64) -> Option<Self> {
        let moment = Self(millis);
        (Self::MIN..=Self::MAX).contains(&moment).then_some(moment)
    }

    /// The nearest moment that can be kept.
    pub fn clamped_from_millis(millis: i64) -> Self {
        Self(millis).clamp(Self::MIN, Self::MAX)
    }

    /// The moment this many seconds after 1970, fractions kept to the millisecond; nothing when it
    /// is no number or outside the years 0 to 9999.
    pub fn from_seconds(seconds: f64) -> Option<Self> {
        let millis = (seconds * 1000.0).round();
        if !(Self::MIN.0 as f64..=Self::MAX.0 as f64).contains(&millis) {
            return None;
        }
        Some(Self(millis as i64))
    }

    /// The same for what a device reports, which may have meant milliseconds: beyond the year 9999
    /// it comes out as it was said and is to be brought into range before it is kept.
    pub fn reported(seconds: f64) -> Option<Self> {
        let as_millis = (Self::MAX.0 as f64 / 1000.0..=Self::MAX.0 as f64).contains(&seconds);
        if as_millis {
            return Some(Self((seconds * 1000.0).round() as i64));
        }
        Self::from_seconds(seconds)
    }

    /// The operating system's time. For the edges only: protocol code gets a [`Now`].
    pub fn system() -> Self {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or(Duration::ZERO);
        Self::clamped_from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    /// Milliseconds since 1970.
    pub fn as_millis(self) -> i64 {
        self.0
    }

    /// This moment and so much more, at the most [`Self::MAX`].
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        let millis = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        Self::clamped_from_millis(self.0.saturating_add(millis))
    }

    /// This moment and so much less, at the least [`Self::MIN`].
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        let millis = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        Self::clamped_from_millis(self.0.saturating_sub(millis))
    }

    /// This moment less so much, where it is: for what is only kept, it may be outside of the years that are shown.
    #[must_use]
    pub fn earlier_by_millis(self, millis: i64) -> Self {
        Self(self.0.saturating_sub(millis))
    }

    /// How long after `earlier` this is; zero when it is not after it.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(moment) => write!(f, "{moment:.3}"),
            Err(_) => write!(f, "{} ms", self.0),
        }
    }
}

impl std::str::FromStr for Timestamp {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let moment: jiff::Timestamp = text
            .parse()
            .map_err(|_| format!("`{text}` is no RFC 3339 time such as 2026-01-31T12:00:00Z"))?;
        Self::from_millis(moment.as_millisecond())
            .ok_or_else(|| format!("`{text}` is outside the years 0 to 9999"))
    }
}

/// RFC 3339 for people, milliseconds in binary formats.
impl Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !serializer.is_human_readable() {
            return serializer.serialize_i64(self.0);
        }
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if !deserializer.is_human_readable() {
            return i64::deserialize(deserializer).map(Self);
        }
        let text = String::deserialize(deserializer)?;
        // As those are written that the calendar of the library does not reach.
        if let Some(Ok(millis)) = text.strip_suffix(" ms").map(str::parse) {
            return Ok(Self(millis));
        }
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// The present, on both clocks: `instant` never jumps and drives every timer, `wall` is what is
/// shown and stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// The monotonic clock.
    pub instant: Instant,
    /// The calendar.
    pub wall: Timestamp,
}

impl Now {
    /// Both clocks of the operating system. For the edges only.
    pub fn system() -> Self {
        Self {
            instant: Instant::now(),
            wall: Timestamp::system(),
        }
    }

    /// Both clocks moved on; tests make their time with it.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self {
            instant: self.instant + duration,
            wall: self.wall.plus(duration),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_moment_that_is_written_is_read_again() {
        for moment in [
            Timestamp::MIN,
            Timestamp::MAX,
            Timestamp(0),
            Timestamp(-1),
            Timestamp(i64::MAX),
        ] {
            let text = serde_json::to_string(&moment).expect("JSON");
            let read: Timestamp = serde_json::from_str(&text).expect(&text);
            assert_eq!(read, moment, "{text}");
        }
        assert!(serde_json::from_str::<Timestamp>("\"x ms\"").is_err());
    }

    #[test]
    fn what_a_device_reports_may_be_out_of_range_by_the_factor_of_milliseconds() {
        let reported = |seconds| Timestamp::reported(seconds).map(Timestamp::as_millis);
        assert_eq!(reported(1.5), Some(1500));
        assert_eq!(reported(1.7e12), Some(1_700_000_000_000_000));
        assert_eq!(
            reported(253_402_300_799_000.0),
            Some(253_402_300_799_000_000)
        );
        for never in [2.6e14, -1e12, f64::NAN, f64::INFINITY] {
            assert_eq!(reported(never), None, "{never}");
        }
    }
}
