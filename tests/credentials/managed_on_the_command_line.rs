//! `flownexus credential` beside a running server and without one; no key is readable afterwards.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::{Value as Json, json};

use super::certificates::Holder;
use crate::support::server::{SOON, Server, eventually};

const KEY: &str = "c0ffee00112233445566778899aabbcc";

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[track_caller]
fn said(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    text(&output.stdout)
}

#[track_caller]
fn refused(output: &Output, words: &str) {
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(error.contains(words), "`{words}` is not in: {error}");
    assert!(
        !error.contains(KEY) && !error.contains("panicked"),
        "{error}"
    );
    assert_eq!(text(&output.stdout), "");
}

fn json(output: &Output) -> Json {
    serde_json::from_str(&said(output)).expect("JSON")
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}

fn holds(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

#[tokio::test]
async fn added_listed_and_removed_beside_a_running_server() {
    let server = Server::setup()
        .setting("credentials.reload_s", 1)
        .start()
        .await;
    let run = |arguments: &[&str], stdin: &str| {
        server.command(&[&["credential"], arguments].concat(), stdin)
    };
    assert_eq!(said(&run(&["list"], "")), "");
    assert_eq!(json(&run(&["list", "--json"], "")), json!([]));

    // The key from the arguments, from standard input and from a file.
    let pair = format!("id:one:{KEY}");
    let add = ["add", "thing", "--psk", &pair, "--note", "shelf 3"];
    let first = said(&run(&add, ""));
    let second = said(&run(
        &["add", "thing", "--psk", "-"],
        &format!("two:{KEY}\n"),
    ));
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("pair");
    fs::write(&file, format!("three:{KEY}\n")).expect("a file");
    let file = file.display().to_string();
    let third = said(&run(&["add", "other", "--psk-file", &file], ""));
    let ids: Vec<i64> = [&first, &second, &third]
        .map(|id| id.trim().parse().expect("an id alone"))
        .into();
    eventually("the server notices", SOON, async || {
        let noticed = server
            .output()
            .contains("The credentials of devices have changed");
        noticed.then_some(())
    })
    .await;

    // A certificate and a public key.
    let device = Holder::with_serial("thing", None, &[0x0a, 0xbc]);
    let (x509, rpk) = (folder.path().join("x509"), folder.path().join("rpk"));
    fs::write(&x509, device.pem()).expect("a file");
    let public = device.key.public_key_to_pem().expect("PEM");
    fs::write(&rpk, public).expect("a file");
    let (x509, rpk) = (x509.display().to_string(), rpk.display().to_string());
    let output = run(&["add", "another", "--x509", &x509], "");
    said(&output);
    let warning = text(&output.stderr);
    assert!(
        warning.contains("warning: the certificate is made out to `thing`"),
        "{warning}"
    );
    assert!(!warning.contains("expires soon"), "{warning}");
    said(&run(&["add", "another", "--rpk", &rpk], ""));

    let listed = said(&run(&["list"], ""));
    assert_eq!(listed.lines().count(), 5, "{listed}");
    assert!(
        listed.contains("\tthing\tpsk\tid:one\tends never\tused never\tshelf 3\n"),
        "{listed}"
    );
    let of_thing = json(&run(&["list", "thing", "--json"], ""));
    let labels: Vec<&Json> = (0..2).map(|at| &of_thing[at]["label"]).collect();
    assert_eq!(labels, ["id:one", "two"], "{of_thing}");
    assert_eq!(of_thing[0]["created_by"], "cli");
    let another = json(&run(&["list", "another", "--json"], ""));
    assert_eq!(
        (&another[0]["kind"], &another[0]["label"]),
        (&json!("x509"), &json!("0abc"))
    );
    assert_eq!(another[0]["subject"], "CN = thing");

    // Nothing that was said or stored has a key in it, as bytes or in hex of either case.
    let raw = hex::decode(KEY).expect("hex");
    let log = server.output();
    let mut seen: Vec<(String, Vec<u8>)> = files(server.data_dir())
        .into_iter()
        .map(|file| (file.display().to_string(), fs::read(&file).expect("a file")))
        .collect();
    assert!(seen.iter().any(|(file, _)| file.ends_with("flownexus.db")));
    assert!(
        seen.iter().any(|(_, bytes)| holds(bytes, b"id:one")),
        "stored, but not the key"
    );
    seen.push(("list".into(), listed.into_bytes()));
    seen.push(("list --json".into(), of_thing.to_string().into_bytes()));
    seen.push(("the log".into(), log.into_bytes()));
    for (place, bytes) in seen {
        let lower = bytes.to_ascii_lowercase();
        assert!(
            !holds(&bytes, &raw) && !holds(&lower, KEY.as_bytes()),
            "{place}"
        );
    }

    let id = ids[0].to_string();
    assert_eq!(said(&run(&["remove", &id], "")), "");
    refused(
        &run(&["remove", &id], ""),
        &format!("there is no credential {id}"),
    );
    let audit = server.api().read("/api/v1/audit").await.to_string();
    assert!(
        audit.contains("credential.create") && audit.contains("credential.delete"),
        "{audit}"
    );
    assert!(!audit.contains(KEY));
    let again = said(&run(&add, ""));
    assert!(
        again.trim().parse::<i64>().expect("an id") > ids[2],
        "a row of its own"
    );
}

#[tokio::test]
async fn what_cannot_be_added_is_refused_with_the_reason() {
    let mut server = Server::start().await;
    server.kill();
    let add = |endpoint: &str, arguments: &[&str], stdin: &str| {
        server.command(
            &[&["credential", "add", endpoint], arguments].concat(),
            stdin,
        )
    };
    let pair = format!("shared:{KEY}");
    said(&add("lab", &["--psk", &pair], ""));
    refused(
        &add("thing", &["--psk", &pair], ""),
        "`shared` is that of credential 1 of the endpoint `lab`",
    );
    refused(
        &add("", &["--psk", &pair], ""),
        "the endpoint name is empty",
    );
    refused(&add("thing", &["--psk", KEY], ""), "IDENTITY:HEXKEY");
    refused(
        &add("thing", &["--psk", &format!("one:{KEY}xx")], ""),
        "no hex digits",
    );
    refused(
        &add("thing", &["--psk-file", "/nowhere"], ""),
        "cannot read /nowhere",
    );
    refused(
        &add("thing", &["--x509", "-"], "hello"),
        "neither PEM nor DER",
    );
    refused(&add("thing", &["--rpk", "-"], ""), "it is empty");
    let device = Holder::new("thing", None);
    let private = text(&device.key.private_key_to_pem_pkcs8().expect("PEM"));
    refused(&add("thing", &["--rpk", "-"], &private), "private key");
    let weak = add("thing", &["--psk", "weak:0102"], "");
    said(&weak);
    assert!(text(&weak.stderr).contains("only 2 bytes"), "{weak:?}");
    // Exactly one kind at a time.
    let usage = add("thing", &["--psk", &pair, "--rpk", "-"], "");
    assert_eq!(usage.status.code(), Some(2), "{usage:?}");
    assert_eq!(add("thing", &[], "").status.code(), Some(2));
}

#[tokio::test]
async fn serial_numbers_are_revoked_and_restored() {
    let mut server = Server::start().await;
    server.kill();
    let run = |arguments: &[&str]| server.command(&[&["credential"], arguments].concat(), "");
    said(&run(&["revoke", "0A:BC", "--reason", "stolen"]));
    refused(
        &run(&["revoke", "abc"]),
        "the serial number 0abc is revoked already",
    );
    refused(&run(&["revoke", "thing"]), "hex");
    let listed = said(&run(&["revoked"]));
    assert!(
        listed.starts_with("0abc\t") && listed.ends_with("\tcli\t\tstolen\n"),
        "{listed}"
    );
    assert_eq!(json(&run(&["revoked", "--json"]))[0]["reason"], "stolen");
    said(&run(&["restore", "0abc"]));
    refused(&run(&["restore", "0abc"]), "is not revoked");
    assert_eq!(said(&run(&["revoked"])), "");
}

#[tokio::test]
async fn a_certificate_that_ends_within_the_days_of_the_settings_is_warned_of() {
    let mut server = Server::start().await;
    server.kill();
    // It ends in a year.
    let device = text(&Holder::new("thing", None).pem());
    for (days, is_soon) in [(400, true), (30, false)] {
        server.set("certificates.warn_days", days);
        let added = server.command(&["credential", "add", "thing", "--x509", "-"], &device);
        let id = said(&added);
        let warning = text(&added.stderr);
        assert_eq!(
            warning.contains("warning: the certificate expires soon"),
            is_soon,
            "{days}: {warning}"
        );
        said(&server.command(&["credential", "remove", id.trim(), "--keep-serial"], ""));
    }
}

#[tokio::test]
async fn one_credential_too_many_is_refused_by_the_name_of_the_setting() {
    let mut server = Server::start().await;
    server.kill();
    server.set("credentials.max", 2);
    let add = |identity: &str| {
        let pair = format!("{identity}:{KEY}");
        server.command(&["credential", "add", "thing", "--psk", &pair], "")
    };
    let first = said(&add("one"));
    said(&add("two"));
    refused(&add("three"), "`credentials.max`");
    said(&server.command(&["credential", "remove", first.trim()], ""));
    said(&add("three"));
    refused(&add("four"), "`credentials.max`");
}
