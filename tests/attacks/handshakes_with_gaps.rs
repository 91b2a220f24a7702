//! Attack 27: a device with a certificate that leaves out one of the messages by which it proves itself.

use std::net::UdpSocket;
use std::time::Duration;

use super::raw_handshakes::{CHANGE_CIPHER_SPEC, CLIENT_KEY_EXCHANGE, HANDSHAKE};
use crate::support::server::{SOON, Server, eventually};
use flownexus::net::dtls::{Client, ClientCredentials, ClientSettings};

const CERTIFICATE: u8 = 11;
const CERTIFICATE_VERIFY: u8 = 15;
const SESSIONS: &str = "flownexus_dtls_sessions";

/// Content type and, of a handshake that is not encrypted, the kind of its message.
type Kind = (u8, Option<u8>);

fn kind_of(record: &[u8]) -> Kind {
    let in_plain = record[3..5] == [0, 0];
    let message = (record[0] == HANDSHAKE && in_plain).then(|| record[13]);
    (record[0], message)
}

/// A datagram without the records of one kind.
fn without(datagram: &[u8], missing: Option<Kind>) -> Vec<u8> {
    let mut kept = Vec::new();
    let mut rest = datagram;
    while rest.len() >= 13 {
        let length = usize::from(u16::from_be_bytes([rest[11], rest[12]]));
        let (record, next) = rest.split_at(13 + length);
        if Some(kind_of(record)) != missing {
            kept.extend(record);
        }
        rest = next;
    }
    kept
}

/// Shakes hands once, without sending anything twice. Whether the server has finished.
fn connects(server: &Server, credentials: &ClientCredentials, missing: Option<Kind>) -> bool {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    socket.connect(server.coaps()).expect("loopback");
    let patience = Duration::from_millis(700);
    socket.set_read_timeout(Some(patience)).expect("a time");
    let mut client = Client::new(ClientSettings::new(credentials.clone())).expect("a client");
    let mut buffer = [0; 4096];
    loop {
        while let Some(datagram) = client.poll_transmit() {
            let datagram = without(&datagram, missing);
            if !datagram.is_empty() {
                socket.send(&datagram).expect("loopback takes it");
            }
        }
        if client.is_connected() {
            return true;
        }
        let Ok(length) = socket.recv(&mut buffer) else {
            return false;
        };
        client.handle_datagram(&buffer[..length]);
        if client.is_closed() {
            return false;
        }
    }
}

#[tokio::test]
async fn attack_27_a_handshake_without_any_one_of_its_messages_is_no_session() {
    let server = Server::setup()
        .setting("coaps.handshake_timeout_s", 3)
        .start()
        .await;
    let folder = tempfile::tempdir().expect("a folder");
    let certs = server.data_dir().join("certs").display().to_string();
    let out = folder.path().display().to_string();
    let made = server.command(
        &[
            "cert",
            "device",
            "--ca",
            &certs,
            "--endpoint",
            "gap",
            "--out",
            &out,
        ],
        "",
    );
    assert!(made.status.success(), "{made:?}");
    let read =
        |kind: &str| std::fs::read(folder.path().join(format!("gap.{kind}"))).expect("a file");
    let credentials = ClientCredentials::x509(&read("crt"), &read("key"), None).expect("a pair");
    for missing in [
        (HANDSHAKE, Some(CERTIFICATE)),
        (HANDSHAKE, Some(CLIENT_KEY_EXCHANGE)),
        (HANDSHAKE, Some(CERTIFICATE_VERIFY)),
        (CHANGE_CIPHER_SPEC, None),
        // Its Finished.
        (HANDSHAKE, None),
    ] {
        assert!(
            !connects(&server, &credentials, Some(missing)),
            "{missing:?}"
        );
        assert_eq!(server.metric(SESSIONS).await, 0.0, "{missing:?}");
    }
    assert!(connects(&server, &credentials, None), "nothing is missing");
    // The client is done a moment before the session is counted.
    eventually("one session", SOON, || async {
        (server.metric(SESSIONS).await == 1.0).then_some(())
    })
    .await;
}
