//! The DTLS session of a scripted device: OpenSSL on a UDP socket, one step at a time. It is built on
//! the `openssl` crate directly, so that the server is not tested with its own code.
//!
//! The datagrams themselves can be had as well: to be sent again, spoilt or counted.

#![allow(
    dead_code,
    reason = "which part of the harness is used depends on the tests that are compiled in"
)]

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use openssl::ec::EcKey;
use openssl::pkey::{PKey, Private};
use openssl::ssl::{
    Error, ErrorCode, ShutdownState, Ssl, SslContext, SslContextBuilder, SslMethod, SslOptions,
    SslSession, SslSessionCacheMode, SslStream, SslVerifyMode, SslVersion,
};
use openssl::x509::X509;

use super::cid::{Offer, Shim};
use super::wire::Wire;

/// How long a handshake may take. OpenSSL repeats its flights meanwhile.
const DEADLINE: Duration = Duration::from_secs(15);
/// How often OpenSSL is asked whether a flight is due.
const TICK: Duration = Duration::from_millis(50);
/// Larger than any record.
const DATAGRAM: usize = 65_536;

/// What a device proves itself with.
#[derive(Clone)]
pub(crate) struct Credentials {
    proof: Proof,
    /// Certificates behind its own.
    chain: Vec<X509>,
    /// OpenSSL's names.
    suites: String,
    mtu: u32,
    /// What its hello says of connection ids.
    connection_id: Option<Offer>,
}

#[derive(Clone)]
enum Proof {
    /// A certificate suite, but no certificate.
    Nothing,
    Psk {
        identity: String,
        key: Vec<u8>,
    },
    RawPublicKey {
        key: PKey<Private>,
        /// `SubjectPublicKeyInfo` of the server; none: any.
        server: Option<Vec<u8>>,
    },
    X509 {
        certificate: X509,
        key: PKey<Private>,
        /// Whom the server's certificate must be of; none: anybody.
        authority: Option<X509>,
    },
}

impl Credentials {
    /// A pre-shared key, with `TLS_PSK_WITH_AES_128_CCM_8`.
    pub(crate) fn psk(identity: &str, key: &[u8]) -> Self {
        let (identity, key) = (identity.to_owned(), key.to_vec());
        Self::new(Proof::Psk { identity, key }, "PSK-AES128-CCM8")
    }

    /// A certificate and its key, and the authority that the server must be of. All PEM.
    pub(crate) fn x509(certificate: &[u8], key: &[u8], authority: Option<&[u8]>) -> Self {
        let parse = |pem| X509::from_pem(pem).expect("a certificate in PEM");
        let proof = Proof::X509 {
            certificate: parse(certificate),
            key: PKey::private_key_from_pem(key).expect("a private key in PEM"),
            authority: authority.map(parse),
        };
        Self::new(proof, ECDSA)
    }

    /// A certificate without its key, as somebody has who found it: every signature is wrong.
    pub(crate) fn stolen_certificate(certificate: &[u8], authority: Option<&[u8]>) -> Self {
        let certificate = X509::from_pem(certificate).expect("a certificate in PEM");
        let public = certificate.public_key().expect("a key");
        let public = public.ec_key().expect("an EC key");
        // OpenSSL compares the public halves only.
        let guessed = EcKey::generate(public.group()).expect("a key");
        let key = EcKey::from_private_components(
            public.group(),
            guessed.private_key(),
            public.public_key(),
        );
        let proof = Proof::X509 {
            certificate,
            key: PKey::from_ec_key(key.expect("a key")).expect("a key"),
            authority: authority.map(|pem| X509::from_pem(pem).expect("a certificate in PEM")),
        };
        Self::new(proof, ECDSA)
    }

    /// A raw public key by its private one (PEM), and that of the server (DER); none: any.
    pub(crate) fn raw_public_key(key: &[u8], server: Option<Vec<u8>>) -> Self {
        let key = PKey::private_key_from_pem(key).expect("a private key in PEM");
        Self::new(Proof::RawPublicKey { key, server }, ECDSA)
    }

    /// Nothing at all, in a handshake with certificates.
    pub(crate) fn nothing() -> Self {
        Self::new(Proof::Nothing, ECDSA)
    }

    /// Other cipher suites, by OpenSSL's names.
    pub(crate) fn with_suites(self, suites: &str) -> Self {
        let suites = suites.to_owned();
        Self { suites, ..self }
    }

    /// Further certificates that are sent behind its own.
    pub(crate) fn with_chain(self, chain: Vec<X509>) -> Self {
        Self { chain, ..self }
    }

    /// Another size of the datagrams of a handshake.
    pub(crate) fn with_mtu(self, mtu: u32) -> Self {
        Self { mtu, ..self }
    }

    /// Offers connection ids, and wants this one, which may be empty, in what it gets.
    pub(crate) fn with_connection_id(self, id: &[u8]) -> Self {
        let connection_id = Some(Offer::of(id));
        Self {
            connection_id,
            ..self
        }
    }

    /// The same by these bytes in the extension, whatever they mean.
    pub(crate) fn with_connection_id_extension(self, extension: &[u8]) -> Self {
        let connection_id = Some(Offer::raw(extension));
        Self {
            connection_id,
            ..self
        }
    }

    fn new(proof: Proof, suites: &str) -> Self {
        let suites = suites.to_owned();
        Self {
            proof,
            chain: Vec::new(),
            suites,
            mtu: 1_200,
            connection_id: None,
        }
    }

    fn context(&self, method: SslMethod, shim: &Shim) -> SslContext {
        let mut context = SslContextBuilder::new(method).expect("a context");
        if let Some(offer) = &self.connection_id {
            shim.set_up(&mut context, offer);
        }
        context
            .set_min_proto_version(Some(SslVersion::DTLS1_2))
            .expect("a version");
        context
            .set_cipher_list(&format!("{}:@SECLEVEL=0", self.suites))
            .expect("suites that OpenSSL knows");
        context.set_options(SslOptions::NO_QUERY_MTU);
        context.set_session_cache_mode(SslSessionCacheMode::CLIENT);
        context.set_verify(SslVerifyMode::NONE);
        match self.proof.clone() {
            Proof::Nothing => {}
            Proof::Psk { identity, key } => {
                let as_server = key.clone();
                let expected = identity.clone();
                context.set_psk_client_callback(move |_, _, name, room| {
                    name[..identity.len()].copy_from_slice(identity.as_bytes());
                    name[identity.len()] = 0;
                    room[..key.len()].copy_from_slice(&key);
                    Ok(key.len())
                });
                context.set_psk_server_callback(move |_, identity, room| {
                    if identity != Some(expected.as_bytes()) {
                        return Ok(0);
                    }
                    room[..as_server.len()].copy_from_slice(&as_server);
                    Ok(as_server.len())
                });
            }
            Proof::RawPublicKey { key, server } => {
                context.set_private_key(&key).expect("a key");
                unbound::use_raw_public_keys(&mut context);
                context.set_verify_callback(SslVerifyMode::PEER, move |_, store| {
                    let shown = unbound::raw_public_key(store);
                    shown.is_some() && (server.is_none() || shown == server)
                });
            }
            Proof::X509 {
                certificate,
                key,
                authority,
            } => {
                context
                    .set_certificate(&certificate)
                    .expect("a certificate");
                context.set_private_key(&key).expect("its key");
                for next in self.chain.clone() {
                    context.add_extra_chain_cert(next).expect("a certificate");
                }
                if let Some(authority) = authority {
                    let store = context.cert_store_mut();
                    store.add_cert(authority).expect("a certificate");
                    // As a client it is not asked for one.
                    let both = SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT;
                    context.set_verify(both);
                }
            }
        }
        context.build()
    }
}

/// A socket with at most one session on it.
pub(crate) struct Secure {
    wire: Wire,
    credentials: Credentials,
    /// Sessions belong to it.
    client: SslContext,
    stream: Option<SslStream<Wire>>,
    /// To be taken up again.
    session: Option<SslSession>,
    /// How the session has ended.
    end: Option<String>,
}

impl Secure {
    /// Nothing is sent.
    pub(crate) fn new(socket: UdpSocket, server: SocketAddr, credentials: Credentials) -> Self {
        let shim = Shim::default();
        Self {
            client: credentials.context(SslMethod::dtls_client(), &shim),
            wire: Wire::new(socket, server, shim),
            credentials,
            stream: None,
            session: None,
            end: None,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        let state = self.wire.state();
        state.socket.local_addr().expect("a bound socket")
    }

    /// Its socket, for another session or for none.
    pub(crate) fn socket(&self) -> UdpSocket {
        let socket = self.wire.state().socket.try_clone();
        socket.expect("the same socket")
    }

    /// What is said of connection ids, and records by hand.
    pub(crate) fn connection_ids(&self) -> &Shim {
        &self.wire.shim
    }

    /// Another socket under the same session.
    pub(crate) fn move_to(&self, socket: UdpSocket) {
        self.wire.state().socket = socket;
    }

    /// The other side is wherever it was heard last.
    pub(crate) fn follow(&self) {
        self.wire.state().follows = true;
    }

    /// A handshake from nothing, in place of any session.
    ///
    /// # Errors
    /// The alert of the server: `alert 115 (…)`; or that there was no answer.
    pub(crate) fn handshake(&mut self) -> Result<(), String> {
        let ssl = Ssl::new(&self.client).expect("a connection");
        self.run(ssl, SslStream::connect)
    }

    /// A handshake that offers the last session. Whether the server took it up again.
    pub(crate) fn resume(&mut self) -> Result<bool, String> {
        let session = self.session.clone().expect("an earlier session");
        self.forget();
        let mut ssl = Ssl::new(&self.client).expect("a connection");
        unbound::offer(&mut ssl, &session);
        self.run(ssl, SslStream::connect)?;
        Ok(self.stream().ssl().session_reused())
    }

    /// Answers a handshake that the server begins, in DTLS's role of a server.
    pub(crate) fn accept(&mut self) -> Result<(), String> {
        let context = self
            .credentials
            .context(SslMethod::dtls_server(), &Shim::default());
        let ssl = Ssl::new(&context).expect("a connection");
        self.run(ssl, SslStream::accept)
    }

    fn run(
        &mut self,
        mut ssl: Ssl,
        step: fn(&mut SslStream<Wire>) -> Result<(), Error>,
    ) -> Result<(), String> {
        self.forget();
        self.end = None;
        self.wire.shim.forget();
        ssl.set_mtu(self.credentials.mtu).expect("enough");
        let mut stream = SslStream::new(ssl, self.wire.clone()).expect("a stream");
        let end = Instant::now() + DEADLINE;
        self.wire.wait_at_most(TICK);
        loop {
            match step(&mut stream) {
                Ok(()) => break,
                Err(error) if error.code() == ErrorCode::WANT_READ => {
                    if Instant::now() >= end {
                        return Err(format!("no answer within {DEADLINE:?}"));
                    }
                }
                Err(error) => return Err(named(&error)),
            }
        }
        self.session = stream.ssl().session().map(ToOwned::to_owned);
        self.stream = Some(stream);
        Ok(())
    }

    /// Whether there is a session.
    pub(crate) fn is_connected(&self) -> bool {
        self.stream.is_some()
    }

    /// How the server ended the session: `close_notify`, or an alert.
    pub(crate) fn end(&self) -> Option<&str> {
        self.end.as_deref()
    }

    /// Drops the session without a word, as a device does that loses its power.
    pub(crate) fn forget(&mut self) {
        if let Some(mut stream) = self.stream.take() {
            // Otherwise OpenSSL does not let it be taken up again.
            stream.set_shutdown(ShutdownState::SENT | ShutdownState::RECEIVED);
        }
    }

    /// Ends the session by a `close_notify`.
    pub(crate) fn close(&mut self) {
        let _ = self.stream().shutdown();
        self.forget();
    }

    /// Sends data; begins with a handshake where there is no session.
    #[track_caller]
    pub(crate) fn send(&mut self, data: &[u8]) {
        if self.stream.is_none() {
            self.handshake().expect("a handshake");
        }
        let sent = self.stream().ssl_write(data).expect("a session");
        assert_eq!(sent, data.len(), "datagram was cut");
    }

    /// The record of this data, which is not sent.
    pub(crate) fn protect(&mut self, data: &[u8]) -> Vec<u8> {
        self.wire.state().held = Some(Vec::new());
        self.stream().ssl_write(data).expect("a session");
        let held = self.wire.state().held.take().expect("held until now");
        let [record] = held.try_into().expect("one record");
        record
    }

    /// The next data that comes within this time. None as well when the session ends.
    pub(crate) fn receive(&mut self, within: Duration) -> Option<Vec<u8>> {
        let end = Instant::now() + within;
        let mut buffer = vec![0; DATAGRAM];
        loop {
            let left = end.checked_duration_since(Instant::now())?;
            self.wire.wait_at_most(left.max(Duration::from_millis(1)));
            let stream = self.stream.as_mut()?;
            match stream.ssl_read(&mut buffer) {
                Ok(length) => {
                    buffer.truncate(length);
                    return Some(buffer);
                }
                Err(error) if error.code() == ErrorCode::WANT_READ => {}
                Err(error) => {
                    self.end = Some(match error.code() {
                        ErrorCode::ZERO_RETURN => "close_notify".to_owned(),
                        _ => named(&error),
                    });
                    self.stream = None;
                    return None;
                }
            }
        }
    }

    /// Sends these bytes as they are.
    pub(crate) fn send_datagram(&self, datagram: &[u8]) {
        let state = self.wire.state();
        state
            .socket
            .send_to(datagram, state.server)
            .expect("loopback takes it");
    }

    /// The next datagram of the server as it is; OpenSSL does not see it.
    pub(crate) fn receive_datagram(&self, within: Duration) -> Option<Vec<u8>> {
        self.wire.wait_at_most(within);
        self.wire.receive().ok()
    }

    /// Every datagram that OpenSSL has sent so far.
    pub(crate) fn sent(&self) -> Vec<Vec<u8>> {
        self.wire.state().sent.clone()
    }

    /// Every datagram of the server so far.
    pub(crate) fn received(&self) -> Vec<Vec<u8>> {
        self.wire.state().received.clone()
    }

    /// The cipher suite of the session.
    pub(crate) fn cipher(&mut self) -> &'static str {
        let cipher = self.stream().ssl().current_cipher();
        cipher.expect("a cipher suite").name()
    }

    /// The certificate that the server has shown, if any.
    pub(crate) fn servers_certificate(&mut self) -> Option<X509> {
        self.stream().ssl().peer_certificate()
    }

    #[track_caller]
    fn stream(&mut self) -> &mut SslStream<Wire> {
        self.stream.as_mut().expect("a session")
    }
}

/// What OpenSSL says of a failure; `alert NUMBER (…)` where the server says it.
fn named(error: &Error) -> String {
    let errors = error.ssl_error().map(|stack| stack.errors());
    for error in errors.unwrap_or_default() {
        let reason = error.reason().unwrap_or_default();
        // SSL_AD_REASON_OFFSET
        if let 1_000..=1_255 = error.reason_code() {
            return format!("alert {} ({reason})", error.reason_code() - 1_000);
        }
    }
    error.to_string()
}

const ECDSA: &str = "ECDHE-ECDSA-AES128-CCM8";

/// What the `openssl` crate lacks (RFC 7250), or gives as unsafe only.
#[expect(unsafe_code, reason = "the crate does not bind these calls")]
mod unbound {
    use foreign_types_shared::ForeignTypeRef as _;
    use openssl::pkey::{PKeyRef, Public};
    use openssl::ssl::{Ssl, SslContextBuilder, SslSession};
    use openssl::x509::X509StoreContextRef;
    use openssl_sys::{EVP_PKEY, SSL_CTX, X509_STORE_CTX};

    /// Offers and takes raw public keys only.
    pub(super) fn use_raw_public_keys(context: &mut SslContextBuilder) {
        // IANA "TLS Certificate Types"
        let types = [2];
        // SAFETY: a live SSL_CTX, and an array with its length that is copied.
        let results = unsafe {
            [
                SSL_CTX_set1_server_cert_type(context.as_ptr(), types.as_ptr(), types.len()),
                SSL_CTX_set1_client_cert_type(context.as_ptr(), types.as_ptr(), types.len()),
            ]
        };
        assert_eq!(results, [1, 1]);
    }

    /// The key that is being verified, as `SubjectPublicKeyInfo`.
    pub(super) fn raw_public_key(store: &X509StoreContextRef) -> Option<Vec<u8>> {
        // SAFETY: a live X509_STORE_CTX, which owns the key; it is read before this returns.
        unsafe {
            let key = X509_STORE_CTX_get0_rpk(store.as_ptr());
            if key.is_null() {
                return None;
            }
            PKeyRef::<Public>::from_ptr(key).public_key_to_der().ok()
        }
    }

    /// Offers a session of the same context.
    pub(super) fn offer(ssl: &mut Ssl, session: &SslSession) {
        // SAFETY: the only caller has one context, which the session is of.
        unsafe { ssl.set_session(session).expect("a session") }
    }

    unsafe extern "C" {
        fn SSL_CTX_set1_client_cert_type(
            context: *mut SSL_CTX,
            types: *const u8,
            length: usize,
        ) -> i32;
        fn SSL_CTX_set1_server_cert_type(
            context: *mut SSL_CTX,
            types: *const u8,
            length: usize,
        ) -> i32;
        fn X509_STORE_CTX_get0_rpk(store: *const X509_STORE_CTX) -> *mut EVP_PKEY;
    }
}

mod tests {
    use std::net::{Ipv4Addr, UdpSocket};
    use std::thread;
    use std::time::Duration;

    use openssl::pkey::PKey;

    use super::{Credentials, Secure};
    use crate::support::certificates::Holder;

    /// One of them begins, the other answers.
    fn pair(begins: &Credentials, answers: &Credentials) -> (Secure, Secure) {
        let socket = || UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let (one, other) = (socket(), socket());
        let [at, there] = [&one, &other].map(|socket| socket.local_addr().expect("bound"));
        (
            Secure::new(one, there, begins.clone()),
            Secure::new(other, at, answers.clone()),
        )
    }

    #[test]
    fn two_scripted_devices_understand_each_other() {
        let credentials = Credentials::psk("device", b"0123456789abcdef");
        let (mut one, mut other) = pair(&credentials, &credentials);
        let answering = thread::spawn(move || {
            other.accept().expect("a handshake");
            let up = other.receive(Duration::from_secs(15)).expect("data");
            other.send(&up);
            other.close();
        });
        one.handshake().expect("a handshake");
        assert_eq!(one.cipher(), "PSK-AES128-CCM8");
        one.send(b"over and back");
        let back = one.receive(Duration::from_secs(15)).expect("data");
        assert_eq!(back, b"over and back");
        assert_eq!(one.receive(Duration::from_secs(15)), None);
        assert_eq!(one.end(), Some("close_notify"));
        answering.join().expect("the other's part");
    }

    #[test]
    fn certificates_are_checked_and_a_stolen_one_is_worth_nothing() {
        let authority = Holder::authority("authority");
        let (server, device) = (authority.sign("server"), authority.sign("device"));
        let ca = authority.certificate();
        let answers = Credentials::x509(&server.certificate(), &server.key(), Some(&ca));
        for (begins, is_right) in [
            (
                Credentials::x509(&device.certificate(), &device.key(), Some(&ca)),
                true,
            ),
            (
                Credentials::stolen_certificate(&device.certificate(), Some(&ca)),
                false,
            ),
            (Credentials::nothing(), false),
        ] {
            let (mut one, mut other) = pair(&begins, &answers);
            let answering = thread::spawn(move || other.accept());
            assert_eq!(one.handshake().is_ok(), is_right);
            let answered = answering.join().expect("the other's part");
            assert_eq!(answered.is_ok(), is_right, "{answered:?}");
        }
    }

    #[test]
    fn raw_public_keys_are_compared() {
        let [key, other] = ["one", "other"].map(|name| Holder::authority(name).key());
        let public = PKey::private_key_from_pem(&other).expect("a key");
        let public = public.public_key_to_der().expect("DER");
        let answers = Credentials::raw_public_key(&other, None);
        for (expected, is_right) in [(public, true), (b"another".to_vec(), false)] {
            let begins = Credentials::raw_public_key(&key, Some(expected));
            let (mut one, mut other) = pair(&begins, &answers);
            let answering = thread::spawn(move || other.accept());
            assert_eq!(one.handshake().is_ok(), is_right);
            let answered = answering.join().expect("the other's part");
            assert_eq!(answered.is_ok(), is_right, "{answered:?}");
        }
    }

    #[test]
    fn a_session_is_taken_up_again_or_not() {
        let credentials = Credentials::psk("device", b"0123456789abcdef");
        let (mut one, mut other) = pair(&credentials, &credentials);
        let answering = thread::spawn(move || {
            other.accept().expect("a handshake");
            // With a context of its own each time it knows no ticket.
            other.accept().expect("a handshake");
        });
        one.handshake().expect("a handshake");
        assert_eq!(one.resume(), Ok(false));
        answering.join().expect("the other's part");
    }

    #[test]
    fn a_refusal_names_its_alert() {
        let (mut one, mut other) = pair(
            &Credentials::psk("stranger", b"0123456789abcdef"),
            &Credentials::psk("device", b"0123456789abcdef"),
        );
        let answering = thread::spawn(move || other.accept().expect_err("nobody it knows"));
        let refused = one.handshake().expect_err("a refusal");
        assert!(refused.starts_with("alert 115 "), "{refused}");
        answering.join().expect("the other's part");
    }
}
