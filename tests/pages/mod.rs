//! The pages, rendered with everything that they can show.

mod credentials_are_managed_by_forms;
pub(crate) mod dashboard;
mod events_are_found_and_explained;
pub(crate) mod every_page_renders;
mod every_route_is_for_its_role;
mod firmware_images_are_listed;
mod firmware_updates_are_shown;
pub(crate) mod fleet;
mod icons_are_in_the_sprite;
mod many_are_asked_at_once;
mod models_are_uploaded_and_removed;
mod operations_are_found_and_explained;
mod roles_on_pages;
mod rollouts_are_shown;
mod the_list_of_devices_is_paged;
mod wanted_and_actual;
mod warnings_are_on_the_device_page;
