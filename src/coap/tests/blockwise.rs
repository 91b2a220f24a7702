//! Bodies in blocks (RFC 7959), both ways, step by step.

use rstest::rstest;

use super::*;

fn put(payload: Vec<u8>) -> OutgoingRequest {
    let mut request = outgoing(get("/5/0/0"));
    request.request.code = Code::PUT;
    request.request.payload = payload;
    request
}

#[test]
fn a_simple_get_of_rfc_7959_figure_2_is_put_together() {
    let mut solo = Solo::new();
    solo.ask(outgoing(get("/status")));
    for number in 0..3 {
        let sent = solo.sent_one();
        if number > 0 {
            assert_eq!(block_of(&sent, number::BLOCK2), Some((number, false, 128)));
        }
        let answer = piggybacked(&sent, Code::CONTENT, &[number as u8; 128]);
        solo.receive_message(&with_block(
            answer,
            number::BLOCK2,
            (number, number < 2, 128),
        ));
    }
    let (response, _) = solo.response_event();
    assert_eq!(response.payload.len(), 384);
    assert_eq!(response.options.first(number::BLOCK2), None);
}

#[test]
fn smaller_blocks_are_asked_for_as_in_rfc_7959_figure_3() {
    let mut solo = Solo::with(EndpointConfig {
        block_size: 64,
        ..EndpointConfig::default()
    });
    solo.ask(outgoing(get("/status")));
    let sent = solo.sent_one();
    assert_eq!(block_of(&sent, number::BLOCK2), Some((0, false, 64)));
}

#[test]
fn smaller_blocks_may_be_asked_for_later_as_in_rfc_7959_figure_4() {
    let mut solo = Solo::with(EndpointConfig {
        block_size: 64,
        ..EndpointConfig::default()
    });
    solo.ask(outgoing(get("/status")));
    let sent = solo.sent_one();
    let answer = piggybacked(&sent, Code::CONTENT, &[0; 128]);
    solo.receive_message(&with_block(answer, number::BLOCK2, (0, true, 128)));
    let sent = solo.sent_one();
    assert_eq!(block_of(&sent, number::BLOCK2), Some((2, false, 64)));
}

#[test]
fn block_numbers_go_beyond_16_bits() {
    let mut solo = Solo::with(EndpointConfig {
        max_body: 1 << 21,
        ..EndpointConfig::default()
    });
    let begun = vec![0; 16 * 70_000];
    let mut request = outgoing(get("/status"));
    request.start_block2 = Some((70_000, begun, None));
    solo.ask(request);
    let sent = solo.sent_one();
    assert_eq!(block_of(&sent, number::BLOCK2), Some((70_000, false, 16)));
    let answer = piggybacked(&sent, Code::CONTENT, b"end");
    solo.receive_message(&with_block(answer, number::BLOCK2, (70_000, false, 16)));
    assert_eq!(solo.response_event().0.payload.len(), 16 * 70_000 + 3);
}

#[rstest]
#[case::no_whole_number(3, 100)]
#[case::no_block_size(2, 64 * 3)]
#[case::too_small(4, 32)]
#[case::too_large(1, 2048)]
fn a_begun_body_that_is_no_whole_number_of_blocks_is_refused(
    #[case] blocks: u32,
    #[case] length: usize,
) {
    let mut solo = Solo::new();
    let mut request = outgoing(get("/status"));
    request.start_block2 = Some((blocks, vec![0; length], None));
    assert_eq!(
        solo.endpoint.request(solo.now, device(), request),
        Err(RequestError::Invalid)
    );
}

/// Runs a GET whose first block is good, and whose second answer is made by the test.
fn second_block(make: impl FnOnce(&Message) -> Message) -> (Solo, ExchangeFailure) {
    let mut solo = Solo::new();
    solo.ask(outgoing(get("/status")));
    let first = solo.sent_one();
    let mut answer = with_block(
        piggybacked(&first, Code::CONTENT, &[0; 64]),
        number::BLOCK2,
        (0, true, 64),
    );
    answer.options.add(number::ETAG, b"v1");
    solo.receive_message(&answer);
    let second = solo.sent_one();
    let answer = make(&second);
    solo.receive_message(&answer);
    let failure = solo.failure();
    assert_eq!(solo.endpoint.next_timeout(), None);
    assert_eq!(solo.counters.transfer_bytes.get(), 0);
    (solo, failure)
}

#[rstest]
#[case::another_etag((1, false, 64), Some(&b"v2"[..]), 5)]
#[case::no_etag((1, false, 64), None, 5)]
#[case::a_gap((2, false, 64), Some(&b"v1"[..]), 5)]
#[case::the_same_block((0, true, 64), Some(&b"v1"[..]), 64)]
#[case::short_in_the_middle((1, true, 64), Some(&b"v1"[..]), 63)]
#[case::long_at_the_end((1, false, 64), Some(&b"v1"[..]), 65)]
fn a_second_block_that_does_not_fit_ends_the_exchange(
    #[case] block: (u32, bool, usize),
    #[case] etag: Option<&[u8]>,
    #[case] length: usize,
) {
    let (_, failure) = second_block(|sent| {
        let mut answer = piggybacked(sent, Code::CONTENT, &vec![0; length]);
        if let Some(etag) = etag {
            answer.options.add(number::ETAG, etag);
        }
        with_block(answer, number::BLOCK2, block)
    });
    assert!(matches!(failure, ExchangeFailure::Blockwise(_)));
}

#[test]
fn an_error_in_the_middle_of_a_body_ends_the_exchange() {
    let (_, failure) = second_block(|sent| piggybacked(sent, Code::NOT_FOUND, b""));
    assert!(matches!(failure, ExchangeFailure::Blockwise(_)));
}

#[test]
fn an_answer_over_the_limit_is_too_large_at_once_or_as_soon_as_it_is_known() {
    for announced in [true, false] {
        let mut solo = Solo::with(EndpointConfig {
            max_body: 100,
            ..EndpointConfig::default()
        });
        solo.ask(outgoing(get("/status")));
        let sent = solo.sent_one();
        let mut answer = with_block(
            piggybacked(&sent, Code::CONTENT, &[0; 64]),
            number::BLOCK2,
            (0, true, 64),
        );
        if announced {
            answer.options.set_uint(number::SIZE2, 101);
        }
        solo.receive_message(&answer);
        if !announced {
            let sent = solo.sent_one();
            let answer = piggybacked(&sent, Code::CONTENT, &[0; 64]);
            solo.receive_message(&with_block(answer, number::BLOCK2, (1, true, 64)));
        }
        assert_eq!(solo.failure(), ExchangeFailure::TooLarge);
        assert_eq!(solo.counters.transfer_bytes.get(), 0);
    }
}

#[test]
fn an_answer_over_the_limit_in_one_piece_is_too_large_too() {
    for (length, fits) in [(100, true), (101, false)] {
        let mut solo = Solo::with(EndpointConfig {
            max_body: 100,
            ..EndpointConfig::default()
        });
        solo.ask(outgoing(get("/status")));
        let sent = solo.sent_one();
        solo.receive_message(&piggybacked(&sent, Code::CONTENT, &vec![0; length]));
        if fits {
            assert_eq!(solo.response_event().0.payload.len(), length);
        } else {
            assert_eq!(solo.failure(), ExchangeFailure::TooLarge);
        }
    }
}

#[test]
fn every_block_has_its_own_time() {
    let mut solo = Solo::new();
    solo.ask(outgoing(get("/status")));
    for number in 0..4 {
        let sent = solo.sent_one();
        solo.receive_message(&Message::empty(
            MessageType::Acknowledgement,
            sent.message_id,
        ));
        solo.pass(seconds(80));
        let mut answer = message(
            MessageType::Confirmable,
            Code::CONTENT,
            900 + number as u16,
            sent.token,
        );
        answer.payload = vec![0; 64];
        solo.receive_message(&with_block(answer, number::BLOCK2, (number, true, 64)));
        let acknowledged = solo.endpoint.poll_transmit().expect("inner blocks at once");
        assert_eq!(acknowledged.datagram.first(), Some(&0x60));
    }
    solo.sent_one();
    solo.pass(seconds(100));
    assert_eq!(solo.failure(), ExchangeFailure::NotAcknowledged);
}

#[test]
fn a_large_body_goes_out_in_blocks_with_its_size() {
    let mut solo = Solo::new();
    solo.ask(put(bytes(2049)));
    for number in 0..3 {
        let sent = solo.sent_one();
        assert_eq!(
            block_of(&sent, number::BLOCK1),
            Some((number, number < 2, 1024))
        );
        let size = sent.options.uint(number::SIZE1);
        assert_eq!(size, (number == 0).then_some(2049));
        let code = if number < 2 {
            Code::CONTINUE
        } else {
            Code::CHANGED
        };
        let answer = piggybacked(&sent, code, b"");
        solo.receive_message(&with_block(
            answer,
            number::BLOCK1,
            (number, number < 2, 1024),
        ));
    }
    assert_eq!(solo.response_event().0, Response::new(Code::CHANGED));
}

#[test]
fn a_smaller_block_size_is_taken_over_as_in_rfc_7959_figure_9() {
    let mut solo = Solo::with(EndpointConfig {
        block_size: 128,
        ..EndpointConfig::default()
    });
    solo.ask(put(bytes(300)));
    let sent = solo.sent_one();
    assert_eq!(block_of(&sent, number::BLOCK1), Some((0, true, 128)));
    let answer = piggybacked(&sent, Code::CONTINUE, b"");
    solo.receive_message(&with_block(answer, number::BLOCK1, (0, true, 32)));
    let sent = solo.sent_one();
    assert_eq!(block_of(&sent, number::BLOCK1), Some((4, true, 32)));
    assert_eq!(sent.payload, bytes(300).get(128..160).expect("a part"));
}

#[rstest]
#[case::in_blocks(2000)]
#[case::in_one_message(600)]
fn too_large_with_a_smaller_size_begins_again(#[case] length: usize) {
    let mut solo = Solo::new();
    solo.ask(put(bytes(length)));
    let sent = solo.sent_one();
    let answer = piggybacked(&sent, Code::REQUEST_ENTITY_TOO_LARGE, b"");
    solo.receive_message(&with_block(answer, number::BLOCK1, (0, false, 256)));
    let sent = solo.sent_one();
    assert_eq!(block_of(&sent, number::BLOCK1), Some((0, true, 256)));
    let answer = piggybacked(&sent, Code::REQUEST_ENTITY_TOO_LARGE, b"");
    solo.receive_message(&with_block(answer, number::BLOCK1, (0, false, 256)));
    let (response, _) = solo.response_event();
    assert_eq!(
        response.code,
        Code::REQUEST_ENTITY_TOO_LARGE,
        "not for ever"
    );
}

#[test]
fn a_lost_upload_is_begun_again_once() {
    let mut solo = Solo::new();
    solo.ask(put(bytes(2049)));
    for _ in 0..2 {
        let sent = solo.sent_one();
        assert_eq!(block_of(&sent, number::BLOCK1), Some((0, true, 1024)));
        let answer = piggybacked(&sent, Code::CONTINUE, b"");
        solo.receive_message(&with_block(answer, number::BLOCK1, (0, true, 1024)));
        let sent = solo.sent_one();
        let lost = piggybacked(&sent, Code::REQUEST_ENTITY_INCOMPLETE, b"");
        solo.receive_message(&lost);
    }
    let (response, _) = solo.response_event();
    assert_eq!(response.code, Code::REQUEST_ENTITY_INCOMPLETE);
}

#[test]
fn an_error_in_the_middle_of_an_upload_is_the_answer() {
    let mut solo = Solo::new();
    solo.ask(put(bytes(2049)));
    let sent = solo.sent_one();
    solo.receive_message(&piggybacked(&sent, Code::METHOD_NOT_ALLOWED, b""));
    assert_eq!(solo.response_event().0.code, Code::METHOD_NOT_ALLOWED);
}

#[rstest]
#[case::a_success_too_early(Code::CHANGED, None)]
#[case::another_block_is_confirmed(Code::CONTINUE, Some((1, true, 1024)))]
#[case::no_block_is_confirmed(Code::CONTINUE, None)]
fn an_answer_that_breaks_an_upload_ends_it(
    #[case] code: Code,
    #[case] block: Option<(u32, bool, usize)>,
) {
    let mut solo = Solo::new();
    solo.ask(put(bytes(2049)));
    let sent = solo.sent_one();
    let mut answer = piggybacked(&sent, code, b"");
    if let Some(block) = block {
        answer = with_block(answer, number::BLOCK1, block);
    }
    solo.receive_message(&answer);
    assert!(matches!(solo.failure(), ExchangeFailure::Blockwise(_)));
}

#[test]
fn a_continue_without_an_upload_is_no_answer() {
    let mut solo = Solo::new();
    solo.ask(put(bytes(10)));
    let sent = solo.sent_one();
    solo.receive_message(&piggybacked(&sent, Code::CONTINUE, b""));
    assert!(matches!(solo.failure(), ExchangeFailure::Blockwise(_)));
}

#[test]
fn blocks_both_ways_as_in_rfc_7959_figure_11() {
    let mut solo = Solo::with(EndpointConfig {
        block_size: 128,
        ..EndpointConfig::default()
    });
    let mut request = put(bytes(150));
    request.request.code = Code::FETCH;
    solo.ask(request);
    let sent = solo.sent_one();
    let answer = piggybacked(&sent, Code::CONTINUE, b"");
    solo.receive_message(&with_block(answer, number::BLOCK1, (0, true, 128)));
    let sent = solo.sent_one();
    assert_eq!(block_of(&sent, number::BLOCK1), Some((1, false, 128)));
    assert_eq!(block_of(&sent, number::BLOCK2), Some((0, false, 128)));
    let answer = piggybacked(&sent, Code::CONTENT, &[1; 128]);
    let answer = with_block(answer, number::BLOCK1, (1, false, 128));
    solo.receive_message(&with_block(answer, number::BLOCK2, (0, true, 128)));
    let sent = solo.sent_one();
    assert_eq!(sent.code, Code::FETCH);
    assert_eq!(block_of(&sent, number::BLOCK1), None);
    assert_eq!(block_of(&sent, number::BLOCK2), Some((1, false, 128)));
    assert!(sent.payload.is_empty());
    let answer = piggybacked(&sent, Code::CONTENT, &[2; 3]);
    solo.receive_message(&with_block(answer, number::BLOCK2, (1, false, 128)));
    assert_eq!(solo.response_event().0.payload.len(), 131);
}

#[test]
fn an_upload_of_a_peer_becomes_one_request_and_copies_of_its_blocks_change_nothing() {
    let mut solo = Solo::new();
    let body = bytes(150);
    for (number, chunk) in body.chunks(64).enumerate() {
        let more = number < 2;
        let mut block = con(Code::POST, 10 + number as u16, "/rd");
        block.payload = chunk.to_vec();
        let block = with_block(block, number::BLOCK1, (number as u32, more, 64));
        solo.receive_message(&block);
        if more {
            let answer = solo.sent_bytes();
            let read = Message::decode(&answer).expect("valid");
            assert_eq!(read.code, Code::CONTINUE);
            assert_eq!(
                block_of(&read, number::BLOCK1),
                Some((number as u32, true, 64))
            );
            solo.receive_message(&block);
            assert_eq!(solo.sent_bytes(), answer);
        }
    }
    let (key, request) = solo.request_event();
    assert_eq!(request.payload, body);
    assert_eq!(request.options.first(number::BLOCK1), None);
    solo.respond(&key, Response::new(Code::CREATED));
    let answer = solo.sent_one();
    assert_eq!(block_of(&answer, number::BLOCK1), Some((2, false, 64)));
}

#[test]
fn uploads_with_two_request_tags_do_not_mix() {
    let mut solo = Solo::new();
    let mut message_id = 0;
    for number in 0..2_u32 {
        for tag in [b"a", b"b"] {
            message_id += 1;
            let mut block = con(Code::POST, message_id, "/rd");
            block.options.add(number::REQUEST_TAG, tag);
            block.payload = vec![tag[0]; 16];
            solo.receive_message(&with_block(
                block,
                number::BLOCK1,
                (number, number == 0, 16),
            ));
        }
    }
    for (event, tag) in solo.events().iter().zip(*b"ab") {
        let Event::Request { request, .. } = event else {
            panic!("a request");
        };
        assert_eq!(request.payload, vec![tag; 32]);
    }
}

#[test]
fn uploads_without_request_tags_that_interleave_are_incomplete() {
    let mut solo = Solo::new();
    let mut codes = Vec::new();
    for (message_id, number) in [(1, 0), (2, 0), (3, 1), (4, 1)] {
        let mut block = con(Code::POST, message_id, "/rd");
        block.payload = vec![message_id as u8; 16];
        solo.receive_message(&with_block(block, number::BLOCK1, (number, true, 16)));
        codes.push(solo.sent_one().code);
    }
    assert_eq!(codes.last(), Some(&Code::REQUEST_ENTITY_INCOMPLETE));
    assert!(solo.events().is_empty());
}

#[test]
fn the_reserved_block_size_is_a_bad_request() {
    let mut solo = Solo::new();
    for (message_id, option) in [(1, number::BLOCK1), (2, number::BLOCK2)] {
        let mut request = con(Code::POST, message_id, "/rd");
        request.options.add(option, &[0x07]);
        solo.receive_message(&request);
        assert_eq!(solo.sent_one().code, Code::BAD_REQUEST);
    }
}

#[test]
fn a_body_over_the_limit_is_refused_with_the_limit() {
    let mut solo = Solo::with(EndpointConfig {
        max_body: 100,
        ..EndpointConfig::default()
    });
    let mut whole = con(Code::POST, 1, "/rd");
    whole.payload = bytes(101);
    let mut announced = con(Code::POST, 2, "/rd");
    announced.payload = bytes(64);
    announced.options.set_uint(number::SIZE1, 101);
    let announced = with_block(announced, number::BLOCK1, (0, true, 64));
    for request in [whole, announced] {
        solo.receive_message(&request);
        let answer = solo.sent_one();
        assert_eq!(answer.code, Code::REQUEST_ENTITY_TOO_LARGE);
        assert_eq!(answer.options.uint(number::SIZE1), Some(100));
    }
    assert!(solo.events().is_empty());
}

#[test]
fn a_large_answer_is_served_in_blocks_without_asking_again() {
    let mut solo = Solo::new();
    solo.receive_message(&con(Code::GET, 1, "/.well-known/core"));
    let (key, _) = solo.request_event();
    let exact = solo.endpoint.encode_response(&key, &content(&bytes(2100)));
    solo.respond(&key, content(&bytes(2100)));
    let first = solo.sent_bytes();
    assert_eq!(first, exact);
    let first = Message::decode(&first).expect("valid");
    assert_eq!(block_of(&first, number::BLOCK2), Some((0, true, 1024)));
    assert_eq!(first.options.uint(number::SIZE2), Some(2100));
    let mut body = first.payload;
    for number in [1, 2, 2] {
        let id = 10 + body.len() as u16;
        let request = con(Code::GET, id, "/.well-known/core");
        solo.receive_message(&with_block(request, number::BLOCK2, (number, false, 1024)));
        let block = solo.sent_one();
        assert_eq!(
            block.options.first(number::ETAG),
            first.options.first(number::ETAG)
        );
        if body.len() < 2100 {
            body.extend_from_slice(&block.payload);
        } else {
            assert_eq!(block.payload.len(), 52, "the last may be asked for twice");
        }
    }
    assert_eq!(body, bytes(2100));
    assert!(solo.events().is_empty());
    solo.pass(seconds(94));
    assert_eq!(solo.counters.served.get(), 0);
}

#[test]
fn a_block_that_is_not_kept_is_made_again_for_a_get_and_refused_for_a_post() {
    let mut solo = Solo::new();
    let request = with_block(con(Code::GET, 1, "/3"), number::BLOCK2, (1, false, 64));
    solo.receive_message(&request);
    let (key, _) = solo.request_event();
    solo.respond(&key, content(&bytes(100)));
    let answer = solo.sent_one();
    assert_eq!(answer.payload, bytes(100).get(64..).expect("a part"));

    let request = with_block(con(Code::POST, 2, "/3"), number::BLOCK2, (1, false, 64));
    solo.receive_message(&request);
    assert_eq!(solo.sent_one().code, Code::REQUEST_ENTITY_INCOMPLETE);
}

#[test]
fn a_block_behind_the_end_is_a_bad_request_and_an_error_is_an_error() {
    let mut solo = Solo::new();
    for (message_id, response, code) in [
        (1, content(b"short"), Code::BAD_REQUEST),
        (2, Response::new(Code::NOT_FOUND), Code::NOT_FOUND),
        (
            3,
            Response::refusal(Code::NOT_FOUND, "why"),
            Code::NOT_FOUND,
        ),
    ] {
        let request = with_block(
            con(Code::GET, message_id, "/3"),
            number::BLOCK2,
            (5, false, 64),
        );
        solo.receive_message(&request);
        let (key, _) = solo.request_event();
        solo.respond(&key, response);
        assert_eq!(solo.sent_one().code, code);
    }
}

#[test]
fn a_new_answer_takes_the_place_of_the_old_one() {
    let mut solo = Solo::new();
    for (message_id, fill) in [(1, 1), (2, 2)] {
        solo.receive_message(&con(Code::GET, message_id, "/3"));
        let (key, _) = solo.request_event();
        solo.respond(&key, content(&[fill; 1500]));
        solo.sent_one();
    }
    let request = with_block(con(Code::GET, 3, "/3"), number::BLOCK2, (1, false, 1024));
    solo.receive_message(&request);
    assert_eq!(solo.sent_one().payload, [2; 476]);
}

#[test]
fn an_error_that_is_large_is_cut_into_blocks_too() {
    let mut solo = Solo::new();
    solo.receive_message(&con(Code::GET, 1, "/3"));
    let (key, _) = solo.request_event();
    let reason = "x".repeat(1500);
    solo.respond(&key, Response::refusal(Code::BAD_REQUEST, &reason));
    let first = solo.sent_one();
    assert_eq!(first.code, Code::BAD_REQUEST);
    assert_eq!(first.payload.len(), 1024);
}
