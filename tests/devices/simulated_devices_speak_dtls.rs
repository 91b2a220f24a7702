//! Simulated devices with credentials, against a DTLS end of OpenSSL in front of the server's plain
//! CoAP: what they do when they are let in, moved and refused.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use flownexus::domain::EndpointName;
use flownexus::net::dtls::{ClientCredentials, ClientSettings};
use flownexus::sim::{SimClient, SimHandle, SimSecurity, SimSettings};
use tokio::task::LocalSet;
use tokio::time::timeout;

use crate::support::certificates::Holder;
use crate::support::secure::{Credentials, Secure};
use crate::support::server::{DEVICE_KEY, SOON, Server, eventually};

#[tokio::test]
async fn a_device_registers_over_dtls_and_comes_back_from_another_address() {
    let server = Server::setup()
        .setting("credentials.reload_s", 1)
        .start()
        .await;
    // The handshake shows that the server has taken note of the credential.
    drop(server.secure_device("pump"));
    let mut settings = settings_for(server.coaps(), "pump", DEVICE_KEY);
    let security = settings.security.as_mut().expect("credentials");
    security.client.connection_id = None;
    LocalSet::new()
        .run_until(async {
            let device = SimClient::start(settings).expect("a socket");
            registered(&device).await;
            assert_eq!((device.handshakes(), device.handshakes_failed()), (1, 0));
            let api = server.api();
            let endpoint = api.endpoint("pump").await.expect("a known endpoint");
            assert_eq!(endpoint["secure"], true, "{endpoint}");

            // It has another address, and knows.
            device.rebind().await.expect("a port");
            updates(&device, 1).await;
            assert_eq!(device.handshakes(), 2);
            assert_eq!(device.counters().registrations(), 1);

            device.stop(true).await;
            let endpoint = api.endpoint("pump").await.expect("a known endpoint");
            assert_eq!(endpoint["registered"], false, "{endpoint}");
            assert_eq!(device.counters().handshakes(), 2);
        })
        .await;
}

#[tokio::test]
async fn a_device_keeps_its_session_when_a_nat_forgets_it() {
    let server = Server::start().await;
    let front = Front::start(server.coap(), Credentials::psk("pump", KEY));
    let settings = settings(&front, "pump", KEY);
    LocalSet::new()
        .run_until(async {
            let device = SimClient::start(settings).expect("a socket");
            registered(&device).await;
            device.rebind_unnoticed().await.expect("a port");
            updates(&device, 1).await;
            assert_eq!(device.handshakes(), 1);
            assert_eq!(device.counters().registrations(), 1);
            device.stop(true).await;
        })
        .await;
}

#[tokio::test]
async fn a_refused_device_says_why_and_tries_again() {
    let server = Server::start().await;
    let front = Front::start(server.coap(), Credentials::psk("pump", KEY));
    let mut settings = settings(&front, "stranger", KEY);
    let security = settings.security.as_mut().expect("credentials");
    security.retry_min = Duration::from_millis(50);
    LocalSet::new()
        .run_until(async {
            let device = SimClient::start(settings).expect("a socket");
            let why = timeout(SOON, device.refused(4)).await;
            let why = why.expect("tried again in time").expect("a running device");
            assert!(why.contains("alert 115 (unknown psk identity)"), "{why}");
            assert!(device.counters().handshakes_failed() >= 4);
            assert_eq!(device.handshakes(), 0);
            assert!(!device.is_registered());
            device.stop(false).await;
        })
        .await;
}

#[tokio::test]
async fn a_device_with_a_wrong_key_gives_the_handshake_up() {
    let server = Server::start().await;
    let front = Front::start(server.coap(), Credentials::psk("pump", KEY));
    let mut settings = settings(&front, "pump", b"another key 1234");
    let security = settings.security.as_mut().expect("credentials");
    security.handshake_timeout = Duration::from_millis(500);
    LocalSet::new()
        .run_until(async {
            let device = SimClient::start(settings).expect("a socket");
            let why = timeout(SOON, device.refused(1)).await;
            let why = why.expect("given up in time").expect("a running device");
            assert!(why.contains("does not finish"), "{why}");
            device.stop(false).await;
        })
        .await;
}

#[tokio::test]
async fn the_command_simulates_devices_with_a_pre_shared_key() {
    let server = Server::start().await;
    let front = Front::start(server.coap(), Credentials::psk("pump-1", KEY));
    let mut simulate = Command::new(env!("CARGO_BIN_EXE_flownexus"))
        .args(["simulate", "-n", "1", "--prefix", "pump-", "--server"])
        .arg(format!("coaps://{}", front.address))
        .arg("--psk")
        .arg(format!("pump-{{n}}:{}", hex::encode(KEY)))
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let api = server.api();
    eventually("pump-1 is registered", SOON, || async {
        let endpoint = api.endpoint("pump-1").await?;
        (endpoint["registered"] == true).then_some(())
    })
    .await;
    let ended = Command::new("sh")
        .args(["-c", "kill -TERM \"$1\"", "sh", &simulate.id().to_string()])
        .status();
    assert!(ended.is_ok_and(|status| status.success()));
    let output = BufReader::new(simulate.stdout.take().expect("a pipe"));
    let lines: Vec<String> = output.lines().map(|line| line.expect("text")).collect();
    assert!(simulate.wait().expect("the end").success());
    let lines = lines.join("\n");
    let begin = format!("Simulating 1 device against coaps://{}", front.address);
    assert!(lines.starts_with(&begin), "{lines}");
    assert!(
        lines.contains("1 DTLS handshakes and 0 that failed"),
        "{lines}"
    );
    let endpoint = api.endpoint("pump-1").await.expect("a known endpoint");
    assert_eq!(endpoint["registered"], false, "{endpoint}");
}

#[tokio::test]
async fn the_command_simulates_devices_with_certificates_of_a_folder() {
    let server = Server::start().await;
    let authority = Holder::authority("authority");
    let ends = authority.sign("localhost");
    let ca = authority.certificate();
    let front = Front::start(
        server.coap(),
        Credentials::x509(&ends.certificate(), &ends.key(), Some(&ca)),
    );
    let device = authority.sign("pump:1");
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    fs::write(path("ca.crt"), &ca).expect("a file");
    fs::write(path("pump_1.crt"), device.certificate()).expect("a file");
    fs::write(path("pump_1.key"), device.key()).expect("a file");
    let mut simulate = Command::new(env!("CARGO_BIN_EXE_flownexus"))
        .args(["simulate", "--prefix", "pump:", "--server"])
        .arg(format!("coaps://{}", front.address))
        .arg("--cert")
        .arg(folder.path())
        .arg("--ca")
        .arg(path("ca.crt"))
        .stdout(Stdio::null())
        .spawn()
        .expect("the binary starts");
    let api = server.api();
    eventually("pump:1 is registered", SOON, || async {
        let endpoint = api.endpoint("pump:1").await?;
        (endpoint["registered"] == true).then_some(())
    })
    .await;
    simulate.kill().expect("a process that is ours");
    simulate.wait().expect("the end");
}

#[tokio::test]
async fn credentials_and_the_address_of_the_server_must_fit() {
    for (arguments, words) in [
        (
            &["--server", "coaps://localhost"][..],
            "--psk, --cert or --rpk is needed",
        ),
        (&["--psk", "pump:00ff"], "are for coaps://"),
        (
            &["--server", "coaps://localhost", "--psk", "pump:0x"],
            "hexadecimal",
        ),
        (&["--psk", "pump:00", "--cert", "a"], "cannot be used with"),
        (&["--psk", "pump:00", "--rpk", "a"], "cannot be used with"),
        (
            &["--cert", "a", "--key", "b", "--rpk", "c"],
            "cannot be used with",
        ),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_flownexus"))
            .arg("simulate")
            .args(arguments)
            .output()
            .expect("the binary starts");
        assert!(!output.status.success(), "{output:?}");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(error.contains(words), "`{words}` in {error}");
    }
}

fn settings(front: &Front, identity: &str, key: &[u8]) -> SimSettings {
    settings_for(front.address, identity, key)
}

fn settings_for(server: SocketAddr, identity: &str, key: &[u8]) -> SimSettings {
    let credentials = ClientCredentials::psk(identity, key.to_vec()).expect("credentials");
    let name = EndpointName::new("pump").expect("a name");
    SimSettings {
        security: Some(SimSecurity::new(ClientSettings::new(credentials))),
        ..SimSettings::new(server, name)
    }
}

async fn registered(device: &SimHandle) {
    let registered = timeout(SOON, device.registered()).await;
    registered.expect("in time").expect("a running device");
}

/// Has it send its Update number so many, and waits for the answer.
async fn updates(device: &SimHandle, number: u64) {
    device.update().await.expect("a running device");
    eventually("the Update is confirmed", SOON, || async {
        (device.counters().updates() >= number).then_some(())
    })
    .await;
}

/// The server's end of DTLS for one device at a time, in front of a plain server. Follows records of
/// the session to another address, as a server with connection ids does.
struct Front {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
}

impl Front {
    fn start(plain: SocketAddr, credentials: Credentials) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = socket.local_addr().expect("a bound socket");
        let stop = Arc::new(AtomicBool::new(false));
        let is_over = Arc::clone(&stop);
        thread::spawn(move || {
            let inside = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
            inside.connect(plain).expect("an address");
            inside.set_nonblocking(true).expect("a socket");
            let mut session = None;
            while !is_over.load(Ordering::Relaxed) {
                step(&socket, &inside, &credentials, &mut session);
            }
        });
        Self { address, stop }
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn step(
    socket: &UdpSocket,
    inside: &UdpSocket,
    credentials: &Credentials,
    session: &mut Option<Secure>,
) {
    let mut buffer = [0; 2_048];
    let wait = Some(Duration::from_millis(5));
    socket.set_read_timeout(wait).expect("a time above zero");
    if let Ok((length, from)) = socket.peek_from(&mut buffer) {
        // A handshake record with a ClientHello (RFC 6347 section 4.1, 4.2.2).
        if length > 13 && buffer[0] == 22 && buffer[13] == 1 {
            let socket = socket.try_clone().expect("a socket");
            let mut made = Secure::new(socket, from, credentials.clone());
            *session = made.accept().is_ok().then_some(made);
            // It moves without a new handshake.
            session.iter().for_each(Secure::follow);
        } else if session.is_none() {
            let _ = socket.recv_from(&mut buffer);
        }
    }
    let Some(session) = session else { return };
    while let Some(data) = session.receive(Duration::from_millis(2)) {
        inside.send(&data).expect("loopback takes it");
    }
    if session.is_connected() {
        while let Ok(length) = inside.recv(&mut buffer) {
            session.send(&buffer[..length]);
        }
    }
}

const KEY: &[u8] = b"0123456789abcdef";
