//! What happens on the DTLS port, counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use super::budget::Verdict;
use super::refusal::Refusal;
use crate::domain::CredentialKind;

/// Counters and gauges; clones count together.
#[derive(Clone, Debug)]
pub struct Counters {
    finished: Family<FinishedLabel, Counter>,
    refused: Family<ReasonLabel, Counter>,
    records: Family<RecordLabel, Counter>,
    dropped: Family<ReasonLabel, Counter>,
    /// Handshakes whose peer has shown its address.
    pub(super) begun: Counter,
    /// Cookies sent to strangers.
    pub(super) verify_requests: Counter,
    /// Datagrams of no session and no handshake.
    pub(super) strays: Counter,
    /// Handshakes given up because the same peer began anew.
    pub(super) replaced: Counter,
    /// Flights sent again.
    pub(super) retransmissions: Counter,
    /// Datagrams of calls that were not sent, as the address has not paid for them.
    pub(super) unsent: Counter,
    /// Datagrams that found the queue of the handshake threads full.
    pub(super) queue_full: Counter,
    /// From the first datagram that cost memory to the end.
    pub(super) handshake_seconds: Histogram,
    /// Handshakes under way, of all threads.
    under_way: Gauge,
    /// What this thread has put into the gauge.
    shown: Arc<AtomicI64>,
    /// Live sessions.
    pub(super) sessions: Gauge,
    /// Sessions that ended because others needed the room, or were idle for too long.
    pub(super) evicted: Counter,
    /// Sessions that the peer has closed.
    pub(super) closed_by_peer: Counter,
    /// Sessions that went on at another address.
    pub(super) followed: Counter,
    /// Sessions of the time before that this server goes on with.
    pub(super) taken_up: Counter,
    /// Sessions of the time before that could not be read: another key of the secrets.
    pub(super) unreadable: Counter,
    /// Messages that were not sent because no number of a record was reserved for them.
    pub(super) without_numbers: Counter,
    /// Sessions ended because their credential is gone.
    pub(super) credential_gone: Counter,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FinishedLabel {
    kind: &'static str,
    resumed: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RecordLabel {
    result: &'static str,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            finished: Family::default(),
            refused: Family::default(),
            records: Family::default(),
            dropped: Family::default(),
            begun: Counter::default(),
            verify_requests: Counter::default(),
            strays: Counter::default(),
            replaced: Counter::default(),
            retransmissions: Counter::default(),
            unsent: Counter::default(),
            queue_full: Counter::default(),
            handshake_seconds: Histogram::new(exponential_buckets(0.001, 4.0, 9)),
            under_way: Gauge::default(),
            shown: Arc::default(),
            sessions: Gauge::default(),
            evicted: Counter::default(),
            closed_by_peer: Counter::default(),
            followed: Counter::default(),
            taken_up: Counter::default(),
            unreadable: Counter::default(),
            without_numbers: Counter::default(),
            credential_gone: Counter::default(),
        }
    }
}

impl Counters {
    /// Puts them into the registry of `/metrics`.
    pub fn register(&self, registry: &mut Registry) {
        let dtls = registry.sub_registry_with_prefix("flownexus_dtls");
        dtls.register(
            "handshakes_begun",
            "Handshakes whose peer has shown its address",
            self.begun.clone(),
        );
        dtls.register(
            "handshakes_finished",
            "Handshakes that ended well, by the kind of credential",
            self.finished.clone(),
        );
        dtls.register(
            "handshakes_refused",
            "Handshakes and datagrams that were refused, by reason",
            self.refused.clone(),
        );
        dtls.register(
            "handshakes_replaced",
            "Handshakes given up because the same peer began anew",
            self.replaced.clone(),
        );
        dtls.register(
            "handshakes_under_way",
            "Handshakes under way",
            self.under_way.clone(),
        );
        dtls.register(
            "handshake_seconds",
            "From the returned cookie to the end of the handshake",
            self.handshake_seconds.clone(),
        );
        dtls.register(
            "hello_verify_requests",
            "Cookies sent to addresses that have shown nothing yet",
            self.verify_requests.clone(),
        );
        dtls.register(
            "handshake_datagrams_dropped",
            "Datagrams of handshakes that OpenSSL has not seen: malformed, or too much to be kept",
            self.dropped.clone(),
        );
        dtls.register(
            "flights_retransmitted",
            "Flights of handshakes that were sent again",
            self.retransmissions.clone(),
        );
        dtls.register(
            "handshake_datagrams_unsent",
            "Datagrams of calls that were not sent, as an unproven address has paid for less",
            self.unsent.clone(),
        );
        dtls.register(
            "queue_full",
            "Datagrams that found the queue of the handshake threads full",
            self.queue_full.clone(),
        );
        dtls.register(
            "strays",
            "Datagrams of no session and no handshake",
            self.strays.clone(),
        );
        dtls.register(
            "records",
            "Datagrams of sessions, by what was found in them",
            self.records.clone(),
        );
        dtls.register("sessions", "Live sessions", self.sessions.clone());
        dtls.register(
            "sessions_evicted",
            "Sessions ended for room or because they were idle",
            self.evicted.clone(),
        );
        dtls.register(
            "sessions_closed_by_peer",
            "Sessions that the peer has closed",
            self.closed_by_peer.clone(),
        );
        dtls.register(
            "sessions_followed",
            "Sessions that went on at another address, by their connection id",
            self.followed.clone(),
        );
        dtls.register(
            "sessions_taken_up",
            "Sessions of the time before the start that this server goes on with",
            self.taken_up.clone(),
        );
        dtls.register(
            "sessions_unreadable",
            "Sessions of the time before the start that could not be read, with another key of the secrets",
            self.unreadable.clone(),
        );
        dtls.register(
            "messages_without_numbers",
            "Messages that were not sent because no number of a record was reserved for them",
            self.without_numbers.clone(),
        );
        dtls.register(
            "sessions_without_credential",
            "Sessions ended because their credential was removed",
            self.credential_gone.clone(),
        );
    }

    /// The same counters for another thread, which shows handshakes of its own.
    pub(super) fn of_another_thread(&self) -> Self {
        Self {
            shown: Arc::default(),
            ..self.clone()
        }
    }

    pub(super) fn finished(&self, is_resumed: bool, kind: CredentialKind) {
        let label = FinishedLabel {
            kind: kind.name(),
            resumed: if is_resumed { "true" } else { "false" },
        };
        self.finished.get_or_create(&label).inc();
    }

    pub(super) fn refused(&self, refusal: &Refusal) {
        let reason = refusal.reason();
        self.refused.get_or_create(&ReasonLabel { reason }).inc();
    }

    /// A datagram of a handshake that OpenSSL must not see.
    pub(super) fn dropped(&self, verdict: Verdict) {
        let reason = match verdict {
            Verdict::Fits => return,
            Verdict::Malformed => "malformed",
            Verdict::TooMuch => "too_much",
        };
        self.dropped.get_or_create(&ReasonLabel { reason }).inc();
    }

    /// A datagram of a session: with data, or with nothing that could be read.
    pub(super) fn record(&self, is_good: bool) {
        let result = if is_good { "good" } else { "nothing" };
        self.records.get_or_create(&RecordLabel { result }).inc();
    }

    pub(super) fn show_under_way(&self, count: usize) {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        let before = self.shown.swap(count, Ordering::Relaxed);
        self.under_way.inc_by(count.saturating_sub(before));
    }
}
