//! Devices that are registered and idle: what each costs, how soon they are served again after a crash, and how
//! long lists of them take. And an empty server.

use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::goals::{Goal, Row, grouped};
use crate::machine::quantile;
use crate::support::fleet::{self, Location};
use crate::support::{Result, Server, token};
use crate::{Plan, Report, history};

/// An empty server: how soon it is ready, and what it takes then.
pub(crate) fn start(_: &Plan, report: &mut Report) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let begin = || -> Result<(Server, f64)> {
        let begun = Instant::now();
        let server = Server::start(folder.path(), &[])?;
        server.wait_until_ready()?;
        Ok((server, begun.elapsed().as_secs_f64() * 1e3))
    };
    let (server, first) = begin()?;
    drop(server);
    let mut times = Vec::new();
    let mut resident = 0.0;
    for _ in 0..STARTS {
        let (server, time) = begin()?;
        std::thread::sleep(Duration::from_secs(1));
        resident = server.resident_kib()? as f64 * 1024.0 / 1e6;
        times.push(time);
    }
    let half = quantile(&mut times, 0.5);
    report.rows.push(
        Row::new(Goal::StartTime, format!("{half:.0} ms"), half <= 200.0).note(format!(
            "the middle of {STARTS} starts; the first one, which makes database and certificates, {first:.0} ms"
        )),
    );
    let figure = format!("{resident:.1} MB");
    let row = Row::new(Goal::StartMemory, figure, resident <= 30.0);
    report
        .rows
        .push(row.note("a second after it was ready".to_owned()));
    Ok(())
}

/// Servers with idle devices; while they come to rest, the history is measured.
pub(crate) fn measure(plan: &Plan, report: &mut Report) -> Result<()> {
    let mut fleets = Vec::new();
    for count in plan.counts() {
        fleets.push(Fleet::start(count)?);
    }
    let begun = Instant::now();
    history::measure(plan, report)?;
    let settle = Duration::from_secs(if plan.quick { 30 } else { SETTLE_S });
    std::thread::sleep(settle.saturating_sub(begun.elapsed()));
    let mut idle = Vec::new();
    for fleet in &fleets {
        idle.push(fleet.server.resident_kib()?);
    }
    memory(report, &fleets, &idle);
    let mut table = Vec::new();
    for (fleet, idle) in fleets.into_iter().zip(idle) {
        let (count, rate) = (fleet.count, fleet.rate);
        let back = fleet.restart()?;
        let devices = f64::from(count);
        let serving = back.serving_ms;
        report.curves.restart_s.push((devices, serving / 1e3));
        table.push(format!(
            "| {} | {} | {} | {:.0} | {:.0} | {} |",
            grouped(devices),
            grouped(rate),
            grouped(idle as f64),
            back.listening_ms,
            serving,
            grouped(back.resident_kib as f64)
        ));
        if count == 100_000 || (plan.quick && count == QUICK.2) {
            let note = format!(
                "{} devices; it listens after {:.0} ms, and an Update of one of them is answered",
                grouped(devices),
                back.listening_ms
            );
            let row = Row::new(
                Goal::Restart,
                format!("{serving:.0} ms"),
                serving <= 1_000.0,
            );
            report.rows.push(row.note(note));
            lists(report, &back)?;
        }
    }
    let text = format!(
        "Each device has an address of its own, 20 objects and three observations. Resident memory is read {} s \
        after the last one has registered (`endpoint.idle_s` is {IDLE_S} s here, so that nobody has to wait for it). \
        Then the server is killed with `kill -9` and started again; it serves when the Update of one device is \
        answered.\n\n\
        | devices | registered a second, each until all is observed | resident, idle, KiB | listening after, ms | \
        serving again after, ms | resident then, KiB |\n|---|---|---|---|---|---|\n{}\n\n\
        ![Memory of an idle device by the number of devices](memory.svg)\n\n\
        ![Time until a server serves again by the number of devices](restart.svg)\n",
        settle.as_secs(),
        table.join("\n")
    );
    report
        .chapters
        .push(("Idle devices, and a start after a crash", text));
    Ok(())
}

/// The slope of memory between fleets, and the memory of a million.
fn memory(report: &mut Report, fleets: &[Fleet], idle: &[u64]) {
    let points: Vec<(f64, f64)> = fleets
        .iter()
        .zip(idle)
        .map(|(fleet, kib)| (f64::from(fleet.count), *kib as f64 * 1024.0))
        .collect();
    for (devices, bytes) in &points {
        report
            .curves
            .endpoint_bytes
            .push((*devices, bytes / devices));
        if *devices == 1e6 {
            let gb = bytes / 1e9;
            let row = Row::new(Goal::Million, format!("{gb:.2} GB"), gb <= 2.5);
            report.rows.push(row.note("idle".to_owned()));
        }
    }
    // From ten thousand to a hundred thousand.
    if let (Some(few), Some(many)) = (points.get(1), points.get(2)) {
        let slope = (many.1 - few.1) / (many.0 - few.0);
        report.rows.push(
            Row::new(
                Goal::Memory,
                format!("{} bytes", grouped(slope)),
                slope <= 2_048.0,
            )
            .note(format!(
                "from {} to {} devices; a bare actix actor costs 974 bytes",
                grouped(few.0),
                grouped(many.0)
            )),
        );
    }
}

/// Pages of the list of devices, as the API gives them to whoever searches.
fn lists(report: &mut Report, back: &Back) -> Result<()> {
    let token = token(back.folder.path(), "lists")?;
    let mut slowest = 0.0_f64;
    let mut table = Vec::new();
    let count = back.count;
    actix_rt::System::new().block_on(async {
        let client = reqwest::Client::new();
        for (what, query) in [
            ("the first 100", String::new()),
            (
                "the first 100 that are registered",
                "registered=true".to_owned(),
            ),
            ("the beginning of all names", "search=urn:imei".to_owned()),
            (
                "the middle of ten names",
                format!("search={:05}", count / 20),
            ),
            ("the end of a name", format!("search={:06}", count - 1)),
            ("what no name has", "search=nothing".to_owned()),
        ] {
            let url = format!("{}/api/v1/endpoints?{query}", back.server.dashboard);
            let (mut times, mut found) = (Vec::new(), 0);
            for _ in 0..LISTS {
                let begun = Instant::now();
                let request = client.get(&url).bearer_auth(&token);
                let page: serde_json::Value =
                    request.send().await?.error_for_status()?.json().await?;
                times.push(begun.elapsed().as_secs_f64() * 1e3);
                found = page
                    .get("items")
                    .and_then(|items| items.as_array())
                    .map_or(0, Vec::len);
            }
            let (half, most) = (quantile(&mut times, 0.5), quantile(&mut times, 0.99));
            slowest = slowest.max(half);
            table.push(format!("| {what} | {found} | {half:.1} | {most:.1} |"));
        }
        Ok::<_, Box<dyn std::error::Error>>(())
    })?;
    let row = Row::new(Goal::List, format!("{slowest:.1} ms"), slowest <= 50.0);
    report.rows.push(row.note(format!(
        "{} devices; JSON of up to 100 of them",
        grouped(f64::from(count))
    )));
    let text = format!(
        "`GET /api/v1/endpoints` with {} devices, {LISTS} times each, one after the other.\n\n\
        | searched for | on the page | p50, ms | p99, ms |\n|---|---|---|---|\n{}\n",
        grouped(f64::from(count)),
        table.join("\n")
    );
    report.chapters.push(("Lists of devices", text));
    Ok(())
}

/// A server with idle devices.
struct Fleet {
    count: u32,
    server: Server,
    folder: TempDir,
    /// One of them.
    last: (u32, Location),
    /// Registrations a second, each until all of it is observed.
    rate: f64,
}

/// A server that was killed and started again.
struct Back {
    count: u32,
    server: Server,
    folder: TempDir,
    listening_ms: f64,
    serving_ms: f64,
    resident_kib: u64,
}

impl Fleet {
    fn start(count: u32) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let idle = IDLE_S.to_string();
        let server = Server::start(folder.path(), &[("FLOWNEXUS__ENDPOINT__IDLE_S", &idle)])?;
        fleet::add_template(folder.path(), &server)?;
        let begun = Instant::now();
        let last = fleet::register(&server, 0..count)?.ok_or("nobody has registered")?;
        Ok(Self {
            count,
            server,
            folder,
            last,
            rate: f64::from(count) / begun.elapsed().as_secs_f64(),
        })
    }

    fn restart(self) -> Result<Back> {
        let Self {
            count,
            server,
            folder,
            last,
            ..
        } = self;
        // Dropped, it is killed.
        drop(server);
        let begun = Instant::now();
        let server = Server::start(folder.path(), &[])?;
        let listening_ms = begun.elapsed().as_secs_f64() * 1e3;
        fleet::update(&server, last.0, &last.1)?;
        let serving_ms = begun.elapsed().as_secs_f64() * 1e3;
        let resident_kib = server.resident_kib()?;
        Ok(Back {
            count,
            server,
            folder,
            listening_ms,
            serving_ms,
            resident_kib,
        })
    }
}

impl Plan {
    /// Fleets to be measured: few, some, many, and very many.
    pub(crate) fn counts(&self) -> Vec<u32> {
        if self.quick {
            return vec![QUICK.0, QUICK.1, QUICK.2];
        }
        let mut counts = vec![1_000, 10_000, 100_000];
        if self.full {
            counts.push(1_000_000);
        }
        counts
    }
}

const STARTS: usize = 5;
const QUICK: (u32, u32, u32) = (200, 1_000, 5_000);
const IDLE_S: u32 = 20;
/// Copies of requests are kept for 247 s (`EXCHANGE_LIFETIME`).
const SETTLE_S: u64 = 290;
const LISTS: usize = 30;
