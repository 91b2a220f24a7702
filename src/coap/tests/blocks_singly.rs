//! Bodies whose blocks are handed up one by one: an image for the firmware of a device.

use super::*;

fn block(number: u32, more: bool, payload: &[u8]) -> Message {
    let mut message = con(Code::PUT, number as u16 + 1, "/5/0/0");
    message.payload = payload.to_vec();
    with_block(message, number::BLOCK1, (number, more, 16))
}

fn confirmation(number: u32, size: usize) -> Response {
    let mut response = Response::new(Code::CONTINUE);
    let block = Block::new(number, true, Exponent::at_most(size)).expect("a block");
    block.set(&mut response.options, number::BLOCK1);
    response
}

#[test]
fn each_block_is_a_request_with_its_number_and_answered_by_itself() {
    let mut solo = Solo::new();
    solo.endpoint.take_blocks_singly("/5/0/0");
    // A block that nobody has begun is nothing special here: what it means is decided above.
    for number in [0, 1, 7] {
        let mut message = block(number, true, &[number as u8; 16]);
        message.options.add_uint(number::SIZE1, 1000);
        solo.receive_message(&message);
        let (key, request) = solo.request_event();
        assert_eq!(request.payload, [number as u8; 16]);
        assert_eq!(request.options.uint(number::SIZE1), Some(1000));
        let asked = Block::of(&request.options, number::BLOCK1);
        assert_eq!(asked.expect("a block").map(Block::number), Some(number));
        solo.respond(&key, confirmation(number, 16));
        let answer = solo.sent_one();
        assert_eq!(answer.code, Code::CONTINUE);
        assert_eq!(block_of(&answer, number::BLOCK1), Some((number, true, 16)));
        solo.receive_message(&message);
        assert_eq!(solo.sent_one(), answer, "a copy has the same answer");
        assert!(solo.events().is_empty());
    }
    assert_eq!(solo.counters.uploads.get(), 0, "nothing is kept of them");
}

#[test]
fn bodies_for_other_paths_are_put_together_and_those_without_blocks_are_whole() {
    let mut solo = Solo::new();
    solo.endpoint.take_blocks_singly("/5/0/0");
    solo.receive_message(&con(Code::PUT, 1, "/5/0/0"));
    let (key, request) = solo.request_event();
    assert_eq!(request.options.first(number::BLOCK1), None);
    solo.respond(&key, Response::new(Code::CHANGED));
    solo.sent_one();
    for path in ["/5/0/1", "/5/0", "/5/0/0/0"] {
        let mut message = block(0, true, &[1; 16]);
        message.message_id = 100 + path.len() as u16;
        message.options.remove(number::URI_PATH);
        message.options.add_uri_path(path);
        solo.receive_message(&message);
        assert_eq!(solo.sent_one().code, Code::CONTINUE, "{path}");
        assert!(solo.events().is_empty(), "{path}");
    }
}

#[test]
fn one_block_of_an_answer_is_asked_for_and_handed_up_as_it_came() {
    let mut solo = Solo::new();
    let mut request = outgoing(get("/binaries/image"));
    request.block2 = Block::new(70_000, false, Exponent::at_most(512));
    solo.ask(request);
    let sent = solo.sent_one();
    assert_eq!(block_of(&sent, number::BLOCK2), Some((70_000, false, 512)));
    let mut answer = piggybacked(&sent, Code::CONTENT, &[7; 64]);
    answer.options.add(number::ETAG, b"tag");
    let answer = with_block(answer, number::BLOCK2, (560_000, true, 64));
    solo.receive_message(&answer);
    let (response, _) = solo.response_event();
    assert_eq!(response.payload, [7; 64]);
    assert_eq!(response.options, answer.options);
    assert!(solo.sent().is_empty(), "nothing more is asked for");

    let mut both = outgoing(get("/binaries/image"));
    both.block2 = Block::new(0, false, Exponent::at_most(64));
    both.block1 = both
        .block2
        .map(|block| OutgoingBlock { block, whole: None });
    let peer = device();
    let refused = solo.endpoint.request(solo.now, peer, both);
    assert_eq!(refused, Err(RequestError::Invalid));
}
