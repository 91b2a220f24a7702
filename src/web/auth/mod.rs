//! Who is asking, and what they may do.
//!
//! [`access`] finds out who is asking (a Bearer token, else the session cookie) and gives handlers
//! one of the views of [`views`]; [`mod@login`] begins and ends sessions; [`session`] keeps them in
//! the database; [`csrf`] refuses what another site made the browser send.

pub mod access;
mod chart_views;
mod credential_views;
pub mod csrf;
mod firmware_views;
mod fleet_views;
mod history;
mod lens;
mod limits;
pub mod login;
mod logs;
mod model_views;
pub mod names;
pub mod oidc;
mod operate;
mod own;
pub mod password;
mod people_views;
pub mod proxies;
mod rollout_views;
mod rules;
mod saved_filters;
mod second_factor;
pub mod session;
mod signal;
pub mod tokens;
mod update_views;
pub mod views;

pub use access::{Credential, Duty, Identity};
pub use credential_views::{GivenCredential, GivenProof, Refusal, Security};
pub use fleet_views::{AskedMany, BulkTarget};
pub use limits::{HourlyLimit, LoginLimits};
pub use login::{
    ChangePasswordError, LoginError, ProvedBy, await_code, awaited, change_password, check_code,
    end_session, ensure_admin, login, start_session,
};
pub use operate::Asked;
pub use own::{Myself, SecondFactor};
pub use password::PasswordHashing;
pub use second_factor::Enrolment;
pub use session::session_key;
pub use signal::{AccessNews, AccessSignal, Affected};
pub use views::{Admin, Operator, Stores, Viewer};
