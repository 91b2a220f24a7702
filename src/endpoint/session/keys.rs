//! With which keys operations were asked for lately.
//!
//! Whoever asks with a key looks into the store first, where every key is that was told to be kept. What this
//! covers is the time from there to here: a request that came twice, and whose copy looked before the first of them
//! was stored.

use std::collections::VecDeque;

use crate::domain::{IdempotencyKey, KeyedOperation, OperationId, Timestamp};

/// More than can come between a look into the store and its request: what a mailbox holds is less.
const MOST: usize = 128;

/// The last keys of one device. Takes no room until there is one.
#[derive(Debug, Default)]
#[expect(
    clippy::box_collection,
    reason = "a pointer in every session, however few have keys"
)]
pub(super) struct Keys(Option<Box<VecDeque<KeyedOperation>>>);

impl Keys {
    /// The operation that was asked for with this key, and whether the same was asked.
    pub(super) fn find(&self, key: &IdempotencyKey, now: Timestamp) -> Option<(OperationId, bool)> {
        let mut keys = self.0.iter().flat_map(|keys| keys.iter().rev());
        keys.find_map(|keyed| keyed.answers(key, now))
    }

    /// One more; the oldest goes where there are too many.
    pub(super) fn push(&mut self, keyed: KeyedOperation) {
        let keys = self.0.get_or_insert_default();
        if keys.len() >= MOST {
            keys.pop_front();
        }
        keys.push_back(keyed);
    }
}
