//! flownexus: an OMA LwM2M server, the backend behind it and its live dashboard, in one binary.
//!
//! # The map
//! Rooms, from the device to the page. Each may use only those that `tests/architecture.rs` lets it.
//!
//! | room | owns |
//! |---|---|
//! | [`domain`] | the words everybody shares; depends on nothing |
//! | [`config`] | settings and every limit |
//! | [`coap`] | the CoAP message layer, without I/O |
//! | [`lwm2m`] | what the bytes mean: formats, models, operations, without I/O |
//! | [`net`] | sockets |
//! | [`registry`] | who is out there: supervises the actors |
//! | [`endpoint`] | one device: a pure session inside an actor |
//! | [`rollout`] | firmware to many devices, and back |
//! | [`security`] | credentials in force, secrets at rest, certificates |
//! | [`store`] | the database: one writer, many readers |
//! | [`lens`] | what was said, in words, and what it cost |
//! | [`live`] | fan-out of what was committed |
//! | [`web`] | pages, REST, the live socket |
//! | [`sim`] | a whole LwM2M client |
//! | [`app`], [`cli`] | put it together |
//!
//! # One way up
//! A datagram comes in at [`net`], becomes a request, a response or a notification in [`coap`], is
//! led to its device's actor by [`registry`], and becomes changes in [`endpoint::session`]. These
//! share a transaction with others in [`store`]; **only when that is on disk** the device gets its
//! acknowledgement and the page its live message.
//!
//! # One way down
//! A wish of a person, a template or an update becomes a row in `endpoint_operation`, waits in its
//! device's session until the device listens, is committed as SENDING with its token and message
//! ids, and **only then** goes out.
#![warn(missing_docs)]

pub mod app;
pub mod cli;
pub mod coap;
pub mod config;
pub mod domain;
pub mod endpoint;
pub mod lens;
pub mod live;
pub mod lwm2m;
pub mod net;
pub mod registry;
pub mod rollout;
pub mod security;
pub mod sim;
pub mod store;
pub mod web;
