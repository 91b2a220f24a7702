//! What the tests of credentials share: keys and certificates that a server is told of, and devices
//! with them.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::bench::LINKS;
use crate::support::certificates::Holder;
use crate::support::device::{LINK_FORMAT, ScriptedDevice};
use crate::support::secure::Credentials;
use crate::support::server::{SOON, Server};
use flownexus::coap::{Code, Message, Options, number};

/// A key of 16 bytes.
pub(super) const KEY: &[u8] = b"0123456789abcdef";
/// The same length, other bytes.
pub(super) const OTHER_KEY: &[u8] = b"fedcba9876543210";

const POLL: Duration = Duration::from_millis(20);

/// `flownexus credential …`, which must succeed, and what it prints.
#[track_caller]
pub(super) fn credential(server: &Server, arguments: &[&str], stdin: &str) -> String {
    let output = server.command(&[&["credential"], arguments].concat(), stdin);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    let said = String::from_utf8(output.stdout).expect("text");
    said.trim().to_owned()
}

/// Gives an endpoint a pre-shared key; the credential's id.
pub(super) fn add_psk(server: &Server, endpoint: &str, identity: &str, key: &[u8]) -> String {
    let pair = format!("{identity}:{}", hex::encode(key));
    credential(server, &["add", endpoint, "--psk", &pair], "")
}

/// A device whose handshake is done, as soon as the server knows its credentials.
#[track_caller]
pub(super) fn connected(server: &Server, name: &str, credentials: Credentials) -> ScriptedDevice {
    let mut device = ScriptedDevice::secure(name, server.coaps(), credentials);
    let end = Instant::now() + SOON;
    while let Err(error) = device.handshake() {
        assert!(Instant::now() < end, "{name}: {error}");
        thread::sleep(POLL);
    }
    device
}

/// Why the server does not let a device with these credentials in.
#[track_caller]
pub(super) fn turned_away(server: &Server, name: &str, credentials: Credentials) -> String {
    let mut device = ScriptedDevice::secure(name, server.coaps(), credentials);
    let refused = device.handshake().expect_err("no session");
    assert!(refused.starts_with("alert "), "{name}: {refused}");
    refused
}

/// Tries until the credentials are not taken any more, and returns the alert.
#[track_caller]
pub(super) fn soon_turned_away(server: &Server, name: &str, credentials: &Credentials) -> String {
    let end = Instant::now() + SOON;
    loop {
        let mut device = ScriptedDevice::secure(name, server.coaps(), credentials.clone());
        match device.handshake() {
            Err(alert) => return alert,
            Ok(()) => assert!(Instant::now() < end, "{name} is still let in"),
        }
        thread::sleep(POLL);
    }
}

/// A Register without `ep`.
pub(super) fn nameless(device: &mut ScriptedDevice) -> Message {
    let mut options = Options::new();
    options.add_uri_path("/rd");
    for part in ["lt=3600", "lwm2m=1.1", "b=U"] {
        options.add(number::URI_QUERY, part.as_bytes());
    }
    options.add_uint(number::CONTENT_FORMAT, u32::from(LINK_FORMAT));
    device.request(Code::POST, options, LINKS.as_bytes())
}

/// Registers in queue mode.
#[track_caller]
pub(super) fn register_sleepy(device: &mut ScriptedDevice) {
    let query = ["lt=3600", "lwm2m=1.1", "b=U", "Q"].map(str::to_owned);
    let register = device.register_with(&query, LINKS);
    let answer = device.ask(&register);
    device.take_location(&answer);
}

/// The server's CA, to sign with.
pub(super) fn authority(server: &Server) -> Holder {
    let read = |name| fs::read(server.data_dir().join("certs").join(name)).expect("a file");
    Holder::of(&read("ca.crt"), &read("ca.key"))
}

/// The public key of the server's certificate, DER.
pub(super) fn servers_key(server: &Server) -> Vec<u8> {
    let pem = fs::read(server.data_dir().join("certs/server.crt")).expect("a file");
    let certificate = openssl::x509::X509::from_pem(&pem).expect("a certificate");
    let key = certificate.public_key().expect("a key");
    key.public_key_to_der().expect("DER")
}

/// What somebody with a certificate proves itself with, to the server of this CA.
pub(super) fn x509(holder: &Holder, server: &Server) -> Credentials {
    let ca = authority(server).certificate();
    Credentials::x509(&holder.certificate(), &holder.key(), Some(&ca))
}

/// A folder with `d.crt`, `d.key` and `ca.crt`, made by `flownexus cert device`, for an endpoint.
pub(super) fn made_by_the_command(server: &Server, endpoint: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let ca = server.data_dir().join("certs").display().to_string();
    let out = folder.path().display().to_string();
    let made = server.command(
        &[
            "cert",
            "device",
            "--ca",
            &ca,
            "--endpoint",
            endpoint,
            "--out",
            &out,
        ],
        "",
    );
    assert!(made.status.success(), "{made:?}");
    folder
}
