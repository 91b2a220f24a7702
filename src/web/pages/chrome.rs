//! What surrounds every page: the navigation and who is logged in.

use actix_web::HttpResponse;
use actix_web::http::{StatusCode, header};
use serde::Serialize;
use tera::Context;

use super::render;
use crate::store::Role;
use crate::web::ApiError;
use crate::web::auth::views::role_name;
use crate::web::auth::{Duty, Viewer};

/// The pages of the navigation: address, label, icon, and who sees it.
const NAVIGATION: &[(&str, &str, &str, Role)] = &[
    ("/", "Overview", "home", Role::Viewer),
    ("/devices", "Devices", "devices", Role::Viewer),
    ("/charts", "Charts", "chart-line", Role::Viewer),
    ("/map", "Map", "map-2", Role::Viewer),
    ("/events", "Events", "bolt", Role::Viewer),
    ("/operations", "Operations", "send", Role::Viewer),
    ("/models", "Models", "list-details", Role::Viewer),
    ("/templates", "Templates", "template", Role::Viewer),
    ("/firmware", "Firmware", "cpu", Role::Viewer),
    ("/rollouts", "Rollouts", "rocket", Role::Viewer),
    ("/credentials", "Credentials", "key", Role::Admin),
];

/// The pages in the menu of the person, which would not fit beside the others.
const MANAGEMENT: &[(&str, &str, &str, Role)] = &[
    ("/users", "Users", "users", Role::Admin),
    ("/audit", "Audit", "history", Role::Admin),
    ("/settings", "Settings", "settings", Role::Admin),
];

/// A page that is being put together.
pub(super) struct Page {
    context: Context,
}

impl Page {
    /// A page below this entry of the navigation. Made before anything is read from the store: the
    /// script asks for the live messages from here on.
    pub(super) fn new(viewer: &Viewer, section: &str) -> Self {
        let identity = viewer.identity();
        let mut page = Self {
            context: Context::new(),
        };
        let visible = |pages: &'static [(&str, &str, &str, Role)]| -> Vec<Item> {
            pages
                .iter()
                // Who has something to do first has nowhere else to go.
                .filter(|(_, _, _, role)| identity.role >= *role && identity.duty.is_none())
                .map(|(href, label, icon, _)| Item {
                    href,
                    label,
                    icon,
                    active: *href == section,
                })
                .collect()
        };
        page.insert("live_seq", &viewer.live().last_seq());
        page.insert("navigation", &visible(NAVIGATION));
        page.insert("management", &visible(MANAGEMENT));
        page.insert(
            "viewer",
            &Visitor {
                name: &identity.name,
                role: role_name(identity.role),
                can_operate: identity.role >= Role::Operator,
                is_admin: identity.role >= Role::Admin,
                duty: match identity.duty {
                    None => "",
                    Some(Duty::ChangePassword) => "password",
                    Some(Duty::SetUpTotp) => "totp",
                },
            },
        );
        page
    }

    /// A page for somebody who is not known.
    pub(super) fn bare() -> Self {
        Self {
            context: Context::new(),
        }
    }

    /// Gives the template a variable.
    pub(super) fn insert<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) {
        self.context.insert(name, value);
    }

    /// Renders the template.
    pub(super) fn render(&self, template: &str) -> Result<HttpResponse, ApiError> {
        self.render_as(StatusCode::OK, template)
    }

    /// Renders the template for an answer with this status.
    pub(super) fn render_as(
        &self,
        status: StatusCode,
        template: &str,
    ) -> Result<HttpResponse, ApiError> {
        let html = render::render(template, &self.context)
            .map_err(|error| ApiError::internal(format!("template {template}: {error}")))?;
        Ok(HttpResponse::build(status)
            .insert_header((header::CONTENT_TYPE, "text/html; charset=utf-8"))
            .insert_header((header::CACHE_CONTROL, "no-store"))
            .body(html))
    }
}

/// A redirect that ends a form.
pub(super) fn see_other(location: &str) -> HttpResponse {
    HttpResponse::SeeOther()
        .insert_header((header::LOCATION, location))
        .finish()
}

#[derive(Serialize)]
struct Item {
    href: &'static str,
    label: &'static str,
    icon: &'static str,
    active: bool,
}

#[derive(Serialize)]
struct Visitor<'a> {
    name: &'a str,
    role: &'static str,
    can_operate: bool,
    is_admin: bool,
    /// What has to be done first: `password`, `totp`, or nothing.
    duty: &'static str,
}
