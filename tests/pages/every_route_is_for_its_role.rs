//! Every page and every form, asked by nobody, by every role, and by somebody who has something to do first.

use actix_web::http::StatusCode;
use flownexus::store::Role;

use super::dashboard::{Browser, Page, password_hash};
use super::fleet::Fleet;

/// Which role a page or form is for; `None`: whoever is logged in, whatever they have to do first.
const ROUTES: &[(&str, &str, Option<Role>)] = &[
    ("get", "/account", None),
    ("post", "/account", None),
    ("post", "/account/sessions/end", None),
    ("post", "/account/totp/begin", None),
    ("post", "/account/totp/confirm", None),
    ("post", "/account/totp/remove", None),
    ("post", "/account/tokens", Some(Role::Viewer)),
    ("post", "/account/tokens/0/remove", Some(Role::Viewer)),
    ("get", "/", Some(Role::Viewer)),
    ("get", "/devices", Some(Role::Viewer)),
    ("get", "/devices/0", Some(Role::Viewer)),
    ("get", "/charts", Some(Role::Viewer)),
    ("get", "/map", Some(Role::Viewer)),
    ("get", "/events", Some(Role::Viewer)),
    ("get", "/events/0", Some(Role::Viewer)),
    ("get", "/events/rules", Some(Role::Viewer)),
    ("post", "/events/rules", Some(Role::Operator)),
    ("get", "/events/rules/0", Some(Role::Viewer)),
    ("post", "/events/rules/0", Some(Role::Operator)),
    ("post", "/events/rules/0/enable", Some(Role::Operator)),
    ("post", "/events/rules/0/disable", Some(Role::Operator)),
    ("post", "/events/rules/0/remove", Some(Role::Operator)),
    ("get", "/operations", Some(Role::Viewer)),
    ("get", "/operations/bulk/0", Some(Role::Viewer)),
    ("get", "/models", Some(Role::Viewer)),
    ("post", "/models", Some(Role::Operator)),
    ("get", "/models/0/0", Some(Role::Viewer)),
    ("post", "/models/0/0/remove", Some(Role::Operator)),
    ("get", "/templates", Some(Role::Viewer)),
    ("post", "/templates", Some(Role::Operator)),
    ("post", "/templates/0", Some(Role::Operator)),
    ("post", "/templates/0/toggle", Some(Role::Operator)),
    ("post", "/templates/0/remove", Some(Role::Operator)),
    ("get", "/firmware", Some(Role::Viewer)),
    ("get", "/rollouts", Some(Role::Viewer)),
    ("get", "/rollouts/0", Some(Role::Viewer)),
    ("get", "/users", Some(Role::Admin)),
    ("post", "/users", Some(Role::Admin)),
    ("post", "/users/role", Some(Role::Admin)),
    ("post", "/users/disable", Some(Role::Admin)),
    ("post", "/users/enable", Some(Role::Admin)),
    ("post", "/users/password", Some(Role::Admin)),
    ("post", "/users/totp/remove", Some(Role::Admin)),
    ("post", "/users/remove", Some(Role::Admin)),
    ("post", "/users/sessions/end", Some(Role::Admin)),
    ("post", "/tokens", Some(Role::Admin)),
    ("post", "/tokens/0/remove", Some(Role::Admin)),
    ("get", "/credentials", Some(Role::Admin)),
    ("post", "/credentials", Some(Role::Admin)),
    ("post", "/credentials/revoked", Some(Role::Admin)),
    ("post", "/credentials/restored", Some(Role::Admin)),
    ("post", "/credentials/0/remove", Some(Role::Admin)),
    ("get", "/audit", Some(Role::Admin)),
    ("get", "/audit.csv", Some(Role::Admin)),
    ("get", "/settings", Some(Role::Admin)),
    ("get", "/about", Some(Role::Viewer)),
];

/// For everybody, logged in or not.
const OPEN: &[&str] = &[
    "/assets/0",
    "/login",
    "/login/code",
    "/login/oidc",
    "/login/oidc/return",
    "/logout",
];

async fn ask(browser: &mut Browser, method: &str, path: &str) -> Page {
    match method {
        "get" => browser.get(path).await,
        _ => browser.post(path, &[]).await,
    }
}

#[actix_web::test]
async fn pages_and_forms_are_for_those_whose_role_is_large_enough() {
    let fleet = Fleet::new(password_hash());
    let mut nobody = Browser::new(fleet.clone());
    for (method, path, _) in ROUTES {
        let page = ask(&mut nobody, method, path).await;
        assert_eq!(page.status, StatusCode::SEE_OTHER, "{method} {path}");
        assert!(page.location.starts_with("/login"), "{method} {path}");
    }
    for (name, role) in [
        ("viewer", Role::Viewer),
        ("operator", Role::Operator),
        ("admin", Role::Admin),
    ] {
        let mut browser = nobody.again_as(name).await;
        for (method, path, needed) in ROUTES {
            let page = ask(&mut browser, method, path).await;
            let enough = needed.is_none_or(|needed| role >= needed);
            if enough {
                let refused = [401, 403, 405, 500].contains(&page.status.as_u16());
                let sent_away = page.location.starts_with("/login");
                assert!(
                    !refused && !sent_away,
                    "{method} {path} as {name}: {}",
                    page.status
                );
            } else {
                assert_eq!(
                    page.status,
                    StatusCode::FORBIDDEN,
                    "{method} {path} as {name}"
                );
            }
        }
    }
    for user in &mut fleet.people().users {
        user.must_change_password = true;
    }
    let mut browser = nobody.again_as("admin").await;
    for (method, path, needed) in ROUTES.iter().filter(|(_, _, needed)| needed.is_some()) {
        let page = ask(&mut browser, method, path).await;
        assert_eq!(page.location, "/account", "{method} {path} {needed:?}");
    }
}

/// A route that is served but not in the table above would go unchecked.
#[test]
fn the_table_is_complete() {
    let source = include_str!("../../src/web/pages/mod.rs");
    for route in source.split(".route(").skip(1) {
        let mut parts = route.split('"');
        let path = parts.nth(1).expect("a path");
        let method = route.split("web::").nth(1).expect("a method");
        let method = method.split('(').next().unwrap_or_default();
        let segments = path
            .split('/')
            .map(|segment| match segment.starts_with('{') {
                true => "0",
                false => segment,
            });
        let path = segments.collect::<Vec<_>>().join("/");
        let known = ROUTES
            .iter()
            .any(|(its, one, _)| *its == method && *one == path);
        assert!(known || OPEN.contains(&path.as_str()), "{method} {path}");
    }
}
