//! Attack 30 with connection ids (RFC 9146): a session is where its newest record came from, and nowhere that
//! somebody without its keys says. What it gets there is bounded until it has shown that it is there (section
//! 6). The device's own ids and records are made by `support/cid.rs`, not by the server's code.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};

use rstest::rstest;
use serde_json::{Value as Json, json};

use super::{Siege, expect_nothing};
use crate::support::cid::TLS12_CID;
use crate::support::device::{ScriptedDevice, TEXT};
use crate::support::secure::Credentials;
use crate::support::server::{DEVICE_KEY, SOON, Server, eventually};
use flownexus::coap::{Code, Message, MessageType, Options};

const SESSIONS: &str = "flownexus_dtls_sessions";
const FOLLOWED: &str = "flownexus_dtls_sessions_followed_total";
/// Bytes of a record before its connection id.
const HEAD: usize = 11;
const APPLICATION_DATA: u8 = 23;
/// OpenSSL's reason says more.
const DECODE_ERROR: &str = "alert 50 ";

/// In force at once.
async fn add_credential(server: &Server, name: &str) {
    let psk = json!({"identity": name, "key": hex::encode(DEVICE_KEY)});
    let body = json!({"endpoint": name, "psk": psk});
    server.api().create("/api/v1/credentials", &body).await;
}

/// A device whose key the server knows, with this id in what it gets.
async fn known(server: &Server, name: &str, id: &[u8]) -> ScriptedDevice {
    add_credential(server, name).await;
    let credentials = Credentials::psk(name, DEVICE_KEY).with_connection_id(id);
    ScriptedDevice::secure(name, server.coaps(), credentials)
}

/// The same, registered.
async fn registered(server: &Server, name: &str, id: &[u8]) -> ScriptedDevice {
    let mut device = known(server, name, id).await;
    device.handshake().expect("a session");
    device.register_now(300, "</1/0>,</3311/0>");
    device
}

/// The ids in what it gets and in what it sends.
fn ids(device: &mut ScriptedDevice) -> Option<(Vec<u8>, Vec<u8>)> {
    device.session(|session| session.connection_ids().ids())
}

/// A socket of nobody.
fn elsewhere() -> UdpSocket {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    socket.set_nonblocking(true).expect("a socket");
    socket
}

#[track_caller]
fn assert_silent(socket: &UdpSocket, after: &str) {
    let received = socket.recv(&mut [0; 2_048]);
    let error = received.expect_err(after);
    assert_eq!(error.kind(), ErrorKind::WouldBlock, "{after}");
}

/// It is answered where it is.
#[track_caller]
fn is_served(device: &mut ScriptedDevice) {
    let update = device.update();
    assert_eq!(device.ask(&update).code, Code::CHANGED);
}

/// A Read reaches this device, and its answer the server.
async fn reads(server: &Server, device: &mut ScriptedDevice, value: &[u8]) {
    let body = json!({"kind": "read", "path": "/1/0/1", "format": "text"});
    let operation = server.api().operate(device.name(), &body).await;
    let read = device.expect_request(Code::GET, "/1/0/1");
    device.answer_content(&read, TEXT, value);
    let ended = server.api().ended(&operation).await;
    assert_eq!(ended["status"], "CONFIRMED", "{ended}");
}

async fn address(server: &Server, device: &ScriptedDevice) -> Json {
    let endpoint = server.api().endpoint(device.name()).await;
    endpoint.expect("a known endpoint")["address"].clone()
}

#[tokio::test]
async fn attack_30_copies_and_older_records_from_another_address_move_nothing() {
    let server = Server::start().await;
    let mut device = registered(&server, "target", b"").await;
    let [older, newer] = [device.update(), device.update()];
    let held_back = device.protect(&older.encode());
    let genuine = device.protect(&newer.encode());
    device.send_datagram(&genuine);
    assert_eq!(device.expect("an answer").message_id, newer.message_id);
    let thief = elsewhere();
    let forged = |datagram: &[u8]| {
        let sent = thief.send_to(datagram, server.coaps());
        sent.expect("loopback takes it");
    };
    // It has come already.
    forged(&genuine);
    is_served(&mut device);
    assert_silent(&thief, "a copy");
    // It has never come, and a newer one has: it is heard, and answered where the device is.
    forged(&held_back);
    assert_eq!(device.expect("an answer").message_id, older.message_id);
    assert_silent(&thief, "an older record");
    // Also when it comes again, from anywhere.
    forged(&held_back);
    device.send_datagram(&held_back);
    expect_nothing(&mut device, "an older record, twice more");
    assert_silent(&thief, "a copy of an older record");
    reads(&server, &mut device, b"300").await;
    assert_eq!(server.metric(FOLLOWED).await, 0.0);
    assert_eq!(server.metric(SESSIONS).await, 1.0);
}

/// Whole UDP payloads, in both directions, since some moment.
struct Account {
    sent: usize,
    received: usize,
}

impl Account {
    fn open(device: &mut ScriptedDevice) -> Self {
        device.session(|session| Self {
            sent: session.sent().len(),
            received: session.received().len(),
        })
    }

    /// What has come until the server has answered a ping is within three times of what was sent.
    #[track_caller]
    fn check(&self, device: &mut ScriptedDevice) {
        let ping = Message::empty(MessageType::Confirmable, device.next_message_id());
        device.send(&ping);
        while device.expect("a pong").message_id != ping.message_id {}
        let bytes =
            |all: Vec<Vec<u8>>, from: usize| all[from..].iter().map(Vec::len).sum::<usize>();
        let (sent, received) = device.session(|session| {
            let sent = bytes(session.sent(), self.sent);
            (sent, bytes(session.received(), self.received))
        });
        assert!(received <= 3 * sent, "{received} bytes for {sent}");
    }
}

/// A device with a session says that it is where somebody else is.
#[rstest]
#[case::without_an_id_of_its_own(b"")]
#[case::with_the_longest_id(b"of the longest there")]
#[tokio::test]
async fn attack_30_a_session_that_has_moved_gets_three_bytes_for_each_until_it_answers_there(
    #[case] id: &[u8],
) {
    let siege = Siege::begin(|setup| setup.setting("coap.ack_timeout_ms", 50)).await;
    let (server, api) = (&siege.server, siege.server.api());
    let mut device = registered(server, "mover", id).await;
    is_served(&mut device);
    device.move_to_host_keeping_session(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 9)));
    let account = Account::open(&mut device);
    is_served(&mut device);
    assert_eq!(
        address(server, &device).await,
        device.address().to_string(),
        "followed"
    );
    let write = json!({"kind": "write", "path": "/3311/0/5750", "value": "x".repeat(2_000)});
    let operation = api.operate(device.name(), &write).await;
    let path = format!("/api/v1/operations/{}", operation["id"]);
    for _ in 0..4 {
        eventually("the operation waits for another word", SOON, || async {
            let is_waiting = api.read(&path).await["status"] == "QUEUED";
            let exchanges = server.metric("flownexus_coap_exchanges").await;
            (is_waiting && exchanges == 0.0).then_some(())
        })
        .await;
        account.check(&mut device);
    }
    let unsent = server.metric("flownexus_admission_unsent_total").await;
    let kept_small = server.metric("flownexus_coap_kept_small_total").await;
    assert!(unsent + kept_small > 0.0, "the limit bit");

    // It answers what was sent to where it is now.
    let update = device.update();
    device.send(&update);
    let first = request_of(&mut device);
    assert!(first.payload.len() < 1_024, "{first:?}");
    account.check(&mut device);
    device.answer(&first, Code::NOT_FOUND, Options::new(), b"");
    assert_eq!(api.ended(&operation).await["status"], "FAILED");
    // And there is no limit any more.
    for _ in 0..3 {
        let operation = api.operate(device.name(), &write).await;
        let first = request_of(&mut device);
        assert_eq!(first.payload.len(), 1_024, "{first:?}");
        device.answer(&first, Code::NOT_FOUND, Options::new(), b"");
        assert_eq!(api.ended(&operation).await["status"], "FAILED");
    }
    assert_eq!(server.metric(FOLLOWED).await, 1.0);
    siege.ends_well().await;
}

/// The next request of the server, whatever else comes before it.
fn request_of(device: &mut ScriptedDevice) -> Message {
    loop {
        let message = device.expect("a request");
        if message.code.is_request() {
            return message;
        }
    }
}

#[tokio::test]
async fn attack_30_a_device_that_comes_and_goes_is_followed_each_time() {
    let server = Server::start().await;
    let mut device = registered(&server, "commuter", b"dev").await;
    let home = device.session(|session| session.socket());
    let mut followed = 0.0;
    for _ in 0..3 {
        for socket in [elsewhere(), home.try_clone().expect("the same socket")] {
            socket.set_nonblocking(false).expect("a socket");
            device.session(|session| session.move_to(socket));
            is_served(&mut device);
            let shown = address(&server, &device).await;
            assert_eq!(shown, device.address().to_string());
            reads(&server, &mut device, b"300").await;
            followed += 1.0;
            assert_eq!(server.metric(FOLLOWED).await, followed);
        }
    }
    assert_eq!(server.metric(SESSIONS).await, 1.0);
}

#[tokio::test]
async fn attack_30_two_devices_with_ids_that_swap_their_addresses_go_on() {
    let server = Server::start().await;
    let mut one = registered(&server, "one", b"1").await;
    let mut two = registered(&server, "two", b"").await;
    let sockets = [&mut one, &mut two].map(|device| device.session(|session| session.socket()));
    let [of_one, of_two] = sockets;
    one.session(|session| session.move_to(of_two));
    two.session(|session| session.move_to(of_one));
    for _ in 0..2 {
        for device in [&mut one, &mut two] {
            is_served(device);
            let shown = address(&server, device).await;
            assert_eq!(shown, device.address().to_string());
        }
    }
    reads(&server, &mut one, b"1").await;
    reads(&server, &mut two, b"2").await;
    assert_eq!(server.metric(FOLLOWED).await, 2.0);
    assert_eq!(server.metric(SESSIONS).await, 2.0);
}

#[tokio::test]
async fn attack_30_records_without_their_id_or_with_another_one_are_nothing() {
    let server = Server::start().await;
    let mut device = registered(&server, "target", b"target").await;
    let mut other = registered(&server, "other", b"").await;
    let (_, id) = ids(&mut device).expect("ids");
    let (_, id_of_other) = ids(&mut other).expect("ids");
    assert_ne!(id, id_of_other);
    let update = device.update();
    let genuine = device.protect(&update.encode());
    assert_eq!(
        (genuine[0], &genuine[HEAD..][..id.len()]),
        (TLS12_CID, &id[..])
    );
    let renamed = |id_now: &[u8]| {
        let rest = &genuine[HEAD + id.len()..];
        [&genuine[..HEAD], id_now, rest].concat()
    };
    let mut spoilt = id.clone();
    spoilt[0] ^= 1;
    let mut typed = renamed(b"");
    typed[0] = APPLICATION_DATA;
    device.session(|session| session.connection_ids().switch(false));
    let without = device.protect(&update.encode());
    device.session(|session| session.connection_ids().switch(true));
    assert_eq!(without[0], APPLICATION_DATA);
    let forgeries = [
        without,
        typed,
        renamed(&spoilt),
        renamed(&id_of_other),
        renamed(&id[1..]),
        renamed(b""),
        renamed(&[&id[..], &[0]].concat()),
        genuine[..HEAD + id.len() - 1].to_vec(),
        genuine[..HEAD + id.len()].to_vec(),
        genuine[..HEAD + id.len() + 2].to_vec(),
        genuine[..genuine.len() - 1].to_vec(),
        [TLS12_CID, 0xfe, 0xfd].to_vec(),
    ];
    let thief = elsewhere();
    for forged in &forgeries {
        let shown = format!("{forged:02x?}");
        device.send_datagram(forged);
        expect_nothing(&mut device, &shown);
        other.send_datagram(forged);
        expect_nothing(&mut other, &shown);
        thief.send_to(forged, server.coaps()).expect("loopback");
    }
    for device in [&mut device, &mut other] {
        is_served(device);
        reads(&server, device, b"300").await;
    }
    assert_silent(&thief, "what is of nobody");
    // All the while it was worth something.
    device.send_datagram(&genuine);
    assert_eq!(device.expect("an answer").message_id, update.message_id);
    assert_eq!(server.metric(FOLLOWED).await, 0.0);
    assert_eq!(server.metric(SESSIONS).await, 2.0);
}

/// Whoever has a session could take that of somebody else away by a forged source.
#[tokio::test]
async fn attack_30_the_address_of_a_session_without_ids_is_not_taken_over() {
    let server = Server::start().await;
    let mut settled = server.secure_device("settled");
    settled.register_now(300, "</1/0>");
    let mut guest = registered(&server, "guest", b"").await;
    let shared = settled.session(|session| session.socket());
    guest.session(|session| session.move_to(shared));
    for _ in 0..3 {
        is_served(&mut guest);
        is_served(&mut settled);
    }
    for device in [&guest, &settled] {
        let shown = address(&server, device).await;
        assert_eq!(shown, settled.address().to_string());
    }
    reads(&server, &mut settled, b"1").await;
    reads(&server, &mut guest, b"2").await;
    // The guest leaves again, and leaves nothing behind.
    guest.move_keeping_session();
    is_served(&mut guest);
    is_served(&mut settled);
    reads(&server, &mut settled, b"1").await;
    reads(&server, &mut guest, b"2").await;
    assert_eq!(server.metric(FOLLOWED).await, 2.0);
    assert_eq!(server.metric(SESSIONS).await, 2.0);
}

/// The last flight of a handshake is longer than the Finished that asks for it, and is not for another address.
#[tokio::test]
async fn attack_30_a_finished_from_another_address_brings_no_flight_there() {
    let server = Server::start().await;
    let mut device = registered(&server, "repeater", b"").await;
    let again = |device: &mut ScriptedDevice| {
        let finished = device.session(|session| session.connection_ids().repeat_finished());
        device.send_datagram(&finished);
        let ping = Message::empty(MessageType::Confirmable, device.next_message_id());
        device.send(&ping);
        let mut bytes = 0;
        loop {
            let datagram = device.receive_datagram(SOON).expect("a pong");
            bytes += datagram.len();
            // A pong in a record with 8 bytes of nonce and 8 of tag.
            if datagram[0] == APPLICATION_DATA && datagram.len() == HEAD + 2 + 8 + 4 + 8 {
                return (bytes - datagram.len(), finished.len());
            }
        }
    };
    let (flight, finished) = again(&mut device);
    assert!(
        flight > finished,
        "where it is: {flight} bytes for {finished}"
    );
    device.move_keeping_session();
    let (flight, finished) = again(&mut device);
    assert_eq!(flight, 0, "elsewhere, for {finished} bytes");
    is_served(&mut device);
}

#[tokio::test]
async fn attack_30_an_extension_that_is_wrong_gets_an_alert() {
    let server = Server::start().await;
    add_credential(&server, "wrong").await;
    for extension in [&[][..], &[1], &[0, 1], &[5, 1, 2], &[255, 0], &[1, 2, 3]] {
        let credentials = Credentials::psk("wrong", DEVICE_KEY);
        let credentials = credentials.with_connection_id_extension(extension);
        let mut device = ScriptedDevice::secure("wrong", server.coaps(), credentials);
        let refused = device.handshake().expect_err("no session");
        assert!(
            refused.starts_with(DECODE_ERROR),
            "{extension:?}: {refused}"
        );
    }
    eventually("nothing is left", SOON, || async {
        let under_way = server.metric("flownexus_dtls_handshakes_under_way").await;
        (under_way == 0.0).then_some(())
    })
    .await;
    is_served(&mut registered(&server, "right", b"").await);
}

#[tokio::test]
async fn attack_30_a_wish_for_an_id_that_is_too_long_leads_to_a_session_without() {
    let server = Server::start().await;
    for (name, length) in [("long", 21), ("longest", 255)] {
        let mut device = registered(&server, name, &vec![7; length]).await;
        assert_eq!(ids(&mut device), None, "{length} bytes");
        is_served(&mut device);
        reads(&server, &mut device, b"300").await;
        let record = device.protect(b"anything");
        assert_eq!(record[0], APPLICATION_DATA);
    }
}

#[rstest]
#[case::short(4)]
#[case::usual(6)]
#[case::long(20)]
#[tokio::test]
async fn ids_of_every_length_work_in_both_directions(#[case] length: usize) {
    let server = Server::setup()
        .setting("coaps.connection_id_bytes", length)
        .start()
        .await;
    for own in [&b""[..], b"1", b"of the longest there"] {
        let name = format!("device-{}", own.len());
        let mut device = registered(&server, &name, own).await;
        let (in_what_comes, in_what_goes) = ids(&mut device).expect("ids");
        assert_eq!((&in_what_comes[..], in_what_goes.len()), (own, length));
        is_served(&mut device);
        reads(&server, &mut device, b"300").await;
        let received = device.session(|session| session.received());
        let last = received.last().expect("datagrams");
        let is_named = last[0] == TLS12_CID && last[HEAD..].starts_with(own);
        assert_eq!(is_named, !own.is_empty(), "{last:02x?}");
        // Zeros behind the text hide how long it is (section 4).
        let update = device.update();
        let padded = device.session(|session| {
            let shim = session.connection_ids();
            shim.seal(APPLICATION_DATA, &update.encode(), 100)
        });
        device.send_datagram(&padded);
        assert_eq!(device.expect("an answer").code, Code::CHANGED);
        device.move_keeping_session();
        is_served(&mut device);
        reads(&server, &mut device, b"300").await;
    }
    assert_eq!(server.metric(FOLLOWED).await, 3.0);
}

/// What is agreed upon in one handshake is not that of the next (section 3).
#[tokio::test]
async fn a_session_that_is_taken_up_again_has_other_ids() {
    let server = Server::start().await;
    let mut device = registered(&server, "again", b"dev").await;
    let (_, before) = ids(&mut device).expect("ids");
    assert_eq!(device.resume(), Ok(true));
    let (_, after) = ids(&mut device).expect("ids");
    assert_ne!(before, after);
    is_served(&mut device);
    device.move_keeping_session();
    is_served(&mut device);
    reads(&server, &mut device, b"300").await;
    assert_eq!(server.metric(FOLLOWED).await, 1.0);
}
