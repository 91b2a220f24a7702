//! The program `openssl` accepts what is made here, and what it made by hand in chapter 4.3.1 of the
//! first flownexus's documentation is accepted here.

use super::{Bench, openssl, openssl_says};

#[test]
fn it_verifies_servers_and_devices_for_both_ends() {
    let bench = Bench::with_ca();
    bench.makes(&[
        "server",
        "--ca",
        "ca",
        "--host",
        "fw.example.org",
        "--host",
        "192.0.2.7",
        "--out",
        "s",
    ]);
    bench.makes(&[
        "device",
        "--ca",
        "ca",
        "--endpoint",
        "urn:imei:1",
        "--out",
        "d",
    ]);
    let long = format!("urn:dev:os:{}", "x".repeat(80));
    let (files, _) = bench.makes(&["device", "--ca", "ca", "--endpoint", &long, "--out", "d"]);
    let folder = bench.folder.path();
    for certificate in ["s/server.crt", "d/urn_imei_1.crt", &files[1]] {
        for purpose in ["sslclient", "sslserver"] {
            let verified = openssl_says(
                folder,
                &[
                    "verify",
                    "-x509_strict",
                    "-purpose",
                    purpose,
                    "-CAfile",
                    "ca/ca.crt",
                    certificate,
                ],
            );
            let Some(said) = verified else { return };
            assert!(said.contains("OK"), "{said}");
        }
    }
    for (flag, name) in [
        ("-verify_hostname", "fw.example.org"),
        ("-verify_ip", "192.0.2.7"),
    ] {
        let verify = |name| {
            let arguments = ["verify", flag, name, "-CAfile", "ca/ca.crt", "s/server.crt"];
            openssl(folder, &arguments).is_some_and(|output| output.status.success())
        };
        assert!(verify(name), "{name}");
        assert!(!verify(if flag == "-verify_ip" {
            "192.0.2.8"
        } else {
            "x.example.org"
        }));
    }
    bench.makes(&["ca", "--out", "other", "--name", "Test CA"]);
    let foreign = ["verify", "-CAfile", "other/ca.crt", "s/server.crt"];
    assert!(openssl(folder, &foreign).is_some_and(|output| !output.status.success()));
}

#[test]
fn key_and_certificate_belong_together_in_pem_and_der() {
    let bench = Bench::with_ca();
    bench.makes(&[
        "device",
        "--ca",
        "ca",
        "--endpoint",
        "d",
        "--out",
        "d",
        "--der",
    ]);
    let folder = bench.folder.path();
    let public = |arguments: &[&str]| openssl_says(folder, arguments);
    let Some(pem) = public(&["pkey", "-in", "d/d.key", "-pubout"]) else {
        return;
    };
    for arguments in [
        &["pkey", "-inform", "DER", "-in", "d/d.key.der", "-pubout"][..],
        &["x509", "-in", "d/d.crt", "-noout", "-pubkey"],
        &[
            "x509",
            "-inform",
            "DER",
            "-in",
            "d/d.crt.der",
            "-noout",
            "-pubkey",
        ],
    ] {
        assert_eq!(public(arguments).as_ref(), Some(&pem), "{arguments:?}");
    }
}

#[test]
fn a_ca_that_was_made_by_hand_signs_here() {
    let bench = Bench::new();
    let folder = bench.folder.path();
    // Word for word, with the parameters of the curve before the key.
    let made = openssl_says(
        folder,
        &[
            "ecparam",
            "-genkey",
            "-name",
            "prime256v1",
            "-out",
            "ca.key",
        ],
    );
    if made.is_none() {
        return;
    }
    openssl_says(
        folder,
        &[
            "req",
            "-new",
            "-x509",
            "-key",
            "ca.key",
            "-out",
            "ca.crt",
            "-days",
            "36500",
            "-subj",
            "/CN=flownexus.org",
        ],
    );
    bench.makes(&[
        "server",
        "--ca",
        ".",
        "--host",
        "fw.flownexus.org",
        "--out",
        "s",
    ]);
    openssl_says(folder, &["verify", "-CAfile", "ca.crt", "s/server.crt"]);
    assert_eq!(bench.shows("s/server.crt", "issuer"), "CN = flownexus.org");
    assert_eq!(bench.shows("ca.crt", "CA"), "yes");
}

#[test]
fn a_certificate_of_no_ca_signs_nothing() {
    let bench = Bench::with_ca();
    bench.makes(&["server", "--ca", "ca", "--host", "a.example", "--out", "s"]);
    for (from, to) in [("s/server.crt", "s/ca.crt"), ("s/server.key", "s/ca.key")] {
        std::fs::copy(bench.path(from), bench.path(to)).expect("copied");
    }
    let device = ["device", "--ca", "s", "--endpoint", "d", "--out", "d"];
    bench.refuses(&device, &["was not signed by ca.crt", "CA"]);
    assert!(!bench.path("d").exists());
}
