//! Secrets and proofs: which credentials there are, and which device each one speaks for;
//! and who was refused.
//!
//! This room does no networking and knows no database. What is kept at rest is sealed here; who
//! keeps it is decided above.

pub mod certificates;
pub mod credential_input;
mod keyring;
mod refusals;
mod sealer;
mod vault;

pub use certificates::{Certificates, ServerCertificates};
pub use credential_input::{CheckedCertificate, CheckedCredential, CheckedProof, InputError};
pub use keyring::{Credential, Keyring, Proof, PskKey};
pub use refusals::{Refusals, Refused};
pub use sealer::Sealer;
pub use vault::{SECRETS_KEY_FILE, SECRETS_KEY_VARIABLE, Vault, VaultError};
