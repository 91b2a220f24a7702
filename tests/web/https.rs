//! `web.tls`: pages, API and live socket over HTTPS, without a proxy.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::ssl::{Ssl, SslConnector, SslMethod, SslSessionCacheMode, SslVerifyMode, SslVersion};
use openssl::x509::extension::SubjectAlternativeName;
use openssl::x509::{X509, X509NameBuilder};

use crate::support::device::ScriptedDevice;
use crate::support::server::{SOON, Server, eventually};

/// Where the server listens.
fn address(server: &Server) -> SocketAddr {
    let url = server.url("");
    let address = url.strip_prefix("https://").expect("HTTPS is announced");
    address.trim_end_matches('/').parse().expect("an address")
}

/// A connector that believes this CA alone, or anybody.
fn connector(ca: Option<&Path>) -> SslConnector {
    let mut builder = SslConnector::builder(SslMethod::tls_client()).expect("TLS");
    match ca {
        Some(ca) => builder.set_ca_file(ca).expect("a certificate"),
        None => builder.set_verify(SslVerifyMode::NONE),
    }
    builder.build()
}

fn own_ca(server: &Server) -> std::path::PathBuf {
    server.data_dir().join("certs/ca.crt")
}

/// Sends a request over TLS and returns all that comes back.
fn ask(server: &Server, request: &str) -> String {
    let stream = TcpStream::connect(address(server)).expect("a connection");
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .expect("a limit");
    let connector = connector(Some(&own_ca(server)));
    let mut stream = connector
        .connect("127.0.0.1", stream)
        .expect("a believed certificate");
    stream.write_all(request.as_bytes()).expect("sent");
    let mut answer = Vec::new();
    // The server closes without a word of TLS.
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

/// The certificate that a new connection is shown.
fn shown(server: &Server) -> X509 {
    let stream = TcpStream::connect(address(server)).expect("a connection");
    let connector = connector(None);
    let stream = connector.connect("127.0.0.1", stream).expect("a handshake");
    stream.ssl().peer_certificate().expect("a certificate")
}

/// A certificate and its RSA key, as others make them, in two files.
fn write_pair(folder: &Path, name: &str) -> X509 {
    let key: PKey<Private> = Rsa::generate(2048).and_then(PKey::from_rsa).expect("a key");
    let mut subject = X509NameBuilder::new().expect("a name");
    subject.append_entry_by_text("CN", name).expect("a name");
    let subject = subject.build();
    let mut builder = X509::builder().expect("a certificate");
    let serial = BigNum::from_u32(7)
        .and_then(|it| it.to_asn1_integer())
        .expect("a number");
    builder.set_version(2).expect("set");
    builder.set_serial_number(&serial).expect("set");
    builder.set_subject_name(&subject).expect("set");
    builder.set_issuer_name(&subject).expect("set");
    builder.set_pubkey(&key).expect("set");
    let dates = [0, 90].map(|days| Asn1Time::days_from_now(days).expect("a date"));
    builder.set_not_before(&dates[0]).expect("set");
    builder.set_not_after(&dates[1]).expect("set");
    let names = SubjectAlternativeName::new()
        .dns(name)
        .build(&builder.x509v3_context(None, None))
        .expect("a name");
    builder.append_extension(names).expect("set");
    builder.sign(&key, MessageDigest::sha256()).expect("signed");
    let certificate = builder.build();
    let pem = key.private_key_to_pem_pkcs8().expect("PEM");
    std::fs::write(folder.join("web.key"), pem).expect("written");
    std::fs::write(folder.join("web.crt"), certificate.to_pem().expect("PEM")).expect("written");
    certificate
}

#[tokio::test]
async fn with_the_certificate_of_the_server_s_own_ca() {
    let server = Server::setup().setting("web.tls", true).start().await;
    let answer = ask(
        &server,
        "GET /health/live HTTP/1.1\r\nHost: nexus\r\nConnection: close\r\n\r\n",
    );
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(
        answer.contains("strict-transport-security: max-age="),
        "{answer}"
    );

    let form = format!("name=admin&password={}", server.admin_password());
    let login = format!(
        "POST /login HTTP/1.1\r\nHost: nexus\r\nOrigin: https://nexus\r\nConnection: close\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
        form.len()
    );
    let answer = ask(&server, &login);
    let cookie = answer
        .lines()
        .find(|line| line.to_lowercase().starts_with("set-cookie: "));
    let cookie = cookie.unwrap_or_else(|| panic!("a cookie: {answer}"));
    for part in [
        "__Host-flownexus=",
        "; Secure",
        "; HttpOnly",
        "; SameSite=Lax",
        "; Path=/",
    ] {
        assert!(cookie.contains(part), "{part}: {cookie}");
    }

    // What speaks no TLS, or only an old one, is not answered.
    let mut plain = TcpStream::connect(address(&server)).expect("a connection");
    plain
        .set_read_timeout(Some(Duration::from_secs(20)))
        .expect("a limit");
    plain
        .write_all(b"GET / HTTP/1.1\r\nHost: nexus\r\n\r\n")
        .expect("sent");
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    let mut old = SslConnector::builder(SslMethod::tls_client()).expect("TLS");
    old.set_verify(SslVerifyMode::NONE);
    old.set_cipher_list("DEFAULT@SECLEVEL=0").expect("known");
    old.set_max_proto_version(Some(SslVersion::TLS1_1))
        .expect("known");
    let stream = TcpStream::connect(address(&server)).expect("a connection");
    assert!(
        old.build().connect("127.0.0.1", stream).is_err(),
        "TLS 1.1 was spoken"
    );
}

/// Every connection sees the certificate in force: none takes up where another one stopped.
#[tokio::test]
async fn no_session_is_taken_up_again() {
    let server = Server::setup().setting("web.tls", true).start().await;
    for version in [SslVersion::TLS1_2, SslVersion::TLS1_3] {
        let offered = Arc::new(AtomicUsize::new(0));
        let mut builder = SslConnector::builder(SslMethod::tls_client()).expect("TLS");
        builder.set_verify(SslVerifyMode::NONE);
        builder.set_max_proto_version(Some(version)).expect("known");
        builder.set_session_cache_mode(SslSessionCacheMode::CLIENT);
        let counted = Arc::clone(&offered);
        builder.set_new_session_callback(move |_, _| {
            counted.fetch_add(1, Ordering::Relaxed);
        });
        let stream = TcpStream::connect(address(&server)).expect("a connection");
        let connector = builder.build();
        let mut stream = connector.connect("127.0.0.1", stream).expect("a handshake");
        let request = b"GET /health/live HTTP/1.1\r\nHost: nexus\r\nConnection: close\r\n\r\n";
        stream.write_all(request).expect("sent");
        // What a server of TLS 1.3 gives for later comes with its first words.
        let _ = stream.read_to_end(&mut Vec::new());
        assert_eq!(offered.load(Ordering::Relaxed), 0, "{version:?}");
    }
}

#[tokio::test]
async fn the_live_socket_too() {
    let server = Server::setup().setting("web.tls", true).start().await;
    let stream = tokio::net::TcpStream::connect(address(&server))
        .await
        .expect("a connection");
    let connector = connector(Some(&own_ca(&server)));
    let ssl: Ssl = connector
        .configure()
        .and_then(|configured| configured.into_ssl("127.0.0.1"))
        .expect("TLS");
    let mut stream = tokio_openssl::SslStream::new(ssl, stream).expect("TLS");
    std::pin::Pin::new(&mut stream)
        .connect()
        .await
        .expect("a handshake");
    let request = server.live_request("fleet");
    let (mut socket, _) = tokio_tungstenite::client_async(request, stream)
        .await
        .expect("an upgrade");
    let mut device = ScriptedDevice::new("over-tls", server.coap());
    device.register_now(3600, "</1/0>");
    let told = async {
        while let Some(Ok(message)) = socket.next().await {
            if message.is_text() {
                return message.into_text().expect("text").to_string();
            }
        }
        panic!("the socket has ended")
    };
    let told = tokio::time::timeout(SOON, told).await.expect("in time");
    assert!(told.contains("over-tls"), "{told}");
}

#[tokio::test]
async fn with_files_of_one_s_own_which_are_read_again_when_they_change() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = write_pair(folder.path(), "first.example");
    let [certificate, key] = ["web.crt", "web.key"].map(|name| folder.path().join(name));
    let server = Server::setup()
        .setting("web.tls", true)
        .setting("web.tls_certificate", certificate.display())
        .setting("web.tls_key", key.display())
        .start()
        .await;
    assert_eq!(shown(&server), first);

    // Half of a renewal, and what is no certificate: the one from before stays.
    std::fs::write(&certificate, "not a certificate").expect("written");
    // Whoever comes next makes it look.
    assert_eq!(shown(&server), first);
    eventually("the log names the file", SOON, async || {
        let log = server.output();
        (log.contains("goes on with the certificate from before") && log.contains("web.crt"))
            .then_some(())
    })
    .await;
    assert_eq!(shown(&server), first);

    let second = write_pair(folder.path(), "second.example");
    eventually("the new certificate is shown", SOON, async || {
        (shown(&server) == second).then_some(())
    })
    .await;
}

#[test]
fn what_cannot_be_served_is_said_at_the_start() {
    let folder = tempfile::tempdir().expect("a folder");
    write_pair(folder.path(), "one.example");
    let [certificate, key] = ["web.crt", "web.key"].map(|name| folder.path().join(name));
    let other = folder.path().join("other.key");
    let strange = Rsa::generate(2048).and_then(PKey::from_rsa).expect("a key");
    std::fs::write(&other, strange.private_key_to_pem_pkcs8().expect("PEM")).expect("written");
    let missing = folder.path().join("missing.key");
    for (settings, said) in [
        (
            vec![("TLS", "true"), ("TLS_CERTIFICATE", path(&certificate))],
            "web.tls_key",
        ),
        (
            vec![("TLS", "true"), ("TLS_KEY", path(&key))],
            "web.tls_certificate",
        ),
        (
            vec![
                ("TLS_CERTIFICATE", path(&certificate)),
                ("TLS_KEY", path(&key)),
            ],
            "setting `web.tls`",
        ),
        (
            vec![
                ("TLS", "true"),
                ("TLS_CERTIFICATE", path(&certificate)),
                ("TLS_KEY", path(&other)),
            ],
            "other.key",
        ),
        (
            vec![
                ("TLS", "true"),
                ("TLS_CERTIFICATE", path(&certificate)),
                ("TLS_KEY", path(&missing)),
            ],
            "missing.key",
        ),
        (
            vec![
                ("TLS", "true"),
                ("TLS_CERTIFICATE", path(&key)),
                ("TLS_KEY", path(&key)),
            ],
            "no certificate",
        ),
    ] {
        let data = tempfile::tempdir().expect("a folder");
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_flownexus"));
        command.arg("serve").env("FLOWNEXUS__DATA_DIR", data.path());
        for listen in ["WEB", "COAP", "COAPS", "FIRMWARE"] {
            command.env(format!("FLOWNEXUS__{listen}__LISTEN"), "127.0.0.1:0");
        }
        for (name, value) in &settings {
            command.env(format!("FLOWNEXUS__WEB__{name}"), value);
        }
        let output = command.output().expect("it ends");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{settings:?}: {errors}");
        assert!(errors.contains(said), "{settings:?} says {said}: {errors}");
    }
}

fn path(path: &Path) -> &str {
    path.to_str().expect("text")
}
