//! L. DTLS with pre-shared keys: who gets in, as whom, and what becomes of sessions.

use std::time::Duration;

use serde_json::json;

use super::bench::{Asked, LINKS, Transport, confirmed, operate, server, shown};
use crate::support::device::{LINK_FORMAT, ScriptedDevice, TEXT};
use crate::support::secure::Credentials;
use crate::support::server::Server;
use flownexus::coap::{Code, Message, Options, number};

const KEY: &[u8] = b"another key 16 b";

/// The number of the newest credential of an endpoint.
fn credential_of(server: &Server, name: &str) -> String {
    let listed = server.command(&["credential", "list", name, "--json"], "");
    let text = String::from_utf8_lossy(&listed.stdout).into_owned();
    let rows: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let rows = rows.as_array().expect("a list");
    rows.last().expect("a credential")["id"].to_string()
}

/// A Register with these parameters and no others.
pub(super) fn register_as(device: &mut ScriptedDevice, query: &[&str]) -> Message {
    let mut options = Options::new();
    options.add_uri_path("/rd");
    for parameter in query {
        options.add(number::URI_QUERY, parameter.as_bytes());
    }
    options.add_uint(number::CONTENT_FORMAT, u32::from(LINK_FORMAT));
    device.request(Code::POST, options, LINKS.as_bytes())
}

fn add_psk(server: &Server, name: &str, identity: &str, key: &[u8]) {
    let psk = format!("{identity}:{}", hex::encode(key));
    let added = server.command(&["credential", "add", name, "--psk", &psk], "");
    assert!(added.status.success(), "{added:?}");
}

#[tokio::test]
async fn l01_a_device_registers_with_its_key_and_need_not_name_itself() {
    let server = server().await;
    let mut device = server.secure_device("l01");
    device.register_now(3600, LINKS);
    let endpoint = shown(&server.api(), &device).await;
    assert_eq!(endpoint["secure"], true, "{endpoint}");

    let mut nameless = server.secure_device("l01-nameless");
    let register = register_as(&mut nameless, &["lwm2m=1.1", "lt=3600"]);
    assert_eq!(nameless.ask(&register).code, Code::CREATED);
    assert!(server.api().endpoint("l01-nameless").await.is_some());
}

#[tokio::test]
async fn l02_registrations_come_and_go_in_one_session() {
    let server = server().await;
    let mut device = server.secure_device("l02");
    for _ in 0..2 {
        device.register_now(3600, LINKS);
        let update = device.update();
        assert_eq!(device.ask(&update).code, Code::CHANGED);
        let leave = device.deregister();
        assert_eq!(device.ask(&leave).code, Code::DELETED);
    }
    // And a new session takes the registration over by an Update.
    device.register_now(3600, LINKS);
    device.move_to_new_address();
    let update = device.update();
    assert_eq!(device.ask(&update).code, Code::CHANGED);
    let endpoint = shown(&server.api(), &device).await;
    assert_eq!(endpoint["address"], device.address().to_string());
}

#[tokio::test]
async fn l03_the_server_calls_a_device_whose_session_is_over() {
    let server = server().await;
    let api = server.api();
    let mut device = Transport::Dtls.registered(&server, "l03");
    device.close_session();
    let body = json!({"kind": "read", "path": "/1/0/1", "format": "text"});
    let ended = operate(&api, &mut device, body, |device| {
        device.accept_handshake().expect("the server calls");
        let read = Asked::get("/1/0/1").accept(TEXT).expect(device);
        device.answer_content(&read, TEXT, b"60");
    })
    .await;
    confirmed(&ended, "2.05");
}

#[tokio::test]
async fn l03_a_sleeping_device_is_not_called_and_is_asked_in_its_next_session() {
    let server = server().await;
    let api = server.api();
    let mut device = server.secure_device("l03-asleep");
    let query = ["ep=l03-asleep", "lwm2m=1.1", "lt=3600", "b=U", "Q"];
    let register = register_as(&mut device, &query);
    let answer = device.ask(&register);
    assert_eq!(answer.code, Code::CREATED);
    device.take_location(&answer);
    device.close_session();
    let body = json!({"kind": "read", "path": "/1/0/1", "format": "text"});
    let operation = api.operate(device.name(), &body).await;
    assert_eq!(device.receive_datagram(Duration::from_millis(500)), None);
    device.handshake().expect("the device calls");
    let update = device.update();
    assert_eq!(device.ask(&update).code, Code::CHANGED);
    let read = Asked::get("/1/0/1").accept(TEXT).expect(&mut device);
    device.answer_content(&read, TEXT, b"60");
    confirmed(&api.ended(&operation).await, "2.05");
}

#[tokio::test]
async fn l04_a_wrong_key_and_an_unknown_identity_look_the_same() {
    let server = server().await;
    drop(server.secure_device("l04"));
    let mut wrong = ScriptedDevice::secure("l04", server.coaps(), Credentials::psk("l04", KEY));
    let wrong = wrong.handshake().expect_err("a wrong key");
    let unknown = Credentials::psk("l04-nobody", KEY);
    let mut unknown = ScriptedDevice::secure("l04-nobody", server.coaps(), unknown);
    let unknown = unknown.handshake().expect_err("an unknown identity");
    assert_eq!(wrong, unknown);
    assert!(wrong.contains("51"), "decrypt_error: {wrong}");
    assert!(server.api().endpoint("l04").await.is_none());
}

#[tokio::test]
async fn l05_nobody_registers_under_the_name_of_another() {
    let server = server().await;
    let mut device = server.secure_device("l05");
    let register = register_as(&mut device, &["ep=l05-other", "lwm2m=1.1", "lt=3600"]);
    assert_eq!(device.ask(&register).code, Code::FORBIDDEN);
    assert!(server.api().endpoint("l05-other").await.is_none());
}

#[tokio::test]
async fn l06_removing_the_credential_ends_the_session_and_requests_fail() {
    let server = server().await;
    let api = server.api();
    let mut device = Transport::Dtls.registered(&server, "l06");
    let id = credential_of(&server, device.name());
    let removed = server.command(&["credential", "remove", &id], "");
    assert!(removed.status.success(), "{removed:?}");
    device.expect_end_of_session();
    device.handshake().expect_err("the key is worth nothing");
    let body = json!({"kind": "read", "path": "/1/0/1", "format": "text"});
    let operation = api.operate(device.name(), &body).await;
    let ended = api.ended(&operation).await;
    assert_eq!(ended["status"], "FAILED", "{ended}");
}

#[tokio::test]
async fn l06_keys_are_rotated_without_a_gap() {
    let server = server().await;
    let mut device = Transport::Dtls.registered(&server, "l06-rotated");
    let old = credential_of(&server, device.name());
    add_psk(&server, device.name(), "l06-rotated-new", KEY);
    let next = Credentials::psk("l06-rotated-new", KEY);
    let mut next = ScriptedDevice::secure(device.name(), server.coaps(), next);
    next.handshake_soon();
    let update = device.update();
    assert_eq!(device.ask(&update).code, Code::CHANGED, "the old one works");
    let removed = server.command(&["credential", "remove", &old], "");
    assert!(removed.status.success(), "{removed:?}");
    device.expect_end_of_session();
    next.register_now(3600, LINKS);
}

#[tokio::test]
async fn l07_what_was_asked_in_one_session_is_not_answered_in_another() {
    let server = server().await;
    let api = server.api();
    let mut device = Transport::Dtls.registered(&server, "l07");
    let body = json!({"kind": "read", "path": "/1/0/1", "format": "text"});
    let operation = api.operate(device.name(), &body).await;
    let read = Asked::get("/1/0/1").accept(TEXT).expect(&mut device);
    // Somebody else, with a key of its own, answers with the token and message id of the request.
    let mut other = server.secure_device("l07-other");
    other.answer_content(&read, TEXT, b"666");
    device.answer_content(&read, TEXT, b"60");
    let ended = api.ended(&operation).await;
    confirmed(&ended, "2.05");
    assert!(!ended.to_string().contains("666"), "{ended}");
}

#[tokio::test]
async fn l08_a_device_with_credentials_is_refused_on_plain_coap() {
    let server = server().await;
    let mut device = Transport::Dtls.registered(&server, "l08");
    let mut impostor = ScriptedDevice::new(device.name(), server.coap());
    let register = impostor.register(3600, LINKS);
    assert_eq!(impostor.ask(&register).code, Code::FORBIDDEN);
    let update = device.update();
    assert_eq!(
        device.ask(&update).code,
        Code::CHANGED,
        "the device is unharmed"
    );
}

#[tokio::test]
async fn l08_strangers_are_refused_by_a_setting_and_those_with_credentials_are_not() {
    let server = Server::setup()
        .setting("registration.unknown_endpoints", "deny")
        .setting("credentials.reload_s", 1)
        .start()
        .await;
    let mut stranger = ScriptedDevice::new("l08-stranger", server.coap());
    let register = stranger.register(3600, LINKS);
    assert_eq!(stranger.ask(&register).code, Code::FORBIDDEN);
    server.secure_device("l08-known").register_now(3600, LINKS);
}

#[tokio::test]
async fn a_session_is_taken_up_again_by_its_ticket_also_after_a_restart_and_not_without_its_key() {
    let mut server = Server::setup()
        .setting("credentials.reload_s", 1)
        .start()
        .await;
    let mut device = server.secure_device("ticket");
    device.register_now(3600, LINKS);
    assert!(device.resume().expect("a handshake"), "a ticket");
    server.terminate().await;
    server.restart().await;
    let resumed = device.resume().expect("a handshake");
    assert!(resumed, "the keys of tickets outlive the server");
    let update = device.update();
    assert_eq!(device.ask(&update).code, Code::CHANGED);
    let id = credential_of(&server, "ticket");
    let removed = server.command(&["credential", "remove", &id], "");
    assert!(removed.status.success(), "{removed:?}");
    device.expect_end_of_session();
    device.resume().expect_err("the ticket is worth nothing");
}

#[tokio::test]
async fn a_handshake_beside_a_session_harms_it_only_when_it_has_finished() {
    let server = server().await;
    let mut device = Transport::Dtls.registered(&server, "beside");
    // Somebody without the key begins a handshake from the address of the device: its hello is
    // answered with a cookie, the session goes on.
    let hello = hello();
    device.send_datagram(&hello);
    let answer = device
        .receive_datagram(Duration::from_secs(5))
        .expect("a cookie");
    assert!(answer.len() <= hello.len());
    let update = device.update();
    assert_eq!(device.ask(&update).code, Code::CHANGED);
}

/// A `ClientHello` by hand, without a cookie.
fn hello() -> Vec<u8> {
    let mut body = vec![0xfe, 0xfd];
    body.extend([9; 32]);
    body.extend([0, 0, 0, 2, 0xc0, 0xa8, 1, 0]);
    let length = u8::try_from(body.len()).expect("short");
    let mut datagram = vec![22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 12 + length];
    datagram.extend([1, 0, 0, length, 0, 0, 0, 0, 0, 0, 0, length]);
    datagram.extend(body);
    datagram
}
