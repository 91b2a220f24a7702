//! What the store promises, on SQLite and on PostgreSQL.

mod a_commit_happens_wholly_or_not_at_all;
mod a_full_queue_says_so;
mod a_killed_process_loses_nothing_that_was_confirmed;
mod a_lost_connection_comes_back;
mod batches_change_nothing_but_the_speed;
mod credentials_are_kept;
mod devices_are_listed_and_forgotten;
mod downtime_is_forgiven;
mod dtls_sessions_are_kept;
mod endpoints_are_known_through_gateways;
mod history_keeps_its_extremes;
mod live_messages_follow_the_commit;
mod logs_are_found_and_removed;
mod one_process_at_a_time;
mod people_programs_and_their_doings;
mod records_survive_the_round_trip;
mod registrations_replace_each_other;
mod row_ids_are_never_used_twice;
mod rules_and_where_they_stand;
mod samples;
mod the_latest_value_is_the_newest;
mod the_schema_goes_up_and_down;
mod the_write_ahead_log_stays_small;
mod two_processes_write_at_once;
mod uploaded_models_are_kept;
