//! What the fuzzer runs (`tests/fuzz`): here, so that a test replays the corpus and it cannot rot.
//! Not for use by other rooms.

mod session;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio::sync::mpsc;
use zeroize::Zeroizing;

use super::context::Contexts;
use super::counters::Counters;
use super::handshake::{Call, HandshakeLimits, Handshakes};
use super::hello::{COOKIE, First};
use super::outcome::Outcome;
use super::outlet::Outlet;
use super::proof::Trust;
use super::records::{HANDSHAKE, Records};
use super::sieve::{sieve, split_early};
use super::tickets::TICKET_KEYS;
use crate::config::{Coaps, Settings};
use crate::domain::{CredentialId, EndpointName, SessionId, Timestamp};
use crate::security::{Credential, Keyring, Proof, ServerCertificates};

pub use self::session::session;

/// The first look at any datagram. What is answered is answered with no more bytes than came.
pub fn hello(datagram: &[u8]) {
    let first = First::of(datagram);
    let (in_time, early) = split_early(Records::of(datagram), 0);
    assert_eq!([in_time, early].concat(), datagram);
    assert!(!matches!(first, First::Named | First::Protected) || in_time.is_empty());
    assert_eq!(
        sieve(Records::of(datagram), |record| Some(
            record.numbered(record.sequence())
        )),
        datagram
    );
    if let First::Hello(hello) = first {
        let answer = hello.verify_request(&[0x5a; COOKIE]);
        assert!(answer.len() <= datagram.len(), "{datagram:02x?}");
        assert_eq!(First::of(&answer), First::Plain, "{answer:02x?}");
    }
}

/// Drives a handshake thread with tiny limits through whatever the bytes say: peers that have returned
/// their cookie and then send anything, calls of ours, time. Nobody has a key, so nobody gets a
/// session; everything stays within its limit, and is given up in the end.
///
/// A script is a row of steps. The upper four bits of a step's first byte say which peer it is of, the
/// lower four what happens:
///
/// | step | bytes behind it | what happens |
/// |---|---|---|
/// | 0, 1 | | the two hellos, with a PSK suite or one with certificates |
/// | 2 | length (2), bytes | a datagram |
/// | 3 | type, epoch, length (2), bytes | a record, with the next sequence number |
/// | 4 | type, number, length (2), bytes | a handshake message in a record |
/// | 5 | type, number, length (3), offset (3), length (2), bytes | a fragment in a record |
/// | 6 | | a call of ours to that peer |
/// | 7 | tenths of a second | time passes |
pub fn handshake(script: &[u8]) {
    let mut driver = Driver::new(script);
    while driver.step().is_some() {
        driver.look();
    }
    driver.finish();
}

/// What is left of a script.
struct Script<'a>(&'a [u8]);

impl<'a> Script<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// A length of two bytes, and so many bytes, or as many as there are.
    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = u16::from_be_bytes([self.byte()?, self.byte()?]);
        Some(self.take(usize::from(length)))
    }

    fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        taken
    }
}

struct Driver<'a> {
    script: Script<'a>,
    now: Instant,
    handshakes: Handshakes,
    outcomes: mpsc::Receiver<Outcome>,
    sent: Arc<Sent>,
    /// Of the next record of each peer.
    sequences: HashMap<u8, u16>,
    accounts: HashMap<SocketAddr, Account>,
}

/// What was sent, and to whom.
#[derive(Default)]
pub(super) struct Sent(Mutex<Vec<(SocketAddr, Vec<u8>)>>);

impl Sent {
    pub(super) fn lock(&self) -> MutexGuard<'_, Vec<(SocketAddr, Vec<u8>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Outlet for Arc<Sent> {
    fn send(&self, to: SocketAddr, datagram: &[u8]) {
        self.lock().push((to, datagram.to_vec()));
    }
}

/// What an address may get and has got, in bytes.
#[derive(Default)]
struct Account {
    credit: usize,
    spent: usize,
    /// It has returned a cookie.
    is_proven: bool,
}

impl<'a> Driver<'a> {
    fn new(script: &'a [u8]) -> Self {
        let now = Instant::now();
        let (tell, outcomes) = mpsc::channel(64);
        let sent = Arc::<Sent>::default();
        let limits = HandshakeLimits {
            max_handshakes: 3,
            kept_bytes: 60_000,
            timeout: TIMEOUT,
            first_retransmission: Duration::from_secs(1),
            mtu: 600,
            amplification: AMPLIFICATION,
        };
        let handshakes = Handshakes::new(
            Box::new(Arc::clone(&sent)),
            Arc::clone(&SERVER.contexts),
            Arc::clone(&SERVER.trust),
            limits,
            Counters::default(),
            tell,
            now,
        );
        Self {
            script: Script(script),
            now,
            handshakes: handshakes.expect("OpenSSL works"),
            outcomes,
            sent,
            sequences: HashMap::new(),
            accounts: HashMap::new(),
        }
    }

    /// One step of the script; nothing at its end.
    fn step(&mut self) -> Option<()> {
        let first = self.script.byte()?;
        let peer = first >> 4;
        match first & 15 {
            0 => self.begin(peer, &PSK_HELLO),
            1 => self.begin(peer, &CERTIFICATE_HELLO),
            2 => {
                let datagram = self.script.bytes()?.to_vec();
                self.deliver(peer, datagram);
            }
            3 => {
                let [kind, epoch] = [self.script.byte()?, self.script.byte()?];
                let body = self.script.bytes()?;
                self.record(peer, kind, epoch, body);
            }
            4 => {
                let [kind, number] = [self.script.byte()?, self.script.byte()?];
                let body = self.script.bytes()?;
                self.record(peer, HANDSHAKE, 0, &message(kind, number, body));
            }
            5 => {
                let [kind, number] = [self.script.byte()?, self.script.byte()?];
                let numbers = self.script.take(6);
                let body = self.script.bytes()?;
                let [.., high, low] = body.len().to_be_bytes();
                let (length, offset) = numbers.split_at_checked(3)?;
                let header: [&[u8]; 5] = [&[kind], length, &[0, number], offset, &[0, high, low]];
                self.record(peer, HANDSHAKE, 0, &[&header.concat(), body].concat());
            }
            6 => {
                let call = Call {
                    address: address(peer),
                    session: SessionId(u64::from(peer)),
                    endpoint: device(),
                    psk: SERVER.trust.load().keyring.psk_of(&device()),
                    allowance: Some(GRACE),
                };
                self.accounts.entry(call.address).or_default().credit += GRACE;
                self.handshakes.call(self.now, call);
            }
            7 => {
                let tenths = u64::from(self.script.byte()?);
                self.now += Duration::from_millis(100 * tenths);
                self.handshakes.timeouts(self.now);
            }
            _ => {}
        }
        Some(())
    }

    /// A peer returns its cookie.
    fn begin(&mut self, peer: u8, rest: &[u8]) {
        let body = |cookie: &[u8]| {
            let length = u8::try_from(cookie.len()).unwrap_or_default();
            [&[0xfe, 0xfd], &[peer; 32][..], &[0, length], cookie, rest].concat()
        };
        self.look();
        self.record(peer, HANDSHAKE, 0, &message(CLIENT_HELLO, 0, &body(&[])));
        // Behind the headers, the version and the length. None where we are calling that peer.
        let asked = self.look();
        let cookie = asked.last().and_then(|datagram| datagram.get(28..));
        let hello = message(CLIENT_HELLO, 1, &body(cookie.unwrap_or_default()));
        self.record(peer, HANDSHAKE, 0, &hello);
    }

    fn record(&mut self, peer: u8, kind: u8, epoch: u8, body: &[u8]) {
        let sequence = self.sequences.entry(peer).or_default();
        *sequence = sequence.wrapping_add(1);
        let [high, low] = sequence.to_be_bytes();
        let Ok(length) = u16::try_from(body.len()) else {
            return;
        };
        let header = [kind, 0xfe, 0xfd, 0, epoch, 0, 0, 0, 0, high, low];
        let datagram = [&header, &length.to_be_bytes()[..], body].concat();
        self.deliver(peer, datagram);
    }

    fn deliver(&mut self, peer: u8, datagram: Vec<u8>) {
        let account = self.accounts.entry(address(peer)).or_default();
        account.credit += AMPLIFICATION * datagram.len();
        self.handshakes.datagram(self.now, address(peer), datagram);
    }

    /// Everything is as it must be; what was sent since the last look.
    fn look(&mut self) -> Vec<Vec<u8>> {
        self.handshakes.assert_limits();
        while let Ok(outcome) = self.outcomes.try_recv() {
            if let Outcome::Begun(address) = outcome {
                self.accounts.entry(address).or_default().is_proven = true;
            }
            assert!(
                !matches!(outcome, Outcome::Established(_) | Outcome::Returned(..)),
                "somebody got a session without a key"
            );
        }
        let sent = std::mem::take(&mut *self.sent.lock());
        for (to, datagram) in &sent {
            assert!(datagram.len() <= 600, "longer than the path allows");
            self.accounts.entry(*to).or_default().spent += datagram.len();
        }
        for account in self.accounts.values() {
            let is_paid = account.is_proven || account.spent <= account.credit;
            assert!(is_paid, "an address got more than it may");
        }
        sent.into_iter().map(|(_, datagram)| datagram).collect()
    }

    /// Nothing is left when its time is over.
    fn finish(&mut self) {
        self.look();
        self.now += TIMEOUT;
        self.handshakes.timeouts(self.now);
        self.look();
        assert_eq!(self.handshakes.assert_limits(), 0, "everything ends");
    }
}

fn message(kind: u8, number: u8, body: &[u8]) -> Vec<u8> {
    let [.., top, high, low] = body.len().to_be_bytes();
    let header = [kind, top, high, low, 0, number, 0, 0, 0, top, high, low];
    [&header, body].concat()
}

fn address(peer: u8) -> SocketAddr {
    ([192, 0, 2, peer], 5684).into()
}

fn device() -> EndpointName {
    EndpointName::new("device").expect("a name")
}

/// Keys and certificates, and a device with a key that nobody has.
pub(super) struct Server {
    pub(super) contexts: Arc<ArcSwap<Contexts>>,
    pub(super) trust: Arc<ArcSwap<Trust>>,
}

/// Made once.
static SERVER: LazyLock<Server> = LazyLock::new(|| {
    let proof = Proof::Psk {
        identity: "device".to_owned(),
        key: Zeroizing::new(secret().to_vec()),
    };
    Server::new(&Settings::defaults().coaps, [proof])
});

impl Server {
    /// One for which each of these proves the device.
    pub(super) fn new(settings: &Coaps, proofs: impl IntoIterator<Item = Proof>) -> Self {
        let keyring = Keyring::default();
        for (id, proof) in (1..).map(CredentialId).zip(proofs) {
            let endpoint = device();
            keyring.add(Credential {
                id,
                endpoint,
                proof,
            });
        }
        let certificates = &*CERTIFICATES;
        let trust = Trust {
            authorities: super::authorities(certificates).expect("OpenSSL works"),
            keyring,
            decoy: secret(),
        };
        let contexts = Contexts::new(settings, certificates, &trust, &[7; TICKET_KEYS]);
        Self {
            contexts: Arc::new(ArcSwap::from_pointee(contexts.expect("OpenSSL works"))),
            trust: Arc::new(ArcSwap::from_pointee(trust)),
        }
    }
}

static CERTIFICATES: LazyLock<Arc<ServerCertificates>> = LazyLock::new(|| {
    let folder = std::env::temp_dir().join(format!("flownexus-fuzz-{}", std::process::id()));
    let certificates = made_in(&folder);
    // What is in memory is all that is needed.
    let _ = std::fs::remove_dir_all(&folder);
    Arc::new(certificates)
});

fn secret() -> Zeroizing<[u8; 32]> {
    let mut secret = Zeroizing::new([0; 32]);
    openssl::rand::rand_bytes(secret.as_mut_slice()).expect("randomness");
    secret
}

/// Contexts as the settings have them by default.
#[cfg(test)]
pub(super) fn contexts() -> Arc<Contexts> {
    SERVER.contexts.load_full()
}

pub(super) fn made_in(folder: &Path) -> ServerCertificates {
    let made = ServerCertificates::load_or_make(folder, &[], Timestamp::system());
    made.expect("a folder that can be written")
}

const TIMEOUT: Duration = Duration::from_secs(60);
const AMPLIFICATION: usize = 3;
/// What an address gets when it is called.
const GRACE: usize = 136;
const CLIENT_HELLO: u8 = 1;
/// `TLS_PSK_WITH_AES_128_CCM_8`, no compression, no extensions.
const PSK_HELLO: [u8; 6] = [0, 2, 0xc0, 0xa8, 1, 0];
/// `TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8`, no compression; P-256, points in full, ECDSA with SHA-256.
const CERTIFICATE_HELLO: [u8; 30] = [
    0, 2, 0xc0, 0xae, 1, 0, 0, 22, 0, 10, 0, 4, 0, 2, 0, 23, 0, 11, 0, 2, 1, 0, 0, 13, 0, 4, 0, 2,
    4, 3,
];

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use proptest::collection::vec;
    use proptest::prelude::*;

    /// One step of a script, of one of three peers.
    fn step() -> impl Strategy<Value = Vec<u8>> {
        let message = prop_oneof![
            Just(0_u8),
            Just(2),
            Just(3),
            10_u8..17,
            Just(20),
            any::<u8>()
        ];
        let body = vec(any::<u8>(), 0..90);
        (0..3_u8, 0..8_u8, message, 0..4_u8, body, any::<[u8; 6]>()).prop_map(
            |(peer, what, message, number, body, pieces)| {
                let [.., high, low] = body.len().to_be_bytes();
                let head: &[u8] = match what {
                    2 => &[],
                    3 => &[20 + message % 4, number / 3],
                    4 => &[message, number],
                    5 => &[&[message, number], &pieces[..]].concat(),
                    7 => return vec![peer << 4 | what, number.saturating_mul(40)],
                    _ => return vec![peer << 4 | what],
                };
                [&[peer << 4 | what], head, &[high, low], &body].concat()
            },
        )
    }

    proptest! {
        #[test]
        fn attack_11_nobody_who_has_returned_no_cookie_gets_more_than_it_has_paid(
            steps in vec(step(), 1..60),
        ) {
            super::handshake(&steps.concat());
        }
    }

    fn corpus(name: &str) -> impl Iterator<Item = (PathBuf, Vec<u8>)> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus");
        let entries = std::fs::read_dir(folder.join(name)).expect("the corpus is part of the tree");
        entries.map(|entry| {
            let path = entry.expect("an entry").path();
            let bytes = std::fs::read(&path).expect("a readable file");
            (path, bytes)
        })
    }

    #[test]
    fn the_corpus_of_dtls_hello_passes_whole_and_in_parts() {
        let mut replayed = 0;
        for (_, datagram) in corpus("dtls_hello") {
            for length in 0..=datagram.len() {
                super::hello(datagram.get(..length).expect("shorter"));
            }
            replayed += 1;
        }
        assert!(replayed > 3, "the corpus is too small");
    }

    #[test]
    fn the_corpus_of_dtls_handshake_passes_whole_and_in_parts() {
        let mut replayed = 0;
        for (path, script) in corpus("dtls_handshake") {
            println!("{}", path.display());
            super::handshake(&script);
            for length in (0..script.len()).step_by(23) {
                super::handshake(script.get(..length).expect("shorter"));
            }
            replayed += 1;
        }
        assert!(replayed > 7, "the corpus is too small");
    }

    #[test]
    fn the_corpus_of_dtls_session_passes_whole_and_in_parts() {
        let mut replayed = 0;
        for (path, script) in corpus("dtls_session") {
            println!("{}", path.display());
            // With every cipher, and every kind of name.
            for choice in 0..=u8::MAX {
                let mut script = script.clone();
                *script.first_mut().expect("a choice") = choice;
                super::session(&script);
            }
            for length in 0..script.len() {
                super::session(script.get(..length).expect("shorter"));
            }
            replayed += 1;
        }
        assert!(replayed > 7, "the corpus is too small");
    }

    /// One step of a session's script.
    fn session_step() -> impl Strategy<Value = Vec<u8>> {
        let kind = prop_oneof![20_u8..24, Just(23), 0_u8..30, any::<u8>()];
        let number = prop_oneof![0_u16..100, 0_u16..100, any::<u16>()];
        let body = prop_oneof![
            vec(any::<u8>(), 0..40),
            vec(any::<u8>(), 2..3),
            vec(0_u8..3, 0..6),
            vec(Just(20_u8), 1..4)
        ];
        (0..8_u8, kind, number, 0..3_u8, body).prop_map(|(what, kind, number, padding, body)| {
            let [high, low] = number.to_be_bytes();
            let [.., l1, l0] = body.len().to_be_bytes();
            let head: &[u8] = match what {
                0 => &[l1, l0],
                1 => &[kind, high, low, padding, l1, l0],
                3 => return vec![what, low, high, kind],
                4 => return vec![what, low],
                5 => return vec![what, high % 70, low],
                _ => return vec![what],
            };
            [&[what], head, &body].concat()
        })
    }

    proptest! {
        #[test]
        fn a_peer_with_the_keys_can_do_nothing_but_talk(
            choice in any::<u8>(), steps in vec(session_step(), 1..120),
        ) {
            super::session(&[&[choice], &steps.concat()[..]].concat());
        }
    }

    /// The corpus reaches what it is meant for: a handshake of each kind begins, and is answered.
    #[test]
    fn a_script_begins_handshakes_of_each_kind() {
        let mut driver = super::Driver::new(&[0x10, 0x21, 0x36]);
        for under_way in 1..=3 {
            driver.step().expect("a step");
            assert_eq!(driver.handshakes.assert_limits(), under_way);
            assert!(!driver.look().is_empty(), "an answer, or a hello of ours");
        }
        driver.finish();
    }
}
