//! What devices cost: bytes and messages of a device and a day, by what they were for.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Timestamp;
use super::names::names;

/// What datagrams were for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrafficKind {
    /// Values and operations: notifications, Sends, reads, writes, and what acknowledges them.
    Data,
    /// Firmware images and what is said about them (object 5), in either direction.
    Firmware,
    /// DTLS: handshakes, alerts and flights that are repeated.
    Handshake,
    /// Register, Update, Deregister, and bootstrapping.
    Registration,
    /// Whatever was sent or heard before.
    Retransmission,
}

names!(TrafficKind, "kind of traffic", {
    Data = "data",
    Firmware = "firmware",
    Handshake = "handshake",
    Registration = "registration",
    Retransmission = "retransmission",
});

/// Bytes on the wire without IP and UDP, and datagrams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    /// Bytes of the device's datagrams.
    pub up_bytes: u64,
    /// The device's datagrams.
    pub up_messages: u64,
    /// Bytes of datagrams to the device.
    pub down_bytes: u64,
    /// Datagrams to the device.
    pub down_messages: u64,
}

impl Traffic {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            up_bytes: self.up_bytes.saturating_add(other.up_bytes),
            up_messages: self.up_messages.saturating_add(other.up_messages),
            down_bytes: self.down_bytes.saturating_add(other.down_bytes),
            down_messages: self.down_messages.saturating_add(other.down_messages),
        }
    }

    /// True when nothing was counted.
    pub fn is_nothing(self) -> bool {
        self == Self::default()
    }
}

/// The traffic of a day, by its kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DayTraffic([Traffic; TrafficKind::ALL.len()]);

impl DayTraffic {
    /// That of one kind.
    pub fn of(&self, kind: TrafficKind) -> Traffic {
        self.0.get(kind as usize).copied().unwrap_or_default()
    }

    /// More of one kind.
    pub fn add(&mut self, kind: TrafficKind, traffic: Traffic) {
        if let Some(sum) = self.0.get_mut(kind as usize) {
            *sum = sum.plus(traffic);
        }
    }

    /// Of every kind.
    pub fn total(&self) -> Traffic {
        self.0
            .iter()
            .fold(Traffic::default(), |sum, traffic| sum.plus(*traffic))
    }

    /// The kinds that there was anything of.
    pub fn kinds(&self) -> impl Iterator<Item = (TrafficKind, Traffic)> + '_ {
        TrafficKind::ALL
            .into_iter()
            .map(|kind| (kind, self.of(kind)))
            .filter(|(_, traffic)| !traffic.is_nothing())
    }
}

/// A day of UTC: its number, from 1970-01-01 on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Day(pub i64);

impl Day {
    /// The day of a moment.
    pub fn of(time: Timestamp) -> Self {
        Self(time.as_millis().div_euclid(MILLIS))
    }

    /// When it begins.
    pub fn begins(self) -> Timestamp {
        Timestamp::clamped_from_millis(self.0.saturating_mul(MILLIS))
    }

    /// So many days earlier.
    #[must_use]
    pub fn earlier(self, days: i64) -> Self {
        Self(self.0.saturating_sub(days))
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.begins().to_string();
        f.write_str(text.split('T').next().unwrap_or(&text))
    }
}

impl FromStr for Day {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_date = text.len() == "1970-01-01".len();
        format!("{text}T00:00:00Z")
            .parse::<Timestamp>()
            .ok()
            .filter(|_| is_date)
            .map(Self::of)
            .ok_or_else(|| "a day is such as 2026-11-30".to_owned())
    }
}

const MILLIS: i64 = 86_400_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_utc() {
        let last = "2026-11-30T23:59:59.999Z".parse().expect("a time");
        let first = "2026-12-01T00:00:00Z".parse().expect("a time");
        assert_eq!(Day::of(last).to_string(), "2026-11-30");
        assert_eq!(Day::of(first).to_string(), "2026-12-01");
        assert_eq!("2026-12-01".parse(), Ok(Day::of(last).earlier(-1)));
        assert_eq!(Day::of(first).begins(), first);
        for wrong in ["", "2026-13-01", "yesterday", "2026-12-01T00:00:00Z"] {
            assert!(wrong.parse::<Day>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn kinds_add_up() {
        let one = Traffic {
            up_bytes: 10,
            up_messages: 1,
            ..Traffic::default()
        };
        let mut day = DayTraffic::default();
        day.add(TrafficKind::Data, one);
        day.add(TrafficKind::Data, one);
        day.add(TrafficKind::Handshake, one);
        assert_eq!(day.of(TrafficKind::Data).up_bytes, 20);
        assert_eq!(day.total().up_messages, 3);
        assert_eq!(day.kinds().count(), 2);
    }
}
