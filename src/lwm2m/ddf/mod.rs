//! Object definitions in OMA's XML, the "DDF" files of the LwM2M registry (`LWM2M.xsd`,
//! `LWM2M-v1_1.xsd`), read and written.
//!
//! A file may come from anybody: it is measured before it is parsed, a document type is refused (so
//! there are no entities to expand and nothing is fetched), and each count has a limit. Where files
//! of the registry deviate from their schema they are read as they are meant; what cannot be meant
//! is an error that names the element and its line.

mod measure;
mod read;
mod write;

#[cfg(test)]
mod attack_tests;
#[cfg(test)]
mod tests;

pub use read::parse;
pub use write::write;

use super::ObjectModel;

/// The largest id of an object or a resource; 65,535 stands for none.
pub const MAX_ID: u16 = 65_534;

/// How much one file may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the file.
    pub max_bytes: usize,
    /// Objects in it.
    pub max_objects: usize,
    /// Resources of one object.
    pub max_resources: usize,
}

impl Limits {
    /// For what was accepted once, whatever the limits are now.
    pub const ACCEPTED: Self = Self {
        max_bytes: usize::MAX,
        max_objects: usize::MAX,
        max_resources: usize::MAX,
    };
}

/// One object of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    /// What it says.
    pub model: ObjectModel,
    /// The XML that says so, for this object alone.
    pub source: String,
}

/// Why a file is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DdfError {
    /// Something in it is wrong.
    #[error("line {line}, <{element}>: {why}")]
    Element {
        /// Where the element begins, counted from 1.
        line: u32,
        /// The name of the element.
        element: String,
        /// What is wrong with it.
        why: String,
    },
    /// It is no XML, or XML of a kind that is not read.
    #[error("line {line}: {why}")]
    Syntax {
        /// Where that shows, counted from 1.
        line: u32,
        /// What is wrong.
        why: String,
    },
    /// It has more bytes than [`Limits::max_bytes`].
    #[error("the file has more than {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
}

impl DdfError {
    /// The name of the element that is wrong, where it is one.
    pub fn element(&self) -> Option<&str> {
        match self {
            Self::Element { element, .. } => Some(element),
            Self::Syntax { .. } | Self::TooLarge { .. } => None,
        }
    }
}

/// A version of an object in its usual form, `MAJOR.MINOR`: `1` and `01.0` are `1.0`.
///
/// # Errors
/// When it is none.
pub fn object_version(text: &str) -> Result<String, String> {
    let number = |part: &str| {
        let digits = (1..=MAX_VERSION_DIGITS).contains(&part.len())
            && part.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| part.parse::<u32>().ok()).flatten()
    };
    let (major, minor) = text.split_once('.').unwrap_or((text, "0"));
    number(major)
        .zip(number(minor))
        .map(|(major, minor)| format!("{major}.{minor}"))
        .ok_or_else(|| format!("`{}` is no version such as 1.0", clip(text)))
}

/// The beginning of a text that somebody sent, short enough for a message about it.
fn clip(text: &str) -> String {
    match text.char_indices().nth(MAX_ECHO) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// Digits of either part of a version.
const MAX_VERSION_DIGITS: usize = 5;
/// Characters of the file that a message repeats.
const MAX_ECHO: usize = 80;
