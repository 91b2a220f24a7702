//! A notification that is larger than a datagram: the acknowledged first block is on disk, the rest
//! is fetched, and a restart in between loses nothing.

use serde_json::json;

use crate::support::device::{ScriptedDevice, TEXT};
use crate::support::server::{SOON, Server, eventually};
use flownexus::coap::{Block, Code, Exponent, Message, Options, number};
use flownexus::domain::Token;

const BODY: &str = "a text of forty-eight bytes, in three blocks of 16";

/// A device whose manufacturer is observed.
async fn observed(server: &Server, name: &str) -> (ScriptedDevice, Token) {
    let mut device = ScriptedDevice::new(name, server.coap());
    device.register_now(3600, "</1/0>");
    let operation = server
        .api()
        .operate(name, &json!({"kind": "observe", "path": "/3/0/0"}))
        .await;
    let observe = device.expect_request(Code::GET, "/3/0/0");
    device.answer_observe(&observe, 1, TEXT, b"short");
    server.api().ended(&operation).await;
    (device, observe.token)
}

fn block(number: u32, more: bool) -> Options {
    let mut options = Options::new();
    options.add_uint(number::CONTENT_FORMAT, u32::from(TEXT));
    options.add(number::ETAG, b"v2");
    let exponent = Exponent::new(0).expect("16 bytes");
    let block = Block::new(number, more, exponent).expect("a block");
    options.add_uint(number::BLOCK2, block.to_value());
    options
}

/// The first block, acknowledged, and the server's request for the next one.
fn first_block(device: &mut ScriptedDevice, token: Token) -> Message {
    let mut notification = device.notification(token, 2, TEXT, &BODY.as_bytes()[..16]);
    notification.options = block(0, true);
    notification.options.add_uint(number::OBSERVE, 2);
    device.send(&notification);
    device.expect_acknowledgement(&notification);
    let next = device.expect_request(Code::GET, "/3/0/0");
    assert_ne!(
        next.token, token,
        "the rest is fetched with a token of its own"
    );
    assert_eq!(next.options.observe(), None);
    next
}

async fn shown(server: &Server, name: &str) -> String {
    let latest = server
        .api()
        .read(&format!("/api/v1/endpoints/{name}/resources"))
        .await;
    let items = latest["items"].as_array().expect("items").clone();
    let item = items
        .iter()
        .find(|item| item["path"] == "/3/0/0")
        .expect("a manufacturer");
    item["value"].as_str().expect("text").to_owned()
}

#[tokio::test]
async fn the_rest_of_a_notification_is_fetched() {
    let server = Server::start().await;
    let (mut device, token) = observed(&server, "blocks").await;
    let mut request = first_block(&mut device, token);
    for number in 1..4 {
        let asked = Block::of(&request.options, number::BLOCK2).expect("a block option");
        assert_eq!(asked.map(Block::number), Some(number));
        let from = number as usize * 16;
        let to = BODY.len().min(from + 16);
        let more = to < BODY.len();
        device.answer(
            &request,
            Code::CONTENT,
            block(number, more),
            &BODY.as_bytes()[from..to],
        );
        if more {
            request = device.expect_request(Code::GET, "/3/0/0");
        }
    }
    eventually("the whole text is stored", SOON, || async {
        (shown(&server, "blocks").await == BODY).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_incomplete_notification_is_read_again_after_a_kill() {
    let mut server = Server::start().await;
    let (mut device, token) = observed(&server, "broken").await;
    first_block(&mut device, token);

    server.kill();
    server.restart().await;

    let again = device.expect_request(Code::GET, "/3/0/0");
    assert_eq!(again.options.observe(), None);
    device.answer_content(&again, TEXT, BODY.as_bytes());
    eventually("the whole text is stored", SOON, || async {
        (shown(&server, "broken").await == BODY).then_some(())
    })
    .await;
    // And the observation goes on.
    device.notify(token, 3, TEXT, b"short again");
    assert_eq!(shown(&server, "broken").await, "short again");
}
