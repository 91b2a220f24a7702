//! `healthcheck`: asks a running server whether it is ready, as a container's health check does.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, bail};

use super::{SettingsArgs, logging};

pub(super) fn run(args: &SettingsArgs) -> anyhow::Result<()> {
    logging::start_quiet()?;
    let settings = args.load()?;
    let url = format!("http://{}/health/ready", reachable(settings.web.listen));
    actix_rt::System::new().block_on(async {
        let client = awc::Client::builder().timeout(TIMEOUT).finish();
        let response = client.get(&url).send().await;
        let response = response
            .map_err(|error| anyhow::anyhow!("{error}"))
            .with_context(|| format!("no answer from {url}"))?;
        if !response.status().is_success() {
            bail!("{url} answers {}", response.status());
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
