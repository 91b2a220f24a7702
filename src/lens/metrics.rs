//! What the lens holds, in numbers.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Counters and gauges of the lens.
#[derive(Clone, Debug, Default)]
pub(super) struct Metrics {
    /// Bytes that are held.
    pub(super) bytes: Gauge,
    /// Messages that were seen.
    pub(super) messages: Counter,
    /// Messages that went to make room for others, before their device had too many.
    pub(super) dropped: Counter,
    /// Messages of which only the head was kept.
    pub(super) cut: Counter,
}

impl Metrics {
    /// Names everything for `/metrics`.
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "flownexus_lens_bytes",
            "Bytes of messages that the protocol lens holds, with what it costs to hold them",
            self.bytes.clone(),
        );
        registry.register(
            "flownexus_lens_messages",
            "Messages that the protocol lens took in",
            self.messages.clone(),
        );
        registry.register(
            "flownexus_lens_dropped",
            "Messages that left the protocol lens for lack of room (lens.max_bytes)",
            self.dropped.clone(),
        );
        registry.register(
            "flownexus_lens_cut",
            "Messages of which the protocol lens kept the head only (lens.max_message_bytes)",
            self.cut.clone(),
        );
    }
}
