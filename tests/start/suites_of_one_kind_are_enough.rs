//! Who has keys only, or certificates only, names the suites for them only.

use serde_json::json;

use crate::support::server::{SOON, Server, eventually};

#[tokio::test]
async fn with_suites_for_keys_the_server_starts_and_lets_devices_with_keys_in() {
    let server = Server::setup()
        .setting("coaps.cipher_suites", "TLS_PSK_WITH_AES_128_CCM_8")
        .start()
        .await;
    let mut device = server.secure_device("keyed");
    device.register_now(3600, "</1/0>");
    assert_eq!(
        server.api().endpoint("keyed").await.expect("it")["secure"],
        true
    );
}

#[tokio::test]
async fn with_suites_for_certificates_a_device_with_a_key_cannot_be_called_and_that_is_said() {
    let mut server = Server::setup()
        .setting("coaps.keep_sessions", false)
        .start()
        .await;
    let mut device = server.secure_device("keyed");
    device.register_now(3600, "</1/0>");
    server.kill();
    server.set("coaps.cipher_suites", "TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8");
    server.restart().await;
    let api = server.api();
    let read = json!({"kind": "read", "path": "/1/0/1"});
    let operation = api.operate("keyed", &read).await;
    let path = format!("/api/v1/operations/{}", operation["id"]);
    let failed = eventually("it fails", SOON, async || {
        let operation = api.read(&path).await;
        (operation["status"] == "FAILED").then_some(operation)
    })
    .await;
    let error = failed["error"].as_str().expect("why");
    assert!(error.contains("coaps.cipher_suites"), "{error}");
}
