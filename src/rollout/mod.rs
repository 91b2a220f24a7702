//! Firmware to many devices: group by group, within thresholds, and back again when too many fail.
//!
//! `plan` decides and does nothing: it is given what happened and the time, and says which devices are next. An
//! actor per rollout that is not over stores what was decided, and only then begins updates on devices. What becomes
//! of them it reads from the store, where their sessions wrote it, so a rollout goes on after a restart wherever it
//! stood.
//!
//! This room knows neither LwM2M nor the network. It never updates a device twice: an update carries the rollout and
//! the direction that it belongs to, and one whose beginning is in doubt is looked up before it is begun again.

mod actor;
mod choose;
mod fleet;
mod handle;
mod metrics;
mod nudges;
mod plan;
mod rehearsal;
mod runner;
mod supervisor;

pub use fleet::{Fleet, Recalled};
pub use handle::{Command, Forecast, GroupForecast, Handle, Rehearsal, RolloutError, Rollouts};
pub use metrics::Metrics;
pub use nudges::Nudges;
pub use plan::NotBegun;
pub use runner::Parts;
pub use supervisor::Supervisor;
