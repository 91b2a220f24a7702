//! The CoAP message layer, without I/O (RFC 7252, 7641, 7959, 7967, parts of 9175).
//!
//! It owns everything between datagrams and whole requests and responses: reading and writing
//! messages strictly, retransmission, recognising copies, matching answers by token and address,
//! blockwise transfers both ways. The server and the device simulator use the same [`Endpoint`].
//!
//! It never does I/O, never asks for the time, never decides what a request means, and never
//! acknowledges what the rooms above have not committed: a request is answered by
//! [`Endpoint::respond`], a notification by [`Endpoint::acknowledge`], and until then the peer
//! sends again and its copies are swallowed. (The exception are the inner blocks of a transfer,
//! which have no effect of their own.)
//!
//! ```text
//!   datagram -> handle_datagram -> poll_event -> Request / Response / Notification / …
//!   respond, request, acknowledge, … -> poll_transmit -> datagram
//!   next_timeout -> (time passes) -> handle_timeout -> both
//! ```
//!
//! After each call that takes `&mut self`, drain [`Endpoint::poll_transmit`] and
//! [`Endpoint::poll_event`]. Everything that a peer can make grow has a limit in
//! [`EndpointConfig`], a counter in [`Counters`] and a test that fills it.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]

mod allowance;
mod block;
mod code;
mod counters;
mod datagram;
mod dedup;
mod endpoint;
mod exchange;
#[doc(hidden)]
pub mod fuzzing;
mod limits;
mod message;
pub mod observe;
mod options;
mod policy;
mod table;
mod timer;

#[cfg(test)]
mod tests;

pub use allowance::Allowance;
pub use block::{Block, Excerpt, Exponent, InvalidBlock, OutgoingBlock, confirmed_block1};
pub use code::Code;
pub use counters::Counters;
pub use datagram::Datagram;
pub use endpoint::{
    Endpoint, Event, ExchangeFailure, ExchangeId, FirstBlock, Heard, MessageIds, NotificationKey,
    OutgoingRequest, Patience, RequestError, RequestKey, Transmit, Window,
};
pub use exchange::{Request, Response};
pub use limits::EndpointConfig;
pub use message::{DecodeError, Message, MessageType};
pub use options::{Options, number};

/// Who messages come from and go to, and what ties an answer to its request.
pub use crate::domain::{Peer, Token};
