//! The files of the journal: numbered records, one behind the other.
//!
//! A file begins with a head (what it is, its number, the number of its first record). A record is its length,
//! a checksum, its number and its content. Numbers have no gaps, so that a record that was torn by the end of
//! the power, and what an earlier use of the file left behind it, are told from one that counts.
//!
//! A record is on disk when [`Journal::append`] returns. When that fails nobody knows what of it is on disk:
//! the file is not written again, and the next one begins with the same number, which voids it.

use std::collections::VecDeque;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::store::StoreError;

/// What each file begins with; the last byte is the version of the format.
const MAGIC: [u8; 8] = *b"flnxjrn\x01";

/// Magic, number of the file, number of its first record, checksum of these.
const HEAD: usize = 8 + 8 + 8 + 4;

/// Length of the content, checksum of what follows, number of the record.
pub(super) const RECORD_HEAD: usize = 4 + 4 + 8;

const ENDING: &str = "journal";

/// Files that are kept to be used again: writing over a file costs less than letting one grow, since the file
/// system has nothing to note.
const SPARES: usize = 2;

/// The journal, ready to be appended to.
#[derive(Debug)]
pub(in crate::store) struct Journal {
    folder: PathBuf,
    file_bytes: u64,
    current: Option<Current>,
    /// Not written any more, oldest first, with the number of the last record of each.
    full: VecDeque<(PathBuf, u64)>,
    spares: Vec<PathBuf>,
    next_file: u64,
    next_record: u64,
}

/// The file that is appended to.
#[derive(Debug)]
struct Current {
    file: File,
    path: PathBuf,
    at: u64,
}

/// What was found in the folder.
#[derive(Debug)]
pub(in crate::store) struct Left {
    folder: PathBuf,
    files: Vec<Written>,
    /// Files with the ending of the journal that hold nothing of use.
    empty: Vec<PathBuf>,
}

/// A file with records.
#[derive(Debug)]
pub(super) struct Written {
    path: PathBuf,
    number: u64,
    first: u64,
    /// Records from here on are in later files.
    end: u64,
}

/// A record.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Record {
    /// Counted from 1 without gaps, over all files.
    pub(super) number: u64,
    /// What it says.
    pub(super) payload: Vec<u8>,
}

impl Left {
    /// Looks into the folder of the journal; there need not be one.
    pub(in crate::store) fn find(folder: &Path) -> Result<Self, StoreError> {
        let unusable = |error: io::Error| unusable(folder, &error);
        let mut files = Vec::new();
        let mut empty = Vec::new();
        let entries = match fs::read_dir(folder) {
            Ok(entries) => Some(entries),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(unusable(error)),
        };
        for entry in entries.into_iter().flatten() {
            let path = entry.map_err(unusable)?.path();
            if path.extension().is_none_or(|ending| ending != ENDING) {
                continue;
            }
            match head(&path).map_err(unusable)? {
                Some((number, first)) if named(folder, number) == path => files.push(Written {
                    path,
                    number,
                    first,
                    end: u64::MAX,
                }),
                _ => empty.push(path),
            }
        }
        files.sort_by_key(|file| file.number);
        let firsts: Vec<u64> = files.iter().skip(1).map(|file| file.first).collect();
        for (file, next) in files.iter_mut().zip(firsts) {
            file.end = next;
        }
        Ok(Self {
            folder: folder.to_owned(),
            files,
            empty,
        })
    }

    /// Where they are.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The files with records, in their order.
    pub(super) fn files(&self) -> &[Written] {
        &self.files
    }

    /// Removes the files: all that they hold is in the tables.
    pub(in crate::store) fn remove(self) -> Result<(), StoreError> {
        let files = self.files.into_iter().map(|file| file.path);
        for path in files.chain(self.empty) {
            fs::remove_file(&path).map_err(|error| unusable(&path, &error))?;
        }
        Ok(())
    }

    /// Goes on behind this record. All that the files hold is in the tables.
    pub(in crate::store) fn go_on(self, file_bytes: u64, last: u64) -> Result<Journal, StoreError> {
        let folder = self.folder;
        let mut builder = DirBuilder::new();
        builder
            .recursive(true)
            .mode(0o700)
            .create(&folder)
            // As with the files: what is acknowledged must be found again.
            .and_then(|()| folder.parent().map_or(Ok(()), sync))
            .map_err(|error| unusable(&folder, &error))?;
        let mut journal = Journal {
            next_file: self.files.last().map_or(1, |file| file.number + 1),
            next_record: last + 1,
            folder,
            file_bytes,
            current: None,
            full: VecDeque::new(),
            spares: Vec::new(),
        };
        let files = self.files.into_iter().map(|file| file.path);
        for path in files.chain(self.empty) {
            journal.retire(path);
        }
        Ok(journal)
    }
}

impl Written {
    /// The records of the file behind `after`, up to the first one that is none.
    pub(super) fn records(&self, after: u64) -> Result<Vec<Record>, StoreError> {
        let bytes = fs::read(&self.path).map_err(|error| unusable(&self.path, &error))?;
        let mut rest = bytes.get(HEAD..).unwrap_or_default();
        let mut records = Vec::new();
        let mut number = self.first;
        while number < self.end
            && let Some((payload, behind)) = record(rest, number)
        {
            if number > after {
                records.push(Record {
                    number,
                    payload: payload.to_vec(),
                });
            }
            rest = behind;
            number += 1;
        }
        Ok(records)
    }
}

impl Journal {
    /// Appends a record and returns its number once it is on disk. `record` begins with
    /// [`RECORD_HEAD`] bytes that are written here.
    ///
    /// # Errors
    /// What the operating system says; then the record does not count, whatever of it is on disk.
    pub(super) fn append(&mut self, record: &mut [u8]) -> io::Result<u64> {
        let number = self.next_record;
        seal(record, number)?;
        let fits = |current: &Current| current.at + record.len() as u64 <= self.file_bytes;
        if !self.current.as_ref().is_some_and(fits) {
            self.turn_over()?;
        }
        let Some(current) = self.current.as_mut() else {
            return Err(io::Error::other("there is no file to append to"));
        };
        let written = current
            .file
            .write_all_at(record, current.at)
            .and_then(|()| current.file.sync_data());
        match written {
            Ok(()) => {
                current.at += record.len() as u64;
                self.next_record += 1;
                Ok(number)
            }
            Err(error) => {
                self.close_current();
                Err(error)
            }
        }
    }

    /// What was appended up to this record is in the tables: files that hold nothing else are used again.
    pub(super) fn trim(&mut self, folded: u64) {
        while let Some((path, last)) = self.full.pop_front() {
            if last > folded {
                self.full.push_front((path, last));
                break;
            }
            self.retire(path);
        }
    }

    /// Makes a file ready to be written over, when there is time for it.
    pub(super) fn prepare(&mut self) -> io::Result<()> {
        if !self.spares.is_empty() {
            return Ok(());
        }
        let path = self.folder.join(format!("spare.{ENDING}"));
        let file = create(&path)?;
        let zeros = vec![0; 1 << 16];
        let mut at = 0;
        while at < self.file_bytes {
            file.write_all_at(&zeros, at)?;
            at += zeros.len() as u64;
        }
        file.sync_all()?;
        self.spares.push(path);
        Ok(())
    }

    /// Removes every file: all that was appended is in the tables.
    pub(in crate::store) fn remove(mut self) -> io::Result<()> {
        self.close_current();
        let full = self.full.into_iter().map(|(path, _)| path);
        for path in full.chain(self.spares) {
            fs::remove_file(path)?;
        }
        Ok(())
    }

    /// Begins another file.
    fn turn_over(&mut self) -> io::Result<()> {
        self.close_current();
        let path = named(&self.folder, self.next_file);
        let file = match self.spares.pop() {
            Some(spare) => {
                fs::rename(spare, &path)?;
                OpenOptions::new().write(true).open(&path)?
            }
            None => create(&path)?,
        };
        // The name must be on disk before what is in the file is acknowledged.
        sync(&self.folder)?;
        let mut head = [0; HEAD];
        write_head(&mut head, self.next_file, self.next_record);
        file.write_all_at(&head, 0)?;
        self.next_file += 1;
        self.current = Some(Current {
            file,
            path,
            at: HEAD as u64,
        });
        Ok(())
    }

    fn close_current(&mut self) {
        if let Some(current) = self.current.take() {
            self.full.push_back((current.path, self.next_record - 1));
        }
    }

    /// A file whose records nobody needs any more.
    fn retire(&mut self, path: PathBuf) {
        let is_useful = |file: &fs::Metadata| file.len() >= self.file_bytes;
        if self.spares.len() < SPARES && fs::metadata(&path).is_ok_and(|file| is_useful(&file)) {
            self.spares.push(path);
        } else if let Err(error) = fs::remove_file(&path) {
            tracing::warn!(%error, "Could not remove {}: {error}", path.display());
        }
    }
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
}

/// The names in a folder are on disk when this returns.
fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn named(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:016}.{ENDING}"))
}

fn unusable(path: &Path, error: &io::Error) -> StoreError {
    StoreError::Database(format!("the journal {}: {error}", path.display()))
}

fn write_head(head: &mut [u8; HEAD], number: u64, first: u64) {
    let mut bytes = Vec::with_capacity(HEAD);
    bytes.extend(MAGIC);
    bytes.extend(number.to_le_bytes());
    bytes.extend(first.to_le_bytes());
    bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
    head.copy_from_slice(&bytes);
}

/// The number of the file and that of its first record; none when it was not begun.
fn head(path: &Path) -> io::Result<Option<(u64, u64)>> {
    use std::io::Read as _;
    let mut bytes = Vec::with_capacity(HEAD);
    File::open(path)?
        .take(HEAD as u64)
        .read_to_end(&mut bytes)?;
    let is = |bytes: &[u8]| -> Option<(u64, u64)> {
        let (magic, rest) = bytes.split_first_chunk::<8>()?;
        let (number, rest) = rest.split_first_chunk::<8>()?;
        let (first, rest) = rest.split_first_chunk::<8>()?;
        let checksum = crc32fast::hash(bytes.get(..HEAD - 4)?).to_le_bytes();
        (*magic == MAGIC && *rest == checksum)
            .then(|| (u64::from_le_bytes(*number), u64::from_le_bytes(*first)))
    };
    Ok(is(&bytes))
}

/// Fills in the head of a record.
fn seal(record: &mut [u8], number: u64) -> io::Result<()> {
    let too_long = || io::Error::other("a record is longer than 4 GiB");
    let length = record.len().checked_sub(RECORD_HEAD).ok_or_else(too_long)?;
    let length = u32::try_from(length).map_err(|_| too_long())?;
    let Some((length_at, rest)) = record.split_first_chunk_mut::<4>() else {
        return Err(too_long());
    };
    let Some((checksum_at, rest)) = rest.split_first_chunk_mut::<4>() else {
        return Err(too_long());
    };
    if let Some(number_at) = rest.first_chunk_mut::<8>() {
        *number_at = number.to_le_bytes();
    }
    *length_at = length.to_le_bytes();
    *checksum_at = crc32fast::hash(rest).to_le_bytes();
    Ok(())
}

/// The content of the record of this number that `bytes` begin with, and what is behind it.
fn record(bytes: &[u8], number: u64) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (checksum, rest) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let (content, behind) = rest.split_at_checked(length.checked_add(8)?)?;
    let (is, payload) = content.split_first_chunk::<8>()?;
    let counts =
        u64::from_le_bytes(*is) == number && crc32fast::hash(content).to_le_bytes() == *checksum;
    counts.then_some((payload, behind))
}

#[cfg(test)]
#[path = "segment_tests.rs"]
mod tests;
