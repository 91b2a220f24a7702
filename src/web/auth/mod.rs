//! Who is asking, and what they may do.
//!
//! [`access`] finds out who is asking (a Bearer token, else the session cookie) and gives handlers
//! one of the views of [`views`]; [`mod@login`] begins and ends sessions; [`session`] keeps them in
//! the database; [`csrf`] refuses what another site made the browser send.

pub mod access;
mod credential_views;
pub mod csrf;
mod firmware_views;
mod fleet_views;
mod history;
mod limits;
pub mod login;
mod logs;
mod model_views;
pub mod password;
pub mod proxies;
mod rollout_views;
mod rules;
pub mod session;
pub mod tokens;
mod update_views;
pub mod views;

pub use access::{Credential, Identity};
pub use credential_views::{GivenCredential, GivenProof, Refusal, Security};
pub use fleet_views::BulkTarget;
pub use limits::LoginLimits;
pub use login::{
    ChangePasswordError, LoginError, change_password, end_session, ensure_admin, login,
    start_session,
};
pub use password::PasswordHashing;
pub use session::session_key;
pub use views::{Admin, Operator, Stores, Viewer};
