//! Object 5 with an image that comes to 5/0/0 block by block, each in an exchange of its own.

use super::firmware_is_pulled::{hash, image_of};
use super::*;
use crate::coap::{Block, Exponent};
use crate::sim::{BlockLimit, FirmwareBehaviour, Midway, Quirks};

fn block(offset: usize, more: bool, size: usize) -> Block {
    Block::at(offset, more, Exponent::at_most(size)).expect("a block")
}

fn request_of(image: &[u8], offset: usize, size: usize) -> Request {
    let end = (offset + size).min(image.len());
    let mut request = request(Code::PUT, "/5/0/0");
    request.options.add_uint(number::CONTENT_FORMAT, 42);
    block(offset, end < image.len(), size).set(&mut request.options, number::BLOCK1);
    if offset == 0 {
        request.options.add_uint(number::SIZE1, image.len() as u32);
    }
    request.payload = image[offset..end].to_vec();
    request
}

impl Bench {
    fn push(&mut self, image: &[u8], offset: usize, size: usize) -> Response {
        self.push_or_not(image, offset, size)
            .expect("the block is answered")
    }

    fn push_or_not(&mut self, image: &[u8], offset: usize, size: usize) -> Option<Response> {
        self.last_token = self.last_token.wrapping_add(1);
        let token = Token::from([self.last_token; 8]);
        self.ask_as(token, request_of(image, offset, size))
    }

    /// Pushes on from there in blocks of 1,024 bytes, and returns the last answer.
    fn push_from(&mut self, image: &[u8], mut offset: usize) -> Response {
        loop {
            let response = self.push(image, offset, 1024);
            offset += 1024;
            if response.code != Code::CONTINUE {
                return response;
            }
        }
    }
}

fn block1(response: &Response) -> Option<Block> {
    Block::of(&response.options, number::BLOCK1).expect("a block")
}

fn with(firmware: FirmwareBehaviour) -> Bench {
    Bench::registered(|settings| {
        settings.quirks = Quirks {
            firmware,
            ..Quirks::default()
        };
    })
}

#[test]
fn an_image_is_pushed_with_other_requests_between_its_blocks() {
    let mut bench = Bench::registered(|_| {});
    let image = image_of("2.0.0", 5000);
    for offset in (0..4096).step_by(1024) {
        let response = bench.push(&image, offset, 1024);
        assert_eq!(response.code, Code::CONTINUE);
        assert_eq!(block1(&response), Some(block(offset, true, 1024)));
        assert_eq!(bench.firmware_state(), (1, 0));
        assert_eq!(bench.report().received, offset as u64 + 1024);
        assert_eq!(bench.get("/3/0/3", ContentFormat::Text).payload, b"1.0.0");
        bench.pass(600.0);
        if !bench.asked.is_empty() {
            bench.reply(Ok(Response::new(Code::CHANGED)));
        }
    }
    let response = bench.push(&image, 4096, 1024);
    assert_eq!(response.code, Code::CHANGED);
    assert_eq!(block1(&response), Some(block(4096, false, 1024)));
    assert_eq!(bench.firmware_state(), (2, 0));
    assert_eq!(bench.report().downloaded_sha256, Some(hash(&image)));
    assert_eq!(bench.execute_update(), Code::CHANGED);
    bench.pass(1.0);
    bench.comes_back();
    assert_eq!(
        (bench.firmware_state(), bench.report().version.as_str()),
        ((0, 1), "2.0.0")
    );
}

#[test]
fn an_image_that_says_nothing_of_itself_is_called_after_its_hash() {
    let mut bench = Bench::registered(|_| {});
    let image = vec![9; 3000];
    bench.push_from(&image, 0);
    let name = format!("pushed-{}", &hash(&image)[..8]);
    assert_eq!(
        bench.get("/5/0/7", ContentFormat::Text).payload,
        name.as_bytes()
    );
}

#[test]
fn a_small_image_comes_in_one_message_too() {
    let image = image_of("2.0.0", 100);
    let mut bench = Bench::registered(|_| {});
    let mut whole = request(Code::PUT, "/5/0/0");
    whole.options.add_uint(number::CONTENT_FORMAT, 42);
    whole.payload = image.clone();
    assert_eq!(bench.ask(whole.clone()).code, Code::CHANGED);
    assert_eq!(bench.firmware_state(), (2, 0));
    assert_eq!(bench.ask(whole).code, Code::METHOD_NOT_ALLOWED);
    let mut bench = Bench::registered(|_| {});
    let package = [("/5/0/0", Value::Opaque(image.clone()))];
    assert_eq!(bench.write(Code::IPATCH, "/", &package).code, Code::CHANGED);
    assert_eq!(bench.report().downloaded_sha256, Some(hash(&image)));
}

#[test]
fn a_missing_block_is_asked_for_by_beginning_anew() {
    let mut bench = Bench::registered(|_| {});
    let image = image_of("2.0.0", 5000);
    let late = bench.push(&image, 1024, 1024);
    assert_eq!(late.code, Code::REQUEST_ENTITY_INCOMPLETE);
    assert_eq!(bench.firmware_state(), (0, 0), "it knows of no image");
    bench.push(&image, 0, 1024);
    let gap = bench.push(&image, 2048, 1024);
    assert_eq!(gap.code, Code::REQUEST_ENTITY_INCOMPLETE);
    let forgotten = bench.push(&image, 1024, 1024);
    assert_eq!(forgotten.code, Code::REQUEST_ENTITY_INCOMPLETE);
    assert_eq!(bench.push_from(&image, 0).code, Code::CHANGED);
    assert_eq!(bench.report().downloaded_sha256, Some(hash(&image)));
    assert_eq!(bench.report().restarts, 2);
}

#[test]
fn a_block_whose_answer_was_lost_comes_again_and_counts_once() {
    let mut bench = Bench::registered(|_| {});
    let image = image_of("2.0.0", 3000);
    bench.push(&image, 0, 1024);
    for _ in 0..2 {
        let response = bench.push(&image, 1024, 1024);
        assert_eq!(response.code, Code::CONTINUE);
    }
    for _ in 0..2 {
        let response = bench.push(&image, 2048, 1024);
        assert_eq!(response.code, Code::CHANGED);
        assert_eq!(bench.firmware_state(), (2, 0));
    }
    assert_eq!(bench.report().downloaded_sha256, Some(hash(&image)));
    assert_eq!(bench.report().downloads, 1);
    let other = bench.push(&image, 0, 1024);
    assert_eq!(other.code, Code::METHOD_NOT_ALLOWED, "an image is there");
    assert_eq!(bench.write_uri(""), Code::CHANGED);
    assert_eq!(bench.push(&image, 0, 1024).code, Code::CONTINUE);
}

#[test]
fn block_zero_begins_another_image() {
    let mut bench = Bench::registered(|_| {});
    let (first, second) = (image_of("2.0.0", 5000), image_of("3.0.0", 4000));
    bench.push(&first, 0, 1024);
    bench.push(&first, 1024, 1024);
    assert_eq!(bench.push_from(&second, 0).code, Code::CHANGED);
    assert_eq!(bench.report().downloaded_sha256, Some(hash(&second)));
    assert_eq!(bench.report().restarts, 1);
}

#[test]
fn a_device_that_was_restarted_or_has_waited_for_too_long_has_forgotten() {
    let image = image_of("2.0.0", 5000);
    let mut bench = Bench::registered(|_| {});
    bench.push(&image, 0, 1024);
    bench.ask(request(Code::POST, "/3/0/4"));
    bench.comes_back();
    let forgotten = bench.push(&image, 1024, 1024);
    assert_eq!(forgotten.code, Code::REQUEST_ENTITY_INCOMPLETE);

    let remembers = Duration::from_secs(60);
    let mut bench = Bench::registered(|settings| settings.quirks.forgets_after = Some(remembers));
    bench.push(&image, 0, 1024);
    bench.pass(60.0);
    assert_eq!(bench.push(&image, 1024, 1024).code, Code::CONTINUE);
    bench.pass(60.1);
    let forgotten = bench.push(&image, 2048, 1024);
    assert_eq!(forgotten.code, Code::REQUEST_ENTITY_INCOMPLETE);
    assert_eq!(bench.firmware_state(), (0, 0));
    assert_eq!(bench.push_from(&image, 0).code, Code::CHANGED);
}

#[test]
fn smaller_blocks_are_asked_for_or_insisted_on() {
    let image = image_of("2.0.0", 3000);
    let limited = |limit| Bench::registered(|settings| settings.quirks.block_limit = Some(limit));
    // RFC 7959 figure 9: the block is taken, and the next number counts in the new size.
    let mut bench = limited(BlockLimit::Asks(64));
    let response = bench.push(&image, 0, 1024);
    let asked = block1(&response).expect("Block1");
    assert_eq!((response.code, asked.number()), (Code::CONTINUE, 0));
    assert_eq!(asked.exponent.size(), 64);
    let mut offset = 1024;
    while bench.firmware_state() == (1, 0) {
        let response = bench.push(&image, offset, 64);
        assert!(response.code.is_success(), "{response:?}");
        offset += 64;
    }
    assert_eq!(bench.report().downloaded_sha256, Some(hash(&image)));
    // Section 2.9.3: nothing was taken.
    let mut bench = limited(BlockLimit::Insists(256));
    let response = bench.push(&image, 0, 1024);
    assert_eq!(response.code, Code::REQUEST_ENTITY_TOO_LARGE);
    assert_eq!(
        block1(&response).map(|block| block.exponent.size()),
        Some(256)
    );
    assert_eq!(bench.firmware_state(), (0, 0));
    assert_eq!(bench.push(&image, 0, 256).code, Code::CONTINUE);
    // What it asks for in a download.
    assert_eq!(bench.write_uri(""), Code::CHANGED);
    bench.write_uri("coap://server/image");
    assert_eq!(bench.fetched[0].block, 256);
}

#[test]
fn what_is_no_image_is_refused() {
    let image = image_of("2.0.0", 3000);
    let mut bench = Bench::registered(|_| {});
    let mut text = request_of(&image, 0, 1024);
    text.options.set_uint(number::CONTENT_FORMAT, 0);
    assert_eq!(bench.ask(text).code, Code::UNSUPPORTED_CONTENT_FORMAT);
    let mut short = request_of(&image, 0, 1024);
    short.payload.pop();
    assert_eq!(bench.ask(short).code, Code::BAD_REQUEST);
    assert_eq!(bench.firmware_state(), (0, 0));
    bench.write_uri("coap://server/image");
    let meanwhile = bench.push(&image, 0, 1024);
    assert_eq!(meanwhile.code, Code::METHOD_NOT_ALLOWED, "it downloads");
    for (delivery, pushes, pulls) in [
        (0, Code::METHOD_NOT_ALLOWED, Code::CHANGED),
        (1, Code::CONTINUE, Code::METHOD_NOT_ALLOWED),
    ] {
        let mut bench = Bench::registered(|settings| {
            settings.firmware.as_mut().expect("object 5").delivery = delivery;
        });
        assert_eq!(bench.push(&image, 0, 1024).code, pushes);
        bench.write_uri("");
        assert_eq!(bench.write_uri("coap://server/image"), pulls);
    }
}

#[test]
fn each_way_of_going_wrong_has_its_answer_and_its_result() {
    use FirmwareBehaviour as B;
    let image = image_of("2.0.0", 5000);
    for (behaviour, at, code, state) in [
        (
            B::NoStorage,
            0,
            Some(Code::REQUEST_ENTITY_TOO_LARGE),
            (0, 2),
        ),
        (
            B::OutOfMemory,
            2048,
            Some(Code::INTERNAL_SERVER_ERROR),
            (0, 3),
        ),
        (B::ConnectionLost, 2048, None, (0, 4)),
        (B::LostMidway(Midway::Reports), 2048, None, (0, 4)),
        (B::WrongHash, 4096, Some(Code::CHANGED), (0, 5)),
        (
            B::UnsupportedImage,
            0,
            Some(Code::INTERNAL_SERVER_ERROR),
            (0, 6),
        ),
        (B::Stalls, 2048, None, (1, 0)),
        (B::Good, 4096, Some(Code::CHANGED), (2, 0)),
    ] {
        let mut bench = with(behaviour);
        for offset in (0..at).step_by(1024) {
            assert_eq!(bench.push(&image, offset, 1024).code, Code::CONTINUE);
        }
        let answer = bench.push_or_not(&image, at, 1024);
        assert_eq!(answer.map(|answer| answer.code), code, "{behaviour}");
        assert_eq!(bench.firmware_state(), state, "{behaviour}");
    }
    let mut bench = Bench::registered(|settings| settings.quirks.storage = Some(4000));
    let answer = bench.push(&image, 0, 1024);
    assert_eq!(answer.code, Code::REQUEST_ENTITY_TOO_LARGE, "Size1 says so");
}

#[test]
fn it_loses_the_connection_midway_and_hears_again_after_a_while_or_never() {
    let image = image_of("2.0.0", 5000);
    let pause = Midway::Resumes(Duration::from_secs(30));
    let mut bench = with(FirmwareBehaviour::LostMidway(pause));
    bench.push(&image, 0, 1024);
    bench.push(&image, 1024, 1024);
    assert_eq!(bench.push_or_not(&image, 2048, 1024), None);
    bench.pass(29.0);
    assert_eq!(bench.push_or_not(&image, 2048, 1024), None);
    assert_eq!(bench.get("/5/0/3", ContentFormat::Text).payload, b"1");
    bench.pass(1.0);
    assert_eq!(bench.push_from(&image, 2048).code, Code::CHANGED);
    assert_eq!(bench.report().downloaded_sha256, Some(hash(&image)));

    let mut bench = with(FirmwareBehaviour::LostMidway(Midway::Silent));
    bench.push(&image, 0, 1024);
    bench.push(&image, 1024, 1024);
    assert_eq!(bench.push_or_not(&image, 2048, 1024), None);
    assert!(!bench.device.is_registered());
    assert_eq!(bench.ask_as(Token::default(), get("/5/0/3", None)), None);
}

#[test]
fn an_empty_package_puts_everything_back() {
    let image = image_of("2.0.0", 5000);
    let mut bench = Bench::registered(|_| {});
    bench.push(&image, 0, 1024);
    let empty = bench.push(b"\0", 0, 16);
    assert_eq!(
        (empty.code, bench.firmware_state()),
        (Code::CHANGED, (0, 0))
    );
}
