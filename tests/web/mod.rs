//! The web room over real sockets: who may do what, what the API answers, and the live socket.

mod answers;
mod bulk_operations;
mod credentials;
mod cross_site;
mod how_long_values_are_kept;
mod live_socket;
mod login;
mod logs;
mod metrics_and_health;
mod object_models;
mod openapi_document;
mod operations;
mod roles;
mod rollouts;
mod rules;
mod templates_and_profiles;
