//! Sessions under virtual time: every input, every commit, every action.

mod a_gateway_reports;
mod actors_rest;
mod bench;
mod disk;
mod logs_become_lines;
mod lost_observations_come_back;
mod notifications_are_stored_before_they_are_acknowledged;
mod observations_end_both_ways;
mod operations_wait_and_end;
mod refused_formats_are_remembered;
mod registrations_come_and_go;
mod restarts_go_on;
mod rules_make_events;
mod sends_are_read_by_the_models_of_the_device;
mod sessions_end;
mod sleeping_devices_are_left_alone;
mod templates_are_wanted_state;
mod wakes_in_every_pattern;
mod wanted_and_actual_meet;
mod what_devices_do_wrong_is_remembered;
mod what_templates_observe_is_no_operation_of_anybody;
mod who_asks_is_named_in_the_same_commit;
mod who_may_speak_for_a_device;
mod wishes;
