//! M. DTLS with certificates and raw public keys, and the store of credentials.

use std::fs;
use std::path::Path;

use super::bench::{LINKS, shown};
use super::l_psk::register_as;
use crate::support::certificates::Holder;
use crate::support::device::ScriptedDevice;
use crate::support::secure::Credentials;
use crate::support::server::Server;
use crate::support::shared::{Hold, SharedServer};
use flownexus::coap::Code;

static SERVER: SharedServer = SharedServer::new(|setup| setup);

async fn server() -> Hold {
    SERVER.hold().await
}

/// A certificate of the server's own CA, made by the command.
fn issued(server: &Server, name: &str, folder: &Path) -> (Vec<u8>, Vec<u8>) {
    let certs = server.data_dir().join("certs");
    let (certs, out) = (certs.to_string_lossy(), folder.to_string_lossy());
    let made = server.command(
        &[
            "cert",
            "device",
            "--ca",
            &certs,
            "--endpoint",
            name,
            "--out",
            &out,
        ],
        "",
    );
    assert!(made.status.success(), "{made:?}");
    let read = |kind: &str| fs::read(folder.join(format!("{name}.{kind}"))).expect("a file");
    (read("crt"), read("key"))
}

fn authority(server: &Server) -> Vec<u8> {
    fs::read(server.data_dir().join("certs/ca.crt")).expect("a file")
}

fn device(server: &Server, name: &str, credentials: Credentials) -> ScriptedDevice {
    ScriptedDevice::secure(name, server.coaps(), credentials)
}

#[tokio::test]
async fn m01_a_raw_public_key_registers_and_an_unknown_one_does_not() {
    let server = server().await;
    let folder = tempfile::tempdir().expect("a folder");
    let holder = Holder::authority("m01");
    let credentials = || Credentials::raw_public_key(&holder.key(), None);
    let mut m01 = device(&server, "m01", credentials());
    m01.handshake().expect_err("the key is unknown");

    let file = folder.path().join("m01.pem");
    let public = openssl::pkey::PKey::private_key_from_pem(&holder.key())
        .and_then(|key| key.public_key_to_pem())
        .expect("a key");
    fs::write(&file, public).expect("a file");
    let path = file.to_string_lossy();
    let added = server.command(&["credential", "add", "m01", "--rpk", &path], "");
    assert!(added.status.success(), "{added:?}");
    m01.handshake_soon();
    let nameless = register_as(&mut m01, &["lwm2m=1.1", "lt=3600"]);
    assert_eq!(m01.ask(&nameless).code, Code::CREATED);
    let other = register_as(&mut m01, &["ep=m01-other", "lwm2m=1.1", "lt=3600"]);
    assert_eq!(m01.ask(&other).code, Code::FORBIDDEN);
    assert_eq!(shown(&server.api(), &m01).await["secure"], true);
}

#[tokio::test]
async fn m02_a_certificate_of_our_ca_registers_under_its_name_only() {
    let server = server().await;
    let folder = tempfile::tempdir().expect("a folder");
    let (certificate, key) = issued(&server, "m02", folder.path());
    let ca = authority(&server);
    let credentials = || Credentials::x509(&certificate, &key, Some(&ca));
    let mut m02 = device(&server, "m02", credentials());
    m02.handshake().expect("a certificate of our CA");
    let nameless = register_as(&mut m02, &["lwm2m=1.1", "lt=3600"]);
    assert_eq!(m02.ask(&nameless).code, Code::CREATED);
    let other = register_as(&mut m02, &["ep=m02-other", "lwm2m=1.1", "lt=3600"]);
    assert_eq!(m02.ask(&other).code, Code::FORBIDDEN);
    assert!(server.api().endpoint("m02").await.is_some());
}

#[tokio::test]
async fn m02_foreign_stolen_and_missing_certificates_are_refused() {
    let server = server().await;
    let folder = tempfile::tempdir().expect("a folder");
    let (certificate, _) = issued(&server, "m02-stolen", folder.path());
    let foreign = Holder::authority("a foreign authority");
    let signed = foreign.sign("m02-foreign");
    let alone = Holder::authority("m02-alone");
    for (name, credentials) in [
        (
            "m02-stolen",
            Credentials::stolen_certificate(&certificate, None),
        ),
        (
            "m02-foreign",
            Credentials::x509(&signed.certificate(), &signed.key(), None),
        ),
        (
            "m02-alone",
            Credentials::x509(&alone.certificate(), &alone.key(), None),
        ),
        ("m02-nothing", Credentials::nothing()),
    ] {
        let refused = device(&server, name, credentials).handshake();
        assert!(refused.is_err(), "{name} was taken");
    }
}

#[tokio::test]
async fn m02_a_revoked_certificate_ends_its_session_and_is_refused() {
    let server = server().await;
    let folder = tempfile::tempdir().expect("a folder");
    let (certificate, key) = issued(&server, "m02-revoked", folder.path());
    let mut revoked = device(
        &server,
        "m02-revoked",
        Credentials::x509(&certificate, &key, None),
    );
    revoked.handshake().expect("a certificate of our CA");
    revoked.register_now(3600, LINKS);
    let serial = openssl::x509::X509::from_pem(&certificate)
        .and_then(|certificate| certificate.serial_number().to_bn())
        .and_then(|serial| serial.to_hex_str())
        .expect("a number")
        .to_string();
    let done = server.command(&["credential", "revoke", &serial], "");
    assert!(done.status.success(), "{done:?}");
    revoked.expect_end_of_session();
    revoked
        .handshake()
        .expect_err("the certificate was revoked");
}

#[tokio::test]
async fn m02_a_stored_certificate_counts_whoever_signed_it_and_excludes_others() {
    let server = server().await;
    let folder = tempfile::tempdir().expect("a folder");
    let own = Holder::authority("m02-stored");
    let file = folder.path().join("stored.pem");
    fs::write(&file, own.certificate()).expect("a file");
    let path = file.to_string_lossy();
    let added = server.command(&["credential", "add", "m02-stored", "--x509", &path], "");
    assert!(added.status.success(), "{added:?}");
    let mut stored = device(
        &server,
        "m02-stored",
        Credentials::x509(&own.certificate(), &own.key(), None),
    );
    stored.handshake_soon();
    stored.register_now(3600, LINKS);
    let (certificate, key) = issued(&server, "m02-stored", folder.path());
    let other = Credentials::x509(&certificate, &key, None);
    let other = device(&server, "m02-stored", other).handshake();
    assert!(
        other.is_err(),
        "another certificate speaks for the endpoint"
    );
}

#[tokio::test]
async fn m04_a_client_with_a_raw_public_key_is_shown_the_key_of_the_server_s_certificate() {
    let server = server().await;
    let folder = tempfile::tempdir().expect("a folder");
    let certificate = fs::read(server.data_dir().join("certs/server.crt")).expect("a file");
    let expected = openssl::x509::X509::from_pem(&certificate)
        .and_then(|certificate| certificate.public_key())
        .and_then(|key| key.public_key_to_der())
        .expect("a key");
    let holder = Holder::authority("m04");
    let file = folder.path().join("m04.pem");
    let public = openssl::pkey::PKey::private_key_from_pem(&holder.key())
        .and_then(|key| key.public_key_to_pem())
        .expect("a key");
    fs::write(&file, public).expect("a file");
    let path = file.to_string_lossy();
    let added = server.command(&["credential", "add", "m04", "--rpk", &path], "");
    assert!(added.status.success(), "{added:?}");
    let credentials = Credentials::raw_public_key(&holder.key(), Some(expected));
    let mut m04 = device(&server, "m04", credentials);
    m04.handshake_soon();
    m04.register_now(3600, LINKS);
}
