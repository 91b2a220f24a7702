//! The server of firmware images over HTTPS, while `firmware.enabled`.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use actix_web::dev::ServerHandle;
use anyhow::Context as _;
use prometheus_client::registry::Registry;
use tokio::task::JoinHandle;

use crate::config::Firmware;
use crate::security::Certificates;
use crate::store::FirmwareShelf;
use crate::web::firmware_files::{self, DownloadMetrics, FirmwareFiles, Served};

/// What it is made of; its counters are known to `/metrics` even when nothing is served.
pub(super) fn files(
    shelf: Arc<dyn FirmwareShelf>,
    certificates: Certificates,
    metrics: &mut Registry,
) -> FirmwareFiles {
    let counted = DownloadMetrics::default();
    counted.register(metrics);
    FirmwareFiles {
        shelf,
        certificates,
        metrics: counted,
        told: Arc::new(log),
    }
}

/// It, from outside; empty where nothing is served.
pub(super) struct Downloads(Option<Running>);

struct Running {
    handle: ServerHandle,
    server: JoinHandle<io::Result<()>>,
    address: SocketAddr,
}

impl Downloads {
    pub(super) fn start(settings: &Firmware, files: FirmwareFiles) -> anyhow::Result<Self> {
        if !settings.enabled {
            return Ok(Self(None));
        }
        let (server, address) = firmware_files::serve(settings, files)?;
        Ok(Self(Some(Running {
            handle: server.handle(),
            server: actix_rt::spawn(server),
            address,
        })))
    }

    /// Where images are served.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        self.0.as_ref().map(|running| running.address)
    }

    /// Ends at once: a download can take hours, and devices go on with it when the server is back.
    pub(super) async fn stop(self) -> anyhow::Result<()> {
        if let Some(running) = self.0 {
            running.handle.stop(false).await;
            let ended = running.server.await;
            ended.context("the server of firmware images panicked")??;
        }
        Ok(())
    }
}

/// Says how an answer about an image ended.
fn log(served: Served) {
    if served.is_over {
        tracing::debug!(
            status = served.status,
            "{} was sent firmware image {} from byte {} to {} of {}",
            served.from,
            served.image,
            served.offset,
            served.served_to,
            served.size,
        );
    }
}
