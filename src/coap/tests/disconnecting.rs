//! A DTLS session is over: what waited for it ends at once, what was remembered of it is gone, and
//! nothing of it is taken for something of another session.

use super::*;
use crate::domain::SessionId;

fn session(number: u64) -> Peer {
    // All of them at one address: the address says nothing.
    Peer::dtls(([192, 0, 2, 1], 56_830).into(), SessionId(number))
}

fn ask(solo: &mut Solo, peer: Peer, token_bytes: &[u8]) -> ExchangeId {
    let outgoing = OutgoingRequest::new(get("/3/0/0"), token(token_bytes), seconds(93));
    let begun = solo.endpoint.request(solo.now, peer, outgoing);
    begun.expect("begun")
}

#[test]
fn an_answer_of_another_session_is_no_answer() {
    let mut solo = Solo::new();
    ask(&mut solo, session(1), b"12345678");
    let request = solo.sent_one();
    let answer = piggybacked(&request, Code::CONTENT, b"stolen");
    solo.receive_from(session(2), &answer.encode());
    assert!(solo.events().is_empty());
    assert_eq!(solo.counters.unmatched.get(), 1);
    // As a message of its own it is a notification of somebody else, and so is judged above.
    let mut separate = message(
        MessageType::Confirmable,
        Code::CONTENT,
        900,
        token(b"12345678"),
    );
    separate.payload = b"stolen".to_vec();
    solo.receive_from(session(2), &separate.encode());
    let (key, _, _) = solo.notification_event();
    assert_eq!(key.peer, session(2));
    // Neither an acknowledgement nor a Reset of the other session ends the exchange.
    for kind in [MessageType::Acknowledgement, MessageType::Reset] {
        let end = Message::empty(kind, request.message_id);
        solo.receive_from(session(2), &end.encode());
    }
    assert!(solo.events().is_empty());
    solo.receive_from(
        session(1),
        &piggybacked(&request, Code::CONTENT, b"mine").encode(),
    );
    assert_eq!(solo.response_event().0.payload, b"mine");
}

#[test]
fn a_session_that_moves_to_another_address_stays_the_same_peer() {
    let mut solo = Solo::new();
    ask(&mut solo, session(1), b"12345678");
    let request = solo.sent_one();
    let moved = Peer::dtls(([192, 0, 2, 77], 1000).into(), SessionId(1));
    let answer = piggybacked(&request, Code::CONTENT, b"mine");
    solo.receive_from(moved, &answer.encode());
    assert_eq!(solo.response_event().0.payload, b"mine");
}

#[test]
fn exchanges_of_the_session_fail_at_once_and_those_of_others_go_on() {
    let mut solo = Solo::new();
    let first = ask(&mut solo, session(1), b"aaaaaaaa");
    let second = ask(&mut solo, session(1), b"bbbbbbbb");
    ask(&mut solo, session(2), b"aaaaaaaa");
    ask(&mut solo, session(0), b"aaaaaaaa");
    // Waits without a message id: from before a restart.
    let peer = session(1);
    let timeout = seconds(93);
    let awaited = solo
        .endpoint
        .await_response(solo.now, peer, token(b"cccccccc"), timeout);
    let awaited = awaited.expect("begun");
    solo.sent();

    solo.endpoint.disconnect(solo.now, session(1));
    solo.endpoint.assert_limits();
    let mut ended: Vec<ExchangeId> = solo
        .events()
        .into_iter()
        .map(|event| match event {
            Event::Failed {
                exchange,
                failure: ExchangeFailure::Disconnected,
                ..
            } => exchange,
            other => panic!("{other:?}"),
        })
        .collect();
    ended.sort();
    assert_eq!(ended, [first, second, awaited]);
    assert_eq!(solo.counters.disconnected.get(), 3);
    assert_eq!(solo.counters.exchanges.get(), 2);
    // Only the others are sent again.
    solo.pass(seconds(4));
    assert_eq!(solo.sent().len(), 2);
    solo.endpoint.disconnect(solo.now, session(1));
    assert!(solo.events().is_empty());
}

#[test]
fn unused_message_ids_come_back_with_the_failure() {
    let mut solo = Solo::new();
    let mut outgoing = OutgoingRequest::new(get("/3"), token(b"12345678"), seconds(93));
    outgoing.message_ids = Some(MessageIds { next: 7, end: 20 });
    solo.endpoint
        .request(solo.now, session(1), outgoing)
        .expect("begun");
    solo.endpoint.disconnect(solo.now, session(1));
    let Event::Failed { message_ids, .. } = solo.event() else {
        panic!("a failure")
    };
    assert_eq!(message_ids, Some(MessageIds { next: 8, end: 20 }));
}

#[test]
fn nothing_is_remembered_of_a_session_that_is_over() {
    let mut solo = Solo::new();
    let peer = session(1);
    // A request that was answered, with a body in blocks.
    let mut request = con(Code::GET, 1, "/large");
    request.options.set_uint(number::OBSERVE, 0);
    solo.receive_from(peer, &request.encode());
    let (key, _) = solo.request_event();
    let mut answer = content(&bytes(3000));
    answer.options.set_uint(number::OBSERVE, 1);
    solo.respond(&key, answer);
    // One that still waits for its answer.
    solo.receive_from(peer, &con(Code::POST, 2, "/rd").encode());
    let (pending, _) = solo.request_event();
    // A body that has begun to come in.
    let block = with_block(con(Code::POST, 3, "/dp"), number::BLOCK1, (0, true, 16));
    let block = Message {
        payload: vec![1; 16],
        ..block
    };
    solo.receive_from(peer, &block.encode());
    // A notification of ours.
    let notified = solo
        .endpoint
        .notify(solo.now, peer, token(b"t"), content(b"1"), true);
    notified.expect("sent");
    solo.sent();
    assert_eq!(
        (
            solo.counters.dedup_entries.get(),
            solo.counters.uploads.get(),
            solo.counters.served.get()
        ),
        (3, 1, 1)
    );

    solo.endpoint.disconnect(solo.now, peer);
    solo.endpoint.assert_limits();
    assert_eq!(
        (
            solo.counters.dedup_entries.get(),
            solo.counters.uploads.get(),
            solo.counters.served.get(),
            solo.counters.transfer_bytes.get()
        ),
        (0, 0, 0, 0)
    );
    assert_eq!(solo.endpoint.next_timeout(), None, "no timer is left");
    // The answer that comes too late goes nowhere.
    solo.respond(&pending, Response::new(Code::CHANGED));
    assert!(solo.sent().is_empty());
    assert!(solo.events().is_empty());
}

#[test]
fn the_same_message_in_another_session_is_no_copy() {
    let mut solo = Solo::new();
    let request = con(Code::POST, 1, "/rd").encode();
    for number in [1, 2] {
        solo.receive_from(session(number), &request);
        let (key, _) = solo.request_event();
        solo.respond(&key, Response::new(Code::CREATED));
        solo.sent_one();
    }
    assert_eq!(solo.counters.duplicates.get(), 0);
}
