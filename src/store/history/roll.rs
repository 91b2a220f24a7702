//! Adds values up beside the hot path: reads what arrived behind the mark, sorts it by device, path and
//! day, and hands it to the writer in pieces of a few milliseconds.
//!
//! The more values of a path are added at once, the fewer rows are changed, so it waits a while for
//! several to come together. Each piece moves the mark, or the place within the window, in the
//! transaction that adds its values: whenever the process is killed, each value is added exactly once. A
//! window that was begun is read again after a restart, and holds the same values: the rows of one range
//! of ids never become more.

use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use sea_orm::{ConnectionTrait, DatabaseConnection};

use super::merge::{Part, Progress, merge};
use super::raw;
use super::tier::{Sample, SeriesKey, Tier};
use crate::config;
use crate::domain::Timestamp;
use crate::store::sql::statement;
use crate::store::{Metrics, Store, StoreError};

/// Rows that one piece changes, about.
const PIECE: usize = 300;

/// The longest pause between pieces while the writer is busy.
const REST: Duration = Duration::from_millis(20);

/// What is to be added next.
#[derive(Debug)]
struct Window {
    /// Where it begins…
    mark: i64,
    /// … and the row behind it.
    target: i64,
    /// What is left of it, last first.
    parts: Vec<Part>,
}

/// Adds values up.
#[derive(Debug)]
pub(super) struct Roller {
    settings: config::History,
    metrics: Metrics,
    /// Since when the first value that is not added yet waits, with its row.
    waits: Option<(i64, Instant)>,
}

impl Roller {
    pub(super) fn new(settings: config::History, metrics: Metrics) -> Self {
        Self {
            settings,
            metrics,
            waits: None,
        }
    }

    /// Adds what waited long enough. True when there may be more to do at once.
    pub(super) async fn run(&mut self, store: &Store) -> Result<bool, StoreError> {
        let (progress, waiting) = store
            .read_tables(|database| async move {
                let progress = Progress::load(&database).await?;
                Ok((progress, waiting(&database, progress.mark).await?))
            })
            .await?;
        let Some((first, received_at, last)) = waiting else {
            self.waits = None;
            self.metrics.history_lag_seconds.set(0.0);
            return Ok(false);
        };
        let begun = match self.waits {
            Some((row, begun)) if row == first => begun,
            _ => Instant::now(),
        };
        self.waits = Some((first, begun));
        // The clock may have been set meanwhile: what counts is the longer of both.
        let lag = Timestamp::system()
            .since(Timestamp::clamped_from_millis(received_at))
            .max(begun.elapsed());
        self.metrics.history_lag_seconds.set(lag.as_secs_f64());
        let many = last.saturating_sub(first) >= self.window();
        let is_begun = progress.target > progress.mark;
        if !is_begun && !many && lag < Duration::from_secs(self.settings.roll_up_after_s) {
            return Ok(false);
        }
        let late = lag >= Duration::from_secs(self.settings.max_lag_s);
        self.window_at(store, progress, late).await?;
        Ok(many)
    }

    /// Adds everything that is on disk now, without waiting for anything.
    pub(super) async fn run_all(&mut self, store: &Store) -> Result<(), StoreError> {
        loop {
            let progress = store
                .read(|database| async move { Progress::load(&database).await })
                .await?;
            if !self.window_at(store, progress, true).await? {
                self.metrics.history_lag_seconds.set(0.0);
                return Ok(());
            }
        }
    }

    fn window(&self) -> i64 {
        i64::try_from(self.settings.window_values).unwrap_or(i64::MAX)
    }

    /// Reads a window and adds it. False when there was nothing to add.
    async fn window_at(
        &mut self,
        store: &Store,
        progress: Progress,
        late: bool,
    ) -> Result<bool, StoreError> {
        let limit = self.settings.window_values;
        let mut window = store
            .read_tables(
                move |database| async move { Window::read(&database, progress, limit).await },
            )
            .await?;
        if window.target == window.mark {
            return Ok(false);
        }
        let mut more = true;
        while more {
            if !late {
                // The writer has better things to do; `late` comes true at the next window.
                store.pause().await;
            }
            let (piece, progress) = window.next();
            more = !window.parts.is_empty();
            let (mark, values) = (
                window.mark,
                piece.iter().map(|part| part.samples.len()).sum::<usize>(),
            );
            let begun = Instant::now();
            store
                .write_patiently(move |transaction| {
                    async move { merge(transaction, &piece, mark, progress).await }.boxed()
                })
                .await?;
            if store.waiting() > 0 {
                // However late it is: half of the time at least is for the devices.
                tokio::time::sleep(begun.elapsed().min(REST)).await;
            }
            self.metrics.history_rolled_up.inc_by(values as u64);
        }
        Ok(true)
    }
}

/// The first row that is not added yet with the time of its arrival, and the last row.
async fn waiting(
    database: &DatabaseConnection,
    mark: i64,
) -> Result<Option<(i64, i64, i64)>, StoreError> {
    let sql = "SELECT id, received_at FROM resource WHERE id >= ? ORDER BY id LIMIT 1";
    let Some(first) = database
        .query_one_raw(statement(database, sql, [mark.into()]))
        .await?
    else {
        return Ok(None);
    };
    let sql = "SELECT id FROM resource WHERE id >= ? ORDER BY id DESC LIMIT 1";
    let last = database
        .query_one_raw(statement(database, sql, [mark.into()]))
        .await?;
    let first_id = first.try_get_by_index(0)?;
    let last = match last {
        Some(row) => row.try_get_by_index(0)?,
        None => first_id,
    };
    Ok(Some((first_id, first.try_get_by_index(1)?, last)))
}

impl Window {
    /// The one that was begun, or the next.
    async fn read(
        database: &DatabaseConnection,
        progress: Progress,
        limit: usize,
    ) -> Result<Self, StoreError> {
        let mark = progress.mark;
        let (to, limit) = if progress.target > mark {
            (progress.target, usize::MAX)
        } else {
            (i64::MAX, limit)
        };
        let mut values: Vec<(SeriesKey, Sample)> = Vec::new();
        let end = raw::arrived(database, mark, to, limit, |key, sample| {
            values.push((key, sample));
        })
        .await?;
        let target = if to == i64::MAX { end } else { to };
        // In this order nothing is moved that has come in the order of time.
        values.sort_by_key(|(key, sample)| (*key, sample.at));
        let mut parts: Vec<Part> = values
            .chunk_by(|one, two| place(one) == place(two))
            .filter_map(|values| {
                let place = place(values.first()?);
                let samples = values.iter().map(|(_, sample)| *sample).collect();
                Some(Part { place, samples })
            })
            .filter(|part| progress.done.is_none_or(|done| part.place > done))
            .collect();
        parts.reverse();
        Ok(Self {
            mark,
            target,
            parts,
        })
    }

    /// The next piece, and how far everything is added with it.
    fn next(&mut self) -> (Vec<Part>, Progress) {
        let mut piece = Vec::new();
        let mut rows = 0;
        while rows < PIECE
            && let Some(part) = self.parts.pop()
        {
            rows += part.rows();
            piece.push(part);
        }
        let progress = match piece.last() {
            Some(last) if !self.parts.is_empty() => Progress {
                mark: self.mark,
                target: self.target,
                done: Some(last.place),
            },
            _ => Progress {
                mark: self.target,
                target: self.target,
                done: None,
            },
        };
        (piece, progress)
    }
}

fn place((key, sample): &(SeriesKey, Sample)) -> (SeriesKey, i64) {
    (*key, Tier::Day.bucket(sample.at))
}
