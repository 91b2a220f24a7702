//! The web room over real sockets: who may do what, what the API answers, and the live socket.

mod answers;
mod bulk_operations;
mod charts;
mod credentials;
mod cross_site;
mod every_change_is_told;
mod how_long_values_are_kept;
mod https;
mod live_socket;
mod login;
mod logs;
mod metrics_and_health;
mod object_models;
mod oidc;
mod openapi_document;
mod operations;
mod people;
mod roles;
mod rollouts;
mod rules;
mod saved_filters;
mod second_factor;
mod templates_and_profiles;

/// The one-time code of a secret, so many steps from now.
pub(crate) fn one_time_code(secret: &str, steps: i64) -> String {
    second_factor::code(secret, steps)
}
