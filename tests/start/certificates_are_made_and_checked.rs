//! The first start makes the server's certificates, later ones check them, and others on disk take
//! effect without a restart.

use std::fs;
use std::process::Command;

use super::a_start_that_cannot_work_says_why::{assert_says, serve};
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

#[tokio::test]
async fn the_first_start_makes_them_for_the_hosts_of_the_settings() {
    let mut server = Server::setup()
        .setting("certificates.hosts", "fw.example.org,192.0.2.7")
        .start()
        .await;
    let certs = server.data_dir().join("certs");
    let shown = server.command(
        &[
            "cert",
            "show",
            &certs.join("server.crt").display().to_string(),
        ],
        "",
    );
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    for name in [
        "localhost",
        "127.0.0.1",
        "::1",
        "fw.example.org",
        "192.0.2.7",
    ] {
        assert!(shown.contains(name), "`{name}` is not in: {shown}");
    }
    let keys = || ["ca.key", "server.key"].map(|name| fs::read(certs.join(name)).expect("a key"));
    let before = keys();
    server.restart().await;
    assert_eq!(keys(), before);
}

#[tokio::test]
async fn a_renewed_certificate_needs_no_restart_and_the_metric_follows() {
    let server = Server::setup()
        .setting("certificates.reload_s", 1)
        .start()
        .await;
    let metric = "flownexus_certificate_expiry_timestamp_seconds{certificate=\"server\"}";
    let before = server.metric(metric).await;
    assert!(before > 0.0);
    let certs = server.data_dir().join("certs");
    let file = certs.join("server.crt").display().to_string();
    cert(&[
        "renew",
        &file,
        "--ca",
        &certs.display().to_string(),
        "--days",
        "20",
    ]);
    eventually("the metric follows", SOON, || async {
        let now = server.metric(metric).await;
        (now > 0.0 && now < before).then_some(())
    })
    .await;
    // 20 days are less than certificates.warn_days.
    eventually("a warning", SOON, || async {
        let log = server.output();
        (log.contains("WARN") && log.contains("The certificate of the server ends within 20 days"))
            .then_some(())
    })
    .await;
}

#[test]
fn files_that_do_not_belong_together_are_refused() {
    let data = tempfile::tempdir().expect("a folder");
    let certs = data.path().join("certs").display().to_string();
    let other = data.path().join("other").display().to_string();
    for folder in [&certs, &other] {
        cert(&["ca", "--out", folder]);
        cert(&[
            "server",
            "--ca",
            folder,
            "--host",
            "a.example",
            "--out",
            folder,
        ]);
    }
    let start = || serve(&[("DATA_DIR", &data.path().display().to_string())]);
    let copy = |name: &str| {
        fs::copy(format!("{other}/{name}"), format!("{certs}/{name}")).expect("copied");
    };
    copy("server.key");
    assert_says(&start(), &["certs/server.key is not the private key of"]);
    copy("server.crt");
    assert_says(&start(), &["certs/server.crt was not signed by", "ca.crt"]);
    fs::write(format!("{certs}/server.crt"), "nonsense").expect("written");
    assert_says(&start(), &["certs/server.crt holds no certificate"]);
}

#[tokio::test]
async fn a_host_of_images_that_the_certificate_does_not_name_is_warned_of() {
    let start = async |hosts: &str, uri: &str| {
        Server::setup()
            .setting("certificates.hosts", hosts)
            .setting("firmware.host", "fw.lab.example:8443")
            .setting("firmware.uri", uri)
            .start()
            .await
    };
    let warning = "firmware.host has them connect to fw.lab.example";
    let server = start("fw.example.org", "absolute").await;
    let log = server.output();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains(warning)).collect();
    let [line] = lines.as_slice() else {
        panic!("one warning and not {lines:?} in {log}");
    };
    assert!(
        line.contains("WARN") && line.contains("certificates.hosts"),
        "{line}"
    );
    for (hosts, uri) in [
        ("fw.lab.example", "absolute"),
        ("fw.example.org,*.lab.example", "absolute"),
        ("fw.example.org", "relative"),
    ] {
        let server = start(hosts, uri).await;
        assert!(!server.output().contains(warning), "{hosts}, {uri}");
    }
}

#[test]
fn a_host_that_is_none_is_named() {
    let output = serve(&[("CERTIFICATES__HOSTS", "fw.example.org,a b")]);
    assert_says(&output, &["certificates.hosts", "a b"]);
}

#[tokio::test]
async fn a_stored_certificate_of_a_device_that_ends_soon_is_warned_of() {
    let server = Server::setup()
        .setting("certificates.reload_s", 1)
        .setting("credentials.reload_s", 1)
        .start()
        .await;
    let metric = "flownexus_device_certificates_ending";
    assert_eq!(server.metric(metric).await, 0.0);
    let certs = server.data_dir().join("certs").display().to_string();
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().display().to_string();
    cert(&[
        "device",
        "--ca",
        &certs,
        "--endpoint",
        "pump",
        "--out",
        &out,
        "--days",
        "20",
    ]);
    let file = folder.path().join("pump.crt").display().to_string();
    let added = server.command(&["credential", "add", "pump", "--x509", &file], "");
    assert!(added.status.success(), "{added:?}");
    eventually("a warning", SOON, || async {
        let is_counted = server.metric(metric).await == 1.0;
        let log = server.output();
        (is_counted && log.contains("of pump ends within 20 days")).then_some(())
    })
    .await;
    let removed = server.command(&["credential", "remove", "1"], "");
    assert!(removed.status.success(), "{removed:?}");
    eventually("nothing is counted", SOON, || async {
        (server.metric(metric).await == 0.0).then_some(())
    })
    .await;
}
