//! Charts of many series, and those on the overview.

use serde::{Deserialize, Serialize};

/// See `[charts]` in `config/default.toml`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each key is described in config/default.toml")]
pub struct Charts {
    pub max_series: usize,
    pub max_pinned: u64,
}

impl Charts {
    /// The first setting that makes no sense, by its key, and why.
    pub(super) fn wrong(&self) -> Option<(&'static str, String)> {
        let limits = [
            (
                "charts.max_series",
                (1..=200).contains(&self.max_series),
                "must be from 1 to 200",
            ),
            (
                "charts.max_pinned",
                self.max_pinned <= 200,
                "must be at most 200",
            ),
        ];
        let (key, _, reason) = limits.into_iter().find(|(_, is_right, _)| !is_right)?;
        Some((key, reason.to_owned()))
    }
}
