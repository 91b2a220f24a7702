//! An operator uploads an image on its page: the version is guessed, a mistake is told beside its field, and what was
//! uploaded is listed with its hash, fetched and removed.

use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::support::browser::Browser;
use crate::support::server::Server;

/// What the first argument of the element's name is.
async fn value(browser: &Browser, id: &str) -> String {
    let field = browser.element(&format!("#{id}")).await;
    field.prop("value").await.expect("a value").expect("text")
}

#[tokio::test]
async fn an_image_is_uploaded_listed_and_removed() {
    let Some(browser) = Browser::start("an_image_is_uploaded_listed_and_removed").await else {
        return;
    };
    let server = Server::start().await;
    let password = server.admin_password();
    browser
        .log_in_first(&server.url(""), "admin", &password)
        .await;
    browser.open(&server.url("/firmware")).await;
    browser
        .text("#images", |text| text.contains("No images"))
        .await;

    // Without a file nothing is sent.
    browser.press("#upload").await;
    browser
        .text("[data-error=file]", |text| text == "Choose a file.")
        .await;

    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("app-v1.2.3.signed.bin");
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|at| (at * 7 % 251) as u8).collect();
    std::fs::write(&file, &bytes).expect("written");
    let hash = hex::encode(Sha256::digest(&bytes));
    let choose = browser.element("#file").await;
    let path = file.display().to_string();
    choose.send_keys(path.as_str()).await.expect("a file");
    assert_eq!(value(&browser, "version").await, "1.2.3");
    assert_eq!(value(&browser, "name").await, "app-v1.2.3.signed.bin");

    // What the server does not take is told where it was typed, and nothing is lost.
    let version = browser.element("#version").await;
    version.clear().await.expect("cleared");
    version.send_keys("1.2.3 beta").await.expect("typed");
    browser.press("#upload").await;
    browser
        .text("[data-error=version]", |text| text.contains("1.2.3 beta"))
        .await;
    assert_eq!(value(&browser, "name").await, "app-v1.2.3.signed.bin");
    version.clear().await.expect("cleared");
    version.send_keys("1.2.3-beta").await.expect("typed");
    let notes = browser.element("#notes").await;
    notes.send_keys("<b>Sleeps longer.").await.expect("typed");
    let names = browser.element("#names").await;
    names.send_keys("urn:imei:35*").await.expect("typed");
    browser.press("#upload").await;

    let listed = browser
        .text("[data-version='1.2.3-beta']", |text| {
            text.contains("app-v1.2.3.signed.bin")
        })
        .await;
    for part in [
        "<b>Sleeps longer.",
        "urn:imei:35*",
        "2.9 MiB",
        &hash[..12],
        "by admin",
    ] {
        assert!(listed.contains(part), "{part}: {listed}");
    }
    let copy = "return document.querySelector('[data-copy]').dataset.copy";
    assert_eq!(browser.script(copy).await, json!(hash));
    assert_eq!(value(&browser, "version").await, "");

    // The same version again is refused before a byte is sent.
    choose.send_keys(path.as_str()).await.expect("a file");
    version.clear().await.expect("cleared");
    version.send_keys("1.2.3-beta").await.expect("typed");
    browser.press("#upload").await;
    browser
        .text("[data-error=version]", |text| text.contains("already"))
        .await;
    let shown = "return document.querySelector('[data-error=name]').textContent";
    let shown = browser.script(shown).await;
    assert!(
        shown.as_str().is_some_and(|text| text.contains("already")),
        "{shown}"
    );

    // What people download is what was uploaded.
    let fetched = "return fetch(document.querySelector('#images a[download]').href)\
                   .then((answer) => answer.arrayBuffer())\
                   .then((bytes) => crypto.subtle.digest('SHA-256', bytes))\
                   .then((hash) => [...new Uint8Array(hash)]\
                   .map((byte) => byte.toString(16).padStart(2, '0')).join(''))";
    assert_eq!(browser.script(fetched).await, json!(hash));

    browser.press("[data-remove]").await;
    browser.driver.accept_alert().await.expect("a question");
    browser
        .text("#images", |text| text.contains("No images"))
        .await;
    browser.no_complaints().await;
    browser.close().await;
}

/// Over the place for a file, one that is dropped is taken; the guess follows the file until somebody types.
#[tokio::test]
async fn a_dropped_file_is_taken_and_versions_are_guessed() {
    let Some(browser) = Browser::start("a_dropped_file_is_taken_and_versions_are_guessed").await
    else {
        return;
    };
    let server = Server::setup()
        .setting("firmware.max_image_bytes", 1000)
        .start()
        .await;
    let password = server.admin_password();
    browser
        .log_in_first(&server.url(""), "admin", &password)
        .await;
    browser.open(&server.url("/firmware")).await;
    browser
        .text("#images", |text| text.contains("No images"))
        .await;
    let drop = |name: &str, bytes: usize| {
        format!(
            "const files = new DataTransfer();\
             files.items.add(new File([new Uint8Array({bytes})], '{name}'));\
             const drop = (kind) => document.getElementById('drop').dispatchEvent(\
             new DragEvent(kind, {{ dataTransfer: files, bubbles: true, cancelable: true }}));\
             drop('dragover'); drop('drop');"
        )
    };
    for (name, version) in [
        ("zephyr-2.1.0+rc1.bin", "2.1.0+rc1"),
        ("v0.1.0.bin", "0.1.0"),
        ("nrf9160_1.10.2_signed.hex", "1.10.2"),
        ("app_update.bin", ""),
        ("fw2.bin", ""),
        ("pump-3.0-rc.2.tar.gz", "3.0-rc.2"),
    ] {
        browser.script(&drop(name, 10)).await;
        assert_eq!(value(&browser, "version").await, version, "{name}");
        assert_eq!(value(&browser, "name").await, name);
    }
    let field = browser.element("#version").await;
    field.clear().await.expect("cleared");
    field.send_keys("7").await.expect("typed");
    browser.script(&drop("v0.2.0.bin", 1001)).await;
    assert_eq!(value(&browser, "version").await, "7");
    browser
        .text("[data-error=file]", |text| {
            text == "This file has 1001 bytes; an image has at most 1000 bytes."
        })
        .await;
    browser.no_complaints().await;
    browser.close().await;
}
