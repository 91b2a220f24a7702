//! What is counted about the actors.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::domain::UpdateResult;

/// Counters of the registry and of all endpoint actors.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// Endpoint actors alive.
    pub actors: Gauge,
    /// Registrations in force.
    pub registrations: Gauge,
    /// Actors started anew after a panic or a failed commit.
    pub restarts: Counter,
    /// Messages that found a mailbox full.
    pub refused: Counter,
    /// Register requests that were answered or are about to be.
    pub registers: Counter,
    /// Update requests.
    pub updates: Counter,
    /// Deregister requests.
    pub deregisters: Counter,
    /// Notifications with a known token.
    pub notifications: Counter,
    /// Send requests.
    pub sends: Counter,
    /// Requests that were refused with 4.xx before they reached an actor.
    pub refusals: Counter,
    /// Bytes of images that went out in answers to requests for them.
    pub image_bytes: Counter,
    /// Values that rules did not look at, because a device has too many paths.
    pub rule_states_refused: Counter,
    firmware_updates: Family<ResultLabel, Counter>,
    handle_seconds: Histogram,
    waiting: Gauge,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabel {
    result: &'static str,
}

impl Default for Metrics {
    fn default() -> Self {
        let buckets = [
            1e-6, 4e-6, 16e-6, 64e-6, 256e-6, 1e-3, 4e-3, 16e-3, 64e-3, 0.25, 1.0,
        ];
        let firmware_updates = Family::default();
        for result in UpdateResult::ALL.into_iter().filter(|one| one.is_final()) {
            // From the beginning, so that the first one is seen as an increase.
            drop(firmware_updates.get_or_create(&label(result)));
        }
        Self {
            actors: Gauge::default(),
            registrations: Gauge::default(),
            restarts: Counter::default(),
            refused: Counter::default(),
            registers: Counter::default(),
            updates: Counter::default(),
            deregisters: Counter::default(),
            notifications: Counter::default(),
            sends: Counter::default(),
            refusals: Counter::default(),
            image_bytes: Counter::default(),
            rule_states_refused: Counter::default(),
            firmware_updates,
            handle_seconds: Histogram::new(buckets),
            waiting: Gauge::default(),
        }
    }
}

impl Metrics {
    /// Names everything for `/metrics`.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "flownexus_actors",
            "Endpoint actors alive",
            self.actors.clone(),
        );
        registry.register(
            "flownexus_registrations",
            "Registrations in force",
            self.registrations.clone(),
        );
        registry.register(
            "flownexus_actor_restarts",
            "Endpoint actors started anew after a panic or a failed commit",
            self.restarts.clone(),
        );
        registry.register(
            "flownexus_actor_mailbox_messages",
            "Messages waiting in the mailboxes of endpoint actors",
            self.waiting.clone(),
        );
        registry.register(
            "flownexus_actor_mailbox_refused",
            "Messages that found a mailbox full",
            self.refused.clone(),
        );
        registry.register(
            "flownexus_actor_handle_seconds",
            "Time an endpoint actor takes for one message",
            self.handle_seconds.clone(),
        );
        registry.register(
            "flownexus_lwm2m_registers",
            "Register requests",
            self.registers.clone(),
        );
        registry.register(
            "flownexus_lwm2m_updates",
            "Update requests",
            self.updates.clone(),
        );
        registry.register(
            "flownexus_lwm2m_deregisters",
            "Deregister requests",
            self.deregisters.clone(),
        );
        registry.register(
            "flownexus_lwm2m_notifications",
            "Notifications of known observations",
            self.notifications.clone(),
        );
        registry.register("flownexus_lwm2m_sends", "Send requests", self.sends.clone());
        registry.register(
            "flownexus_lwm2m_refusals",
            "Requests refused before they reached an actor",
            self.refusals.clone(),
        );
        registry.register(
            "flownexus_firmware_coap_bytes",
            "Bytes of firmware images that devices have fetched over CoAP and CoAPs",
            self.image_bytes.clone(),
        );
        registry.register(
            "flownexus_rule_states_refused",
            "Values that rules did not look at (rules.max_states_per_endpoint)",
            self.rule_states_refused.clone(),
        );
        registry.register(
            "flownexus_firmware_updates",
            "Firmware updates that are over, by their result",
            self.firmware_updates.clone(),
        );
    }

    /// A firmware update is over, on disk too.
    pub fn update_ended(&self, result: UpdateResult) {
        self.firmware_updates.get_or_create(&label(result)).inc();
    }

    /// A message was put into a mailbox.
    pub fn put(&self) {
        self.waiting.inc();
    }

    /// A message was taken out of a mailbox.
    pub fn taken(&self) {
        self.waiting.dec();
    }

    /// How many messages wait.
    pub fn waiting(&self) -> i64 {
        self.waiting.get()
    }

    /// An actor has handled a message.
    pub fn handled(&self, took: Duration) {
        self.handle_seconds.observe(took.as_secs_f64());
    }
}

fn label(result: UpdateResult) -> ResultLabel {
    ResultLabel {
        result: result.name(),
    }
}
