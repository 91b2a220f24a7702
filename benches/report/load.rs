//! A run of `flownexus load` against a server, with what both used meanwhile.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Command, Stdio};
use std::thread;

use serde::Deserialize;

use crate::goals::Cost;
use crate::support::{Result, Server, process_seconds};

/// Options of `load`: notifications of devices that are observed four times, as the templates have it.
pub(crate) const NOTIFY: [&str; 4] = ["--mode", "notify", "--observations", "4"];

/// What it came to.
pub(crate) struct Load {
    pub(crate) figures: Figures,
    pub(crate) cost: Cost,
}

/// What `load --json` prints.
#[derive(Deserialize)]
pub(crate) struct Figures {
    pub(crate) acknowledged: u64,
    pub(crate) errors: u64,
    pub(crate) retransmissions: u64,
    pub(crate) rate_per_s: f64,
    pub(crate) latency_ms: Latencies,
    #[serde(default)]
    pub(crate) ceiling_per_s: Option<f64>,
    #[serde(default)]
    pub(crate) last_error: Option<String>,
}

#[derive(Deserialize)]
pub(crate) struct Latencies {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

impl Figures {
    /// What spoils a figure, if anything does.
    pub(crate) fn blemish(&self) -> String {
        let mut text = Vec::new();
        if self.errors > 0 {
            let why = self.last_error.as_deref().unwrap_or("no answer");
            text.push(format!("{} errors, the last one: {why}", self.errors));
        }
        if self.retransmissions > 0 {
            text.push(format!("{} sent again", self.retransmissions));
        }
        text.join("; ")
    }
}

/// Puts load on a server. The clients stay registered.
pub(crate) fn load(server: &Server, arguments: &[&str]) -> Result<Load> {
    load_and_tell(server, arguments, || {})
}

/// The same, and tells when all clients are ready and begin.
pub(crate) fn load_and_tell(
    server: &Server,
    arguments: &[&str],
    begun: impl FnMut(),
) -> Result<Load> {
    let url = format!("coap://{}", server.coap);
    run(server, &url, arguments, begun)
}

/// The same over DTLS.
pub(crate) fn secure_load(server: &Server, arguments: &[&str]) -> Result<Load> {
    let url = format!("coaps://{}", server.coaps);
    run(server, &url, arguments, || {})
}

fn run(server: &Server, url: &str, arguments: &[&str], mut begun: impl FnMut()) -> Result<Load> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_flownexus"));
    command
        .args(["load", "--json", "--stay", "--server", url])
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut process = command.spawn()?;
    let id = process.id();
    let (mut output, told) = (process.stdout.take(), process.stderr.take());
    // It prints one line in the end.
    let printed = thread::spawn(move || {
        let mut text = String::new();
        output
            .as_mut()
            .map(|output| output.read_to_string(&mut text));
        text
    });
    let mut last = String::new();
    let mut before = None;
    for line in BufReader::new(told.ok_or("no standard error")?).lines() {
        let line = line?;
        if line.starts_with("Load for ") {
            before = Some((server.threads()?, process_seconds(id)?));
            begun();
        }
        last = line;
    }
    // It has ended and was not waited for: what it used is still there.
    let after = (server.threads()?, process_seconds(id)?);
    let status = process.wait()?;
    let printed = printed.join().map_err(|_| "a thread has panicked")?;
    let (true, Some(before)) = (status.success(), before) else {
        return Err(format!("`flownexus load {}`: {last}", arguments.join(" ")).into());
    };
    let figures: Figures = serde_json::from_str(&printed)?;
    let cost = cost(&before, &after, figures.acknowledged);
    Ok(Load { figures, cost })
}

type Used = (BTreeMap<String, f64>, f64);

fn cost(before: &Used, after: &Used, requests: u64) -> Cost {
    let each = |seconds: f64| seconds * 1e6 / requests.max(1) as f64;
    let mut cost = Cost {
        generator: each(after.1 - before.1),
        ..Cost::default()
    };
    for (name, seconds) in &after.0 {
        let used = each(seconds - before.0.get(name).copied().unwrap_or(0.0));
        cost.server += used;
        // The system keeps the first fifteen letters of a name.
        match name.as_str() {
            "flownexus" => cost.devices += used,
            // One is the devices', the others are the web's; a thread has no name of its own here.
            name if name.starts_with("actix-rt|") => cost.devices += used,
            "store-journal" => cost.journal += used,
            "store-writer" => cost.writer += used,
            name if name.starts_with("sqlx-sqlite") => cost.sqlite += used,
            name if name.starts_with("dtls-") => cost.handshakes += used,
            _ => {}
        }
    }
    cost
}
