//! Random numbers from a seed: reproducible in tests, not to be guessed by peers otherwise.

use std::hash::{DefaultHasher, Hasher};

use crate::domain::Token;

/// `SipHash` of a secret seed and a counter.
#[derive(Debug)]
pub(super) struct Random {
    seed: u64,
    counter: u64,
}

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, counter: 0 }
    }

    pub(super) fn next(&mut self) -> u64 {
        self.counter = self.counter.wrapping_add(1);
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(self.seed);
        hasher.write_u64(self.counter);
        hasher.finish()
    }

    /// From 0 to 1.
    pub(super) fn fraction(&mut self) -> f64 {
        f64::from((self.next() >> 32) as u32) / f64::from(u32::MAX)
    }

    pub(super) fn token(&mut self) -> Token {
        Token::from(self.next().to_ne_bytes())
    }
}
