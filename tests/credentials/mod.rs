//! What devices prove themselves with: kept sealed, in force at once, managed beside the server.

mod a_missing_key_is_said_and_opens_nothing;
mod a_slow_disk_holds_up_nobody;
mod certificates;
mod changes_are_in_force_at_once;
mod managed_on_the_command_line;
mod managed_over_rest;
mod removed_certificates_stay_away;
