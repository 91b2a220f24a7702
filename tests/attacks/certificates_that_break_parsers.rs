//! Attack 28 (CVE-2025-65499, CVE-2026-9267): certificates of clients that are none, that lie about
//! their length, or that no decent tool makes, in real handshakes. What cannot be read ends its own
//! handshake with an alert; what can be read is judged by what it says.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};

use openssl::ec::{EcGroup, EcKey};
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::x509::X509;

use super::raw_handshakes::{CERTIFICATE, HANDSHAKE, RawPeer, parts};
use crate::support::certificates::Holder;
use crate::support::device::ScriptedDevice;
use crate::support::odd_certificates::{
    BASIC_CONSTRAINTS, BMP_STRING, EXTENDED_KEY_USAGE, GENERALIZED_TIME, OCTET_STRING, Odd,
    PRINTABLE_STRING, SUBJECT_ALT_NAME, UNKNOWN_EXTENSION, UTC_TIME, UTF8_STRING, common_name, der,
    dns_names,
};
use crate::support::secure::{Credentials, Secure};
use crate::support::server::{SOON, Server, eventually};

const UNDER_WAY: &str = "flownexus_dtls_handshakes_under_way";
const SESSIONS: &str = "flownexus_dtls_sessions";
const REFUSED: &str = "flownexus_dtls_handshakes_refused_total";
const DROPPED: &str = "flownexus_dtls_handshake_datagrams_dropped_total";
/// Alerts (RFC 5246 section 7.2) with which a certificate may be refused. OpenSSL gives 80 where it does
/// not know the kind of key.
const ALERTS: [u8; 10] = [40, 42, 43, 45, 46, 47, 48, 50, 51, 80];

fn curve(nid: Nid) -> PKey<Private> {
    let group = EcGroup::from_curve_name(nid).expect("a curve");
    PKey::from_ec_key(EcKey::generate(&group).expect("a key")).expect("a key")
}

/// The server's CA, to sign with.
fn authority(server: &Server) -> Holder {
    let read = |name| std::fs::read(server.data_dir().join("certs").join(name)).expect("a file");
    Holder::of(&read("ca.crt"), &read("ca.key"))
}

/// A device with a certificate in order, which must get in whatever others do.
struct Good(ScriptedDevice);

impl Good {
    fn new(server: &Server) -> Self {
        let key = curve(Nid::X9_62_PRIME256V1);
        let certificate = Odd::of("good-device", &key).sign(&authority(server));
        let credentials = credentials(&[certificate], &key).expect("in order");
        let mut good = Self(ScriptedDevice::secure(
            "good-device",
            server.coaps(),
            credentials,
        ));
        good.is_served("nothing");
        good
    }

    #[track_caller]
    fn is_served(&mut self, after: &str) {
        let session = self.0.handshake();
        session.unwrap_or_else(|error| panic!("after {after}: {error}"));
        self.0.register_now(300, "</1/0>");
    }
}

/// A client's, when OpenSSL lets a client use them.
fn credentials(chain: &[Vec<u8>], key: &PKey<Private>) -> Option<Credentials> {
    let mut chain = chain.iter().map(|der| X509::from_der(der).ok());
    let own = chain.next()??;
    let others: Option<Vec<X509>> = chain.collect();
    let is_pair = own.public_key().ok()?.public_eq(key);
    let [own, key] = [own.to_pem().ok()?, key.private_key_to_pem_pkcs8().ok()?];
    let credentials = Credentials::x509(&own, &key, None).with_chain(others?);
    is_pair.then_some(credentials)
}

/// A list as the Certificate message has it, in order.
fn list(entries: &[&[u8]]) -> Vec<u8> {
    let sized = |bytes: &[u8]| [&size(bytes.len()), bytes].concat();
    sized(
        &entries
            .iter()
            .flat_map(|der| sized(der))
            .collect::<Vec<u8>>(),
    )
}

fn size(length: usize) -> [u8; 3] {
    let [.., top, high, low] = length.to_be_bytes();
    [top, high, low]
}

/// Sends this Certificate message. The alert of the server.
fn raw(server: &Server, local: IpAddr, body: &[u8]) -> Option<u8> {
    let mut peer = RawPeer::new(local, server.coaps());
    peer.begin_with_certificate();
    peer.send_message(CERTIFICATE, 2, body);
    peer.alert()
}

async fn calm(server: &Server) {
    eventually("nothing is left", SOON, || async {
        let now = [
            server.metric(UNDER_WAY).await,
            server.metric(SESSIONS).await,
        ];
        (now == [0.0, 1.0]).then_some(())
    })
    .await;
}

/// Each was counted once, no more and no less.
async fn are_counted(server: &Server, refused: f64) {
    eventually("all are counted", SOON, || async {
        (server.metric(REFUSED).await >= refused).then_some(())
    })
    .await;
    assert_eq!(server.metric(REFUSED).await, refused);
}

async fn besieged() -> Server {
    let setup = Server::setup()
        .setting("coaps.handshake_timeout_s", 4)
        .setting("coaps.max_sessions_per_endpoint", 1)
        .setting("log.level", "warn");
    setup.start().await
}

/// One line in the log for a source, with a reason.
async fn is_told_once(server: &Server, local: IpAddr, what: &str) {
    let source = format!("{local}:");
    let lines = eventually(&format!("a line of {what}"), SOON, || async {
        let output = server.output();
        let lines: Vec<String> = output
            .lines()
            .filter(|line| line.contains("Refused") && line.contains(&source))
            .map(str::to_owned)
            .collect();
        (!lines.is_empty()).then_some(lines)
    })
    .await;
    assert_eq!(lines.len(), 1, "{what}: {lines:#?}");
}

#[tokio::test]
async fn attack_28_certificate_messages_that_lie_are_refused_with_an_alert() {
    let server = besieged().await;
    let mut good = Good::new(&server);
    let key = curve(Nid::X9_62_PRIME256V1);
    let right = Odd::of("liar", &key).sign(&authority(&server));
    let whole = list(&[&right]);
    let behind = [&right[..], &[0; 9]].concat();
    let nested = (0..2_000).fold(Vec::new(), |inner, _| der(0x30, &[&inner]));
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("no certificate", list(&[])),
        ("no bytes at all", Vec::new()),
        ("two bytes of a length", vec![0, 0]),
        ("a certificate of no bytes", list(&[&[]])),
        (
            "a list longer than the message",
            [&size(9), &[0; 3][..]].concat(),
        ),
        (
            "a list shorter than the message",
            [&whole[..], &[0; 9]].concat(),
        ),
        ("a list of 16 MB", [&[0xff; 3], &whole[3..]].concat()),
        (
            "a certificate longer than the list",
            [&whole[..3], &[0xff; 3], &whole[6..]].concat(),
        ),
        (
            "half a length of a second one",
            [&size(whole.len() - 1), &whole[3..], &[0, 0]].concat(),
        ),
        ("bytes behind the certificate", list(&[&behind])),
        ("a second one that is none", list(&[&right, b"certificate"])),
        (
            "lengths of 4 GB",
            list(&[&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff, 0x30, 0x84]]),
        ),
        (
            "a length of 126 bytes",
            list(&[&[0x30, 0xfe, 0xff, 0xff, 0xff]]),
        ),
        (
            "no end",
            list(&[&[&[0x30, 0x80][..], &right[4..]].concat()]),
        ),
        ("2,000 in one another", list(&[&nested])),
        (
            "another kind of thing",
            list(&[b"-----BEGIN CERTIFICATE-----"]),
        ),
        ("zeros", list(&[&[0; 4_000]])),
    ];
    let before = server.metric(REFUSED).await;
    let mut refused = 0.0;
    for (number, (what, body)) in (1..).zip(&cases) {
        let local = IpAddr::V4(Ipv4Addr::new(127, 0, 3, number));
        let alert = raw(&server, local, body);
        let alert = alert.unwrap_or_else(|| panic!("{what}: no alert"));
        assert!(ALERTS.contains(&alert), "{what}: alert {alert}");
        refused += 1.0;
        is_told_once(&server, local, what).await;
        good.is_served(what);
    }
    // Cut off anywhere, and each byte of it spoilt.
    let local = IpAddr::V4(Ipv4Addr::new(127, 0, 3, 200));
    for length in (1..right.len()).step_by(7) {
        let alert = raw(&server, local, &list(&[&right[..length]]));
        assert!(
            alert.is_some_and(|alert| ALERTS.contains(&alert)),
            "{length} bytes: {alert:?}"
        );
        refused += 1.0;
    }
    good.is_served("cut certificates");
    for at in 0..right.len() {
        let mut spoilt = right.clone();
        spoilt[at] ^= 0xff;
        let alert = raw(&server, local, &list(&[&spoilt]));
        assert!(
            alert.is_some_and(|alert| ALERTS.contains(&alert)),
            "byte {at}: {alert:?}"
        );
        refused += 1.0;
    }
    good.is_served("spoilt certificates");
    is_told_once(&server, local, "spoilt certificates").await;
    calm(&server).await;
    are_counted(&server, before + refused).await;
}

#[tokio::test]
async fn attack_28_chains_without_end_are_refused_or_thrown_away() {
    let server = besieged().await;
    let mut good = Good::new(&server);
    let key = curve(Nid::X9_62_PRIME256V1);
    let right = Odd::of("endless", &key).sign(&authority(&server));
    let before = server.metric(REFUSED).await;
    // Longer than any that is kept: not even begun with.
    let copies: Vec<&[u8]> = vec![&right; 1_000];
    let local = IpAddr::V4(Ipv4Addr::new(127, 0, 3, 1));
    let mut peer = RawPeer::new(local, server.coaps());
    peer.begin_with_certificate();
    peer.send_message(CERTIFICATE, 2, &list(&copies));
    good.is_served("a chain of 1,000");
    assert!(server.metric(DROPPED).await > 0.0);
    is_told_once(&server, local, "a chain of 1,000").await;
    // A shorter one is read and built upon: the first one counts, and the others are of no use.
    let most: Vec<&[u8]> = vec![&right; 95_000 / right.len()];
    let mut peer = RawPeer::new(Ipv4Addr::new(127, 0, 3, 2).into(), server.coaps());
    peer.begin_with_certificate();
    peer.send_message(CERTIFICATE, 2, &list(&most));
    good.is_served("a chain of copies");
    assert_eq!(server.metric(UNDER_WAY).await, 1.0);
    peer.give_up();
    // Each signed by the next, and the last by nobody.
    let name = |number: usize| common_name(UTF8_STRING, format!("between {number}").as_bytes());
    let ca = der(0x30, &[&der(0x01, &[&[0xff]])]);
    let endless: Vec<Vec<u8>> = (0..150)
        .map(|number| {
            let odd =
                Odd::of("endless", &key)
                    .named(name(number))
                    .extended(BASIC_CONSTRAINTS, true, &ca);
            odd.sign_as(&name(number + 1), &key)
        })
        .collect();
    let endless: Vec<&[u8]> = endless.iter().map(Vec::as_slice).collect();
    let local = IpAddr::V4(Ipv4Addr::new(127, 0, 3, 3));
    assert_eq!(raw(&server, local, &list(&endless)), Some(48), "unknown_ca");
    is_told_once(&server, local, "a chain of 150").await;
    // A long one whose fragments come in any order, and twice.
    let mut peer = RawPeer::new(Ipv4Addr::new(127, 0, 3, 4).into(), server.coaps());
    peer.begin_with_certificate();
    let mut all = parts(CERTIFICATE, 2, &list(&endless[..50]), 900);
    all.reverse();
    for part in all.iter().chain(&all) {
        let record = peer.record(HANDSHAKE, part);
        peer.send(&record);
    }
    assert_eq!(peer.alert(), Some(48), "unknown_ca");
    good.is_served("long chains");
    calm(&server).await;
    are_counted(&server, before + 4.0).await;
}

/// What is sent as a chain, the key of its first one, and what becomes of it.
type Case = (&'static str, Vec<Vec<u8>>, PKey<Private>, &'static str);

const OPENS: &str = "opens";

fn names(ca: &Holder, key: &PKey<Private>) -> Vec<Case> {
    let case = |what, odd: Odd, end| (what, vec![odd.sign(ca)], odd.key().clone(), end);
    let odd = || Odd::of("odd-device", key);
    let many = |count| {
        let names: Vec<String> = (0..count)
            .map(|number| format!("name-{number:05}"))
            .collect();
        dns_names(names.iter().map(String::as_bytes))
    };
    let called = |tag, text: &[u8]| odd().named(common_name(tag, text));
    vec![
        case(
            "1,000 names",
            odd().extended(SUBJECT_ALT_NAME, false, &many(1_000)),
            OPENS,
        ),
        case(
            "5,000 names",
            odd().extended(SUBJECT_ALT_NAME, false, &many(5_000)),
            "alert 40 ",
        ),
        case("no subject", odd().named(der(0x30, &[])), "alert 40 "),
        case(
            "a NUL in its name",
            called(UTF8_STRING, b"odd-device\0.good"),
            "alert 40 ",
        ),
        case(
            "a name that is no UTF-8",
            called(UTF8_STRING, b"odd\xff\xfe"),
            "alert 50 ",
        ),
        case(
            "a name of half a letter",
            called(BMP_STRING, b"odd"),
            "alert 50 ",
        ),
        case(
            "a name of 16-bit letters",
            called(BMP_STRING, b"\0o\0d\0d"),
            OPENS,
        ),
        case(
            "a name with control letters",
            called(PRINTABLE_STRING, b"odd\r\nWARN\x1b[2J"),
            "alert 40 ",
        ),
        case(
            "a name of 60,000 letters",
            called(UTF8_STRING, &[b'o'; 60_000]),
            "alert 40 ",
        ),
        case(
            "names that are none",
            odd().extended(SUBJECT_ALT_NAME, false, b"none"),
            "alert 48 ",
        ),
        case(
            "a name with a NUL",
            odd().extended(
                SUBJECT_ALT_NAME,
                false,
                &dns_names([&b"good-device\0x"[..]]),
            ),
            OPENS,
        ),
    ]
}

fn times_and_numbers(ca: &Holder, key: &PKey<Private>) -> Vec<Case> {
    let case = |what, odd: Odd, end| (what, vec![odd.sign(ca)], odd.key().clone(), end);
    let odd = || Odd::of("odd-device", key);
    let from = (UTC_TIME, &b"200101000000Z"[..]);
    vec![
        case(
            "an end before its beginning",
            odd().valid([(UTC_TIME, b"491231235959Z"), from]),
            "alert 42 ",
        ),
        case(
            "the end of days",
            odd().valid([from, (GENERALIZED_TIME, b"99991231235959Z")]),
            OPENS,
        ),
        case(
            "the year 0",
            odd().valid([(GENERALIZED_TIME, b"00000101000000Z"), from]),
            "alert 45 ",
        ),
        case(
            "the 99th of the 99th",
            odd().valid([from, (GENERALIZED_TIME, b"20999999999999Z")]),
            "alert 42 ",
        ),
        case(
            "a time without a zone",
            odd().valid([from, (UTC_TIME, b"4912312359")]),
            "alert 50 ",
        ),
        case(
            "a time of no letters",
            odd().valid([from, (UTC_TIME, b"")]),
            "alert 50 ",
        ),
        case(
            "a time of a thousand letters",
            odd().valid([from, (GENERALIZED_TIME, &[b'9'; 1_000])]),
            "alert 42 ",
        ),
        case(
            "a time that is none",
            odd().valid([(OCTET_STRING, b"200101000000Z"), from]),
            "alert 50 ",
        ),
        case("the number 0", odd().numbered(&[0]), OPENS),
        case(
            "a negative number",
            odd().numbered(&[0xff, 0x85]),
            "alert 50 ",
        ),
        case(
            "a number of 2,000 bytes",
            odd().numbered(&[0x55; 2_000]),
            OPENS,
        ),
        case("a number of no bytes", odd().numbered(&[]), "alert 50 "),
    ]
}

fn keys_and_extensions(ca: &Holder, key: &PKey<Private>) -> Vec<Case> {
    let case = |what, odd: Odd, end| (what, vec![odd.sign(ca)], odd.key().clone(), end);
    let odd = || Odd::of("odd-device", key);
    let rsa = |bits| PKey::from_rsa(Rsa::generate(bits).expect("a key")).expect("a key");
    let edwards = PKey::generate_ed25519().expect("a key");
    let is_ca = der(0x30, &[&der(0x01, &[&[0xff]])]);
    let of_servers = der(0x30, &[&der(0x06, &[&[0x2b, 6, 1, 5, 5, 7, 3, 1]])]);
    let twice = odd().extended(BASIC_CONSTRAINTS, false, &is_ca);
    vec![
        case("RSA of 2048 bits", odd().keyed(rsa(2048)), OPENS),
        case("RSA of 512 bits", odd().keyed(rsa(512)), "alert 40 "),
        case("P-384", odd().keyed(curve(Nid::SECP384R1)), OPENS),
        case("P-521", odd().keyed(curve(Nid::SECP521R1)), "alert 47 "),
        case("secp256k1", odd().keyed(curve(Nid::SECP256K1)), "alert 47 "),
        case("Ed25519", odd().keyed(edwards), OPENS),
        case(
            "a critical extension",
            odd().extended(UNKNOWN_EXTENSION, true, b"x"),
            "alert 46 ",
        ),
        case(
            "an unknown extension",
            odd().extended(UNKNOWN_EXTENSION, false, &[0x5a; 9_000]),
            OPENS,
        ),
        case(
            "a huge one",
            odd().extended(UNKNOWN_EXTENSION, false, &[0x5a; 90_000]),
            "alert 40 ",
        ),
        case(
            "an extension twice",
            twice.extended(BASIC_CONSTRAINTS, false, &is_ca),
            "alert 48 ",
        ),
        case(
            "an extension that is spoilt",
            odd().extended(BASIC_CONSTRAINTS, true, b"spoilt"),
            "alert 48 ",
        ),
        case(
            "for servers only",
            odd().extended(EXTENDED_KEY_USAGE, true, &of_servers),
            "alert 43 ",
        ),
        case(
            "a signature of no bytes",
            odd().spoilt(|der| cut_signature(&der)),
            "alert 51 ",
        ),
    ]
}

/// The signature's bits are none; the lengths are right.
fn cut_signature(certificate: &[u8]) -> Vec<u8> {
    let parsed = X509::from_der(certificate).expect("a certificate");
    let signature = parsed.signature().as_slice().len();
    // Tag, length and the number of unused bits before it.
    let body = &certificate[4..certificate.len() - signature - 3];
    der(0x30, &[body, &der(0x03, &[&[0]])])
}

fn loops(ca: &Holder, key: &PKey<Private>) -> Vec<Case> {
    let is_ca = der(0x30, &[&der(0x01, &[&[0xff]])]);
    let other = curve(Nid::X9_62_PRIME256V1);
    let [one, two] = [("one", key), ("two", &other)]
        .map(|(name, key)| Odd::of(name, key).extended(BASIC_CONSTRAINTS, true, &is_ca));
    let of_each_other = vec![
        one.sign_as(two.subject(), &other),
        two.sign_as(one.subject(), key),
        one.sign_as(two.subject(), &other),
    ];
    let itself = Odd::of("odd-device", key);
    let by_itself = vec![itself.sign_as(itself.subject(), key)];
    let authority = X509::from_pem(&ca.certificate()).expect("a certificate in PEM");
    let as_ca = authority.subject_name().to_der().expect("DER");
    let forged = Odd::of("odd-device", key).named(as_ca.clone());
    let forged = vec![
        forged
            .extended(BASIC_CONSTRAINTS, true, &is_ca)
            .sign_as(&as_ca, key),
    ];
    // Signed by a device, which is no CA.
    let device = Odd::of("odd-device", &other);
    let by_device = vec![
        Odd::of("good-device", key).sign_as(device.subject(), &other),
        device.sign(ca),
    ];
    vec![
        ("two of each other", of_each_other, key.clone(), "alert 48 "),
        ("of itself", by_itself, key.clone(), "alert 48 "),
        ("under the name of the CA", forged, key.clone(), "alert 48 "),
        ("by a device", by_device, key.clone(), "alert 48 "),
    ]
}

#[tokio::test]
async fn attack_28_odd_certificates_are_judged_by_what_they_say_and_harm_nobody() {
    let server = besieged().await;
    let mut good = Good::new(&server);
    let ca = authority(&server);
    let key = curve(Nid::X9_62_PRIME256V1);
    let cases = [
        names(&ca, &key),
        times_and_numbers(&ca, &key),
        keys_and_extensions(&ca, &key),
        loops(&ca, &key),
    ]
    .concat();
    let before = server.metric(REFUSED).await;
    let mut refused = 0.0;
    for (number, (what, chain, key, expected)) in (1..).zip(&cases) {
        let local = IpAddr::V4(Ipv4Addr::new(127, 0, 3, number));
        let end = match credentials(chain, key) {
            Some(credentials) => {
                let socket = UdpSocket::bind((local, 0)).expect("a free port");
                let mut device = Secure::new(socket, server.coaps(), credentials);
                match device.handshake() {
                    Ok(()) => {
                        device.close();
                        OPENS.to_owned()
                    }
                    Err(error) => error,
                }
            }
            // No client of OpenSSL would show it; we do.
            None => {
                let chain: Vec<&[u8]> = chain.iter().map(Vec::as_slice).collect();
                let alert = raw(&server, local, &list(&chain));
                alert.map_or_else(
                    || "no alert".to_owned(),
                    |alert| format!("alert {alert} (raw)"),
                )
            }
        };
        assert!(end.starts_with(expected), "{what}: {end}, not {expected}");
        if end != OPENS {
            refused += 1.0;
            is_told_once(&server, local, what).await;
        }
        good.is_served(what);
    }
    calm(&server).await;
    are_counted(&server, before + refused).await;
}
