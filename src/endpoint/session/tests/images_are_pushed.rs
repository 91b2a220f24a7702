//! An image that is written to 5/0/0, block by block.

use std::time::Duration;

use super::bench::Bench;
use super::images::FakeBytes;
use crate::coap::{Block, Code, ExchangeFailure, Exponent, Response, number};
use crate::domain::{
    OperationKind, OperationStatus, Selection, UpdateMethod, UpdatePhase, UpdateResult,
};

fn pushing(size: u64) -> Bench {
    let mut bench = Bench::with_firmware(size);
    bench
        .ask_for_update(Some(UpdateMethod::Push), Selection::default())
        .expect("begun");
    bench.up_to_the_offer();
    bench
}

/// Offset, size and payload of the newest block.
fn block(bench: &Bench) -> (usize, usize, Vec<u8>) {
    assert_eq!(bench.newest_request(), "0.03 /5/0/0");
    let (_, outgoing) = bench.sent().pop().expect("a request");
    let block = outgoing.block1.expect("a block").block;
    assert_eq!(outgoing.request.options.content_format(), Some(42));
    (
        block.offset(),
        block.exponent.size(),
        outgoing.request.payload,
    )
}

fn confirmed(code: Code, offset: usize, more: bool, size: usize) -> Response {
    let mut response = Response::new(code);
    let block = Block::at(offset, more, Exponent::at_most(size)).expect("a block");
    block.set(&mut response.options, number::BLOCK1);
    response
}

/// Confirms block after block until all is there; what came.
fn take_all(bench: &mut Bench, size: u64) -> Vec<u8> {
    let mut image = Vec::new();
    loop {
        let (offset, block, payload) = block(bench);
        assert_eq!(offset, image.len());
        image.extend(payload);
        let more = (image.len() as u64) < size;
        let code = if more { Code::CONTINUE } else { Code::CHANGED };
        bench.answer(confirmed(code, offset, more, block));
        if !more {
            return image;
        }
    }
}

fn whole(size: u64) -> Vec<u8> {
    (0..size).map(FakeBytes::at).collect()
}

#[test]
fn every_byte_arrives_and_the_operation_is_confirmed() {
    for size in [1, 1024, 1025, 5000, 10 * 1024] {
        let mut bench = pushing(size);
        assert_eq!(take_all(&mut bench, size), whole(size));
        let update = bench.firmware_update();
        assert_eq!(update.phase, UpdatePhase::Download, "{size}");
        assert_eq!(
            update.progress.map(|progress| progress.percent()),
            Some(100)
        );
        let pushed = bench
            .operations()
            .into_iter()
            .find(|(kind, _)| *kind == OperationKind::Write);
        assert_eq!(
            pushed,
            Some((OperationKind::Write, OperationStatus::Confirmed))
        );
    }
}

#[test]
fn other_requests_go_between_two_blocks() {
    let mut bench = pushing(10_000);
    let (offset, size, _) = block(&bench);
    bench.operate(OperationKind::Read, "/3/0/9");
    bench.operate(OperationKind::Read, "/3/0/10");
    bench.answer(confirmed(Code::CONTINUE, offset, true, size));
    assert_eq!(bench.newest_request(), "0.01 /3/0/9");
    bench.answer(super::bench::content("5"));
    assert_eq!(block(&bench).0, 1024);
    bench.answer(confirmed(Code::CONTINUE, 1024, true, size));
    assert_eq!(bench.newest_request(), "0.01 /3/0/10");
    bench.answer(super::bench::content("5"));
    assert_eq!(block(&bench).0, 2048);
}

/// As after a restart: nothing came from its address yet.
#[test]
fn a_device_that_is_to_prove_its_address_gets_one_small_block_first() {
    let mut bench = Bench::with_firmware(5000);
    bench
        .ask_for_update(Some(UpdateMethod::Push), Selection::default())
        .expect("begun");
    bench.room = Some(50);
    bench.up_to_the_offer();
    assert_eq!((block(&bench).0, block(&bench).1), (0, 16));
    // It has, and the image begins with a block of the usual size.
    bench.room = None;
    bench.answer(confirmed(Code::CONTINUE, 0, true, 16));
    assert_eq!((block(&bench).0, block(&bench).1), (0, 1024));
    assert_eq!(take_all(&mut bench, 5000), whole(5000));
    assert_eq!(bench.firmware_update().phase, UpdatePhase::Download);
}

#[test]
fn a_small_block_that_is_too_much_too_waits_until_the_device_is_heard() {
    let mut bench = Bench::with_firmware(5000);
    bench
        .ask_for_update(Some(UpdateMethod::Push), Selection::default())
        .expect("begun");
    bench.room = Some(10);
    bench.up_to_the_offer();
    assert_ne!(bench.newest_request(), "0.03 /5/0/0");
    bench.room = None;
    let update = bench.update("");
    bench.feed(update);
    assert_eq!((block(&bench).0, block(&bench).1), (0, 16));
    bench.answer(confirmed(Code::CONTINUE, 0, true, 16));
    assert_eq!(take_all(&mut bench, 5000), whole(5000));
}

/// It moved to another address within its DTLS session, or was followed to another on plain CoAP.
#[test]
fn a_device_whose_address_is_not_proven_any_more_is_asked_something_small_and_gets_the_next_block()
{
    let mut bench = pushing(5000);
    bench.answer(confirmed(Code::CONTINUE, 0, true, 1024));
    bench.room = Some(50);
    bench.answer(confirmed(Code::CONTINUE, 1024, true, 1024));
    assert_eq!(bench.newest_request(), "0.01 /5/0/3");
    // Its answer proves the address, and says where the device stands.
    bench.room = None;
    bench.answer(super::bench::content("1"));
    let mut image = whole(2048);
    while image.len() < 5000 {
        let (offset, size, payload) = block(&bench);
        assert_eq!((offset, size), (image.len(), 1024), "nothing is sent twice");
        image.extend(payload);
        let more = image.len() < 5000;
        let code = if more { Code::CONTINUE } else { Code::CHANGED };
        bench.answer(confirmed(code, offset, more, 1024));
    }
    assert_eq!(image, whole(5000));
    assert_eq!(bench.firmware_update().phase, UpdatePhase::Download);
}

#[test]
fn what_waits_anyway_proves_the_address_as_well() {
    let mut bench = pushing(5000);
    bench.operate(OperationKind::Read, "/3/0/9");
    bench.operate(OperationKind::Read, "/3/0/10");
    bench.answer(confirmed(Code::CONTINUE, 0, true, 1024));
    assert_eq!(bench.newest_request(), "0.01 /3/0/9");
    bench.room = Some(50);
    bench.answer(super::bench::content("5"));
    assert_eq!(bench.newest_request(), "0.01 /3/0/10");
    bench.room = None;
    bench.answer(super::bench::content("5"));
    assert_eq!((block(&bench).0, block(&bench).1), (1024, 1024));
}

/// Neither does one that answers without proving anything keep the server busy.
#[test]
fn a_device_that_does_not_prove_its_address_is_asked_three_times_and_then_waited_for() {
    let mut bench = pushing(5000);
    bench.room = Some(50);
    bench.answer(confirmed(Code::CONTINUE, 0, true, 1024));
    let tries = bench.settings.update_limits.tries;
    for _ in 0..tries {
        assert_eq!(bench.newest_request(), "0.01 /5/0/3");
        bench.answer(super::bench::content("1"));
    }
    let reads = |bench: &Bench| {
        let sent = bench.sent().into_iter();
        sent.filter(|(_, request)| request.request.code == Code::GET)
            .count()
    };
    let before = reads(&bench);
    let update = bench.update("");
    bench.feed(update);
    assert_eq!(reads(&bench), before);
    // It goes on where it was once there is room.
    bench.room = None;
    let update = bench.update("");
    bench.feed(update);
    assert_eq!((block(&bench).0, block(&bench).1), (1024, 1024));
}

#[test]
fn a_device_can_ask_for_smaller_blocks_at_the_first_and_in_between() {
    let mut bench = pushing(5000);
    bench.answer(confirmed(Code::CONTINUE, 0, true, 256));
    assert_eq!((block(&bench).0, block(&bench).1), (1024, 256));
    // And by refusing the first one: then it begins anew.
    let mut bench = pushing(5000);
    bench.answer(confirmed(Code::REQUEST_ENTITY_TOO_LARGE, 0, true, 64));
    assert_eq!((block(&bench).0, block(&bench).1), (0, 64));
    assert_eq!(take_all(&mut bench, 5000), whole(5000));
}

#[test]
fn a_device_that_has_forgotten_gets_it_all_again_but_not_for_ever() {
    let mut bench = pushing(5000);
    let tries = bench.settings.update_limits.tries;
    for _ in 0..tries {
        bench.answer(confirmed(Code::CONTINUE, 0, true, 1024));
        assert_eq!(block(&bench).0, 1024);
        bench.answer(Response::new(Code::REQUEST_ENTITY_INCOMPLETE));
        assert_eq!(block(&bench).0, 0);
    }
    bench.answer(Response::new(Code::REQUEST_ENTITY_INCOMPLETE));
    assert!(
        bench
            .timeline()
            .iter()
            .any(|line| line.contains("did not take the image (5/0/0)")),
        "{:#?}",
        bench.timeline()
    );
    // It may be made again later.
    assert_eq!(bench.firmware_update().result, UpdateResult::Default);
}

#[test]
fn a_block_that_is_lost_waits_for_the_device_and_goes_on_in_its_place() {
    let mut bench = pushing(5000);
    bench.answer(confirmed(Code::CONTINUE, 0, true, 1024));
    bench.fail(ExchangeFailure::NotAcknowledged);
    let sent = bench.sent().len();
    bench.wait(Duration::from_secs(3600));
    bench.feed(crate::endpoint::session::Input::Tick);
    assert_eq!(
        bench.sent().len(),
        sent,
        "nothing is sent to a device that is silent"
    );
    let update = bench.update("");
    bench.feed(update);
    assert_eq!(block(&bench).0, 1024);
    // It answers again, so what was lost before does not count.
    bench.answer(confirmed(Code::CONTINUE, 1024, true, 1024));
    for _ in 0..bench.settings.max_attempts {
        assert_eq!(block(&bench).0, 2048);
        bench.fail(ExchangeFailure::NotAcknowledged);
        let update = bench.update("");
        bench.feed(update);
    }
    assert!(
        bench
            .timeline()
            .iter()
            .any(|line| line.contains("block 2 of 5")),
        "{:#?}",
        bench.timeline()
    );
}

#[test]
fn a_device_that_sleeps_is_left_alone_until_it_wakes() {
    let mut bench = Bench::with_firmware(5000);
    let register = bench.register("ep=thing&lwm2m=1.1&lt=86400&Q", "</3/0>,</5/0>");
    bench.feed(register);
    bench
        .ask_for_update(Some(UpdateMethod::Push), Selection::default())
        .expect("begun");
    bench.up_to_the_offer();
    bench.fail(ExchangeFailure::WindowClosed);
    let sent = bench.sent().len();
    bench.wait(Duration::from_secs(200));
    bench.feed(crate::endpoint::session::Input::Tick);
    assert_eq!(bench.sent().len(), sent);
    let update = bench.update("");
    bench.feed(update);
    assert_eq!(block(&bench).0, 0);
    // It did not count as an attempt.
    assert_eq!(take_all(&mut bench, 5000), whole(5000));
}

#[test]
fn after_a_restart_of_the_server_it_begins_anew() {
    let mut bench = pushing(5000);
    bench.answer(confirmed(Code::CONTINUE, 0, true, 1024));
    assert_eq!(block(&bench).0, 1024);
    bench.restart();
    assert_eq!(block(&bench).0, 0);
    assert_eq!(take_all(&mut bench, 5000), whole(5000));
    assert_eq!(bench.firmware_update().phase, UpdatePhase::Download);
}

#[test]
fn a_push_ends_when_its_update_is_cancelled() {
    let mut bench = pushing(50_000);
    bench.answer(confirmed(Code::CONTINUE, 0, true, 1024));
    let id = bench.firmware_update().id;
    bench.feed(crate::endpoint::session::Input::CancelUpdate {
        id,
        by: None,
        ticket: crate::endpoint::session::Ticket(3),
    });
    bench.answer(confirmed(Code::CONTINUE, 1024, true, 1024));
    assert_eq!(bench.newest_request(), "0.03 /5/0/1");
    bench.answer(Response::new(Code::CHANGED));
    assert_eq!(bench.firmware_update().result, UpdateResult::Cancelled);
    let writes: Vec<_> = bench.operations();
    assert!(
        writes.contains(&(OperationKind::Write, OperationStatus::Cancelled)),
        "{writes:?}"
    );
}

#[test]
fn nothing_of_the_image_is_stored_and_little_is_written_for_each_block() {
    let mut bench = pushing(1024 * 100);
    let before = bench.done.len();
    take_all(&mut bench, 1024 * 100);
    let bytes: usize = bench
        .changes_since(before)
        .iter()
        .map(|change| serde_json::to_string(change).expect("JSON").len())
        .sum();
    assert!(bytes < 20_000, "{bytes} bytes were written for 100 blocks");
}
