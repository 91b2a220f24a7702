//! What the message layer counts.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Counters and gauges of one or several endpoints; clones count together.
#[derive(Clone, Debug)]
pub struct Counters {
    datagrams: Family<ResultLabel, Counter>,
    outcomes: Family<OutcomeLabel, Counter>,
    limits: Family<LimitLabel, Counter>,
    transfer_kinds: Family<KindLabel, Gauge>,
    unproven: Family<FormLabel, Counter>,
    /// Datagrams that were taken: new messages that did something.
    pub accepted: Counter,
    /// Datagrams that are no CoAP messages.
    pub malformed: Counter,
    /// Copies of messages that were seen before.
    pub duplicates: Counter,
    /// Messages that belong to nothing: an ACK or RST of an unknown message.
    pub unmatched: Counter,
    /// Messages refused by a rule: a multicast source, an unknown critical option.
    pub refused: Counter,
    /// Messages that a limit left no room for; `dropped_*` says which.
    pub dropped: Counter,
    /// Messages sent again because nothing acknowledged them.
    pub retransmissions: Counter,
    /// Reset messages sent.
    pub resets_sent: Counter,
    /// Exchanges of ours that got their response.
    pub answered: Counter,
    /// Exchanges of ours that ended by `ExchangeFailure::NotAcknowledged`.
    pub not_acknowledged: Counter,
    /// Exchanges of ours that ended by `ExchangeFailure::NotAnswered` or `WrongToken`.
    pub not_answered: Counter,
    /// Exchanges of ours that ended by `ExchangeFailure::Reset`.
    pub reset: Counter,
    /// Exchanges of ours that ended by `ExchangeFailure::WindowClosed`.
    pub window_closed: Counter,
    /// Exchanges of ours that ended by `TooLarge` or `Blockwise`.
    pub blockwise_failed: Counter,
    /// Exchanges of ours that ended by `ExchangeFailure::Disconnected`.
    pub disconnected: Counter,
    /// Exchanges of ours that were cancelled.
    pub cancelled: Counter,
    /// Messages dropped because all remembered messages are pending, of the peer or in all.
    pub dropped_dedup: Counter,
    /// Messages dropped because of `coap.max_pending_requests`.
    pub dropped_pending: Counter,
    /// Unfinished transfers given up for newer ones.
    pub dropped_transfers: Counter,
    /// Requests of ours refused because of `coap.max_exchanges`.
    pub dropped_exchanges: Counter,
    /// Answers in smaller blocks than asked for, as the peer had not proven its address.
    pub smaller_blocks: Counter,
    /// 4.01 with Echo in the place of answers that did not fit, for the same reason.
    pub echo_asked: Counter,
    /// Errors without their text, for the same reason.
    pub without_text: Counter,
    /// Requests of ours that were not begun, for the same reason.
    pub not_asked: Counter,
    /// Exchanges of ours under way.
    pub exchanges: Gauge,
    /// Messages that are remembered.
    pub dedup_entries: Gauge,
    /// Bodies that come in by Block1.
    pub uploads: Gauge,
    /// Bodies that go out by Block2.
    pub served: Gauge,
    /// Bytes of all transfers together.
    pub transfer_bytes: Gauge,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabel {
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LimitLabel {
    limit: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FormLabel {
    form: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabel {
    kind: &'static str,
}

impl Counters {
    /// Adds everything to a registry, under `flownexus_coap_…`.
    pub fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("flownexus_coap");
        registry.register(
            "datagrams_received",
            "Datagrams that came in, by what became of them",
            self.datagrams.clone(),
        );
        registry.register(
            "exchanges_ended",
            "Requests of ours that ended, by outcome",
            self.outcomes.clone(),
        );
        registry.register(
            "dropped_by_limit",
            "Messages and transfers that a limit left no room for",
            self.limits.clone(),
        );
        registry.register(
            "kept_small",
            "Messages made to fit what a peer may get that has not proven its address",
            self.unproven.clone(),
        );
        registry.register(
            "retransmissions",
            "Messages sent again because nothing acknowledged them",
            self.retransmissions.clone(),
        );
        registry.register(
            "resets_sent",
            "Reset messages sent",
            self.resets_sent.clone(),
        );
        registry.register(
            "exchanges",
            "Requests of ours under way",
            self.exchanges.clone(),
        );
        registry.register(
            "dedup_entries",
            "Messages remembered to answer their copies",
            self.dedup_entries.clone(),
        );
        registry.register(
            "transfers",
            "Blockwise transfers under way, by kind",
            self.transfer_kinds.clone(),
        );
        registry.register(
            "transfer_memory_bytes",
            "Bodies of blockwise transfers under way",
            self.transfer_bytes.clone(),
        );
    }
}

impl Default for Counters {
    fn default() -> Self {
        let datagrams = Family::<ResultLabel, Counter>::default();
        let outcomes = Family::<OutcomeLabel, Counter>::default();
        let limits = Family::<LimitLabel, Counter>::default();
        let transfer_kinds = Family::<KindLabel, Gauge>::default();
        // The members are looked up once, here: a look-up takes a lock.
        let datagram = |result| datagrams.get_or_create_owned(&ResultLabel { result });
        let outcome = |outcome| outcomes.get_or_create_owned(&OutcomeLabel { outcome });
        let limit = |limit| limits.get_or_create_owned(&LimitLabel { limit });
        let unproven = Family::<FormLabel, Counter>::default();
        let form = |form| unproven.get_or_create_owned(&FormLabel { form });
        let kind = |kind| transfer_kinds.get_or_create_owned(&KindLabel { kind });
        Self {
            accepted: datagram("accepted"),
            malformed: datagram("malformed"),
            duplicates: datagram("duplicate"),
            unmatched: datagram("unmatched"),
            refused: datagram("refused"),
            dropped: datagram("dropped"),
            retransmissions: Counter::default(),
            resets_sent: Counter::default(),
            answered: outcome("answered"),
            not_acknowledged: outcome("not_acknowledged"),
            not_answered: outcome("not_answered"),
            reset: outcome("reset"),
            window_closed: outcome("window_closed"),
            blockwise_failed: outcome("blockwise_failed"),
            disconnected: outcome("disconnected"),
            cancelled: outcome("cancelled"),
            dropped_dedup: limit("dedup"),
            dropped_pending: limit("pending_requests"),
            dropped_transfers: limit("transfers"),
            dropped_exchanges: limit("exchanges"),
            smaller_blocks: form("smaller_block"),
            echo_asked: form("echo_asked"),
            without_text: form("without_text"),
            not_asked: form("not_asked"),
            exchanges: Gauge::default(),
            dedup_entries: Gauge::default(),
            uploads: kind("block1_in"),
            served: kind("block2_out"),
            transfer_bytes: Gauge::default(),
            datagrams,
            outcomes,
            limits,
            transfer_kinds,
            unproven,
        }
    }
}
