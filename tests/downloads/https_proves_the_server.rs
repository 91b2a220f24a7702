//! By which certificate the server proves itself over HTTPS, and who accepts it.

use std::process::Command;

use openssl::ssl::SslVersion;

use super::{Device, ca, curl, image, tcp, upload};
use crate::support::server::{SOON, Server, eventually};

fn cert(arguments: &[&str]) {
    let output = Command::new(env!("CARGO_BIN_EXE_flownexus"))
        .arg("cert")
        .args(arguments)
        .output()
        .expect("the binary runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}");
}

fn serial(device: &Device) -> String {
    let certificate = device.stream.ssl().peer_certificate().expect("one");
    let serial = certificate.serial_number().to_bn().expect("a number");
    serial.to_hex_str().expect("text").to_string()
}

#[tokio::test]
async fn whoever_trusts_another_ca_fetches_nothing() {
    let server = Server::start().await;
    upload(&server, "1.0.0", "app.bin", image(1, 1000)).await;
    let folder = tempfile::tempdir().expect("a folder");
    let other = folder.path().display().to_string();
    cert(&["ca", "--out", &other]);
    let url = format!("{}/binaries/app.bin", server.firmware());
    let Some(refused) = curl(&folder.path().join("ca.crt"), &[&url]) else {
        return;
    };
    // The certificate of the peer cannot be verified.
    assert_eq!(refused.status.code(), Some(60));
    assert_eq!(refused.stdout, b"");
    let failed = "flownexus_firmware_download_handshakes_total{result=\"failed\"}";
    eventually("it is counted", SOON, || async {
        (server.metric(failed).await == 1.0).then_some(())
    })
    .await;
    assert!(curl(&ca(&server), &[&url]).expect("curl").status.success());
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_to_the_next_connection() {
    let server = Server::setup()
        .setting("certificates.reload_s", 1)
        .start()
        .await;
    let bytes = image(2, 3_000_000);
    upload(&server, "1.0.0", "app.bin", bytes.clone()).await;
    let mut device = Device::connect(&server);
    let before = serial(&device);
    assert_eq!(serial(&Device::connect(&server)), before);
    device.ask("/binaries/app.bin", "");
    device.head();
    let mut fetched = device.read(1000);

    let certs = server.data_dir().join("certs");
    let file = certs.join("server.crt").display().to_string();
    cert(&["renew", &file, "--ca", &certs.display().to_string()]);
    eventually("another certificate", SOON, || async {
        (serial(&Device::connect(&server)) != before).then_some(())
    })
    .await;

    // Who was connected is served on.
    fetched.extend(device.read(bytes.len() - 1000));
    assert!(fetched == bytes);
}

#[tokio::test]
async fn devices_choose_their_version_of_tls_and_old_ones_are_refused() {
    let server = Server::start().await;
    for (version, list, suite) in [
        (SslVersion::TLS1_2, "DEFAULT", "ECDHE-ECDSA-"),
        // What LwM2M asks of devices, and what old modems have.
        (
            SslVersion::TLS1_2,
            "ECDHE-ECDSA-AES128-CCM8:@SECLEVEL=0",
            "ECDHE-ECDSA-AES128-CCM8",
        ),
        (
            SslVersion::TLS1_2,
            "ECDHE-ECDSA-AES128-SHA256",
            "ECDHE-ECDSA-AES128-SHA256",
        ),
        (SslVersion::TLS1_3, "DEFAULT", "TLS_AES_"),
    ] {
        let device = Device::shake_hands(&ca(&server), tcp(&server), |connector| {
            let version = Some(version);
            connector.set_min_proto_version(version).expect("known");
            connector.set_max_proto_version(version).expect("known");
            connector.set_cipher_list(list).expect("known");
        });
        let ssl = device.stream.ssl();
        assert_eq!(ssl.version2(), Some(version));
        let name = ssl.current_cipher().expect("a suite").name();
        assert!(name.starts_with(suite), "{name}");
    }
    let url = format!("{}/", server.firmware());
    let old = [
        "--tlsv1.1",
        "--tls-max",
        "1.1",
        "--ciphers",
        "DEFAULT@SECLEVEL=0",
        &url,
    ];
    if let Some(refused) = curl(&ca(&server), &old) {
        // The handshake failed.
        assert_eq!(refused.status.code(), Some(35));
    }
}
