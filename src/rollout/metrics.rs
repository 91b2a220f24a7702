//! What rollouts do, in numbers.

use std::fmt::Write as _;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Counters and gauges of all rollouts.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    /// Rollouts that have an actor: they are under way, paused, or wait for the end of updates.
    pub(super) actors: Gauge,
    /// Actors started anew after a panic.
    pub(super) restarts: Counter,
    /// Updates that were begun.
    pub(super) begun: Family<Way, Counter>,
    /// Times that the store or a device could not be asked, and was asked again later.
    pub(super) failures: Counter,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Way {
    pub(super) direction: Direction,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Direction {
    Back,
    Forward,
}

impl EncodeLabelValue for Direction {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> std::fmt::Result {
        encoder.write_str(match self {
            Self::Back => "back",
            Self::Forward => "forward",
        })
    }
}

impl Metrics {
    /// Names everything for `/metrics`.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "flownexus_rollout_actors",
            "Rollouts that have an actor: under way, paused, or waiting for the end of updates",
            self.actors.clone(),
        );
        registry.register(
            "flownexus_rollout_restarts",
            "Actors of rollouts started anew after a panic",
            self.restarts.clone(),
        );
        registry.register(
            "flownexus_rollout_updates_begun",
            "Firmware updates that rollouts began, there and back",
            self.begun.clone(),
        );
        registry.register(
            "flownexus_rollout_failures",
            "Times that a rollout could not reach the store and tried again",
            self.failures.clone(),
        );
    }
}
