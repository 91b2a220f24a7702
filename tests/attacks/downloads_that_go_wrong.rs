//! Attacks 11 and 14 on those who fetch images over CoAP: requests for blocks whose source is forged, and an
//! image that is replaced while it is fetched.

use flownexus::coap::{Block, Code, Exponent, Message, MessageType, number};
use reqwest::StatusCode;

use super::{Siege, request};
use crate::firmware::{FIRMWARE, form, image, sha256, upload};
use crate::support::device::ScriptedDevice;
use crate::support::server::{SOON, eventually};

const PATH: &str = "/binaries/app.bin";

fn get(device: &mut ScriptedDevice, number: u32, size: usize, options: &[(u16, &[u8])]) -> Message {
    let mut message = request(device, Code::GET, PATH, options, b"");
    Block::new(number, false, Exponent::at_most(size))
        .expect("a block")
        .set(&mut message.options, number::BLOCK2);
    message
}

fn tag_of(answer: &Message) -> Vec<u8> {
    let tag = answer.options.first(number::ETAG);
    tag.expect("an ETag").to_vec()
}

/// What comes until the server has answered a ping; bytes of both directions are counted.
fn ping(device: &mut ScriptedDevice, went: &mut usize, came: &mut usize) {
    let ping = Message::empty(MessageType::Confirmable, device.next_message_id());
    device.send(&ping);
    *went += ping.encode().len();
    loop {
        let answer = device.expect("a pong");
        *came += device.received_bytes().len();
        if (answer.kind, answer.message_id) == (MessageType::Reset, ping.message_id) {
            return;
        }
    }
}

/// A hundred addresses that never answer anything, with a hundred blocks each, of every size and in both
/// kinds of messages.
#[tokio::test]
async fn attack_11_a_flood_of_requests_for_blocks_gets_three_bytes_for_each_of_its_own() {
    let siege = Siege::begin(|setup| setup).await;
    upload(
        &siege.server.api(),
        form("1.0.0", "app.bin", &image(1, 300_000)),
    )
    .await;
    let mut victims = Vec::new();
    let (mut sent, mut received) = (0, 0);
    for source in 0..100_u32 {
        let mut victim = siege.device("victim");
        let (mut went, mut came) = (0, 0);
        for round in 0..100_u32 {
            let size = 16 << (round % 7);
            let number = (source * 100 + round) % (300_000 / size as u32);
            let mut asked = get(&mut victim, number, size, &[]);
            if round % 2 == 1 {
                asked.kind = MessageType::NonConfirmable;
            }
            victim.send(&asked);
            went += asked.encode().len();
            if round % 10 == 9 {
                ping(&mut victim, &mut went, &mut came);
            }
        }
        victims.push((victim, went, came));
    }
    eventually(
        "all are answered, and nothing is remembered",
        SOON,
        || async {
            let remembered = siege.server.metric("flownexus_coap_dedup_entries").await;
            (remembered == 0.0).then_some(())
        },
    )
    .await;
    for (victim, went, came) in &mut victims {
        ping(victim, went, came);
        assert!(*came <= 3 * *went, "{came} bytes for {went}");
        sent += *went;
        received += *came;
    }
    assert!(received > sent, "it was served: {received} for {sent}");
    siege.ends_well().await;
}

#[tokio::test]
async fn attack_14_an_image_that_is_replaced_while_it_is_fetched_is_never_mixed() {
    let siege = Siege::begin(|setup| setup).await;
    let api = siege.server.api();
    let (old, new) = (image(1, 5_000), image(2, 6_000));
    let stored = upload(&api, form("1.0.0", "app.bin", &old)).await;
    let mut device = siege.server.secure_device("fetcher");
    let asked = get(&mut device, 0, 1024, &[]);
    let first = device.ask(&asked);
    assert_eq!(first.payload, old[..1024]);
    let tag = tag_of(&first);

    // Removed, and then another one under its name.
    let removed = api.delete(&format!("{FIRMWARE}/{}", stored["id"])).await;
    assert_eq!(removed.status(), StatusCode::NO_CONTENT);
    let asked = get(&mut device, 1, 1024, &[]);
    assert_eq!(device.ask(&asked).code, Code::NOT_FOUND);
    upload(&api, form("1.0.1", "app.bin", &new)).await;
    let asked = get(&mut device, 1, 1024, &[]);
    let second = device.ask(&asked);
    assert_eq!(second.payload, new[1024..2048]);
    assert_ne!(tag_of(&second), tag, "whoever looks at it begins anew");
    // The answers to copies of earlier requests are of one image as well.
    let asked = get(&mut device, 1, 1024, &[(number::IF_MATCH, &tag)]);
    assert_eq!(device.ask(&asked).code, Code::PRECONDITION_FAILED);
    let asked = get(&mut device, 0, 1024, &[(number::ETAG, &tag)]);
    let tag = tag_of(&second);
    let first = device.ask(&asked);
    assert_eq!((first.code, tag_of(&first)), (Code::CONTENT, tag.clone()));

    let mut fetched = first.payload;
    for number in 1..6 {
        let asked = get(&mut device, number, 1024, &[]);
        let block = device.ask(&asked);
        assert_eq!(tag_of(&block), tag);
        fetched.extend_from_slice(&block.payload);
    }
    assert_eq!(sha256(&fetched), sha256(&new));
    let asked = get(&mut device, 0, 1024, &[(number::ETAG, &tag)]);
    assert_eq!(device.ask(&asked).code, Code::VALID);
    siege.ends_well().await;
}
