//! The REST API under `/api/v1` and, for gateways, `/leshan_api`, one file per resource. The calls, fields and status words are
//! fixed: scripts rely on them.

mod audit;
mod bulk;
mod chart_choice;
mod credentials;
mod endpoints;
mod events;
pub(super) mod examples;
mod filter;
mod firmware;
mod firmware_updates;
mod health;
mod leshan;
mod locations;
mod log_resources;
mod logs;
mod messages;
mod models;
mod object;
mod operation_parameters;
mod operation_request;
mod operations;
mod own_account;
mod pinned_charts;
mod profile;
mod query;
pub(super) mod refused;
mod resources;
mod retention;
mod rollout_request;
mod rollout_view;
mod rollouts;
mod rules;
mod saved_filters;
mod series;
mod session;
mod sessions;
mod template_request;
mod templates;
mod tokens;
mod traffic;
mod users;

use actix_web::web;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::config::Settings;

use super::{error, fallback, metrics, openapi, ws};

pub(in crate::web) use chart_choice::RANGES;
pub use filter::DeviceFilter;
pub use operation_request::{OperationBody, check as check_operation};
pub(in crate::web) use rollout_request::{DEFAULT_ERROR_PERCENT, DEFAULT_SUCCESS_PERCENT};
pub use rules::{ConditionBody, RuleBody, check as check_rule};
pub use template_request::{TemplateBody, check as check_template};

/// Every route of the API, of health and metrics, and the answers for what is none.
pub(super) fn configure(cfg: &mut web::ServiceConfig, settings: &Settings) {
    cfg.app_data(error::json_config(settings.web.max_json_bytes))
        .app_data(error::path_config())
        .app_data(error::query_config());
    serve(cfg);
    let nothing = || web::to(fallback::not_found);
    cfg.service(openapi::docs())
        .service(web::scope("/api").default_service(nothing()))
        .service(web::scope("/health").default_service(nothing()))
        .service(web::resource("/metrics").default_service(nothing()));
}

/// The routes, for what describes them as for what serves them.
macro_rules! routes {
    ($cfg:expr, $scope:path) => {
        $cfg.service(health::check_live)
            .service(health::check_ready)
            .service(metrics::show_metrics)
            .service(
                $scope("/api/v1")
                    .service(endpoints::list_endpoints)
                    .service(endpoints::download_endpoints)
                    .service(endpoints::show_endpoint)
                    .service(endpoints::delete_endpoint)
                    .service(profile::change_endpoint)
                    .service(operations::create_operation)
                    .service(operations::list_operations)
                    .service(operations::search_operations)
                    .service(operations::show_operation)
                    .service(operations::cancel_operation)
                    .service(operations::repeat_operation)
                    .service(bulk::create_bulk)
                    .service(bulk::list_bulks)
                    .service(bulk::show_bulk)
                    .service(bulk::list_bulk_devices)
                    .service(bulk::cancel_bulk)
                    .service(resources::list_resources)
                    .service(resources::show_history)
                    .service(resources::list_data)
                    .service(series::list_series)
                    .service(series::search_series)
                    .service(series::download_series)
                    .service(pinned_charts::list_pinned_charts)
                    .service(pinned_charts::create_pinned_chart)
                    .service(pinned_charts::change_pinned_chart)
                    .service(pinned_charts::delete_pinned_chart)
                    .service(saved_filters::list_saved_filters)
                    .service(saved_filters::save_filter)
                    .service(saved_filters::delete_saved_filter)
                    .service(locations::list_locations)
                    .service(retention::list_resource_types)
                    .service(retention::set_retention)
                    .service(logs::list_logs)
                    .service(messages::list_messages)
                    .service(messages::download_messages)
                    .service(messages::show_message)
                    .service(traffic::show_endpoint_traffic)
                    .service(traffic::show_traffic)
                    .service(log_resources::list_log_resources)
                    .service(log_resources::create_log_resource)
                    .service(log_resources::delete_log_resource)
                    .service(events::list_events)
                    .service(events::show_event)
                    .service(rules::list_rules)
                    .service(rules::show_rule)
                    .service(rules::create_rule)
                    .service(rules::replace_rule)
                    .service(rules::delete_rule)
                    .service(templates::list_templates)
                    .service(templates::create_template)
                    .service(templates::replace_template)
                    .service(templates::delete_template)
                    .service(models::list_models)
                    .service(models::create_models)
                    .service(models::show_object)
                    .service(models::show_model)
                    .service(models::show_model_definition)
                    .service(models::delete_model)
                    .service(firmware::list_firmware)
                    .service(firmware::create_firmware)
                    .service(firmware::show_firmware)
                    .service(firmware::show_firmware_file)
                    .service(firmware::describe_firmware)
                    .service(firmware::delete_firmware)
                    .service(firmware_updates::list_updates)
                    .service(firmware_updates::create_update)
                    .service(firmware_updates::show_update)
                    .service(firmware_updates::cancel_update)
                    .service(rollouts::list_rollouts)
                    .service(rollouts::create_rollout)
                    .service(rollouts::rehearse_rollout)
                    .service(rollouts::show_rollout)
                    .service(rollouts::delete_rollout)
                    .service(rollouts::list_targets)
                    .service(rollouts::start_rollout)
                    .service(rollouts::pause_rollout)
                    .service(rollouts::resume_rollout)
                    .service(rollouts::stop_rollout)
                    .service(rollouts::roll_back_rollout)
                    .service(users::list_users)
                    .service(users::create_user)
                    .service(users::delete_user)
                    .service(users::change_user)
                    .service(users::set_user_password)
                    .service(users::delete_user_totp)
                    .service(tokens::list_tokens)
                    .service(tokens::create_token)
                    .service(tokens::delete_token)
                    // The longer paths first: `revoked` is no number.
                    .service(credentials::list_revoked)
                    .service(credentials::create_revoked)
                    .service(credentials::delete_revoked)
                    .service(credentials::list_credentials)
                    .service(credentials::create_credential)
                    .service(credentials::show_credential)
                    .service(credentials::delete_credential)
                    .service(audit::list_audit)
                    .service(session::log_in)
                    .service(session::who_am_i)
                    .service(session::log_out)
                    .service(own_account::change_password)
                    .service(own_account::list_own_sessions)
                    .service(own_account::end_other_sessions)
                    .service(own_account::end_own_session)
                    .service(own_account::show_totp)
                    .service(own_account::begin_totp)
                    .service(own_account::confirm_totp)
                    .service(own_account::remove_totp)
                    .service(own_account::list_own_tokens)
                    .service(own_account::create_own_token)
                    .service(own_account::delete_own_token)
                    .service(sessions::list_sessions)
                    .service(sessions::end_session)
                    .service(ws::listen_live)
                    .service(openapi::show_openapi)
                    .default_service(web::to(fallback::not_found)),
            )
            .service(
                $scope("/leshan_api")
                    .service(leshan::post_single)
                    .service(leshan::post_composite)
                    .service(leshan::list_rows)
                    .default_service(web::to(fallback::not_found)),
            );
    };
}

/// The routes with their description; the OpenAPI document is collected from here.
pub(super) fn describe(cfg: &mut ServiceConfig<'_>) {
    routes!(cfg, utoipa_actix_web::scope);
}

/// The routes alone: what they are described with would take more memory than all else of a worker.
fn serve(cfg: &mut web::ServiceConfig) {
    routes!(cfg, web::scope);
}

/// Reads the `after` of the live socket.
pub(super) fn parse_after(text: Option<&str>) -> Result<Option<u64>, super::ApiError> {
    query::parse("after", text)
}

/// Reads the `gathered` of the live socket.
pub(super) fn parse_gathered(text: Option<&str>) -> Result<bool, super::ApiError> {
    Ok(query::parse("gathered", text)?.unwrap_or(false))
}
