//! L. Pre-shared keys: who is let in, as whom, and what the end of a session means.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use serde_json::json;

use super::bench::{ALERT, Asked, LINKS, confirmed, nothing_was_sent, operate, shown};
use super::credentials::{
    KEY, OTHER_KEY, add_psk, connected, credential, nameless, register_sleepy, soon_turned_away,
    turned_away,
};
use crate::support::device::{ScriptedDevice, TEXT};
use crate::support::secure::Credentials;
use crate::support::server::{Api, SOON, Server, eventually};
use flownexus::coap::Code;

/// Less than what OpenSSL waits before it sends a flight again.
const A_SECOND: Duration = Duration::from_millis(900);
/// Long enough for the loopback and a server that has something to send.
const A_MOMENT: Duration = Duration::from_millis(300);

/// Reads `/1/0/1`, which must succeed.
async fn is_read(api: &Api, device: &mut ScriptedDevice) {
    let body = json!({"kind": "read", "path": "/1/0/1", "format": "text"});
    let ended = operate(api, device, body, answer_read).await;
    confirmed(&ended, "2.05");
}

fn answer_read(device: &mut ScriptedDevice) {
    let read = Asked::get("/1/0/1").accept(TEXT).expect(device);
    device.answer_content(&read, TEXT, b"60");
}

#[tokio::test]
async fn l01_a_device_registers_with_its_key_and_need_not_say_its_name() {
    let server = ALERT.hold().await;
    let api = server.api();
    for (name, says_it) in [("l01-named", true), ("l01-nameless", false)] {
        let identity = format!("identity of {name}");
        add_psk(&server, name, &identity, KEY);
        let mut device = connected(&server, name, Credentials::psk(&identity, KEY));
        if says_it {
            device.register_now(3600, LINKS);
        } else {
            let register = nameless(&mut device);
            let answer = device.ask(&register);
            device.take_location(&answer);
        }
        let endpoint = shown(&api, &device).await;
        assert_eq!(endpoint["registered"], true, "{endpoint}");
        assert_eq!(endpoint["address"], device.address().to_string());
        is_read(&api, &mut device).await;
    }
}

#[tokio::test]
async fn l02_register_update_and_deregister_go_on_in_one_session_and_in_the_next() {
    let server = ALERT.hold().await;
    let api = server.api();
    let mut device = server.secure_device("l02");
    for _ in 0..2 {
        device.register_now(3600, LINKS);
        let update = device.update();
        assert_eq!(device.ask(&update).code, Code::CHANGED);
        let deregister = device.deregister();
        assert_eq!(device.ask(&deregister).code, Code::DELETED);
    }
    device.register_now(3600, LINKS);
    device.handshake().expect("a new session");
    // The location is good in the new session: the device is who it was.
    let update = device.update();
    assert_eq!(device.ask(&update).code, Code::CHANGED);
    is_read(&api, &mut device).await;
    device.register_now(3600, LINKS);
    is_read(&api, &mut device).await;
}

#[tokio::test]
async fn l03_the_server_begins_a_session_with_a_device_that_has_none() {
    let server = ALERT.hold().await;
    let api = server.api();
    let mut device = server.secure_device("l03");
    device.register_now(3600, LINKS);
    device.close_session();
    let body = json!({"kind": "read", "path": "/1/0/1", "format": "text"});
    let ended = operate(&api, &mut device, body, |device| {
        device.accept_handshake().expect("the server's handshake");
        answer_read(device);
    })
    .await;
    confirmed(&ended, "2.05");
    // It is the device's session too.
    nothing_was_sent(&mut device);
    is_read(&api, &mut device).await;
}

#[tokio::test]
async fn l03_a_handshake_of_the_server_that_nobody_answers_ends_in_time() {
    let server = Server::setup()
        .setting("coaps.handshake_timeout_s", 3)
        .start()
        .await;
    let api = server.api();
    let mut device = server.secure_device("l03-silent");
    device.register_now(3600, LINKS);
    device.close_session();
    // Refusals of the time before the server knew the key.
    let metric = "flownexus_dtls_handshakes_refused_total";
    let before = server.metric(metric).await;
    let body = json!({"kind": "read", "path": "/1/0/1", "format": "text"});
    let operation = api.operate(device.name(), &body).await;
    eventually("the handshake is given up", SOON, async || {
        let refused = server.metric(metric).await;
        (refused > before).then_some(())
    })
    .await;
    // The device comes back by itself, and the operation reaches it.
    device.move_to_new_address();
    let update = device.update();
    device.send(&update);
    let end = Instant::now() + SOON;
    loop {
        let message = device.receive(SOON).expect("the operation's request");
        if message.code == Code::GET {
            device.answer_content(&message, TEXT, b"60");
            break;
        }
        assert!(Instant::now() < end, "only {message:?}");
    }
    let ended = api.ended(&operation).await;
    confirmed(&ended, "2.05");
}

#[tokio::test]
async fn l03_a_device_in_queue_mode_is_not_called_its_operations_wait_for_it() {
    let server = ALERT.hold().await;
    let api = server.api();
    let mut device = server.secure_device("l03-queue");
    register_sleepy(&mut device);
    device.close_session();
    let body = json!({"kind": "read", "path": "/1/0/1", "format": "text"});
    let operation = api.operate(device.name(), &body).await;
    assert_eq!(device.receive_datagram(A_MOMENT), None);
    let path = format!("/api/v1/operations/{}", operation["id"]);
    let waiting = api.read(&path).await;
    assert_eq!(waiting["status"], "QUEUED", "{waiting}");
    device.handshake().expect("a session");
    let update = device.update();
    assert_eq!(device.ask(&update).code, Code::CHANGED);
    answer_read(&mut device);
    let ended = api.ended(&operation).await;
    confirmed(&ended, "2.05");
    assert_eq!(ended["attempts"], 1, "{ended}");
}

#[tokio::test]
async fn l04_a_wrong_key_and_an_unknown_identity_look_alike_and_open_nothing() {
    let server = ALERT.hold().await;
    let api = server.api();
    add_psk(&server, "l04", "l04", KEY);
    let device = connected(&server, "l04", Credentials::psk("l04", KEY));
    let wrong = turned_away(&server, "l04", Credentials::psk("l04", OTHER_KEY));
    let unknown = turned_away(&server, "l04", Credentials::psk("l04-x", KEY));
    assert!(wrong.starts_with("alert 51 "), "{wrong}");
    assert_eq!(wrong, unknown);
    let endpoint = api.endpoint(device.name()).await;
    assert!(
        endpoint.is_none_or(|endpoint| endpoint["registered"] == false),
        "nobody has registered"
    );
}

#[tokio::test]
async fn l05_the_name_of_another_device_is_refused() {
    let server = ALERT.hold().await;
    let api = server.api();
    let mut victim = server.secure_device("l05-victim");
    victim.register_now(3600, LINKS);
    add_psk(&server, "l05", "l05", KEY);
    for name in ["l05-victim", "l05-nobody"] {
        let mut device = connected(&server, name, Credentials::psk("l05", KEY));
        let register = device.register(3600, LINKS);
        assert_eq!(device.ask(&register).code, Code::FORBIDDEN, "{name}");
    }
    assert_eq!(api.endpoint("l05-nobody").await, None);
    let address = shown(&api, &victim).await["address"].clone();
    assert_eq!(address, victim.address().to_string());
    is_read(&api, &mut victim).await;
}

#[tokio::test]
async fn l06_without_its_credential_a_session_ends_and_nothing_is_sent() {
    let server = ALERT.hold().await;
    let api = server.api();
    let id = add_psk(&server, "l06", "l06", KEY);
    let credentials = Credentials::psk("l06", KEY);
    let mut device = connected(&server, "l06", credentials.clone());
    register_sleepy(&mut device);
    is_read(&api, &mut device).await;
    credential(&server, &["remove", &id], "");
    assert_eq!(device.expect_end_of_session(), "close_notify");
    let body = json!({"kind": "read", "path": "/1/0/1", "format": "text"});
    let operation = api.operate("l06", &body).await;
    assert_eq!(device.receive_datagram(A_MOMENT), None);
    let waiting = api
        .read(&format!("/api/v1/operations/{}", operation["id"]))
        .await;
    assert_eq!(waiting["status"], "QUEUED", "{waiting}");
    let alert = turned_away(&server, "l06", credentials);
    assert!(alert.starts_with("alert 51 "), "{alert}");
}

#[tokio::test]
async fn l07_a_request_never_reaches_another_identity_at_the_same_address() {
    let server = ALERT.hold().await;
    let api = server.api();
    let mut before = server.secure_device("l07-before");
    before.register_now(3600, LINKS);
    is_read(&api, &mut before).await;
    let mut after = server.secure_device("l07-after");
    let address = before.address();
    drop(before);
    let socket = UdpSocket::bind(address).expect("the port is free again");
    after.session(|session| session.move_to(socket));
    after.handshake().expect("a session in place of the other");
    after.register_now(3600, LINKS);
    let body = json!({"kind": "read", "path": "/1/0/1", "format": "text"});
    let operation = api.operate("l07-before", &body).await;
    after.expect_silence(A_MOMENT);
    let open = api
        .read(&format!("/api/v1/operations/{}", operation["id"]))
        .await;
    assert_ne!(open["status"], "CONFIRMED", "{open}");
    is_read(&api, &mut after).await;
}

#[tokio::test]
async fn l08_no_credential_no_session_and_no_plain_coap_beside_a_credential() {
    let server = ALERT.hold().await;
    let api = server.api();
    turned_away(&server, "l08-nothing", Credentials::nothing());
    assert_eq!(api.endpoint("l08-nothing").await, None);
    // Not registered yet, and registered.
    let mut device = server.secure_device("l08");
    let mut plain = ScriptedDevice::new("l08", server.coap());
    let register = plain.register(3600, LINKS);
    assert_eq!(plain.ask(&register).code, Code::FORBIDDEN);
    device.register_now(3600, LINKS);
    let register = plain.register(3600, LINKS);
    assert_eq!(plain.ask(&register).code, Code::FORBIDDEN);
    is_read(&api, &mut device).await;
}

#[tokio::test]
async fn l08_where_strangers_are_denied_only_identities_register() {
    let server = Server::setup()
        .setting("registration.unknown_endpoints", "deny")
        .start()
        .await;
    let api = server.api();
    let mut stranger = ScriptedDevice::new("l08-stranger", server.coap());
    let register = stranger.register(3600, LINKS);
    assert_eq!(stranger.ask(&register).code, Code::FORBIDDEN);
    assert_eq!(api.endpoint("l08-stranger").await, None);
    let mut known = server.secure_device("l08-known");
    known.register_now(3600, LINKS);
    is_read(&api, &mut known).await;
}

#[tokio::test]
async fn l09_two_keys_of_a_device_are_good_side_by_side_until_one_is_removed() {
    let server = ALERT.hold().await;
    let api = server.api();
    let old = add_psk(&server, "l09", "l09-old", KEY);
    add_psk(&server, "l09", "l09-new", OTHER_KEY);
    let old_key = Credentials::psk("l09-old", KEY);
    let mut by_old = connected(&server, "l09", old_key.clone());
    by_old.register_now(3600, LINKS);
    let mut by_new = connected(&server, "l09", Credentials::psk("l09-new", OTHER_KEY));
    is_read(&api, &mut by_old).await;
    by_new.register_now(3600, LINKS);
    is_read(&api, &mut by_new).await;
    credential(&server, &["remove", &old], "");
    assert_eq!(by_old.expect_end_of_session(), "close_notify");
    soon_turned_away(&server, "l09", &old_key);
    is_read(&api, &mut by_new).await;
}

#[tokio::test]
async fn l10_a_session_is_taken_up_again_after_a_restart_but_not_without_its_credential() {
    let mut server = Server::setup()
        .setting("credentials.reload_s", 1)
        .start()
        .await;
    let id = add_psk(&server, "l10", "l10", KEY);
    let mut device = connected(&server, "l10", Credentials::psk("l10", KEY));
    device.register_now(3600, LINKS);
    assert_eq!(device.resume(), Ok(true));
    let update = device.update();
    assert_eq!(device.ask(&update).code, Code::CHANGED);
    assert!(server.terminate().await.success());
    server.restart().await;
    assert_eq!(device.resume(), Ok(true));
    let update = device.update();
    assert_eq!(device.ask(&update).code, Code::CHANGED);
    is_read(&server.api(), &mut device).await;
    credential(&server, &["remove", &id], "");
    assert_eq!(device.expect_end_of_session(), "close_notify");
    let refused = device.resume().expect_err("a worthless ticket");
    assert!(refused.starts_with("alert 51 "), "{refused}");
}

/// The first message of a session is right behind the handshake, and the session before is still there.
#[tokio::test]
async fn l10_a_session_that_follows_another_loses_nothing_of_what_comes_at_once() {
    let server = ALERT.hold().await;
    let mut device = server.secure_device("l10-at-once");
    device.register_now(3600, LINKS);
    for number in 0..200 {
        assert_eq!(device.resume(), Ok(true), "{number}");
        let update = device.update();
        device.send(&update);
        let answer = device.receive(A_SECOND);
        let answer = answer.unwrap_or_else(|| panic!("{number}: no answer to the first message"));
        assert_eq!(answer.code, Code::CHANGED, "{number}");
    }
}

/// RFC 6347 section 4.2.8.
#[tokio::test]
async fn l11_a_handshake_from_the_address_of_a_session_disturbs_it_only_when_it_is_finished() {
    let server = ALERT.hold().await;
    let api = server.api();
    let mut device = server.secure_device("l11");
    device.register_now(3600, LINKS);
    // What begins a handshake, and breaks off: from another device, sent from this address.
    let mut other = ScriptedDevice::secure("l11", server.coaps(), Credentials::psk("x", KEY));
    assert!(other.handshake().is_err());
    let flight = other.session(|session| session.sent());
    device.send_datagram(&flight[0]);
    is_read_beside_handshake(&api, &mut device).await;
    // And one that is finished takes its place.
    device.handshake().expect("a session");
    let update = device.update();
    assert_eq!(device.ask(&update).code, Code::CHANGED);
    is_read(&api, &mut device).await;
}

/// The `HelloVerifyRequest` is passed over by OpenSSL, as it is no part of the session.
async fn is_read_beside_handshake(api: &Api, device: &mut ScriptedDevice) {
    is_read(api, device).await;
    nothing_was_sent(device);
}

#[tokio::test]
async fn l12_without_plain_coap_only_its_port_is_closed() {
    let server = Server::setup().setting("coap.enabled", false).start().await;
    let mut device = server.secure_device("l12");
    device.register_now(3600, LINKS);
    is_read(&server.api(), &mut device).await;
    // Whoever comes on plain CoAP finds the port free.
    UdpSocket::bind(server.coap()).expect("nobody listens there");
}
