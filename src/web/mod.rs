//! The pages, the REST API, the live socket and the health and metrics endpoints.
//!
//! A request passes [`router`]'s middleware (addresses, sessions, who is asking, cross-site check),
//! then a handler that is given a view of the store: [`auth::Viewer`], [`auth::Operator`] or
//! [`auth::Admin`]. What a view has no method for cannot be done by the handlers that get it, and
//! every method that changes something writes the audit log.
//!
//! This room never talks to devices itself: it asks [`Devices`](crate::registry::Devices). Errors
//! become HTTP in [`error`], and nowhere else. What devices send is data, never markup.

pub mod api;
pub mod auth;
mod bodies;
pub mod credentials;
pub mod csv;
pub mod device_query;
pub mod error;
mod fallback;
pub mod firmware_files;
mod firmware_upload;
mod head;
mod idempotency;
pub mod metrics;
pub mod models;
mod observed;
pub mod openapi;
pub mod pages;
pub mod router;
mod security;
pub mod state;
mod tls;
mod unreadable;
mod upload;
mod waiting;
pub mod ws;

pub use error::ApiError;
pub use router::{ServeError, app, serve};
pub use state::{AppParts, AppState, Readiness};
pub use tls::TlsError;
