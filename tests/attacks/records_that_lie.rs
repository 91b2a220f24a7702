//! Attacks 28 to 30, and what is no DTLS at all: records and fragments that are not what they say,
//! that come twice, or that come from somewhere else.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use super::raw_handshakes::{
    ALERT, CHANGE_CIPHER_SPEC, CLIENT_HELLO, CLIENT_KEY_EXCHANGE, HANDSHAKE, PSK_CCM_8, RawPeer,
    SERVER_HELLO, fragment, hello, key_exchange, message, record,
};
use super::{expect_nothing, noise};
use crate::support::device::ScriptedDevice;
use crate::support::server::{SOON, Server, eventually};
use flownexus::coap::Code;

const UNDER_WAY: &str = "flownexus_dtls_handshakes_under_way";
const SESSIONS: &str = "flownexus_dtls_sessions";
const STRANGER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 9));

async fn server() -> Server {
    let setup = Server::setup().setting("coaps.handshake_timeout_s", 4);
    setup.start().await
}

/// Fails when the server says anything to this peer before it answers a hello.
fn said_nothing(peer: &mut RawPeer, after: &str) {
    let hello = peer.record(HANDSHAKE, &hello(0, [3; 32], &[], &[PSK_CCM_8]));
    peer.send(&hello);
    let answer = peer.receive().expect("a HelloVerifyRequest");
    assert_eq!(
        (answer[0], answer[13]),
        (HANDSHAKE, 3),
        "after {after}: {answer:02x?}"
    );
    assert!(answer.len() <= hello.len());
}

#[tokio::test]
async fn attack_28_what_is_no_dtls_gets_no_answer_and_one_line_in_the_log() {
    let server = server().await;
    let mut good = server.secure_device("good-device");
    let mut peer = RawPeer::new(STRANGER, server.coaps());
    let mut byte = noise(0x5684_5684_5684);
    for length in 0..=64 {
        let garbage: Vec<u8> = (0..length).map(|_| byte()).collect();
        peer.send(&garbage);
    }
    // Plain CoAP on the wrong port.
    let register = good.register(300, "</1/0>").encode();
    peer.send(&register);
    let whole = record(HANDSHAKE, 0, 0, &hello(0, [7; 32], &[], &[PSK_CCM_8]));
    for length in 0..whole.len() {
        peer.send(&whole[..length]);
    }
    said_nothing(&mut peer, "garbage");
    let sent = 65 + 1 + whole.len();
    let metric = "flownexus_dtls_handshakes_refused_total";
    eventually("all are counted", SOON, || async {
        (server.metric(metric).await >= sent as f64).then_some(())
    })
    .await;
    eventually("the line of the stranger", SOON, || async {
        server.output().contains("no DTLS 1.2 record").then_some(())
    })
    .await;
    let output = server.output();
    let lines = output.lines().filter(|line| {
        line.contains("WARN") && line.contains("Refused") && line.contains("127.0.0.9")
    });
    assert_eq!(lines.count(), 1, "{output}");
    good.register_now(300, "</1/0>");
    assert_eq!(server.metric(UNDER_WAY).await, 0.0);
}

#[tokio::test]
async fn attack_28_fragments_that_lie_end_their_own_handshake_at_most() {
    let server = server().await;
    let mut good = server.secure_device("good-device");
    let whole = key_exchange(b"good-device");
    let body = &whole[12..];
    let length = u32::try_from(body.len()).expect("short");
    let exchange = |numbers, body: &[u8]| fragment(CLIENT_KEY_EXCHANGE, 2, numbers, body);
    let cases: Vec<(&str, Vec<Vec<u8>>)> = vec![
        ("no bytes at all", vec![exchange([length, 0, 0], &[]); 50]),
        ("a message of no bytes", vec![exchange([0, 0, 0], &[])]),
        ("16 MB", vec![exchange([0xff_ffff, 0, 4], &[0; 4]); 50]),
        (
            "the end of 16 MB",
            vec![exchange([0xff_ffff, 0xff_fff0, 4], &[0; 4])],
        ),
        (
            "behind the end",
            vec![exchange([length, length, 4], &[0; 4])],
        ),
        (
            "longer than the record",
            vec![exchange([length, 0, length], &body[..3])],
        ),
        (
            "overlapping and contradictory",
            vec![
                exchange([length, 0, 6], &body[..6]),
                exchange([length + 9, 2, 6], &[0xff; 6]),
                exchange([length, 3, 6], &[0xee; 6]),
            ],
        ),
        (
            "two messages merged",
            vec![
                [
                    exchange([length, 0, 4], &body[..4]),
                    message(20, 3, &[0; 12]),
                ]
                .concat(),
            ],
        ),
        ("a short certificate", vec![message(11, 2, &[0, 0])]),
        ("a certificate of 16 MB", vec![message(11, 2, &[0xff; 6])]),
        ("a Finished before its time", vec![message(20, 2, &[0; 12])]),
        (
            "a CertificateVerify out of nowhere",
            vec![message(15, 2, &[4, 3, 0, 1, 0])],
        ),
        ("a message of the server", vec![message(2, 2, &[0; 40])]),
    ];
    for (number, (what, bodies)) in cases.iter().enumerate() {
        let last = u8::try_from(number + 20).expect("few");
        let local = Ipv4Addr::new(127, 0, 1, last);
        let mut peer = RawPeer::new(local.into(), server.coaps());
        peer.begin();
        for body in bodies {
            let record = peer.record(HANDSHAKE, body);
            peer.send(&record);
        }
        let change = peer.record(CHANGE_CIPHER_SPEC, &[1]);
        peer.send(&change);
        good.handshake()
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(server.metric(SESSIONS).await, 1.0, "{what}");
    }
    // A hello that claims 16 MB costs nothing.
    let mut peer = RawPeer::new(STRANGER, server.coaps());
    let huge = fragment(CLIENT_HELLO, 0, [0xff_ffff, 0, 40], &[0xfe; 40]);
    let huge = peer.record(HANDSHAKE, &huge);
    peer.send(&huge);
    said_nothing(&mut peer, "16 MB");
    // Records of the next epoch are kept until the keys are there; not without end.
    let mut peer = RawPeer::new(STRANGER, server.coaps());
    peer.begin();
    for number in 0..5_000_u16 {
        let [high, low] = number.to_be_bytes();
        let mut future = record(23, 1, low, &[high; 1_000]);
        future[9] = high;
        peer.send(&future);
    }
    good.register_now(300, "</1/0>");
    eventually("no handshake is under way", SOON, || async {
        (server.metric(UNDER_WAY).await == 0.0).then_some(())
    })
    .await;
    assert_eq!(server.metric(SESSIONS).await, 1.0);
}

#[tokio::test]
async fn attack_29_copies_and_forgeries_change_nothing_for_a_live_session() {
    let server = server().await;
    let mut device = server.secure_device("good-device");
    let flight = device.session(|session| session.sent());
    device.register_now(300, "</1/0>");
    let posts = "flownexus_dtls_sessions_closed_by_peer_total";
    // The same record once more is not even read: no answer, not of the message layer either.
    let update = device.update();
    let record = device.protect(&update.encode());
    device.send_datagram(&record);
    assert_eq!(device.expect("2.04").code, Code::CHANGED);
    for _ in 0..20 {
        device.send_datagram(&record);
    }
    expect_nothing(&mut device, "a replayed record");
    for datagram in &flight {
        device.send_datagram(datagram);
    }
    expect_nothing(&mut device, "a replayed handshake");
    // Spoilt in one bit, at a number that has not come yet.
    let mut spoilt = device.protect(&update.encode());
    let last = spoilt.len() - 1;
    spoilt[last] ^= 1;
    for round in 0..100 {
        for _ in 0..100 {
            device.send_datagram(&spoilt);
        }
        expect_nothing(&mut device, &format!("{round} hundred forgeries"));
    }
    // A new hello from its address, an alert, and a hello with a cookie that is none.
    for forged in [
        super::raw_handshakes::record(HANDSHAKE, 0, 90, &hello(1, [8; 32], &[9; 32], &[PSK_CCM_8])),
        super::raw_handshakes::record(ALERT, 0, 91, &[2, 40]),
        super::raw_handshakes::record(ALERT, 0, 92, &[1, 0]),
    ] {
        device.send_datagram(&forged);
        let again = device.update();
        assert_eq!(device.ask(&again).code, Code::CHANGED);
    }
    assert_eq!(server.metric(posts).await, 0.0);
    assert_eq!(server.metric(SESSIONS).await, 1.0);
}

/// RFC 6347 section 4.2.8: who can read what is sent to the device's address can begin in its name,
/// and get no further.
#[tokio::test]
async fn attack_29_a_handshake_that_stops_halfway_leaves_the_session_of_its_address_alone() {
    let server = server().await;
    let mut device = server.secure_device("halfway");
    device.register_now(3600, "</1/0>");
    let goes_on = |device: &mut ScriptedDevice| {
        let update = device.update();
        assert_eq!(device.ask(&update).code, Code::CHANGED);
    };
    let first = record(HANDSHAKE, 0, 1, &hello(0, [8; 32], &[], &[PSK_CCM_8]));
    device.send_datagram(&first);
    let asked = device.receive_datagram(SOON).expect("a cookie");
    let second = hello(1, [8; 32], &asked[28..], &[PSK_CCM_8]);
    device.send_datagram(&record(HANDSHAKE, 0, 2, &second));
    let answer = device.receive_datagram(SOON).expect("a ServerHello");
    assert_eq!((answer[0], answer[13]), (HANDSHAKE, SERVER_HELLO));
    assert_eq!(server.metric(UNDER_WAY).await, 1.0);
    goes_on(&mut device);
    eventually("the handshake is given up", SOON, || async {
        (server.metric(UNDER_WAY).await == 0.0).then_some(())
    })
    .await;
    goes_on(&mut device);
    assert_eq!(server.metric(SESSIONS).await, 1.0);
}

#[tokio::test]
async fn attack_29_an_unknown_identity_is_answered_like_a_wrong_key() {
    let server = server().await;
    let _known = server.secure_device("good-device");
    let mut seen = Vec::new();
    for (number, identity) in [(1, "good-device"), (2, "nobody-here")] {
        let local = Ipv4Addr::new(127, 0, 2, number);
        let mut peer = RawPeer::new(local.into(), server.coaps());
        peer.begin();
        let exchange = peer.record(HANDSHAKE, &key_exchange(identity.as_bytes()));
        let change = peer.record(CHANGE_CIPHER_SPEC, &[1]);
        let finished = record(HANDSHAKE, 1, 0, &[0x5a; 40]);
        let began = Instant::now();
        peer.send(&[exchange, change, finished].concat());
        let mut answers = Vec::new();
        while let Some(answer) = peer.receive() {
            let is_end = answer[0] == ALERT;
            // A flight that is sent again may come once more on a busy machine.
            if is_end {
                answers.push(answer);
                break;
            }
        }
        seen.push((answers, began.elapsed()));
    }
    let [(wrong, one), (unknown, other)] = &seen[..] else {
        panic!("two peers")
    };
    assert_eq!(wrong, unknown);
    assert_eq!(wrong.first().map(|alert| &alert[13..]), Some(&[2, 51][..]));
    assert!(
        one.abs_diff(*other) < Duration::from_millis(500),
        "{one:?}, {other:?}"
    );
    eventually(
        "the reason stands in the log, with the device",
        SOON,
        || async {
            let output = server.output();
            let is_named =
                output.contains("as good-device") && output.contains("key of the PSK identity");
            is_named.then_some(())
        },
    )
    .await;
}

#[tokio::test]
async fn attack_30_records_from_another_address_are_nobodys_until_a_new_handshake() {
    let server = server().await;
    let mut one = server.secure_device("one");
    let mut two = server.secure_device("two");
    for device in [&mut one, &mut two] {
        device.register_now(300, "</1/0>");
    }
    let api = server.api();
    // A NAT has forgotten it: nothing it says is heard, and nothing is answered.
    one.move_keeping_session();
    let before = server.metric("flownexus_dtls_strays_total").await;
    let update = one.update();
    one.send(&update);
    eventually("a stray", SOON, || async {
        (server.metric("flownexus_dtls_strays_total").await > before).then_some(())
    })
    .await;
    one.handshake().expect("a handshake from there");
    let update = one.update();
    assert_eq!(one.ask(&update).code, Code::CHANGED);
    reads(&api, &mut one, b"1").await;
    // They swap addresses. Each is read under the session of the other, which opens nothing.
    let (of_one, of_two) = (one.update(), two.update());
    let (of_one, of_two) = (one.protect(&of_one.encode()), two.protect(&of_two.encode()));
    one.send_datagram(&of_two);
    two.send_datagram(&of_one);
    expect_nothing(&mut one, "a record of two");
    expect_nothing(&mut two, "a record of one");
    reads(&api, &mut one, b"1").await;
    reads(&api, &mut two, b"2").await;
    // The one that the NAT took away stays until it is idle, or the device has too many.
    assert_eq!(server.metric(SESSIONS).await, 3.0);
}

/// A Read reaches this device and no other.
async fn reads(api: &crate::support::server::Api, device: &mut ScriptedDevice, value: &[u8]) {
    let body = serde_json::json!({"kind": "read", "path": "/1/0/1"});
    let operation = api.operate(device.name(), &body).await;
    let read = device.expect_request(Code::GET, "/1/0/1");
    device.answer_content(&read, 0, value);
    assert_eq!(api.ended(&operation).await["status"], "CONFIRMED");
}
