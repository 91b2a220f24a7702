//! Images over CoAP and over DTLS, block by block (RFC 7959): by libcoap's client, and by hand.

use std::fs;

use rstest::rstest;

use super::{FIRMWARE, form, image, sha256, upload};
use crate::attacks::request;
use crate::support::device::ScriptedDevice;
use crate::support::programs::{COAP_CLIENT, run, text};
use crate::support::server::{DEVICE_KEY, Server};
use flownexus::coap::{Block, Code, Exponent, Message, number};

/// A request for a block of an image.
fn get(device: &mut ScriptedDevice, path: &str, number: u32, size: usize) -> Message {
    let mut message = request(device, Code::GET, path, &[], b"");
    Block::new(number, false, Exponent::at_most(size))
        .expect("a block")
        .set(&mut message.options, number::BLOCK2);
    message
}

/// Block by block, whatever size they come in, until there are no more. Every one has the same tag.
fn fetch(device: &mut ScriptedDevice, path: &str, size: usize) -> Vec<u8> {
    let mut fetched: Vec<u8> = Vec::new();
    let mut size = size;
    let mut tag = None;
    loop {
        let number = (fetched.len() / size) as u32;
        let asked = get(device, path, number, size);
        let answer = device.ask(&asked);
        assert_eq!(answer.code, Code::CONTENT, "{answer:?}");
        assert_eq!(answer.options.content_format(), Some(42));
        let etag = answer.options.first(number::ETAG).map(<[u8]>::to_vec);
        let tag = tag.get_or_insert_with(|| etag.clone());
        assert_eq!(*tag, etag, "block {number}");
        let block = block_of(&answer);
        assert_eq!(block.offset(), fetched.len());
        size = block.exponent.size();
        fetched.extend_from_slice(&answer.payload);
        if !block.more {
            return fetched;
        }
    }
}

fn block_of(answer: &Message) -> Block {
    Block::of(&answer.options, number::BLOCK2)
        .expect("valid")
        .expect("a Block2")
}

/// Has libcoap fetch it in blocks of this size into a file; nothing where it is missing.
fn libcoap_fetches(uri: &str, block: usize, credentials: &[&str]) -> Option<Vec<u8>> {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("image");
    let (file_name, block) = (file.display().to_string(), block.to_string());
    let request = ["-m", "get", "-b", &block, "-o", &file_name, "-B", "120"];
    let output = run(COAP_CLIENT, &[&request, credentials, &[uri]].concat())?;
    Some(fs::read(&file).unwrap_or_else(|error| panic!("{error}: {}", text(&output))))
}

/// Of a stranger on plain CoAP, with the amplification limit in force.
#[rstest]
#[case::the_largest(1024)]
#[case::medium_ones(256)]
#[case::small_ones(64)]
#[tokio::test]
async fn libcoap_fetches_an_image_in_blocks(#[case] block: usize) {
    let server = Server::start().await;
    let bytes = image(1, 300_000);
    upload(&server.api(), form("0.1.0", "v0.1.0.bin", &bytes)).await;
    let uri = format!("coap://{}/binaries/v0.1.0.bin", server.coap());
    let Some(fetched) = libcoap_fetches(&uri, block, &[]) else {
        return;
    };
    assert_eq!(sha256(&fetched), sha256(&bytes));
    assert_eq!(fetched, bytes);
}

#[tokio::test]
async fn libcoap_fetches_an_image_in_blocks_over_dtls() {
    let server = Server::start().await;
    let bytes = image(2, 300_000);
    upload(&server.api(), form("0.1.0", "v0.1.0.bin", &bytes)).await;
    drop(server.secure_device("fetcher"));
    let port = server.coaps().port();
    let uri = format!("coaps://127.0.0.1:{port}/binaries/v0.1.0.bin");
    let key = std::str::from_utf8(DEVICE_KEY).expect("text");
    for block in [1024, 256, 64] {
        let Some(fetched) = libcoap_fetches(&uri, block, &["-u", "fetcher", "-k", key]) else {
            return;
        };
        assert_eq!(sha256(&fetched), sha256(&bytes), "blocks of {block}");
    }
}

#[tokio::test]
async fn a_registered_device_fetches_an_image_over_each_transport() {
    let server = Server::start().await;
    let bytes = image(3, 100_001);
    upload(&server.api(), form("0.1.0", "v0.1.0.bin", &bytes)).await;
    let mut devices = [
        ScriptedDevice::new("plain", server.coap()),
        server.secure_device("secure"),
    ];
    for device in &mut devices {
        device.register_now(300, "</1/0>");
        // Its location proves its address: blocks come as large as they are asked for.
        let update = device.update();
        assert_eq!(device.ask(&update).code, Code::CHANGED);
        for size in [1024, 16] {
            let first = get(device, "/binaries/v0.1.0.bin", 0, size);
            let first = device.ask(&first);
            assert_eq!(block_of(&first).exponent.size(), size);
            assert_eq!(first.options.uint(number::SIZE2), Some(100_001));
        }
        let fetched = fetch(device, "/binaries/v0.1.0.bin", 1024);
        assert_eq!(sha256(&fetched), sha256(&bytes), "{}", device.name());
    }
    let served = server.metric("flownexus_firmware_coap_bytes_total").await;
    assert_eq!(served, 2.0 * (100_001.0 + 1024.0 + 16.0));
}

/// Its second socket is one of an unproven address: the blocks are smaller, and all of them come.
#[tokio::test]
async fn a_stranger_fetches_an_image_in_the_blocks_that_it_has_paid_for() {
    let server = Server::start().await;
    let bytes = image(4, 20_000);
    upload(&server.api(), form("0.1.0", "v0.1.0.bin", &bytes)).await;
    let mut stranger = ScriptedDevice::new("stranger", server.coap());
    let asked = get(&mut stranger, "/binaries/v0.1.0.bin", 2, 1024);
    let answer = stranger.ask(&asked);
    let block = block_of(&answer);
    assert_eq!(block.offset(), 2048);
    assert!(block.exponent.size() < 1024, "{block:?}");
    assert!(stranger.received_bytes().len() <= 3 * asked.encode().len());
    let fetched = fetch(&mut stranger, "/binaries/v0.1.0.bin", 1024);
    assert_eq!(sha256(&fetched), sha256(&bytes));
}

#[tokio::test]
async fn blocks_come_in_any_order_twice_and_not_behind_the_end() {
    let server = Server::start().await;
    let bytes = image(5, 10_000);
    upload(&server.api(), form("0.1.0", "v0.1.0.bin", &bytes)).await;
    let mut device = server.secure_device("fetcher");
    for number in [9, 0, 4, 4, 9, 0] {
        let asked = get(&mut device, "/binaries/v0.1.0.bin", number, 1024);
        let from = number as usize * 1024;
        let expected = &bytes[from..(from + 1024).min(bytes.len())];
        let answer = device.ask(&asked);
        assert_eq!(answer.payload, expected, "block {number}");
        assert_eq!(block_of(&answer).more, number < 9);
        // The same message again: its answer was lost.
        assert_eq!(device.ask(&asked), answer);
    }
    for (number, size) in [(10, 1024), (1_048_575, 1024), (625, 16)] {
        let behind = get(&mut device, "/binaries/v0.1.0.bin", number, size);
        assert_eq!(device.ask(&behind).code, Code::BAD_REQUEST, "{number}");
    }
    let remembered = server.metric("flownexus_coap_dedup_entries").await;
    assert!(remembered <= 3.0, "the refusals alone: {remembered}");
    for gauge in [
        "flownexus_coap_transfers",
        "flownexus_coap_transfer_memory_bytes",
    ] {
        assert_eq!(server.metric(gauge).await, 0.0, "{gauge}");
    }
}

#[tokio::test]
async fn an_image_that_is_not_there_is_not_found_and_nobody_writes_one() {
    let server = Server::start().await;
    let api = server.api();
    let stored = upload(&api, form("0.1.0", "v0.1.0.bin", &image(6, 100))).await;
    let mut device = server.secure_device("fetcher");
    for (method, path, code) in [
        (Code::GET, "/binaries/v0.1.0.bin", Code::CONTENT),
        (Code::GET, "/binaries/v0.2.0.bin", Code::NOT_FOUND),
        (Code::GET, "/binaries/../v0.1.0.bin", Code::NOT_FOUND),
        (Code::GET, "/binaries", Code::NOT_FOUND),
        (Code::PUT, "/binaries/v0.1.0.bin", Code::METHOD_NOT_ALLOWED),
        (
            Code::DELETE,
            "/binaries/v0.1.0.bin",
            Code::METHOD_NOT_ALLOWED,
        ),
    ] {
        let asked = request(&mut device, method, path, &[], b"");
        assert_eq!(device.ask(&asked).code, code, "{method} {path}");
    }
    let removed = api.delete(&format!("{FIRMWARE}/{}", stored["id"])).await;
    assert!(removed.status().is_success());
    let asked = request(&mut device, Code::GET, "/binaries/v0.1.0.bin", &[], b"");
    assert_eq!(device.ask(&asked).code, Code::NOT_FOUND);
}

#[tokio::test]
async fn names_that_cannot_be_guessed_are_needed_where_the_settings_say_so() {
    let server = Server::setup()
        .setting("firmware.names", "unguessable")
        .start()
        .await;
    let bytes = image(7, 3_000);
    let stored = upload(&server.api(), form("0.1.0", "v0.1.0.bin", &bytes)).await;
    let mut device = server.secure_device("fetcher");
    let asked = request(&mut device, Code::GET, "/binaries/v0.1.0.bin", &[], b"");
    assert_eq!(device.ask(&asked).code, Code::NOT_FOUND);
    let path = stored["path"].as_str().expect("a path");
    assert!(path.ends_with("/v0.1.0.bin") && path.len() > 40, "{path}");
    assert_eq!(fetch(&mut device, path, 1024), bytes);
}
