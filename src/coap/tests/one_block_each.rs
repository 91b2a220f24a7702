//! A large body that is sent block by block, each in an exchange of its own (firmware that is pushed): the
//! test is what decides about the next block.

use rstest::rstest;

use super::pair::{Faults, Pair, Side, peer_of};
use super::*;

/// One block of a body, in a request to `/5/0/0`.
fn block_of_body(body: &[u8], offset: usize, size: usize) -> OutgoingRequest {
    let end = (offset + size).min(body.len());
    let mut request = get("/5/0/0");
    request.code = Code::PUT;
    request.options.set_uint(number::CONTENT_FORMAT, 42);
    request.payload = body[offset..end].to_vec();
    let mut outgoing = outgoing(request);
    outgoing.block1 = Some(OutgoingBlock {
        block: Block::at(offset, end < body.len(), Exponent::at_most(size)).expect("a block"),
        whole: u32::try_from(body.len()).ok(),
    });
    outgoing
}

/// A body on its way to the device of a [`Pair`].
struct Push {
    pair: Pair,
    lease: MessageIds,
    /// Bodies that the device got whole.
    bodies: Vec<Vec<u8>>,
    /// Sizes of the blocks that were sent.
    sizes: Vec<usize>,
    /// Reads that were answered between the blocks.
    reads: usize,
}

impl Push {
    /// To a device that takes blocks of this size.
    fn new(size: usize, faults: Faults) -> Self {
        let config = EndpointConfig {
            block_size: size,
            max_body: 20_000,
            ..EndpointConfig::default()
        };
        Self {
            pair: Pair::new(config, faults),
            lease: MessageIds {
                next: 65_530,
                end: 1_000,
            },
            bodies: Vec::new(),
            sizes: Vec::new(),
            reads: 0,
        }
    }

    /// Sends it as a session would: the next block when the one before is confirmed, in the size that the
    /// device wants, and something else is asked after each of them.
    fn run(&mut self, body: &[u8], mut size: usize) -> Result<Code, ExchangeFailure> {
        let mut offset = 0;
        loop {
            let outgoing = block_of_body(body, offset, size);
            let sent = outgoing.block1.expect("a block").block;
            self.sizes.push(size);
            let response = self.ask(outgoing)?;
            let confirmed = confirmed_block1(&response).expect("a Block1");
            assert_eq!(confirmed.number(), sent.number());
            assert_eq!(confirmed.more, sent.more);
            if !sent.more {
                return Ok(response.code);
            }
            assert_eq!(response.code, Code::CONTINUE);
            offset += size;
            size = size.min(confirmed.exponent.size());
            let read = OutgoingRequest::new(get("/5/0/3"), token(b"a read"), seconds(93));
            assert_eq!(self.ask(read)?.payload, b"1");
            self.reads += 1;
        }
    }

    fn ask(&mut self, mut outgoing: OutgoingRequest) -> Result<Response, ExchangeFailure> {
        outgoing.message_ids = Some(self.lease);
        let now = self.pair.now;
        self.pair
            .server
            .request(now, peer_of(Side::Device), outgoing)
            .expect("begun");
        let first = self.lease.next;
        loop {
            assert!(self.pair.step(), "every exchange ends");
            self.device_answers();
            let (ended, left) = match self.pair.server.poll_event() {
                None => continue,
                Some(Event::Response {
                    response,
                    message_ids,
                    ..
                }) => (Ok(response), message_ids),
                Some(Event::Failed {
                    failure,
                    message_ids,
                    ..
                }) => (Err(failure), message_ids),
                Some(other) => panic!("{other:?}"),
            };
            self.lease = left.expect("what is left of it");
            assert_eq!(
                self.lease.next,
                first.wrapping_add(1),
                "each is one message, however often it was sent"
            );
            return ended;
        }
    }

    fn device_answers(&mut self) {
        let now = self.pair.now;
        while let Some(event) = self.pair.device.poll_event() {
            let Event::Request { key, request } = event else {
                panic!("the device is only asked: {event:?}");
            };
            let answer = if request.code == Code::GET {
                content(b"1")
            } else {
                assert_eq!(request.options.content_format(), Some(42));
                self.bodies.push(request.payload);
                Response::new(Code::CHANGED)
            };
            self.pair.device.respond(now, &key, answer);
        }
    }
}

fn good() -> Faults {
    Faults {
        loss: 0,
        duplicate: 0,
        delay_ms: 20,
        seed: 1,
    }
}

#[rstest]
#[case::with_a_short_last_block(5_000, 1024, 5)]
#[case::with_a_full_last_block(4_096, 1024, 4)]
#[case::in_small_blocks(5_000, 64, 79)]
#[case::in_one_block(10, 16, 1)]
fn a_body_goes_block_by_block_and_other_requests_go_between_them(
    #[case] length: usize,
    #[case] size: usize,
    #[case] blocks: usize,
) {
    let mut push = Push::new(1024, good());
    assert_eq!(push.run(&bytes(length), size), Ok(Code::CHANGED));
    assert_eq!(push.bodies, [bytes(length)]);
    assert_eq!(push.sizes, vec![size; blocks]);
    assert_eq!(push.reads, blocks - 1);
}

#[test]
fn the_device_may_want_smaller_blocks_after_the_first() {
    let mut push = Push::new(64, good());
    assert_eq!(push.run(&bytes(2_000), 1024), Ok(Code::CHANGED));
    assert_eq!(push.bodies, [bytes(2_000)]);
    // What the first one carried is not sent again.
    assert_eq!(push.sizes.first(), Some(&1024));
    assert_eq!(push.sizes.get(1..), Some([64; 16].as_slice()));
}

#[test]
fn what_the_network_loses_doubles_and_reorders_is_sent_again_and_counts_once() {
    let mut arrived = 0;
    for seed in 0..40 {
        let faults = Faults {
            loss: 20,
            duplicate: 30,
            delay_ms: 3_000,
            seed,
        };
        let mut push = Push::new(256, faults);
        match push.run(&bytes(3_000), 1024) {
            Ok(code) => {
                assert_eq!(code, Code::CHANGED);
                assert_eq!(push.bodies, [bytes(3_000)], "seed {seed}");
                arrived += 1;
            }
            Err(failure) => assert_eq!(failure, ExchangeFailure::NotAcknowledged, "seed {seed}"),
        }
    }
    assert!(arrived > 30, "{arrived} of 40");
}

#[test]
fn the_message_carries_this_block_and_the_size_of_the_whole_with_the_first() {
    let body = bytes(5_000);
    let mut solo = Solo::new();
    for (offset, block, size1) in [
        (0, (0, true, 1024), Some(5_000)),
        (1024, (1, true, 1024), None),
        (4096, (4, false, 1024), None),
    ] {
        let mut outgoing = block_of_body(&body, offset, 1024);
        // What would ask for something else is taken away.
        outgoing.request.options.set_uint(number::BLOCK2, 0x16);
        solo.ask(outgoing);
        let sent = solo.sent_one();
        assert_eq!(block_of(&sent, number::BLOCK1), Some(block));
        assert_eq!(sent.options.uint(number::SIZE1), size1);
        assert_eq!(sent.options.first(number::BLOCK2), None);
        assert_eq!(sent.payload, body[offset..(offset + 1024).min(5_000)]);
        solo.receive_message(&piggybacked(&sent, Code::CHANGED, b""));
        solo.response_event();
    }
}

#[rstest]
#[case::taken(Code::CONTINUE, Some((2, true, 256)))]
#[case::taken_in_smaller_blocks(Code::CONTINUE, Some((2, true, 64)))]
#[case::taken_by_itself(Code::CHANGED, Some((2, false, 256)))]
#[case::lost(Code::REQUEST_ENTITY_INCOMPLETE, None)]
#[case::too_large_at_once(Code::REQUEST_ENTITY_TOO_LARGE, Some((2, true, 64)))]
#[case::too_large(Code::REQUEST_ENTITY_TOO_LARGE, None)]
#[case::another_block_is_confirmed(Code::CONTINUE, Some((7, true, 256)))]
#[case::no_block_is_confirmed(Code::CONTINUE, None)]
#[case::refused(Code::BAD_REQUEST, None)]
fn whatever_is_answered_is_handed_up_as_it_came_and_nothing_more_is_sent(
    #[case] code: Code,
    #[case] block: Option<(u32, bool, usize)>,
) {
    let mut solo = Solo::new();
    solo.ask(block_of_body(&bytes(2_000), 512, 256));
    let sent = solo.sent_one();
    let mut answer = piggybacked(&sent, code, b"why");
    if let Some(block) = block {
        answer = with_block(answer, number::BLOCK1, block);
    }
    solo.receive_message(&answer);
    let (response, _) = solo.response_event();
    assert_eq!(
        (response.code, response.payload.as_slice()),
        (code, &b"why"[..])
    );
    let confirmed = confirmed_block1(&response)
        .map(|block| (block.number(), block.more, block.exponent.size()));
    assert_eq!(confirmed, block);
    assert!(solo.sent().is_empty());
    assert_eq!(solo.endpoint.next_timeout(), None, "the exchange is over");
}

#[test]
fn a_lost_block_is_sent_again_with_the_same_message_id() {
    let mut solo = Solo::new();
    let mut outgoing = block_of_body(&bytes(2_000), 0, 1024);
    outgoing.message_ids = Some(MessageIds { next: 7, end: 9 });
    solo.ask(outgoing);
    let first = solo.sent_bytes();
    solo.pass(seconds(4));
    assert_eq!(solo.sent_bytes(), first);
    let sent = Message::decode(&first).expect("a message");
    assert_eq!(sent.message_id, 7);
    let answer = piggybacked(&sent, Code::CONTINUE, b"");
    solo.receive_message(&with_block(answer, number::BLOCK1, (0, true, 1024)));
    let Event::Response { message_ids, .. } = solo.event() else {
        panic!("answered");
    };
    assert_eq!(message_ids, Some(MessageIds { next: 8, end: 9 }));
}

#[test]
fn a_device_that_writes_slowly_confirms_a_block_first_and_answers_when_it_is_through() {
    let mut solo = Solo::new();
    solo.ask(block_of_body(&bytes(2_000), 0, 1024));
    let sent = solo.sent_one();
    solo.receive_message(&Message::empty(
        MessageType::Acknowledgement,
        sent.message_id,
    ));
    solo.pass(seconds(80));
    assert!(solo.sent().is_empty(), "it is not sent again");
    let answer = message(MessageType::Confirmable, Code::CONTINUE, 900, sent.token);
    let answer = with_block(answer, number::BLOCK1, (0, true, 512));
    solo.receive_message(&answer);
    let (response, acknowledge) = solo.response_event();
    let confirmed = confirmed_block1(&response).expect("a Block1");
    assert_eq!(confirmed.exponent.size(), 512);
    // Its acknowledgement waits for the commit of what it means, as that of any answer.
    assert!(solo.sent().is_empty());
    let key = acknowledge.expect("a message of its own");
    solo.endpoint.acknowledge(solo.now, &key);
    assert_eq!(solo.sent_one().kind, MessageType::Acknowledgement);
}

#[test]
fn a_block_waits_for_nobody_who_sleeps() {
    let mut solo = Solo::new();
    let mut outgoing = block_of_body(&bytes(2_000), 0, 1024);
    outgoing.window = Some(Window {
        until: solo.now + seconds(5),
        length: seconds(20),
    });
    solo.ask(outgoing);
    solo.pass(seconds(30));
    assert_eq!(solo.failure(), ExchangeFailure::WindowClosed);
}

#[test]
fn the_answer_to_a_block_of_before_the_restart_says_which_it_was() {
    let mut solo = Solo::new();
    let token = token(b"12345678");
    solo.endpoint
        .await_response(solo.now, device(), token, seconds(93))
        .expect("begun");
    let answer = message(MessageType::Confirmable, Code::CONTINUE, 900, token);
    solo.receive_message(&with_block(answer, number::BLOCK1, (3, true, 64)));
    let (response, _) = solo.response_event();
    assert_eq!(
        confirmed_block1(&response).map(|block| block.number()),
        Some(3)
    );
}

#[rstest]
#[case::short_in_the_middle(63, true)]
#[case::long_in_the_middle(65, true)]
#[case::long_at_the_end(65, false)]
fn a_block_that_is_not_as_long_as_it_says_is_refused(#[case] length: usize, #[case] more: bool) {
    let mut solo = Solo::new();
    let mut outgoing = block_of_body(&bytes(64), 0, 64);
    outgoing.request.payload = bytes(length);
    outgoing.block1 = Block::new(2, more, Exponent::at_most(64))
        .map(|block| OutgoingBlock { block, whole: None });
    let refused = solo.endpoint.request(solo.now, device(), outgoing);
    assert_eq!(refused, Err(RequestError::Invalid));
}

#[test]
fn a_block_out_and_a_begun_body_in_do_not_go_together() {
    let mut solo = Solo::new();
    let mut outgoing = block_of_body(&bytes(64), 0, 64);
    outgoing.start_block2 = Some((1, bytes(64), None));
    let refused = solo.endpoint.request(solo.now, device(), outgoing);
    assert_eq!(refused, Err(RequestError::Invalid));
}
