//! What a record says: commits, and marks of row ids that may be used once it is on disk.
//!
//! `MessagePack` with the names of fields, so that a version that knows more fields reads what an earlier one
//! left behind: a field that is added needs a default, and one that was there is not renamed.

use serde::Serialize;

use super::segment::RECORD_HEAD;
use crate::store::{Change, Commit, StoreError};

/// What is not in the tables yet.
#[derive(Debug, Default, PartialEq)]
pub(in crate::store) struct Entry {
    /// The number of its record.
    pub(super) number: u64,
    /// New marks, each with the table of its counter.
    pub(super) marks: Vec<(String, i64)>,
    /// What is to be written, in this order. Without what was published.
    pub(super) commits: Vec<Commit>,
}

/// A record that is being made.
#[derive(Debug)]
pub(super) struct Draft {
    bytes: Vec<u8>,
}

impl Draft {
    /// Begins one in a buffer that was used before.
    pub(super) fn new(mut buffer: Vec<u8>, marks: &[(String, i64)]) -> Result<Self, StoreError> {
        buffer.clear();
        buffer.resize(RECORD_HEAD, 0);
        let mut draft = Self { bytes: buffer };
        draft.part(&marks)?;
        Ok(draft)
    }

    /// Adds a commit. When that is refused, the record is as it was.
    pub(super) fn add(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        changes.iter().try_for_each(Change::check)?;
        self.part(&changes)
    }

    /// The record as [`Journal::append`](super::Journal::append) wants it.
    pub(super) fn record(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// The buffer, to be used again.
    pub(super) fn into_buffer(self) -> Vec<u8> {
        self.bytes
    }

    /// Adds something behind its length.
    fn part(&mut self, part: &impl Serialize) -> Result<(), StoreError> {
        let begin = self.bytes.len();
        self.bytes.extend([0; 4]);
        let mut serializer = rmp_serde::Serializer::new(&mut self.bytes).with_struct_map();
        let written = part
            .serialize(&mut serializer)
            .map_err(|error| error.to_string());
        let length = u32::try_from(self.bytes.len() - begin - 4)
            .map_err(|_| "it is longer than 4 GiB".to_owned());
        match (written.and(length), self.bytes.get_mut(begin..begin + 4)) {
            (Ok(length), Some(place)) => {
                place.copy_from_slice(&length.to_le_bytes());
                Ok(())
            }
            (Err(why), _) => {
                self.bytes.truncate(begin);
                Err(StoreError::Database(format!(
                    "a commit cannot be written to the journal: {why}"
                )))
            }
            (Ok(_), None) => Err(StoreError::Closed),
        }
    }
}

impl Entry {
    /// What the record of this number says.
    pub(super) fn decode(number: u64, payload: &[u8]) -> Result<Self, StoreError> {
        let corrupt = |why: String| StoreError::Corrupt {
            what: "a journal",
            why: format!("record {number}: {why}"),
        };
        let mut parts = Parts { rest: payload };
        let marks = parts
            .next()
            .ok_or_else(|| corrupt("it is empty".to_owned()))?;
        let marks = read(marks).map_err(corrupt)?;
        let mut commits = Vec::new();
        for part in parts.by_ref() {
            commits.push(Commit {
                changes: read(part).map_err(corrupt)?,
                publish: Vec::new(),
            });
        }
        if !parts.rest.is_empty() {
            return Err(corrupt("it ends within a commit".to_owned()));
        }
        Ok(Self {
            number,
            marks,
            commits,
        })
    }
}

struct Parts<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Parts<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (length, rest) = self.rest.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
        let (part, rest) = rest.split_at_checked(length)?;
        self.rest = rest;
        Some(part)
    }
}

fn read<T: serde::de::DeserializeOwned>(part: &[u8]) -> Result<T, String> {
    let mut deserializer = rmp_serde::Deserializer::from_read_ref(part);
    T::deserialize(&mut deserializer).map_err(|error| error.to_string())
}
