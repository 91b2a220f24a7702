//! Firmware images on their way to devices.

mod https_in_parts;
mod https_is_bounded;
mod https_proves_the_server;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use openssl::ssl::{SslConnector, SslConnectorBuilder, SslMethod, SslStream};
use reqwest::multipart::{Form, Part};
use reqwest::{Method, StatusCode};
use serde_json::Value as Json;
use sha2::{Digest as _, Sha256};

use crate::support::server::Server;

/// How long a client waits for one step of the server.
const PATIENCE: Duration = Duration::from_secs(60);

/// Bytes of an image that no other seed gives.
fn image(seed: u64, count: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(count + 8);
    while bytes.len() < count {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(count);
    bytes
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// The entity tag of these bytes.
fn etag(bytes: &[u8]) -> String {
    format!("\"{}\"", &sha256(bytes)[..16])
}

/// Uploads an image through the API, as the server answered.
async fn upload(server: &Server, version: &str, name: &str, bytes: Vec<u8>) -> Json {
    let form = Form::new()
        .text("version", version.to_owned())
        .text("name", name.to_owned())
        .part("file", Part::bytes(bytes).file_name(name.to_owned()));
    let path = "/api/v1/firmware";
    let request = server.api().request(Method::POST, path).multipart(form);
    let answer = request.send().await.expect("an answer");
    let status = answer.status();
    let text = answer.text().await.unwrap_or_default();
    assert_eq!(status, StatusCode::CREATED, "{text}");
    serde_json::from_str(&text).expect("JSON")
}

async fn remove(server: &Server, image: &Json) {
    let path = format!("/api/v1/firmware/{}", image["id"]);
    let answer = server.api().delete(&path).await;
    assert_eq!(answer.status(), StatusCode::NO_CONTENT);
}

/// The certificate of the server's CA.
fn ca(server: &Server) -> std::path::PathBuf {
    server.data_dir().join("certs/ca.crt")
}

/// `curl` that trusts this CA alone; nothing where it is not installed, which is said on standard error unless
/// `FLOWNEXUS_TEST_REQUIRE` names `curl`.
fn curl(ca: &Path, arguments: &[&str]) -> Option<Output> {
    let done = Command::new("curl")
        .args(["--silent", "--show-error", "--noproxy", "*", "--cacert"])
        .arg(ca)
        .args(arguments)
        .output();
    match done {
        Ok(output) => Some(output),
        Err(error) => {
            let required = std::env::var("FLOWNEXUS_TEST_REQUIRE")
                .is_ok_and(|all| all.split(',').any(|one| one.trim() == "curl"));
            assert!(!required, "curl is required, but: {error}");
            eprintln!("SKIPPED: the program `curl` is not installed ({error})");
            None
        }
    }
}

/// The same for one that must succeed: what it wrote.
#[track_caller]
fn curl_gets(ca: &Path, arguments: &[&str]) -> Option<Vec<u8>> {
    let output = curl(ca, arguments)?;
    let failed = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "curl {arguments:?}: {failed}");
    Some(output.stdout)
}

/// A device with a TLS connection of its own, which it uses as slowly as it likes.
struct Device {
    stream: SslStream<TcpStream>,
}

impl Device {
    fn connect(server: &Server) -> Self {
        Self::shake_hands(&ca(server), tcp(server), |_| {})
    }

    /// With what a device of this kind can do.
    fn shake_hands(
        ca: &Path,
        stream: TcpStream,
        kind: impl FnOnce(&mut SslConnectorBuilder),
    ) -> Self {
        let mut connector = SslConnector::builder(SslMethod::tls_client()).expect("OpenSSL");
        connector.set_ca_file(ca).expect("the CA");
        kind(&mut connector);
        let stream = connector.build().connect("127.0.0.1", stream);
        Self {
            stream: stream.expect("a handshake"),
        }
    }

    fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).expect("sent");
    }

    /// Asks for a path of the server.
    fn ask(&mut self, path: &str, headers: &str) {
        self.send(&format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n"
        ));
    }

    /// The head of an answer, in lower case.
    fn head(&mut self) -> String {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            let read = self.stream.read(&mut byte).expect("a head");
            assert_eq!(read, 1, "the connection ended");
            head.extend_from_slice(&byte);
        }
        String::from_utf8(head).expect("text").to_lowercase()
    }

    fn read(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.stream.read_exact(&mut bytes).expect("bytes");
        bytes
    }

    /// What comes until the server ends the connection.
    fn rest(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        // It may end it without a word.
        let _ = self.stream.read_to_end(&mut bytes);
        bytes
    }
}

fn tcp(server: &Server) -> TcpStream {
    let address = server.firmware().strip_prefix("https://").expect("HTTPS");
    let stream = TcpStream::connect(address).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time");
    stream
}
