//! Programs of others against the server: `libcoap`'s client and `openssl s_client`. Where one is not
//! installed its tests are skipped, which is said on standard error, unless `FLOWNEXUS_TEST_REQUIRE`
//! names it.

use std::io::{ErrorKind, Read as _, Write as _};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;

use super::bench::ALERT;
use super::credentials::{KEY, OTHER_KEY, add_psk, connected, made_by_the_command};
use crate::support::device::ScriptedDevice;
use crate::support::programs::{COAP_CLIENT, run, skipped, text};
use crate::support::secure::Credentials;
use crate::support::server::{SOON, Server, eventually};
use flownexus::coap::{Code, Message};

/// Has `libcoap` register under this name with these credentials; nothing where it is missing.
fn libcoap_registers(server: &Server, name: &str, credentials: &[&str]) -> Option<Output> {
    let port = server.coaps().port();
    let uri = format!("coaps://127.0.0.1:{port}/rd?ep={name}&lt=300&lwm2m=1.1&b=U");
    let request = ["-m", "post", "-t", "40", "-e", "</1/0>,</3/0>", "-B", "5"];
    run(
        COAP_CLIENT,
        &[&request, credentials, &[uri.as_str()]].concat(),
    )
}

#[tokio::test]
async fn libcoap_registers_with_a_pre_shared_key_and_not_with_a_wrong_one() {
    let server = ALERT.hold().await;
    let api = server.api();
    let key = |bytes| std::str::from_utf8(bytes).expect("text");
    for name in ["libcoap-psk", "libcoap-wrong"] {
        add_psk(&server, name, name, KEY);
        drop(connected(&server, name, Credentials::psk(name, KEY)));
    }
    let right = ["-u", "libcoap-psk", "-k", key(KEY)];
    let Some(output) = libcoap_registers(&server, "libcoap-psk", &right) else {
        return;
    };
    let endpoint = api.endpoint("libcoap-psk").await;
    let endpoint = endpoint.unwrap_or_else(|| panic!("not registered: {}", text(&output)));
    assert_eq!(endpoint["registered"], true, "{endpoint}");
    let wrong = ["-u", "libcoap-wrong", "-k", key(OTHER_KEY)];
    libcoap_registers(&server, "libcoap-wrong", &wrong).expect("installed");
    assert_eq!(api.endpoint("libcoap-wrong").await, None);
}

#[tokio::test]
async fn libcoap_registers_with_a_certificate_of_our_command() {
    let server = ALERT.hold().await;
    let folder = made_by_the_command(&server, "libcoap-x509");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let ca = server.data_dir().join("certs/ca.crt").display().to_string();
    let (certificate, key) = (path("libcoap-x509.crt"), path("libcoap-x509.key"));
    let credentials = ["-c", &certificate, "-j", &key, "-C", &ca];
    let Some(output) = libcoap_registers(&server, "libcoap-x509", &credentials) else {
        return;
    };
    let endpoint = server.api().endpoint("libcoap-x509").await;
    let endpoint = endpoint.unwrap_or_else(|| panic!("not registered: {}", text(&output)));
    assert_eq!(endpoint["registered"], true, "{endpoint}");
}

#[tokio::test]
async fn openssl_s_client_shakes_hands_with_every_suite_of_pre_shared_keys() {
    let server = ALERT.hold().await;
    add_psk(&server, "s-client", "s-client", KEY);
    drop(connected(
        &server,
        "s-client",
        Credentials::psk("s-client", KEY),
    ));
    let connect = server.coaps().to_string();
    let shake = |suite: &str, key: &[u8]| {
        let cipher = format!("{suite}:@SECLEVEL=0");
        let key = hex::encode(key);
        let arguments = [
            "s_client",
            "-dtls1_2",
            "-connect",
            &connect,
            "-psk_identity",
            "s-client",
            "-psk",
            &key,
            "-cipher",
            &cipher,
        ];
        run("openssl", &arguments).map(|output| text(&output))
    };
    for suite in [
        "PSK-AES128-CCM8",
        "PSK-AES128-CCM",
        "PSK-AES128-GCM-SHA256",
        "PSK-AES128-CBC-SHA256",
        "ECDHE-PSK-AES128-CBC-SHA256",
    ] {
        let Some(said) = shake(suite, KEY) else {
            return;
        };
        let expected = format!("Cipher is {suite}\n");
        assert!(said.contains(&expected), "{suite}: {said}");
    }
    let said = shake("PSK-AES128-CCM8", OTHER_KEY).expect("installed");
    assert!(said.contains("alert decrypt error"), "{said}");
}

/// `openssl s_client` with what it is told on its standard input, one record for each.
struct SClient {
    child: Child,
    /// What it prints: the text of each record.
    said: mpsc::Receiver<Vec<u8>>,
}

impl SClient {
    /// With the pre-shared key of this name; nothing where it is missing.
    fn start(server: &Server, name: &str, suite: &str) -> Option<Self> {
        let (connect, key) = (server.coaps().to_string(), hex::encode(KEY));
        let cipher = format!("{suite}:@SECLEVEL=0");
        let start = Command::new("openssl")
            .args(["s_client", "-dtls1_2", "-quiet", "-connect", &connect])
            .args(["-psk_identity", name, "-psk", &key, "-cipher", &cipher])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let mut child = match start {
            Ok(child) => child,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                skipped("openssl", &error);
                return None;
            }
            Err(error) => panic!("openssl: {error}"),
        };
        let mut out = child.stdout.take().expect("piped");
        let (tell, said) = mpsc::channel();
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = out.read(&mut buffer) {
                if tell.send(buffer[..length].to_vec()).is_err() {
                    break;
                }
            }
        });
        Some(Self { child, said })
    }

    /// Sends a request and returns its answer.
    #[track_caller]
    fn ask(&mut self, request: &Message) -> Message {
        let pipe = self.child.stdin.as_mut().expect("piped");
        pipe.write_all(&request.encode()).expect("it runs");
        pipe.flush().expect("it runs");
        let said = self.said.recv_timeout(SOON).expect("an answer");
        let answer = Message::decode(&said).expect("one message");
        assert_eq!(answer.message_id, request.message_id);
        answer
    }
}

impl Drop for SClient {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Records of OpenSSL's own, back and forth, after the server has taken the connection over from its OpenSSL.
#[tokio::test]
async fn openssl_s_client_exchanges_a_hundred_messages_in_one_session_with_each_cipher() {
    let server = Server::setup()
        .setting("credentials.reload_s", 1)
        .start()
        .await;
    for (number, suite) in ["PSK-AES128-CCM8", "PSK-AES128-CCM", "PSK-AES128-GCM-SHA256"]
        .into_iter()
        .enumerate()
    {
        let name = format!("s-client-{number}");
        add_psk(&server, &name, &name, KEY);
        drop(connected(&server, &name, Credentials::psk(&name, KEY)));
        // The handshake may be counted after the device knows that it is over.
        let before = number as f64 * 2.0 + 1.0;
        eventually("the device's handshake is counted", SOON, async || {
            (server.metric(HANDSHAKES).await >= before).then_some(())
        })
        .await;
        let Some(mut client) = SClient::start(&server, &name, suite) else {
            return;
        };
        // It makes the messages, and sends none of them.
        let mut device = ScriptedDevice::new(&name, server.coap());
        let answer = client.ask(&device.register(300, "</1/0>"));
        device.take_location(&answer);
        for _ in 0..120 {
            let update = device.update();
            assert_eq!(client.ask(&update).code, Code::CHANGED, "{suite}");
        }
        let handshakes = server.metric(HANDSHAKES).await - before;
        assert!((handshakes - 1.0).abs() < 0.5, "{suite}: {handshakes}");
    }
}

#[tokio::test]
async fn libcoap_exchanges_a_hundred_blocks_in_one_session() {
    let server = Server::setup()
        .setting("credentials.reload_s", 1)
        .start()
        .await;
    let name = "libcoap-blocks";
    add_psk(&server, name, name, KEY);
    drop(connected(&server, name, Credentials::psk(name, KEY)));
    let mut links = "</1/0>".to_owned();
    while links.len() < 120 * 32 {
        links += &format!(",</3303/{}>", links.len());
    }
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("links");
    std::fs::write(&file, &links).expect("a file");
    let (handshakes, records) = (server.metric(HANDSHAKES), server.metric(RECORDS));
    let (handshakes, records) = (handshakes.await, records.await);
    let port = server.coaps().port();
    let uri = format!("coaps://127.0.0.1:{port}/rd?ep={name}&lt=300&lwm2m=1.1&b=U");
    let key = std::str::from_utf8(KEY).expect("text");
    let file = file.display().to_string();
    let request = [
        "-m", "post", "-t", "40", "-b", "32", "-f", &file, "-B", "30",
    ];
    let credentials = ["-u", name, "-k", key, uri.as_str()];
    let Some(output) = run(COAP_CLIENT, &[&request[..], &credentials].concat()) else {
        return;
    };
    let endpoint = server.api().endpoint(name).await;
    let endpoint = endpoint.unwrap_or_else(|| panic!("not registered: {}", text(&output)));
    assert_eq!(endpoint["registered"], true, "{endpoint}");
    let handshakes = server.metric(HANDSHAKES).await - handshakes;
    assert!((handshakes - 1.0).abs() < 0.5, "{handshakes} handshakes");
    let records = server.metric(RECORDS).await - records;
    assert!(records >= 120.0, "{records} records");
}

const HANDSHAKES: &str = "flownexus_dtls_handshakes_finished_total";
const RECORDS: &str = "flownexus_dtls_records_total";
