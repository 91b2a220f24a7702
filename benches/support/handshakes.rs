//! DTLS handshakes: with a server, one after the other, and in memory with nothing but OpenSSL.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::time::{Duration, Instant};

use flownexus::net::dtls::{Client, ClientCredentials, ClientEvent, ClientSettings};
use openssl::pkey::PKey;
use openssl::ssl::{ErrorCode, Ssl, SslContext, SslMethod, SslOptions, SslStream, SslVerifyMode};
use openssl::x509::X509;

use super::{Result, Server, flownexus, run};

/// What one kind of handshake came to.
pub(crate) struct Handshakes {
    /// How a client proves itself, and the suite.
    pub(crate) name: &'static str,
    /// Of the server's thread, in a second of its processor time.
    pub(crate) server: f64,
    /// Of OpenSSL alone, in a second: both ends on one core, so that each has half of it.
    pub(crate) bare: f64,
    /// In a second of the clock, client and server taking turns.
    pub(crate) rate: f64,
}

/// Shakes hands with a server of its own: with a pre-shared key and with certificates. `share` of the usual
/// number of handshakes, from 0 to 1.
pub(crate) fn measure(share: f64) -> Result<Vec<Handshakes>> {
    let folder = tempfile::tempdir()?;
    let server = start(folder.path())?;
    let psk = ClientCredentials::psk(IDENTITY, KEY.to_vec())?;
    let read = |name: &str| fs::read(folder.path().join("device").join(name));
    let (certificate, key) = (read("bench.crt")?, read("bench.key")?);
    let authority = fs::read(folder.path().join("certs/ca.crt"))?;
    let x509 = ClientCredentials::x509(&certificate, &key, Some(&authority))?;
    let mut measured = Vec::new();
    for (name, credentials, suite, count) in [
        (
            "PSK, `TLS_PSK_WITH_AES_128_CCM_8`",
            &psk,
            "PSK-AES128-CCM8",
            4_000.0,
        ),
        (
            "X.509 P-256 mutual, `TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8`",
            &x509,
            "ECDHE-ECDSA-AES128-CCM8",
            1_000.0,
        ),
    ] {
        let count = (count * share) as u32;
        let before = server.thread_seconds("dtls-0")?;
        let begun = Instant::now();
        for _ in 0..count {
            connect(server.coaps, credentials, suite)?;
        }
        let rate = f64::from(count) / begun.elapsed().as_secs_f64();
        let used = server.thread_seconds("dtls-0")? - before;
        measured.push(Handshakes {
            name,
            server: f64::from(count) / used,
            bare: bare_handshakes(suite, &certificate, &key, &authority, count)?,
            rate,
        });
    }
    Ok(measured)
}

/// A server with one pre-shared key, and one certificate of a device beside it.
fn start(folder: &Path) -> Result<Server> {
    let key: String = KEY.iter().map(|byte| format!("{byte:02x}")).collect();
    let psk = format!("{IDENTITY}:{key}");
    run(flownexus(folder).args(["credential", "add", "bench", "--psk", &psk]))?;
    let many = ("FLOWNEXUS__COAPS__MAX_SESSIONS_PER_ENDPOINT", "10000");
    let server = Server::start(folder, &[many])?;
    run(flownexus(folder)
        .args(["cert", "device", "--endpoint", "bench", "--ca"])
        .arg(folder.join("certs"))
        .arg("--out")
        .arg(folder.join("device")))?;
    Ok(server)
}

/// A client that has shaken hands, with its socket.
fn connect(
    server: SocketAddr,
    credentials: &ClientCredentials,
    suite: &str,
) -> Result<(Client, UdpSocket)> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.connect(server)?;
    socket.set_read_timeout(Some(Duration::from_millis(500)))?;
    let mut settings = ClientSettings::new(credentials.clone());
    settings.ciphers = Some(suite.to_owned());
    let mut client = Client::new(settings)?;
    let end = Instant::now() + Duration::from_secs(10);
    let mut buffer = [0; 2048];
    loop {
        while let Some(datagram) = client.poll_transmit() {
            socket.send(&datagram)?;
        }
        if client.is_connected() {
            return Ok((client, socket));
        }
        if Instant::now() > end {
            return Err("the handshake took more than 10 s".into());
        }
        let events = match socket.recv(&mut buffer) {
            Ok(length) => client.handle_datagram(buffer.get(..length).unwrap_or_default()),
            Err(_) => client.handle_timeout(),
        };
        for event in events {
            if let ClientEvent::Closed(error) = event {
                return Err(error.map_or_else(|| "the server has closed".into(), Into::into));
            }
        }
    }
}

/// Handshakes in memory, a second: both ends take turns on this core, so each has half of the time.
fn bare_handshakes(
    suite: &str,
    certificate: &[u8],
    key: &[u8],
    authority: &[u8],
    count: u32,
) -> Result<f64> {
    let list = format!("{suite}:@SECLEVEL=0");
    let context = |method: SslMethod| -> Result<SslContext> {
        let mut context = SslContext::builder(method)?;
        context.set_cipher_list(&list)?;
        context.set_options(SslOptions::NO_QUERY_MTU);
        if !suite.contains("PSK") {
            let (own, key) = (
                X509::from_pem(certificate)?,
                PKey::private_key_from_pem(key)?,
            );
            context.set_certificate(&own)?;
            context.set_private_key(&key)?;
            context
                .cert_store_mut()
                .add_cert(X509::from_pem(authority)?)?;
            context.set_verify(SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT);
        }
        context.set_psk_server_callback(|_, _, key| {
            put(key, KEY);
            Ok(KEY.len())
        });
        context.set_psk_client_callback(|_, _, identity, key| {
            put(key, KEY);
            put(identity, b"b\0");
            Ok(KEY.len())
        });
        Ok(context.build())
    };
    let (server, client) = (
        context(SslMethod::dtls_server())?,
        context(SslMethod::dtls_client())?,
    );
    let begun = Instant::now();
    for _ in 0..count {
        let stream = |context: &SslContext| -> Result<SslStream<Pipe>> {
            let mut ssl = Ssl::new(context)?;
            ssl.set_mtu(1200)?;
            Ok(SslStream::new(ssl, Pipe::default())?)
        };
        let (mut server, mut client) = (stream(&server)?, stream(&client)?);
        let (mut accepted, mut connected) = (false, false);
        while !(accepted && connected) {
            if !connected {
                connected = goes_on(client.connect())?;
            }
            server
                .get_mut()
                .incoming
                .append(&mut client.get_mut().outgoing);
            if !accepted {
                accepted = goes_on(server.accept())?;
            }
            client
                .get_mut()
                .incoming
                .append(&mut server.get_mut().outgoing);
        }
    }
    Ok(2.0 * f64::from(count) / begun.elapsed().as_secs_f64())
}

/// Copies to the front of a buffer that OpenSSL has made long enough.
fn put(buffer: &mut [u8], bytes: &[u8]) {
    if let Some(place) = buffer.get_mut(..bytes.len()) {
        place.copy_from_slice(bytes);
    }
}

/// True when the handshake is done.
fn goes_on(result: std::result::Result<(), openssl::ssl::Error>) -> Result<bool> {
    match result {
        Ok(()) => Ok(true),
        Err(error) if error.code() == ErrorCode::WANT_READ => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[derive(Debug, Default)]
struct Pipe {
    incoming: std::collections::VecDeque<Vec<u8>>,
    outgoing: std::collections::VecDeque<Vec<u8>>,
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self.incoming.pop_front() {
            Some(datagram) => (&datagram[..]).read(buffer),
            None => Err(std::io::ErrorKind::WouldBlock.into()),
        }
    }
}

impl Write for Pipe {
    fn write(&mut self, datagram: &[u8]) -> std::io::Result<usize> {
        self.outgoing.push_back(datagram.to_vec());
        Ok(datagram.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

const IDENTITY: &str = "bench";
const KEY: &[u8] = b"0123456789abcdef";
