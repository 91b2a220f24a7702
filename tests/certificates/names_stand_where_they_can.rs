//! A certificate names a device or a server where those who check it look.

use super::Bench;

#[test]
fn an_imei_is_a_common_name_and_a_uri() {
    let bench = Bench::with_ca();
    let endpoint = "urn:imei:490154203237518";
    let (files, said) =
        bench.makes(&["device", "--ca", "ca", "--endpoint", endpoint, "--out", "d"]);
    assert_eq!(
        files,
        [
            "d/urn_imei_490154203237518.key",
            "d/urn_imei_490154203237518.crt"
        ]
    );
    assert!(
        said.contains("3649 days left") || said.contains("3650 days left"),
        "{said}"
    );
    let file = "d/urn_imei_490154203237518.crt";
    assert_eq!(bench.shows(file, "subject"), format!("CN = {endpoint}"));
    assert_eq!(bench.shows(file, "names"), endpoint);
    assert_eq!(bench.shows(file, "issuer"), "CN = Test CA");
    assert_eq!(bench.shows(file, "CA"), "no");
    assert_eq!(bench.shows("ca/ca.crt", "CA"), "yes");
}

#[test]
fn a_long_name_is_told_about() {
    let bench = Bench::with_ca();
    let long = format!("urn:dev:os:{}", "x".repeat(80));
    let (files, said) = bench.makes(&["device", "--ca", "ca", "--endpoint", &long, "--out", "d"]);
    assert!(said.contains("more than 64 characters"), "{said}");
    assert_eq!(bench.shows(&files[1], "subject"), "(none)");
    assert_eq!(bench.shows(&files[1], "names"), long);
    let words = "a name that is neither ".repeat(4);
    let device = [
        "device",
        "--ca",
        "ca",
        "--endpoint",
        words.trim(),
        "--out",
        "d",
    ];
    bench.refuses(
        &device,
        &["cannot be put into a certificate", "64 characters"],
    );
}

#[test]
fn a_server_is_named_by_each_of_its_hosts() {
    let bench = Bench::with_ca();
    bench.makes(&[
        "server",
        "--ca",
        "ca",
        "--host",
        "FW.example.org",
        "--host",
        "192.0.2.7",
        "--host",
        "2001:db8::7",
        "--out",
        "s",
    ]);
    assert_eq!(
        bench.shows("s/server.crt", "subject"),
        "CN = fw.example.org"
    );
    assert_eq!(
        bench.shows("s/server.crt", "names"),
        "fw.example.org, 192.0.2.7, 2001:db8::7"
    );
    let wrong = bench.cert(&[
        "server",
        "--ca",
        "ca",
        "--host",
        "a.example:5684",
        "--out",
        "x",
    ]);
    let said = String::from_utf8_lossy(&wrong.stderr);
    assert!(
        !wrong.status.success() && said.contains("a.example:5684"),
        "{said}"
    );
    assert!(!bench.path("x").exists());
}

#[test]
fn a_device_may_not_be_called_like_the_server() {
    let bench = Bench::with_ca();
    bench.makes(&[
        "server",
        "--ca",
        "ca",
        "--host",
        "fw.example.org",
        "--out",
        "ca",
    ]);
    let device = [
        "device",
        "--ca",
        "ca",
        "--endpoint",
        "FW.example.org",
        "--out",
        "d",
    ];
    bench.refuses(
        &device,
        &["FW.example.org", "is a name of the server", "ca/server.crt"],
    );
}

#[test]
fn nothing_outlives_its_ca() {
    let bench = Bench::new();
    bench.makes(&["ca", "--out", "ca", "--days", "100"]);
    let (_, said) = bench.makes(&["device", "--ca", "ca", "--endpoint", "d", "--out", "d"]);
    assert!(said.contains("ends with its CA"), "{said}");
    let days = |file| bench.shows(file, "valid until");
    assert_eq!(days("d/d.crt"), days("ca/ca.crt"));
    for wrong in ["0", "36501", "-1", "many"] {
        let days = format!("--days={wrong}");
        let refused = bench.cert(&["ca", "--out", "x", &days]);
        assert!(!refused.status.success(), "{wrong}");
    }
}
