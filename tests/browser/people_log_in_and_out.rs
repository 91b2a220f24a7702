//! People in a browser: a person is added, sets up one-time codes, ends another session, comes back in two steps, is told that
//! the login has ended, and somebody else comes by OpenID Connect.

use std::net::TcpListener;

use serde_json::json;
use thirtyfour::By;

use crate::support::browser::Browser;
use crate::support::oidc_provider::{CLIENT, Provider};
use crate::support::server::{Api, SOON, Server, eventually};
use crate::web::one_time_code;

const PASSWORD: &str = "correct horse battery";

#[actix_web::test]
async fn from_the_first_password_to_the_end_of_a_login() {
    let name = "from_the_first_password_to_the_end_of_a_login";
    let Some(browser) = Browser::start(name).await else {
        return;
    };
    let provider = Provider::start();
    // The provider sends people back to an address that is known before.
    let socket = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = socket.local_addr().expect("an address").to_string();
    drop(socket);
    let server = Server::setup()
        .setting("web.listen", &address)
        .setting("web.public_url", format!("http://{address}"))
        .setting("oidc.issuer", provider.issuer())
        .setting("oidc.client_id", CLIENT.0)
        .setting("oidc.client_secret", CLIENT.1)
        .setting("oidc.default_role", "viewer")
        .start()
        .await;
    let url = server.url("");
    browser
        .log_in_first(&url, "admin", &server.admin_password())
        .await;

    // Another person, whose password need not be changed.
    browser.add_person(&url, "eve", "viewer", PASSWORD).await;
    browser.log_out().await;

    // What she may not do is not offered, and refused.
    browser.log_in(&url, "eve", PASSWORD).await;
    let links = browser.driver.find_all(By::Css("a[href='/users']")).await;
    assert!(links.expect("asked").is_empty());
    browser.open(&server.url("/users")).await;
    browser
        .text("h1", |text| text.contains("Not with your role"))
        .await;

    // One-time codes, from the image to the first code.
    browser.open(&server.url("/account")).await;
    browser.press("#totp-begin").await;
    browser.element(".qr svg path").await;
    let secret = browser.element("#totp-secret").await.prop("value").await;
    let secret = secret.expect("asked").expect("a secret");
    browser
        .type_into("#totp-code", &one_time_code(&secret, -1))
        .await;
    browser.press("#totp-confirm").await;
    browser.element("#recovery-codes").await;
    let codes = "return document.querySelectorAll('#recovery-codes li').length";
    assert_eq!(browser.script(codes).await, json!(10));

    // A program that keeps cookies logs in too, and is sent away from here.
    let other = reqwest::Client::builder().cookie_store(true).build();
    let other = other.expect("a client");
    let body = json!({"name": "eve", "password": PASSWORD, "totp": one_time_code(&secret, 0)});
    let session = server.url("/api/v1/session");
    let answer = other.post(&session).json(&body).send().await;
    assert_eq!(answer.expect("an answer").status(), 200);
    browser.open(&server.url("/account")).await;
    browser.script("window.confirm = () => true").await;
    browser.press("#end-others").await;
    browser
        .text("[role=status].alert-success", |text| {
            text.contains("has ended")
        })
        .await;
    let answer = other.get(&session).send().await;
    assert_eq!(answer.expect("an answer").status(), 401);

    // Back in two steps, to where she wanted to go.
    browser.log_out().await;
    browser.open(&server.url("/login?next=/devices")).await;
    browser.type_into("#name", "eve").await;
    browser.type_into("#password", PASSWORD).await;
    browser.press("button[type=submit]").await;
    browser.type_into("#code", &one_time_code(&secret, 1)).await;
    browser.press("button[type=submit]").await;
    browser.element("#user-menu").await;
    let here = browser.script("return location.pathname").await;
    assert_eq!(here, json!("/devices"));
    browser
        .text("#connection", |text| text.contains("live"))
        .await;

    // Her session is ended: the page says so at once, and stays.
    end_sessions(&server.api(), "eve").await;
    browser
        .text("#login-ended", |text| text.contains("has ended"))
        .await;
    browser.no_complaints().await;

    // By the provider, with the button.
    browser.open(&server.url("/login")).await;
    browser.press("#oidc").await;
    browser.element("#user-menu").await;
    browser.open(&server.url("/account")).await;
    browser
        .text(".page-header", |text| {
            text.contains("ada, with the role viewer")
        })
        .await;
    browser.close().await;
}

async fn end_sessions(api: &Api, user: &str) {
    let list = format!("/api/v1/sessions?user={user}");
    eventually("there is a session", SOON, async || {
        let page = api.read(&list).await;
        page["items"][0]["id"].as_str().map(str::to_owned)
    })
    .await;
    let page = api.read(&list).await;
    for session in page["items"].as_array().expect("a list") {
        let id = session["id"].as_str().expect("an id");
        let answer = api.delete(&format!("/api/v1/sessions/{id}")).await;
        assert_eq!(answer.status(), 204);
    }
}
