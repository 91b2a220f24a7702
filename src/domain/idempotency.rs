//! Requests that may be sent again without being done again (draft-ietf-httpapi-idempotency-key-header).

use serde::{Deserialize, Serialize};

use super::{EndpointId, OperationId, Timestamp};

/// By which a request is known when it comes again: hashes, so that it takes the same little room whatever was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct IdempotencyKey {
    /// SHA-256 of who asks and of the `Idempotency-Key`.
    pub key: [u8; 32],
    /// SHA-256 of what is asked: a key that comes with something else is a mistake.
    pub request: [u8; 32],
}

/// An operation that was asked for with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyedOperation {
    /// Which device. Keys of different devices are different keys.
    pub endpoint_id: EndpointId,
    /// With which key.
    pub key: IdempotencyKey,
    /// What was made of it.
    pub operation: OperationId,
    /// From then on it counts for nothing.
    pub expires_at: Timestamp,
}

/// A key, and how long it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeptKey {
    /// The key.
    pub key: IdempotencyKey,
    /// From then on it counts for nothing.
    pub expires_at: Timestamp,
}

impl KeyedOperation {
    /// The operation, where asking with `key` at `now` is asking with this key again, and whether the same is asked.
    pub fn answers(&self, key: &IdempotencyKey, now: Timestamp) -> Option<(OperationId, bool)> {
        let is_known = self.key.key == key.key && now < self.expires_at;
        is_known.then_some((self.operation, self.key.request == key.request))
    }
}
