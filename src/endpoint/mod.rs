//! One device: an actor around a plain struct.
//!
//! [`session`] decides, without I/O and without a clock of its own, what each thing that arrives
//! means: which changes must be on disk, and what may be said once they are. `actor` owns the
//! mailbox: it feeds the session, hands commits to the store's writer, and carries out what the
//! session wants only after the commit it waits for. `wire` is what the actor may do with the
//! network.
//!
//! An actor lives while its device is registered and something was heard of it not too long ago, or while
//! somebody wants something of it. When it rests, dies of a panic, or when a commit fails, the registry
//! starts a new one from what is stored as soon as something is for it (docs/adr/0010).

mod actor;
mod in_order;
mod links;
mod loads;
mod messages;
mod metrics;
pub mod session;
mod settings;
mod waiters;
mod wire;

pub use actor::{EndpointActor, Start};
pub use links::Links;
pub use loads::Loads;
pub use messages::{
    AwaitEnd, Cancel, CancelUpdate, ChangeProfile, Deliver, Forget, Guard, LookAtTemplates, Lost,
    MakeRoom, NotTaken, Operate, Report, UpdateFirmware,
};
pub use metrics::Metrics;
pub use session::{Gate, Images, Input, Memo, RuleSet, Shared, UpdateRefusal};
pub use settings::SessionSettings;
pub use wire::{Listening, Routes, Wire};
