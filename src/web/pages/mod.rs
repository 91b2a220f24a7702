//! The pages: templates filled from the same views of the store that the API uses.
//!
//! A handler takes a [`Viewer`](super::auth::Viewer), [`Operator`](super::auth::Operator) or
//! [`Admin`](super::auth::Admin), reads, and renders; `errors::as_page` turns refusals
//! into the login form or an error page. Forms post back to the page they are on; what happens to
//! devices goes through the REST API, from the scripts in `assets/js`. Everything that comes from
//! devices is escaped by the template engine.

mod account;
pub mod assets;
mod audit;
mod browsers;
mod bulk;
mod charts;
mod chrome;
mod credentials;
mod device;
mod device_log;
mod device_security;
mod device_view;
mod devices;
mod errors;
mod events;
mod firmware;
mod first_steps;
mod login;
mod meanings;
mod mistake;
mod models;
mod newest_first;
mod observation_templates;
mod operations;
mod overview;
mod people;
pub mod render;
mod rollout_lines;
mod rollouts;
mod rules;
mod settings;
mod traffic;
mod updates;
mod words;

use actix_web::middleware::{Compress, from_fn};
use actix_web::web::{self, ServiceConfig};

/// Adds the routes of the pages. It comes last: whatever no other route takes is answered with a
/// page that says so.
pub fn configure(cfg: &mut ServiceConfig) {
    cfg.service(
        web::scope("")
            .wrap(from_fn(errors::as_page))
            .wrap(Compress::default())
            .route("/assets/{file}", web::get().to(assets::serve))
            .route("/login", web::get().to(login::login_form))
            .route("/login", web::post().to(login::login))
            .route("/login/code", web::get().to(login::code_form))
            .route("/login/code", web::post().to(login::code))
            .route("/login/oidc", web::get().to(login::begin_oidc))
            .route("/login/oidc/return", web::get().to(login::finish_oidc))
            .route("/logout", web::post().to(login::logout))
            .configure(own_account)
            .route("/", web::get().to(overview::page))
            .route("/devices", web::get().to(devices::page))
            .route("/devices/{name}", web::get().to(device::page))
            .route("/charts", web::get().to(charts::page))
            .route("/map", web::get().to(charts::map))
            .route("/events", web::get().to(events::list))
            .route("/events/rules", web::get().to(rules::page))
            .route("/events/rules", web::post().to(rules::add))
            .route("/events/rules/{id}", web::get().to(rules::one))
            .route("/events/rules/{id}", web::post().to(rules::replace))
            .route("/events/rules/{id}/enable", web::post().to(rules::enable))
            .route("/events/rules/{id}/disable", web::post().to(rules::disable))
            .route("/events/rules/{id}/remove", web::post().to(rules::remove))
            .route("/events/{id}", web::get().to(events::one))
            .route("/operations", web::get().to(operations::list))
            .route("/operations/bulk/{id}", web::get().to(bulk::page))
            .route("/models", web::get().to(models::list))
            .route("/models", web::post().to(models::add))
            .route("/models/{object_id}/{version}", web::get().to(models::one))
            .route(
                "/models/{object_id}/{version}/remove",
                web::post().to(models::remove),
            )
            .route("/templates", web::get().to(observation_templates::page))
            .route("/templates", web::post().to(observation_templates::add))
            .route(
                "/templates/{id}",
                web::post().to(observation_templates::replace),
            )
            .route(
                "/templates/{id}/toggle",
                web::post().to(observation_templates::toggle),
            )
            .route(
                "/templates/{id}/remove",
                web::post().to(observation_templates::remove),
            )
            .route("/firmware", web::get().to(firmware::page))
            .route("/rollouts", web::get().to(rollouts::list))
            .route("/rollouts/{id}", web::get().to(rollouts::one))
            .configure(people)
            .route("/credentials", web::get().to(credentials::page))
            .route("/credentials", web::post().to(credentials::add))
            .route("/credentials/revoked", web::post().to(credentials::revoke))
            .route(
                "/credentials/restored",
                web::post().to(credentials::restore),
            )
            .route(
                "/credentials/{id}/remove",
                web::post().to(credentials::remove),
            )
            .route("/audit", web::get().to(audit::page))
            .route("/audit.csv", web::get().to(audit::table))
            .route("/settings", web::get().to(settings::page))
            .route("/about", web::get().to(settings::about))
            .default_service(web::to(errors::not_found)),
    );
}

/// One's own account.
fn own_account(cfg: &mut ServiceConfig) {
    cfg.route("/account", web::get().to(account::page))
        .route("/account", web::post().to(account::change_password))
        .route(
            "/account/sessions/end",
            web::post().to(account::end_sessions),
        )
        .route("/account/totp/begin", web::post().to(account::begin_totp))
        .route(
            "/account/totp/confirm",
            web::post().to(account::confirm_totp),
        )
        .route("/account/totp/remove", web::post().to(account::remove_totp))
        .route("/account/tokens", web::post().to(account::add_token))
        .route(
            "/account/tokens/{id}/remove",
            web::post().to(account::remove_token),
        );
}

/// People, and what opens the door for programs.
fn people(cfg: &mut ServiceConfig) {
    cfg.route("/users", web::get().to(people::users))
        .route("/users", web::post().to(people::add_user))
        .route("/users/role", web::post().to(people::change_role))
        .route("/users/disable", web::post().to(people::disable))
        .route("/users/enable", web::post().to(people::enable))
        .route("/users/password", web::post().to(people::set_password))
        .route("/users/totp/remove", web::post().to(people::remove_totp))
        .route("/users/remove", web::post().to(people::remove_user))
        .route("/users/sessions/end", web::post().to(people::end_session))
        .route("/tokens", web::post().to(people::add_token))
        .route("/tokens/{id}/remove", web::post().to(people::remove_token));
}
