//! Whole images and parts of them over HTTPS, by `curl` and by hand.

use serde_json::json;

use super::{Device, ca, curl, curl_gets, etag, image, remove, sha256, upload};
use crate::support::server::{SOON, Server, eventually};

const MIB: usize = 1024 * 1024;

#[tokio::test]
async fn curl_fetches_an_image_and_its_hash_fits() {
    let server = Server::start().await;
    let bytes = image(1, 3 * MIB + 17);
    let stored = upload(&server, "0.1.0", "v0.1.0.bin", bytes.clone()).await;
    assert_eq!(stored["path"], json!("/binaries/v0.1.0.bin"));
    assert_eq!(stored["sha256"], json!(sha256(&bytes)));
    let url = format!("{}/binaries/v0.1.0.bin", server.firmware());
    for version in [&["--tls-max", "1.2"][..], &["--tlsv1.3"]] {
        let arguments = [version, &["--fail", &url]].concat();
        let Some(fetched) = curl_gets(&ca(&server), &arguments) else {
            return;
        };
        assert_eq!(sha256(&fetched), sha256(&bytes), "{version:?}");
    }
    let head = curl_gets(&ca(&server), &["--head", &url]).expect("curl");
    let head = String::from_utf8(head).expect("text").to_lowercase();
    for line in [
        "http/1.1 200 ok".to_owned(),
        format!("content-length: {}", bytes.len()),
        format!("etag: {}", etag(&bytes)),
        "accept-ranges: bytes".to_owned(),
        "content-type: application/octet-stream".to_owned(),
        "x-content-type-options: nosniff".to_owned(),
        "cache-control: no-cache".to_owned(),
    ] {
        assert!(head.contains(&format!("{line}\r\n")), "{line}: {head}");
    }
    let metric = "flownexus_firmware_download_requests_total{result=\"whole\"}";
    assert_eq!(server.metric(metric).await, 2.0);
    let sent = server.metric("flownexus_firmware_download_sent_bytes_total");
    assert_eq!(sent.await, 2.0 * bytes.len() as f64);
}

#[tokio::test]
async fn a_download_goes_on_where_it_broke_off() {
    let server = Server::start().await;
    let bytes = image(2, MIB);
    upload(&server, "0.2.0", "app_update.bin", bytes.clone()).await;
    let url = format!("{}/binaries/app_update.bin", server.firmware());
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("image");
    std::fs::write(&file, &bytes[..333_333]).expect("a part of it");
    let output = file.display().to_string();
    let arguments = ["--continue-at", "-", "--output", &output, &url];
    if curl_gets(&ca(&server), &arguments).is_none() {
        return;
    }
    assert_eq!(sha256(&std::fs::read(&file).expect("it")), sha256(&bytes));

    // What it has is all that there is.
    let status = ["--range", "1048576-", "--write-out", "%{http_code}", &url];
    let answer = curl_gets(&ca(&server), &status).expect("curl");
    assert_eq!(
        String::from_utf8_lossy(&answer),
        "the file has 1048576 bytes\n416"
    );
    for (range, expected) in [
        ("0-0", &bytes[..1]),
        ("-10", &bytes[bytes.len() - 10..]),
        ("1000-1999", &bytes[1000..2000]),
        ("1048000-2000000", &bytes[1_048_000..]),
    ] {
        let part = curl_gets(&ca(&server), &["--range", range, &url]).expect("curl");
        assert!(part == expected, "{range}: {} bytes", part.len());
    }
}

#[tokio::test]
async fn many_parts_come_over_one_connection() {
    let server = Server::start().await;
    let bytes = image(3, 100_000);
    upload(&server, "0.3.0", "v0.3.0.bin", bytes.clone()).await;
    let mut device = Device::connect(&server);
    let mut fetched = Vec::new();
    while fetched.len() < bytes.len() {
        let last = (fetched.len() + 4095).min(bytes.len() - 1);
        let range = format!("Range: bytes={}-{last}\r\n", fetched.len());
        device.ask("/binaries/v0.3.0.bin", &range);
        let head = device.head();
        assert!(head.starts_with("http/1.1 206 "), "{head}");
        let expected = format!("content-range: bytes {}-{last}/100000\r\n", fetched.len());
        assert!(head.contains(&expected), "{head}");
        fetched.extend(device.read(last + 1 - fetched.len()));
    }
    assert_eq!(sha256(&fetched), sha256(&bytes));

    let known = format!("If-None-Match: {}\r\n", etag(&bytes));
    device.ask("/binaries/v0.3.0.bin", &known);
    let head = device.head();
    assert!(head.starts_with("http/1.1 304 "), "{head}");
    assert!(!head.contains("content-length"), "{head}");
    device.send("HEAD /binaries/none HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(device.head().starts_with("http/1.1 404 "));
    device.send("PUT /binaries/v0.3.0.bin HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    let head = device.head();
    assert!(head.starts_with("http/1.1 405 "), "{head}");
    assert!(head.contains("allow: get, head\r\n"), "{head}");
}

/// The name stands for other bytes while a device is in the middle of the old ones: it gets these to their end, and
/// when it goes on later, all of the new ones.
#[tokio::test]
async fn bytes_of_two_images_of_one_name_are_never_mixed() {
    let server = Server::start().await;
    let (old, new) = (image(4, 6 * MIB), image(5, 5 * MIB));
    let stored = upload(&server, "1.0.0", "app.bin", old.clone()).await;
    let mut device = Device::connect(&server);
    device.ask("/binaries/app.bin", "");
    let head = device.head();
    assert!(
        head.contains(&format!("etag: {}\r\n", etag(&old))),
        "{head}"
    );
    let mut fetched = device.read(MIB);

    remove(&server, &stored).await;
    let mut stranger = Device::connect(&server);
    stranger.ask("/binaries/app.bin", "");
    assert!(stranger.head().starts_with("http/1.1 404 "));
    upload(&server, "1.0.1", "app.bin", new.clone()).await;

    fetched.extend(device.read(5 * MIB));
    assert_eq!(sha256(&fetched), sha256(&old));

    let went_on = |tag: &str| format!("Range: bytes=1048576-\r\nIf-Range: {tag}\r\n");
    device.ask("/binaries/app.bin", &went_on(&etag(&old)));
    let head = device.head();
    assert!(head.starts_with("http/1.1 200 "), "{head}");
    assert_eq!(sha256(&device.read(new.len())), sha256(&new));
    device.ask("/binaries/app.bin", &went_on(&etag(&new)));
    let head = device.head();
    assert!(head.starts_with("http/1.1 206 "), "{head}");
    assert!(device.read(new.len() - MIB) == new[MIB..]);
    let other = format!("If-Match: {}\r\n", etag(&old));
    device.ask("/binaries/app.bin", &other);
    assert!(device.head().starts_with("http/1.1 412 "));
}

#[tokio::test]
async fn who_does_not_know_the_key_does_not_find_the_image() {
    let server = Server::setup()
        .setting("firmware.names", "unguessable")
        .start()
        .await;
    let bytes = image(6, 10_000);
    let stored = upload(&server, "1.0.0", "app.bin", bytes.clone()).await;
    let path = stored["path"].as_str().expect("a path");
    assert_eq!(path.len(), "/binaries//app.bin".len() + 32, "{path}");
    let mut device = Device::connect(&server);
    device.ask("/binaries/app.bin", "");
    let head = device.head();
    assert!(head.starts_with("http/1.1 404 "), "{head}");
    device.read("there is no such file\n".len());
    device.ask(path, "");
    assert!(device.head().starts_with("http/1.1 200 "));
    assert_eq!(device.read(bytes.len()), bytes);
}

#[tokio::test]
async fn a_download_is_counted_as_broken_when_the_device_goes_away() {
    let server = Server::start().await;
    upload(&server, "1.0.0", "app.bin", image(7, 8 * MIB)).await;
    let mut device = Device::connect(&server);
    device.ask("/binaries/app.bin", "");
    device.head();
    device.read(1000);
    drop(device);
    let broken = "flownexus_firmware_download_requests_total{result=\"broken\"}";
    eventually("it is noticed", SOON, || async {
        (server.metric(broken).await == 1.0).then_some(())
    })
    .await;
    let connections = "flownexus_firmware_download_connections";
    eventually("its connection is gone", SOON, || async {
        (server.metric(connections).await == 0.0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn it_can_be_switched_off() {
    let server = Server::setup()
        .setting("firmware.enabled", "false")
        .start()
        .await;
    assert!(!server.output().contains("firmware: https://"));
    // Images are kept all the same.
    upload(&server, "1.0.0", "app.bin", image(8, 10)).await;
}

/// The data folder and the socket are free again at once, and nobody waits for slow devices.
#[tokio::test]
async fn a_download_under_way_does_not_hold_up_the_end() {
    let mut server = Server::start().await;
    let bytes = image(9, 8 * MIB);
    upload(&server, "1.0.0", "app.bin", bytes.clone()).await;
    let mut device = Device::connect(&server);
    device.ask("/binaries/app.bin", "");
    device.head();
    device.read(1000);
    let begun = std::time::Instant::now();
    assert!(server.terminate().await.success());
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    let rest = device.rest();
    assert!(rest.len() < 7 * MIB, "{} bytes", rest.len());
    server.restart().await;
    let url = format!("{}/binaries/app.bin", server.firmware());
    if let Some(done) = curl(&ca(&server), &[&url]) {
        assert_eq!(sha256(&done.stdout), sha256(&bytes));
    }
}
