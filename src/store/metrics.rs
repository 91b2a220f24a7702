//! What the writer counts.

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

/// The writer's counters. Clones share their values.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// From the beginning of a record of the journal, or of a transaction without one, until it is on disk.
    pub commit_seconds: Histogram,
    /// Commits that shared a transaction.
    pub batch_commits: Histogram,
    /// Commits that wait.
    pub queue_length: Gauge,
    /// Commits that are on disk.
    pub commits: Counter,
    /// Values that are in the tables.
    pub values: Counter,
    /// Commits that the database refused.
    pub failures: Counter,
    /// Commits that were refused because the queue was full.
    pub refused: Counter,
    /// Size of SQLite's write-ahead log after the last transaction.
    pub wal_bytes: Gauge,
    /// How long folding the write-ahead log into the database took.
    pub checkpoint_seconds: Histogram,
    /// What is in the journal and not in the tables yet.
    pub journal_bytes: Gauge,
    /// How long writing what the journal held to the tables took.
    pub fold_seconds: Histogram,
    /// How long the oldest value waits that is not rolled up yet.
    pub history_lag_seconds: Gauge<f64, AtomicU64>,
    /// Values that were rolled up.
    pub history_rolled_up: Counter,
    /// Values that were removed because of their age.
    pub history_removed: Counter,
    /// Partitions that were dropped because of their age.
    pub history_partitions_dropped: Counter,
    /// Operations, events and lines of the audit log that were removed because of their age.
    pub over_age_removed: Counter,
}

impl Metrics {
    /// Names every counter.
    pub fn register(&self, registry: &mut Registry) {
        registry.register_with_unit(
            "flownexus_store_commit",
            "Time from the beginning of a record or transaction until it is on disk",
            Unit::Seconds,
            self.commit_seconds.clone(),
        );
        registry.register(
            "flownexus_store_batch_commits",
            "Commits that shared a transaction",
            self.batch_commits.clone(),
        );
        registry.register(
            "flownexus_store_queue_length",
            "Commits that wait for the writer",
            self.queue_length.clone(),
        );
        registry.register(
            "flownexus_store_commits",
            "Commits that are on disk",
            self.commits.clone(),
        );
        registry.register(
            "flownexus_store_values",
            "Values that are in the tables",
            self.values.clone(),
        );
        registry.register(
            "flownexus_store_failures",
            "Commits that the database refused",
            self.failures.clone(),
        );
        registry.register(
            "flownexus_store_refused",
            "Commits that were refused because the queue was full",
            self.refused.clone(),
        );
        registry.register_with_unit(
            "flownexus_store_wal",
            "Size of the write-ahead log of SQLite",
            Unit::Bytes,
            self.wal_bytes.clone(),
        );
        registry.register_with_unit(
            "flownexus_store_checkpoint",
            "Time that folding the write-ahead log into the database took",
            Unit::Seconds,
            self.checkpoint_seconds.clone(),
        );
        registry.register_with_unit(
            "flownexus_store_journal_waiting",
            "What is in the journal and not in the tables yet",
            Unit::Bytes,
            self.journal_bytes.clone(),
        );
        registry.register_with_unit(
            "flownexus_store_fold",
            "Time that writing what the journal held to the tables took",
            Unit::Seconds,
            self.fold_seconds.clone(),
        );
        registry.register_with_unit(
            "flownexus_history_lag",
            "How long the oldest value waits that is not rolled up yet",
            Unit::Seconds,
            self.history_lag_seconds.clone(),
        );
        registry.register(
            "flownexus_history_rolled_up",
            "Values that were rolled up",
            self.history_rolled_up.clone(),
        );
        registry.register(
            "flownexus_history_removed",
            "Values that were removed because of their age",
            self.history_removed.clone(),
        );
        registry.register(
            "flownexus_history_partitions_dropped",
            "Partitions that were dropped because of their age",
            self.history_partitions_dropped.clone(),
        );
        registry.register(
            "flownexus_over_age_removed",
            "Operations, events and lines of the audit log that were removed because of their age",
            self.over_age_removed.clone(),
        );
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            // 0.1 ms to 26 s
            commit_seconds: Histogram::new(exponential_buckets(0.0001, 2.0, 19)),
            batch_commits: Histogram::new(exponential_buckets(1.0, 2.0, 13)),
            queue_length: Gauge::default(),
            commits: Counter::default(),
            values: Counter::default(),
            failures: Counter::default(),
            refused: Counter::default(),
            wal_bytes: Gauge::default(),
            checkpoint_seconds: Histogram::new(exponential_buckets(0.0001, 2.0, 19)),
            journal_bytes: Gauge::default(),
            fold_seconds: Histogram::new(exponential_buckets(0.0001, 2.0, 19)),
            history_lag_seconds: Gauge::default(),
            history_rolled_up: Counter::default(),
            history_removed: Counter::default(),
            history_partitions_dropped: Counter::default(),
            over_age_removed: Counter::default(),
        }
    }
}
