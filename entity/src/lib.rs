//! The tables, one file each. No queries, no logic: `src/store/` of flownexus has those.
//!
//! Times are epoch milliseconds, ids are given out by the store and never by the database.

pub mod api_token;
pub mod audit_log;
pub mod bulk_item;
pub mod bulk_operation;
pub mod credential;
pub mod device_log;
pub mod dtls_session;
pub mod endpoint;
pub mod endpoint_operation;
pub mod event;
pub mod event_resource;
pub mod firmware;
pub mod firmware_step;
pub mod firmware_update;
pub mod idempotency_key;
pub mod latest_resource;
pub mod log_resource;
pub mod object_model;
pub mod observation;
pub mod observation_template;
pub mod pinned_chart;
pub mod recovery_code;
pub mod registration;
pub mod resource;
pub mod resource_type;
pub mod revoked_certificate;
pub mod rollout;
pub mod rollout_target;
pub mod rollup_day;
pub mod rollup_hour;
pub mod rollup_minute;
pub mod rule;
pub mod rule_state;
pub mod saved_filter;
pub mod server_state;
pub mod session;
pub mod stored_answer;
pub mod traffic_day;
pub mod user;
pub mod wanted_observation;
