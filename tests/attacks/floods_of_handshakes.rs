//! Attacks 25 and 26: more handshakes than anybody can mean, none of which is finished.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::raw_handshakes::{
    ALERT, CHANGE_CIPHER_SPEC, HANDSHAKE, RawPeer, hello, key_exchange, record,
};
use super::resident_kb;
use crate::support::secure::{Credentials, Secure};
use crate::support::server::{SOON, Server, eventually};

const UNDER_WAY: &str = "flownexus_dtls_handshakes_under_way";
const SESSIONS: &str = "flownexus_dtls_sessions";
const HELLOS: u32 = 100_000;
/// So many are under way before one is waited for.
const BURST: u32 = 500;
/// In so many parts memory is looked at, so that growth can be told from settling.
const STEPS: u32 = 4;
/// What an allocator may keep.
const SLACK_KB: u64 = 16 * 1024;

/// One hello from each of these sources; as fast as they are answered.
fn flood(server: SocketAddr, from: u32, to: u32, sent: &AtomicU32) {
    for number in from..to {
        let [_, a, b, c] = number.to_be_bytes();
        let local = Ipv4Addr::new(127, 8 + a, b, c);
        let socket = UdpSocket::bind((local, 0)).expect("a free port");
        let message = hello(0, [c; 32], &[], &[0xc0a8]);
        let hello = record(HANDSHAKE, 0, 0, &message);
        socket.send_to(&hello, server).expect("loopback takes it");
        sent.fetch_add(1, Ordering::Relaxed);
        if number % BURST == 0 {
            socket.set_read_timeout(Some(SOON)).expect("a time");
            let mut answer = [0; 256];
            let length = socket.recv(&mut answer).expect("an answer to a hello");
            assert!(length <= hello.len(), "{length} bytes for {}", hello.len());
        }
    }
}

#[tokio::test]
async fn attack_25_hellos_of_a_hundred_thousand_sources_cost_nothing_and_good_devices_get_in() {
    // The books of the admission are bounded, and full before memory is looked at.
    let setup = Server::setup()
        .setting("admission.max_sources", 2_000)
        .setting("log.level", "info");
    let server = setup.start().await;
    let mut good = server.secure_device("good-device");
    let coaps = server.coaps();
    let sent = Arc::new(AtomicU32::new(0));
    flood(coaps, 0, 10_000, &sent);
    let before = resident_kb(&server);
    let flooding = {
        let sent = Arc::clone(&sent);
        thread::spawn(move || flood(coaps, 10_000, 10_000 + HELLOS, &sent))
    };
    let mut took = Vec::new();
    while !flooding.is_finished() {
        let began = Instant::now();
        good.handshake().expect("a handshake meanwhile");
        good.register_now(300, "</1/0>");
        if !flooding.is_finished() {
            took.push(began.elapsed());
        }
    }
    flooding.join().expect("a flood");
    took.sort_unstable();
    let median = took.get(took.len() / 2).expect("at least one meanwhile");
    assert!(*median < Duration::from_secs(1), "{took:?}");
    assert_eq!(sent.load(Ordering::Relaxed), 10_000 + HELLOS);
    assert!(
        server
            .metric("flownexus_dtls_hello_verify_requests_total")
            .await
            > 10_000.0
    );
    assert_eq!(server.metric(UNDER_WAY).await, 0.0);
    let after = resident_kb(&server);
    println!(
        "{before} KB before, {after} KB after; {} registrations, median {median:?}",
        took.len()
    );
    assert!(
        after < before + SLACK_KB,
        "{before} KB before, {after} KB after"
    );
}

/// One handshake that fails, in one of five ways. `Some` where the address can be used again at once.
fn fail(number: u32, server: SocketAddr) -> RawPeer {
    let [_, a, b, c] = number.to_be_bytes();
    let mut peer = RawPeer::new(Ipv4Addr::new(127, 16 + a, b, c).into(), server);
    match number % 16 {
        // It is forgotten.
        0 => peer.begin(),
        // No key: an unknown identity, or that of a device.
        1 | 2 => {
            peer.begin();
            let identity: &[u8] = if number % 16 == 1 {
                b"nobody"
            } else {
                b"good-device"
            };
            let exchange = peer.record(HANDSHAKE, &key_exchange(identity));
            let change = peer.record(CHANGE_CIPHER_SPEC, &[1]);
            let finished = record(HANDSHAKE, 1, 0, &[0x5a; 40]);
            peer.send(&[exchange, change, finished].concat());
        }
        // No common suite: TLS_NULL_WITH_NULL_NULL.
        3..=7 => {
            let answer = peer.hello(&[0]);
            assert_eq!(answer[0], ALERT, "{answer:02x?}");
        }
        // It is given up with an alert: handshake_failure.
        _ => {
            peer.begin();
            let alert = peer.record(ALERT, &[2, 40]);
            peer.send(&alert);
        }
    }
    peer
}

#[tokio::test]
async fn attack_26_failed_handshakes_leave_nothing_behind_and_poison_no_other() {
    let count = std::env::var("FLOWNEXUS_FAILED_HANDSHAKES");
    let count: u32 = count.map_or(2_000, |count| count.parse().expect("a number"));
    let setup = Server::setup()
        .setting("admission.max_sources", 2_000)
        .setting("coaps.handshake_timeout_s", 3)
        .setting("coaps.max_handshakes", 5_000)
        .setting("registration.max_refusals", 1_000)
        .setting("log.level", "error");
    let server = setup.start().await;
    let mut good = server.secure_device("good-device");
    let coaps = server.coaps();
    let warm = count / 2;
    for number in 0..warm {
        fail(number, coaps);
    }
    back_to(&server, 1.0).await;
    let before = resident_kb(&server);
    let began = Instant::now();
    let mut after = before;
    let step = (count - warm).div_ceil(STEPS);
    for start in (warm..count).step_by(step as usize) {
        let end = count.min(start + step);
        for number in start..end {
            fail(number, coaps);
        }
        back_to(&server, 1.0).await;
        after = resident_kb(&server);
        let took = began.elapsed();
        println!("{before} KB after {warm}, {after} KB after {end}, {took:?} later");
    }
    assert!(
        after < before + SLACK_KB,
        "{before} KB before, {after} KB after"
    );
    assert!(server.metric("flownexus_dtls_handshakes_begun_total").await > f64::from(count / 2));
    // The right one from the very address of a wrong one.
    for number in [0, 1, 2, 3, 8] {
        let peer = fail(number, coaps);
        let credentials = Credentials::psk("good-device", b"a key of 16 byte");
        let mut again = Secure::new(peer.socket, coaps, credentials);
        assert_eq!(
            again.handshake(),
            Ok(()),
            "after a failure of kind {number}"
        );
        again.close();
    }
    good.handshake().expect("a handshake");
    good.register_now(300, "</1/0>");
    back_to(&server, 1.0).await;
}

async fn back_to(server: &Server, sessions: f64) {
    eventually("no handshake is under way", SOON, || async {
        let now = (
            server.metric(UNDER_WAY).await,
            server.metric(SESSIONS).await,
        );
        (now == (0.0, sessions)).then_some(())
    })
    .await;
}
