//! `cert renew`: new dates and a new serial number, the same key and names, in the same file.

use std::fs;

use super::Bench;

#[test]
fn of_servers_and_devices() {
    let bench = Bench::with_ca();
    bench.makes(&[
        "server",
        "--ca",
        "ca",
        "--host",
        "a.example",
        "--out",
        "s",
        "--days",
        "10",
    ]);
    bench.makes(&[
        "device",
        "--ca",
        "ca",
        "--endpoint",
        "d",
        "--out",
        "d",
        "--days",
        "10",
        "--der",
    ]);
    for file in ["s/server.crt", "d/d.crt", "d/d.crt.der"] {
        let (serial, names) = (bench.shows(file, "serial"), bench.shows(file, "names"));
        assert!(bench.shows(file, "valid until").contains("(9 days left)"));
        let (written, _) = bench.makes(&["renew", file, "--ca", "ca"]);
        assert_eq!(written, [file]);
        assert_ne!(bench.shows(file, "serial"), serial);
        assert_eq!(bench.shows(file, "names"), names);
        assert!(bench.shows(file, "valid until").contains("(9 days left)"));
        bench.makes(&["renew", file, "--ca", "ca", "--days", "20"]);
        assert!(bench.shows(file, "valid until").contains("(19 days left)"));
    }
    assert!(!bench.read("d/d.crt.der").starts_with(b"-----"));
}

#[test]
fn of_the_ca_itself() {
    let bench = Bench::new();
    bench.makes(&["ca", "--out", "ca", "--days", "10"]);
    let (subject, serial) = (
        bench.shows("ca/ca.crt", "subject"),
        bench.shows("ca/ca.crt", "serial"),
    );
    bench.makes(&["renew", "ca/ca.crt", "--ca", "ca", "--days", "20"]);
    assert_eq!(bench.shows("ca/ca.crt", "subject"), subject);
    assert_ne!(bench.shows("ca/ca.crt", "serial"), serial);
    assert!(
        bench
            .shows("ca/ca.crt", "valid until")
            .contains("(19 days left)")
    );
    bench.makes(&["device", "--ca", "ca", "--endpoint", "d", "--out", "d"]);
}

#[test]
fn of_a_file_in_the_folder_one_stands_in() {
    let bench = Bench::with_ca();
    bench.makes(&["device", "--ca", "ca", "--endpoint", "d", "--out", "."]);
    let serial = bench.shows("d.crt", "serial");
    let (written, _) = bench.makes(&["renew", "d.crt", "--ca", "ca"]);
    assert_eq!(written, ["d.crt"]);
    assert_ne!(bench.shows("d.crt", "serial"), serial);
}

#[test]
fn of_the_first_in_a_chain_that_ends_with_the_ca() {
    let bench = Bench::with_ca();
    bench.makes(&["server", "--ca", "ca", "--host", "a.example", "--out", "s"]);
    let chain = [bench.read("s/server.crt"), bench.read("ca/ca.crt")].concat();
    fs::write(bench.path("s/server.crt"), &chain).expect("written");
    bench.makes(&["renew", "s/server.crt", "--ca", "ca"]);
    let renewed = bench.read("s/server.crt");
    assert_ne!(renewed, chain);
    assert!(renewed.ends_with(&bench.read("ca/ca.crt")));
}

#[test]
fn but_not_of_what_another_ca_has_signed() {
    let bench = Bench::with_ca();
    bench.makes(&["ca", "--out", "other", "--name", "Test CA"]);
    bench.makes(&["device", "--ca", "other", "--endpoint", "d", "--out", "d"]);
    let before = bench.read("d/d.crt");
    bench.refuses(
        &["renew", "d/d.crt", "--ca", "ca"],
        &["d/d.crt was not signed by ca.crt"],
    );
    bench.refuses(
        &["renew", "other/ca.crt", "--ca", "ca"],
        &["other/ca.crt was not signed by"],
    );
    assert_eq!(bench.read("d/d.crt"), before);
}
