//! Options of CoAP messages (RFC 7252 section 5.10) and typed access to them.

use std::fmt;

use smallvec::SmallVec;

/// Option numbers (RFC 7252, 7641, 7959, 7967, 9175).
#[expect(missing_docs, reason = "the names are those of the RFCs")]
pub mod number {
    pub const IF_MATCH: u16 = 1;
    pub const URI_HOST: u16 = 3;
    pub const ETAG: u16 = 4;
    pub const IF_NONE_MATCH: u16 = 5;
    pub const OBSERVE: u16 = 6;
    pub const URI_PORT: u16 = 7;
    pub const LOCATION_PATH: u16 = 8;
    pub const URI_PATH: u16 = 11;
    pub const CONTENT_FORMAT: u16 = 12;
    pub const MAX_AGE: u16 = 14;
    pub const URI_QUERY: u16 = 15;
    pub const ACCEPT: u16 = 17;
    pub const LOCATION_QUERY: u16 = 20;
    pub const BLOCK2: u16 = 23;
    pub const BLOCK1: u16 = 27;
    pub const SIZE2: u16 = 28;
    pub const PROXY_URI: u16 = 35;
    pub const PROXY_SCHEME: u16 = 39;
    pub const SIZE1: u16 = 60;
    pub const ECHO: u16 = 252;
    pub const NO_RESPONSE: u16 = 258;
    pub const REQUEST_TAG: u16 = 292;
}

/// The options of one message, in the order of their numbers; repeated ones keep their order.
///
/// They lie one behind the other, each as its number, its length and its value: a message of a device has few
/// and short ones, which need no memory of their own.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Options(SmallVec<[u8; INLINE]>);

impl Options {
    /// No options.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an option behind those of the same number.
    pub fn add(&mut self, number: u16, value: &[u8]) {
        let at = self.offset(|other| other > number);
        self.insert(at, number, value);
    }

    fn insert(&mut self, at: usize, number: u16, value: &[u8]) {
        let Ok(length) = u32::try_from(value.len()) else {
            return;
        };
        let [a, b] = number.to_ne_bytes();
        let [c, d, e, f] = length.to_ne_bytes();
        self.0.insert_from_slice(at, value);
        self.0.insert_from_slice(at, &[a, b, c, d, e, f]);
    }

    /// Puts this value in the place of every option of the number.
    pub fn set(&mut self, number: u16, value: &[u8]) {
        self.remove(number);
        self.add(number, value);
    }

    /// Removes every option of the number.
    pub fn remove(&mut self, number: u16) {
        let from = self.offset(|other| other >= number);
        let to = self.offset(|other| other > number);
        if from < to {
            self.0.drain(from..to);
        }
    }

    /// Where the first option begins whose number is so.
    fn offset(&self, is_so: impl Fn(u16) -> bool) -> usize {
        let mut entries = self.entries();
        loop {
            let at = self.0.len().saturating_sub(entries.0.len());
            match entries.next() {
                Some((number, _)) if !is_so(number) => {}
                _ => return at,
            }
        }
    }

    /// Adds an option with an unsigned integer in the shortest form (RFC 7252 section 3.2).
    pub fn add_uint(&mut self, number: u16, value: u32) {
        let bytes = value.to_be_bytes();
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        self.add(number, bytes.get(zeros..).unwrap_or(&[]));
    }

    /// Like [`Options::add_uint`], in the place of every option of the number.
    pub fn set_uint(&mut self, number: u16, value: u32) {
        self.remove(number);
        self.add_uint(number, value);
    }

    /// The values of one number.
    pub fn all(&self, number: u16) -> impl Iterator<Item = &[u8]> {
        self.iter()
            .filter(move |(other, _)| *other == number)
            .map(|(_, value)| value)
    }

    /// The first value of a number.
    pub fn first(&self, number: u16) -> Option<&[u8]> {
        self.all(number).next()
    }

    /// The first value of a number as an unsigned integer; nothing when it is missing or longer
    /// than four bytes.
    pub fn uint(&self, number: u16) -> Option<u32> {
        let value = self.first(number)?;
        if value.len() > 4 {
            return None;
        }
        Some(
            value
                .iter()
                .fold(0, |sum, byte| (sum << 8) | u32::from(*byte)),
        )
    }

    /// Every option.
    pub fn iter(&self) -> impl Iterator<Item = (u16, &[u8])> + Clone {
        self.entries()
    }

    fn entries(&self) -> Entries<'_> {
        Entries(&self.0)
    }

    /// The segments of `Uri-Path`; nothing when one is no UTF-8.
    pub fn uri_path(&self) -> Option<Vec<&str>> {
        self.all(number::URI_PATH)
            .map(|segment| std::str::from_utf8(segment).ok())
            .collect()
    }

    /// The `Uri-Query` options; nothing when one is no UTF-8.
    pub fn uri_query(&self) -> Option<Vec<&str>> {
        self.all(number::URI_QUERY)
            .map(|query| std::str::from_utf8(query).ok())
            .collect()
    }

    /// Adds each segment of `/a/b/c` as `Uri-Path`.
    pub fn add_uri_path(&mut self, path: &str) {
        for segment in path.split('/').filter(|segment| !segment.is_empty()) {
            self.add(number::URI_PATH, segment.as_bytes());
        }
    }

    /// `Content-Format`
    pub fn content_format(&self) -> Option<u16> {
        self.uint(number::CONTENT_FORMAT)
            .and_then(|format| u16::try_from(format).ok())
    }

    /// `Accept`
    pub fn accept(&self) -> Option<u16> {
        self.uint(number::ACCEPT)
            .and_then(|format| u16::try_from(format).ok())
    }

    /// `Observe` (RFC 7641): 24 bits.
    pub fn observe(&self) -> Option<u32> {
        self.uint(number::OBSERVE).filter(|value| *value < 1 << 24)
    }
}

/// What is left of them.
#[derive(Clone)]
struct Entries<'a>(&'a [u8]);

impl<'a> Iterator for Entries<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let [a, b, c, d, e, f, rest @ ..] = self.0 else {
            return None;
        };
        let length = usize::try_from(u32::from_ne_bytes([*c, *d, *e, *f])).ok()?;
        let (value, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((u16::from_ne_bytes([*a, *b]), value))
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<'a> FromIterator<(u16, &'a [u8])> for Options {
    fn from_iter<I: IntoIterator<Item = (u16, &'a [u8])>>(options: I) -> Self {
        let mut all = Self::new();
        let mut last = 0;
        for (number, value) in options {
            // As a rule in order: a message with hundreds of options is not to be gone through for each.
            if number >= last {
                all.insert(all.0.len(), number, value);
                last = number;
            } else {
                all.add(number, value);
            }
        }
        all
    }
}

/// Room for the path of an Update, or for what comes with a value.
const INLINE: usize = 40;
