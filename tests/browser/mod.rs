//! What people see, in a real browser. Skipped, visibly, where there is none.

mod a_credential_is_added_in_a_browser;
mod a_device_is_asked_through_its_page;
mod a_device_is_listened_to_on_its_page;
mod a_device_is_updated_through_its_page;
mod a_firmware_image_is_uploaded_in_a_browser;
mod a_page_is_open_for_long;
mod a_page_outlives_its_server;
mod a_rollout_is_planned_in_a_form;
mod a_rollout_is_run_through_its_page;
mod demo;
mod each_role_sees_what_it_may;
mod every_page_is_for_everybody;
mod lists_are_saved_under_a_name;
mod mistakes_are_told_beside_their_fields;
mod pages;
mod pages_are_light;
mod pages_stay_as_they_were_left;
mod pages_work_in_a_browser;
mod people_log_in_and_out;
mod pictures;
mod series_are_charted_and_pinned;
mod ten_thousand_devices;
mod the_demo_is_alive;
