//! Rollouts: how many there are, how many devices are in them, and how often they look around.

use serde::{Deserialize, Serialize};

/// See `[rollouts]` in `config/default.toml`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each key is described in config/default.toml")]
pub struct Rollouts {
    pub max: u64,
    pub max_under_way: usize,
    pub max_devices: usize,
    pub at_once: u32,
    pub max_at_once: u32,
    pub look_s: u64,
    pub newcomers_s: u64,
    pub retry_s: u64,
}

impl Rollouts {
    /// The first setting that makes no sense, by its key, and why.
    pub(super) fn wrong(&self) -> Option<(&'static str, String)> {
        let limits = [
            ("rollouts.max", self.max > 0, "must be at least 1"),
            (
                "rollouts.max_under_way",
                self.max_under_way > 0,
                "must be at least 1",
            ),
            (
                "rollouts.max_devices",
                (1..=1_000_000).contains(&self.max_devices),
                "must be from 1 to 1000000",
            ),
            (
                "rollouts.max_at_once",
                (1..=100_000).contains(&self.max_at_once),
                "must be from 1 to 100000",
            ),
            (
                "rollouts.at_once",
                (1..=self.max_at_once).contains(&self.at_once),
                "must be from 1 to rollouts.max_at_once",
            ),
            ("rollouts.look_s", self.look_s > 0, "must be at least 1"),
            (
                "rollouts.newcomers_s",
                self.newcomers_s > 0,
                "must be at least 1",
            ),
            ("rollouts.retry_s", self.retry_s > 0, "must be at least 1"),
        ];
        let (key, _, reason) = limits.into_iter().find(|(_, is_right, _)| !is_right)?;
        Some((key, reason.to_owned()))
    }
}
