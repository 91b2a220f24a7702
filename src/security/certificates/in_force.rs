//! The server's certificates while it runs: renewed before they end, and read again when somebody
//! has put others into the folder. Both happen without a restart.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::watch as tokio_watch;

use super::CertificateError;
use super::alt_name::AltName;
use super::device_ends::DeviceEnds;
use super::expiry::{Ending, ExpiryMetrics, ExpiryWatch, Holder};
use super::server::ServerCertificates;
use crate::config;
use crate::domain::Timestamp;

/// The certificates in force. Cheap to clone; every clone sees the same.
#[derive(Clone, Debug)]
pub struct Certificates(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    folder: PathBuf,
    ahead: Duration,
    current: ArcSwap<ServerCertificates>,
    changes: tokio_watch::Sender<u64>,
    devices: DeviceEnds,
    metrics: ExpiryMetrics,
}

impl Certificates {
    /// Those of `data_dir/certs`, which are made at the first start.
    ///
    /// # Errors
    /// See [`ServerCertificates::load_or_make`]; or a name in `certificates.hosts` is none.
    pub fn open(settings: &config::Settings, now: Timestamp) -> Result<Self, CertificateError> {
        let folder = settings.data_dir.join(FOLDER);
        let hosts: Vec<AltName> = settings
            .certificates
            .hosts
            .iter()
            .map(|host| AltName::host(host))
            .collect::<Result<_, _>>()?;
        let current = ServerCertificates::load_or_make(&folder, &hosts, now)?;
        let certificates = Self(Arc::new(Inner {
            folder,
            ahead: settings.certificates.warn_ahead(),
            current: ArcSwap::from_pointee(current),
            changes: tokio_watch::channel(0).0,
            devices: DeviceEnds::default(),
            metrics: ExpiryMetrics::default(),
        }));
        certificates.measure(now)?;
        Ok(certificates)
    }

    /// Those to be used for the next handshake.
    pub fn current(&self) -> Arc<ServerCertificates> {
        self.0.current.load_full()
    }

    /// Changes whenever others are in force.
    pub fn changes(&self) -> tokio_watch::Receiver<u64> {
        self.0.changes.subscribe()
    }

    /// What is known of ends, for `/metrics`.
    pub fn metrics(&self) -> &ExpiryMetrics {
        &self.0.metrics
    }

    /// The stored certificates of devices, which are warned of as well.
    pub fn devices(&self) -> &DeviceEnds {
        &self.0.devices
    }

    /// The certificates that end within `certificates.warn_days`, or have ended; the first to end comes
    /// first.
    ///
    /// # Errors
    /// When a date is none.
    pub fn ending_soon(&self, now: Timestamp) -> Result<Vec<Ending>, CertificateError> {
        let limit = now.plus(self.0.ahead);
        let mut soon = self.0.devices.until(limit);
        let (server, ca) = self.current().ends()?;
        for (holder, ends) in [(Holder::Ca, ca), (Holder::Server, server)] {
            if ends <= limit {
                soon.push(Ending { holder, ends });
            }
        }
        soon.sort_by(|one, other| (one.ends, &one.holder).cmp(&(other.ends, &other.holder)));
        Ok(soon)
    }

    /// Renews what is about to end and can be renewed here, and takes over what has changed on
    /// disk. When that fails the old ones stay in force.
    ///
    /// # Errors
    /// What is wrong with the files.
    pub fn refresh(&self, now: Timestamp) -> Result<Refreshed, CertificateError> {
        let inner = &self.0;
        let mut outcome = Refreshed::Unchanged;
        let mut current = self.current();
        if current.changed(&inner.folder) {
            current = Arc::new(ServerCertificates::load(&inner.folder)?);
            outcome = Refreshed::Reloaded;
            self.put(Arc::clone(&current));
        }
        if let Some(renewed) = current.renew(&inner.folder, inner.ahead, now)? {
            outcome = Refreshed::Renewed;
            self.put(Arc::new(renewed));
        }
        self.measure(now)?;
        Ok(outcome)
    }

    fn put(&self, certificates: Arc<ServerCertificates>) {
        self.0.current.store(certificates);
        self.0
            .changes
            .send_modify(|count| *count = count.wrapping_add(1));
    }

    fn measure(&self, now: Timestamp) -> Result<(), CertificateError> {
        let (server, ca) = self.current().ends()?;
        let metrics = &self.0.metrics;
        metrics.set("server", server);
        metrics.set("ca", ca);
        metrics.set_devices(self.0.devices.until(now.plus(self.0.ahead)).len());
        Ok(())
    }
}

/// What [`Certificates::refresh`] has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refreshed {
    /// Others were on disk.
    Reloaded,
    /// The server's certificate was signed again.
    Renewed,
    /// Nothing.
    Unchanged,
}

/// Looks after the certificates until it is dropped: [`Certificates::refresh`] at this interval, and
/// warnings before they end.
pub async fn watch(certificates: Certificates, every: Duration) {
    let mut expiry = ExpiryWatch::default();
    let mut last_error = None;
    loop {
        let now = Timestamp::system();
        match certificates.refresh(now) {
            Ok(outcome) => {
                last_error = None;
                match outcome {
                    Refreshed::Reloaded => tracing::info!("The certificates on disk have changed"),
                    Refreshed::Renewed => {
                        tracing::info!("The certificate of the server was signed again in time");
                    }
                    Refreshed::Unchanged => {}
                }
            }
            Err(error) => {
                // Once for each reason: the files are looked at every few seconds.
                let error = format!("{:#}", anyhow::Error::new(error));
                if last_error.as_ref() != Some(&error) {
                    tracing::error!("Going on with the certificates from before: {error}");
                    last_error = Some(error);
                }
            }
        }
        let soon = certificates.ending_soon(now).unwrap_or_default();
        for certificate in expiry.due(soon, now) {
            warn(&certificate, now);
        }
        tokio::time::sleep(every).await;
    }
}

fn warn(certificate: &Ending, now: Timestamp) {
    let (holder, ends) = (&certificate.holder, certificate.ends);
    let days = certificate.days_left(now);
    if days < 0 {
        tracing::warn!(
            certificate.days_left = days,
            "{holder} has ended, on {ends}"
        );
    } else {
        tracing::warn!(
            certificate.days_left = days,
            "{holder} ends within {} days, on {ends}",
            days.saturating_add(1)
        );
    }
}

/// Below `data_dir`.
const FOLDER: &str = "certs";
