//! Attack 28: handshakes with certificates whose messages come in pieces, in any order, more than once
//! and between those of others. All of that is what UDP does (RFC 6347 sections 4.2.2 to 4.2.4): the
//! handshake completes. What contradicts itself ends no later than its deadline.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use super::noise;
use super::raw_handshakes::{
    CERTIFICATE, CERTIFICATE_VERIFY, CHANGE_CIPHER_SPEC, CLIENT_KEY_EXCHANGE, HANDSHAKE, fragment,
    parts, record, records,
};
use crate::support::certificates::Holder;
use crate::support::server::{SOON, Server, eventually};
use flownexus::net::dtls::{Client, ClientCredentials, ClientSettings};

const UNDER_WAY: &str = "flownexus_dtls_handshakes_under_way";
const SESSIONS: &str = "flownexus_dtls_sessions";
const DROPPED: &str = "flownexus_dtls_handshake_datagrams_dropped_total";
/// Messages are not cut by the client itself, so that the test cuts them.
const WHOLE: u16 = 16_000;

/// What happens to a flight on its way.
type Change = Box<dyn Fn(&[Piece]) -> Vec<Piece>>;

/// One step of the client's last flight.
#[derive(Clone)]
enum Piece {
    /// A message that is not encrypted, or a part of one.
    Plain(Vec<u8>),
    ChangeCipherSpec,
    /// The Finished, as it is.
    Protected(Vec<u8>),
}

/// A device with a certificate; the test decides what becomes of its last flight.
struct Peer {
    socket: UdpSocket,
    client: Client,
    /// Of the next record that is not encrypted.
    sequence: u16,
}

impl Peer {
    fn new(server: &Server, credentials: &ClientCredentials) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        socket.connect(server.coaps()).expect("loopback");
        let settings = ClientSettings {
            mtu: WHOLE,
            ..ClientSettings::new(credentials.clone())
        };
        Self {
            socket,
            client: Client::new(settings).expect("a client"),
            sequence: 10,
        }
    }

    /// The next datagram of the server within this time.
    fn receive(&self, within: Duration) -> Option<Vec<u8>> {
        let mut buffer = [0; 4096];
        let within = within.max(Duration::from_millis(1));
        self.socket.set_read_timeout(Some(within)).expect("a time");
        let length = self.socket.recv(&mut buffer).ok()?;
        Some(buffer[..length].to_vec())
    }

    /// The two hellos, and then the last flight in pieces, each message whole.
    fn last_flight(&mut self) -> Vec<Piece> {
        loop {
            while let Some(datagram) = self.client.poll_transmit() {
                if datagram[13] == CERTIFICATE {
                    let mut flight = datagram;
                    while let Some(more) = self.client.poll_transmit() {
                        flight.extend(more);
                    }
                    return pieces(&flight);
                }
                self.socket.send(&datagram).expect("loopback takes it");
            }
            let datagram = self.receive(SOON).expect("an answer to a hello");
            self.client.handle_datagram(&datagram);
        }
    }

    fn send(&mut self, piece: &Piece) {
        self.sequence = self.sequence.wrapping_add(1);
        let [high, low] = self.sequence.to_be_bytes();
        let numbered = |kind, body| {
            let mut record = record(kind, 0, low, body);
            record[9] = high;
            record
        };
        let datagram = match piece {
            Piece::Plain(body) => numbered(HANDSHAKE, body),
            Piece::ChangeCipherSpec => numbered(CHANGE_CIPHER_SPEC, &[1]),
            Piece::Protected(record) => record.clone(),
        };
        self.socket.send(&datagram).expect("loopback takes it");
    }

    /// Goes on as a device does, every flight sent again in the same way: whether the handshake is
    /// finished before the server gives up.
    fn ends(&mut self, again: &[Piece]) -> bool {
        let end = Instant::now() + SOON;
        while !self.client.is_connected() {
            assert!(Instant::now() < end, "the client waits on");
            let timeout = self.client.next_timeout().expect("a flight is on its way");
            match self.receive(timeout.saturating_duration_since(Instant::now())) {
                Some(datagram) => {
                    self.client.handle_datagram(&datagram);
                }
                None => {
                    self.client.handle_timeout();
                }
            }
            if self.client.is_closed() {
                return false;
            }
            let mut is_due = false;
            while self.client.poll_transmit().is_some() {
                is_due = true;
            }
            if is_due {
                again.iter().for_each(|piece| self.send(piece));
            }
        }
        true
    }
}

/// The messages of a flight.
fn pieces(flight: &[u8]) -> Vec<Piece> {
    let piece = |record: &[u8]| match (record[0], record[4]) {
        (_, 1..) => Piece::Protected(record.to_vec()),
        (CHANGE_CIPHER_SPEC, _) => Piece::ChangeCipherSpec,
        _ => Piece::Plain(record[13..].to_vec()),
    };
    let pieces: Vec<Piece> = records(flight).map(piece).collect();
    let kinds: Vec<u8> = pieces
        .iter()
        .filter_map(|piece| match piece {
            Piece::Plain(body) => Some(body[0]),
            _ => None,
        })
        .collect();
    let expected = [CERTIFICATE, CLIENT_KEY_EXCHANGE, CERTIFICATE_VERIFY];
    assert_eq!(kinds, expected, "whole messages");
    pieces
}

/// Its messages in parts of this size; the last may be smaller.
fn cut(flight: &[Piece], size: usize) -> Vec<Piece> {
    flight
        .iter()
        .flat_map(|piece| match piece {
            Piece::Plain(whole) => parts(whole[0], whole[5], &whole[12..], size)
                .into_iter()
                .map(Piece::Plain)
                .collect(),
            other => vec![other.clone()],
        })
        .collect()
}

/// Its messages in parts that overlap.
fn overlapping(flight: &[Piece]) -> Vec<Piece> {
    let part = |whole: &[u8], at: usize| {
        let body = &whole[12..];
        let number = |value: usize| u32::try_from(value).expect("short");
        let part = &body[at..body.len().min(at + 40)];
        let numbers = [body.len(), at, part.len()].map(number);
        Piece::Plain(fragment(whole[0], whole[5], numbers, part))
    };
    flight
        .iter()
        .flat_map(|piece| match piece {
            Piece::Plain(whole) => (12..whole.len())
                .step_by(17)
                .map(|at| part(whole, at - 12))
                .collect(),
            other => vec![other.clone()],
        })
        .collect()
}

/// An order that is the same in every run.
fn shuffled(flight: &[Piece], seed: u64) -> Vec<Piece> {
    let mut byte = noise(seed);
    let mut keyed: Vec<([u8; 4], &Piece)> = flight
        .iter()
        .map(|piece| (std::array::from_fn(|_| byte()), piece))
        .collect();
    keyed.sort_by_key(|(key, _)| *key);
    keyed.into_iter().map(|(_, piece)| piece.clone()).collect()
}

fn twice(flight: &[Piece]) -> Vec<Piece> {
    flight
        .iter()
        .flat_map(|piece| vec![piece.clone(); 2])
        .collect()
}

fn credentials(server: &Server, endpoint: &str) -> ClientCredentials {
    let read = |name| std::fs::read(server.data_dir().join("certs").join(name)).expect("a file");
    let authority = Holder::of(&read("ca.crt"), &read("ca.key"));
    let device = authority.sign(endpoint);
    ClientCredentials::x509(&device.certificate(), &device.key(), None).expect("a pair")
}

async fn calm(server: &Server, sessions: f64) {
    eventually("no handshake is under way", SOON, || async {
        let now = [
            server.metric(UNDER_WAY).await,
            server.metric(SESSIONS).await,
        ];
        (now == [0.0, sessions]).then_some(())
    })
    .await;
}

#[tokio::test]
async fn attack_28_a_flight_in_any_order_in_pieces_and_twice_completes_the_handshake() {
    let server = Server::setup()
        .setting("coaps.max_sessions_per_endpoint", 1)
        .start()
        .await;
    let credentials = credentials(&server, "any-order");
    let reversed = |flight: Vec<Piece>| flight.into_iter().rev().collect::<Vec<_>>();
    let mut changes: Vec<(String, Change)> = vec![
        ("as it is".into(), Box::new(<[Piece]>::to_vec)),
        (
            "pieces of 100 bytes".into(),
            Box::new(|flight| cut(flight, 100)),
        ),
        ("pieces of a byte".into(), Box::new(|flight| cut(flight, 1))),
        (
            "everything twice".into(),
            Box::new(|flight| twice(&cut(flight, 100))),
        ),
        ("overlapping".into(), Box::new(overlapping)),
        (
            "backwards".into(),
            Box::new(move |flight| reversed(cut(flight, 100))),
        ),
        (
            "overlapping, backwards".into(),
            Box::new(move |flight| reversed(overlapping(flight))),
        ),
    ];
    for seed in 1..=8 {
        let change = move |flight: &[Piece]| shuffled(&twice(&cut(flight, 50)), seed);
        changes.push((format!("shuffled by {seed}"), Box::new(change)));
    }
    for (what, change) in changes {
        let mut peer = Peer::new(&server, &credentials);
        let flight = change(&peer.last_flight());
        flight.iter().for_each(|piece| peer.send(piece));
        assert!(peer.ends(&flight), "{what}");
        calm(&server, 1.0).await;
    }
    assert_eq!(server.metric(DROPPED).await, 0.0);
}

#[tokio::test]
async fn attack_28_two_handshakes_whose_pieces_alternate_do_not_disturb_each_other() {
    let server = Server::start().await;
    let mut peers = ["one", "other"].map(|name| {
        let mut peer = Peer::new(&server, &credentials(&server, name));
        let flight = cut(&peer.last_flight(), 30);
        (peer, flight)
    });
    let most = peers.iter().map(|(_, flight)| flight.len()).max();
    for at in 0..most.unwrap_or_default() {
        for (peer, flight) in &mut peers {
            if let Some(piece) = flight.get(at).cloned() {
                peer.send(&piece);
            }
        }
    }
    for (peer, flight) in &mut peers {
        assert!(peer.ends(flight));
    }
    calm(&server, 2.0).await;
}

/// What comes early says nothing about its keys yet, and what it has overtaken may be lost: a device
/// on a slow network repeats it only after many seconds (RFC 7925 section 11 advises 9).
#[tokio::test]
async fn attack_28_a_finished_that_comes_long_before_the_rest_does_not_end_the_handshake() {
    let server = Server::setup()
        .setting("coaps.retransmit_ms", 500)
        .start()
        .await;
    let mut peer = Peer::new(&server, &credentials(&server, "early"));
    let flight = peer.last_flight();
    let (finished, rest) = flight.split_last().expect("a flight");
    assert!(matches!(finished, Piece::Protected(_)));
    peer.send(finished);
    // The server repeats its flight after 0.5, 1.5 and 3.5 seconds.
    for _ in 0..3 {
        let again = peer.receive(SOON).expect("the server's flight again");
        assert_eq!(again[0], HANDSHAKE, "{again:02x?}");
        while peer.receive(Duration::from_millis(200)).is_some() {}
    }
    assert_eq!(server.metric(UNDER_WAY).await, 1.0);
    rest.iter().for_each(|piece| peer.send(piece));
    assert!(peer.ends(&flight));
    calm(&server, 1.0).await;
}

#[tokio::test]
async fn attack_28_pieces_that_contradict_each_other_end_no_later_than_their_deadline() {
    let server = Server::setup()
        .setting("coaps.handshake_timeout_s", 3)
        .start()
        .await;
    let credentials = credentials(&server, "contradictory");
    let mut peers = Vec::new();
    for (what, place) in [
        ("another kind of message", Some(0)),
        ("another length", Some(3)),
        ("another number", Some(5)),
        ("another place", Some(8)),
        ("another length of the piece", Some(11)),
        ("other bytes", Some(40)),
        ("a piece that never comes", None),
    ] {
        let mut peer = Peer::new(&server, &credentials);
        let mut flight = cut(&peer.last_flight(), 100);
        // The second piece of the certificate never comes as it should be.
        match (&mut flight[1], place) {
            (Piece::Plain(body), Some(place)) => body[place] ^= 0xff,
            _ => drop(flight.remove(1)),
        }
        flight.iter().for_each(|piece| peer.send(piece));
        peers.push((what, peer));
    }
    eventually("all are given up", SOON, || async {
        let under_way = server.metric(UNDER_WAY).await;
        assert_eq!(server.metric(SESSIONS).await, 0.0);
        (under_way == 0.0).then_some(())
    })
    .await;
    // Nobody has told them that they are through.
    for (what, mut peer) in peers {
        while let Some(datagram) = peer.receive(Duration::from_millis(1)) {
            peer.client.handle_datagram(&datagram);
        }
        assert!(!peer.client.is_connected(), "{what}");
    }
    let mut peer = Peer::new(&server, &credentials);
    let flight = peer.last_flight();
    flight.iter().for_each(|piece| peer.send(piece));
    assert!(peer.ends(&flight), "the next one");
    calm(&server, 1.0).await;
}
