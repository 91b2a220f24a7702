//! The limits and times of an endpoint.

use std::time::Duration;

use crate::config;

use super::block::Exponent;

/// Limits and times of the message layer, made from `[coap]` of the settings.
#[derive(Clone, Debug, PartialEq)]
pub struct EndpointConfig {
    /// `ACK_TIMEOUT` (RFC 7252 section 4.8).
    pub ack_timeout: Duration,
    /// `ACK_RANDOM_FACTOR`, at least 1.
    pub ack_random_factor: f64,
    /// `MAX_RETRANSMIT`.
    pub max_retransmit: u32,
    /// Largest body of a blockwise transfer that comes in, in bytes.
    pub max_body: usize,
    /// Block size that we send and ask for, in bytes: 16, 32, 64, 128, 256, 512 or 1024.
    pub block_size: usize,
    /// Bodies that come in by Block1 at a time, and bodies that go out by Block2 at a time.
    pub max_transfers: usize,
    /// The same for one peer, so that it cannot push out those of others.
    pub max_transfers_per_peer: usize,
    /// How long a transfer may pause.
    pub transfer_timeout: Duration,
    /// Bytes of all transfers together.
    pub max_transfer_memory: usize,
    /// Messages remembered for one peer.
    pub dedup_per_peer: usize,
    /// Messages remembered in all.
    pub dedup_total: usize,
    /// Bytes of remembered answers in all.
    pub dedup_memory: usize,
    /// Exchanges of ours, notifications of ours included.
    pub max_exchanges: usize,
    /// Requests and notifications of peers that wait for their end.
    pub max_pending_requests: usize,
}

impl EndpointConfig {
    /// `MAX_TRANSMIT_SPAN`: from the first transmission of a confirmable message to its last
    /// (RFC 7252 section 4.8.2), 45 s.
    pub fn max_transmit_span(&self) -> Duration {
        let periods = 2_u32
            .saturating_pow(self.max_retransmit.min(16))
            .saturating_sub(1);
        self.first_timeout()
            .saturating_mul(periods)
            .mul_f64(self.random_factor())
    }

    /// `EXCHANGE_LIFETIME`: how long a copy of a confirmable message can arrive, 247 s.
    pub fn exchange_lifetime(&self) -> Duration {
        self.max_transmit_span()
            .saturating_add(MAX_LATENCY.saturating_mul(2))
            .saturating_add(self.first_timeout())
    }

    /// `NON_LIFETIME`: how long a copy of another message can arrive, 145 s.
    pub fn non_lifetime(&self) -> Duration {
        self.max_transmit_span().saturating_add(MAX_LATENCY)
    }

    /// `ack_timeout` brought below an hour.
    pub(super) fn first_timeout(&self) -> Duration {
        self.ack_timeout.min(Duration::from_secs(3600))
    }

    /// The factor brought into 1 to 10, so that no setting can make a duration overflow.
    pub(super) fn random_factor(&self) -> f64 {
        if self.ack_random_factor.is_finite() {
            self.ack_random_factor.clamp(1.0, 10.0)
        } else {
            1.5
        }
    }

    /// The block size as an exponent, rounded down.
    pub(super) fn exponent(&self) -> Exponent {
        Exponent::at_most(self.block_size)
    }
}

impl From<&config::Coap> for EndpointConfig {
    fn from(settings: &config::Coap) -> Self {
        Self {
            ack_timeout: settings.ack_timeout(),
            ack_random_factor: settings.ack_random_factor,
            max_retransmit: settings.max_retransmit,
            max_body: settings.max_body_bytes,
            block_size: settings.block_size_bytes,
            max_transfers: settings.max_transfers,
            max_transfers_per_peer: MAX_TRANSFERS_PER_PEER,
            transfer_timeout: Duration::from_secs(settings.transfer_timeout_s),
            max_transfer_memory: settings.max_transfer_memory_bytes,
            dedup_per_peer: settings.dedup_per_peer,
            dedup_total: settings.dedup_total,
            dedup_memory: settings
                .dedup_total
                .saturating_mul(DEDUP_BYTES_PER_ENTRY)
                .max(MIN_DEDUP_MEMORY),
            max_exchanges: settings.max_exchanges,
            max_pending_requests: settings.max_pending_requests,
        }
    }
}

impl Default for EndpointConfig {
    fn default() -> Self {
        Self::from(&config::Settings::defaults().coap)
    }
}

/// `MAX_LATENCY` (RFC 7252 section 4.8.2).
const MAX_LATENCY: Duration = Duration::from_secs(100);

/// More transfers of one peer at a time serve no device, only an attack.
const MAX_TRANSFERS_PER_PEER: usize = 8;

/// Most answers are of a few bytes; a block of 1 KiB takes the share of eight entries.
const DEDUP_BYTES_PER_ENTRY: usize = 128;

/// Room for one answer of the largest size whatever `dedup_total` says.
const MIN_DEDUP_MEMORY: usize = 65_536;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_give_the_times_of_rfc_7252() {
        let config = EndpointConfig::default();
        assert_eq!(config.max_transmit_span(), Duration::from_secs(45));
        assert_eq!(config.exchange_lifetime(), Duration::from_secs(247));
        assert_eq!(config.non_lifetime(), Duration::from_secs(145));
    }

    #[test]
    fn no_setting_overflows_a_time() {
        let config = EndpointConfig {
            ack_timeout: Duration::from_secs(u64::MAX / 1_000_000),
            ack_random_factor: f64::NAN,
            max_retransmit: u32::MAX,
            ..EndpointConfig::default()
        };
        assert!(config.exchange_lifetime() >= Duration::from_secs(247));
    }
}
