//! What the REST API does to credentials counts for real devices in the same moment: nobody waits for
//! the next look at the database.

use std::fs;

use reqwest::StatusCode;
use serde_json::{Value as Json, json};

use crate::support::certificates::Holder;
use crate::support::device::ScriptedDevice;
use crate::support::secure::Credentials;
use crate::support::server::{SOON, Server, eventually};
use flownexus::coap::Code;

/// Nothing of it is observed by itself.
const LINKS: &str = "</1/0>,</3311/0>";
const OLD: &[u8] = b"0123456789abcdef";
const NEW: &[u8] = b"fedcba9876543210";

/// A server that looks at the database once a day only.
async fn server() -> Server {
    let setup = Server::setup().setting("credentials.reload_s", 86_400);
    setup.start().await
}

async fn add_psk(server: &Server, endpoint: &str, identity: &str, key: &[u8]) -> Json {
    let psk = json!({"identity": identity, "key": hex::encode(key)});
    let body = json!({"endpoint": endpoint, "psk": psk});
    server.api().create("/api/v1/credentials", &body).await
}

async fn remove(server: &Server, credential: &Json) -> Json {
    let path = format!("/api/v1/credentials/{}", credential["id"]);
    let answer = server.api().delete(&path).await;
    assert_eq!(answer.status(), StatusCode::OK);
    answer.json().await.expect("JSON")
}

#[track_caller]
fn device(server: &Server, name: &str, credentials: Credentials) -> ScriptedDevice {
    ScriptedDevice::secure(name, server.coaps(), credentials)
}

/// The last attempt in the name of an endpoint that was refused for this reason.
async fn refusal(server: &Server, endpoint: &str, reason: &str) -> Json {
    let api = server.api();
    eventually("the refusal is shown", SOON, || async {
        let shown = api.endpoint(endpoint).await?["last_refusal"].clone();
        (shown["reason"] == reason).then_some(shown)
    })
    .await
}

#[tokio::test]
async fn a_key_is_rotated_without_a_pause_and_the_old_one_ends_its_session() {
    let server = server().await;
    let old = add_psk(&server, "thing", "thing", OLD).await;
    let mut with_old = device(&server, "thing", Credentials::psk("thing", OLD));
    with_old.handshake().expect("in force at once");
    with_old.register_now(3600, LINKS);

    add_psk(&server, "thing", "thing 2", NEW).await;
    let update = with_old.update();
    assert_eq!(with_old.ask(&update).code, Code::CHANGED, "both are good");
    let mut with_new = device(&server, "thing", Credentials::psk("thing 2", NEW));
    with_new.handshake().expect("in force at once");
    with_new.register_now(3600, LINKS);

    assert_eq!(remove(&server, &old).await["revoked"], Json::Null);
    assert_eq!(with_old.expect_end_of_session(), "close_notify");
    let alert = with_old.handshake().expect_err("no session");
    assert!(alert.starts_with("alert 51 "), "{alert}");
    let update = with_new.update();
    assert_eq!(with_new.ask(&update).code, Code::CHANGED);
    let shown = server.api().endpoint("thing").await.expect("there");
    assert_eq!(
        (&shown["credentials"], &shown["secure"]),
        (&json!(1), &json!(true))
    );
}

#[tokio::test]
async fn the_last_refused_attempt_is_shown_with_its_device() {
    let server = server().await;
    let mut plain = ScriptedDevice::new("thing", server.coap());
    plain.register_now(3600, LINKS);
    let shown = server.api().endpoint("thing").await.expect("there");
    assert_eq!(
        (&shown["credentials"], &shown["last_refusal"]),
        (&json!(0), &Json::Null)
    );

    add_psk(&server, "thing", "thing", OLD).await;
    let register = plain.register(3600, LINKS);
    assert_eq!(plain.ask(&register).code, Code::FORBIDDEN);
    let shown = refusal(&server, "thing", "has_credentials").await;
    assert_eq!(shown["secure"], false);
    assert_eq!(shown["address"], plain.address().to_string());
    assert!(
        shown["detail"]
            .as_str()
            .expect("words")
            .contains("CoAP over DTLS")
    );

    let mut wrong = device(&server, "thing", Credentials::psk("thing", NEW));
    wrong.handshake().expect_err("the wrong key");
    let shown = refusal(&server, "thing", "handshake").await;
    assert_eq!(shown["secure"], true);
    // Which credentials there are is for admins.
    assert_eq!(
        shown["detail"],
        "the DTLS handshake failed: the key of the PSK identity `thing` is wrong"
    );
    for role in ["viewer", "operator"] {
        let made = ["token", "create", "--name", role, "--role", role];
        let token = String::from_utf8(server.command(&made, "").stdout).expect("text");
        let api = server.api().with_token(token.trim());
        let shown = api.endpoint("thing").await.expect("there");
        let told = &shown["last_refusal"];
        assert_eq!(told["detail"], "the DTLS handshake failed", "{role}");
        assert_eq!(told["reason"], "handshake", "{role}");
    }

    add_psk(&server, "other", "other", NEW).await;
    let mut other = device(&server, "thing", Credentials::psk("other", NEW));
    other.handshake().expect("a session");
    let register = other.register(3600, LINKS);
    assert_eq!(other.ask(&register).code, Code::FORBIDDEN);
    let shown = refusal(&server, "thing", "other_endpoint").await;
    assert_eq!(shown["address"], other.address().to_string());
}

#[tokio::test]
async fn a_certificate_of_our_ca_is_revoked_with_its_credential_or_by_its_serial_number() {
    let server = server().await;
    let read = |name| fs::read(server.data_dir().join("certs").join(name)).expect("a file");
    let ca = Holder::of(&read("ca.crt"), &read("ca.key"));
    let holder = ca.sign("thing");
    let credentials = || {
        let (certificate, key) = (holder.certificate(), holder.key());
        Credentials::x509(&certificate, &key, Some(&ca.certificate()))
    };
    let pem = String::from_utf8(holder.certificate()).expect("text");
    let body = json!({"endpoint": "thing", "x509": pem});
    let stored = server.api().create("/api/v1/credentials", &body).await;
    let mut thing = device(&server, "thing", credentials());
    thing.handshake().expect("a session");
    thing.register_now(3600, LINKS);

    let removed = remove(&server, &stored).await;
    assert_eq!(removed["revoked"], stored["label"]);
    assert_eq!(thing.expect_end_of_session(), "close_notify");
    thing.handshake().expect_err("the serial number is revoked");

    // Trusted again, its CA is enough.
    let serial = stored["label"].as_str().expect("a serial number");
    let path = format!("/api/v1/credentials/revoked/{serial}");
    let answer = server.api().delete(&path).await;
    assert_eq!(answer.status(), StatusCode::NO_CONTENT);
    thing.handshake().expect("a session");
    thing.register_now(3600, LINKS);
    let body = json!({"serial": serial, "reason": "stolen"});
    server
        .api()
        .create("/api/v1/credentials/revoked", &body)
        .await;
    assert_eq!(thing.expect_end_of_session(), "close_notify");
    thing.handshake().expect_err("revoked");
}

/// As in the middle of the change from one CA to the next: `certs/ca.crt` holds both.
#[tokio::test]
async fn a_certificate_of_the_second_of_two_cas_is_revoked_with_its_credential() {
    let mut server = server().await;
    let ca = Holder::authority("the other CA");
    server.terminate().await;
    let file = server.data_dir().join("certs/ca.crt");
    let first = fs::read(&file).expect("the first CA");
    fs::write(&file, [first.clone(), ca.certificate()].concat()).expect("both CAs");
    server.restart().await;

    let holder = ca.sign("thing");
    let (pem, key) = (holder.certificate(), holder.key());
    let x509 = std::str::from_utf8(&pem).expect("text");
    let body = json!({"endpoint": "thing", "x509": x509});
    let stored = server.api().create("/api/v1/credentials", &body).await;
    let removed = remove(&server, &stored).await;
    assert_eq!(removed["revoked"], stored["label"]);
    let mut thing = device(
        &server,
        "thing",
        Credentials::x509(&pem, &key, Some(&first)),
    );
    thing.handshake().expect_err("the serial number is revoked");
    // Both CAs are trusted: another device of the second one has its session.
    let other = ca.sign("other");
    let credentials = Credentials::x509(&other.certificate(), &other.key(), Some(&first));
    let mut other = device(&server, "other", credentials);
    other.handshake().expect("a session");
}
