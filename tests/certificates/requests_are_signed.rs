//! A device makes its key itself and sends a request (PKCS #10): its key never leaves it.

use std::fs;

use super::{Bench, openssl_says};

/// A key and a request of the `openssl` program; nothing where that is missing.
fn request(bench: &Bench, curve: &str, subject: &str, out: &str) -> Option<()> {
    let key = format!("{out}.key");
    let folder = bench.folder.path();
    openssl_says(
        folder,
        &["ecparam", "-genkey", "-name", curve, "-noout", "-out", &key],
    )?;
    openssl_says(
        folder,
        &["req", "-new", "-key", &key, "-subj", subject, "-out", out],
    )?;
    Some(())
}

#[test]
fn the_certificate_is_for_the_key_of_the_request() {
    let bench = Bench::with_ca();
    let Some(()) = request(&bench, "prime256v1", "/CN=thing", "thing.csr") else {
        return;
    };
    let (files, _) = bench.makes(&[
        "device",
        "--ca",
        "ca",
        "--endpoint",
        "thing",
        "--csr",
        "thing.csr",
        "--out",
        "d",
        "--der",
    ]);
    assert_eq!(files, ["d/thing.crt", "d/thing.crt.der", "d/ca.crt.der"]);
    let folder = bench.folder.path();
    let of_certificate = openssl_says(folder, &["x509", "-in", "d/thing.crt", "-noout", "-pubkey"]);
    let of_key = openssl_says(folder, &["pkey", "-in", "thing.csr.key", "-pubout"]);
    assert_eq!(of_certificate, of_key);
    openssl_says(folder, &["verify", "-CAfile", "ca/ca.crt", "d/thing.crt"]);
}

#[test]
fn what_a_request_asks_for_is_decided_here() {
    let bench = Bench::with_ca();
    let Some(()) = request(&bench, "prime256v1", "/O=Somebody/OU=CA", "thing.csr") else {
        return;
    };
    bench.makes(&[
        "device",
        "--ca",
        "ca",
        "--endpoint",
        "thing",
        "--csr",
        "thing.csr",
        "--out",
        "d",
    ]);
    assert_eq!(bench.shows("d/thing.crt", "subject"), "CN = thing");
}

#[test]
fn a_request_that_is_not_the_devices_is_refused() {
    let bench = Bench::with_ca();
    let device = |csr| {
        [
            "device",
            "--ca",
            "ca",
            "--endpoint",
            "thing",
            "--csr",
            csr,
            "--out",
            "d",
        ]
    };
    bench.refuses(&device("nothing.csr"), &["cannot read nothing.csr"]);
    bench.refuses(
        &device("ca/ca.crt"),
        &["ca/ca.crt holds no certificate request"],
    );
    let Some(()) = request(&bench, "prime256v1", "/CN=other", "other.csr") else {
        return;
    };
    bench.refuses(
        &device("other.csr"),
        &["other.csr is for `other`, not for `thing`"],
    );
    request(&bench, "secp384r1", "/CN=thing", "large.csr");
    bench.refuses(&device("large.csr"), &["large.csr has no P-256 key"]);

    request(&bench, "prime256v1", "/CN=thing", "good.csr");
    let folder = bench.folder.path();
    openssl_says(
        folder,
        &[
            "req", "-in", "good.csr", "-outform", "DER", "-out", "bad.csr",
        ],
    );
    let mut der = bench.read("bad.csr");
    let place = der
        .windows(5)
        .position(|five| five == b"thing")
        .expect("the name");
    der[place] = b'T';
    fs::write(bench.path("bad.csr"), der).expect("written");
    bench.refuses(
        &device("bad.csr"),
        &["bad.csr is not signed by its own key"],
    );
    assert!(!bench.path("d").exists());
}
