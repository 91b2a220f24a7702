//! Keys are for their owner's eyes only, and nothing is overwritten without `--force`.

use std::fs;

use super::Bench;

#[test]
fn keys_are_readable_by_their_owner_only() {
    let bench = Bench::with_ca();
    bench.makes(&["server", "--ca", "ca", "--host", "a.example", "--out", "s"]);
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
    for key in ["ca/ca.key", "s/server.key", "d/d.key", "d/d.key.der"] {
        assert_eq!(bench.mode(key), 0o600, "{key}");
    }
    for certificate in ["ca/ca.crt", "s/server.crt", "d/d.crt", "d/d.crt.der"] {
        assert_eq!(bench.mode(certificate), 0o644, "{certificate}");
    }
    assert!(
        bench
            .read("d/d.key")
            .starts_with(b"-----BEGIN PRIVATE KEY-----")
    );
}

#[test]
fn what_is_there_stays_unless_told_otherwise() {
    let bench = Bench::with_ca();
    let server = ["server", "--ca", "ca", "--host", "a.example", "--out", "s"];
    let device = ["device", "--ca", "ca", "--endpoint", "d", "--out", "d"];
    bench.makes(&server);
    bench.makes(&device);
    let all = [
        "ca/ca.crt",
        "ca/ca.key",
        "s/server.crt",
        "s/server.key",
        "d/d.crt",
        "d/d.key",
    ];
    let before = all.map(|file| bench.read(file));
    bench.refuses(
        &["ca", "--out", "ca"],
        &["ca/ca.crt exists already", "--force"],
    );
    bench.refuses(&server, &["s/server.crt exists already", "--force"]);
    bench.refuses(&device, &["d/d.crt exists already", "--force"]);
    // One of the two is enough.
    fs::remove_file(bench.path("d/d.crt")).expect("removed");
    bench.refuses(&device, &["d/d.key exists already"]);
    fs::write(bench.path("d/d.crt"), &before[4]).expect("written");
    assert_eq!(all.map(|file| bench.read(file)), before);

    bench.makes(&[&device[..], &["--force"]].concat());
    assert_ne!(bench.read("d/d.key"), before[5]);
    assert_eq!(bench.mode("d/d.key"), 0o600);
    assert_eq!(fs::read_dir(bench.path("d")).expect("a folder").count(), 2);
}

#[test]
fn devices_share_the_ca_in_der_and_another_ca_does_not_replace_it() {
    let bench = Bench::with_ca();
    bench.makes(&["ca", "--out", "other"]);
    let device = |ca, name| {
        [
            "device",
            "--ca",
            ca,
            "--endpoint",
            name,
            "--out",
            "d",
            "--der",
        ]
    };
    bench.makes(&device("ca", "one"));
    bench.makes(&device("ca", "two"));
    bench.refuses(&device("other", "three"), &["d/ca.crt.der exists already"]);
    assert!(!bench.path("d/three.crt").exists());
    assert_eq!(bench.shows("d/ca.crt.der", "subject"), "CN = Test CA");
}

#[test]
fn a_device_called_ca_does_not_take_the_place_of_the_ca() {
    let bench = Bench::with_ca();
    let before = bench.read("ca/ca.key");
    for name in ["ca", "../ca/ca"] {
        bench.makes(&[
            "device",
            "--ca",
            "ca",
            "--endpoint",
            name,
            "--out",
            "ca",
            "--force",
        ]);
    }
    assert_eq!(bench.read("ca/ca.key"), before);
    assert!(bench.path("ca/_ca.crt").exists() && bench.path("ca/_._ca_ca.crt").exists());
}

#[test]
fn what_cannot_be_used_is_said_in_a_line() {
    let bench = Bench::with_ca();
    let device = |ca| ["device", "--ca", ca, "--endpoint", "d", "--out", "d"];
    bench.refuses(
        &device("nowhere"),
        &[
            "no CA in nowhere can sign",
            "nowhere/ca.crt",
            "No such file",
        ],
    );
    bench.makes(&["ca", "--out", "other"]);
    fs::copy(bench.path("other/ca.key"), bench.path("ca/ca.key")).expect("copied");
    bench.refuses(
        &device("ca"),
        &["ca/ca.key is not the private key of ca/ca.crt"],
    );
    fs::write(bench.path("ca/ca.key"), "nonsense").expect("written");
    bench.refuses(&device("ca"), &["ca/ca.key holds no private key"]);
    bench.refuses(&["show", "ca/ca.key"], &["ca/ca.key holds no certificate"]);
    fs::write(bench.path("file"), "").expect("written");
    bench.refuses(
        &["ca", "--out", "file/ca"],
        &["cannot write file/ca/ca.key"],
    );
}

#[test]
fn a_key_without_a_certificate_is_made_once_and_its_public_half_belongs_to_it() {
    let bench = Bench::new();
    let key = ["key", "--endpoint", "urn:imei:1", "--out", "k"];
    let (files, _) = bench.makes(&key);
    assert_eq!(files, ["k/urn_imei_1.key", "k/urn_imei_1.pub"]);
    assert_eq!(bench.mode("k/urn_imei_1.key"), 0o600);
    assert_eq!(bench.mode("k/urn_imei_1.pub"), 0o644);
    let secret = openssl::pkey::PKey::private_key_from_pem(&bench.read("k/urn_imei_1.key"));
    let public = openssl::pkey::PKey::public_key_from_pem(&bench.read("k/urn_imei_1.pub"));
    let (secret, public) = (secret.expect("a key"), public.expect("a key"));
    assert!(secret.public_eq(&public));
    fs::remove_file(bench.path("k/urn_imei_1.pub")).expect("removed");
    bench.refuses(&key, &["k/urn_imei_1.key exists already", "--force"]);
    bench.makes(&[&key[..], &["--force"]].concat());
    let another = openssl::pkey::PKey::public_key_from_pem(&bench.read("k/urn_imei_1.pub"));
    assert!(!secret.public_eq(&another.expect("a key")));
}
