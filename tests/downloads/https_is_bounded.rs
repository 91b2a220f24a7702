//! What slow and many clients can hold over HTTPS.

use std::io::Read as _;
use std::time::Instant;

use super::{Device, ca, image, sha256, tcp, upload};
use crate::attacks::resident_kb;
use crate::support::server::{SOON, Server, eventually};

const MIB: usize = 1024 * 1024;
const CONNECTIONS: &str = "flownexus_firmware_download_connections";

#[tokio::test]
async fn two_hundred_downloads_at_once_hold_no_files_in_memory() {
    let server = Server::start().await;
    let bytes = image(1, 24 * MIB);
    upload(&server, "1.0.0", "app.bin", bytes.clone()).await;
    let mut first = Device::connect(&server);
    first.ask("/binaries/app.bin", "");
    first.head();
    assert_eq!(sha256(&first.read(bytes.len())), sha256(&bytes));
    let before = resident_kb(&server);
    let mut devices: Vec<Device> = (0..200)
        .map(|_| {
            let mut device = Device::connect(&server);
            device.ask("/binaries/app.bin", "");
            device
        })
        .collect();
    for device in &mut devices {
        let head = device.head();
        assert!(head.starts_with("http/1.1 200 "), "{head}");
        assert!(device.read(MIB) == bytes[..MIB]);
    }
    assert_eq!(server.metric(CONNECTIONS).await, 201.0);
    let each = resident_kb(&server).saturating_sub(before) / 200;
    // A chunk of 64 KiB, what of it waits to be encrypted, and the connection itself.
    assert!(each < 400, "{each} KB for each download");
    for device in devices.iter_mut().take(3) {
        assert!(device.read(23 * MIB) == bytes[MIB..]);
    }
}

#[tokio::test]
async fn who_never_finishes_a_handshake_or_a_head_is_cut_off() {
    let server = Server::setup()
        .setting("firmware.request_timeout_s", 1)
        .setting("firmware.idle_timeout_s", 2)
        .start()
        .await;
    // Says nothing at all.
    let mut silent = tcp(&server);
    // Begins a head and goes on too slowly.
    let mut slow = Device::connect(&server);
    slow.send("GET /binaries/app.bin HTTP/1.1\r\n");
    // Has had an answer, and begins the next head.
    let mut second = Device::connect(&server);
    second.ask("/", "");
    assert!(second.head().starts_with("http/1.1 404 "));
    second.read("there is no such file\n".len());
    second.send("GET /binaries");

    let begun = Instant::now();
    assert!(matches!(silent.read(&mut [0]), Ok(0) | Err(_)));
    let answer = String::from_utf8(slow.rest()).expect("text");
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert_eq!(second.rest(), b"");
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    eventually("nothing is left of them", SOON, || async {
        (server.metric(CONNECTIONS).await == 0.0).then_some(())
    })
    .await;
    let timed_out = "flownexus_firmware_download_handshakes_total{result=\"timed_out\"}";
    assert_eq!(server.metric(timed_out).await, 1.0);
}

#[tokio::test]
async fn who_stops_reading_is_given_up_and_who_reads_slowly_is_not() {
    let server = Server::setup()
        .setting("firmware.idle_timeout_s", 2)
        .setting("firmware.send_buffer_bytes", 65_536)
        .start()
        .await;
    let bytes = image(2, 12 * MIB);
    upload(&server, "1.0.0", "app.bin", bytes.clone()).await;
    let [mut stopped, mut slow] = [(); 2].map(|()| Device::connect(&server));
    for device in [&mut stopped, &mut slow] {
        device.ask("/binaries/app.bin", "");
        device.head();
    }
    // Longer than the time without a byte that ends a connection, and never so long without one.
    let begun = Instant::now();
    let mut fetched = Vec::new();
    while fetched.len() < bytes.len() {
        fetched.extend(slow.read(MIB / 4));
        std::thread::sleep(std::time::Duration::from_millis(80));
    }
    assert!(begun.elapsed().as_secs() >= 3, "{:?}", begun.elapsed());
    assert_eq!(sha256(&fetched), sha256(&bytes));
    let broken = "flownexus_firmware_download_requests_total{result=\"broken\"}";
    eventually("the other is given up", SOON, || async {
        (server.metric(broken).await == 1.0).then_some(())
    })
    .await;
    let rest = stopped.rest().len();
    assert!(rest < bytes.len(), "{rest} bytes");
}

#[tokio::test]
async fn more_connections_than_the_limit_wait_for_their_turn() {
    let server = Server::setup()
        .setting("firmware.max_downloads", 2)
        .start()
        .await;
    let bytes = image(3, 5000);
    upload(&server, "1.0.0", "app.bin", bytes.clone()).await;
    let mut held: Vec<Device> = (0..2).map(|_| Device::connect(&server)).collect();
    assert_eq!(server.metric(CONNECTIONS).await, 2.0);
    // The kernel takes it, the server not yet.
    let waiting = tcp(&server);
    let ca = ca(&server);
    let third = std::thread::spawn(move || Device::shake_hands(&ca, waiting, |_| {}));
    // Those that are in are served meanwhile, and no third one is in.
    for device in &mut held {
        device.ask("/binaries/app.bin", "");
        device.head();
        assert!(device.read(bytes.len()) == bytes);
    }
    assert_eq!(server.metric(CONNECTIONS).await, 2.0);
    assert!(!third.is_finished());
    held.pop();
    let mut third = third.join().expect("its turn");
    third.ask("/binaries/app.bin", "");
    third.head();
    assert!(third.read(bytes.len()) == bytes);
}
