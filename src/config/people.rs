//! Who has to prove more than a password.

use serde::{Deserialize, Serialize};

/// Who has to set up one-time codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RequireTotp {
    /// Nobody has to, everybody may.
    None,
    /// Whoever manages people.
    Admin,
    /// Everybody.
    All,
}
