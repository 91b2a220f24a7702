//! Images and addresses that have proven themselves or not: over restarts, and of devices that move.

use std::net::{IpAddr, Ipv4Addr};

use super::updated::{reaches, update, uploaded};
use super::{form, image, upload};
use crate::attacks::request;
use crate::support::device::ScriptedDevice;
use crate::support::server::{SOON, Server, eventually};
use flownexus::coap::{Block, Code, Exponent, Message, Options, number};

const SIZE: usize = 20_000;
const PATH: &str = "/binaries/v2.0.0.bin";
const TEXT: u16 = 0;

/// The size of the first block, of which 1,024 bytes are asked for.
fn first_block(device: &mut ScriptedDevice) -> usize {
    let mut get = request(device, Code::GET, PATH, &[], b"");
    Block::new(0, false, Exponent::at_most(1024))
        .expect("a block")
        .set(&mut get.options, number::BLOCK2);
    let answer = device.ask(&get);
    assert_eq!(answer.code, Code::CONTENT, "{answer:?}");
    answer.payload.len()
}

/// The next request of the server that is like this; there is nothing for others.
fn asked(device: &mut ScriptedDevice, code: Code, path: &str) -> Message {
    loop {
        let message = device.expect(&format!("{code} {path}"));
        let segments = message.options.uri_path().unwrap_or_default().join("/");
        if message.code == code && format!("/{segments}") == path {
            return message;
        }
        if message.code.is_request() {
            device.answer(&message, Code::NOT_FOUND, Options::new(), b"");
        }
    }
}

/// Answers what comes before an image is offered: nothing can be read or observed.
fn up_to_the_offer(device: &mut ScriptedDevice) {
    for path in ["/5/0", "/3/0/3", "/5/0/3"] {
        let asked = asked(device, Code::GET, path);
        device.answer(&asked, Code::METHOD_NOT_ALLOWED, Options::new(), b"");
    }
}

#[tokio::test]
async fn a_device_that_had_proven_its_address_gets_large_blocks_after_a_restart() {
    let mut server = Server::start().await;
    upload(&server.api(), form("2.0.0", "v2.0.0.bin", &image(80, SIZE))).await;
    let mut known = ScriptedDevice::new("known", server.coap());
    let mut new = ScriptedDevice::new("new", server.coap());
    for device in [&mut known, &mut new] {
        device.register_now(86_400, "</1/0>");
    }
    // Its location proves its address.
    let update = known.update();
    assert_eq!(known.ask(&update).code, Code::CHANGED);
    server.restart().await;
    assert_eq!(first_block(&mut known), 1024);
    assert!(first_block(&mut new) < 128, "it has only registered");
    server.restart().await;
    assert_eq!(first_block(&mut known), 1024);
    // Another socket of the same host is another address.
    known.move_to_new_address();
    assert!(first_block(&mut known) < 128);
}

#[tokio::test]
async fn a_device_that_took_the_offer_of_an_image_has_proven_its_address_by_that() {
    let mut server = Server::start().await;
    let image = uploaded(&server.api(), "2.0.0", &image(81, SIZE)).await;
    let mut device = ScriptedDevice::new("taker", server.coap());
    device.register_now(86_400, "</3/0>,</5/0>");
    let begun = update(&server.api(), "taker", &image, Some("pull_coap")).await;
    up_to_the_offer(&mut device);
    let offer = asked(&mut device, Code::PUT, "/5/0/1");
    device.answer(&offer, Code::CHANGED, Options::new(), b"");
    reaches(&server.api(), &begun, "download").await;
    server.restart().await;
    assert_eq!(first_block(&mut device), 1024);
}

/// A device names the address of somebody else as its own, and is followed there. No restart makes a proof of that.
#[tokio::test]
async fn a_server_that_follows_devices_on_their_word_takes_no_stored_address_for_proven() {
    let mut server = Server::setup()
        .setting("registration.follow_addresses", true)
        .start()
        .await;
    upload(&server.api(), form("2.0.0", "v2.0.0.bin", &image(82, SIZE))).await;
    let mut device = ScriptedDevice::new("mover", server.coap());
    device.register_now(86_400, "</1/0>");
    device.move_to_host(HOST);
    let update = device.update();
    assert_eq!(device.ask(&update).code, Code::CHANGED);
    server.restart().await;
    assert!(first_block(&mut device) < 128);
    // What was stored then does not count later either.
    server.set("registration.follow_addresses", "false");
    server.restart().await;
    assert!(first_block(&mut device) < 128);
    let update = device.update();
    assert_eq!(device.ask(&update).code, Code::CHANGED);
    server.restart().await;
    assert_eq!(first_block(&mut device), 1024);
}

/// From its new address it has paid for next to nothing: a read goes, its answer proves the address, and the image
/// goes on where it was.
#[tokio::test]
async fn a_push_follows_its_device_to_another_address() {
    let server = Server::setup()
        .setting("registration.follow_addresses", true)
        .setting("coap.ack_timeout_ms", 200)
        .setting("coap.max_retransmit", 1)
        .start()
        .await;
    let image = uploaded(&server.api(), "2.0.0", &image(83, SIZE)).await;
    let mut device = ScriptedDevice::new("pushed", server.coap());
    device.register_now(86_400, "</3/0>,</5/0>");
    update(&server.api(), "pushed", &image, Some("push")).await;
    up_to_the_offer(&mut device);
    let first = asked(&mut device, Code::PUT, "/5/0/0");
    assert_eq!(first.payload.len(), 1024);
    let mut options = Options::new();
    let block = Block::of(&first.options, number::BLOCK1).expect("valid");
    block.expect("a Block1").set(&mut options, number::BLOCK1);
    device.answer(&first, Code::CONTINUE, options, b"");
    let lost = asked(&mut device, Code::PUT, "/5/0/0");
    device.move_to_host(HOST);
    eventually("the server has given up", SOON, || async {
        let left = server.metric("flownexus_coap_exchanges").await;
        (left == 0.0).then_some(())
    })
    .await;
    let update = device.update();
    device.send(&update);
    let read = asked(&mut device, Code::GET, "/5/0/3");
    device.answer_content(&read, TEXT, b"1");
    let again = asked(&mut device, Code::PUT, "/5/0/0");
    assert_eq!(again.payload, lost.payload);
    assert_eq!(
        again.options.first(number::BLOCK1),
        lost.options.first(number::BLOCK1)
    );
}

/// To the server another host.
const HOST: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 9));
