//! People of each role are added on the page and log in: what they may not do is neither offered nor done. A token works
//! until it is revoked on the page.

use serde_json::{Value as Json, json};
use thirtyfour::By;

use crate::support::browser::Browser;
use crate::support::device::ScriptedDevice;
use crate::support::server::Server;

const PASSWORD: &str = "correct horse battery";

const ROLES: [&str; 3] = ["viewer", "operator", "admin"];

/// Pages, and the least role that sees them.
const PAGES: [(&str, &str); 13] = [
    ("/", "viewer"),
    ("/devices", "viewer"),
    ("/devices/pump", "viewer"),
    ("/charts", "viewer"),
    ("/map", "viewer"),
    ("/events", "viewer"),
    ("/operations", "viewer"),
    ("/firmware", "viewer"),
    ("/rollouts", "viewer"),
    ("/credentials", "admin"),
    ("/users", "admin"),
    ("/audit", "admin"),
    ("/settings", "admin"),
];

/// Where something can be done, what shows that it can, and the least role that may.
const CONTROLS: [(&str, &str, &str); 8] = [
    ("/devices/pump", "[data-action=operate]", "operator"),
    ("/devices/pump", "[data-action=profile]", "operator"),
    ("/devices/pump", "[data-action=forget]", "operator"),
    ("/firmware", "#firmware-form", "operator"),
    ("/events/rules", "form[action^='/events/rules']", "operator"),
    ("/models", "input[type=file]", "operator"),
    ("/", "a[href='/users']", "admin"),
    ("/account", "#token-name", "viewer"),
];

/// What a script of the page asks for, with the cookie of its person, and the least role that may.
const CALLS: [(&str, &str, &str, &str); 6] = [
    ("GET", "/api/v1/endpoints/pump", "", "viewer"),
    (
        "PATCH",
        "/api/v1/endpoints/pump",
        r#"{"tags": ["seen"]}"#,
        "operator",
    ),
    (
        "POST",
        "/api/v1/endpoints/pump/operations",
        r#"{"kind": "read", "path": "/1/0/1"}"#,
        "operator",
    ),
    ("GET", "/api/v1/users", "", "admin"),
    (
        "PATCH",
        "/api/v1/users/VIEWER",
        r#"{"role": "viewer"}"#,
        "admin",
    ),
    ("GET", "/api/v1/audit", "", "admin"),
];

async fn has(browser: &Browser, selector: &str) -> bool {
    let found = browser.driver.find_all(By::Css(selector)).await;
    !found.expect("asked").is_empty()
}

fn may(role: &str, least: &str) -> bool {
    let rank = |role| ROLES.iter().position(|one| *one == role);
    rank(role) >= rank(least)
}

#[tokio::test]
async fn what_a_person_may_not_do_is_neither_offered_nor_done() {
    let test = "what_a_person_may_not_do_is_neither_offered_nor_done";
    let Some(browser) = Browser::start(test).await else {
        return;
    };
    let server = Server::start().await;
    let mut device = ScriptedDevice::new("pump", server.coap());
    device.register_now(3600, "</1/0>");
    let url = server.url("");
    browser
        .log_in_first(&url, "admin", &server.admin_password())
        .await;
    for role in ROLES {
        let name = format!("a-{role}");
        browser.add_person(&url, &name, role, PASSWORD).await;
    }
    for role in ROLES {
        browser.log_out().await;
        browser.log_in(&url, &format!("a-{role}"), PASSWORD).await;
        for (path, least) in PAGES {
            browser.open(&server.url(path)).await;
            let heading = browser.element("h1").await.text().await.expect("a text");
            assert_eq!(
                !heading.contains("Not with your role"),
                may(role, least),
                "{role} {path}: {heading}"
            );
            browser.no_complaints().await;
        }
        for (path, selector, least) in CONTROLS {
            browser.open(&server.url(path)).await;
            browser.element("h1").await;
            assert_eq!(
                has(&browser, selector).await,
                may(role, least),
                "{role} {path} {selector}"
            );
        }
        for (method, path, body, least) in CALLS {
            let path = path.replace("VIEWER", "a-viewer");
            let body = if body.is_empty() {
                "undefined".to_owned()
            } else {
                format!("'{body}'")
            };
            let call = format!(
                "fetch('{path}', {{method: '{method}', body: {body}, headers: {{'Content-Type': 'application/json'}}}})\
                 .then((answer) => arguments[0](answer.status), (error) => arguments[0](String(error)))"
            );
            let status = browser.answer(&call).await;
            let refused = status == 403;
            assert_eq!(
                !refused,
                may(role, least),
                "{role} {method} {path}: {status}"
            );
            assert!(refused || status.as_u64() < Some(300), "{status}");
        }
    }
    browser.close().await;
}

#[tokio::test]
async fn a_token_works_until_it_is_revoked_on_the_page() {
    let test = "a_token_works_until_it_is_revoked_on_the_page";
    let Some(browser) = Browser::start(test).await else {
        return;
    };
    let server = Server::start().await;
    let url = server.url("");
    browser
        .log_in_first(&url, "admin", &server.admin_password())
        .await;
    browser.open(&server.url("/account")).await;
    browser.type_into("#token-name", "grafana").await;
    browser.press("#token-role option[value=viewer]").await;
    browser.press("#token-add").await;
    let shown = browser.element("#new-token").await.prop("value").await;
    let token = shown.expect("asked").expect("a token");
    let with_token = server.api().with_token(&token);
    let session: Json = with_token.read("/api/v1/session").await;
    assert_eq!(session["role"], "viewer", "{session}");
    let body = json!({"name": "x", "password": PASSWORD, "role": "viewer"});
    assert_eq!(with_token.post("/api/v1/users", &body).await.status(), 403);

    // It is not shown again, and its use is told.
    browser.open(&server.url("/account")).await;
    browser
        .text("#tokens tbody tr", |text| text.contains("grafana"))
        .await;
    assert!(!has(&browser, "#new-token").await);
    let page = browser.driver.source().await.expect("the page");
    assert!(!page.contains(&token));
    browser.script("window.confirm = () => true").await;
    browser
        .press("#tokens button[aria-label='Remove grafana']")
        .await;
    browser
        .text("#tokens", |text| !text.contains("grafana"))
        .await;
    assert_eq!(with_token.get("/api/v1/session").await.status(), 401);
    browser.no_complaints().await;
    browser.close().await;
}
