//! `simulate`: simulated devices against a server.

mod security;

use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::signal::unix::{SignalKind, signal};

use crate::domain::Lwm2mVersion;
use crate::sim::{Counters, Fleet, FleetSettings, endpoint_name};

use security::SecurityArgs;

/// Arguments of `simulate`.
#[derive(Args, Clone, Debug)]
pub(super) struct SimulateArgs {
    /// The server: `coap://HOST:PORT`, or `coaps://HOST:PORT` with `--psk`, `--cert` or `--rpk`; the
    /// port may be left out when it is 5683 or 5684
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
    #[command(flatten)]
    security: SecurityArgs,
}

/// Runs the devices until SIGINT or SIGTERM, then has them deregister. Must be called within an
/// actix system or another `LocalSet`.
///
/// # Errors
/// The server's address is none or cannot be resolved, the prefix cannot be part of a name, the
/// credentials cannot be used, or no device could be started.
pub(super) async fn run(args: SimulateArgs) -> anyhow::Result<()> {
    let url = Url::parse(&args.server)?;
    let security = args.security.fleet(url.host, args.count)?;
    if url.is_secure && security.is_none() {
        bail!(
            "--server {}: --psk, --cert or --rpk is needed for coaps://",
            args.server
        );
    }
    if !url.is_secure && security.is_some() {
        bail!(
            "--server {}: --psk, --cert and --rpk are for coaps://",
            args.server
        );
    }
    let server = url.resolve().await?;
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
        security,
        ..FleetSettings::new(server, args.count)
    };
    println!(
        "Simulating {} against {}{server} (Ctrl-C ends it)",
        devices(args.count),
        url.scheme()
    );
    let bar = progress_bar(args.count);
    let shown = bar.clone();
    let (refused, mut is_refused) = tokio::sync::mpsc::channel(1);
    let (failed, mut has_failed) = tokio::sync::mpsc::channel(1);
    let fleet = Fleet::start_and_report(settings, move |progress| {
        shown.set_position(progress.registered);
        shown.set_message(format!("{} started", progress.started));
        if let Some(refusal) = &progress.refusal {
            let _ = refused.try_send(refusal.clone());
        }
        if let Some(error) = &progress.error {
            // Once is enough.
            let _ = failed.try_send((progress.started, error.clone()));
        }
    });

    // Each is told once: the first of many says enough.
    let (mut says_refused, mut says_failed) = (true, true);
    loop {
        tokio::select! {
            _ = interrupt.recv() => break,
            _ = terminate.recv() => break,
            Some(refusal) = is_refused.recv(), if says_refused => {
                says_refused = false;
                bar.suspend(|| eprintln!("No DTLS session for {refusal}"));
            }
            Some((started, error)) = has_failed.recv(), if says_failed => {
                says_failed = false;
                if started == 0 {
                    bar.finish_and_clear();
                    fleet.stop().await;
                    bail!("cannot start a device: {error}");
                }
                bar.suspend(|| {
                    eprintln!("Only {} could be started: {error}", devices(started));
                    eprintln!("(`ulimit -n` says how many files a process may open; each device needs one, and three with DTLS)");
                });
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

/// Where the server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Url<'a> {
    is_secure: bool,
    host: &'a str,
    port: u16,
}

impl<'a> Url<'a> {
    /// `coap://HOST[:PORT]` or `coaps://HOST[:PORT]`.
    fn parse(url: &'a str) -> anyhow::Result<Self> {
        let plain = url.strip_prefix(COAP);
        let secure = url.strip_prefix(COAPS);
        let is_secure = secure.is_some();
        let rest = plain
            .or(secure)
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
            None if is_secure => COAPS_PORT,
            None => COAP_PORT,
            Some(port) => port
                .parse()
                .ok()
                .filter(|port| *port != 0)
                .with_context(|| format!("--server {url}: `{port}` is no port"))?,
        };
        Ok(Self {
            is_secure,
            host,
            port,
        })
    }

    fn scheme(self) -> &'static str {
        if self.is_secure { COAPS } else { COAP }
    }

    /// The address; IPv4 is preferred where a name has both.
    async fn resolve(self) -> anyhow::Result<SocketAddr> {
        let host = self.host;
        let mut addresses: Vec<SocketAddr> = tokio::net::lookup_host((host, self.port))
            .await
            .with_context(|| format!("cannot resolve {host}"))?
            .collect();
        addresses.sort_by_key(SocketAddr::is_ipv6);
        addresses
            .first()
            .copied()
            .with_context(|| format!("{host} has no address"))
    }
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
    let mut summary = format!(
        "{} registered, {} Registers, {} Updates, {} notifications of which {} were acknowledged, {} operations, {} failures",
        counters.registered_now(),
        counters.registrations(),
        counters.updates(),
        counters.notifications(),
        counters.notifications_acknowledged(),
        counters.operations(),
        counters.failures(),
    );
    let (made, failed) = (counters.handshakes(), counters.handshakes_failed());
    if made + failed > 0 {
        summary.push_str(&format!(
            ", {made} DTLS handshakes and {failed} that failed"
        ));
    }
    summary
}

fn devices(count: usize) -> String {
    match count {
        1 => "1 device".to_owned(),
        count => format!("{count} devices"),
    }
}

const COAP: &str = "coap://";
const COAPS: &str = "coaps://";
/// RFC 7252 section 6.1
const COAP_PORT: u16 = 5683;
/// RFC 7252 section 6.2
const COAPS_PORT: u16 = 5684;
/// From so many devices on there is a progress bar.
const MANY: usize = 10;
/// Ten years.
const MAX_SECONDS: u64 = 315_360_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_is_a_coap_url_with_or_without_a_port() {
        for (url, is_secure, host, port) in [
            ("coap://localhost:5683", false, "localhost", 5683),
            ("coap://example.org", false, "example.org", 5683),
            ("coap://192.0.2.1:7000/", false, "192.0.2.1", 7000),
            ("coap://[2001:db8::1]:7000", false, "2001:db8::1", 7000),
            ("coap://[::1]", false, "::1", 5683),
            ("coaps://example.org", true, "example.org", 5684),
            ("coaps://[::1]", true, "::1", 5684),
            ("coaps://192.0.2.1:5683", true, "192.0.2.1", 5683),
        ] {
            let expected = Url {
                is_secure,
                host,
                port,
            };
            assert_eq!(Url::parse(url).expect(url), expected);
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
            "coaps://",
            "http://host",
        ] {
            let error = format!("{:#}", Url::parse(url).expect_err(url));
            assert!(error.contains(url) && !error.contains('\n'), "{error}");
        }
    }
}
