//! `simulate --rpk`: devices with raw public keys (RFC 7250), against the server itself.

use std::fs;
use std::path::Path;

use openssl::ec::{EcGroup, EcKey};
use openssl::nid::Nid;
use openssl::pkey::PKey;
use openssl::symm::Cipher;
use tempfile::TempDir;

use super::command::Simulate;
use crate::support::certificates::Holder;
use crate::support::server::{SOON, Server, eventually};

/// Has `cert key` make the key of an endpoint, and tells the server of its public half.
fn add_key(server: &Server, endpoint: &str, folder: &Path) {
    let out = folder.display().to_string();
    let made = server.command(&["cert", "key", "--endpoint", endpoint, "--out", &out], "");
    assert!(made.status.success(), "{made:?}");
    let files = String::from_utf8(made.stdout).expect("text");
    let public = files.lines().find(|file| file.ends_with(".pub"));
    let public = public.expect("a file for the server");
    let added = server.command(&["credential", "add", endpoint, "--rpk", public], "");
    assert!(added.status.success(), "{added:?}");
}

/// A server that knows the keys of these endpoints, the folder with their private halves, and its URL.
async fn server_that_knows(endpoints: &[&str]) -> (Server, TempDir, String) {
    let setup = Server::setup().setting("credentials.reload_s", 1);
    let server = setup.start().await;
    let folder = tempfile::tempdir().expect("a folder");
    for endpoint in endpoints {
        add_key(&server, endpoint, folder.path());
    }
    let url = format!("coaps://{}", server.coaps());
    (server, folder, url)
}

/// Waits until a device is registered over DTLS.
async fn is_registered(server: &Server, name: &str) {
    let api = server.api();
    eventually("it is registered over DTLS", SOON, || async {
        let endpoint = api.endpoint(name).await?;
        (endpoint["registered"] == true && endpoint["secure"] == true).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_command_simulates_devices_with_the_raw_public_keys_of_a_folder() {
    let (server, folder, url) = server_that_knows(&["pump:1", "pump:2"]).await;
    let keys = folder.path().display().to_string();
    let certificate = server.data_dir().join("certs/server.crt");
    let certificate = certificate.display().to_string();
    let _simulate = Simulate::start(&[
        "--server",
        &url,
        "-n",
        "2",
        "--prefix",
        "pump:",
        "--rpk",
        &keys,
        "--server-key",
        &certificate,
    ]);
    for name in ["pump:1", "pump:2"] {
        is_registered(&server, name).await;
        eventually("its key was used", SOON, || async {
            let listed = server.command(&["credential", "list", name], "");
            let listed = String::from_utf8(listed.stdout).expect("text");
            assert!(listed.contains("\trpk\t"), "{listed}");
            (!listed.contains("used never")).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn the_command_simulates_one_device_and_believes_any_server_where_it_is_not_told_which() {
    let (server, folder, url) = server_that_knows(&["pump-1"]).await;
    let key = folder.path().join("pump-1.key").display().to_string();
    let _simulate = Simulate::start(&["--server", &url, "--prefix", "pump-", "--rpk", &key]);
    is_registered(&server, "pump-1").await;
}

#[tokio::test]
async fn a_server_with_another_key_is_not_believed() {
    let (server, folder, url) = server_that_knows(&["pump-1"]).await;
    let key = folder.path().join("pump-1.key").display().to_string();
    let another = folder.path().join("pump-1.pub").display().to_string();
    let simulate = Simulate::start(&[
        "--server",
        &url,
        "--prefix",
        "pump-",
        "--rpk",
        &key,
        "--server-key",
        &another,
    ]);
    let said = simulate.says("No DTLS session for pump-1").await;
    assert!(said.contains("the server cannot be trusted"), "{said}");
    assert_eq!(server.api().endpoint("pump-1").await, None);
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, content: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, content).expect("a file");
        path.display().to_string()
    };
    let holder = Holder::authority("pump");
    let key = file("right.key", &holder.key());
    let public = file("right.pub", &holder.public_key().0);
    let group = EcGroup::from_curve_name(Nid::SECP384R1).expect("a curve");
    let other = EcKey::generate(&group).and_then(PKey::from_ec_key);
    let other = other.expect("a key");
    let pem = other.private_key_to_pem_pkcs8().expect("PEM");
    let curve = file("curve.key", &pem);
    let locked = other.private_key_to_pem_pkcs8_passphrase(Cipher::aes_128_cbc(), b"secret");
    let locked = file("locked.key", &locked.expect("PEM"));
    let missing = folder.path().join("missing.key").display().to_string();
    let text = file("text.key", b"no key");
    let server = ["--server", "coaps://localhost"];
    for (arguments, words) in [
        (
            &["--rpk", &missing][..],
            &["--rpk", "cannot read", &missing][..],
        ),
        (&["--rpk", &text], &["--rpk", &text, "no private key"]),
        (&["--rpk", &public], &["--rpk", &public, "no private key"]),
        (&["--rpk", &locked], &["--rpk", &locked, "no private key"]),
        (&["--rpk", &curve], &["--rpk", &curve, "P-256"]),
        (&["--rpk", &key, "-n", "2"], &["folder for 2"]),
        (
            &["--rpk", &key, "--server-key", &missing],
            &["--server-key", "cannot read", &missing],
        ),
        (
            &["--rpk", &key, "--server-key", &key],
            &["--server-key", &key, "private key"],
        ),
        (
            &["--rpk", &key, "--server-key", &text],
            &["--server-key", &text, "neither PEM nor DER"],
        ),
    ] {
        let said = Simulate::refused(&[&server[..], arguments].concat());
        for word in words {
            assert!(said.contains(word), "`{word}` is not in: {said}");
        }
    }
    // Of a folder each device has its file.
    let folder = folder.path().display().to_string();
    let said = Simulate::refused(
        &[
            &server[..],
            &["--prefix", "nobody-", "-n", "2", "--rpk", &folder],
        ]
        .concat(),
    );
    assert!(
        said.contains("cannot read") && said.contains("nobody-1.key"),
        "{said}"
    );
}
