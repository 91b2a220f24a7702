//! Values over time: how they are added up, and how long they are kept.

use serde::{Deserialize, Serialize};

/// See `[history]` in `config/default.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each key is described in config/default.toml")]
pub struct History {
    pub raw_days: u32,
    pub minute_days: u32,
    pub hour_days: u32,
    pub day_days: u32,
    pub roll_up_after_s: u64,
    pub max_lag_s: u64,
    pub window_values: usize,
    pub partition_days: u16,
}

/// How many days values and what is computed of them are kept, 0 for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeptDays {
    /// Values.
    pub raw: u32,
    /// What was computed of each minute.
    pub minute: u32,
    /// What was computed of each hour.
    pub hour: u32,
    /// What was computed of each day.
    pub day: u32,
}

impl KeptDays {
    /// The longest time that is not for ever: a hundred years.
    pub const MAX: u32 = 36_500;

    /// The first setting that makes no sense, by its key, and why: what is coarser must not go before what is finer, as charts
    /// find that through it.
    pub fn wrong(self) -> Option<(&'static str, String)> {
        let Self {
            raw,
            minute,
            hour,
            day,
        } = self;
        let all = [
            ("history.raw_days", raw),
            ("history.minute_days", minute),
            ("history.hour_days", hour),
            ("history.day_days", day),
        ];
        if let Some((key, _)) = all.into_iter().find(|(_, days)| *days > Self::MAX) {
            return Some((key, format!("at most {}, or 0 for ever", Self::MAX)));
        }
        let shorter = |days: u32, finer: u32| days != 0 && (finer == 0 || days < finer);
        let pairs = [
            ("history.hour_days", hour, "minutes", minute),
            ("history.day_days", day, "hours", hour),
            ("history.day_days", day, "values", raw),
        ];
        let (key, _, what, _) = pairs
            .into_iter()
            .find(|(_, days, _, finer)| shorter(*days, *finer))?;
        Some((key, format!("must be kept at least as long as the {what}")))
    }
}

impl History {
    /// What is kept where nothing else is said.
    pub fn days(&self) -> KeptDays {
        KeptDays {
            raw: self.raw_days,
            minute: self.minute_days,
            hour: self.hour_days,
            day: self.day_days,
        }
    }

    /// The first setting that makes no sense, by its key, and why.
    pub(super) fn wrong(&self) -> Option<(&'static str, String)> {
        if let Some(wrong) = self.days().wrong() {
            return Some(wrong);
        }
        let limits = [
            (
                "history.max_lag_s",
                self.max_lag_s >= self.roll_up_after_s,
                "must not be below history.roll_up_after_s",
            ),
            (
                "history.window_values",
                (100..=10_000_000).contains(&self.window_values),
                "must be from 100 to 10000000",
            ),
            (
                "history.partition_days",
                (1..=366).contains(&self.partition_days),
                "must be from 1 to 366",
            ),
        ];
        let (key, _, reason) = limits.into_iter().find(|(_, is_right, _)| !is_right)?;
        Some((key, reason.to_owned()))
    }
}
