//! What a run has come to.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// The figures of a run, as `load --json` prints them.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// What the clients did.
    pub mode: &'static str,
    /// How many there were.
    pub clients: u32,
    /// How long requests were made, in seconds.
    pub duration_s: f64,
    /// Answers of the server, copies included.
    pub requests: u64,
    /// Requests that were answered with success, each once.
    pub acknowledged: u64,
    /// Requests that were refused, reset or never answered.
    pub errors: u64,
    /// Requests that were sent again.
    pub retransmissions: u64,
    /// Acknowledged requests a second while they were made.
    pub rate_per_s: f64,
    /// From when a request was due to its answer.
    pub latency_ms: Latencies,
    /// Of the requests a second that were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offered_per_s: Option<f64>,
    /// What this generator gets from a bare echo of such datagrams.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ceiling_per_s: Option<f64>,
    /// Registrations of the clients before they began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub set_up_s: Option<f64>,
    /// What the server said of the last request that it refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

/// Latencies in milliseconds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Latencies {
    /// Half of them are at most this.
    pub p50: f64,
    /// 95 of 100.
    pub p95: f64,
    /// 99 of 100.
    pub p99: f64,
    /// All.
    pub max: f64,
}

/// What is counted.
#[derive(Debug)]
pub(super) struct Tally {
    pub(super) answers: u64,
    pub(super) acknowledged: u64,
    pub(super) errors: u64,
    pub(super) retransmissions: u64,
    pub(super) last_error: Option<String>,
    latencies: Histogram<u64>,
}

impl Default for Tally {
    fn default() -> Self {
        let latencies = Histogram::new(DIGITS).unwrap_or_else(|error| unreachable!("{error}"));
        Self {
            answers: 0,
            acknowledged: 0,
            errors: 0,
            retransmissions: 0,
            last_error: None,
            latencies,
        }
    }
}

impl Tally {
    pub(super) fn acknowledged(&mut self, after: Duration) {
        self.acknowledged += 1;
        let micros = u64::try_from(after.as_micros()).unwrap_or(u64::MAX);
        // It grows as it must.
        let _ = self.latencies.record(micros);
    }

    pub(super) fn failed(&mut self, why: String) {
        self.errors += 1;
        self.last_error = Some(why);
    }

    pub(super) fn latencies(&self) -> Latencies {
        let at = |quantile: f64| self.latencies.value_at_quantile(quantile) as f64 / 1000.0;
        Latencies {
            p50: at(0.5),
            p95: at(0.95),
            p99: at(0.99),
            max: self.latencies.max() as f64 / 1000.0,
        }
    }
}

/// Of a latency in microseconds.
const DIGITS: u8 = 3;
