//! Who is out there: the supervisor of all endpoint actors.
//!
//! Owns the tables that lead from a name, a location, a token, an exchange or an address to an
//! actor (`state::State`, pure), starts actors when a device first registers, and starts
//! them anew from the store when something is for them that rest or have died. It never changes what is stored: that is the
//! business of the actors.

mod actor;
mod asks;
mod bulk;
mod deadlines;
mod firmware;
mod handle;
mod reload;
mod restore;
mod ring;
mod state;
mod tables;
mod teller;
#[cfg(test)]
mod tests;

pub use actor::{HandshakeRefused, RegistryActor, Surroundings};
pub use bulk::BulkRunner;
pub use handle::{Devices, Handle, OperateError};
