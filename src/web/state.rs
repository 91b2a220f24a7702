//! What every handler shares.

use std::net::SocketAddr;
use std::sync::Arc;

use actix_web::cookie::Key;
use futures_util::future::BoxFuture;
use prometheus_client::registry::Registry;
use tokio::sync::Mutex;

use crate::config::Settings;
use crate::domain::Timestamp;
use crate::lens::Lens;
use crate::live::Hub;
use crate::registry::Devices;
use crate::rollout::Rollouts;
use crate::security::{Certificates, Sealer};
use crate::store::{BulkNews, Shelf};

use super::auth::oidc::Oidc;
use super::auth::{AccessSignal, HourlyLimit, LoginLimits, PasswordHashing, Stores};
use super::credentials::Credentials;
use super::metrics::HttpMetrics;
use super::models::Catalogue;

/// Answers whether the server can do its work: the database answers, the sockets are bound, it is
/// not shutting down. The text of the error is logged, never shown to strangers.
pub type Readiness = Arc<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// What the composition root hands over.
#[expect(
    missing_debug_implementations,
    reason = "it holds trait objects and a key"
)]
pub struct AppParts {
    /// Every setting in force.
    pub settings: Arc<Settings>,
    /// Storage, handed to handlers only through their views.
    pub stores: Stores,
    /// What may be asked of devices.
    pub devices: Arc<dyn Devices>,
    /// What may be asked of rollouts.
    pub rollouts: Arc<dyn Rollouts>,
    /// Live messages.
    pub hub: Hub,
    /// What devices and the server say to each other.
    pub lens: Lens,
    /// Where CoAP is served, plainly and over DTLS.
    pub coap: (Option<SocketAddr>, Option<SocketAddr>),
    /// Wakes who asks many devices at once.
    pub bulk_news: BulkNews,
    /// The object models, and where uploaded ones are kept.
    pub models: Arc<Catalogue>,
    /// What devices prove themselves with.
    pub credentials: Arc<Credentials>,
    /// The firmware images, and where they are kept.
    pub firmware: Arc<Shelf>,
    /// The certificates of the server, and when those of devices end.
    pub certificates: Certificates,
    /// The metrics of every other room; those of HTTP are added.
    pub metrics: Registry,
    /// See [`Readiness`].
    pub ready: Readiness,
    /// Signs session cookies; see [`session_key`](super::auth::session_key).
    pub cookie_key: Key,
    /// Seals the secrets of one-time codes.
    pub totp: Sealer,
}

/// What every handler shares; in `actix_web::web::Data`.
#[expect(
    missing_debug_implementations,
    reason = "it holds trait objects and a key"
)]
pub struct AppState {
    /// Every setting in force.
    pub settings: Arc<Settings>,
    /// The object models, and where uploaded ones are kept.
    pub models: Arc<Catalogue>,
    /// What devices prove themselves with.
    pub credentials: Arc<Credentials>,
    /// The firmware images, and where they are kept.
    pub firmware: Arc<Shelf>,
    /// When the server started.
    pub started_at: Timestamp,
    pub(in crate::web) stores: Stores,
    pub(in crate::web) certificates: Certificates,
    pub(in crate::web) devices: Arc<dyn Devices>,
    pub(in crate::web) rollouts: Arc<dyn Rollouts>,
    pub(in crate::web) hub: Hub,
    pub(in crate::web) lens: Lens,
    pub(in crate::web) coap: (Option<SocketAddr>, Option<SocketAddr>),
    pub(in crate::web) bulk_news: BulkNews,
    pub(in crate::web) metrics: Registry,
    pub(in crate::web) http: HttpMetrics,
    pub(in crate::web) ready: Readiness,
    pub(in crate::web) cookie_key: Key,
    pub(in crate::web) totp: Sealer,
    pub(in crate::web) access: AccessSignal,
    pub(in crate::web) oidc: Option<Oidc>,
    pub(in crate::web) login_limits: LoginLimits,
    pub(in crate::web) code_limits: LoginLimits,
    pub(in crate::web) audited_failures: HourlyLimit,
    pub(in crate::web) passwords: PasswordHashing,
    /// Held from the look at how many there are until there is one more, of what has a limit that the store does not
    /// know: who asks many times at once must not get past it.
    pub(in crate::web) counting: Mutex<()>,
}

impl AppState {
    /// Puts the parts together; the server counts as started now.
    pub fn new(mut parts: AppParts) -> Self {
        let http = HttpMetrics::default();
        http.register(&mut parts.metrics);
        Self {
            login_limits: LoginLimits::new(&parts.settings.web),
            code_limits: LoginLimits::of_codes(&parts.settings.web),
            audited_failures: HourlyLimit::new(parts.settings.web.audited_failures),
            access: AccessSignal::default(),
            oidc: Oidc::new(&parts.settings),
            totp: parts.totp,
            passwords: PasswordHashing::default(),
            counting: Mutex::default(),
            settings: parts.settings,
            models: parts.models,
            credentials: parts.credentials,
            firmware: parts.firmware,
            certificates: parts.certificates,
            started_at: Timestamp::system(),
            stores: parts.stores,
            devices: parts.devices,
            rollouts: parts.rollouts,
            hub: parts.hub,
            lens: parts.lens,
            coap: parts.coap,
            bulk_news: parts.bulk_news,
            metrics: parts.metrics,
            http,
            ready: parts.ready,
            cookie_key: parts.cookie_key,
        }
    }
}
