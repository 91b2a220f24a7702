//! Live messages: from what was committed to everybody who listens.
//!
//! The store publishes facts that are on disk to the [`Hub`]; each client has a [`Subscription`]
//! with a bounded queue. Nothing here waits for a client: one that falls behind is told to start
//! anew.

mod gather;
mod hub;
mod message;

pub use gather::Batch;
pub use hub::{Counters, Delivery, Hub, SubscribeError, Subscription};
pub use message::Message;
