//! How long what is over is kept.

use serde::{Deserialize, Serialize};

use super::KeptDays;

/// See `[retention]` in `config/default.toml`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each key is described in config/default.toml")]
pub struct Retention {
    pub operation_days: u32,
    pub event_days: u32,
    pub audit_days: u32,
}

impl Retention {
    /// The first setting that makes no sense, by its key, and why.
    pub(super) fn wrong(self) -> Option<(&'static str, String)> {
        let all = [
            ("retention.operation_days", self.operation_days),
            ("retention.event_days", self.event_days),
            ("retention.audit_days", self.audit_days),
        ];
        let (key, _) = all.into_iter().find(|(_, days)| *days > KeptDays::MAX)?;
        Some((key, format!("at most {}, or 0 for ever", KeptDays::MAX)))
    }
}
