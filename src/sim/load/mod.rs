//! A generator of load: as many clients as wanted, each doing one thing over and over, as cheaply as it can
//! be done.
//!
//! Where a simulated [`Device`](super::Device) is a whole client, one of these is a few dozen bytes: it registers,
//! lets itself be observed, and then updates its registration, notifies or sends, confirmed and one request
//! at a time (NSTART = 1, RFC 7252 section 4.7), with retransmissions. `crowd` knows what they say, without I/O;
//! [`run()`] has the sockets, one thread, and datagrams in batches.
//!
//! With a rate, requests are due at even times whatever the server does, and a latency counts from when its
//! request was due: a server that stands still for a second is not spared the requests of that second.

mod crowd;
mod echo;
mod observed;
mod report;
mod run;
mod socket;

#[cfg(test)]
mod crowd_tests;

use std::net::SocketAddr;
use std::time::Duration;

use super::security::FleetSecurity;
use crate::domain::EndpointName;

pub use report::{Latencies, Report};
pub use run::{LoadError, run};

/// What the clients do over and over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Register, with twenty objects.
    Register,
    /// Update the registration, with nothing new (OMA-TS-LightweightM2M Core 6.2.2).
    Update,
    /// Notify what the server observes.
    Notify,
    /// LwM2M Send (Core 6.4.6), with records of one Resource at different times.
    Send,
}

impl Mode {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Register => "register",
            Self::Update => "update",
            Self::Notify => "notify",
            Self::Send => "send",
        }
    }
}

/// What is to be done.
#[derive(Clone, Debug)]
pub struct LoadSettings {
    /// The server.
    pub server: SocketAddr,
    /// How many clients.
    pub clients: u32,
    /// What they do.
    pub mode: Mode,
    /// How long, from when all are ready.
    pub duration: Duration,
    /// Requests a second; none: as many as the server answers.
    pub rate: Option<f64>,
    /// The most requests that are under way at once, of all clients.
    pub window: u32,
    /// How many sockets the clients share; over DTLS and for Send each has its own.
    pub sockets: u32,
    /// Records of a Send.
    pub records: u32,
    /// Observations that a client waits for after each Register.
    pub observations: u32,
    /// Names are this and a number, from 1 on.
    pub prefix: String,
    /// The lifetime of the registrations.
    pub lifetime: Duration,
    /// Leaves the clients registered in the end.
    pub stay: bool,
    /// For how long the generator is first measured against an echo of the same datagrams.
    pub ceiling: Duration,
    /// How each client proves itself; without it plain CoAP.
    pub security: Option<FleetSecurity>,
}

impl LoadSettings {
    /// The name of a client.
    fn name(&self, client: u32) -> Option<EndpointName> {
        EndpointName::new(&format!("{}{}", self.prefix, u64::from(client) + 1)).ok()
    }
}
