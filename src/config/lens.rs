//! The protocol lens and the meter of traffic.

use serde::{Deserialize, Serialize};

/// See `[lens]` in `config/default.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each key is described in config/default.toml")]
pub struct Lens {
    pub enabled: bool,
    pub messages_per_device: usize,
    pub max_bytes: usize,
    pub max_message_bytes: usize,
    pub meter: bool,
    pub flush_s: u64,
    pub keep_days: u32,
    pub overhead_bytes: u32,
}

impl Lens {
    /// The first setting that makes no sense, by its key, and why.
    pub(super) fn wrong(&self) -> Option<(&'static str, String)> {
        let least = |key, value: usize, least: usize| {
            (value < least).then(|| (key, format!("must be at least {least}")))
        };
        least("lens.messages_per_device", self.messages_per_device, 1)
            .or_else(|| least("lens.max_bytes", self.max_bytes, LEAST_BYTES))
            .or_else(|| least("lens.max_message_bytes", self.max_message_bytes, 16))
            .or_else(|| {
                let wrong = self.flush_s == 0 || self.flush_s > 3_600;
                wrong.then(|| ("lens.flush_s", "must be 1 to 3600".to_owned()))
            })
    }
}

/// Below this nothing of use is held.
const LEAST_BYTES: usize = 65_536;
