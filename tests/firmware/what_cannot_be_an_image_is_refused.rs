//! Each with a sentence that says why, and none leaves anything behind.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::thread;
use std::time::Instant;

use reqwest::multipart::{Form, Part};
use serde_json::json;

use super::{FIRMWARE, files, form, image, refused, sha256, upload, versions};
use crate::support::server::{SOON, Server};

#[tokio::test]
async fn with_a_sentence_for_each_mistake() {
    let server = Server::setup()
        .setting("firmware.max_images", 2)
        .start()
        .await;
    let api = server.api();
    upload(&api, form("1.0", "one.bin", b"the first")).await;
    let file = || Part::bytes(b"bytes".to_vec()).file_name("two.bin");
    let new = || form("2.0", "two.bin", b"bytes");
    let hash = sha256(b"bytes");
    let other = sha256(b"other bytes");
    let mismatch = format!(
        "the file has arrived with the SHA-256 {hash}, but `sha256` says that it is {other}"
    );
    let before = files(&server);
    for (request, status, field, sentence) in [
        (
            form("1.0", "two.bin", b"bytes"),
            409,
            None,
            "a firmware image of version 1.0 (one.bin) exists already",
        ),
        (
            form("2.0", "one.bin", b"bytes"),
            409,
            None,
            "a firmware image of the name one.bin (version 1.0) exists already",
        ),
        (
            form("2.0", "two.bin", b"bytes").text("name", "one.bin"),
            409,
            None,
            "a firmware image of the name one.bin (version 1.0) exists already",
        ),
        (
            new().text("name", "../../x"),
            422,
            Some("name"),
            "a file name begins with a letter or a digit, `../../x` does not",
        ),
        (
            new().text("name", "a/../x"),
            422,
            Some("name"),
            "a file name is made of letters, digits, `.`, `-`, `_` and `+`, but `a/../x` has '/'",
        ),
        (
            form("../x", "two.bin", b"bytes"),
            422,
            Some("version"),
            "a version begins with a letter or a digit, `../x` does not",
        ),
        (
            form(&"1".repeat(65), "two.bin", b"bytes"),
            422,
            Some("version"),
            "`version` has more than 64 bytes",
        ),
        (
            form("", "two.bin", b"bytes"),
            422,
            Some("version"),
            "a version has 1 to 64 bytes, this one has 0",
        ),
        (
            form("2.0", "two.bin", b""),
            422,
            Some("file"),
            "the file is empty",
        ),
        (form("2.0", "", b""), 422, Some("file"), "choose a file"),
        (new().text("sha256", other), 400, Some("sha256"), &mismatch),
        (
            new().text("sha256", "abc"),
            422,
            Some("sha256"),
            "a SHA-256 is 64 hexadecimal digits",
        ),
        (
            Form::new().part("file", file()),
            422,
            Some("version"),
            "the form has no part `version`",
        ),
        (
            Form::new().text("version", "2.0"),
            422,
            Some("file"),
            "the form has no part `file`",
        ),
        (
            new().text("version", "2.1"),
            422,
            Some("version"),
            "the form has two parts `version`",
        ),
        (
            new().part("file", file()),
            422,
            Some("file"),
            "the form has two parts `file`",
        ),
        (
            new().text("colour", "red"),
            422,
            Some("colour"),
            "the form has a part `colour`; `version`, `file`, `name`, `notes`, `selection` and \
             `sha256` are known",
        ),
        (
            new().text("notes", "x".repeat(4097)),
            422,
            Some("notes"),
            "`notes` has more than 4096 bytes",
        ),
        (
            new().text("selection", r#"{"tags": ["a b"]}"#),
            422,
            Some("selection"),
            "a tag is made of letters, digits, `-`, `_`, `.` and `:`, but `a b` has ' '",
        ),
    ] {
        let (is, problem) = refused(&api, request).await;
        assert_eq!((is, &problem["detail"]), (status, &json!(sentence)));
        assert_eq!(problem["field"].as_str(), field, "{problem}");
        assert_eq!(files(&server), before, "{sentence}");
    }
    let (status, problem) = refused(&api, new().text("selection", "everyone")).await;
    assert_eq!((status, &problem["field"]), (422, &json!("selection")));
    let answer = api.post(FIRMWARE, &json!({"version": "2.0"})).await;
    assert_eq!(answer.status(), 415);
    assert_eq!(versions(&api).await, ["1.0"]);

    upload(&api, new()).await;
    let (status, problem) = refused(&api, form("3.0", "three.bin", b"bytes")).await;
    assert_eq!(
        (status, &problem["code"], &problem["detail"]),
        (
            409,
            &json!("full"),
            &json!("there may be at most 2 firmware images")
        )
    );
    assert_eq!(files(&server).len(), 2);
}

#[tokio::test]
async fn a_file_that_is_too_large_leaves_nothing_behind() {
    let server = Server::setup()
        .setting("firmware.max_image_bytes", 300_000)
        .start()
        .await;
    let api = server.api();
    let (status, problem) = refused(&api, form("1", "a.bin", &image(1, 300_001))).await;
    assert_eq!(
        (status, &problem["code"], &problem["detail"]),
        (
            413,
            &json!("too_large"),
            &json!("the file has more than 300000 bytes (firmware.max_image_bytes)")
        )
    );
    // Far too large: that is known before any of it is taken.
    let (status, problem) = refused(&api, form("1", "a.bin", &image(1, 500_000))).await;
    assert_eq!(
        (status, &problem["detail"]),
        (
            413,
            &json!("the body is larger than an image of 300000 bytes (firmware.max_image_bytes)")
        )
    );
    assert!(files(&server).is_empty(), "{:?}", files(&server));
    let added = upload(&api, form("1", "a.bin", &image(1, 300_000))).await;
    assert_eq!(added["size"], 300_000);
}

/// Without a length it is only known once it has come; the sender is told, and need not come to an end.
#[tokio::test]
async fn neither_does_one_that_does_not_say_how_large_it_is() {
    let server = Server::setup()
        .setting("firmware.max_image_bytes", 300_000)
        .start()
        .await;
    let address = server.url("").replace("http://", "");
    let token = server.token().to_owned();
    let sent = tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(address).expect("a connection");
        let head = format!(
            "POST {FIRMWARE} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: multipart/form-data; boundary=cut\r\nTransfer-Encoding: chunked\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).expect("sent");
        let mut listening = stream.try_clone().expect("a socket");
        let answer = thread::spawn(move || {
            let mut start = [0; 12];
            listening.read_exact(&mut start).map(|()| start)
        });
        let mut send = |bytes: &[u8]| {
            let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
            chunk.extend(bytes);
            chunk.extend(b"\r\n");
            stream.write_all(&chunk)
        };
        send(
            b"--cut\r\nContent-Disposition: form-data; name=\"version\"\r\n\r\n1\r\n\
              --cut\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.bin\"\r\n\r\n",
        )
        .expect("sent");
        let block = image(2, 50_000);
        let end = Instant::now() + SOON;
        while !answer.is_finished() {
            assert!(Instant::now() < end, "no answer within {SOON:?}");
            send(&block).expect("sent");
        }
        answer.join().expect("no panic").expect("an answer")
    });
    let start = sent.await.expect("no panic");
    assert_eq!(&start, b"HTTP/1.1 413");
    assert!(files(&server).is_empty(), "{:?}", files(&server));
    assert!(versions(&server.api()).await.is_empty());
}
