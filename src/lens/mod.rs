//! The protocol lens and the meter: what devices and the server say to each other, in words, and what it costs.
//!
//! [`Lens`] is told of every message between the socket and the message layer, behind DTLS. It keeps the last ones of
//! each device in memory, as bytes, and counts them; that is all that happens on the way of a message. What they
//! mean is found out when somebody reads ([`Conversation`]): type and options by name, values by the object models,
//! a sentence for each, and nothing that is secret. [`pcap`] writes the same messages as a file.
//!
//! It never changes, delays or answers a message, and never writes one to disk.

mod capture;
mod conversation;
mod metrics;
mod options;
mod payload;
pub mod pcap;
mod peek;
mod room;
mod secret;
mod subject;
mod words;

pub use capture::{Captured, Counted, Lens};
pub use conversation::{Conversation, Facts, Head, Kind, Line, OptionLine, ValueLine};
