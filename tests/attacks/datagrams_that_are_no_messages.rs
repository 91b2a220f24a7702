//! Attacks 1 to 6: bytes that are no CoAP message, or hardly one.

use std::path::Path;

use super::{Siege, expect_nothing, noise, request};
use crate::support::device::ScriptedDevice;
use flownexus::coap::{Code, Message, MessageType, number};

#[tokio::test]
async fn attack_01_noise_and_every_part_of_a_good_message_harm_nobody() {
    let siege = Siege::begin(|setup| setup).await;
    let mut device = siege.device("noise");
    let mut byte = noise(0x9e37_79b9_7f4a_7c15);
    for _ in 0..8 {
        for length in 0..=64 {
            let bytes: Vec<u8> = (0..length).map(|_| byte()).collect();
            device.send_bytes(&bytes);
        }
        // What looks like a header makes the parser read on.
        for length in 4..=64 {
            let mut bytes: Vec<u8> = (0..length).map(|_| byte()).collect();
            bytes[0] = 0x40 | (bytes[0] & 0x38);
            bytes[1] &= 0x07;
            device.send_bytes(&bytes);
        }
        drain(&mut device);
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus/coap_decode");
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).expect("the corpus is part of the tree") {
        let datagram = std::fs::read(entry.expect("an entry").path()).expect("a readable file");
        let lengths: Vec<usize> = (0..=datagram.len()).collect();
        for some in lengths.chunks(64) {
            for length in some {
                device.send_bytes(&datagram[..*length]);
            }
            drain(&mut device);
        }
        seen += 1;
    }
    assert!(seen > 5, "a corpus");
    siege.ends_well().await;
}

/// Takes what comes until the answer to a ping: the server has read all that was sent before.
fn drain(device: &mut ScriptedDevice) {
    let ping = Message::empty(MessageType::Confirmable, device.next_message_id());
    device.send(&ping);
    loop {
        let answer = device.expect("a pong");
        if answer.kind == MessageType::Reset && answer.message_id == ping.message_id {
            return;
        }
    }
}

#[tokio::test]
async fn attack_02_to_05_what_breaks_the_format_is_reset_if_confirmable_and_else_ignored() {
    let siege = Siege::begin(|setup| setup).await;
    let mut device = siege.device("format");
    let reset = [
        ("3: token length 9", "49 01 abcd 0102030405060708 09"),
        ("3: token length 15", "4f 01 abcd"),
        ("3: a token behind the end", "44 01 abcd 01"),
        ("4: delta 15", "40 01 abcd f1 61"),
        ("4: length 15", "40 01 abcd 1f 61"),
        ("4: a length behind the end", "40 01 abcd bd"),
        ("4: a value behind the end", "40 01 abcd be ffff 00"),
        ("4: an option number above 65,535", "40 01 abcd e1 ffff 00"),
        ("4: numbers that wrap", "40 01 abcd e0 fef2 e0 0000"),
        ("5: a marker without payload", "40 01 abcd ff"),
        ("5: empty with a token", "41 00 abcd 01"),
        ("5: empty with bytes", "40 00 abcd 00"),
        ("5: class 1", "40 21 abcd"),
        ("5: class 6", "40 c1 abcd"),
        ("5: class 7", "40 e1 abcd"),
        ("5: a response that nobody asked for", "40 45 abcd"),
    ];
    for (what, digits) in reset {
        device.send_bytes(&bytes(digits));
        let answer = device.expect(what);
        assert_eq!(
            (answer.kind, answer.message_id),
            (MessageType::Reset, 0xabcd),
            "{what}: {answer:?}"
        );
        expect_nothing(&mut device, what);
    }
    let ignored = [
        ("2: version 0", "00 01 abcd"),
        ("2: version 2", "80 01 abcd"),
        ("2: version 3", "c0 01 abcd"),
        ("1: shorter than a header", "40 01 ab"),
        ("3: token length 9, not confirmable", "59 01 abcd"),
        ("5: class 7, not confirmable", "50 e1 abcd"),
        ("5: an empty message, not confirmable", "50 00 abcd"),
        ("5: a request in an acknowledgement", "60 01 abcd"),
        ("5: a request in a reset", "70 01 abcd"),
        ("5: a response in a reset", "70 45 abcd"),
        ("8: an acknowledgement of nothing", "60 00 abcd"),
        ("8: a reset of nothing", "70 00 abcd"),
        ("8: an answer to nothing", "61 45 abcd 07 ff 01"),
    ];
    for (what, digits) in ignored {
        device.send_bytes(&bytes(digits));
        expect_nothing(&mut device, what);
    }
    siege.ends_well().await;
}

#[tokio::test]
async fn attack_06_options_without_end_and_strange_paths_are_answered_or_reset() {
    let siege = Siege::begin(|setup| setup).await;
    let mut device = siege.device("options");
    // 1,000 options of one byte each.
    let mut many = bytes("40 01 abcd");
    many.extend([0xb1, 0x61]);
    many.extend([0x01, 0x61].repeat(999));
    device.send_bytes(&many);
    let answer = device.expect("a reset");
    assert_eq!(
        (answer.kind, answer.message_id),
        (MessageType::Reset, 0xabcd)
    );
    // As much path as a datagram holds: 240 segments of 255 bytes.
    let long = "x".repeat(255);
    let path = vec![long.as_str(); 240].join("/");
    let get = request(&mut device, Code::GET, &path, &[], b"");
    assert_eq!(device.ask(&get).code, Code::NOT_FOUND);
    // Critical and not known; elective and not known.
    let get = request(&mut device, Code::GET, "/rd", &[(65_001, b"x")], b"");
    assert_eq!(device.ask(&get).code, Code::BAD_OPTION);
    let get = request(&mut device, Code::GET, "/rd", &[(65_000, b"x")], b"");
    assert_eq!(device.ask(&get).code, Code::METHOD_NOT_ALLOWED);
    for (segments, code) in [
        (&[&b".."[..], b"..", b"etc", b"passwd"][..], Code::NOT_FOUND),
        (&[b"rd", b".."], Code::METHOD_NOT_ALLOWED),
        (&[b"rd\0"], Code::NOT_FOUND),
        (&[b"rd", b"\0"], Code::METHOD_NOT_ALLOWED),
        (&[b"rd", b"\xff\xfe"], Code::BAD_REQUEST),
        (&[b"\xc3\x28"], Code::BAD_REQUEST),
        (&[b"rd", b"a/b"], Code::METHOD_NOT_ALLOWED),
    ] {
        let options: Vec<(u16, &[u8])> = segments
            .iter()
            .map(|segment| (number::URI_PATH, *segment))
            .collect();
        let get = request(&mut device, Code::GET, "", &options, b"");
        assert_eq!(device.ask(&get).code, code, "{segments:?}");
    }
    siege.ends_well().await;
}

fn bytes(digits: &str) -> Vec<u8> {
    let digits: String = digits.split_whitespace().collect();
    hex::decode(digits).expect("hexadecimal digits")
}
