//! Secrets and proofs: which credentials there are, and which device each one speaks for;
//! and who was refused.
//!
//! This room does no networking and knows no database. What is kept at rest is sealed here; who
//! keeps it is decided above.

mod keyring;
mod refusals;

pub use keyring::{Credential, Keyring, Proof, PskKey};
pub use refusals::{Refusals, Refused};
