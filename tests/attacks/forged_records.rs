//! Attack 29, with each kind of cipher: forged records end neither a session nor a handshake, whatever
//! protects the genuine ones (RFC 6347 section 4.1.2.7: invalid records are dropped in silence).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rstest::rstest;

use super::raw_handshakes::{ALERT, HANDSHAKE, RawPeer, record};
use crate::support::device::ScriptedDevice;
use crate::support::secure::{Credentials, Secure};
use crate::support::server::{DEVICE_KEY, SOON, Server};
use flownexus::coap::Code;

const SESSIONS: &str = "flownexus_dtls_sessions";
/// CoAP's sign of life (RFC 7252 section 4.3), and the answer to it.
const PING: [u8; 4] = [0x40, 0, 0x12, 0x34];
const PONG: [u8; 4] = [0x70, 0, 0x12, 0x34];
const APPLICATION_DATA: u8 = 23;
/// OpenSSL's names. The last ones authenticate, then decrypt, or the other way round.
const SUITES: [&str; 4] = [
    "PSK-AES128-CCM8",
    "PSK-AES128-GCM-SHA256",
    "PSK-AES128-CBC-SHA256",
    "ECDHE-PSK-AES128-CBC-SHA256",
];

/// A server that knows a device with this name, which offers nothing but this suite.
async fn server(name: &str, suite: &str) -> (Server, Credentials) {
    let server = Server::start().await;
    // In force when the handshake has succeeded once.
    server.secure_device(name).close_session();
    (
        server,
        Credentials::psk(name, DEVICE_KEY).with_suites(suite),
    )
}

/// Records that nobody with the keys has made: random, empty, short, long, of every content type.
fn forgeries() -> Vec<Vec<u8>> {
    let mut byte = super::noise(29);
    let mut forged = Vec::new();
    for kind in [20, ALERT, HANDSHAKE, APPLICATION_DATA] {
        for length in [0, 1, 7, 8, 16, 24, 31, 32, 48, 64, 80, 200] {
            let body: Vec<u8> = (0..length).map(|_| byte()).collect();
            // Each at a number of its own: what was seen once would not be looked at.
            let number = 200 - u8::try_from(forged.len()).expect("not many");
            forged.push(record(kind, 1, number, &body));
        }
    }
    forged
}

#[rstest]
#[tokio::test]
async fn attack_29_forged_records_end_no_session_whatever_its_cipher(
    #[values(0, 1, 2, 3)] suite: usize,
) {
    let suite = SUITES[suite];
    let (server, credentials) = server("target", suite).await;
    let mut device = ScriptedDevice::secure("target", server.coaps(), credentials);
    device.handshake().expect("a session");
    device.register_now(300, "</1/0>");
    let goes_on = |device: &mut ScriptedDevice, after: &str| {
        let update = device.update();
        assert_eq!(device.ask(&update).code, Code::CHANGED, "{suite}: {after}");
    };
    for forged in forgeries() {
        device.send_datagram(&forged);
        goes_on(&mut device, &format!("{forged:02x?}"));
    }
    // A genuine one with each of its bytes spoilt, or cut off behind it.
    let update = device.update();
    let genuine = device.protect(&update.encode());
    for at in 13..genuine.len() {
        let mut spoilt = genuine.clone();
        spoilt[at] ^= 1;
        device.send_datagram(&spoilt);
        let mut cut = genuine[..at].to_vec();
        cut[12] = u8::try_from(at - 13).expect("a short record");
        device.send_datagram(&cut);
    }
    goes_on(&mut device, "every byte of a record was spoilt");
    assert_eq!(server.metric(SESSIONS).await, 1.0, "{suite}");
}

#[rstest]
#[tokio::test]
async fn attack_29_forged_records_end_no_handshake_whatever_its_cipher(
    #[values(0, 1, 2, 3)] suite: usize,
) {
    let suite = SUITES[suite];
    let (server, credentials) = server("target", suite).await;
    for round in 0..5 {
        let peer = RawPeer::new([127, 0, 0, 1].into(), server.coaps());
        // Somebody who can send from the address of the device, all the while.
        let forger = peer.socket.try_clone().expect("the same socket");
        let (to, is_over) = (server.coaps(), Arc::new(AtomicBool::new(false)));
        let forging = {
            let is_over = Arc::clone(&is_over);
            thread::spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    for forged in forgeries() {
                        forger.send_to(&forged, to).expect("loopback takes it");
                    }
                    thread::sleep(Duration::from_micros(200));
                }
            })
        };
        let mut device = Secure::new(peer.socket, server.coaps(), credentials.clone());
        let shaken = device.handshake();
        is_over.store(true, Ordering::Relaxed);
        forging.join().expect("the forger ends");
        assert_eq!(shaken, Ok(()), "{suite}, round {round}");
        // What is kept of the forgeries is read now.
        device.send(&PING);
        assert_eq!(
            device.receive(SOON).as_deref(),
            Some(&PONG[..]),
            "{suite}, round {round}"
        );
        device.close();
    }
}
