//! Attacks 12 and 13: bodies that come in blocks, wrongly (RFC 7959, RFC 9175).

use super::{Siege, request};
use crate::support::device::ScriptedDevice;
use crate::support::server::{SOON, eventually};
use flownexus::coap::{Code, Message, number};

const LIMIT: usize = 4096;

/// A block of a Register that names the device; `links` is the part that it carries.
fn block(
    device: &mut ScriptedDevice,
    (number, more, exponent): (u32, bool, u32),
    links: &[u8],
    tag: &[u8],
) -> Message {
    let name = format!("ep={}", device.name());
    let value = (number << 4) | (u32::from(more) << 3) | exponent;
    let mut message = request(
        device,
        Code::POST,
        "/rd",
        &[
            (number::URI_QUERY, name.as_bytes()),
            (number::URI_QUERY, b"lwm2m=1.1"),
            (number::CONTENT_FORMAT, &[40]),
        ],
        links,
    );
    message.options.add_uint(number::BLOCK1, value);
    if !tag.is_empty() {
        message.options.add(number::REQUEST_TAG, tag);
    }
    message
}

/// Sends blocks one after the other; the codes of the answers.
fn codes(device: &mut ScriptedDevice, blocks: &[(u32, bool, u32, &[u8])]) -> Vec<Code> {
    blocks
        .iter()
        .map(|(number, more, exponent, part)| {
            let message = block(device, (*number, *more, *exponent), part, b"");
            device.ask(&message).code
        })
        .collect()
}

/// Sixteen bytes of links: whole links, so that any number of them is a list of objects.
const PART: &[u8] = b"</1/0>,</16/11>,";
/// 32 of them.
const LARGE: &[u8] = b"</1/0>,</16/11>,</1/0>,</16/11>,";

#[tokio::test]
async fn attack_12_blocks_out_of_place_are_refused_and_what_came_is_let_go() {
    let siege = Siege::begin(|setup| setup.setting("coap.max_body_bytes", LIMIT)).await;
    let mut device = siege.device("blocks");
    let go_on = Code::CONTINUE;
    let gone = Code::REQUEST_ENTITY_INCOMPLETE;
    for (what, blocks, wanted) in [
        (
            "good",
            &[(0, true, 0, PART), (1, false, 0, b"</4/0>")][..],
            &[go_on, Code::CREATED][..],
        ),
        ("begins in the middle", &[(1, true, 0, PART)], &[gone]),
        (
            "a gap",
            &[(0, true, 0, PART), (2, true, 0, PART), (1, false, 0, PART)],
            &[go_on, gone, gone],
        ),
        (
            "a block twice",
            &[(0, true, 0, PART), (1, true, 0, PART), (1, true, 0, PART)],
            &[go_on, go_on, gone],
        ),
        (
            "blocks that overlap, as their size changed",
            &[(0, true, 0, PART), (0, true, 1, LARGE), (1, true, 0, PART)],
            &[go_on, go_on, gone],
        ),
        (
            "the largest number",
            &[(0, true, 0, PART), (0xf_ffff, true, 0, PART)],
            &[go_on, gone],
        ),
        (
            "the reserved size",
            &[(0, true, 7, PART)],
            &[Code::BAD_REQUEST],
        ),
        (
            "a block shorter than it says",
            &[(0, true, 0, b"</1/0>")],
            &[Code::BAD_REQUEST],
        ),
        (
            "a block longer than it says",
            &[(0, false, 0, LARGE)],
            &[Code::BAD_REQUEST],
        ),
    ] {
        assert_eq!(codes(&mut device, blocks), wanted, "{what}");
    }
    // Over the limit, told at once or found out.
    let mut told = block(&mut device, (0, true, 0), PART, b"");
    told.options.add_uint(number::SIZE1, 200_000);
    let answer = device.ask(&told);
    assert_eq!(answer.code, Code::REQUEST_ENTITY_TOO_LARGE);
    assert_eq!(answer.options.uint(number::SIZE1), Some(4096), "the limit");
    let kilobyte = PART.repeat(64);
    for number in 0..4 {
        let message = block(&mut device, (number, true, 6), &kilobyte, b"");
        assert_eq!(device.ask(&message).code, go_on, "{number}");
    }
    let message = block(&mut device, (4, true, 6), &kilobyte, b"");
    assert_eq!(device.ask(&message).code, Code::REQUEST_ENTITY_TOO_LARGE);
    siege.ends_well().await;
}

#[tokio::test]
async fn attack_12_uploads_that_nobody_finishes_are_bounded_and_given_up() {
    const MOST: usize = 16;
    let siege = Siege::begin(|setup| {
        setup
            .setting("coap.max_transfers", MOST)
            .setting("coap.transfer_timeout_s", 2)
    })
    .await;
    let kilobyte = PART.repeat(64);
    for peer in 0..MOST * 4 {
        let mut device = siege.device(&format!("unfinished-{peer}"));
        for number in 0..2 {
            let message = block(&mut device, (number, true, 6), &kilobyte, b"");
            assert_eq!(device.ask(&message).code, Code::CONTINUE);
        }
        let transfers = siege.server.metric("flownexus_coap_transfers").await;
        assert!(transfers <= MOST as f64, "{transfers}");
    }
    assert!(
        siege
            .server
            .metric("flownexus_coap_dropped_by_limit_total")
            .await
            > 0.0
    );
    eventually("they are given up", SOON, || async {
        let bytes = siege
            .server
            .metric("flownexus_coap_transfer_memory_bytes")
            .await;
        (bytes < 1.0).then_some(())
    })
    .await;
    siege.ends_well().await;
}

#[tokio::test]
async fn attack_13_two_uploads_at_once_are_kept_apart_by_their_tags_or_refused() {
    let siege = Siege::begin(|setup| setup).await;
    let api = siege.server.api();
    let mut device = siege.device("interleaved");
    // With Request-Tag: each comes to its own end.
    for (tag, more) in [(b"a", true), (b"b", true), (b"a", false), (b"b", false)] {
        let (number, part) = match (tag, more) {
            (_, true) => (0, PART),
            (b"a", false) => (1, &b"</4/0>"[..]),
            (_, false) => (1, &b"</6/0>"[..]),
        };
        let message = block(&mut device, (number, more, 0), part, tag);
        let wanted = if more { Code::CONTINUE } else { Code::CREATED };
        assert_eq!(device.ask(&message).code, wanted, "{tag:?} {number}");
        if !more {
            let endpoint = api.endpoint("interleaved").await.expect("known");
            let announced = endpoint["objects"].to_string();
            assert!(announced.contains("/1/0") && announced.contains("/16/11"));
            assert_eq!(announced.contains("/4/0"), tag == b"a", "{announced}");
            assert_eq!(announced.contains("/6/0"), tag == b"b", "{announced}");
        }
    }
    // Without: a block 0 begins anew, so of two uploads one is incomplete and none is a mixture.
    let mut devices = siege.device("untagged");
    let codes: Vec<Code> = [(0, true), (0, true), (1, false), (1, false)]
        .into_iter()
        .map(|(number, more)| {
            let message = block(&mut devices, (number, more, 0), PART, b"");
            devices.ask(&message).code
        })
        .collect();
    assert_eq!(
        codes,
        [
            Code::CONTINUE,
            Code::CONTINUE,
            Code::CREATED,
            Code::REQUEST_ENTITY_INCOMPLETE
        ]
    );
    siege.ends_well().await;
}
