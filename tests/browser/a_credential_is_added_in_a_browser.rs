//! An admin gives a device a key that the page made, and the device gets in with it.

use serde_json::json;

use crate::support::browser::Browser;
use crate::support::device::ScriptedDevice;
use crate::support::secure::Credentials;
use crate::support::server::Server;

const KEY: &str = "return document.getElementById('key').value";

#[tokio::test]
async fn a_key_that_the_page_made_lets_its_device_in() {
    let Some(browser) = Browser::start("a_key_that_the_page_made_lets_its_device_in").await else {
        return;
    };
    let server = Server::start().await;
    let password = server.admin_password();
    browser
        .log_in_first(&server.url(""), "admin", &password)
        .await;
    browser.open(&server.url("/credentials")).await;

    // What belongs to another kind is hidden.
    let shown = "return [...document.querySelectorAll('#credential-form fieldset')]\
                 .filter((group) => group.checkVisibility()).map((group) => group.dataset.kind)";
    assert_eq!(browser.script(shown).await, json!(["psk"]));
    let kind = "const kind = document.getElementById('kind'); kind.value = arguments[0] ?? 'x509';\
                kind.dispatchEvent(new Event('change'));";
    browser.script(kind).await;
    assert_eq!(browser.script(shown).await, json!(["x509"]));
    browser.script(&kind.replace("x509", "psk")).await;

    // The identity is suggested, the key is made and shown this once.
    let field = browser.element("#endpoint").await;
    field
        .send_keys("browser-thing\t")
        .await
        .expect("typing works");
    let identity = browser.element("#identity").await;
    let suggested = identity.prop("value").await.expect("a value");
    assert_eq!(suggested.as_deref(), Some("browser-thing"));
    browser.press("#key-new").await;
    let key = browser.script(KEY).await;
    let key = hex::decode(key.as_str().expect("text")).expect("hex");
    assert_eq!(key.len(), 16);
    browser.press("#key-new").await;
    let other = browser.script(KEY).await;
    let other = hex::decode(other.as_str().expect("text")).expect("hex");
    assert_ne!(key, other, "each is new");
    browser.no_complaints().await;
    browser.press("#credential-form button[type=submit]").await;
    browser.element("[data-credential]").await;
    assert_eq!(
        browser.script(KEY).await,
        json!(""),
        "it is not shown again"
    );

    let credentials = Credentials::psk("browser-thing", &other);
    let mut device = ScriptedDevice::secure("browser-thing", server.coaps(), credentials);
    device.handshake().expect("the key is in force");
    device.register_now(3600, "</1/0>,</3311/0>");

    // Its page says how it is connected.
    browser.open(&server.url("/devices/browser-thing")).await;
    browser
        .text("#security", |text| {
            text.contains("CoAP over DTLS") && text.contains("1 pre-shared key")
        })
        .await;

    // Removed after a question, it ends the session.
    browser
        .open(&server.url("/credentials?endpoint=browser-thing"))
        .await;
    browser.press("[data-credential] button[type=submit]").await;
    browser.driver.accept_alert().await.expect("a question");
    browser
        .text("main", |text| text.contains("No credentials are stored"))
        .await;
    assert_eq!(device.expect_end_of_session(), "close_notify");
    browser.close().await;
}
