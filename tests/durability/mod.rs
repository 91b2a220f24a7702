//! Nothing acknowledged is lost, and a restart is invisible: a real process, real UDP, SIGKILL.

mod a_device_that_cannot_be_read_expires_later;
mod a_restart_is_invisible_to_devices;
mod blockwise_notifications_survive_the_server;
mod downtime_is_forgiven_each_time;
mod dtls_sessions_survive_the_server;
mod limits_of_dtls_sessions_hold;
mod operations_survive_the_server;
mod rules_survive_the_server;
mod the_promises_hold_on_postgresql;
mod wanted_observations_survive_the_server;
mod what_is_acknowledged_is_on_disk;
mod what_many_are_asked_survives_the_server;
