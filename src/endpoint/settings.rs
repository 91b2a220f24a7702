//! The limits and times that a session needs, taken from the settings once.

use std::time::Duration;

use crate::coap::Exponent;
use crate::config::Settings;
use crate::domain::UpdateLimits;
use crate::lwm2m::device_log::LogLimits;

/// What a session may do and for how long.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionSettings {
    /// How long a device in queue mode listens after a message of its own, where nothing better is
    /// known.
    pub awake: Duration,
    /// Whether that is learnt from what stays unanswered.
    pub learn_awake: bool,
    /// The shortest time that is learnt.
    pub least_awake: Duration,
    /// What was learnt is forgotten after this time.
    pub relearn_after: Duration,
    /// How long an acknowledgement is awaited at first (`ACK_TIMEOUT`, RFC 7252 section 4.8).
    pub ack_timeout: Duration,
    /// Shortest and longest lifetime that is granted.
    pub lifetime: (Duration, Duration),
    /// How long a response is awaited after its acknowledgement.
    pub response_timeout: Duration,
    /// How long copies of a confirmable message can arrive (`EXCHANGE_LIFETIME`, RFC 7252 4.8.2).
    pub exchange_lifetime: Duration,
    /// Whether a device without DTLS is followed to another IP address by its Update or notification.
    pub follow_addresses: bool,
    /// Whether a device with DTLS is sent requests from then on where its notification came from…
    pub update_on_notification: bool,
    /// …or any device where its Send came from.
    pub update_on_send: bool,
    /// When too many handshakes are under way, a device is called again after this time.
    pub connect_pause: Duration,
    /// The longest text or opaque value that is taken, in bytes.
    pub max_value_bytes: usize,
    /// How often an operation is tried.
    pub max_attempts: u32,
    /// Operations that may wait.
    pub max_operations: usize,
    /// Given up after this time when nothing else was asked for.
    pub default_expiry: Option<Duration>,
    /// How long a key that an operation was asked for with counts.
    pub keys_count: Duration,
    /// Observations of the device.
    pub max_observations: usize,
    /// An observation counts as lost when nothing came for `pmax` times this…
    pub silence_factor: f64,
    /// …and this.
    pub silence_grace: Duration,
    /// A lost observation is asked for again after the first of these, then later and later up to
    /// the second.
    pub observe_retry: (Duration, Duration),
    /// Message ids are reserved in steps of this many.
    pub message_id_step: u16,
    /// After so long without a message an actor rests; none: never.
    pub idle: Option<Duration>,
    /// "Last seen" is written at most this often for notifications.
    pub last_seen_interval: Duration,
    /// Paths of the device that rules may watch.
    pub max_rule_states: usize,
    /// What is kept of one value that is a log.
    pub log_limits: LogLimits,
    /// Times and numbers of a firmware update.
    pub update_limits: UpdateLimits,
    /// The largest block that an image is pushed in.
    pub push_block: Exponent,
}

impl SessionSettings {
    /// Takes what a session needs out of all settings.
    pub fn new(settings: &Settings) -> Self {
        let seconds = Duration::from_secs;
        let default_expiry = settings.operations.default_expiry_s;
        Self {
            awake: seconds(settings.queue_mode.awake_s),
            learn_awake: settings.queue_mode.learn,
            least_awake: seconds(settings.queue_mode.least_awake_s),
            relearn_after: seconds(settings.queue_mode.relearn_days.saturating_mul(86_400)),
            ack_timeout: settings.coap.ack_timeout(),
            lifetime: (
                seconds(settings.registration.min_lifetime_s),
                seconds(settings.registration.max_lifetime_s),
            ),
            response_timeout: settings.coap.response_timeout(),
            exchange_lifetime: EXCHANGE_LIFETIME,
            follow_addresses: settings.registration.follow_addresses,
            update_on_notification: settings.registration.update_on_notification,
            update_on_send: settings.registration.update_on_send,
            connect_pause: CONNECT_PAUSE,
            max_value_bytes: settings.endpoint.max_value_bytes,
            max_attempts: settings.operations.max_attempts,
            max_operations: settings.operations.max_per_endpoint,
            keys_count: seconds(settings.operations.idempotency_key_s),
            default_expiry: (default_expiry > 0).then(|| seconds(default_expiry)),
            max_observations: settings.operations.max_observations,
            silence_factor: settings.observations.silence_factor,
            silence_grace: seconds(settings.observations.silence_grace_s),
            observe_retry: (
                seconds(settings.observations.retry_min_s),
                seconds(settings.observations.retry_max_s),
            ),
            message_id_step: settings.endpoint.message_id_step,
            idle: (settings.endpoint.idle_s > 0).then(|| seconds(settings.endpoint.idle_s)),
            last_seen_interval: seconds(settings.endpoint.last_seen_interval_s),
            max_rule_states: settings.rules.max_states_per_endpoint,
            log_limits: LogLimits {
                max_line_bytes: settings.logs.max_line_bytes,
                max_lines: settings.logs.max_lines_per_message,
            },
            update_limits: UpdateLimits {
                wait_for_device: seconds(settings.firmware.wait_for_device_s),
                start: seconds(settings.firmware.start_timeout_s),
                stall: seconds(settings.firmware.stall_timeout_s),
                install: seconds(settings.firmware.install_timeout_s),
                report: seconds(settings.firmware.report_timeout_s),
                tries: settings.firmware.tries,
            },
            push_block: Exponent::at_most(settings.firmware.push_block_bytes),
        }
    }
}

/// About the time that a handshake with a slow device takes.
const CONNECT_PAUSE: Duration = Duration::from_secs(10);
/// RFC 7252 section 4.8.2, with its default parameters.
const EXCHANGE_LIFETIME: Duration = Duration::from_secs(247);
