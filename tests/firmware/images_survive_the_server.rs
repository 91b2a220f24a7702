//! What was answered with 201 is there after a kill; what was not is gone.

use std::fs;
use std::io::Write as _;
use std::net::TcpStream;

use super::{FIRMWARE, download, files, form, image, sha256, upload, versions};
use crate::support::server::{SOON, Server, eventually};

#[tokio::test]
async fn one_that_was_confirmed_is_there_after_a_kill() {
    let mut server = Server::start().await;
    let bytes = image(1, 400_000);
    let added = upload(&server.api(), form("1.0", "v1.bin", &bytes)).await;
    server.kill();
    server.restart().await;
    let api = server.api();
    let path = format!("{FIRMWARE}/{}", added["id"]);
    assert_eq!(api.read(&path).await, added);
    let downloaded = download(&api, &added).await;
    assert_eq!(
        sha256(&downloaded),
        added["sha256"].as_str().expect("a hash")
    );
    assert!(downloaded == bytes);
    let audit = api.read("/api/v1/audit?limit=1").await;
    assert_eq!(audit["items"][0]["action"], "firmware.add");
}

#[tokio::test]
async fn one_that_was_still_arriving_is_gone_after_a_kill() {
    let mut server = Server::start().await;
    upload(&server.api(), form("0.9", "v0.9.bin", b"the one before")).await;
    let before = files(&server);
    let mut stream = TcpStream::connect(server.url("").replace("http://", "")).expect("connected");
    let head = format!(
        "POST {FIRMWARE} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\
         Content-Type: multipart/form-data; boundary=cut\r\nContent-Length: 5000000\r\n\r\n\
         --cut\r\nContent-Disposition: form-data; name=\"version\"\r\n\r\n1.0\r\n\
         --cut\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.bin\"\r\n\r\n",
        server.token()
    );
    stream.write_all(head.as_bytes()).expect("sent");
    stream.write_all(&image(2, 2_000_000)).expect("sent");
    let folder = server.data_dir().join("firmware");
    let part = eventually("a part of the file is on disk", SOON, || async {
        let name = files(&server)
            .into_iter()
            .find(|name| name.ends_with(".part"))?;
        let size = fs::metadata(folder.join(&name)).ok()?.len();
        (size > 1_000_000).then_some(name)
    })
    .await;
    server.kill();
    assert!(files(&server).contains(&part), "a kill clears nothing away");
    server.restart().await;
    assert_eq!(files(&server), before);
    let api = server.api();
    assert_eq!(versions(&api).await, ["0.9"]);
    upload(&api, form("1.0", "a.bin", &image(2, 2_000_000))).await;
}

#[tokio::test]
async fn one_whose_sender_goes_away_leaves_nothing() {
    let server = Server::start().await;
    let mut stream = TcpStream::connect(server.url("").replace("http://", "")).expect("connected");
    let head = format!(
        "POST {FIRMWARE} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\
         Content-Type: multipart/form-data; boundary=cut\r\nContent-Length: 5000000\r\n\r\n\
         --cut\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.bin\"\r\n\r\n",
        server.token()
    );
    stream.write_all(head.as_bytes()).expect("sent");
    stream.write_all(&image(3, 600_000)).expect("sent");
    eventually("the file is begun", SOON, || async {
        (!files(&server).is_empty()).then_some(())
    })
    .await;
    drop(stream);
    eventually("the file is gone", SOON, || async {
        files(&server).is_empty().then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_download_goes_on_when_the_image_is_removed() {
    let server = Server::start().await;
    let api = server.api();
    // More than the sockets hold, so that most of it is read after the removal.
    let bytes = image(4, 30_000_000);
    let added = upload(&api, form("1.0", "v1.bin", &bytes)).await;
    let path = format!("{FIRMWARE}/{}", added["id"]);
    let mut answer = api.get(&format!("{path}/file")).await;
    let first = answer.chunk().await.expect("bytes").expect("not the end");
    assert_eq!(api.delete(&path).await.status(), 204);
    assert!(files(&server).is_empty());
    let again = upload(&api, form("1.0", "v1.bin", &image(5, 30_000_000))).await;
    let mut downloaded = first.to_vec();
    while let Some(chunk) = answer.chunk().await.expect("bytes") {
        downloaded.extend(&chunk);
    }
    assert!(downloaded == bytes, "not a byte of the other one");
    assert!(again["sha256"] != added["sha256"]);
}
