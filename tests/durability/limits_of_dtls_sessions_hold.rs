//! How many DTLS sessions there may be holds while the server runs, and when it goes on after a SIGKILL with
//! room for fewer: those that were heard last are kept, and one that is in use makes room for nobody.

use crate::support::device::ScriptedDevice;
use crate::support::secure::Credentials;
use crate::support::server::{DEVICE_KEY, SOON, Server, eventually};
use flownexus::coap::Code;
use flownexus::domain::Timestamp;

const SESSIONS: &str = "flownexus_dtls_sessions";
const HANDSHAKES: &str = "flownexus_dtls_handshakes_finished_total";
const EVICTED: &str = "flownexus_dtls_sessions_evicted_total";
const CBC: &str = "PSK-AES128-CBC-SHA256";

/// The session goes on, and is heard in a millisecond of its own, which is how exactly that is kept.
#[track_caller]
fn updates(device: &mut ScriptedDevice) {
    let update = device.update();
    assert_eq!(device.ask(&update).code, Code::CHANGED, "{}", device.name());
    let heard = Timestamp::system();
    while Timestamp::system() == heard {
        std::hint::spin_loop();
    }
}

async fn has_sessions(server: &Server, count: f64) {
    eventually(&format!("{count} sessions"), SOON, || async {
        let now = server.metric(SESSIONS).await;
        ((now - count).abs() < 0.5).then_some(())
    })
    .await;
}

/// A handshake that ends well, and is told at once that there is no room.
#[track_caller]
fn finds_no_room(device: &mut ScriptedDevice) {
    if device.handshake().is_ok() {
        assert_eq!(device.expect_end_of_session(), "close_notify");
    }
}

#[tokio::test]
async fn of_more_sessions_than_there_may_be_those_that_were_heard_last_outlive_the_server() {
    let mut server = Server::start().await;
    let mut devices: Vec<ScriptedDevice> = Vec::new();
    for name in ["first", "second", "third", "fourth"] {
        let mut device = server.secure_device(name);
        device.register_now(3600, "</1/0>");
        devices.push(device);
    }
    // Heard in another order than they came.
    for place in [3, 0, 2, 1] {
        updates(&mut devices[place]);
    }
    server.kill();
    server.set("coaps.max_sessions", 2);
    server.restart().await;
    has_sessions(&server, 2.0).await;
    let [first, second, third, fourth] = &mut devices[..] else {
        panic!("four devices");
    };
    updates(second);
    updates(third);
    // Both are in use, so nobody else finds room.
    finds_no_room(first);
    finds_no_room(fourth);
    updates(second);
    updates(third);
    assert!(server.metric(EVICTED).await < 0.5);
    // One that says good-bye makes room.
    second.close_session();
    has_sessions(&server, 1.0).await;
    fourth.handshake_soon();
    updates(fourth);
    updates(third);
    has_sessions(&server, 2.0).await;
}

#[tokio::test]
async fn of_the_sessions_of_an_endpoint_the_last_ones_outlive_the_server() {
    let mut server = Server::start().await;
    let mut one = server.secure_device("double");
    one.register_now(3600, "</1/0>");
    let credentials = Credentials::psk("double", DEVICE_KEY);
    let mut other = ScriptedDevice::secure("double", server.coaps(), credentials.clone());
    other.handshake().expect("a session");
    other.register_now(3600, "</1/0>");
    has_sessions(&server, 2.0).await;
    // A third one is in the place of the one that was heard the longest ago.
    let mut third = ScriptedDevice::secure("double", server.coaps(), credentials);
    third.handshake().expect("a session");
    third.register_now(3600, "</1/0>");
    has_sessions(&server, 2.0).await;
    assert_eq!(one.expect_end_of_session(), "close_notify");
    server.kill();
    server.set("coaps.max_sessions_per_endpoint", 1);
    server.restart().await;
    has_sessions(&server, 1.0).await;
    updates(&mut third);
    assert!(server.metric(HANDSHAKES).await < 0.5, "nobody shook hands");
}

#[tokio::test]
async fn sessions_that_openssl_keeps_have_a_limit_of_their_own_and_end_with_the_server() {
    let mut server = Server::setup()
        .setting("coaps.max_large_sessions", 1)
        .start()
        .await;
    let mut small = server.secure_device("small");
    small.register_now(3600, "</1/0>");
    let mut large = Vec::new();
    for name in ["large", "larger"] {
        server.secure_device(name).close_session();
        let credentials = Credentials::psk(name, DEVICE_KEY).with_suites(CBC);
        large.push(ScriptedDevice::secure(name, server.coaps(), credentials));
    }
    has_sessions(&server, 1.0).await;
    let [one, other] = &mut large[..] else {
        panic!("two devices");
    };
    one.handshake().expect("a session");
    one.register_now(3600, "</1/0>");
    finds_no_room(other);
    updates(one);
    updates(&mut small);
    has_sessions(&server, 2.0).await;

    server.restart().await;
    has_sessions(&server, 1.0).await;
    updates(&mut small);
    // Whoever comes first.
    other.handshake().expect("a session");
    other.register_now(3600, "</1/0>");
    finds_no_room(one);
    updates(other);
    updates(&mut small);
    has_sessions(&server, 2.0).await;
}
