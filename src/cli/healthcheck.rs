//! `healthcheck`: asks a running server whether it is ready, as a container's health check does.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, bail};

use super::{SettingsArgs, logging};
use crate::net::https::{self, Trust};

pub(super) fn run(args: &SettingsArgs) -> anyhow::Result<()> {
    logging::start_quiet()?;
    let settings = args.load()?;
    let scheme = if settings.web.tls { "https" } else { "http" };
    let address = reachable(settings.web.listen);
    let url = format!("{scheme}://{address}/health/ready");
    // It is whether it is ready that is asked, and nothing is told to whoever answers on this machine's own address.
    let trust = Trust::anybody()?;
    actix_rt::System::new().block_on(async {
        let status = https::status(&trust, &url, TIMEOUT).await;
        let status = status.with_context(|| format!("no answer from {url}"))?;
        if !status.is_success() {
            bail!("{url} answers {status}");
        }
        Ok(())
    })
}

/// Where a server that listens on this address is reached from its own machine.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

const TIMEOUT: Duration = Duration::from_secs(5);
