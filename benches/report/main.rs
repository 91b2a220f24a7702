//! Every goal of speed and size, measured in one run against the program as it is released, with the limits of
//! the machine beside them.
//!
//! `cargo bench --bench report` starts servers of its own on free ports of this machine, with their data in a
//! temporary folder (`TMPDIR`), and writes `docs/performance/report.md` with its plots. It takes about a quarter
//! of an hour, in which nothing else should run: the generator is on the same machine.
//!
//! - `--only NAME`, more than once: only these parts; their names are told by `--help`
//! - `--quick`: short runs and small fleets, for working on the report itself
//! - `--full`: a million devices too, and half an hour more
//! - `--millions N`: values of the history, 10 when nobody says; 100 need 20 GB
//! - `--out FOLDER`: where the report is written

mod dtls;
mod fleets;
mod goals;
mod history;
mod limits;
mod live;
mod load;
mod machine;
mod operate;
mod page;
mod plot;
mod requests;

#[path = "../support/mod.rs"]
mod support;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use goals::{Goal, Row};
use support::Result;

fn main() -> Result<()> {
    let Some(plan) = Plan::read(std::env::args().skip(1))? else {
        println!("{}", usage());
        return Ok(());
    };
    let begun = Instant::now();
    let mut report = Report {
        machine: machine::Machine::look()?,
        ..Report::default()
    };
    for part in PARTS.iter().filter(|part| plan.wants(part.name)) {
        eprintln!("[{:>4} s] {}", begun.elapsed().as_secs(), part.name);
        if let Err(error) = (part.measure)(&plan, &mut report) {
            eprintln!("         {}: {error}", part.name);
            report.missing.push((part.name, error.to_string()));
        }
        // Of a run that is broken off, what there is.
        report.took = begun.elapsed();
        page::write(&plan, &report)?;
    }
    let file = plan.out.join("report.md");
    eprintln!(
        "[{:>4} s] written: {}",
        begun.elapsed().as_secs(),
        file.display()
    );
    Ok(())
}

/// What is to be done.
pub(crate) struct Plan {
    only: Vec<String>,
    pub(crate) quick: bool,
    pub(crate) full: bool,
    /// Values of the history, in millions.
    pub(crate) millions: i64,
    /// Where the report goes.
    pub(crate) out: PathBuf,
}

impl Plan {
    /// Nothing when only help was asked for.
    fn read(mut arguments: impl Iterator<Item = String>) -> Result<Option<Self>> {
        let mut plan = Self {
            only: Vec::new(),
            quick: false,
            full: false,
            millions: 10,
            out: PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/performance")),
        };
        let mut millions = None;
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| format!("{argument} what?"));
            match argument.as_str() {
                // That is how cargo starts benchmarks.
                "--bench" => {}
                "--full" => plan.full = true,
                "--help" | "-h" => return Ok(None),
                "--millions" => millions = Some(value()?.parse()?),
                "--only" => {
                    let name = value()?;
                    if !PARTS.iter().any(|part| part.name == name) {
                        return Err(format!("there is no part {name}\n{}", usage()).into());
                    }
                    plan.only.push(name);
                }
                "--out" => plan.out = value()?.into(),
                "--quick" => plan.quick = true,
                _ => return Err(format!("what is {argument}?\n{}", usage()).into()),
            }
        }
        plan.millions = millions.unwrap_or(if plan.quick { 1 } else { plan.millions });
        Ok(Some(plan))
    }

    pub(crate) fn wants(&self, part: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|name| name == part)
    }

    /// How long requests are made.
    pub(crate) fn duration(&self) -> Duration {
        Duration::from_secs(if self.quick { 2 } else { 10 })
    }

    /// Clients of the load.
    pub(crate) fn clients(&self) -> u32 {
        if self.quick { 1_000 } else { 10_000 }
    }
}

/// What came of it.
#[derive(Default)]
pub(crate) struct Report {
    pub(crate) machine: machine::Machine,
    pub(crate) limits: limits::Limits,
    pub(crate) rows: Vec<Row>,
    /// Chapters with more than a row: a title, and Markdown.
    pub(crate) chapters: Vec<(&'static str, String)>,
    pub(crate) curves: plot::Curves,
    /// Parts that could not be measured, and why.
    pub(crate) missing: Vec<(&'static str, String)>,
    pub(crate) took: Duration,
}

impl Report {
    pub(crate) fn row(&self, goal: Goal) -> Option<&Row> {
        self.rows.iter().find(|row| row.goal == goal)
    }
}

/// One part of the run.
struct Part {
    name: &'static str,
    what: &'static str,
    measure: fn(&Plan, &mut Report) -> Result<()>,
}

fn usage() -> String {
    let mut text = "cargo bench --bench report -- [--only NAME]… [--quick] [--full] [--millions N] [--out FOLDER]\n\
        parts:\n"
        .to_owned();
    for part in PARTS {
        text.push_str(&format!("  {:<9} {}\n", part.name, part.what));
    }
    text
}

/// In the order in which they are measured. The memory of what is idle takes minutes to settle, in which the
/// history is measured.
const PARTS: &[Part] = &[
    Part {
        name: "limits",
        what: "what the machine does without this program: UDP, SQLite, OpenSSL",
        measure: limits::measure,
    },
    Part {
        name: "start",
        what: "an empty server",
        measure: fleets::start,
    },
    Part {
        name: "requests",
        what: "notifications, Updates, registrations, Sends, as many as are answered",
        measure: requests::measure,
    },
    Part {
        name: "latency",
        what: "notifications at a rate",
        measure: requests::latency,
    },
    Part {
        name: "secure",
        what: "notifications over DTLS",
        measure: requests::secure,
    },
    Part {
        name: "dtls",
        what: "handshakes",
        measure: dtls::measure,
    },
    Part {
        name: "operate",
        what: "an operation from REST to the device and back",
        measure: operate::measure,
    },
    Part {
        name: "live",
        what: "live values to many sockets",
        measure: live::measure,
    },
    Part {
        name: "curves",
        what: "the cost of requests with few and many devices",
        measure: requests::curves,
    },
    Part {
        name: "fleets",
        what: "memory of idle devices, restarts, lists; and the history meanwhile",
        measure: fleets::measure,
    },
];
