//! `simulate`: simulated devices against a server.

use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::signal::unix::{SignalKind, signal};

use crate::domain::Lwm2mVersion;
use crate::sim::{Counters, Fleet, FleetSettings, endpoint_name};

/// Arguments of `simulate`.
#[derive(Args, Clone, Debug)]
pub(super) struct SimulateArgs {
    /// The server: `coap://HOST:PORT`; the port may be left out when it is 5683
    #[arg(long, value_name = "URL", default_value = "coap://localhost:5683")]
    server: String,
    /// How many devices
    #[arg(short = 'n', long, value_name = "N", default_value_t = 1)]
    count: usize,
    /// Milliseconds between the starts of two devices
    #[arg(long, value_name = "MS", default_value_t = 10)]
    delay_ms: u64,
    /// Seconds after which the values of a device change
    #[arg(long, value_name = "S", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=MAX_SECONDS))]
    interval: u64,
    /// Lifetime of the registrations in seconds
    #[arg(long, value_name = "S", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=MAX_SECONDS))]
    lifetime: u64,
    /// The devices sleep between their messages
    #[arg(long)]
    queue_mode: bool,
    /// Names are NAME and a number, from 1 on; without it `urn:imei:` and 15 digits
    #[arg(long, value_name = "NAME")]
    prefix: Option<String>,
    /// The version of LwM2M that they speak: 1.0, 1.1 or 1.2
    #[arg(long, value_name = "VERSION", default_value = "1.1")]
    lwm2m_version: Lwm2mVersion,
    /// The devices also have objects for tests of a server: Event Log (20), Push button (3347) and
    /// the LwM2M v1.1 Test Object (3442)
    #[arg(long)]
    test_objects: bool,
}

/// Runs the devices until SIGINT or SIGTERM, then has them deregister. Must be called within an
/// actix system or another `LocalSet`.
///
/// # Errors
/// The server's address is none or cannot be resolved, the prefix cannot be part of a name, or no
/// device could be started.
pub(super) async fn run(args: SimulateArgs) -> anyhow::Result<()> {
    let server = resolve(&args.server).await?;
    endpoint_name(args.prefix.as_deref(), args.count as u64).context("--prefix")?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;

    let settings = FleetSettings {
        prefix: args.prefix,
        delay: Duration::from_millis(args.delay_ms),
        interval: Duration::from_secs(args.interval),
        lifetime: Duration::from_secs(args.lifetime),
        queue_mode: args.queue_mode,
        lwm2m_version: args.lwm2m_version,
        test_objects: args.test_objects,
        ..FleetSettings::new(server, args.count)
    };
    println!(
        "Simulating {} against coap://{server} (Ctrl-C ends it)",
        devices(args.count)
    );
    let bar = progress_bar(args.count);
    let shown = bar.clone();
    let (failed, mut has_failed) = tokio::sync::mpsc::channel(1);
    let fleet = Fleet::start_and_report(settings, move |progress| {
        shown.set_position(progress.registered);
        shown.set_message(format!("{} started", progress.started));
        if let Some(error) = &progress.error {
            // Once is enough.
            let _ = failed.try_send((progress.started, error.clone()));
        }
    });

    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        Some((started, error)) = has_failed.recv() => {
            if started == 0 {
                bar.finish_and_clear();
                fleet.stop().await;
                bail!("cannot start a device: {error}");
            }
            bar.suspend(|| {
                eprintln!("Only {} could be started: {error}", devices(started));
                eprintln!("(`ulimit -n` says how many files a process may open; each device needs one)");
            });
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        }
    }
    bar.finish_and_clear();
    println!("Deregistering");
    let summary = summary(fleet.counters());
    tokio::select! {
        () = fleet.stop() => {}
        // Asked twice: at once.
        _ = interrupt.recv() => {}
    }
    println!("{summary}");
    Ok(())
}

/// The address of `coap://HOST[:PORT]`; IPv4 is preferred where a name has both.
async fn resolve(url: &str) -> anyhow::Result<SocketAddr> {
    let (host, port) = parse(url)?;
    let mut addresses: Vec<SocketAddr> = tokio::net::lookup_host((host, port))
        .await
        .with_context(|| format!("cannot resolve {host}"))?
        .collect();
    addresses.sort_by_key(SocketAddr::is_ipv6);
    addresses
        .first()
        .copied()
        .with_context(|| format!("{host} has no address"))
}

fn parse(url: &str) -> anyhow::Result<(&str, u16)> {
    if url.starts_with("coaps://") {
        bail!("--server {url}: coaps:// is not supported yet, use coap://");
    }
    let rest = url
        .strip_prefix("coap://")
        .with_context(|| format!("--server {url}: must be coap://HOST:PORT"))?;
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let (host, port) = match rest.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest
                .split_once(']')
                .with_context(|| format!("--server {url}: the bracket is not closed"))?;
            (
                host,
                rest.strip_prefix(':')
                    .or_else(|| (!rest.is_empty()).then_some(rest)),
            )
        }
        None => match rest.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (rest, None),
        },
    };
    if host.is_empty() || host.contains(['/', '?', '#', '@']) {
        bail!("--server {url}: must be coap://HOST:PORT");
    }
    let port = match port {
        None => COAP_PORT,
        Some(port) => port
            .parse()
            .ok()
            .filter(|port| *port != 0)
            .with_context(|| format!("--server {url}: `{port}` is no port"))?,
    };
    Ok((host, port))
}

fn progress_bar(count: usize) -> ProgressBar {
    if count < MANY || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} registered, {msg}, {elapsed}")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(count as u64).with_style(style)
}

fn summary(counters: &Counters) -> String {
    format!(
        "{} registered, {} Registers, {} Updates, {} notifications of which {} were acknowledged, {} operations, {} failures",
        counters.registered_now(),
        counters.registrations(),
        counters.updates(),
        counters.notifications(),
        counters.notifications_acknowledged(),
        counters.operations(),
        counters.failures(),
    )
}

fn devices(count: usize) -> String {
    match count {
        1 => "1 device".to_owned(),
        count => format!("{count} devices"),
    }
}

/// RFC 7252 section 6.1
const COAP_PORT: u16 = 5683;
/// From so many devices on there is a progress bar.
const MANY: usize = 10;
/// Ten years.
const MAX_SECONDS: u64 = 315_360_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_is_a_coap_url_with_or_without_a_port() {
        for (url, host, port) in [
            ("coap://localhost:5683", "localhost", 5683),
            ("coap://example.org", "example.org", 5683),
            ("coap://192.0.2.1:7000/", "192.0.2.1", 7000),
            ("coap://[2001:db8::1]:7000", "2001:db8::1", 7000),
            ("coap://[::1]", "::1", 5683),
        ] {
            assert_eq!(parse(url).expect(url), (host, port));
        }
    }

    #[test]
    fn what_is_no_server_is_refused_in_one_line() {
        for url in [
            "localhost:5683",
            "coap://",
            "coap://:5683",
            "coap://host:0",
            "coap://host:coap",
            "coap://host:1:2",
            "coap://[::1",
            "coap://[::1]5683x",
            "coap://host/rd",
            "coaps://host",
            "http://host",
        ] {
            let error = format!("{:#}", parse(url).expect_err(url));
            assert!(error.contains(url) && !error.contains('\n'), "{error}");
        }
    }
}
