//! Secrets and proofs: which credentials there are, and which device each one speaks for.
//!
//! This room does no networking and knows no database. What is kept at rest is sealed here; who
//! keeps it is decided above.

pub mod certificates;
mod keyring;

pub use certificates::{Certificates, ServerCertificates};
pub use keyring::{Credential, Keyring, Proof, PskKey};
