//! The client against our own side of a handshake, in memory: each suite that our record layer knows, with
//! and without connection ids (RFC 9146).

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use openssl::ec::{EcGroup, EcKey};
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use tokio::sync::mpsc;
use zeroize::Zeroizing;

use super::client::{Client, ClientError, ClientEvent, ClientSettings};
use super::counters::Counters;
use super::credentials::ClientCredentials;
use super::fuzzing::{Sent, Server};
use super::handshake::Handshakes;
use super::in_memory::LIMITS;
use super::outcome::Outcome;
use super::records::{APPLICATION_DATA, CID};
use super::session::{After, Carrier, Tools};
use crate::config::{Coaps, Settings};
use crate::security::Proof;

const PSK_SUITES: [&str; 6] = [
    "PSK-AES128-CCM8",
    "PSK-AES128-CCM",
    "PSK-AES128-GCM-SHA256",
    "PSK-AES256-CCM8",
    "PSK-AES256-GCM-SHA384",
    "ECDHE-PSK-CHACHA20-POLY1305",
];
const ECDSA_SUITES: [&str; 5] = [
    "ECDHE-ECDSA-AES128-CCM8",
    "ECDHE-ECDSA-AES128-CCM",
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
];

#[test]
fn each_suite_works_with_and_without_connection_ids() {
    let site = Site::new(6);
    let psk = PSK_SUITES.map(|suite| (suite, site.psk()));
    let raw = ECDSA_SUITES.map(|suite| (suite, site.raw_public_key()));
    for (suite, credentials) in psk.into_iter().chain(raw) {
        for connection_id in [None, Some(0), Some(8), Some(20)] {
            let settings = settings(suite, credentials.clone(), connection_id);
            let mut pair = Pair::new(&site, Client::new(settings).expect("a client"));
            pair.connect();
            let client = &pair.client;
            assert_eq!(client.cipher(), Some(suite));
            assert_eq!(client.has_connection_id(), connection_id.is_some());
            assert!(!client.is_large(), "{suite}: OpenSSL is gone");
            let [up, down] = pair.talk();
            let named = |is_named| if is_named { CID } else { APPLICATION_DATA };
            let has_own = connection_id.is_some_and(|length| length > 0);
            assert_eq!(up, named(connection_id.is_some()), "{suite}, to the server");
            assert_eq!(down, named(has_own), "{suite}, to the client");
        }
    }
}

#[test]
fn a_suite_with_a_mac_goes_without_connection_ids() {
    let site = Site::new(6);
    for suite in ["PSK-AES128-CBC-SHA256", "ECDHE-PSK-AES128-CBC-SHA256"] {
        let settings = settings(suite, site.psk(), Some(8));
        let mut pair = Pair::new(&site, Client::new(settings).expect("a client"));
        pair.connect();
        assert!(!pair.client.has_connection_id());
        assert!(pair.client.is_large(), "OpenSSL keeps it");
        assert_eq!(pair.talk(), [APPLICATION_DATA; 2]);
    }
}

#[test]
fn a_server_that_has_no_connection_ids_is_served_without() {
    let site = Site::new(0);
    let settings = settings(PSK, site.psk(), Some(8));
    let mut pair = Pair::new(&site, Client::new(settings).expect("a client"));
    pair.connect();
    assert!(!pair.client.has_connection_id());
    assert_eq!(pair.talk(), [APPLICATION_DATA; 2]);
}

#[test]
fn a_connection_id_that_is_too_long_is_refused_at_once() {
    let site = Site::new(6);
    let failure = Client::new(settings(PSK, site.psk(), Some(21))).expect_err("too long");
    assert!(matches!(failure, ClientError::ConnectionId), "{failure}");
}

/// Every handshake agrees upon ids of its own (RFC 9146 section 3).
#[test]
fn a_session_is_taken_up_again_with_other_connection_ids() {
    let site = Site::new(6);
    for connection_id in [None, Some(0), Some(8)] {
        let settings = settings(PSK, site.psk(), connection_id);
        let mut pair = Pair::new(&site, Client::new(settings).expect("a client"));
        pair.connect();
        pair.client.reconnect().expect("another handshake");
        let mut pair = Pair::new(&site, pair.client);
        pair.connect();
        assert!(pair.client.is_resumed());
        assert!(!pair.client.is_large(), "OpenSSL is gone");
        assert_eq!(pair.client.has_connection_id(), connection_id.is_some());
        let [up, _] = pair.talk();
        assert_eq!(up == CID, connection_id.is_some());
    }
}

/// Where an older session is taken up again the client has the last word, and repeats it when the server
/// does (RFC 6347 section 4.2.4), under new numbers and with the id of the server.
#[test]
fn the_last_flight_is_repeated_when_the_server_repeats_its_own() {
    let site = Site::new(6);
    for connection_id in [None, Some(0), Some(8)] {
        let settings = settings(PSK, site.psk(), connection_id);
        let mut pair = Pair::new(&site, Client::new(settings).expect("a client"));
        pair.connect();
        pair.client.reconnect().expect("another handshake");
        let mut pair = Pair::new(&site, pair.client);
        while !pair.client.is_connected() {
            assert!(pair.step(), "nobody says anything");
        }
        // What it said last is lost.
        let lost = std::iter::from_fn(|| pair.client.poll_transmit()).count();
        assert!(lost > 0, "the last word is the client's");
        let end = Instant::now() + Duration::from_secs(20);
        while pair.carrier.is_none() {
            assert!(Instant::now() < end, "the server has not repeated itself");
            pair.handshakes.timeouts(Instant::now());
            if !pair.step() {
                // OpenSSL keeps the time by the clock of the system.
                thread::sleep(Duration::from_millis(5));
            }
        }
        pair.talk();
    }
}

#[test]
fn a_record_without_the_id_that_was_agreed_upon_is_dropped() {
    let site = Site::new(6);
    let settings = settings(PSK, site.psk(), Some(8));
    let mut pair = Pair::new(&site, Client::new(settings).expect("a client"));
    pair.connect();
    let genuine = pair.sealed(b"down");
    // Of another id, and cut, and as it would be without one.
    let mut other = genuine.clone();
    other[11] ^= 1;
    let cut = [&[APPLICATION_DATA], &genuine[1..11], &genuine[19..]].concat();
    for forged in [&other[..], &genuine[..19], &cut] {
        let events = pair.client.handle_datagram(forged);
        assert!(events.is_empty(), "{events:?}");
    }
    let events = pair.client.handle_datagram(&genuine);
    assert!(
        matches!(&events[..], [ClientEvent::Received(data)] if data == b"down"),
        "{events:?}"
    );
    pair.talk();
}

#[test]
fn a_session_with_connection_ids_is_closed_in_order() {
    let site = Site::new(6);
    for connection_id in [None, Some(0), Some(8)] {
        let settings = settings(PSK, site.psk(), connection_id);
        let mut pair = Pair::new(&site, Client::new(settings.clone()).expect("a client"));
        pair.connect();
        pair.client.close();
        assert_eq!(pair.carry().1, Some(After::Closed(None)));

        let mut pair = Pair::new(&site, Client::new(settings).expect("a client"));
        pair.connect();
        let carrier = pair.carrier.as_mut().expect("a session");
        let good_bye = carrier.close(&mut pair.tools).expect("an alert");
        let events = pair.client.handle_datagram(&good_bye);
        assert!(
            matches!(events[..], [ClientEvent::Closed(None)]),
            "{events:?}"
        );
        // It is answered (RFC 5246 section 7.2.1).
        assert_eq!(pair.carry().1, Some(After::Closed(None)));
    }
}

/// What both sides prove themselves with.
struct Site {
    server: Server,
    key: PKey<Private>,
}

impl Site {
    /// The server's ids have so many bytes.
    fn new(connection_id_bytes: usize) -> Self {
        let curve = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).expect("P-256");
        let key = PKey::from_ec_key(EcKey::generate(&curve).expect("a key")).expect("a key");
        let defaults = Settings::defaults().coaps;
        let mut cipher_suites = defaults.cipher_suites.clone();
        for suite in [
            "TLS_PSK_WITH_AES_128_CCM",
            "TLS_PSK_WITH_AES_256_CCM_8",
            "TLS_PSK_WITH_AES_256_GCM_SHA384",
            "TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256",
            "TLS_ECDHE_ECDSA_WITH_AES_128_CCM",
            "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
            "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        ] {
            if !cipher_suites.iter().any(|listed| listed == suite) {
                cipher_suites.push(suite.to_owned());
            }
        }
        let settings = Coaps {
            connection_id_bytes,
            cipher_suites,
            ..defaults
        };
        let proofs = [
            Proof::Psk {
                identity: "device".to_owned(),
                key: Zeroizing::new(KEY.to_vec()),
            },
            Proof::Rpk {
                public_key: key.public_key_to_der().expect("DER"),
            },
        ];
        Self {
            server: Server::new(&settings, proofs),
            key,
        }
    }

    fn psk(&self) -> ClientCredentials {
        ClientCredentials::psk("device", KEY.to_vec()).expect("credentials")
    }

    fn raw_public_key(&self) -> ClientCredentials {
        let pem = self.key.private_key_to_pem_pkcs8().expect("PEM");
        ClientCredentials::raw_public_key(&pem, None).expect("credentials")
    }
}

/// A client and our side of a handshake with a wire between them.
struct Pair {
    client: Client,
    handshakes: Handshakes,
    outcomes: mpsc::Receiver<Outcome>,
    sent: Arc<Sent>,
    /// The server's end of the session, once there is one.
    carrier: Option<Carrier>,
    tools: Tools,
    /// What has come in the session.
    received: Vec<Vec<u8>>,
    /// The first byte of the last datagram of each side.
    kinds: [u8; 2],
}

impl Pair {
    fn new(site: &Site, client: Client) -> Self {
        let (tell, outcomes) = mpsc::channel(64);
        let sent = Arc::<Sent>::default();
        let handshakes = Handshakes::new(
            Box::new(Arc::clone(&sent)),
            Arc::clone(&site.server.contexts),
            Arc::clone(&site.server.trust),
            LIMITS,
            Counters::default(),
            tell,
            Instant::now(),
        );
        Self {
            client,
            handshakes: handshakes.expect("OpenSSL works"),
            outcomes,
            sent,
            carrier: None,
            tools: Tools::default(),
            received: Vec::new(),
            kinds: [0; 2],
        }
    }

    /// Carries one datagram, either way; false when there is none.
    fn step(&mut self) -> bool {
        self.step_with(&mut Vec::new(), &mut None)
    }

    fn step_with(&mut self, events: &mut Vec<ClientEvent>, after: &mut Option<After>) -> bool {
        if let Some(datagram) = self.client.poll_transmit() {
            self.kinds[0] = datagram[0];
            match &mut self.carrier {
                Some(carrier) => {
                    let sent = &self.sent;
                    *after = Some(carrier.open(
                        Some(&datagram),
                        &mut self.tools,
                        &mut |message| self.received.push(message.to_vec()),
                        &mut |answer| sent.lock().push((address(), answer)),
                    ));
                }
                None => self
                    .handshakes
                    .datagram(Instant::now(), address(), datagram),
            }
            while let Ok(outcome) = self.outcomes.try_recv() {
                match outcome {
                    Outcome::Established(established) => {
                        let mut carrier = established.carrier;
                        carrier.begin(1_000);
                        self.carrier = Some(carrier);
                        let contents = established.contents.into_iter();
                        self.received.extend(contents.map(|content| content.text));
                    }
                    Outcome::Refused { refusal, .. } => panic!("{refusal:?}"),
                    _ => {}
                }
            }
            return true;
        }
        let mut sent = self.sent.lock();
        if sent.is_empty() {
            return false;
        }
        let (_, datagram) = sent.remove(0);
        drop(sent);
        self.kinds[1] = datagram[0];
        events.extend(self.client.handle_datagram(&datagram));
        true
    }

    /// Carries what there is; what it led to on both sides.
    fn carry(&mut self) -> (Vec<ClientEvent>, Option<After>) {
        let (mut events, mut after) = (Vec::new(), None);
        while self.step_with(&mut events, &mut after) {}
        (events, after)
    }

    #[track_caller]
    fn connect(&mut self) {
        let (events, _) = self.carry();
        assert!(matches!(events[..], [ClientEvent::Connected]), "{events:?}");
        assert!(self.carrier.is_some(), "the server has a session too");
    }

    fn sealed(&mut self, message: &[u8]) -> Vec<u8> {
        let carrier = self.carrier.as_mut().expect("a session");
        let sealed = carrier.seal(&mut self.tools, message);
        sealed.expect("a record")
    }

    /// Data passes both ways; the types of the records.
    #[track_caller]
    fn talk(&mut self) -> [u8; 2] {
        assert!(self.client.send(b"up"));
        self.carry();
        assert_eq!(self.received.pop().as_deref(), Some(&b"up"[..]));
        let down = self.sealed(b"down");
        self.sent.lock().push((address(), down));
        let (events, _) = self.carry();
        assert!(
            matches!(&events[..], [ClientEvent::Received(data)] if data == b"down"),
            "{events:?}"
        );
        self.kinds
    }
}

fn settings(
    suite: &str,
    credentials: ClientCredentials,
    connection_id: Option<usize>,
) -> ClientSettings {
    ClientSettings {
        ciphers: Some(suite.to_owned()),
        connection_id,
        ..ClientSettings::new(credentials)
    }
}

fn address() -> SocketAddr {
    ([192, 0, 2, 1], 5684).into()
}

const KEY: &[u8] = b"0123456789abcdef";
const PSK: &str = "PSK-AES128-CCM8";
