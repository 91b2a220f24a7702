//! `load`: as many requests as a server answers, or at a rate, and how long each took.

use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};

use crate::sim::endpoint_name;
use crate::sim::load::{self, LoadSettings, Mode, Report};

use super::device_security::SecurityArgs;
use super::server_url::Url;

/// Arguments of `load`.
#[derive(Args, Clone, Debug)]
pub(super) struct LoadArgs {
    /// The server: `coap://HOST:PORT`, or `coaps://HOST:PORT` with `--psk`, `--cert` or `--rpk`; the
    /// port may be left out when it is 5683 or 5684
    #[arg(long, value_name = "URL", default_value = "coap://localhost:5683")]
    server: String,
    /// How many clients
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    clients: u32,
    /// What each does over and over, confirmed and one request at a time
    #[arg(long, value_enum, default_value_t = ModeArg::Update)]
    mode: ModeArg,
    /// Seconds
    #[arg(long, value_name = "S", default_value_t = 10.0, value_parser = seconds)]
    duration: f64,
    /// Requests a second, at even times whatever the server does; a latency then counts from when its request
    /// was due. Without it as many as the server answers
    #[arg(long, value_name = "PER_SECOND", value_parser = rate)]
    rate: Option<f64>,
    /// The most requests that are under way at once, of all clients
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..))]
    window: u32,
    /// How many sockets the clients share, each for at most 16 requests at once. Over DTLS, and with
    /// `--mode send`, each client has its own
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..))]
    sockets: u32,
    /// Records of one Send, with a second between them
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=MAX_RECORDS))]
    records: u32,
    /// The observations that a client waits for after it has registered; to notify, one at least
    #[arg(long, value_name = "N", default_value_t = 0)]
    observations: u32,
    /// Names are NAME and a number, from 1 on
    #[arg(long, value_name = "NAME", default_value = "load-")]
    prefix: String,
    /// Lifetime of the registrations in seconds
    #[arg(long, value_name = "S", default_value_t = 86_400, value_parser = clap::value_parser!(u64).range(1..=MAX_SECONDS))]
    lifetime: u64,
    /// Leave the clients registered in the end
    #[arg(long)]
    stay: bool,
    /// Seconds for which the generator is first measured by itself, against an echo of the same datagrams; 0:
    /// it is not
    #[arg(long, value_name = "S", default_value_t = 1.0, value_parser = seconds_or_none)]
    ceiling: f64,
    /// Print the figures as one JSON object; how far it is goes to standard error
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    security: SecurityArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ModeArg {
    /// Register, with twenty objects
    Register,
    /// Update the registration
    Update,
    /// Notify what the server observes
    Notify,
    /// LwM2M Send
    Send,
}

/// Puts load on a server.
///
/// # Errors
/// The server's address is none or cannot be resolved, the prefix cannot be part of a name, the credentials
/// cannot be used, or the clients cannot register or are not observed.
pub(super) fn run(args: &LoadArgs) -> anyhow::Result<()> {
    let url = Url::parse(&args.server)?;
    let security = args
        .security
        .for_server(&args.server, url, args.clients as usize)?;
    endpoint_name(Some(&args.prefix), args.clients.into()).context("--prefix")?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start")?;
    let server = runtime.block_on(url.resolve())?;
    let settings = LoadSettings {
        server,
        clients: args.clients,
        mode: args.mode.into(),
        duration: Duration::from_secs_f64(args.duration),
        rate: args.rate,
        window: args.window,
        sockets: args.sockets,
        records: args.records,
        observations: args.observations,
        prefix: args.prefix.clone(),
        lifetime: Duration::from_secs(args.lifetime),
        stay: args.stay,
        ceiling: Duration::from_secs_f64(args.ceiling),
        security,
    };
    let report = load::run(&settings, &mut |words| {
        if args.json {
            eprintln!("{words}");
        } else {
            println!("{words}");
        }
    })?;
    if args.json {
        super::print(&format!("{}\n", serde_json::to_string(&report)?))?;
    } else {
        super::print(&in_words(&report))?;
    }
    if report.acknowledged == 0 {
        bail!(
            "the server acknowledged nothing: {}",
            report.last_error.as_deref().unwrap_or("no answer")
        );
    }
    Ok(())
}

fn in_words(report: &Report) -> String {
    let latency = &report.latency_ms;
    let mut text = format!(
        "{:.0} a second: {} acknowledged of {} clients in {:.1} s, {} errors, {} sent again\n\
        latency in ms: half {:.2}, 95 % {:.2}, 99 % {:.2}, longest {:.2}\n",
        report.rate_per_s,
        report.acknowledged,
        report.clients,
        report.duration_s,
        report.errors,
        report.retransmissions,
        latency.p50,
        latency.p95,
        latency.p99,
        latency.max,
    );
    if let Some(error) = &report.last_error {
        text.push_str(&format!("the last error: {error}\n"));
    }
    text
}

impl From<ModeArg> for Mode {
    fn from(mode: ModeArg) -> Self {
        match mode {
            ModeArg::Register => Self::Register,
            ModeArg::Update => Self::Update,
            ModeArg::Notify => Self::Notify,
            ModeArg::Send => Self::Send,
        }
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    number(text, MAX_DURATION)
        .filter(|number| *number > 0.0)
        .ok_or_else(|| format!("must be seconds, more than 0 and at most {MAX_DURATION}"))
}

fn seconds_or_none(text: &str) -> Result<f64, String> {
    number(text, MAX_DURATION).ok_or_else(|| format!("must be seconds, from 0 to {MAX_DURATION}"))
}

fn rate(text: &str) -> Result<f64, String> {
    number(text, MAX_RATE)
        .filter(|number| *number > 0.0)
        .ok_or_else(|| format!("must be a number, more than 0 and at most {MAX_RATE}"))
}

fn number(text: &str, most: f64) -> Option<f64> {
    let number: f64 = text.parse().ok()?;
    (0.0..=most).contains(&number).then_some(number)
}

/// A day.
const MAX_DURATION: f64 = 86_400.0;
const MAX_RATE: f64 = 10_000_000.0;
/// More would not fit into a datagram.
const MAX_RECORDS: i64 = 100;
/// Ten years.
const MAX_SECONDS: u64 = 315_360_000;
