//! Attacks on handshakes that are under way: what is taken away meanwhile does not help any more, what
//! somebody else sends from the same address changes nothing, and nobody takes all the room.

use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::json;

use super::raw_handshakes::{
    ALERT, CHANGE_CIPHER_SPEC, CLIENT_KEY_EXCHANGE, HANDSHAKE, PSK_CCM_8, fragment, hello, record,
    records,
};
use crate::support::secure::{Credentials, Secure};
use crate::support::server::{DEVICE_KEY, SOON, Server, eventually};
use flownexus::net::dtls::{Client, ClientCredentials, ClientSettings};

const UNDER_WAY: &str = "flownexus_dtls_handshakes_under_way";
const SESSIONS: &str = "flownexus_dtls_sessions";
/// What two keys under one identity differ by.
const NEW_KEY: &[u8] = b"fedcba9876543210";

/// A device whose flights the test sends by hand.
struct Peer {
    socket: UdpSocket,
    client: Client,
}

impl Peer {
    fn new(server: &Server, identity: &str, key: &[u8]) -> Self {
        // The first refusal of a source has its line in the log, and nobody else is at this address.
        let socket = UdpSocket::bind("127.0.0.8:0").expect("a free port");
        socket.connect(server.coaps()).expect("loopback");
        let credentials = ClientCredentials::psk(identity, key.to_vec()).expect("a key");
        let settings = ClientSettings {
            ciphers: Some("PSK-AES128-CCM8".to_owned()),
            ..ClientSettings::new(credentials)
        };
        Self {
            socket,
            client: Client::new(settings).expect("a client"),
        }
    }

    fn receive(&self, within: Duration) -> Option<Vec<u8>> {
        let mut buffer = [0; 4096];
        self.socket.set_read_timeout(Some(within)).expect("a time");
        let length = self.socket.recv(&mut buffer).ok()?;
        Some(buffer[..length].to_vec())
    }

    fn send(&self, datagram: &[u8]) {
        self.socket.send(datagram).expect("loopback takes it");
    }

    /// Shakes hands up to the last flight, which is returned record by record.
    fn last_flight(&mut self) -> Vec<Vec<u8>> {
        loop {
            let mut flight = Vec::new();
            while let Some(datagram) = self.client.poll_transmit() {
                flight.extend(records(&datagram).map(<[u8]>::to_vec));
            }
            if flight
                .first()
                .is_some_and(|record| record[13] == CLIENT_KEY_EXCHANGE)
            {
                return flight;
            }
            for record in flight {
                self.send(&record);
            }
            let datagram = self.receive(SOON).expect("an answer to a hello");
            self.client.handle_datagram(&datagram);
        }
    }

    /// Takes what the server says for so long; true when that ends the handshake well.
    fn is_let_in(&mut self, within: Duration) -> bool {
        let end = Instant::now() + within;
        while !self.client.is_connected() && !self.client.is_closed() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            if let Some(datagram) = self.receive(left.min(Duration::from_millis(50))) {
                self.client.handle_datagram(&datagram);
            }
        }
        self.client.is_connected()
    }
}

/// Sends from this socket until it is told to stop.
fn forge(
    socket: &UdpSocket,
    server: &Server,
    datagrams: Vec<Vec<u8>>,
) -> (Arc<AtomicBool>, JoinHandle<()>) {
    let (socket, to) = (socket.try_clone().expect("the same socket"), server.coaps());
    let is_over = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&is_over);
    let forging = thread::spawn(move || {
        while !told.load(Ordering::Relaxed) {
            for datagram in &datagrams {
                socket.send_to(datagram, to).expect("loopback takes it");
            }
            thread::sleep(Duration::from_millis(1));
        }
    });
    (is_over, forging)
}

#[tokio::test]
async fn attack_27_a_handshake_that_was_begun_with_a_removed_key_is_no_session() {
    let server = Server::start().await;
    let api = server.api();
    let psk = |key: &[u8]| json!({"identity": "shared", "key": hex::encode(key)});
    let body = json!({"endpoint": "old", "psk": psk(DEVICE_KEY)});
    let old = api.create("/api/v1/credentials", &body).await;
    let mut peer = Peer::new(&server, "shared", DEVICE_KEY);
    let flight = peer.last_flight();
    let (finished, before) = flight.split_last().expect("several records");
    assert_eq!(finished[4], 1, "it is encrypted");
    for record in before {
        peer.send(record);
    }
    // The server has looked the key up when it has the keys of the connection.
    eventually("the server has read it", SOON, || async {
        (server.metric(UNDER_WAY).await == 1.0).then_some(())
    })
    .await;
    thread::sleep(Duration::from_millis(300));
    let removed = api
        .delete(&format!("/api/v1/credentials/{}", old["id"]))
        .await;
    assert!(removed.status().is_success());
    let body = json!({"endpoint": "new", "psk": psk(NEW_KEY)});
    api.create("/api/v1/credentials", &body).await;
    peer.send(finished);
    // Its Finished is right, and it is shown out all the same.
    let end = Instant::now() + SOON;
    while !peer.client.is_closed() {
        assert!(Instant::now() < end, "it is let in");
        assert_eq!(server.metric(SESSIONS).await, 0.0);
        if let Some(datagram) = peer.receive(Duration::from_millis(50)) {
            peer.client.handle_datagram(&datagram);
        }
    }
    let begun = "flownexus_dtls_handshakes_finished_total";
    assert_eq!(server.metric(begun).await, 0.0);
    // Who has the new key is not kept out by it.
    let mut heir = Peer::new(&server, "shared", NEW_KEY);
    for record in heir.last_flight() {
        heir.send(&record);
    }
    assert!(heir.is_let_in(SOON));
}

#[tokio::test]
async fn attack_29_a_stray_byte_beside_a_session_disturbs_no_new_handshake() {
    let server = Server::start().await;
    server.secure_device("target").close_session();
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let forger = socket.try_clone().expect("the same socket");
    let credentials = Credentials::psk("target", DEVICE_KEY);
    let mut device = Secure::new(socket, server.coaps(), credentials);
    device.handshake().expect("a session");
    let (is_over, forging) = forge(&forger, &server, vec![vec![0xff]]);
    for round in 0..5 {
        // It has been started again, and its old session is still there.
        device.forget();
        assert_eq!(device.handshake(), Ok(()), "round {round}");
    }
    is_over.store(true, Ordering::Relaxed);
    forging.join().expect("the forger ends");
}

#[tokio::test]
async fn attack_29_records_without_keys_that_are_forged_end_no_handshake() {
    let server = Server::start().await;
    server.secure_device("target").close_session();
    let far = |mut record: Vec<u8>| {
        record[5..11].fill(0xff);
        record
    };
    let lost = fragment(CLIENT_KEY_EXCHANGE, 9, [4, 0, 4], &[0; 4]);
    for (what, forged) in [
        ("a fatal alert", record(ALERT, 0, 90, &[2, 40])),
        ("a warning", far(record(ALERT, 0, 0, &[1, 90]))),
        ("a close_notify", record(ALERT, 0, 91, &[1, 0])),
        (
            "a change far ahead",
            far(record(CHANGE_CIPHER_SPEC, 0, 0, &[1])),
        ),
        ("data", record(23, 0, 92, &[1])),
        ("data far ahead", far(record(23, 0, 0, &[1]))),
        ("a message far ahead", far(record(HANDSHAKE, 0, 0, &lost))),
    ] {
        let mut peer = Peer::new(&server, "target", DEVICE_KEY);
        let flight = peer.last_flight();
        peer.send(&forged);
        for record in &flight {
            peer.send(record);
        }
        assert!(peer.is_let_in(SOON), "{what}");
    }
}

/// A device that does not believe the server says so in an alert, and hangs up.
#[tokio::test]
async fn attack_27_an_alert_that_nothing_follows_ends_the_handshake_with_its_reason() {
    let server = Server::start().await;
    server.secure_device("target").close_session();
    let mut peer = Peer::new(&server, "target", DEVICE_KEY);
    peer.last_flight();
    assert_eq!(server.metric(UNDER_WAY).await, 1.0);
    let mut alert = record(ALERT, 0, 0, &[2, 48]);
    alert[5..11].fill(0xff);
    peer.send(&alert);
    eventually("it is said in the log", SOON, || async {
        let said = server.output().contains("unknown ca");
        (said && server.metric(UNDER_WAY).await == 0.0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn attack_26_one_source_with_many_ports_does_not_keep_the_others_out() {
    let setup = Server::setup().setting("coaps.max_handshakes", 40);
    let server = setup.start().await;
    server.secure_device("good").close_session();
    // Each port holds a handshake, and begins it again as soon as it is gone.
    let to = server.coaps();
    let is_over = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&is_over);
    let flood = thread::spawn(move || {
        let mut peers: Vec<(UdpSocket, Vec<u8>)> = (0..80)
            .map(|_| {
                let socket = UdpSocket::bind((Ipv4Addr::new(127, 0, 0, 9), 0)).expect("a port");
                socket.set_nonblocking(true).expect("a socket");
                (socket, Vec::new())
            })
            .collect();
        let mut round = 0_u8;
        while !told.load(Ordering::Relaxed) {
            round = round.wrapping_add(1);
            for (number, (socket, cookie)) in peers.iter_mut().enumerate() {
                let random = [u8::try_from(number).expect("few"); 32];
                let mut answer = [0; 256];
                while let Ok(length) = socket.recv(&mut answer) {
                    if length > 28 && answer[13] == 3 {
                        *cookie = answer[28..length].to_vec();
                    }
                }
                let second = u8::from(!cookie.is_empty());
                let message = hello(second, random, cookie, &[PSK_CCM_8]);
                // Lost where the buffers are full.
                let _ = socket.send_to(&record(HANDSHAKE, 0, round, &message), to);
            }
            thread::sleep(Duration::from_millis(2));
        }
    });
    eventually("all room is taken", SOON, || async {
        (server.metric(UNDER_WAY).await >= 40.0).then_some(())
    })
    .await;
    for round in 0..5 {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        let credentials = Credentials::psk("good", DEVICE_KEY);
        let mut good = Secure::new(socket, server.coaps(), credentials);
        assert_eq!(good.handshake(), Ok(()), "round {round}");
        good.close();
    }
    is_over.store(true, Ordering::Relaxed);
    flood.join().expect("the flood ends");
}
