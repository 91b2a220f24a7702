//! Requests of a peer and our answers: one effect each, the same answer for every copy.

use rstest::rstest;

use super::*;

#[test]
fn an_answer_is_piggybacked() {
    let mut solo = Solo::new();
    let mut request = con(Code::POST, 1, "/rd");
    request.payload = b"</1/0>".to_vec();
    solo.receive_message(&request);
    assert!(
        solo.sent().is_empty(),
        "nothing before the effect is committed"
    );
    let (key, asked) = solo.request_event();
    assert_eq!(asked.options.uri_path(), Some(vec!["rd"]));
    assert_eq!(asked.payload, b"</1/0>");
    assert!(key.confirmable);
    solo.respond(&key, Response::new(Code::CREATED));
    let answer = solo.sent_one();
    assert_eq!(answer.kind, MessageType::Acknowledgement);
    assert_eq!(answer.code, Code::CREATED);
    assert_eq!((answer.message_id, answer.token), (1, request.token));
}

#[test]
fn copies_are_swallowed_while_the_request_is_pending_and_answered_alike_afterwards() {
    let mut solo = Solo::new();
    let datagram = con(Code::POST, 1, "/rd").encode();
    solo.receive(&datagram);
    solo.receive(&datagram);
    let (key, _) = solo.request_event();
    assert!(solo.sent().is_empty());
    let exact = solo
        .endpoint
        .encode_response(&key, &Response::new(Code::CHANGED));
    solo.respond(&key, Response::new(Code::CHANGED));
    assert_eq!(solo.sent_bytes(), exact);
    for _ in 0..3 {
        solo.pass(seconds(20));
        solo.receive(&datagram);
        assert_eq!(solo.sent_bytes(), exact);
        assert!(solo.events().is_empty());
    }
    assert_eq!(solo.counters.duplicates.get(), 4);
}

#[test]
fn a_second_answer_to_a_request_has_no_effect() {
    let mut solo = Solo::new();
    solo.receive_message(&con(Code::POST, 1, "/rd"));
    let (key, _) = solo.request_event();
    solo.respond(&key, Response::new(Code::CHANGED));
    solo.sent_one();
    solo.respond(&key, Response::new(Code::NOT_FOUND));
    assert!(solo.sent().is_empty());
}

#[test]
fn the_same_message_id_with_other_bytes_is_a_new_message() {
    let mut solo = Solo::new();
    solo.receive_message(&con(Code::POST, 1, "/rd"));
    solo.receive_message(&con(Code::POST, 1, "/rd/other"));
    assert_eq!(solo.events().len(), 2);
}

#[test]
fn the_same_message_id_of_another_peer_is_a_new_message() {
    let mut solo = Solo::new();
    let datagram = con(Code::POST, 1, "/rd").encode();
    solo.receive(&datagram);
    solo.receive_from(other_device(), &datagram);
    assert_eq!(solo.events().len(), 2);
}

#[test]
fn after_the_exchange_lifetime_a_copy_is_a_new_message() {
    let mut solo = Solo::new();
    let datagram = con(Code::POST, 1, "/rd").encode();
    solo.receive(&datagram);
    let (key, _) = solo.request_event();
    solo.respond(&key, Response::new(Code::CHANGED));
    solo.sent();
    solo.pass(seconds(246));
    solo.receive(&datagram);
    assert!(solo.events().is_empty());
    solo.pass(seconds(2));
    solo.receive(&datagram);
    assert_eq!(solo.events().len(), 1);
}

#[test]
fn a_copy_of_a_dropped_request_is_new() {
    let mut solo = Solo::new();
    let datagram = con(Code::POST, 1, "/rd").encode();
    solo.receive(&datagram);
    let (key, _) = solo.request_event();
    solo.endpoint.drop_request(&key);
    assert!(solo.sent().is_empty());
    solo.receive(&datagram);
    assert_eq!(solo.events().len(), 1);
}

#[test]
fn an_answer_of_before_the_restart_is_repeated() {
    let mut solo = Solo::new();
    let request = con(Code::POST, 1, "/rd");
    solo.receive_message(&request);
    let (key, _) = solo.request_event();
    let answer = solo
        .endpoint
        .encode_response(&key, &Response::new(Code::CREATED));

    let mut restarted = Solo::new();
    let lives = seconds(100);
    restarted.endpoint.restore_answer(
        restarted.now,
        key.peer,
        key.message_id,
        key.hash,
        answer.clone(),
        lives,
    );
    restarted.receive_message(&request);
    assert_eq!(restarted.sent_bytes(), answer);
    assert!(restarted.events().is_empty());
    restarted.pass(seconds(101));
    restarted.receive_message(&request);
    assert_eq!(restarted.events().len(), 1);
}

#[test]
fn a_request_that_is_not_confirmable_gets_one_answer_of_its_own() {
    let mut solo = Solo::new();
    let mut request = con(Code::GET, 1, "/3");
    request.kind = MessageType::NonConfirmable;
    solo.receive_message(&request);
    let (key, _) = solo.request_event();
    assert!(!key.confirmable);
    let exact = solo.endpoint.encode_response(&key, &content(b"x"));
    solo.respond(&key, content(b"x"));
    let sent = solo.sent_bytes();
    assert_eq!(sent, exact);
    let answer = Message::decode(&sent).expect("valid");
    assert_eq!(answer.kind, MessageType::NonConfirmable);
    assert_eq!(answer.token, request.token);
    solo.receive_message(&request);
    assert!(solo.sent().is_empty() && solo.events().is_empty());
}

#[rstest]
#[case::no_success(2, Code::CHANGED)]
#[case::no_client_errors(8, Code::NOT_FOUND)]
#[case::no_server_errors(16, Code::SERVICE_UNAVAILABLE)]
#[case::nothing_at_all(26, Code::CONTENT)]
fn an_answer_that_is_not_wanted_is_an_empty_acknowledgement(
    #[case] unwanted: u32,
    #[case] code: Code,
) {
    let mut solo = Solo::new();
    let mut request = con(Code::POST, 9, "/dp");
    request.options.set_uint(number::NO_RESPONSE, unwanted);
    solo.receive_message(&request);
    let (key, _) = solo.request_event();
    let exact = solo.endpoint.encode_response(&key, &Response::new(code));
    solo.respond(&key, Response::new(code));
    assert_eq!(exact, hex("60 00 0009"));
    assert_eq!(solo.sent_bytes(), exact);
    solo.receive_message(&request);
    assert_eq!(solo.sent_bytes(), exact);

    request.kind = MessageType::NonConfirmable;
    request.message_id = 10;
    solo.receive_message(&request);
    let (key, _) = solo.request_event();
    solo.respond(&key, Response::new(code));
    assert!(solo.sent().is_empty());
}

#[test]
fn other_classes_than_the_unwanted_are_answered() {
    let mut solo = Solo::new();
    let mut request = con(Code::POST, 9, "/dp");
    request.options.set_uint(number::NO_RESPONSE, 2);
    solo.receive_message(&request);
    let (key, _) = solo.request_event();
    solo.respond(&key, Response::new(Code::NOT_FOUND));
    assert_eq!(solo.sent_one().code, Code::NOT_FOUND);
}

#[test]
fn an_unknown_critical_option_is_answered_with_4_02_and_never_with_a_reset() {
    let mut solo = Solo::new();
    let mut request = con(Code::GET, 1, "/3");
    request.options.add(9, b"oscore");
    for _ in 0..2 {
        solo.receive_message(&request);
        let answer = solo.sent_one();
        assert_eq!(answer.code, Code::BAD_OPTION);
        assert_eq!(answer.kind, MessageType::Acknowledgement);
    }
    request.kind = MessageType::NonConfirmable;
    request.message_id = 2;
    solo.receive_message(&request);
    assert!(solo.sent().is_empty());
    assert!(solo.events().is_empty());
    assert_eq!(solo.counters.refused.get(), 2);
}

#[test]
fn an_unknown_elective_option_is_no_obstacle() {
    let mut solo = Solo::new();
    let mut request = con(Code::GET, 1, "/3");
    request.options.add(65_000, b"whatever");
    solo.receive_message(&request);
    let (_, asked) = solo.request_event();
    assert_eq!(asked.options.first(65_000), Some(&b"whatever"[..]));
}

#[rstest]
#[case::uri(number::PROXY_URI, b"coap://other/")]
#[case::scheme(number::PROXY_SCHEME, b"http")]
fn a_proxy_request_is_answered_with_5_05(#[case] option: u16, #[case] value: &[u8]) {
    let mut solo = Solo::new();
    let mut request = con(Code::GET, 1, "/3");
    request.options.add(option, value);
    solo.receive_message(&request);
    assert_eq!(solo.sent_one().code, Code::new(5, 5));
    assert!(solo.events().is_empty());
}

#[test]
fn hops_in_the_path_and_other_text_are_passed_up_as_they_are() {
    let mut solo = Solo::new();
    let mut request = con(Code::GET, 1, "/rd");
    request.options.add(number::URI_PATH, b"..");
    request.options.add(number::URI_PATH, b"a\0b");
    request.options.add(number::URI_PATH, &[0xff, 0xfe]);
    solo.receive_message(&request);
    let (_, asked) = solo.request_event();
    assert_eq!(asked.options.all(number::URI_PATH).count(), 4);
    assert_eq!(asked.options.uri_path(), None);
}
