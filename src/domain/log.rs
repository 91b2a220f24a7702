//! Lines of devices' logs.

use serde::{Deserialize, Serialize};

use super::ids::EndpointName;
use super::names::names;
use super::path::Path;
use super::pattern::PathPattern;
use super::selection::Selection;
use super::time::Timestamp;

/// How important a line is, the most important first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum LogLevel {
    /// Something failed.
    Error,
    /// Something is odd.
    Warning,
    /// Something happened.
    Info,
    /// For those who look for a mistake.
    Debug,
}

// As Zephyr calls them, the most important first.
names!(LogLevel, "level", {
    Error = "err",
    Warning = "wrn",
    Info = "inf",
    Debug = "dbg",
});

/// A line of a device's log, as it was read out of a value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// Where the line says so.
    pub level: Option<LogLevel>,
    /// The line, without its level.
    pub text: String,
}

/// Values whose texts are lines of a log, and for which devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogResource {
    /// Its row; 0 before it is stored.
    pub id: i64,
    /// Which values.
    pub path: PathPattern,
    /// For which devices.
    pub selection: Selection,
}

/// A stored line of a device's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredLogLine {
    /// Its row; grows with the order of arrival.
    pub id: i64,
    /// The device.
    pub endpoint: EndpointName,
    /// The resource that it came from.
    pub path: Path,
    /// Where the line says so.
    pub level: Option<LogLevel>,
    /// The line, without its level.
    pub text: String,
    /// The device's time where it sent one, else that of the arrival.
    pub time: Timestamp,
    /// When it arrived.
    pub received_at: Timestamp,
}

impl LogLevel {
    /// The level that devices call so, in any of the usual ways: `E`, `err`, `ERROR`.
    pub fn from_word(word: &str) -> Option<Self> {
        let is = |names: &[&str]| names.iter().any(|name| name.eq_ignore_ascii_case(word));
        if is(&[
            "e", "err", "error", "fatal", "crit", "critical", "emerg", "alert", "panic",
        ]) {
            Some(Self::Error)
        } else if is(&["w", "wrn", "warn", "warning"]) {
            Some(Self::Warning)
        } else if is(&["i", "inf", "info", "notice"]) {
            Some(Self::Info)
        } else if is(&["d", "dbg", "debug", "v", "verbose", "trace"]) {
            Some(Self::Debug)
        } else {
            None
        }
    }
}
