//! What admission counts.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Counters and gauges of admission.
#[derive(Clone, Debug)]
pub struct AdmissionCounters {
    refused: Family<ReasonLabel, Counter>,
    unsent: Family<ReasonLabel, Counter>,
    sources: Family<KindLabel, Gauge>,
    pub(super) refused_blocked: Counter,
    pub(super) refused_source: Counter,
    pub(super) refused_total: Counter,
    pub(super) refused_bytes: Counter,
    pub(super) unsent_blocked: Counter,
    pub(super) unsent_unproven: Counter,
    pub(super) unsent_total: Counter,
    pub(super) proofs: Counter,
    pub(super) graces: Counter,
    pub(super) proven: Gauge,
    pub(super) unproven: Gauge,
    pub(super) origins: Gauge,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabel {
    kind: &'static str,
}

impl AdmissionCounters {
    /// Adds everything to a registry, under `flownexus_admission_…`.
    pub fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("flownexus_admission");
        registry.register(
            "refused",
            "Datagrams that were dropped unread: of a blocked address, over the budget of their source, over that of all unproven ones",
            self.refused.clone(),
        );
        registry.register(
            "refused_bytes",
            "Bytes of the datagrams that were dropped unread",
            self.refused_bytes.clone(),
        );
        registry.register(
            "unsent",
            "Datagrams that were not sent: to a blocked address, to an unproven one that has paid for less, over the budget of all of them",
            self.unsent.clone(),
        );
        registry.register(
            "proofs",
            "Addresses that have shown that they receive what is sent to them",
            self.proofs.clone(),
        );
        registry.register(
            "graces",
            "Requests begun towards addresses that were silent for long, on credit",
            self.graces.clone(),
        );
        registry.register(
            "sources",
            "Addresses that are remembered, by kind",
            self.sources.clone(),
        );
    }
}

impl Default for AdmissionCounters {
    fn default() -> Self {
        let refused = Family::<ReasonLabel, Counter>::default();
        let unsent = Family::<ReasonLabel, Counter>::default();
        let sources = Family::<KindLabel, Gauge>::default();
        let of = |family: &Family<ReasonLabel, Counter>, reason| {
            family.get_or_create_owned(&ReasonLabel { reason })
        };
        let kind = |kind| sources.get_or_create_owned(&KindLabel { kind });
        Self {
            refused_blocked: of(&refused, "blocked"),
            refused_source: of(&refused, "source"),
            refused_total: of(&refused, "total"),
            refused_bytes: Counter::default(),
            unsent_blocked: of(&unsent, "blocked"),
            unsent_unproven: of(&unsent, "unproven"),
            unsent_total: of(&unsent, "total"),
            proofs: Counter::default(),
            graces: Counter::default(),
            proven: kind("proven"),
            unproven: kind("unproven"),
            origins: kind("origin"),
            refused,
            unsent,
            sources,
        }
    }
}
