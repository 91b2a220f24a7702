//! The machine, the tree and the day.

use std::fs::{self, File};
use std::io::Write as _;
use std::process::Command;
use std::time::Instant;

use flownexus::domain::Timestamp;

use crate::support::{Result, output};

/// What the figures are of.
#[derive(Default)]
pub(crate) struct Machine {
    pub(crate) processor: String,
    pub(crate) cores: usize,
    pub(crate) memory_gb: f64,
    pub(crate) kernel: String,
    pub(crate) file_system: String,
    /// 4 KiB appended and `fdatasync`, in ms: half of them, and 99 of 100.
    pub(crate) sync_ms: (f64, f64),
    pub(crate) commit: String,
    pub(crate) date: String,
    /// Of the last minute, before anything was measured.
    pub(crate) load: String,
}

impl Machine {
    pub(crate) fn look() -> Result<Self> {
        let read = |file: &str| fs::read_to_string(file).unwrap_or_default();
        let value = |text: &str, key: &str| {
            let line = text.lines().find(|line| line.starts_with(key));
            let value = line.and_then(|line| line.split_once(':'));
            value
                .map_or("unknown", |(_, value)| value.trim())
                .to_owned()
        };
        let memory = value(&read("/proc/meminfo"), "MemTotal");
        let memory = memory.split_whitespace().next().unwrap_or_default();
        let folder = std::env::temp_dir();
        Ok(Self {
            processor: value(&read("/proc/cpuinfo"), "model name"),
            cores: std::thread::available_parallelism()?.get(),
            memory_gb: memory.parse().unwrap_or(0.0) / 1_048_576.0,
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            file_system: told(Command::new("stat").args(["-f", "-c", "%T"]).arg(&folder)),
            sync_ms: sync()?,
            commit: commit(),
            date: Timestamp::system().to_string(),
            load: read("/proc/loadavg")
                .split(' ')
                .next()
                .unwrap_or("unknown")
                .to_owned(),
        })
    }
}

fn commit() -> String {
    let of = |arguments: &[&str]| {
        let mut git = Command::new("git");
        git.current_dir(env!("CARGO_MANIFEST_DIR")).args(arguments);
        told(&mut git)
    };
    let changed = match of(&["status", "--porcelain", "--untracked-files=no"]).is_empty() {
        true => "",
        false => ", with changes",
    };
    format!("{}{changed}", of(&["rev-parse", "--short=12", "HEAD"]))
}

fn told(command: &mut Command) -> String {
    output(command).map_or_else(|_| "unknown".to_owned(), |text| text.trim().to_owned())
}

fn sync() -> Result<(f64, f64)> {
    let folder = tempfile::tempdir()?;
    let mut file = File::create(folder.path().join("sync"))?;
    let mut times = Vec::new();
    for _ in 0..SYNCS {
        let begun = Instant::now();
        file.write_all(&[7; 4096])?;
        file.sync_data()?;
        times.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    Ok((quantile(&mut times, 0.5), quantile(&mut times, 0.99)))
}

/// What so large a share of them is at most; nothing when there are none.
pub(crate) fn quantile(values: &mut [f64], share: f64) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let index = (values.len() as f64 * share) as usize;
    values
        .get(index.min(values.len().saturating_sub(1)))
        .copied()
        .unwrap_or(0.0)
}

const SYNCS: usize = 300;
