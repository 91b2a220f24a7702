//! `serve --demo`: half of the devices speak DTLS, at each start, and those of people are let alone.

use std::collections::BTreeSet;

use crate::support::server::{SOON, Server, eventually};

/// Waits until these devices are registered, and checks who of them speaks DTLS.
async fn registered(server: &Server, names: &[&str], secure: &[&str]) {
    let api = server.api();
    for name in names {
        eventually(&format!("{name} is registered"), SOON, || async {
            let endpoint = api.endpoint(name).await?;
            let speaks = endpoint["secure"] == secure.contains(name);
            (endpoint["registered"] == true && speaks).then_some(())
        })
        .await;
    }
}

fn credentials(server: &Server) -> BTreeSet<String> {
    let listed = server.command(&["credential", "list"], "");
    let listed = String::from_utf8(listed.stdout).expect("text");
    let columns = listed.lines().map(|line| line.split('\t'));
    columns
        .map(|mut columns| columns.by_ref().take(4).collect::<Vec<_>>().join(" "))
        .collect()
}

#[tokio::test]
async fn every_second_device_speaks_dtls_and_the_next_start_finds_its_key() {
    let mut server = Server::setup().demo(4).start().await;
    let names = ["demo-1", "demo-2", "demo-3", "demo-4"];
    let secure = ["demo-2", "demo-4"];
    registered(&server, &names, &secure).await;
    let made = credentials(&server);
    assert_eq!(
        made.iter().map(String::as_str).collect::<Vec<_>>(),
        [
            "1 demo-2 psk serve --demo demo-2",
            "2 demo-4 psk serve --demo demo-4"
        ]
    );
    assert!(server.terminate().await.success());
    server.restart().await;
    registered(&server, &names, &secure).await;
    assert_eq!(credentials(&server), made);
}

#[tokio::test]
async fn a_device_with_a_credential_of_somebody_is_left_out() {
    let mut server = Server::start().await;
    server.kill();
    let psk = "mine:00112233445566778899aabbccddeeff";
    let added = server.command(&["credential", "add", "demo-2", "--psk", psk], "");
    assert!(added.status.success(), "{added:?}");
    let before = credentials(&server);
    server.set_demo(3);
    server.restart().await;
    registered(&server, &["demo-1", "demo-3"], &[]).await;
    // Neither was it given a key, nor does it try without one.
    assert_eq!(credentials(&server), before);
    assert_eq!(server.metric("flownexus_devices_refused_total").await, 0.0);
    assert_eq!(server.api().endpoint("demo-2").await, None);
}

#[tokio::test]
async fn where_dtls_is_switched_off_all_devices_speak_plain_coap() {
    let server = Server::setup()
        .setting("coaps.enabled", false)
        .demo(2)
        .start()
        .await;
    registered(&server, &["demo-1", "demo-2"], &[]).await;
    assert_eq!(credentials(&server), BTreeSet::new());
}

#[tokio::test]
async fn where_plain_coap_is_switched_off_all_devices_speak_dtls() {
    let server = Server::setup()
        .setting("coap.enabled", false)
        .demo(2)
        .start()
        .await;
    let all = ["demo-1", "demo-2"];
    registered(&server, &all, &all).await;
}
