//! `simulate`: simulated devices against a server.

use std::io::IsTerminal as _;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::signal::unix::{SignalKind, signal};

use crate::domain::Lwm2mVersion;
use crate::sim::{Counters, Fleet, FleetSettings, endpoint_name};

use super::device_security::SecurityArgs;
use super::server_url::Url;
use super::simulated_firmware::FirmwareArgs;

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
    firmware: FirmwareArgs,
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
    let security = args.security.for_server(&args.server, url, args.count)?;
    let trust = args.firmware.trust(args.security.ca())?;
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
        firmware: args.firmware.settings(url),
        behaviour: args.firmware.behaviour,
        failing_percent: args.firmware.failing,
        trust,
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
    match counters.installs() {
        0 => {}
        1 => summary.push_str(", 1 firmware image installed"),
        installs => summary.push_str(&format!(", {installs} firmware images installed")),
    }
    summary
}

fn devices(count: usize) -> String {
    match count {
        1 => "1 device".to_owned(),
        count => format!("{count} devices"),
    }
}

/// From so many devices on there is a progress bar.
const MANY: usize = 10;
/// Ten years.
const MAX_SECONDS: u64 = 315_360_000;
