//! The client against a bare server of OpenSSL in memory, which asks for its cookie first: no socket,
//! and no code of our own server.

use std::time::{Duration, Instant};

use openssl::asn1::Asn1Time;
use openssl::bn::{BigNum, MsbOption};
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::ssl::{
    ErrorCode, Ssl, SslContext, SslContextBuilder, SslMethod, SslOptions, SslStream, SslVerifyMode,
};
use openssl::x509::extension::{BasicConstraints, SubjectAlternativeName};
use openssl::x509::{X509, X509NameBuilder};

use super::client::{Client, ClientError, ClientEvent, ClientSettings};
use super::credentials::{ClientCredentials, CredentialError};
use super::ffi::{self, CertificateType, ListenScratch, Listened};
use super::pipe::Pipe;

#[test]
fn a_pre_shared_key_opens_a_session_with_each_suite() {
    for suite in [
        "PSK-AES128-CCM8",
        "PSK-AES128-CCM",
        "PSK-AES128-GCM-SHA256",
        "PSK-AES256-CCM8",
        "PSK-AES256-GCM-SHA384",
        "PSK-CHACHA20-POLY1305",
        "PSK-AES128-CBC-SHA256",
        "ECDHE-PSK-AES128-CBC-SHA256",
    ] {
        let mut pair = Pair::new(&psk_server(KEY), client(suite, psk("device", KEY)));
        pair.connect();
        assert_eq!(pair.client.cipher(), Some(suite));
        assert_eq!(pair.server.ssl().psk_identity(), Some(&b"device"[..]));
        assert_eq!(pair.client.is_large(), suite.contains("CBC"));
        assert!(!pair.client.has_connection_id(), "OpenSSL has none");
        pair.talk();
    }
}

#[test]
fn certificates_open_a_session_with_each_suite() {
    let site = Site::new();
    for suite in [
        "ECDHE-ECDSA-AES128-CCM8",
        "ECDHE-ECDSA-AES128-CCM",
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        "ECDHE-ECDSA-CHACHA20-POLY1305",
        "ECDHE-ECDSA-AES128-SHA256",
    ] {
        let mut pair = Pair::new(&site.server(), client(suite, site.device()));
        pair.connect();
        assert_eq!(pair.client.is_large(), suite.ends_with("AES128-SHA256"));
        assert_eq!(pair.client.cipher(), Some(suite));
        let shown = pair.server.ssl().peer_certificate().expect("a certificate");
        assert_eq!(
            shown.to_der().expect("DER"),
            site.device.0.to_der().expect("DER")
        );
        pair.talk();
    }
}

#[test]
fn raw_public_keys_open_a_session() {
    let site = Site::new();
    let servers_key = site.server.1.public_key_to_der().expect("DER");
    for expected in [None, Some(servers_key)] {
        let credentials =
            ClientCredentials::raw_public_key(&pem(&site.device.1), expected).expect("a key");
        let mut pair = Pair::new(&site.raw_server(), client(ECDSA, credentials));
        pair.connect();
        let shown = ffi::peer_raw_public_key(pair.server.ssl()).expect("DER");
        assert_eq!(shown, Some(site.device.1.public_key_to_der().expect("DER")));
        assert_eq!(
            ffi::client_certificate_type(pair.server.ssl()),
            CertificateType::RawPublicKey
        );
        pair.talk();
    }
}

#[test]
fn another_raw_public_key_of_the_server_is_not_trusted() {
    let site = Site::new();
    let other = key().public_key_to_der().expect("DER");
    let credentials =
        ClientCredentials::raw_public_key(&pem(&site.device.1), Some(other)).expect("a key");
    let mut pair = Pair::new(&site.raw_server(), client(ECDSA, credentials));
    assert!(matches!(pair.failure(), ClientError::Untrusted(_)));
}

#[test]
fn a_server_of_another_authority_is_not_trusted() {
    let (site, other) = (Site::new(), Site::new());
    let credentials = credentials_of(&site.device, Some(&other.authority.0));
    let mut pair = Pair::new(&site.server(), client(ECDSA, credentials));
    assert!(matches!(pair.failure(), ClientError::Untrusted(_)));
    // The server is told so: alert 48 (unknown_ca) or its neighbours, in a record of type 21.
    assert!(
        pair.to_server
            .iter()
            .any(|datagram| datagram.first() == Some(&21))
    );
}

#[test]
fn without_an_authority_every_server_is_believed() {
    let site = Site::new();
    let credentials = credentials_of(&site.device, None);
    let mut pair = Pair::new(&site.server(), client(ECDSA, credentials));
    pair.connect();
}

#[test]
fn the_certificate_must_be_for_the_expected_name() {
    let site = Site::new();
    for (name, is_right) in [
        ("localhost", true),
        ("127.0.0.1", true),
        ("elsewhere", false),
        ("127.0.0.2", false),
    ] {
        let settings = ClientSettings {
            server_name: Some(name.to_owned()),
            ..client(ECDSA, site.device())
        };
        let mut pair = Pair::new(&site.server(), settings);
        if is_right {
            pair.connect();
        } else {
            assert!(
                matches!(pair.failure(), ClientError::Untrusted(_)),
                "{name}"
            );
        }
    }
}

#[test]
fn an_unknown_identity_is_refused_with_its_alert() {
    let mut pair = Pair::new(&psk_server(KEY), client(PSK, psk("stranger", KEY)));
    let failure = pair.failure();
    assert!(
        matches!(&failure, ClientError::Refused { alert: 115, name } if name.contains("identity")),
        "{failure:?}"
    );
}

#[test]
fn a_wrong_key_ends_without_a_session() {
    let mut pair = Pair::new(
        &psk_server(KEY),
        client(PSK, psk("device", b"another key 1234")),
    );
    // OpenSSL drops the Finished that it cannot read, so nobody says anything, and the client gives
    // up at some time.
    let failure = pair.failure();
    assert!(matches!(failure, ClientError::TimedOut), "{failure:?}");
    assert!(pair.client.is_closed());
    assert_eq!(pair.client.next_timeout(), None);
}

#[test]
fn a_handshake_survives_the_loss_of_any_one_datagram() {
    let site = Site::new();
    for (server, settings) in [
        (psk_server(KEY), client(PSK, psk("device", KEY))),
        (site.server(), client(ECDSA, site.device())),
    ] {
        let mut undisturbed = Pair::new(&server, settings.clone());
        undisturbed.connect();
        let datagrams = undisturbed.carried;
        assert!(datagrams > 3, "{datagrams} datagrams");
        for lost in 0..datagrams {
            let mut pair = Pair::new(&server, settings.clone());
            pair.lose = Some(lost);
            pair.connect();
            pair.talk();
        }
    }
}

/// Where an older session is taken up again the client has the last word, and OpenSSL, which has said it, is
/// gone when it is asked for.
#[test]
fn a_handshake_that_takes_a_session_up_again_survives_the_loss_of_any_one_datagram() {
    for suite in [PSK, "PSK-AES128-CBC-SHA256"] {
        let context = psk_server(KEY);
        let resumed = |lose| {
            let mut pair = Pair::new(&context, client(suite, psk("device", KEY)));
            pair.connect();
            pair.client.reconnect().expect("another handshake");
            let mut pair = Pair::with(&context, pair.client);
            pair.lose = lose;
            pair.connect();
            assert!(pair.client.is_resumed(), "{suite}, lost: {lose:?}");
            pair
        };
        let datagrams = resumed(None).carried;
        assert!(datagrams > 3, "{datagrams} datagrams");
        for lost in 0..datagrams {
            resumed(Some(lost)).talk();
        }
    }
}

#[test]
fn a_small_path_is_respected() {
    let site = Site::new();
    let settings = ClientSettings {
        mtu: 300,
        ..client(ECDSA, site.device())
    };
    let mut pair = Pair::new(&site.server(), settings);
    pair.connect();
    assert!(pair.largest <= 300, "a datagram of {} bytes", pair.largest);
}

#[test]
fn a_closed_session_says_so_on_both_sides() {
    let mut pair = Pair::new(&psk_server(KEY), client(PSK, psk("device", KEY)));
    pair.connect();
    let _ = pair.server.shutdown();
    let events = pair.carry();
    assert!(
        matches!(events[..], [ClientEvent::Closed(None)]),
        "{events:?}"
    );
    assert!(!pair.client.send(b"too late"));

    let mut pair = Pair::new(&psk_server(KEY), client(PSK, psk("device", KEY)));
    pair.connect();
    pair.client.close();
    pair.carry();
    let error = pair.server.ssl_read(&mut [0; 64]).expect_err("the end");
    assert_eq!(error.code(), ErrorCode::ZERO_RETURN);
}

#[test]
fn garbage_and_copies_are_dropped() {
    let mut pair = Pair::new(&psk_server(KEY), client(PSK, psk("device", KEY)));
    pair.connect();
    assert!(pair.client.handle_datagram(b"no record at all").is_empty());
    assert!(pair.client.handle_datagram(&[]).is_empty());
    pair.server.ssl_write(b"once").expect("a session");
    let record = pair.server.get_mut().pop().expect("a record");
    let mut spoilt = record.clone();
    *spoilt.last_mut().expect("bytes") ^= 1;
    assert!(pair.client.handle_datagram(&spoilt).is_empty());
    let events = pair.client.handle_datagram(&record);
    assert!(
        matches!(&events[..], [ClientEvent::Received(data)] if data == b"once"),
        "{events:?}"
    );
    assert!(pair.client.handle_datagram(&record).is_empty());
    pair.talk();
}

#[test]
fn a_session_is_taken_up_again() {
    let context = psk_server(KEY);
    let mut pair = Pair::new(&context, client(PSK, psk("device", KEY)));
    pair.connect();
    assert!(!pair.client.is_resumed());
    let full = pair.carried;

    pair.client.reconnect().expect("another handshake");
    let mut pair = Pair::with(&context, pair.client);
    pair.connect();
    assert!(pair.client.is_resumed());
    assert!(pair.carried < full, "{} of {full} datagrams", pair.carried);
    pair.talk();

    // A server that has forgotten it makes a new one.
    pair.client.reconnect().expect("another handshake");
    let mut pair = Pair::with(&psk_server(KEY), pair.client);
    pair.connect();
    assert!(!pair.client.is_resumed());
    pair.talk();
}

#[test]
fn credentials_that_cannot_work_are_refused_at_once() {
    let site = Site::new();
    assert!(matches!(
        ClientCredentials::psk("", KEY.to_vec()),
        Err(CredentialError::Identity)
    ));
    let long = "i".repeat(257);
    assert!(matches!(
        ClientCredentials::psk(&long, KEY.to_vec()),
        Err(CredentialError::Identity)
    ));
    assert!(matches!(
        ClientCredentials::psk("i", Vec::new()),
        Err(CredentialError::Key)
    ));
    let certificate = site.device.0.to_pem().expect("PEM");
    let other = ClientCredentials::x509(&certificate, &pem(&key()), None);
    assert!(matches!(other, Err(CredentialError::OtherKey)));
    let none = ClientCredentials::x509(b"", &pem(&site.device.1), None);
    assert!(matches!(none, Err(CredentialError::NoCertificate)));
    let no_key = ClientCredentials::raw_public_key(b"no key", None);
    assert!(matches!(
        no_key,
        Err(CredentialError::Pem {
            what: "private key",
            ..
        })
    ));
    let shown = format!("{:?}", psk("device", b"top secret"));
    assert!(!shown.contains("secret"), "{shown}");
}

/// A client and a server with a wire between them.
struct Pair {
    client: Client,
    server: SslStream<Pipe>,
    /// For the cookie; gone when it has come back.
    scratch: Option<ListenScratch>,
    is_accepted: bool,
    /// All that the client has sent.
    to_server: Vec<Vec<u8>>,
    /// Datagrams in both directions so far.
    carried: usize,
    /// The number of the one that is lost.
    lose: Option<usize>,
    /// The largest of the client's, in bytes.
    largest: usize,
}

impl Pair {
    fn new(server: &SslContext, settings: ClientSettings) -> Self {
        Self::with(server, Client::new(settings).expect("a client"))
    }

    fn with(server: &SslContext, mut client: Client) -> Self {
        client.hurry();
        let mut ssl = Ssl::new(server).expect("a connection");
        ssl.set_mtu(1_200).expect("enough");
        let mut server = SslStream::new(ssl, Pipe::default()).expect("a stream");
        ffi::hurry(&mut server);
        Self {
            client,
            server,
            scratch: Some(ListenScratch::new().expect("memory")),
            is_accepted: false,
            to_server: Vec::new(),
            carried: 0,
            lose: None,
            largest: 0,
        }
    }

    /// Carries what there is, until nobody says anything more.
    fn carry(&mut self) -> Vec<ClientEvent> {
        let mut events = Vec::new();
        loop {
            let before = self.carried;
            while let Some(datagram) = self.client.poll_transmit() {
                self.largest = self.largest.max(datagram.len());
                self.to_server.push(datagram.clone());
                if self.passes() {
                    self.server.get_mut().push(datagram);
                    if let Some(scratch) = &mut self.scratch {
                        match ffi::listen(&mut self.server, scratch) {
                            Listened::Accepted => self.scratch = None,
                            Listened::Nothing => continue,
                            Listened::Broken => panic!("a ClientHello that nobody understands"),
                        }
                    }
                    if self.is_accepted {
                        // A repeated Finished is answered where data is read; data stays.
                        let _ = self.server.ssl_peek(&mut [0; 64]);
                    } else {
                        self.is_accepted = self.server.accept().is_ok();
                    }
                }
            }
            while let Some(datagram) = self.server.get_mut().pop() {
                if self.passes() {
                    events.extend(self.client.handle_datagram(&datagram));
                }
            }
            if self.carried == before {
                return events;
            }
        }
    }

    fn passes(&mut self) -> bool {
        let number = self.carried;
        self.carried += 1;
        self.lose != Some(number)
    }

    /// Carries and keeps both clocks until the client tells something. OpenSSL's clock is that of
    /// the system, so the timers of a few milliseconds are waited for.
    fn first_event(&mut self) -> ClientEvent {
        let end = Instant::now() + Duration::from_secs(20);
        while Instant::now() < end {
            if let Some(event) = self.carry().into_iter().next() {
                return event;
            }
            let servers = ffi::timeout(self.server.ssl()).map(|left| Instant::now() + left);
            let next = [self.client.next_timeout(), servers]
                .into_iter()
                .flatten()
                .min();
            let next = next.expect("somebody waits for something");
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
            let _ = ffi::handle_timeout(&mut self.server);
            if let Some(event) = self.client.handle_timeout().into_iter().next() {
                return event;
            }
        }
        panic!("nothing happens");
    }

    #[track_caller]
    fn connect(&mut self) {
        let event = self.first_event();
        assert!(matches!(event, ClientEvent::Connected), "{event:?}");
        assert!(self.client.is_connected());
    }

    #[track_caller]
    fn failure(&mut self) -> ClientError {
        match self.first_event() {
            ClientEvent::Closed(Some(error)) => {
                // The last words.
                self.carry();
                error
            }
            other => panic!("{other:?}"),
        }
    }

    /// Data passes both ways.
    #[track_caller]
    fn talk(&mut self) {
        assert!(self.client.send(b"up"));
        let mut buffer = [0; 64];
        let end = Instant::now() + Duration::from_secs(20);
        let length = loop {
            self.carry();
            if let Ok(length) = self.server.ssl_read(&mut buffer) {
                break length;
            }
            // The end of the handshake was lost on the server's side, and so was this.
            assert!(Instant::now() < end, "the server hears nothing");
            let left = ffi::timeout(self.server.ssl()).unwrap_or_default();
            std::thread::sleep(left);
            let _ = ffi::handle_timeout(&mut self.server);
            self.carry();
            self.client.send(b"up");
        };
        assert_eq!(&buffer[..length], b"up");
        self.server.ssl_write(b"down").expect("a session");
        let events = self.carry();
        assert!(
            matches!(&events[..], [ClientEvent::Received(data)] if data == b"down"),
            "{events:?}"
        );
    }
}

/// An authority with a server and a device.
struct Site {
    authority: (X509, PKey<Private>),
    server: (X509, PKey<Private>),
    device: (X509, PKey<Private>),
}

impl Site {
    fn new() -> Self {
        let authority = signed("authority", None);
        let server = signed("localhost", Some(&authority));
        let device = signed("device", Some(&authority));
        Self {
            authority,
            server,
            device,
        }
    }

    fn device(&self) -> ClientCredentials {
        credentials_of(&self.device, Some(&self.authority.0))
    }

    /// Asks for a certificate of the authority.
    fn server(&self) -> SslContext {
        let mut context = server_context();
        context
            .set_certificate(&self.server.0)
            .expect("a certificate");
        context.set_private_key(&self.server.1).expect("its key");
        let store = context.cert_store_mut();
        store
            .add_cert(self.authority.0.clone())
            .expect("a certificate");
        context.set_verify(SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT);
        context.build()
    }

    /// Asks for a raw public key, whichever.
    fn raw_server(&self) -> SslContext {
        let mut context = server_context();
        context.set_private_key(&self.server.1).expect("a key");
        ffi::set_certificate_types(&mut context, &[CertificateType::RawPublicKey]).expect("memory");
        let mode = SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT;
        context.set_verify_callback(mode, |_, store| {
            ffi::raw_public_key(store).is_ok_and(|key| key.is_some())
        });
        context.build()
    }
}

/// Knows the identity `device` only.
fn psk_server(key: &'static [u8]) -> SslContext {
    let mut context = server_context();
    context.set_psk_server_callback(move |_, identity, room| {
        if identity != Some(b"device") {
            return Ok(0);
        }
        room[..key.len()].copy_from_slice(key);
        Ok(key.len())
    });
    context.build()
}

fn server_context() -> SslContextBuilder {
    let mut context = SslContextBuilder::new(SslMethod::dtls_server()).expect("a context");
    context.set_options(SslOptions::NO_QUERY_MTU);
    context
        .set_cipher_list("ALL:PSK:@SECLEVEL=0")
        .expect("suites");
    context
        .set_session_id_context(b"test")
        .expect("short enough");
    context.set_cookie_generate_cb(|_, room| {
        room[..COOKIE.len()].copy_from_slice(COOKIE);
        Ok(COOKIE.len())
    });
    context.set_cookie_verify_cb(|_, shown| shown == COOKIE);
    context
}

fn client(suite: &str, credentials: ClientCredentials) -> ClientSettings {
    ClientSettings {
        ciphers: Some(suite.to_owned()),
        ..ClientSettings::new(credentials)
    }
}

fn psk(identity: &str, key: &[u8]) -> ClientCredentials {
    ClientCredentials::psk(identity, key.to_vec()).expect("credentials")
}

fn credentials_of(
    (certificate, key): &(X509, PKey<Private>),
    authority: Option<&X509>,
) -> ClientCredentials {
    let authority = authority.map(|authority| authority.to_pem().expect("PEM"));
    let certificate = certificate.to_pem().expect("PEM");
    ClientCredentials::x509(&certificate, &pem(key), authority.as_deref()).expect("credentials")
}

fn pem(key: &PKey<Private>) -> Vec<u8> {
    key.private_key_to_pem_pkcs8().expect("PEM")
}

fn key() -> PKey<Private> {
    let curve = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).expect("P-256");
    PKey::from_ec_key(EcKey::generate(&curve).expect("a key")).expect("a key")
}

/// A certificate of this name, also for 127.0.0.1; without an authority it is one itself.
fn signed(name: &str, authority: Option<&(X509, PKey<Private>)>) -> (X509, PKey<Private>) {
    let own = key();
    let mut subject = X509NameBuilder::new().expect("a name");
    subject.append_entry_by_text("CN", name).expect("a name");
    let subject = subject.build();
    let mut serial = BigNum::new().expect("a number");
    serial.rand(64, MsbOption::ONE, false).expect("random bits");
    let mut made = X509::builder().expect("a certificate");
    made.set_version(2).expect("version 3");
    made.set_serial_number(&serial.to_asn1_integer().expect("a number"))
        .expect("a number");
    made.set_subject_name(&subject).expect("a name");
    let issuer = authority.map_or(&*subject, |(issuer, _)| issuer.subject_name());
    made.set_issuer_name(issuer).expect("a name");
    made.set_pubkey(&own).expect("a key");
    made.set_not_before(&Asn1Time::days_from_now(0).expect("a time"))
        .expect("a time");
    made.set_not_after(&Asn1Time::days_from_now(1).expect("a time"))
        .expect("a time");
    if authority.is_none() {
        let is_authority = BasicConstraints::new()
            .critical()
            .ca()
            .build()
            .expect("an extension");
        made.append_extension(is_authority).expect("an extension");
    } else {
        let context = made.x509v3_context(authority.map(|(issuer, _)| &**issuer), None);
        let names = SubjectAlternativeName::new()
            .dns(name)
            .ip("127.0.0.1")
            .build(&context);
        made.append_extension(names.expect("names"))
            .expect("an extension");
    }
    let signer = authority.map_or(&own, |(_, key)| key);
    made.sign(signer, MessageDigest::sha256())
        .expect("a signature");
    (made.build(), own)
}

const COOKIE: &[u8] = b"given to strangers";
const KEY: &[u8] = b"0123456789abcdef";
const PSK: &str = "PSK-AES128-CCM8";
const ECDSA: &str = "ECDHE-ECDSA-AES128-CCM8";
