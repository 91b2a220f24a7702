//! What devices and the server say to each other, over real UDP.

mod a_session_survives_its_nat;
mod command;
mod devices_begin_anew_beside_their_sessions;
mod devices_register_update_and_leave;
mod idle_actors_rest;
mod load_measures_what_the_server_acknowledged;
mod logs_become_lines;
mod malformed_datagrams_harm_nobody;
mod models_change_while_devices_are_registered;
mod observations_are_wanted_state;
mod operations_reach_devices;
mod people_watch_and_forget_devices;
mod rules_make_events;
mod simulated_devices_say_why_they_are_refused;
mod simulated_devices_show_raw_public_keys;
mod simulated_devices_speak_dtls;
mod the_log_names_whose_credential_was_used;
mod values_arrive;
mod what_is_asked_twice_is_done_once;
