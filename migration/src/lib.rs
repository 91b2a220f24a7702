//! The schema of the database, one file per step. Each step runs in a transaction of its own, on
//! SQLite and PostgreSQL alike, and says why it is there.
#![expect(
    elided_lifetimes_in_paths,
    reason = "async_trait wants the signatures of MigrationTrait to the letter"
)]

use sea_orm_migration::prelude::*;

mod columns;
mod m20261123_000001_create_endpoint;
mod m20261123_000002_create_registration;
mod m20261123_000003_create_observation;
mod m20261123_000004_create_resource_type;
mod m20261123_000005_create_resource;
mod m20261123_000006_create_latest_resource;
mod m20261123_000007_create_event;
mod m20261123_000008_create_event_resource;
mod m20261123_000009_create_endpoint_operation;
mod m20261123_000010_create_stored_answer;
mod m20261123_000011_create_observation_template;
mod m20261123_000012_create_user;
mod m20261123_000013_create_session;
mod m20261123_000014_create_api_token;
mod m20261123_000015_create_audit_log;
mod m20261123_000016_create_server_state;
mod m20261125_000010_endpoints_are_learnt_of;
mod m20261125_000020_create_object_model;
mod m20261125_000030_endpoints_have_a_profile;
mod m20261125_000031_templates_choose_devices;
mod m20261125_000032_create_wanted_observation;
mod m20261125_000040_create_rule;
mod m20261125_000041_create_rule_state;
mod m20261125_000042_add_rule_to_event;
mod m20261125_000043_create_device_log;
mod m20261125_000044_create_log_resource;
mod m20261125_000050_know_endpoints_through_gateways;
mod m20261125_000051_find_operations_by_kind;
mod m20261125_000060_create_credential;
mod m20261125_000061_create_revoked_certificate;
mod m20261129_000010_create_dtls_session;
mod m20261129_000020_create_rollups;
mod m20261129_000021_types_have_a_retention;
mod m20261129_000022_find_events_of_values;
mod m20261129_000023_partition_resource;
mod m20261130_000010_create_firmware;
mod m20261130_000020_create_firmware_update;
mod m20261130_000021_create_firmware_step;
mod m20261130_000030_create_rollout;
mod m20261130_000031_create_rollout_target;
mod m20261130_000032_updates_have_a_direction;
mod m20261130_000100_create_traffic_day;
mod m20261130_000200_people_are_disabled;
mod m20261130_000201_codes_are_a_second_factor;
mod m20261130_000202_sessions_are_told_apart;
mod m20261130_000203_tokens_have_owners;
mod m20261130_000204_find_lines_of_the_audit_log;
mod m20261130_000300_create_pinned_chart;
mod m20261130_000400_devices_are_found_by_what_they_are;
mod m20261130_000401_find_operations_by_their_end;
mod m20261130_000410_create_bulk_operation;
mod m20261130_000500_create_idempotency_key;
mod m20261130_000501_bulk_operations_have_keys;
mod m20261130_000600_create_saved_filter;
mod m20261201_000010_find_bulk_operations_by_operation;
mod m20261201_000020_find_events_of_rules;

/// All steps in order.
#[derive(Debug)]
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m20261123_000001_create_endpoint::Migration),
            Box::new(m20261123_000002_create_registration::Migration),
            Box::new(m20261123_000003_create_observation::Migration),
            Box::new(m20261123_000004_create_resource_type::Migration),
            Box::new(m20261123_000005_create_resource::Migration),
            Box::new(m20261123_000006_create_latest_resource::Migration),
            Box::new(m20261123_000007_create_event::Migration),
            Box::new(m20261123_000008_create_event_resource::Migration),
            Box::new(m20261123_000009_create_endpoint_operation::Migration),
            Box::new(m20261123_000010_create_stored_answer::Migration),
            Box::new(m20261123_000011_create_observation_template::Migration),
            Box::new(m20261123_000012_create_user::Migration),
            Box::new(m20261123_000013_create_session::Migration),
            Box::new(m20261123_000014_create_api_token::Migration),
            Box::new(m20261123_000015_create_audit_log::Migration),
            Box::new(m20261123_000016_create_server_state::Migration),
            Box::new(m20261125_000010_endpoints_are_learnt_of::Migration),
            Box::new(m20261125_000020_create_object_model::Migration),
            Box::new(m20261125_000030_endpoints_have_a_profile::Migration),
            Box::new(m20261125_000031_templates_choose_devices::Migration),
            Box::new(m20261125_000032_create_wanted_observation::Migration),
            Box::new(m20261125_000040_create_rule::Migration),
            Box::new(m20261125_000041_create_rule_state::Migration),
            Box::new(m20261125_000042_add_rule_to_event::Migration),
            Box::new(m20261125_000043_create_device_log::Migration),
            Box::new(m20261125_000044_create_log_resource::Migration),
            Box::new(m20261125_000050_know_endpoints_through_gateways::Migration),
            Box::new(m20261125_000051_find_operations_by_kind::Migration),
            Box::new(m20261125_000060_create_credential::Migration),
            Box::new(m20261125_000061_create_revoked_certificate::Migration),
            Box::new(m20261129_000010_create_dtls_session::Migration),
            Box::new(m20261129_000020_create_rollups::Migration),
            Box::new(m20261129_000021_types_have_a_retention::Migration),
            Box::new(m20261129_000022_find_events_of_values::Migration),
            Box::new(m20261129_000023_partition_resource::Migration),
            Box::new(m20261130_000010_create_firmware::Migration),
            Box::new(m20261130_000020_create_firmware_update::Migration),
            Box::new(m20261130_000021_create_firmware_step::Migration),
            Box::new(m20261130_000030_create_rollout::Migration),
            Box::new(m20261130_000031_create_rollout_target::Migration),
            Box::new(m20261130_000032_updates_have_a_direction::Migration),
            Box::new(m20261130_000100_create_traffic_day::Migration),
            Box::new(m20261130_000200_people_are_disabled::Migration),
            Box::new(m20261130_000201_codes_are_a_second_factor::Migration),
            Box::new(m20261130_000202_sessions_are_told_apart::Migration),
            Box::new(m20261130_000203_tokens_have_owners::Migration),
            Box::new(m20261130_000204_find_lines_of_the_audit_log::Migration),
            Box::new(m20261130_000300_create_pinned_chart::Migration),
            Box::new(m20261130_000400_devices_are_found_by_what_they_are::Migration),
            Box::new(m20261130_000401_find_operations_by_their_end::Migration),
            Box::new(m20261130_000410_create_bulk_operation::Migration),
            Box::new(m20261130_000500_create_idempotency_key::Migration),
            Box::new(m20261130_000501_bulk_operations_have_keys::Migration),
            Box::new(m20261130_000600_create_saved_filter::Migration),
            Box::new(m20261201_000010_find_bulk_operations_by_operation::Migration),
            Box::new(m20261201_000020_find_events_of_rules::Migration),
        ]
    }
}
