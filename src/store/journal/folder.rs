//! Writes to the tables what is acknowledged.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;

use super::pending::Work;
use super::{Entry, Pending};
use crate::store::failure::Failure;
use crate::store::tables::{IDLE, Numbers, Tables};
use crate::store::{Commit, Metrics, StoreError};

/// Commits in one transaction, about.
const COMMITS: usize = 100_000;

/// How long the database is left alone after it could not take something.
const PAUSE: Duration = Duration::from_secs(2);

/// What the database refuses is put aside in this file, as far as there is room in it.
const REFUSED: &str = "refused.jsonl";

/// How large that may grow, in bytes.
const REFUSED_BYTES: u64 = 16 << 20;

/// Behind the journal: its own thread.
pub(in crate::store) struct Folder {
    tables: Tables,
    pending: Arc<Pending>,
    metrics: Metrics,
    /// What is younger is left alone, unless somebody waits for it.
    age: Duration,
    aside: Aside,
}

impl Folder {
    pub(in crate::store) fn new(
        tables: Tables,
        pending: Arc<Pending>,
        metrics: Metrics,
        age: Duration,
        aside: Aside,
    ) -> Self {
        Self {
            tables,
            pending,
            metrics,
            age,
            aside,
        }
    }

    /// Works until nothing more comes and everything is in the tables, and says whether it is: when they
    /// cannot be written at the end, the next start tries again.
    pub(in crate::store) async fn run(&mut self) -> bool {
        let pending = Arc::clone(&self.pending);
        let _ended = Ended(&pending);
        loop {
            match self.pending.next(self.age, COMMITS, IDLE).await {
                Work::Fold(entries, bytes) => {
                    if !self.fold(&entries, bytes).await {
                        return false;
                    }
                }
                Work::Call(call) => {
                    self.tables.call(call).await;
                    self.pending.called();
                }
                Work::Idle => {
                    self.tables.look_after(true).await;
                    continue;
                }
                Work::End => return true,
            }
            self.tables.look_after(false).await;
        }
    }

    /// The tables, after the end.
    pub(in crate::store) fn into_tables(self) -> Tables {
        self.tables
    }

    /// Tries until it is done: it is acknowledged. False when it was given up because the store closes.
    async fn fold(&mut self, entries: &[Entry], bytes: usize) -> bool {
        let begun = Instant::now();
        loop {
            let Err(failure) = apply(&mut self.tables, entries, &self.aside).await else {
                break;
            };
            self.metrics.failures.inc();
            let error = StoreError::from(failure);
            tracing::error!(%error, "What is acknowledged cannot be written to the tables; it is tried again: {error}");
            self.pending.failed(error);
            if self.pending.is_closed() {
                return false;
            }
            tokio::time::sleep(PAUSE).await;
        }
        self.metrics
            .fold_seconds
            .observe(begun.elapsed().as_secs_f64());
        self.pending.done(number(entries), bytes);
        true
    }
}

/// Nobody waits for a folder that is gone, however it went.
struct Ended<'a>(&'a Pending);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// Writes entries to the tables, in one transaction. What the database refuses is put aside.
pub(super) async fn apply(
    tables: &mut Tables,
    entries: &[Entry],
    aside: &Aside,
) -> Result<(), Failure> {
    let marks: Vec<(String, i64)> = entries
        .iter()
        .flat_map(|entry| entry.marks.clone())
        .collect();
    let numbers = Numbers {
        marks: &marks,
        folded: Some(number(entries)),
    };
    let mut commits: Vec<&Commit> = entries.iter().flat_map(|entry| &entry.commits).collect();
    loop {
        match tables.write(&commits, numbers).await {
            Err(failure) if failure.is_refusal() && !commits.is_empty() => {
                let refused = first_refused(tables, &commits).await?;
                aside.put(commits.remove(refused), &failure.into());
            }
            done => return done,
        }
    }
}

/// Which of these commits is the first that the database refuses: that one with which a transaction of those
/// in front of it fails. Nothing is written.
async fn first_refused(tables: &mut Tables, commits: &[&Commit]) -> Result<usize, Failure> {
    let (mut good, mut bad) = (0, commits.len());
    while bad - good > 1 {
        let middle = good + (bad - good) / 2;
        match tables
            .rehearse(commits.get(..middle).unwrap_or_default())
            .await
        {
            Ok(()) => good = middle,
            Err(failure) if failure.is_refusal() => bad = middle,
            Err(failure) => return Err(failure),
        }
    }
    Ok(good)
}

/// Where goes what was acknowledged and the tables cannot hold: a mistake of ours, for somebody to look at.
#[derive(Clone, Debug)]
pub(in crate::store) struct Aside {
    file: PathBuf,
    metrics: Metrics,
}

impl Aside {
    /// In the folder of the journal.
    pub(in crate::store) fn new(folder: &Path, metrics: Metrics) -> Self {
        Self {
            file: folder.join(REFUSED),
            metrics,
        }
    }

    fn put(&self, commit: &Commit, error: &StoreError) {
        self.metrics.failures.inc();
        let file = self.file.display();
        tracing::error!(%error, "The database refused what was acknowledged; it is kept in {file}: {error}");
        let line = json!({"error": error.to_string(), "changes": commit.changes}).to_string();
        let written = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&self.file)
            .and_then(|mut file| {
                if file.metadata()?.len() + line.len() as u64 > REFUSED_BYTES {
                    return Err(io::Error::other("it is full"));
                }
                writeln!(file, "{line}")?;
                file.sync_data()
            });
        if let Err(error) = written {
            tracing::error!(%error, "Could not write to {file}: {error}");
        }
    }
}

fn number(entries: &[Entry]) -> u64 {
    entries.last().map_or(0, |entry| entry.number)
}
