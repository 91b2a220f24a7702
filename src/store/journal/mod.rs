//! The journal of SQLite: what is acknowledged is on disk here first, and goes to the tables later.
//!
//! ```text
//! commits -> Front: one record of a file, one fdatasync -> acknowledged, published
//!              |
//!           Pending: what is not in the tables yet, bounded by `store.journal_bytes`
//!              |
//!            Folder: many records, one transaction -> the tables, with the number of the last record
//! ```
//!
//! Tables and indices cost their pages for each transaction, and a device that is heard ten times costs them
//! ten times. A record costs its bytes. So what comes is appended, and the [`Folder`] writes it to the tables
//! every few seconds, where of rows that were written often only the last state is left.
//!
//! Nobody sees the difference: who reads waits until what was acknowledged is in the tables
//! ([`Pending::settled`]), calls come in their turn, and a start first folds what a crash left.

mod entry;
mod folder;
mod front;
mod pending;
mod segment;

use sea_orm::DatabaseConnection;

use super::tables::Tables;
use super::{StoreError, sequence};
use entry::Entry;

pub(super) use folder::{Aside, Folder};
pub(super) use front::Front;
pub(super) use pending::Pending;
pub(super) use segment::{Journal, Left};

/// The key in `server_state` of the number of the last record that is in the tables.
pub(super) const FOLDED: &str = "journal.folded";

/// The folder of the files, in the data folder.
pub(super) const FOLDER: &str = "journal";

/// A file of the journal has so much of what may be pending.
pub(super) const FILES: u64 = 4;

/// How much of what a crash left is folded in one transaction, in commits.
const REPLAYED_AT_ONCE: usize = 50_000;

/// The number of the last record that is in the tables.
pub(super) async fn folded(database: &DatabaseConnection) -> Result<u64, StoreError> {
    let folded = sequence::load(database, FOLDED).await?;
    Ok(folded
        .and_then(|folded| u64::try_from(folded).ok())
        .unwrap_or(0))
}

/// Folds what a crash left, and returns the number of the last record.
pub(super) async fn replay(
    tables: &mut Tables,
    left: &Left,
    folded: u64,
    aside: &Aside,
) -> Result<u64, StoreError> {
    let mut last = folded;
    let mut waiting: Vec<Entry> = Vec::new();
    let mut commits = 0;
    for file in left.files() {
        for record in file.records(folded)? {
            if record.number != last + 1 {
                return Err(StoreError::Corrupt {
                    what: "a journal",
                    why: format!(
                        "the database ends with record {last}, and the next one in {} is {}; put back both, \
                        or move the journal away to go on without it",
                        left.folder().display(),
                        record.number
                    ),
                });
            }
            last = record.number;
            let entry = Entry::decode(record.number, &record.payload)?;
            commits += entry.commits.len();
            waiting.push(entry);
            if commits >= REPLAYED_AT_ONCE {
                folder::apply(tables, &std::mem::take(&mut waiting), aside).await?;
                commits = 0;
            }
        }
    }
    if !waiting.is_empty() {
        folder::apply(tables, &waiting, aside).await?;
    }
    if last > folded {
        tracing::info!(
            records = last - folded,
            "What the last run had acknowledged is in the tables now"
        );
    }
    Ok(last)
}
