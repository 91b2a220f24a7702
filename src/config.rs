//! Settings: typed, with every limit and its unit. `config/default.toml` holds the defaults and
//! says what each key means; it is part of the binary.

mod charts;
mod firmware;
mod history;
mod lens;
mod network;
mod oidc;
mod people;
mod retention;
mod rollouts;
mod secrets;

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use config::{Config, Environment, File, FileFormat};
use serde::{Deserialize, Serialize};

pub use self::charts::Charts;
pub use self::firmware::{Firmware, FirmwareNames, FirmwareUri};
pub use self::history::{History, KeptDays};
pub use self::lens::Lens;
pub use self::network::{InvalidNetwork, Network};
pub use self::oidc::{Oidc, OidcRole, is_safe};
pub use self::people::RequireTotp;
pub use self::retention::Retention;
pub use self::rollouts::Rollouts;

/// The defaults, commented.
pub const DEFAULTS: &str = include_str!("../config/default.toml");

/// All settings in force.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Where everything is kept.
    pub data_dir: PathBuf,
    /// The database.
    pub database: Database,
    /// The message layer and its socket.
    pub coap: Coap,
    /// From whom datagrams are taken, and how much goes to strangers.
    pub admission: Admission,
    /// CoAP over DTLS.
    pub coaps: Coaps,
    /// The server's certificates.
    pub certificates: Certificates,
    /// Firmware images and updates.
    pub firmware: Firmware,
    /// Firmware to many devices.
    pub rollouts: Rollouts,
    /// What devices prove themselves with.
    pub credentials: Credentials,
    /// Who may register, and for how long.
    pub registration: Registration,
    /// Sleeping devices.
    pub queue_mode: QueueMode,
    /// Operations towards devices.
    pub operations: Operations,
    /// What makes events of values.
    pub rules: Rules,
    /// Object models that people upload.
    pub models: Models,
    /// What becomes of lost observations.
    pub observations: Observations,
    /// Devices' logs.
    pub logs: Logs,
    /// What is said between devices and the server, and what it costs.
    pub lens: Lens,
    /// The actors.
    pub endpoint: Endpoint,
    /// The writer.
    pub store: Store,
    /// Values over time.
    pub history: History,
    /// Charts of many series.
    pub charts: Charts,
    /// How long what is over is kept.
    pub retention: Retention,
    /// The pages and the API.
    pub web: Web,
    /// Logging in by OpenID Connect.
    pub oidc: Oidc,
    /// The live socket.
    pub live: Live,
    /// What is logged, and how.
    pub log: Log,
}

/// See `[database]` in `config/default.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each key is described in config/default.toml")]
pub struct Database {
    pub url: String,
    pub read_connections: u32,
}

/// See `[coap]` in `config/default.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each key is described in config/default.toml")]
pub struct Coap {
    pub enabled: bool,
    pub listen: SocketAddr,
    pub ack_timeout_ms: u64,
    pub ack_random_factor: f64,
    pub max_retransmit: u32,
    pub response_timeout_s: u64,
    pub max_body_bytes: usize,
    pub block_size_bytes: usize,
    pub max_transfers: usize,
    pub transfer_timeout_s: u64,
    pub max_transfer_memory_bytes: usize,
    pub dedup_per_peer: usize,
    pub dedup_total: usize,
    pub max_exchanges: usize,
    pub max_pending_requests: usize,
    pub socket_buffer_bytes: usize,
}

/// See `[coaps]` in `config/default.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each key is described in config/default.toml")]
pub struct Coaps {
    pub enabled: bool,
    pub listen: SocketAddr,
    pub cipher_suites: Vec<String>,
    pub mtu_bytes: u32,
    pub handshake_threads: usize,
    pub max_handshakes: usize,
    pub max_handshake_bytes: usize,
    pub handshake_timeout_s: u64,
    pub retransmit_ms: u64,
    pub queue_length: usize,
    pub max_sessions: usize,
    pub max_large_sessions: usize,
    pub max_sessions_per_endpoint: usize,
    pub keep_sessions: bool,
    pub record_number_step: u64,
    pub last_flight_s: u64,
    pub connection_id_bytes: usize,
    pub idle_s: u64,
    pub resumption_s: u64,
    pub socket_buffer_bytes: usize,
}

/// See `[admission]` in `config/default.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each key is described in config/default.toml")]
pub struct Admission {
    pub block: Vec<Network>,
    pub source_datagrams_per_s: u32,
    pub source_burst_datagrams: u32,
    pub unproven_datagrams_per_s: u32,
    pub unproven_bytes_per_s: u32,
    pub amplification: u32,
    pub proof_s: u64,
    pub grace_bytes: usize,
    pub max_sources: usize,
}

/// See `[certificates]` in `config/default.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each key is described in config/default.toml")]
pub struct Certificates {
    pub hosts: Vec<String>,
    pub warn_days: u64,
    pub reload_s: u64,
}

/// See `[credentials]` in `config/default.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each key is described in config/default.toml")]
pub struct Credentials {
    pub max: usize,
    pub reload_s: u64,
}

/// What happens to devices that nobody has announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnknownEndpoints {
    /// They may register.
    Accept,
    /// They are refused.
    Deny,
}

/// See `[registration]` in `config/default.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each key is described in config/default.toml")]
pub struct Registration {
    pub unknown_endpoints: UnknownEndpoints,
    pub min_lifetime_s: u64,
    pub max_lifetime_s: u64,
    pub restart_grace_s: u64,
    pub follow_addresses: bool,
    pub update_on_notification: bool,
    pub update_on_send: bool,
    pub max_endpoints: usize,
    pub max_refusals: usize,
    pub max_objects: usize,
    pub max_attributes: usize,
}

impl Registration {
    /// Whether devices are followed to another address only when they have proven it.
    pub fn follows_proofs_alone(&self) -> bool {
        !self.follow_addresses && !self.update_on_send
    }
}

/// See `[queue_mode]` in `config/default.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each key is described in config/default.toml")]
pub struct QueueMode {
    pub awake_s: u64,
    pub learn: bool,
    pub least_awake_s: u64,
    pub relearn_days: u64,
}

/// See `[operations]` in `config/default.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each key is described in config/default.toml")]
pub struct Operations {
    pub max_attempts: u32,
    pub max_per_endpoint: usize,
    pub default_expiry_s: u64,
    /// How long asking again with the same `Idempotency-Key` finds the operation that there is, in seconds.
    pub idempotency_key_s: u64,
    pub max_observations: usize,
    pub max_bulk: u64,
}

/// See `[rules]` in `config/default.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each key is described in config/default.toml")]
pub struct Rules {
    pub max: usize,
    pub max_states_per_endpoint: usize,
}

/// See `[models]` in `config/default.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each key is described in config/default.toml")]
pub struct Models {
    pub max_ddf_bytes: usize,
    pub max_upload_bytes: usize,
    pub max_objects_per_file: usize,
    pub max_resources_per_object: usize,
    pub max_uploaded: u64,
    pub reload_s: u64,
}

/// See `[observations]` in `config/default.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each key is described in config/default.toml")]
pub struct Observations {
    pub silence_factor: f64,
    pub silence_grace_s: u64,
    pub retry_min_s: u64,
    pub retry_max_s: u64,
    pub max_templates: usize,
}

/// See `[logs]` in `config/default.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each key is described in config/default.toml")]
pub struct Logs {
    pub max_line_bytes: usize,
    pub max_lines_per_message: usize,
    pub keep_days: u64,
    pub max_rows_per_endpoint: u64,
}

/// See `[endpoint]` in `config/default.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each key is described in config/default.toml")]
pub struct Endpoint {
    pub mailbox: usize,
    pub registry_mailbox: usize,
    pub message_id_step: u16,
    pub idle_s: u64,
    pub max_active: usize,
    pub last_seen_interval_s: u64,
    pub max_value_bytes: usize,
}

/// See `[store]` in `config/default.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each key is described in config/default.toml")]
pub struct Store {
    pub batch_commits: usize,
    pub batch_delay_ms: u64,
    pub queue_length: usize,
    pub checkpoint_bytes: u64,
    pub journal: bool,
    pub journal_bytes: u64,
    pub fold_after_ms: u64,
    pub heartbeat_s: u64,
}

/// See `[web]` in `config/default.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each key is described in config/default.toml")]
pub struct Web {
    pub listen: SocketAddr,
    pub workers: usize,
    pub trusted_proxies: Vec<IpAddr>,
    pub tls: bool,
    pub tls_certificate: PathBuf,
    pub tls_key: PathBuf,
    pub secure_cookies: bool,
    pub session_hours: u64,
    pub session_idle_hours: u64,
    pub login_attempts: u32,
    pub login_window_s: u64,
    pub audited_failures: u32,
    pub require_totp_for: RequireTotp,
    pub public_url: String,
    pub max_json_bytes: usize,
    pub body_timeout_s: u64,
    pub max_wait_s: u64,
    pub max_page_rows: u64,
    pub max_saved_filters: u64,
    pub max_own_tokens: usize,
}

/// See `[live]` in `config/default.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each key is described in config/default.toml")]
pub struct Live {
    pub max_clients: usize,
    pub queue_length: usize,
    pub history: usize,
    pub max_topics: usize,
    pub gather_ms: u64,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// Text on a terminal, JSON otherwise.
    Auto,
    /// One JSON object a line.
    Json,
    /// Lines for people.
    Text,
}

/// See `[log]` in `config/default.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each key is described in config/default.toml")]
pub struct Log {
    pub level: String,
    pub format: LogFormat,
}

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file or a variable cannot be read or holds a wrong type.
    #[error("settings: {0}")]
    Read(#[from] config::ConfigError),
    /// A value is out of its range.
    #[error("setting `{key}`: {reason}")]
    Invalid {
        /// The key, with its section.
        key: &'static str,
        /// What is wrong with its value.
        reason: String,
    },
}

impl Settings {
    /// The defaults, then the file, then the environment.
    ///
    /// # Errors
    /// Names the key that is unknown, of the wrong type or out of range.
    pub fn load(file: Option<&Path>) -> Result<Self, SettingsError> {
        let mut builder = Config::builder().add_source(File::from_str(DEFAULTS, FileFormat::Toml));
        if let Some(file) = file {
            builder = builder.add_source(File::from(file).format(FileFormat::Toml));
        }
        let environment = Environment::with_prefix("FLOWNEXUS")
            .prefix_separator("__")
            .separator("__")
            .try_parsing(true)
            .list_separator(",")
            .with_list_parse_key("admission.block")
            .with_list_parse_key("certificates.hosts")
            .with_list_parse_key("coaps.cipher_suites")
            .with_list_parse_key("oidc.allowed")
            .with_list_parse_key("oidc.scopes")
            .with_list_parse_key("web.trusted_proxies");
        let settings: Self = builder.add_source(environment).build()?.try_deserialize()?;
        settings.check()?;
        Ok(settings)
    }

    /// The defaults alone.
    ///
    /// # Panics
    /// Never: a test reads them.
    #[expect(
        clippy::expect_used,
        reason = "the defaults are part of the binary, and a test reads them"
    )]
    pub fn defaults() -> Self {
        toml::from_str(DEFAULTS).expect("config/default.toml is complete")
    }

    fn check(&self) -> Result<(), SettingsError> {
        let invalid = |key, reason: &str| {
            Err(SettingsError::Invalid {
                key,
                reason: reason.to_owned(),
            })
        };
        if !matches!(
            self.coap.block_size_bytes,
            16 | 32 | 64 | 128 | 256 | 512 | 1024
        ) {
            return invalid(
                "coap.block_size_bytes",
                "must be 16, 32, 64, 128, 256, 512 or 1024",
            );
        }
        if !self.coap.enabled && !self.coaps.enabled {
            return invalid("coap.enabled", "either this or coaps.enabled must be true");
        }
        if self.coap.ack_timeout_ms == 0 {
            return invalid("coap.ack_timeout_ms", "must be at least 1");
        }
        if !(1.0..=10.0).contains(&self.coap.ack_random_factor) {
            return invalid("coap.ack_random_factor", "must be from 1 to 10");
        }
        if self.coap.max_retransmit > 10 {
            return invalid("coap.max_retransmit", "must be at most 10");
        }
        if !(256..=16_384).contains(&self.coaps.mtu_bytes) {
            return invalid("coaps.mtu_bytes", "must be from 256 to 16384");
        }
        if self.coaps.cipher_suites.is_empty() {
            return invalid("coaps.cipher_suites", "must name at least one");
        }
        if !(50..=60_000).contains(&self.coaps.retransmit_ms) {
            return invalid("coaps.retransmit_ms", "must be from 50 to 60000");
        }
        if !matches!(self.coaps.connection_id_bytes, 0 | 4..=20) {
            return invalid("coaps.connection_id_bytes", "must be 0 or from 4 to 20");
        }
        if !(2..=1 << 32).contains(&self.coaps.record_number_step) {
            return invalid("coaps.record_number_step", "must be from 2 to 4294967296");
        }
        if self.coaps.max_handshake_bytes < 32_768 {
            return invalid("coaps.max_handshake_bytes", "must be at least 32768");
        }
        if self.registration.min_lifetime_s > self.registration.max_lifetime_s {
            return invalid(
                "registration.min_lifetime_s",
                "must not be above registration.max_lifetime_s",
            );
        }
        if self.endpoint.message_id_step == 0 || self.endpoint.message_id_step > 8192 {
            return invalid("endpoint.message_id_step", "must be from 1 to 8192");
        }
        if !(1.0..=1000.0).contains(&self.observations.silence_factor) {
            return invalid("observations.silence_factor", "must be from 1 to 1000");
        }
        if self.observations.retry_min_s == 0 {
            return invalid("observations.retry_min_s", "must be at least 1");
        }
        if self.observations.retry_min_s > self.observations.retry_max_s {
            return invalid(
                "observations.retry_min_s",
                "must not be above observations.retry_max_s",
            );
        }
        if self.operations.idempotency_key_s == 0 {
            return invalid("operations.idempotency_key_s", "must be at least 1");
        }
        if let Some((key, reason)) = self.web.wrong() {
            return invalid(key, reason);
        }
        let admission = &self.admission;
        if admission.source_datagrams_per_s > 0 && admission.source_burst_datagrams == 0 {
            return invalid(
                "admission.source_burst_datagrams",
                "must be at least 1 where admission.source_datagrams_per_s is",
            );
        }
        let others = self.history.wrong().or_else(|| self.firmware.wrong());
        let others = others.or_else(|| self.rollouts.wrong());
        let others = others.or_else(|| self.lens.wrong());
        let others = others.or_else(|| self.charts.wrong());
        let others = others.or_else(|| self.retention.wrong());
        if let Some((key, reason)) = others.or_else(|| self.oidc.wrong(&self.web.public_url)) {
            return invalid(key, &reason);
        }
        let positive = [
            ("admission.max_sources", admission.max_sources),
            ("coap.dedup_per_peer", self.coap.dedup_per_peer),
            ("coap.max_exchanges", self.coap.max_exchanges),
            ("coap.max_pending_requests", self.coap.max_pending_requests),
            ("coaps.handshake_threads", self.coaps.handshake_threads),
            ("coaps.max_handshakes", self.coaps.max_handshakes),
            ("coaps.queue_length", self.coaps.queue_length),
            ("coaps.max_large_sessions", self.coaps.max_large_sessions),
            ("coaps.max_sessions", self.coaps.max_sessions),
            (
                "coaps.max_sessions_per_endpoint",
                self.coaps.max_sessions_per_endpoint,
            ),
            ("credentials.max", self.credentials.max),
            ("endpoint.mailbox", self.endpoint.mailbox),
            ("endpoint.max_value_bytes", self.endpoint.max_value_bytes),
            ("endpoint.registry_mailbox", self.endpoint.registry_mailbox),
            ("live.queue_length", self.live.queue_length),
            ("models.max_ddf_bytes", self.models.max_ddf_bytes),
            (
                "models.max_objects_per_file",
                self.models.max_objects_per_file,
            ),
            (
                "operations.max_attempts",
                self.operations.max_attempts as usize,
            ),
            ("logs.max_line_bytes", self.logs.max_line_bytes),
            (
                "logs.max_lines_per_message",
                self.logs.max_lines_per_message,
            ),
            ("registration.max_refusals", self.registration.max_refusals),
            ("store.batch_commits", self.store.batch_commits),
            ("store.queue_length", self.store.queue_length),
            ("web.workers", self.web.workers),
        ];
        for (key, value) in positive {
            if value == 0 {
                return invalid(key, "must be at least 1");
            }
        }
        if self.live.gather_ms > 10_000 {
            return invalid("live.gather_ms", "must be at most 10000");
        }
        Ok(())
    }
}

impl Web {
    /// Whether browsers speak HTTPS, to this server or to a proxy in front of it.
    pub fn is_https(&self) -> bool {
        self.tls || self.secure_cookies
    }

    /// The files of the certificate and of its key, where they are not the server's own.
    pub fn tls_files(&self) -> Option<(&Path, &Path)> {
        let is_set = !self.tls_certificate.as_os_str().is_empty();
        is_set.then_some((&*self.tls_certificate, &*self.tls_key))
    }

    /// `body_timeout_s` as a duration.
    pub fn body_timeout(&self) -> Duration {
        Duration::from_secs(self.body_timeout_s)
    }

    fn wrong(&self) -> Option<(&'static str, &'static str)> {
        if !(1..=3600).contains(&self.body_timeout_s) {
            return Some(("web.body_timeout_s", "must be from 1 to 3600"));
        }
        if self.max_saved_filters > 1000 {
            return Some(("web.max_saved_filters", "must be at most 1000"));
        }
        let [certificate, key] =
            [&self.tls_certificate, &self.tls_key].map(|path| !path.as_os_str().is_empty());
        match (self.tls, certificate, key) {
            (_, true, false) => Some(("web.tls_key", "is needed with web.tls_certificate")),
            (_, false, true) => Some(("web.tls_certificate", "is needed with web.tls_key")),
            (false, true, true) => {
                Some(("web.tls", "must be true where web.tls_certificate is set"))
            }
            _ => None,
        }
    }
}

impl Certificates {
    /// `warn_days` as a duration.
    pub fn warn_ahead(&self) -> Duration {
        Duration::from_secs(self.warn_days.saturating_mul(86_400))
    }
}

impl Coap {
    /// `ack_timeout_ms` as a duration.
    pub fn ack_timeout(&self) -> Duration {
        Duration::from_millis(self.ack_timeout_ms)
    }

    /// `response_timeout_s` as a duration.
    pub fn response_timeout(&self) -> Duration {
        Duration::from_secs(self.response_timeout_s)
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self::defaults()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_complete_and_pass_their_own_checks() {
        let defaults = Settings::defaults();
        assert!(defaults.check().is_ok());
        assert_eq!(Settings::load(None).expect("defaults"), defaults);
    }

    #[test]
    fn an_unknown_key_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("settings.toml");
        std::fs::write(&file, "[coap]\nack_timeout = 3\n").expect("a file");
        let error = Settings::load(Some(&file))
            .expect_err("unknown key")
            .to_string();
        assert!(error.contains("ack_timeout"), "{error}");
    }

    #[test]
    fn a_value_out_of_range_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("settings.toml");
        std::fs::write(&file, "[coap]\nblock_size_bytes = 100\n").expect("a file");
        let error = Settings::load(Some(&file))
            .expect_err("block size")
            .to_string();
        assert!(error.contains("coap.block_size_bytes"), "{error}");
    }

    #[test]
    fn a_limit_of_nothing_is_refused() {
        let mut settings = Settings::defaults();
        assert_eq!(settings.credentials.max, 1_000_000);
        settings.credentials.max = 0;
        let error = settings.check().expect_err("no credential").to_string();
        assert_eq!(error, "setting `credentials.max`: must be at least 1");
    }
}
