//! Simulated devices: whole LwM2M clients, for `simulate`, `serve --demo` and the tests.
//!
//! [`Device`] is a client without I/O: registration, object model, operations, observations and
//! queue mode, in virtual time. [`SimClient`] gives it a UDP socket and a clock; [`Fleet`] runs
//! many. Devices share nothing with the server but the protocol: they speak real CoAP to it.
//! [`Quirks`] make one misbehave, so that a server can show that it copes.
//!
//! With credentials a device speaks DTLS.
//!
//! Data flows `socket -> net -> coap -> client -> device -> objects` and back the same way. The
//! room never touches the store or the registry, and keeps nothing on disk.

mod client;
mod counters;
mod device;
mod download;
mod faults;
mod firmware;
mod fleet;
mod handle;
pub mod load;
mod name;
mod objects;
mod quirks;
mod random;
mod relay;
mod security;
mod settings;

#[cfg(test)]
mod network_tests;

pub use client::{SimClient, SimSettings};
pub use counters::Counters;
pub use device::{Device, Fetch, FetchError, Happening, Input, Output, Piece};
pub use firmware::{BlockLimit, FirmwareBehaviour, FirmwareReport, FirmwareSettings, Midway};
pub use fleet::{Fleet, FleetSettings, Progress};
pub use handle::{SimError, SimHandle};
pub use name::{endpoint_name, imei};
pub use objects::models;
pub use quirks::{Answers, Quirks};
pub use security::{FleetSecurity, SimSecurity};
pub use settings::{AWAKE, DeviceSettings};
