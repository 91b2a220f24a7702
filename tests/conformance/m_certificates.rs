//! M. Certificates and raw public keys: which ones are let in, as whom, and until when. M3 and M5 are
//! about what a client believes of its server.

use std::fs;

use serde_json::json;

use super::bench::{ALERT, Asked, LINKS, confirmed, operate, shown};
use super::credentials::{
    KEY, OTHER_KEY, add_psk, authority, connected, credential, made_by_the_command, nameless,
    servers_key, soon_turned_away, turned_away, x509,
};
use crate::support::certificates::Holder;
use crate::support::device::{ScriptedDevice, TEXT};
use crate::support::secure::Credentials;
use crate::support::server::{Api, Server};
use flownexus::coap::Code;

async fn is_read(api: &Api, device: &mut ScriptedDevice) {
    let body = json!({"kind": "read", "path": "/1/0/1", "format": "text"});
    let ended = operate(api, device, body, |device| {
        let read = Asked::get("/1/0/1").accept(TEXT).expect(device);
        device.answer_content(&read, TEXT, b"60");
    })
    .await;
    confirmed(&ended, "2.05");
}

/// Gives an endpoint a public key; the id of the credential.
fn add_key(server: &Server, endpoint: &str, holder: &Holder) -> String {
    let pem = String::from_utf8(holder.public_key().0).expect("text");
    credential(server, &["add", endpoint, "--rpk", "-"], &pem)
}

/// Gives an endpoint a certificate; the id of the credential.
fn add_certificate(server: &Server, endpoint: &str, holder: &Holder) -> String {
    let pem = String::from_utf8(holder.certificate()).expect("text");
    credential(server, &["add", endpoint, "--x509", "-"], &pem)
}

/// Registers with and without `ep`, and under the name of somebody else, which is refused.
#[track_caller]
fn speaks_for_itself_only(device: &mut ScriptedDevice, as_another: &mut ScriptedDevice) {
    device.register_now(3600, LINKS);
    let register = nameless(device);
    let answer = device.ask(&register);
    device.take_location(&answer);
    let register = as_another.register(3600, LINKS);
    assert_eq!(as_another.ask(&register).code, Code::FORBIDDEN);
}

#[tokio::test]
async fn m01_a_raw_public_key_speaks_for_its_device_until_it_is_removed() {
    let server = ALERT.hold().await;
    let api = server.api();
    let holder = Holder::authority("m01");
    let id = add_key(&server, "m01", &holder);
    let credentials = Credentials::raw_public_key(&holder.key(), None);
    let mut another = connected(&server, "m01-another", credentials.clone());
    let mut device = connected(&server, "m01", credentials.clone());
    speaks_for_itself_only(&mut device, &mut another);
    assert_eq!(api.endpoint("m01-another").await, None);
    is_read(&api, &mut device).await;

    let unknown = Holder::authority("m01");
    let unknown = Credentials::raw_public_key(&unknown.key(), None);
    turned_away(&server, "m01", unknown);
    is_read(&api, &mut device).await;

    credential(&server, &["remove", &id], "");
    assert_eq!(device.expect_end_of_session(), "close_notify");
    turned_away(&server, "m01", credentials);
}

#[tokio::test]
async fn m02_a_certificate_of_our_ca_speaks_for_the_endpoint_that_it_names() {
    let server = ALERT.hold().await;
    let api = server.api();
    let folder = made_by_the_command(&server, "m02");
    let read = |name: &str| fs::read(folder.path().join(name)).expect("a file");
    let ca = authority(&server).certificate();
    let credentials = Credentials::x509(&read("m02.crt"), &read("m02.key"), Some(&ca));
    let mut device = connected(&server, "m02", credentials.clone());
    let mut another = connected(&server, "m02-another", credentials);
    speaks_for_itself_only(&mut device, &mut another);
    assert_eq!(api.endpoint("m02-another").await, None);
    let endpoint = shown(&api, &device).await;
    assert_eq!(endpoint["address"], device.address().to_string());
    is_read(&api, &mut device).await;
}

#[tokio::test]
async fn m02_a_certificate_that_is_not_in_order_opens_nothing() {
    let server = ALERT.hold().await;
    let api = server.api();
    let ours = authority(&server);
    let ca = ours.certificate();
    let foreign = Holder::authority("another CA");
    let right = ours.sign("m02-refused");
    drop(connected(&server, "m02-refused", x509(&right, &server)));
    for (what, expected, credentials) in [
        (
            "ended",
            "alert 45 ",
            x509(&ours.sign_too_late("m02-refused"), &server),
        ),
        (
            "foreign",
            "alert 48 ",
            x509(&foreign.sign("m02-refused"), &server),
        ),
        (
            "signed by itself",
            "alert 48 ",
            x509(&Holder::authority("m02-refused"), &server),
        ),
        (
            "without its key",
            "alert 51 ",
            Credentials::stolen_certificate(&right.certificate(), Some(&ca)),
        ),
    ] {
        let alert = turned_away(&server, "m02-refused", credentials);
        assert!(alert.starts_with(expected), "{what}: {alert}");
    }
    assert_eq!(api.endpoint("m02-refused").await, None);
}

#[tokio::test]
async fn m02_a_revoked_serial_number_ends_the_session_and_begins_none() {
    let server = ALERT.hold().await;
    let holder = authority(&server).sign("m02-revoked");
    let credentials = x509(&holder, &server);
    let mut device = connected(&server, "m02-revoked", credentials.clone());
    device.register_now(3600, LINKS);
    credential(&server, &["revoke", &holder.serial()], "");
    assert_eq!(device.expect_end_of_session(), "close_notify");
    turned_away(&server, "m02-revoked", credentials);
}

#[tokio::test]
async fn m02_a_stored_certificate_is_good_whoever_signed_it_and_keeps_others_out() {
    let server = ALERT.hold().await;
    let api = server.api();
    let by_our_ca = authority(&server).sign("m02-stored");
    let others = x509(&by_our_ca, &server);
    drop(connected(&server, "m02-stored", others.clone()));
    let own = Holder::authority("made out to somebody else");
    let id = add_certificate(&server, "m02-stored", &own);
    let credentials = x509(&own, &server);
    let mut device = connected(&server, "m02-stored", credentials.clone());
    let register = nameless(&mut device);
    let answer = device.ask(&register);
    device.take_location(&answer);
    is_read(&api, &mut device).await;
    turned_away(&server, "m02-stored", others);
    credential(&server, &["remove", &id], "");
    assert_eq!(device.expect_end_of_session(), "close_notify");
    turned_away(&server, "m02-stored", credentials);
}

/// The server takes raw public keys and certificates side by side, and shows its own as asked for.
#[tokio::test]
async fn m04_a_raw_public_key_is_answered_by_the_key_of_the_server_s_certificate() {
    let server = ALERT.hold().await;
    let api = server.api();
    let holder = Holder::authority("m04");
    add_key(&server, "m04", &holder);
    let expected = servers_key(&server);
    let credentials = Credentials::raw_public_key(&holder.key(), Some(expected));
    let mut device = connected(&server, "m04", credentials);
    device.register_now(3600, LINKS);
    is_read(&api, &mut device).await;
    // The stored key does not make a certificate of it good.
    turned_away(&server, "m04", x509(&holder, &server));
}

#[tokio::test]
async fn m06_an_identity_that_is_free_again_speaks_for_its_new_device_only() {
    let server = ALERT.hold().await;
    let id = add_psk(&server, "m06-first", "m06", KEY);
    let key = Credentials::psk("m06", KEY);
    let mut first = connected(&server, "m06-first", key.clone());
    first.register_now(3600, LINKS);
    let pair = format!("m06:{}", hex::encode(OTHER_KEY));
    let add = ["credential", "add", "m06-second", "--psk", &pair];
    let refused = server.command(&add, "");
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    credential(&server, &["remove", &id], "");
    assert_eq!(first.expect_end_of_session(), "close_notify");
    add_psk(&server, "m06-second", "m06", OTHER_KEY);
    let mut second = connected(&server, "m06-second", Credentials::psk("m06", OTHER_KEY));
    second.register_now(3600, LINKS);
    soon_turned_away(&server, "m06-first", &key);
}

/// A ticket holds the certificate, so the hello that offers it is longer than a datagram (RFC 6347
/// section 4.2.3).
#[tokio::test]
async fn m07_a_hello_in_several_datagrams_takes_a_session_up_again() {
    let server = ALERT.hold().await;
    let holder = authority(&server).sign("m07");
    let credentials = x509(&holder, &server).with_mtu(300);
    let mut device = connected(&server, "m07", credentials);
    device.register_now(3600, LINKS);
    assert_eq!(device.resume(), Ok(true));
    let hellos = device.session(|session| session.sent());
    let is_later_part = |datagram: &Vec<u8>| datagram[13] == 1 && datagram[19..22] != [0; 3];
    assert!(hellos.iter().any(is_later_part), "the hello is whole");
    let update = device.update();
    assert_eq!(device.ask(&update).code, Code::CHANGED);
    is_read(&server.api(), &mut device).await;
}

/// The files of the server that prove it and that it believes others by.
fn certs(server: &Server, name: &str) -> std::path::PathBuf {
    server.data_dir().join("certs").join(name)
}

#[tokio::test]
async fn m08_a_ca_that_is_taken_out_takes_the_sessions_along_that_it_has_vouched_for() {
    let server = Server::setup()
        .setting("certificates.reload_s", 1)
        .start()
        .await;
    let (old, new) = (authority(&server), Holder::authority("the next one"));
    let mut by_old = connected(&server, "m08", x509(&old.sign("m08"), &server));
    by_old.register_now(3600, LINKS);
    let mut by_key = server.secure_device("m08-psk");
    by_key.register_now(3600, LINKS);
    // Both are believed while devices are given new certificates.
    let both = [old.certificate(), new.certificate()].concat();
    fs::write(certs(&server, "ca.crt"), both).expect("written");
    let by_new = new.sign("m08-new");
    let by_new = Credentials::x509(
        &by_new.certificate(),
        &by_new.key(),
        Some(&old.certificate()),
    );
    let mut by_new = connected(&server, "m08-new", by_new);
    by_new.register_now(3600, LINKS);
    let update = by_old.update();
    assert_eq!(by_old.ask(&update).code, Code::CHANGED);

    let of_server = new.sign("localhost");
    fs::write(certs(&server, "server.crt"), of_server.certificate()).expect("written");
    fs::write(certs(&server, "server.key"), of_server.key()).expect("written");
    fs::write(certs(&server, "ca.crt"), new.certificate()).expect("written");
    assert_eq!(by_old.expect_end_of_session(), "close_notify");
    by_old.resume().expect_err("its ticket is worthless too");
    for device in [&mut by_new, &mut by_key] {
        let update = device.update();
        assert_eq!(device.ask(&update).code, Code::CHANGED);
    }
}

#[tokio::test]
async fn m09_a_device_that_its_ca_vouches_for_can_be_asked_after_a_restart() {
    let mut server = Server::setup()
        .setting("coaps.keep_sessions", false)
        .start()
        .await;
    let holder = authority(&server).sign("m09");
    let mut device = connected(&server, "m09", x509(&holder, &server));
    device.register_now(3600, LINKS);
    is_read(&server.api(), &mut device).await;
    server.kill();
    server.restart().await;
    let body = json!({"kind": "read", "path": "/1/0/1", "format": "text"});
    let ended = operate(&server.api(), &mut device, body, |device| {
        device.accept_handshake().expect("the server's handshake");
        let read = Asked::get("/1/0/1").accept(TEXT).expect(device);
        device.answer_content(&read, TEXT, b"60");
    })
    .await;
    confirmed(&ended, "2.05");
    is_read(&server.api(), &mut device).await;
}
