//! Attacks 7, 10 and 11: addresses that anybody may have forged get at most three bytes for each of
//! theirs, floods are bounded and leave room for good devices, and who is blocked gets nothing
//! (RFC 9175 section 2.4).
//!
//! A forged source is shown by what it would be like for its owner: a socket that never answers. A
//! source that no sender can have (10) needs a raw socket; the message layer's own tests have those.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::time::Duration;

use serde_json::json;

use super::raw_handshakes::HANDSHAKE;
use super::{Siege, expect_nothing, request};
use crate::support::device::{ScriptedDevice, TEXT};
use crate::support::server::{SOON, Server, eventually};
use flownexus::coap::{Code, Message, MessageType, Options, number};

const HOST_9: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 9));

/// Bytes that came to a device until the server has answered a ping, and those of the ping.
fn drain(device: &mut ScriptedDevice) -> (usize, usize) {
    let ping = Message::empty(MessageType::Confirmable, device.next_message_id());
    device.send(&ping);
    let mut received = 0;
    loop {
        let message = device.expect("a pong");
        received += device.received_bytes().len();
        if (message.kind, message.message_id) == (MessageType::Reset, ping.message_id) {
            return (received, ping.encode().len());
        }
    }
}

#[tokio::test]
async fn attack_11_a_device_that_never_answers_gets_three_bytes_for_each_of_its_own() {
    let siege = Siege::begin(|setup| setup.setting("coap.ack_timeout_ms", 50)).await;
    let api = siege.server.api();
    let mut victim = siege.device("victim");
    let (mut sent, mut received) = (0, 0);
    for round in 0..4 {
        let register = victim.register(300, "</1/0>,</3303/0>,</3311/0>");
        sent += register.encode().len();
        let answer = victim.ask(&register);
        received += victim.received_bytes().len();
        victim.take_location(&answer);
        if round == 0 {
            let large = "x".repeat(2000);
            for body in [
                json!({"kind": "write", "path": "/3311/0/5750", "value": large}),
                json!({"kind": "observe", "path": "/3303/0/5700"}),
                json!({"kind": "read", "path": "/1/0"}),
            ] {
                api.operate(victim.name(), &body).await;
            }
        }
        // The first request has begun when it is here, and every timer has run out when the server
        // has no exchange left.
        victim.expect("a request");
        received += victim.received_bytes().len();
        eventually("the server has given up", SOON, || async {
            let left = siege.server.metric("flownexus_coap_exchanges").await;
            (left == 0.0).then_some(())
        })
        .await;
        let (came, went) = drain(&mut victim);
        received += came;
        sent += went;
        assert!(received <= 3 * sent, "{received} bytes for {sent}");
    }
    assert!(
        received > 2 * sent,
        "it was asked: {received} bytes for {sent}"
    );
    let unsent = "flownexus_admission_unsent_total";
    assert!(siege.server.metric(unsent).await > 0.0, "the limit bit");

    // The owner of the address is a good device after all: with its location it proves itself, and
    // gets what is waiting.
    let read = json!({"kind": "read", "path": "/1/0/1"});
    let operation = api.operate(victim.name(), &read).await;
    let update = victim.update();
    victim.send(&update);
    loop {
        let asked = victim.expect("a request");
        if asked.options.uri_path() == Some(vec!["1", "0", "1"]) {
            victim.answer_content(&asked, TEXT, b"300");
            break;
        }
        if asked.code.is_request() {
            victim.answer(&asked, Code::NOT_FOUND, Options::new(), b"");
        }
    }
    assert_eq!(api.ended(&operation).await["status"], "CONFIRMED");
    siege.ends_well().await;
}

/// A real device that names the address of a victim as its own: it knows its location, but that was sent
/// to another address.
#[tokio::test]
async fn attack_11_a_device_that_moves_to_the_address_of_a_victim_has_not_proven_that_one() {
    let siege = Siege::begin(|setup| {
        setup
            .setting("registration.follow_addresses", true)
            .setting("coap.ack_timeout_ms", 50)
    })
    .await;
    let api = siege.server.api();
    let mut device = siege.device("mover");
    device.register_now(300, "</1/0>,</3311/0>");
    let update = device.update();
    assert_eq!(device.ask(&update).code, Code::CHANGED);
    device.move_to_host(HOST_9);
    let update = device.update();
    assert_eq!(device.ask(&update).code, Code::CHANGED);
    let mut sent = update.encode().len();
    let mut received = device.received_bytes().len();
    let body = json!({"kind": "write", "path": "/3311/0/5750", "value": "x".repeat(2000)});
    let operation = api.operate(device.name(), &body).await;
    let path = format!("/api/v1/operations/{}", operation["id"]);
    eventually("it was tried", SOON, || async {
        let tried = siege
            .server
            .metric("flownexus_coap_exchanges_ended_total")
            .await
            > 0.0
            || siege.server.metric("flownexus_coap_kept_small_total").await > 0.0;
        let idle = siege.server.metric("flownexus_coap_exchanges").await == 0.0;
        (tried && idle).then_some(())
    })
    .await;
    eventually("the operation waits again", SOON, || async {
        (api.read(&path).await["status"] == "QUEUED").then_some(())
    })
    .await;
    let (came, went) = drain(&mut device);
    (received, sent) = (received + came, sent + went);
    assert!(received <= 3 * sent, "{received} bytes for {sent}");

    // From there it shows the location once more. It was sent to another address all the same.
    let update = device.update();
    device.send(&update);
    let first = request_of(&mut device);
    assert!(first.payload.len() <= 64, "{first:?}");
    // The token of the request was sent to this one.
    device.answer(&first, Code::NOT_FOUND, Options::new(), b"");
    assert_eq!(api.ended(&operation).await["status"], "FAILED");
    let operation = api.operate(device.name(), &body).await;
    let first = request_of(&mut device);
    assert_eq!(first.payload.len(), 1024, "{first:?}");
    device.answer(&first, Code::NOT_FOUND, Options::new(), b"");
    assert_eq!(api.ended(&operation).await["status"], "FAILED");
    siege.ends_well().await;
}

#[tokio::test]
async fn attack_11_large_answers_to_strangers_come_in_small_blocks_or_after_an_echo() {
    // With one byte for one the answer to a look around does not fit.
    let siege = Siege::begin(|setup| setup.setting("admission.amplification", 1)).await;
    let mut stranger = siege.device("stranger");
    let mut get = request(&mut stranger, Code::GET, "/.well-known/core", &[], b"");
    let refused = stranger.ask(&get);
    assert!(stranger.received_bytes().len() <= get.encode().len());
    assert_eq!(
        (refused.code, refused.payload.len()),
        (Code::UNAUTHORIZED, 0)
    );
    let echo = refused
        .options
        .first(number::ECHO)
        .expect("an Echo")
        .to_vec();

    // Somebody else's Echo proves nothing.
    let mut thief = siege.device("thief");
    let mut stolen = get.clone();
    stolen.options.add(number::ECHO, &echo);
    stolen.message_id = thief.next_message_id();
    let refused = thief.ask(&stolen);
    assert_eq!(refused.code, Code::UNAUTHORIZED);
    assert_ne!(refused.options.first(number::ECHO), Some(echo.as_slice()));

    get.message_id = stranger.next_message_id();
    get.options.add(number::ECHO, &echo);
    let whole = stranger.ask(&get);
    assert_eq!(whole.code, Code::CONTENT);
    assert!(stranger.received_bytes().len() > get.encode().len());
    assert_eq!(
        siege
            .server
            .metric("flownexus_admission_proofs_total")
            .await,
        1.0
    );

    // A longer question pays for a block at least.
    let mut patient = siege.device("patient");
    let padding = "q".repeat(20);
    let query = [(number::URI_QUERY, padding.as_bytes())];
    let mut body = Vec::new();
    for block in 0_u32.. {
        let mut get = request(&mut patient, Code::GET, "/.well-known/core", &query, b"");
        if block > 0 {
            get.options.add_uint(number::BLOCK2, block << 4);
        }
        let part = patient.ask(&get);
        assert_eq!(part.code, Code::CONTENT, "{part:?}");
        body.extend_from_slice(&part.payload);
        if part
            .options
            .uint(number::BLOCK2)
            .is_none_or(|block| block & 8 == 0)
        {
            break;
        }
    }
    assert_eq!(body, whole.payload);
    siege.ends_well().await;
}

#[tokio::test]
async fn attack_07_a_flood_from_one_source_leaves_good_devices_alone() {
    let siege = Siege::begin(|setup| {
        setup
            .setting("admission.source_datagrams_per_s", 50)
            .setting("admission.source_burst_datagrams", 100)
    })
    .await;
    flood(&siege.server, 20_000);
    let mut good = siege.device("good");
    good.register_now(300, "</1/0>,</3311/0>");
    let refused = refusals(&siege.server).await;
    assert!(refused > 1000.0, "{refused}");
    let answered = siege
        .server
        .metric("flownexus_coap_datagrams_received_total")
        .await;
    assert!(answered < 10_000.0, "{answered}");
    siege.ends_well().await;
}

#[tokio::test]
async fn attack_07_a_flood_of_strangers_is_bounded_and_known_devices_go_on() {
    let siege =
        Siege::begin(|setup| setup.setting("admission.unproven_datagrams_per_s", 100)).await;
    let api = siege.server.api();
    let mut known = siege.device("known");
    known.register_now(300, "</1/0>,</3311/0>");
    let update = known.update();
    assert_eq!(known.ask(&update).code, Code::CHANGED);
    flood(&siege.server, 20_000);
    // Without waiting for the budget of the strangers: it is proven.
    for _ in 0..50 {
        let update = known.update();
        assert_eq!(known.ask(&update).code, Code::CHANGED);
    }
    let body = json!({"kind": "read", "path": "/1/0/1"});
    let operation = api.operate("known", &body).await;
    let read = known.expect_request(Code::GET, "/1/0/1");
    known.answer_content(&read, TEXT, b"300");
    assert_eq!(api.ended(&operation).await["status"], "CONFIRMED");
    let refused = refusals(&siege.server).await;
    assert!(refused > 1000.0, "{refused}");
    // A new device sends again, as all do, until the budget has a place for it.
    let mut new = siege.device("new");
    let register = new.register(300, "</1/0>,</3311/0>");
    let answer = (0..40).find_map(|_| {
        new.send(&register);
        new.receive(Duration::from_millis(250))
    });
    new.take_location(&answer.expect("registered within ten seconds"));
    // The tables are as bounded as everything else.
    let sources = siege.server.metric("flownexus_admission_sources").await;
    assert!(sources < 1000.0, "{sources}");
    let log = siege.server.output();
    let lines = log.lines().filter(|line| line.contains("Dropped")).count();
    assert_eq!(lines, 1, "told once a minute");
    siege.ends_well().await;
}

#[tokio::test]
async fn attack_10_a_blocked_address_is_not_heard_and_gets_nothing() {
    let blocked = "127.0.0.9,192.0.2.0/24,2001:db8::/32";
    let mut server = Server::setup().start().await;
    let api = server.api();
    let mut device = ScriptedDevice::new("blocked", server.coap());
    device.move_to_host(HOST_9);
    device.register_now(300, "</1/0>,</3311/0>");
    server.set("admission.block", blocked);
    server.restart().await;

    // Asked from our side, and from its own.
    let body = json!({"kind": "read", "path": "/1/0/1"});
    let operation = server.api().operate("blocked", &body).await;
    let ping = Message::empty(MessageType::Confirmable, device.next_message_id());
    let update = device.update();
    device.send(&ping);
    device.send(&update);
    eventually("both are refused", SOON, || async {
        (refusals(&server).await >= 2.0).then_some(())
    })
    .await;
    eventually("the request is held back", SOON, || async {
        (server.metric("flownexus_coap_kept_small_total").await > 0.0).then_some(())
    })
    .await;
    // It is counted when it is held back, and put back into the queue after that.
    let path = format!("/api/v1/operations/{}", operation["id"]);
    eventually("the operation waits again", SOON, || async {
        (server.api().read(&path).await["status"] == "QUEUED").then_some(())
    })
    .await;
    // Its neighbour is served meanwhile.
    let mut neighbour = ScriptedDevice::new("neighbour", server.coap());
    neighbour.move_to_host(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 10)));
    neighbour.register_now(300, "</1/0>,</3311/0>");
    device.expect_silence(Duration::from_millis(100));

    // Let in again, it is the device of before.
    server.set("admission.block", "192.0.2.0/24");
    server.restart().await;
    let update = device.update();
    device.send(&update);
    let asked = loop {
        let message = device.expect("the operation");
        if message.code == Code::GET {
            break message;
        }
    };
    device.answer_content(&asked, TEXT, b"300");
    assert_eq!(api.ended(&operation).await["status"], "CONFIRMED");
}

#[tokio::test]
async fn a_device_of_before_a_restart_can_be_asked_once_and_is_then_known_again() {
    let mut server = Server::setup().start().await;
    let mut device = ScriptedDevice::new("restored", server.coap());
    let mut silent = ScriptedDevice::new("silent", server.coap());
    device.register_now(86_400, "</1/0>,</3311/0>");
    silent.register_now(86_400, "</1/0>,</3311/0>");
    server.restart().await;
    let api = server.api();

    // Nothing was heard of it since the restart. The first request is small enough, a large one goes
    // after its answer.
    let read = json!({"kind": "read", "path": "/1/0/1"});
    let operation = api.operate("restored", &read).await;
    let asked = device.expect_request(Code::GET, "/1/0/1");
    assert!(device.received_bytes().len() <= 136);
    device.answer_content(&asked, TEXT, b"300");
    assert_eq!(api.ended(&operation).await["status"], "CONFIRMED");
    let text = "x".repeat(500);
    let write = json!({"kind": "write", "path": "/3311/0/5750", "value": text});
    let operation = api.operate("restored", &write).await;
    let asked = device.expect_request(Code::PUT, "/3311/0/5750");
    assert_eq!(asked.payload.len(), 500, "in one piece");
    device.answer(&asked, Code::CHANGED, Options::new(), b"");
    assert_eq!(api.ended(&operation).await["status"], "CONFIRMED");

    // A large request to one that is silent begins with a small block, and no more comes than the
    // grace, whatever is asked.
    api.operate("silent", &write).await;
    api.operate("silent", &read).await;
    let first = silent.expect_request(Code::PUT, "/3311/0/5750");
    assert_eq!(first.payload.len(), 64, "the first block");
    let received = silent.received_bytes().len();
    assert!((1..=136).contains(&received), "{received}");
    expect_nothing(&mut silent, "the grace is spent");
}

/// Over DTLS the request waits for a session, and a handshake is far more than a Read.
#[tokio::test]
async fn attack_11_a_device_of_before_a_restart_is_called_with_one_hello() {
    let mut server = Server::setup()
        .setting("coaps.keep_sessions", false)
        .setting("coaps.retransmit_ms", 50)
        .setting("coaps.handshake_timeout_s", 2)
        .start()
        .await;
    let mut device = server.secure_device("silent");
    device.register_now(86_400, "</1/0>,</3311/0>");
    server.kill();
    server.restart().await;
    let api = server.api();
    let read = json!({"kind": "read", "path": "/1/0/1"});
    let operation = api.operate("silent", &read).await;
    let path = format!("/api/v1/operations/{}", operation["id"]);

    // Whoever has its address now does not answer: one datagram, however long it is tried.
    let hello = device.receive_datagram(SOON).expect("a hello");
    assert_eq!(hello.first(), Some(&HANDSHAKE));
    assert!(hello.len() <= 136, "{} bytes", hello.len());
    eventually("the handshake is given up", SOON, || async {
        let refused = "flownexus_dtls_handshakes_refused_total";
        (server.metric(refused).await > 0.0).then_some(())
    })
    .await;
    let unsent = server.metric("flownexus_dtls_handshake_datagrams_unsent_total");
    assert!(unsent.await > 0.0, "it was to be sent again");

    // The grace is spent: it is not called again, and that is no attempt.
    let before = api.read(&path).await["attempts"].clone();
    let other = api.operate("silent", &read).await;
    eventually("it waits", SOON, || async {
        let other = api
            .read(&format!("/api/v1/operations/{}", other["id"]))
            .await;
        (other["status"] == "QUEUED" && other["attempts"] == 0).then_some(())
    })
    .await;
    assert_eq!(device.receive_datagram(Duration::from_millis(200)), None);
    assert_eq!(api.read(&path).await["attempts"], before);

    // It was the device after all.
    device.handshake().expect("a session");
    let update = device.update();
    assert_eq!(device.ask(&update).code, Code::CHANGED);
    for operation in [&operation, &other] {
        let asked = device.expect_request(Code::GET, "/1/0/1");
        device.answer_content(&asked, TEXT, b"300");
        assert_eq!(api.ended(operation).await["status"], "CONFIRMED");
    }
    // Its session has proven it: it may be called whenever it has none.
    device.close_session();
    let operation = api.operate("silent", &read).await;
    let first = device.receive_datagram(SOON).expect("a hello");
    let again = device.receive_datagram(SOON).expect("another one");
    assert_eq!(first.len(), again.len(), "sent again");
    device.accept_handshake().expect("the server's handshake");
    let asked = device.expect_request(Code::GET, "/1/0/1");
    device.answer_content(&asked, TEXT, b"300");
    assert_eq!(api.ended(&operation).await["status"], "CONFIRMED");
}

#[tokio::test]
async fn attack_11_a_call_gets_three_bytes_for_each_of_the_device_and_is_finished_all_the_same() {
    let mut server = Server::setup()
        .setting("coaps.keep_sessions", false)
        .start()
        .await;
    let mut device = server.secure_device("restored");
    device.register_now(86_400, "</1/0>,</3311/0>");
    let before = traffic(&mut device);
    server.kill();
    server.restart().await;
    let read = json!({"kind": "read", "path": "/1/0/1"});
    let operation = server.api().operate("restored", &read).await;
    device.accept_handshake().expect("the server's handshake");
    let after = traffic(&mut device);
    let (sent, received) = (after.0 - before.0, after.1 - before.1);
    assert!(received <= 136 + 3 * sent, "{received} bytes for {sent}");
    let asked = device.expect_request(Code::GET, "/1/0/1");
    device.answer_content(&asked, TEXT, b"300");
    assert_eq!(server.api().ended(&operation).await["status"], "CONFIRMED");
}

#[tokio::test]
async fn a_sleeping_device_that_wakes_with_an_update_gets_what_waits_for_it_in_one_piece() {
    let server = Server::setup()
        .setting("queue_mode.awake_s", 1)
        .start()
        .await;
    let api = server.api();
    let mut device = ScriptedDevice::new("sleeper", server.coap());
    let query = ["lt=86400", "lwm2m=1.1", "b=U", "Q"].map(str::to_owned);
    let register = device.register_with(&query, "</1/0>,</3311/0>");
    let answer = device.ask(&register);
    device.take_location(&answer);
    eventually("it sleeps", SOON, || async {
        let endpoint = api.endpoint("sleeper").await?;
        (endpoint["awake"] == false).then_some(())
    })
    .await;
    let text = "x".repeat(200);
    let write = json!({"kind": "write", "path": "/3311/0/5750", "value": text});
    let operation = api.operate("sleeper", &write).await;
    let update = device.update();
    assert!(
        3 * update.encode().len() < 200,
        "the Update does not pay for it"
    );
    assert_eq!(device.ask(&update).code, Code::CHANGED);
    let asked = device.expect_request(Code::PUT, "/3311/0/5750");
    assert_eq!(asked.payload.len(), 200);
    device.answer(&asked, Code::CHANGED, Options::new(), b"");
    assert_eq!(api.ended(&operation).await["status"], "CONFIRMED");
}

/// Bytes that a device has sent and received in datagrams of DTLS.
fn traffic(device: &mut ScriptedDevice) -> (usize, usize) {
    let bytes = |datagrams: Vec<Vec<u8>>| datagrams.iter().map(Vec::len).sum();
    device.session(|secure| (bytes(secure.sent()), bytes(secure.received())))
}

/// The next request of the server, whatever comes before.
fn request_of(device: &mut ScriptedDevice) -> Message {
    loop {
        let message = device.expect("a request");
        if message.code.is_request() {
            return message;
        }
    }
}

/// Questions from many ports of another host, as fast as they go.
fn flood(server: &Server, datagrams: usize) {
    let sockets: Vec<UdpSocket> = (0..100)
        .map(|_| UdpSocket::bind((HOST_9, 0)).expect("a free port"))
        .collect();
    let mut get = Message {
        code: Code::GET,
        ..Message::empty(MessageType::NonConfirmable, 0)
    };
    get.options.add_uri_path("/.well-known/core");
    for at in 0..datagrams {
        get.message_id = (at / sockets.len()) as u16;
        let socket = &sockets[at % sockets.len()];
        // A full buffer of the kernel is part of a flood.
        let _ = socket.send_to(&get.encode(), server.coap());
    }
}

async fn refusals(server: &Server) -> f64 {
    server.metric("flownexus_admission_refused_total").await
}
