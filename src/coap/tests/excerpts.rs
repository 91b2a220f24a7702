//! Bodies that are kept elsewhere and read for each request: nothing of them is kept here.

use std::cell::Cell;
use std::rc::Rc;

use rstest::rstest;

use super::*;

const LARGEST: usize = 1024;

/// Answers with a block of a body of so many bytes, and says how much of it went out.
fn serve(solo: &mut Solo, key: &RequestKey, whole: usize) -> usize {
    let excerpt = Excerpt::of(key.block2(), whole as u64, Exponent::at_most(LARGEST));
    let excerpt = excerpt.expect("a block of the body");
    let from = excerpt.offset() as usize;
    let body: Vec<u8> = (from..from + excerpt.length())
        .map(|at| (at >> 4) as u8)
        .collect();
    let mut response = content(&body);
    response.options.add(number::ETAG, b"one");
    let sent = solo
        .endpoint
        .respond_excerpt(solo.now, key, excerpt, &response);
    solo.endpoint.assert_limits();
    sent
}

fn get_block(message_id: u16, block: (u32, usize)) -> Message {
    let request = con(Code::GET, message_id, "/binaries/v1.bin");
    with_block(request, number::BLOCK2, (block.0, false, block.1))
}

#[test]
fn a_thousand_peers_that_fetch_a_body_cost_nothing_between_two_blocks() {
    let mut solo = Solo::new();
    for block in 0..64_u16 {
        for peer in 0..1_000_u16 {
            let [high, low] = peer.to_be_bytes();
            let peer = Peer::udp(([10, 0, high, low], 5683).into());
            let request = get_block(block, (u32::from(block), LARGEST));
            solo.receive_from(peer, &request.encode());
            let (key, _) = solo.request_event();
            assert_eq!(serve(&mut solo, &key, 64 << 20), LARGEST);
            assert_eq!(solo.sent_one().payload.len(), LARGEST);
        }
    }
    let counters = &solo.counters;
    assert_eq!(counters.dedup_entries.get(), 0);
    assert_eq!(counters.served.get(), 0);
    assert_eq!(counters.transfer_bytes.get(), 0);
    assert_eq!(solo.endpoint.next_timeout(), None, "nothing is left to do");
}

#[test]
fn a_copy_is_swallowed_while_the_block_is_read_and_answered_anew_after_that() {
    let mut solo = Solo::new();
    let request = get_block(7, (1, 64));
    solo.receive_message(&request);
    let (key, _) = solo.request_event();
    solo.receive_message(&request);
    assert!(solo.events().is_empty(), "it is being read");
    assert_eq!(serve(&mut solo, &key, 200), 64);
    let first = solo.sent_bytes();
    // Its answer was lost.
    solo.receive_message(&request);
    let (again, _) = solo.request_event();
    assert_eq!(serve(&mut solo, &key, 200), 64);
    assert_eq!(solo.sent_bytes(), first);
    // What is over is over.
    assert_eq!(serve(&mut solo, &again, 200), 0);
    assert!(solo.sent().is_empty());
}

#[test]
fn a_request_that_is_not_confirmable_is_answered_by_a_message_that_is_not() {
    let mut solo = Solo::new();
    let mut request = get_block(7, (1, 64));
    request.kind = MessageType::NonConfirmable;
    solo.receive_message(&request);
    let (key, _) = solo.request_event();
    serve(&mut solo, &key, 200);
    let answer = solo.sent_one();
    assert_eq!(answer.kind, MessageType::NonConfirmable);
    assert_eq!(answer.token, request.token);
    assert_eq!(block_of(&answer, number::BLOCK2), Some((1, true, 64)));
}

#[test]
fn who_wants_no_answer_gets_none() {
    let mut solo = Solo::new();
    let mut request = get_block(7, (0, 64));
    request.options.add(number::NO_RESPONSE, &[2]);
    solo.receive_message(&request);
    let (key, _) = solo.request_event();
    serve(&mut solo, &key, 200);
    assert_eq!(
        solo.sent_one(),
        Message::empty(MessageType::Acknowledgement, 7)
    );
}

/// What may be sent to somebody whose address is not proven: so many bytes for each of its messages.
#[derive(Debug)]
struct Stranger {
    room: usize,
    is_proven: Rc<Cell<bool>>,
}

impl Allowance for Stranger {
    fn received(&mut self, _: Instant, _: Peer, _: usize) {}

    fn room(&mut self, _: Instant, _: Peer) -> Option<usize> {
        (!self.is_proven.get()).then_some(self.room)
    }

    fn room_to_ask(&mut self, now: Instant, peer: Peer) -> Option<usize> {
        self.room(now, peer)
    }

    fn take(&mut self, _: Instant, _: Peer, bytes: usize) -> bool {
        self.is_proven.get() || bytes <= self.room
    }

    fn stay(&self, _: Peer) -> u64 {
        0
    }

    fn proven(&mut self, _: Instant, _: Peer) {
        self.is_proven.set(true);
    }

    fn echo(&self, _: Instant, _: Peer) -> Vec<u8> {
        ECHO.to_vec()
    }

    fn is_echo(&self, _: Instant, _: Peer, value: &[u8]) -> bool {
        value == ECHO
    }
}

const ECHO: &[u8] = b"prove it";

fn with_room(room: usize) -> Solo {
    let mut solo = Solo::new();
    solo.endpoint.limit(Box::new(Stranger {
        room,
        is_proven: Rc::default(),
    }));
    solo
}

#[rstest]
#[case::the_first(0, 0, 64)]
#[case::one_in_the_middle(3, 48, 64)]
fn a_stranger_gets_a_smaller_block_from_the_same_place_on(
    #[case] asked: u32,
    #[case] number: u32,
    #[case] size: usize,
) {
    let mut solo = with_room(100);
    solo.receive_message(&get_block(7, (asked, LARGEST)));
    let (key, _) = solo.request_event();
    assert_eq!(serve(&mut solo, &key, 5_000), size);
    let answer = solo.sent_one();
    assert!(answer.encode().len() <= 100);
    assert_eq!(
        block_of(&answer, number::BLOCK2),
        Some((number, true, size))
    );
    assert_eq!(answer.options.first(number::ETAG), Some(&b"one"[..]));
    let from = asked as usize * LARGEST;
    assert_eq!(answer.payload.first(), Some(&((from >> 4) as u8)));
    assert_eq!(solo.counters.smaller_blocks.get(), 1);
    assert_eq!(solo.counters.dedup_entries.get(), 0);
}

/// Blocks of 32 bytes would end before a body of 64 MiB does.
#[rstest]
#[case::no_block_fits(28, 5_000)]
#[case::only_blocks_that_end_too_early_fit(70, 64 << 20)]
fn a_stranger_is_asked_for_an_echo_where_no_block_will_do(
    #[case] room: usize,
    #[case] whole: usize,
) {
    let mut solo = with_room(room);
    let mut request = get_block(7, (3, LARGEST));
    solo.receive_message(&request);
    let (key, _) = solo.request_event();
    assert_eq!(serve(&mut solo, &key, whole), 0);
    let answer = solo.sent_one();
    assert_eq!(answer.code, Code::UNAUTHORIZED);
    let echo = answer.options.first(number::ECHO).expect("an Echo");
    request.message_id = 8;
    request.options.add(number::ECHO, echo);
    solo.receive_message(&request);
    let (key, _) = solo.request_event();
    assert_eq!(serve(&mut solo, &key, whole), LARGEST);
    assert_eq!(solo.sent_one().payload.len(), LARGEST);
}

#[test]
fn what_a_stranger_has_not_paid_for_is_not_sent() {
    let mut solo = with_room(10);
    solo.receive_message(&get_block(7, (0, LARGEST)));
    let (key, _) = solo.request_event();
    assert_eq!(serve(&mut solo, &key, 5_000), 0);
    assert!(solo.sent().is_empty());
    assert_eq!(solo.counters.dedup_entries.get(), 0);
}
