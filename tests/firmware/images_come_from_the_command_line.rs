//! `flownexus firmware` beside a running server and without one.

use std::fs;
use std::process::Output;

use serde_json::{Value as Json, json};

use super::{FIRMWARE, download, files, form, image, sha256, upload, versions};
use crate::support::server::{SOON, Server, eventually};

#[track_caller]
fn said(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[track_caller]
fn refused(output: &Output, words: &str) {
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(error.contains(words), "`{words}` is not in: {error}");
    assert!(!error.contains("panicked"), "{error}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "");
}

#[tokio::test]
async fn a_running_server_notices() {
    let server = Server::setup()
        .setting("firmware.reload_s", 1)
        .setting("firmware.max_image_bytes", 200_000)
        .start()
        .await;
    let api = server.api();
    let run = |arguments: &[&str]| server.command(&[&["firmware"], arguments].concat(), "");
    let folder = tempfile::tempdir().expect("a folder");
    let bytes = image(1, 150_000);
    let file = folder.path().join("my firmware.bin");
    fs::write(&file, &bytes).expect("written");
    let file = file.to_str().expect("text");

    let add = [
        "add",
        file,
        "--version",
        "1.2.3",
        "--notes",
        "for the lab",
        "--device",
        "urn:imei:*",
        "--device",
        "demo-*",
        "--tag",
        "lab",
    ];
    let hash = sha256(&bytes);
    let line = said(&run(&add));
    assert_eq!(
        line,
        format!("added firmware image 1: version 1.2.3, 1.2.3.bin, 150000 bytes, SHA-256 {hash}\n")
    );
    eventually("the server notices by itself", SOON, || async {
        let log = server.output();
        log.contains("The firmware images have changed")
            .then_some(())
    })
    .await;
    let added = api.read(&format!("{FIRMWARE}/1")).await;
    assert_eq!(
        (&added["created_by"], &added["selection"], &added["notes"]),
        (
            &json!("cli"),
            &json!({"names": ["urn:imei:*", "demo-*"], "tags": ["lab"]}),
            &json!("for the lab")
        )
    );
    assert!(download(&api, &added).await == bytes);
    // What the API added is there as well.
    upload(&api, form("1", "v1.bin", b"over the API")).await;
    let table = said(&run(&["list"]));
    let lines: Vec<&str> = table.lines().collect();
    assert!(
        lines.len() == 2 && lines[0].contains("v1.bin") && lines[1].contains(&hash),
        "{table}"
    );
    assert!(lines[1].ends_with("urn:imei:* demo-* #lab"), "{table}");
    let list: Json = serde_json::from_str(&said(&run(&["list", "--json"]))).expect("JSON");
    assert_eq!(list[1]["id"], 1);
    assert_eq!(list[1]["sha256"], json!(hash));

    let large = folder.path().join("large.bin");
    fs::write(&large, image(2, 200_001)).expect("written");
    let large = large.to_str().expect("text");
    let empty = folder.path().join("empty.bin");
    fs::write(&empty, b"").expect("written");
    let empty = empty.to_str().expect("text");
    let here = folder.path().to_str().expect("text");
    let before = files(&server);
    for (arguments, words) in [
        (
            vec!["add", file, "--version", "1.2.3"],
            "a firmware image of version 1.2.3 (1.2.3.bin) exists already",
        ),
        (
            vec!["add", file, "--version", "2", "--name", "v1.bin"],
            "a firmware image of the name v1.bin (version 1) exists already",
        ),
        (
            vec!["add", file, "--version", "2", "--name", "../../x"],
            "name: a file name begins with a letter or a digit",
        ),
        (
            vec!["add", file, "--version", "2", "--tag", "a b"],
            "selection: a tag is made of",
        ),
        (
            vec!["add", large, "--version", "2"],
            "the file has more than 200000 bytes (firmware.max_image_bytes)",
        ),
        (vec!["add", empty, "--version", "2"], "the file is empty"),
        (vec!["add", here, "--version", "2"], "is a folder"),
        (vec!["add", "nowhere.bin", "--version", "2"], "nowhere.bin"),
        (vec!["remove", "9"], "there is no firmware image 9"),
        // It is the version of one and the number of the other.
        (
            vec!["remove", "1"],
            "1 is the version of image 2 and the number of another one",
        ),
    ] {
        refused(&run(&arguments), words);
        assert_eq!(files(&server), before, "{arguments:?}");
    }
    let line = said(&run(&["remove", "1.2.3"]));
    assert_eq!(line, "removed firmware image 1: version 1.2.3, 1.2.3.bin\n");
    assert_eq!(versions(&api).await, ["1"]);
    assert_eq!(files(&server).len(), 1);
    said(&run(&["remove", "2"]));
    assert!(files(&server).is_empty());
    let audit = api.read("/api/v1/audit?limit=1").await;
    assert_eq!(
        (&audit["items"][0]["action"], &audit["items"][0]["actor"]),
        (&json!("firmware.remove"), &json!("cli"))
    );
}

#[tokio::test]
async fn without_a_server_it_is_there_at_the_next_start() {
    let mut server = Server::start().await;
    server.kill();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("v7.bin");
    let bytes = image(7, 70_000);
    fs::write(&file, &bytes).expect("written");
    let file = file.to_str().expect("text");
    said(&server.command(&["firmware", "add", file, "--version", "7"], ""));
    server.restart().await;
    let api = server.api();
    let page = api.read(FIRMWARE).await;
    assert_eq!(page["items"][0]["name"], "v7.bin");
    assert!(download(&api, &page["items"][0]).await == bytes);
}
