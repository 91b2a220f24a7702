//! Sessions of DTLS that move, between the socket and the message layer.

use std::net::UdpSocket;

use super::*;
use crate::coap::{Code, Message, MessageType, Options};
use crate::net::admission::AdmissionCounters;
use crate::net::dtls::life_tests::{record, serving};

/// All of it is read at once: requests from where the session was made, and a move.
#[actix_rt::test]
async fn answers_go_to_where_a_session_was_when_they_were_allowed() {
    let sockets = [(); 2].map(|()| UdpSocket::bind(LOOPBACK).expect("a free port"));
    let [home, away] = &sockets;
    let (transport, server) = guarded(home, &Settings::defaults());

    for number in 1..=REQUESTS {
        let mut options = Options::new();
        // Critical and unknown: refused at once, with some words.
        options.add(9_999, b"");
        let request = Message {
            kind: MessageType::Confirmable,
            code: Code::GET,
            message_id: number,
            token: Token::from([1; 8]),
            options,
            payload: Vec::new(),
        };
        let datagram = record(CID, number.into(), &request.encode());
        home.send_to(&datagram, server).expect("sent");
    }
    let ping = Message::empty(MessageType::Confirmable, 1_000);
    let ping = record(CID, u64::from(REQUESTS) + 1, &ping.encode());
    away.send_to(&ping, server).expect("sent");

    read(&transport).await;
    let received = |socket: &UdpSocket| {
        socket.set_nonblocking(true).expect("a socket");
        let mut buffer = [0; 2_000];
        let all = std::iter::from_fn(|| socket.recv(&mut buffer).ok());
        all.collect::<Vec<_>>()
    };
    assert_eq!(received(home).len(), usize::from(REQUESTS));
    let to_away: usize = received(away).iter().sum();
    assert!(
        to_away <= 3 * ping.len(),
        "{to_away} bytes for {}",
        ping.len()
    );
}

/// Off the path of a device nobody knows its connection id: a flood keeps it out nowhere.
#[actix_rt::test]
async fn strangers_over_their_budget_leave_a_session_alone_that_comes_from_elsewhere() {
    let sockets = [(); 3].map(|()| UdpSocket::bind(LOOPBACK).expect("a free port"));
    let [home, away, strangers] = &sockets;
    let mut settings = Settings::defaults();
    settings.admission.unproven_datagrams_per_s = 1;
    let (transport, server) = guarded(home, &settings);
    for _ in 0..10 {
        // No session has this connection id.
        let datagram = record(b"xyz", 1, b"");
        strangers.send_to(&datagram, server).expect("sent");
    }
    let ping = Message::empty(MessageType::Confirmable, 1_000);
    let datagram = record(CID, 1, &ping.encode());
    away.send_to(&datagram, server).expect("sent");
    read(&transport).await;
    away.set_nonblocking(true).expect("a socket");
    assert!(away.recv(&mut [0; 2_000]).is_ok(), "it is answered");
}

/// A transport with a session of a device at this address; where it is served.
fn guarded(device: &UdpSocket, settings: &Settings) -> (CoapTransport, SocketAddr) {
    let (secure, outcomes, keyring, _) = serving(device, CID);
    let server = secure.address();
    let from_dtls = Some(FromDtls {
        outcomes,
        removals: keyring.removals(),
    });
    let counters = Counters::default();
    let transport = CoapTransport::new(&settings.coap, counters, 1, None, Some(secure), from_dtls);
    let books = AdmissionCounters::default();
    let admission = Admission::new(&settings.admission, books, [3; 32], Instant::now());
    transport.guard(admission);
    (transport, server)
}

/// Reads all that has come, and sends what there is to be said.
async fn read(transport: &CoapTransport) {
    let ready = ready(transport.inner.secure.as_ref().map(Secure::socket)).await;
    ready.expect("a socket");
    transport.read_secure(None);
    assert!(transport.flush());
}

const REQUESTS: u16 = 20;
const CID: &[u8] = b"abc";
/// Of its own: on 127.0.0.1 somebody may have taken every port.
const LOOPBACK: &str = "127.0.0.2:0";
