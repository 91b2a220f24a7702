//! What it costs to look on: updates and notifications a second, and processor time of the server for each, with the
//! protocol lens and the meter on and off, by turns in one run.
//!
//! `cargo bench --bench lens` starts a server of its own on free ports of this machine for each turn and puts the load
//! of `flownexus load` on it: as much as it takes, and then 5,000 a second. Prints tables in Markdown. `LENS_ROUNDS`
//! changes the number of turns.

use std::time::Duration;

use serde_json::Value as Json;
use support::{Result, Server, flownexus, output};

mod support;

fn main() -> Result<()> {
    let rounds = match std::env::var("LENS_ROUNDS") {
        Ok(text) => text.parse()?,
        Err(_) => ROUNDS,
    };
    println!(
        "| load | lens and meter | acknowledged a second | processor time each, µs | p99, ms |"
    );
    println!("|---|---|---|---|---|");
    for mode in ["update", "notify"] {
        for rate in [None, Some(5_000)] {
            let mut all = [Vec::new(), Vec::new()];
            for round in 0..rounds {
                // Whoever is first has a cooler machine.
                let order = if round % 2 == 0 { [0, 1] } else { [1, 0] };
                for which in order {
                    if let (Some(runs), Some((_, settings))) = (all.get_mut(which), WAYS.get(which))
                    {
                        runs.push(measure(mode, rate, settings)?);
                    }
                }
            }
            let load = rate.map_or_else(|| "all it takes".to_owned(), |rate| format!("{rate}/s"));
            let mut medians = Vec::new();
            for ((name, _), runs) in WAYS.iter().zip(&all) {
                let [per_s, micros, p99] = [0, 1, 2].map(|part| median(runs, part));
                println!("| {mode}, {load} | {name} | {per_s:.0} | {micros:.1} | {p99:.1} |");
                medians.push((per_s, micros));
            }
            if let [(on, cost_on), (off, cost_off)] = medians[..] {
                let (rate, cost) = (on / off, cost_on / cost_off);
                println!("| | on / off | {rate:.3} | {cost:.3} | |");
            }
        }
    }
    Ok(())
}

/// Acknowledged requests a second, processor time of each in microseconds, and the 99th percentile of latencies.
fn measure(mode: &str, rate: Option<u32>, settings: &[(&str, &str)]) -> Result<[f64; 3]> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), settings)?;
    server.wait_until_ready()?;
    let mut command = flownexus(folder.path());
    let address = format!("coap://{}", server.coap);
    command
        .args(["load", "--server", &address, "--mode", mode, "--json"])
        .args(["--clients", "1000", "--ceiling", "0", "--stay"])
        .args(["--duration", &SECONDS.as_secs().to_string()]);
    if mode == "notify" {
        // What the templates observe that are there from the start.
        command.args(["--observations", "4"]);
    }
    if let Some(rate) = rate {
        command.args(["--rate", &rate.to_string()]);
    }
    let before = server.seconds()?;
    let report: Json = serde_json::from_str(&output(&mut command)?)?;
    let used = server.seconds()? - before;
    let number = |field: &Json| field.as_f64().ok_or("no number in the report");
    let acknowledged = number(&report["acknowledged"])?;
    Ok([
        acknowledged / number(&report["duration_s"])?,
        used * 1e6 / acknowledged,
        number(&report["latency_ms"]["p99"])?,
    ])
}

fn median(runs: &[[f64; 3]], part: usize) -> f64 {
    let mut all: Vec<f64> = runs
        .iter()
        .filter_map(|run| run.get(part).copied())
        .collect();
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or_default()
}

const ROUNDS: u32 = 5;
const SECONDS: Duration = Duration::from_secs(10);
const WAYS: [(&str, &[(&str, &str)]); 2] = [
    ("on", &[]),
    (
        "off",
        &[
            ("FLOWNEXUS__LENS__ENABLED", "false"),
            ("FLOWNEXUS__LENS__METER", "false"),
        ],
    ),
];
