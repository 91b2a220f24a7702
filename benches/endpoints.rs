//! What an idle registered endpoint costs, and how soon the server serves again after a crash.
//!
//! `cargo bench --bench endpoints [COUNT…]` starts a server of its own on free ports of this machine and
//! registers devices on plain CoAP: 10,000 and then 100,000 of them, or so many as are named. Each has a
//! name, an address and a port of its own, announces 20 objects, and answers the three observations that
//! templates ask for; it is a few lines around [`flownexus::coap::Message`], so that what is measured is
//! the server. Then nothing happens any more; the resident memory of the server comes from `/proc`, once
//! right then and once when every actor had time to rest (`endpoint.idle_s`). In the end the server is
//! killed and started again: until the Update of one of the devices is answered it does not serve.
//! Prints tables in Markdown.
//!
//! `cargo bench --bench endpoints -- stored [COUNT]` takes a fleet that is in the database already, 1,000,000
//! devices or so many: how soon the server serves them, what they need at rest, and Updates of all of them, one
//! after the other, twice.
//!
//! `ENDPOINTS_SETTLE_S` changes how long is waited; `ENDPOINTS_HOLD` keeps the server running until a line
//! is read, so that it can be looked at.

use std::thread;
use std::time::{Duration, Instant};

use support::fleet::{add_template, register, update};
use support::{Result, Server};

#[path = "endpoints/stored.rs"]
mod stored;
mod support;
#[path = "endpoints/updates.rs"]
mod updates;

fn main() -> Result<()> {
    let counts: Vec<u32> = std::env::args()
        .skip(1)
        .filter_map(|argument| argument.parse().ok())
        .collect();
    let counts = if counts.is_empty() {
        COUNTS.to_vec()
    } else {
        counts
    };
    let settle = match std::env::var("ENDPOINTS_SETTLE_S") {
        Ok(text) => Duration::from_secs(text.parse()?),
        Err(_) => SETTLE,
    };
    let folder = tempfile::tempdir()?;
    if std::env::args().any(|argument| argument == "stored") {
        let count = counts.last().copied().unwrap_or(1_000_000);
        return stored::measure(folder.path(), count, settle);
    }
    let begun = Instant::now();
    let server = Server::start(folder.path(), &[])?;
    let first = begun.elapsed().as_millis();
    drop(server);
    let begun = Instant::now();
    let server = Server::start(folder.path(), &[])?;
    let empty = begun.elapsed().as_millis();
    println!(
        "ready: {first} ms the first time, {empty} ms with nothing in it, {} KiB resident",
        server.resident_kib()?
    );
    println!();
    add_template(folder.path(), &server)?;

    println!(
        "| endpoints | registered a second | resident, KiB | slope, bytes an endpoint | at rest, KiB | slope, \
         bytes an endpoint |"
    );
    println!("|---|---|---|---|---|---|");
    let mut before: Option<(u32, [u64; 2])> = None;
    let mut devices = 0;
    let mut last = None;
    for count in counts {
        let begun = Instant::now();
        last = register(&server, devices..count)?.or(last);
        let rate = f64::from(count.saturating_sub(devices)) / begun.elapsed().as_secs_f64();
        devices = devices.max(count);
        thread::sleep(MOMENT);
        let busy = server.resident_kib()?;
        thread::sleep(settle);
        let resident = [busy, server.resident_kib()?];
        let slopes = before.map(|(few, some)| {
            let more = f64::from(count.saturating_sub(few).max(1));
            let slope = |at: usize| {
                let [now, then] = [&resident, &some].map(|both| both.get(at).copied());
                let grown = now.unwrap_or(0).saturating_sub(then.unwrap_or(0));
                format!("{:.0}", grown as f64 * 1024.0 / more)
            };
            [slope(0), slope(1)]
        });
        let [moving, resting] = slopes.unwrap_or_default();
        let [busy, idle] = resident;
        println!("| {count} | {rate:.0} | {busy} | {moving} | {idle} | {resting} |");
        before = Some((count, resident));
    }
    if std::env::var("ENDPOINTS_HOLD").is_ok() {
        std::io::stdin().read_line(&mut String::new())?;
    }

    // Dropped, it is killed.
    drop(server);
    let Some((number, location)) = last else {
        return Ok(());
    };
    println!();
    println!(
        "| endpoints | listening after, ms | serving again after, ms | resident, KiB | after {} s, KiB |",
        settle.as_secs()
    );
    println!("|---|---|---|---|---|");
    let begun = Instant::now();
    let server = Server::start(folder.path(), &[])?;
    let listening = begun.elapsed().as_millis();
    update(&server, number, &location)?;
    let serving = begun.elapsed().as_millis();
    let at_once = server.resident_kib()?;
    thread::sleep(settle);
    let later = server.resident_kib()?;
    println!("| {devices} | {listening} | {serving} | {at_once} | {later} |");
    Ok(())
}

const COUNTS: [u32; 2] = [10_000, 100_000];
/// What is on its way to the store.
const MOMENT: Duration = Duration::from_secs(5);
/// Timers of exchanges, copies of requests (`EXCHANGE_LIFETIME` is 247 s), and time to rest.
const SETTLE: Duration = Duration::from_secs(330);
