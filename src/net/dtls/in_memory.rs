//! For tests: a handshake thread with the session that comes of it, a device that is bare OpenSSL, and
//! between them datagrams that a test holds in its hands. OpenSSL knows no connection ids; where the device
//! has them, its records are translated.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use openssl::pkey::{PKey, Private};
use openssl::ssl::{
    ErrorCode, ExtensionContext, ShutdownState, Ssl, SslContext, SslMethod, SslOptions,
    SslSessionCacheMode, SslStream, SslVerifyMode, SslVersion,
};
use tokio::sync::mpsc;
use zeroize::Zeroizing;

use super::aead::{Aead, Ciphers};
use super::cid::{self, Cid};
use super::context::Contexts;
use super::counters::Counters;
use super::ffi::{self, CertificateType, Resumable};
use super::fuzzing::{Sent, made_in};
use super::handshake::{HandshakeLimits, Handshakes};
use super::hello::First;
use super::outcome::Outcome;
use super::pipe::Pipe;
use super::proof::Trust;
use super::record::{EPOCH, RecordLayer};
use super::records::{CID, Records};
use super::refusal::Refusal;
use super::session::{After, Session, Tools};
use super::sieve::split_early;
use super::tickets::TICKET_KEYS;
use crate::config::{Coaps, Settings};
use crate::domain::{CredentialId, EndpointName, SessionId};
use crate::security::{Credential, Keyring, Proof, ServerCertificates};

/// A server that knows one device.
pub(super) struct Server {
    pub(super) now: Instant,
    pub(super) handshakes: Handshakes,
    outcomes: mpsc::Receiver<Outcome>,
    sent: Arc<Sent>,
    tools: Tools,
    is_handshaking: bool,
    pub(super) session: Option<Session>,
    /// What became of the last datagram of the session.
    pub(super) after: Option<After>,
    /// The messages of the device.
    pub(super) taken: Vec<Vec<u8>>,
    pub(super) refused: Vec<Refusal>,
    /// Every datagram that was sent.
    pub(super) wire: Vec<Vec<u8>>,
}

impl Server {
    /// With these settings, every suite of [`SUITES`] and connection ids of six bytes.
    pub(super) fn new(change: impl FnOnce(&mut Coaps)) -> Self {
        let mut settings = Settings::defaults().coaps;
        settings.cipher_suites = SUITES.map(|suite| suite.registered.to_owned()).into();
        change(&mut settings);
        let now = Instant::now();
        let keyring = Keyring::default();
        let device = EndpointName::new("device").expect("a name");
        let public = KEY_PAIR.public_key_to_der().expect("DER");
        for (id, proof) in [
            Proof::Psk {
                identity: "device".to_owned(),
                key: Zeroizing::new(KEY.to_vec()),
            },
            Proof::Rpk { public_key: public },
        ]
        .into_iter()
        .enumerate()
        {
            keyring.add(Credential {
                id: CredentialId(i64::try_from(id).expect("small")),
                endpoint: device.clone(),
                proof,
            });
        }
        let trust = Trust {
            authorities: super::authorities(&CERTIFICATES).expect("OpenSSL works"),
            keyring,
            decoy: Zeroizing::new([9; 32]),
        };
        let contexts = Contexts::new(&settings, &CERTIFICATES, &trust, &[7; TICKET_KEYS]);
        let (tell, outcomes) = mpsc::channel(64);
        let sent = Arc::<Sent>::default();
        let handshakes = Handshakes::new(
            Box::new(Arc::clone(&sent)),
            Arc::new(ArcSwap::from_pointee(contexts.expect("OpenSSL works"))),
            Arc::new(ArcSwap::from_pointee(trust)),
            LIMITS,
            Counters::default(),
            tell,
            now,
        );
        Self {
            now,
            handshakes: handshakes.expect("OpenSSL works"),
            outcomes,
            sent,
            tools: Tools::default(),
            is_handshaking: false,
            session: None,
            after: None,
            taken: Vec::new(),
            refused: Vec::new(),
            wire: Vec::new(),
        }
    }

    /// A datagram of the device; what goes back.
    pub(super) fn datagram(&mut self, datagram: &[u8]) -> Vec<Vec<u8>> {
        let is_new = match First::of(datagram) {
            First::Hello(_) => true,
            First::Plain => self.is_handshaking,
            _ => false,
        };
        let session = self.session.as_mut().filter(|_| !is_new);
        if let Some(session) = session {
            let (taken, mut answers) = (&mut self.taken, Vec::new());
            self.after = Some(session.open(
                self.now,
                Some(datagram),
                &mut self.tools,
                &mut |message| taken.push(message.to_vec()),
                &mut |answer| answers.push(answer),
            ));
            self.wire.extend(answers.iter().cloned());
            if !self.is_handshaking || self.after != Some(After::Unheard) {
                return answers;
            }
        }
        self.handshakes
            .datagram(self.now, ADDRESS, datagram.to_vec());
        self.look()
    }

    /// Time passes.
    pub(super) fn timeouts(&mut self, passed: Duration) -> Vec<Vec<u8>> {
        self.now += passed;
        self.handshakes.timeouts(self.now);
        self.look()
    }

    /// A message for the device.
    pub(super) fn send(&mut self, message: &[u8]) -> Vec<u8> {
        let session = self.session.as_mut().expect("a session");
        let sealed = session
            .carrier
            .seal(&mut self.tools, message)
            .expect("numbers");
        self.wire.push(sealed.clone());
        sealed
    }

    fn look(&mut self) -> Vec<Vec<u8>> {
        while let Ok(outcome) = self.outcomes.try_recv() {
            match outcome {
                Outcome::Established(established) => {
                    self.is_handshaking = false;
                    let mut carrier = established.carrier;
                    carrier.begin(1_000);
                    let mut session = Session::new(
                        SessionId(1),
                        ADDRESS,
                        Arc::new(established.identity),
                        &established.client_random,
                        carrier,
                        self.now,
                    );
                    let taken = &mut self.taken;
                    let mut take = |message: &[u8]| taken.push(message.to_vec());
                    session.carrier.take_in(
                        &established.contents,
                        &mut self.tools,
                        &mut take,
                        &mut |_| {},
                    );
                    // What OpenSSL has read already.
                    session.open(self.now, None, &mut self.tools, &mut take, &mut |_| {});
                    self.session = Some(session);
                }
                Outcome::Refused { refusal, .. } => {
                    self.is_handshaking = false;
                    self.refused.push(refusal);
                }
                Outcome::Begun(_) => self.is_handshaking = true,
                Outcome::Returned(..) | Outcome::Kept(_) => {}
            }
        }
        let sent = std::mem::take(&mut *self.sent.lock());
        let sent: Vec<_> = sent.into_iter().map(|(_, datagram)| datagram).collect();
        self.wire.extend(sent.iter().cloned());
        sent
    }
}

/// A device: OpenSSL, and connection ids if it wants them.
pub(super) struct Device {
    pub(super) stream: SslStream<Pipe>,
    suite: Suite,
    /// What it wants in what it gets, which may be empty.
    own: Option<Cid>,
    /// What the server wants.
    servers: Arc<Mutex<Option<Cid>>>,
    ciphers: Ciphers,
    layer: Option<RecordLayer>,
    /// The messages of the server.
    pub(super) taken: Vec<Vec<u8>>,
    /// How the session has ended.
    pub(super) end: Option<ErrorCode>,
}

impl Device {
    pub(super) fn new(suite: Suite, own: Option<Cid>) -> Self {
        Self::with_key(suite, own, KEY)
    }

    /// With this pre-shared key.
    pub(super) fn with_key(suite: Suite, own: Option<Cid>, key: &'static [u8]) -> Self {
        let servers = Arc::<Mutex<Option<Cid>>>::default();
        let context = context(suite, own, Arc::clone(&servers), key);
        let ssl = Ssl::new(&context).expect("a connection");
        Self::of(ssl, suite, own, servers)
    }

    /// The same device, which offers its session again.
    pub(super) fn again(mut self) -> Self {
        // Otherwise OpenSSL does not let it be taken up again.
        let both = ShutdownState::SENT | ShutdownState::RECEIVED;
        self.stream.set_shutdown(both);
        let ssl = Resumable::of(self.stream.ssl()).expect("a session");
        let ssl = ssl.connection().expect("a connection");
        *self.servers.lock().unwrap_or_else(PoisonError::into_inner) = None;
        Self::of(ssl, self.suite, self.own, Arc::clone(&self.servers))
    }

    fn of(mut ssl: Ssl, suite: Suite, own: Option<Cid>, servers: Arc<Mutex<Option<Cid>>>) -> Self {
        ssl.set_mtu(1_200).expect("enough");
        ssl.set_connect_state();
        let mut stream = SslStream::new(ssl, Pipe::default()).expect("a stream");
        // No flight is repeated by itself, however slow the machine is.
        ffi::set_wait(LONG);
        ffi::wait_as_told(&mut stream);
        Self {
            stream,
            suite,
            own,
            servers,
            ciphers: Ciphers::default(),
            layer: None,
            taken: Vec::new(),
            end: None,
        }
    }

    pub(super) fn is_connected(&self) -> bool {
        self.stream.ssl().is_init_finished()
    }

    /// Goes on; what it has to say.
    pub(super) fn advance(&mut self) -> Vec<Vec<u8>> {
        if !self.is_connected()
            && let Err(error) = self.stream.do_handshake()
        {
            assert_eq!(error.code(), ErrorCode::WANT_READ, "{:?}", self.suite);
        }
        if self.is_connected() {
            let mut room = vec![0; 1 << 14];
            loop {
                match self.stream.ssl_read(&mut room) {
                    Ok(length) => self.taken.push(room[..length].to_vec()),
                    Err(error) if error.code() == ErrorCode::WANT_READ => break,
                    Err(error) => {
                        self.end = Some(error.code());
                        break;
                    }
                }
            }
        }
        self.flush()
    }

    /// A datagram of the server; what it answers.
    pub(super) fn datagram(&mut self, datagram: &[u8]) -> Vec<Vec<u8>> {
        let own = self.own.unwrap_or_default();
        let records = Records::with_cid(datagram, own.as_bytes().len());
        // What is read of it first may say what the rest of it is named by.
        let (plain, protected) = split_early(records, 0);
        self.stream.get_mut().push(plain.to_vec());
        let mut answers = self.advance();
        if !protected.is_empty() {
            let protected = self.translated(protected);
            self.stream.get_mut().push(protected);
            answers.extend(self.advance());
        }
        answers
    }

    /// A message for the server.
    pub(super) fn send(&mut self, message: &[u8]) -> Vec<u8> {
        self.stream.ssl_write(message).expect("a session");
        let [datagram] = self.flush().try_into().expect("one datagram");
        datagram
    }

    /// The flights that it sends from now on may be asked for by [`Self::repeats`].
    pub(super) fn becomes_impatient() {
        ffi::set_wait(SHORT);
    }

    /// Its flight once more, when it is time: OpenSSL's clock is that of the system.
    pub(super) fn repeats(&mut self) -> Vec<Vec<u8>> {
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            assert!(Instant::now() < end, "it waits for nothing");
            let left = ffi::timeout(self.stream.ssl()).expect("a flight that waits");
            std::thread::sleep(left);
            if ffi::handle_timeout(&mut self.stream).expect("not too often") {
                return self.flush();
            }
        }
    }

    /// A record of this number under its keys, of any type.
    pub(super) fn record(&mut self, number: u64, kind: u8, text: &[u8]) -> Vec<u8> {
        self.keys();
        let layer = self.layer.as_mut().expect("keys");
        layer.numbers.next = number;
        layer.numbers.end = u64::MAX;
        layer
            .seal(&mut self.ciphers, kind, text)
            .expect("a short text")
    }

    /// What is in a record of the server: its type and text.
    pub(super) fn read(&mut self, record: &[u8]) -> (u8, Vec<u8>) {
        self.keys();
        let layer = self.layer.as_mut().expect("keys");
        let mut text = Vec::new();
        let mut records = Records::with_cid(record, layer.own.as_bytes().len());
        let record = records.next().expect("a record");
        assert!(records.rest().is_empty(), "one record");
        let opened = layer.open(&mut self.ciphers, record, &mut text);
        (opened.expect("a genuine record").kind, text)
    }

    /// What both sides want, once they have said it: the server's, the device's.
    pub(super) fn cids(&self) -> Option<(Cid, Cid)> {
        let servers = *self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        Some((servers?, self.own?))
    }

    fn flush(&mut self) -> Vec<Vec<u8>> {
        let mut flight = Vec::new();
        while let Some(datagram) = self.stream.get_mut().pop() {
            flight.push(self.named(&datagram));
        }
        flight
    }

    fn keys(&mut self) {
        if let (None, Some(aead)) = (&self.layer, self.suite.aead) {
            let (own, peer) = self.cids().unwrap_or_default();
            let layer = RecordLayer::of(self.stream.ssl(), aead, peer, own);
            self.layer = layer.ok();
        }
    }

    fn named(&mut self, datagram: &[u8]) -> Vec<u8> {
        if self.cids().is_none() {
            return datagram.to_vec();
        }
        let mut out = Vec::new();
        let mut text = Vec::new();
        for record in Records::of(datagram) {
            let number = record.sequence();
            if record.epoch() < EPOCH {
                out.extend(record.numbered(number));
                continue;
            }
            self.keys();
            let layer = self.layer.as_ref().expect("keys");
            let kind = layer.open_own(&mut self.ciphers, record, &mut text);
            out.extend(self.record(number, kind.expect("OpenSSL's own"), &text));
        }
        out
    }

    fn translated(&mut self, datagram: &[u8]) -> Vec<u8> {
        let Some((_, own)) = self.cids() else {
            return datagram.to_vec();
        };
        let mut out = Vec::new();
        let mut text = Vec::new();
        for record in Records::with_cid(datagram, own.as_bytes().len()) {
            let number = record.sequence();
            let is_named = record.kind() == CID;
            if record.epoch() < EPOCH {
                out.extend(record.numbered(number));
                continue;
            }
            assert_eq!(is_named, !own.is_empty(), "as it was agreed");
            self.keys();
            let layer = self.layer.as_mut().expect("keys");
            if !is_named {
                out.extend(record.numbered(number));
            } else if let Some(opened) = layer.open(&mut self.ciphers, record, &mut text) {
                let plain = layer.without_cid(&mut self.ciphers, opened.kind, number, &text);
                out.extend(plain.expect("OpenSSL works"));
            }
        }
        out
    }
}

/// Carries what both have to say until nobody says anything more; `passes` is asked of each datagram, and
/// whether it is the server's. The device begins with this.
pub(super) fn carry(
    device: &mut Device,
    server: &mut Server,
    begin: Vec<Vec<u8>>,
    mut passes: impl FnMut(bool, &[u8]) -> bool,
) {
    let mut waiting: VecDeque<(bool, Vec<u8>)> =
        begin.into_iter().map(|one| (false, one)).collect();
    while let Some((is_servers, datagram)) = waiting.pop_front() {
        if !passes(is_servers, &datagram) {
            continue;
        }
        let answers = if is_servers {
            device.datagram(&datagram)
        } else {
            server.datagram(&datagram)
        };
        waiting.extend(answers.into_iter().map(|answer| (!is_servers, answer)));
    }
}

/// A handshake without losses.
pub(super) fn shake(device: &mut Device, server: &mut Server) {
    let begin = device.advance();
    carry(device, server, begin, |_, _| true);
    let state = device.stream.ssl().state_string_long();
    assert!(
        device.is_connected() && server.session.is_some(),
        "{:?}: {state}, {:?}, {:02x?}",
        device.suite,
        server.refused,
        server.wire
    );
}

/// A cipher suite.
#[derive(Clone, Copy, Debug)]
pub(super) struct Suite {
    pub(super) registered: &'static str,
    /// OpenSSL's name.
    pub(super) name: &'static str,
    /// None: it stays with OpenSSL.
    pub(super) aead: Option<Aead>,
}

const fn suite(registered: &'static str, name: &'static str, aead: Option<Aead>) -> Suite {
    Suite {
        registered,
        name,
        aead,
    }
}

/// Those that the server can be set to offer, with one for each cipher first.
pub(super) const SUITES: [Suite; 14] = [
    suite(
        "TLS_PSK_WITH_AES_128_CCM",
        "PSK-AES128-CCM",
        Some(Aead::Aes128Ccm),
    ),
    suite(
        "TLS_PSK_WITH_AES_128_CCM_8",
        "PSK-AES128-CCM8",
        Some(Aead::Aes128Ccm8),
    ),
    suite(
        "TLS_PSK_WITH_AES_128_GCM_SHA256",
        "PSK-AES128-GCM-SHA256",
        Some(Aead::Aes128Gcm),
    ),
    suite(
        "TLS_PSK_WITH_AES_256_CCM_8",
        "PSK-AES256-CCM8",
        Some(Aead::Aes256Ccm8),
    ),
    suite(
        "TLS_PSK_WITH_AES_256_GCM_SHA384",
        "PSK-AES256-GCM-SHA384",
        Some(Aead::Aes256Gcm),
    ),
    suite(
        "TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256",
        "ECDHE-PSK-CHACHA20-POLY1305",
        Some(Aead::ChaCha20Poly1305),
    ),
    suite(
        "TLS_ECDHE_ECDSA_WITH_AES_128_CCM",
        "ECDHE-ECDSA-AES128-CCM",
        Some(Aead::Aes128Ccm),
    ),
    suite(
        "TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8",
        "ECDHE-ECDSA-AES128-CCM8",
        Some(Aead::Aes128Ccm8),
    ),
    suite(
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        Some(Aead::Aes128Gcm),
    ),
    suite(
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        Some(Aead::Aes256Gcm),
    ),
    suite(
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        "ECDHE-ECDSA-CHACHA20-POLY1305",
        Some(Aead::ChaCha20Poly1305),
    ),
    suite(
        "TLS_PSK_WITH_AES_128_CBC_SHA256",
        "PSK-AES128-CBC-SHA256",
        None,
    ),
    suite(
        "TLS_ECDHE_PSK_WITH_AES_128_CBC_SHA256",
        "ECDHE-PSK-AES128-CBC-SHA256",
        None,
    ),
    suite(
        "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256",
        "ECDHE-ECDSA-AES128-SHA256",
        None,
    ),
];

fn context(
    suite: Suite,
    own: Option<Cid>,
    servers: Arc<Mutex<Option<Cid>>>,
    key: &'static [u8],
) -> SslContext {
    let mut context = SslContext::builder(SslMethod::dtls_client()).expect("a context");
    context
        .set_min_proto_version(Some(SslVersion::DTLS1_2))
        .expect("a version");
    context
        .set_cipher_list(&format!("{}:@SECLEVEL=0", suite.name))
        .expect("a suite");
    context.set_options(SslOptions::NO_QUERY_MTU);
    context.set_session_cache_mode(SslSessionCacheMode::CLIENT);
    context.set_psk_client_callback(move |_, _, identity, room| {
        identity[..7].copy_from_slice(b"device\0");
        room[..key.len()].copy_from_slice(key);
        Ok(key.len())
    });
    context.set_private_key(&KEY_PAIR).expect("a key");
    ffi::set_certificate_types(&mut context, &[CertificateType::RawPublicKey]).expect("memory");
    context.set_verify_callback(SslVerifyMode::PEER, |_, _| true);
    if let Some(own) = own {
        context
            .add_custom_ext(
                cid::EXTENSION,
                ExtensionContext::CLIENT_HELLO | ExtensionContext::TLS1_2_SERVER_HELLO,
                move |_, _, _| Ok(Some(cid::encoded(own))),
                move |_, _, text, _| {
                    let told = cid::decoded(text)?;
                    *servers.lock().unwrap_or_else(PoisonError::into_inner) = told;
                    Ok(())
                },
            )
            .expect("an extension");
    }
    context.build()
}

/// The same in every run.
pub(super) fn noise(seed: u64) -> impl FnMut() -> u64 {
    let mut state = seed | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state >> 8
    }
}

/// What servers of tests prove themselves with.
pub(super) fn certificates() -> Arc<ServerCertificates> {
    Arc::clone(&CERTIFICATES)
}

static CERTIFICATES: LazyLock<Arc<ServerCertificates>> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a folder");
    Arc::new(made_in(folder.path()))
});
static KEY_PAIR: LazyLock<PKey<Private>> = LazyLock::new(|| {
    let curve = openssl::ec::EcGroup::from_curve_name(openssl::nid::Nid::X9_62_PRIME256V1);
    let key = openssl::ec::EcKey::generate(&curve.expect("P-256")).expect("a key");
    PKey::from_ec_key(key).expect("a key")
});
/// How long a device waits for an answer; less than 15 ms OpenSSL takes for nothing.
const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(20);
const KEY: &[u8] = b"0123456789abcdef";
/// Where the device is.
const ADDRESS: SocketAddr = SocketAddr::new(
    std::net::IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7)),
    5684,
);

/// Of a thread that shakes hands.
pub(super) const LIMITS: HandshakeLimits = HandshakeLimits {
    max_handshakes: 3,
    kept_bytes: 60_000,
    timeout: Duration::from_secs(60),
    first_retransmission: Duration::from_secs(1),
    mtu: 1_200,
    amplification: 3,
};
