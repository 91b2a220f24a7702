//! DTLS handshakes: with a server, many at once as when a fleet comes back, and one after the other; and in
//! memory with nothing but OpenSSL.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::time::{Duration, Instant};

use flownexus::net::dtls::{Client, ClientCredentials, ClientEvent, ClientSettings};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use openssl::pkey::PKey;
use openssl::ssl::{ErrorCode, Ssl, SslContext, SslMethod, SslOptions, SslStream, SslVerifyMode};
use openssl::x509::X509;

use super::{Result, Server, add_credentials, flownexus, run};

/// What one kind of handshake came to.
pub(crate) struct Handshakes {
    /// How a client proves itself, and the suite.
    pub(crate) name: &'static str,
    /// Of the server's thread, in a second of its processor time, while [`AT_ONCE`] are under way.
    pub(crate) at_once: f64,
    /// The same, while each begins when the one before has ended: the thread sleeps before each datagram.
    pub(crate) in_turn: f64,
    /// Of OpenSSL alone, in a second: both ends on one core, so that each has half of it.
    pub(crate) bare: f64,
    /// In a second of the clock, while [`AT_ONCE`] are under way; the clients have a core as well.
    pub(crate) rate: f64,
}

/// Shakes hands with a server of its own: with a pre-shared key and with certificates. `share` of the usual
/// number of handshakes, from 0 to 1.
pub(crate) fn measure(share: f64) -> Result<Vec<Handshakes>> {
    let folder = tempfile::tempdir()?;
    let names: Vec<String> = (0..AT_ONCE)
        .map(|number| format!("bench-{number}"))
        .collect();
    let server = start(folder.path(), &names)?;
    let psk = names
        .iter()
        .map(|name| ClientCredentials::psk(name, KEY.to_vec()));
    let psk = psk.collect::<std::result::Result<Vec<_>, _>>()?;
    let read = |name: &str| fs::read(folder.path().join("device").join(name));
    let authority = fs::read(folder.path().join("certs/ca.crt"))?;
    let (certificate, key) = (read("bench-0.crt")?, read("bench-0.key")?);
    let mut x509 = Vec::new();
    for name in &names {
        let (certificate, key) = (read(&format!("{name}.crt"))?, read(&format!("{name}.key"))?);
        x509.push(ClientCredentials::x509(
            &certificate,
            &key,
            Some(&authority),
        )?);
    }
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
        let of_thread = |work: &dyn Fn() -> Result<()>| -> Result<f64> {
            let before = server.thread_seconds("dtls-0")?;
            work()?;
            Ok(f64::from(count) / (server.thread_seconds("dtls-0")? - before))
        };
        let in_turn = of_thread(&|| {
            let mut devices = credentials.iter().cycle().take(count as usize);
            devices.try_for_each(|device| connect(server.coaps, device, suite).map(drop))
        })?;
        let begun = Instant::now();
        let at_once = of_thread(&|| fleet(server.coaps, credentials, suite, count))?;
        let rate = f64::from(count) / begun.elapsed().as_secs_f64();
        measured.push(Handshakes {
            name,
            at_once,
            in_turn,
            bare: bare_handshakes(suite, &certificate, &key, &authority, count)?,
            rate,
        });
    }
    Ok(measured)
}

/// A server that knows a pre-shared key and a certificate of each of these devices.
fn start(folder: &Path, names: &[String]) -> Result<Server> {
    let many = ("FLOWNEXUS__COAPS__MAX_SESSIONS_PER_ENDPOINT", "10000");
    let server = Server::start(folder, &[many])?;
    let key: String = KEY.iter().map(|byte| format!("{byte:02x}")).collect();
    add_credentials(folder, &server, names.iter().cloned(), &key)?;
    for name in names {
        run(flownexus(folder)
            .args(["cert", "device", "--endpoint", name, "--ca"])
            .arg(folder.join("certs"))
            .arg("--out")
            .arg(folder.join("device")))?;
    }
    Ok(server)
}

/// A client that has shaken hands, with its socket.
fn connect(
    server: SocketAddr,
    credentials: &ClientCredentials,
    suite: &str,
) -> Result<(Client, UdpSocket)> {
    let mut device = Device::new(server, credentials, suite)?;
    device
        .socket
        .set_read_timeout(Some(Duration::from_millis(500)))?;
    let end = Instant::now() + PATIENCE;
    while !device.client.is_connected() {
        if Instant::now() > end {
            return Err("the handshake took more than 10 s".into());
        }
        device.receive()?;
    }
    Ok((device.client, device.socket))
}

/// So many handshakes, [`AT_ONCE`] of them under way at the same time, each from a socket of its own.
fn fleet(
    server: SocketAddr,
    credentials: &[ClientCredentials],
    suite: &str,
    count: u32,
) -> Result<()> {
    let epoll = Epoll::new(EpollCreateFlags::empty())?;
    let begin = |place: usize| -> Result<Device> {
        let credentials = credentials.get(place).ok_or("no credentials")?;
        let device = Device::new(server, credentials, suite)?;
        device.socket.set_nonblocking(true)?;
        let event = EpollEvent::new(EpollFlags::EPOLLIN, place as u64);
        epoll.add(&device.socket, event)?;
        Ok(device)
    };
    let mut begun = count.min(AT_ONCE);
    let mut devices: Vec<Option<Device>> = (0..begun as usize)
        .map(|place| begin(place).map(Some))
        .collect::<Result<_>>()?;
    let (mut done, mut events) = (0, [EpollEvent::empty(); AT_ONCE as usize]);
    let end = Instant::now() + 6 * PATIENCE;
    while done < count {
        if Instant::now() > end {
            return Err("the handshakes took more than a minute".into());
        }
        let ready = epoll.wait(&mut events, 100_u16)?;
        if ready == 0 {
            // Something was lost: OpenSSL knows what is due.
            for device in devices.iter_mut().flatten() {
                device.receive()?;
            }
        }
        for event in events.iter().take(ready) {
            let place = event.data() as usize;
            let Some(Some(device)) = devices.get_mut(place) else {
                continue;
            };
            device.receive()?;
            if device.client.is_connected() {
                done += 1;
                let next = (begun < count).then(|| begin(place)).transpose()?;
                begun += u32::from(next.is_some());
                devices[place] = next;
            }
        }
    }
    Ok(())
}

/// A client with its socket.
struct Device {
    client: Client,
    socket: UdpSocket,
}

impl Device {
    /// Its hello is sent.
    fn new(server: SocketAddr, credentials: &ClientCredentials, suite: &str) -> Result<Self> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.connect(server)?;
        let mut settings = ClientSettings::new(credentials.clone());
        settings.ciphers = Some(suite.to_owned());
        let client = Client::new(settings)?;
        let mut device = Self { client, socket };
        device.send()?;
        Ok(device)
    }

    /// Takes what has come, or sees to what is due when nothing has.
    fn receive(&mut self) -> Result<()> {
        let mut buffer = [0; 2048];
        let events = match self.socket.recv(&mut buffer) {
            Ok(length) => self
                .client
                .handle_datagram(buffer.get(..length).unwrap_or_default()),
            Err(_) => self.client.handle_timeout(),
        };
        for event in events {
            if let ClientEvent::Closed(error) = event {
                return Err(error.map_or_else(|| "the server has closed".into(), Into::into));
            }
        }
        self.send()
    }

    fn send(&mut self) -> Result<()> {
        while let Some(datagram) = self.client.poll_transmit() {
            self.socket.send(&datagram)?;
        }
        Ok(())
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

/// Handshakes that are under way at the same time.
pub(crate) const AT_ONCE: u32 = 64;
const PATIENCE: Duration = Duration::from_secs(10);
const KEY: &[u8] = b"0123456789abcdef";
