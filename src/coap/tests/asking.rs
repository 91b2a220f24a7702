//! Requests of ours: sent again, matched, and ended in every way.

use super::*;

#[test]
fn a_piggybacked_response_ends_the_exchange() {
    let mut solo = Solo::new();
    let id = solo.ask(outgoing(get("/3/0")));
    let sent = solo.sent_one();
    assert_eq!(sent.kind, MessageType::Confirmable);
    assert_eq!(sent.options.uri_path(), Some(vec!["3", "0"]));
    solo.receive_message(&piggybacked(&sent, Code::CONTENT, b"value"));
    let Event::Response {
        exchange,
        response,
        acknowledge,
        message_ids,
    } = solo.event()
    else {
        panic!("a response");
    };
    assert_eq!((exchange, acknowledge, message_ids), (id, None, None));
    assert_eq!(response.payload, b"value");
    assert_eq!(solo.endpoint.next_timeout(), None);
    assert_eq!(solo.counters.answered.get(), 1);
}

#[test]
fn a_message_is_sent_again_with_growing_pauses_and_then_given_up() {
    let mut solo = Solo::new();
    let start = solo.now;
    solo.ask(outgoing(get("/3/0")));
    let first = solo.sent_bytes();
    let mut times = Vec::new();
    while let Some(due) = solo.endpoint.next_timeout() {
        solo.now = due;
        solo.endpoint.handle_timeout(due);
        if let Some(again) = solo.endpoint.poll_transmit() {
            assert_eq!(again.datagram, first, "the same bytes and message id");
        }
        times.push(due.duration_since(start).as_secs_f64());
    }
    assert_eq!(solo.failure(), ExchangeFailure::NotAcknowledged);
    assert_eq!(times.len(), 5, "four retransmissions and the end");
    assert!((2.0..=3.0).contains(&times[0]), "{times:?}");
    for (index, time) in times.iter().enumerate() {
        let expected = times[0] * f64::from((2 << index) - 1);
        assert!((time - expected).abs() < 0.001, "{times:?}");
    }
    assert_eq!(solo.counters.retransmissions.get(), 4);
    assert_eq!(solo.counters.not_acknowledged.get(), 1);
}

#[test]
fn the_first_pause_is_random() {
    let mut pauses: Vec<_> = (0..20)
        .map(|seed| {
            let config = EndpointConfig::default();
            let mut endpoint = Endpoint::new(config, Counters::default(), seed);
            let now = Instant::now();
            endpoint
                .request(now, device(), outgoing(get("/")))
                .expect("begun");
            endpoint.next_timeout().expect("a timer") - now
        })
        .collect();
    pauses.sort_unstable();
    pauses.dedup();
    assert!(pauses.len() > 15, "{pauses:?}");
    assert!(
        pauses
            .iter()
            .all(|pause| (seconds(2)..=seconds(3)).contains(pause))
    );
}

#[test]
fn a_separate_response_is_acknowledged_when_it_is_committed_and_its_copies_afterwards() {
    let mut solo = Solo::new();
    solo.ask(outgoing(get("/3/0")));
    let sent = solo.sent_one();
    solo.receive(&empty_ack(sent.message_id));
    solo.pass(seconds(60));
    assert!(solo.sent().is_empty(), "acknowledged: not sent again");
    let mut separate = message(MessageType::Confirmable, Code::CONTENT, 500, sent.token);
    separate.payload = b"late".to_vec();
    solo.receive_message(&separate);
    solo.receive_message(&separate);
    let (response, acknowledge) = solo.response_event();
    assert_eq!(response.payload, b"late");
    assert!(solo.sent().is_empty(), "not before the commit");
    let key = acknowledge.expect("to be acknowledged");
    solo.endpoint.acknowledge(solo.now, &key);
    assert_eq!(solo.sent_bytes(), empty_ack(500));
    solo.pass(seconds(30));
    solo.receive_message(&separate);
    assert_eq!(solo.sent_bytes(), empty_ack(500));
    assert!(solo.events().is_empty());
}

#[test]
fn a_response_before_the_acknowledgement_counts_as_one() {
    let mut solo = Solo::new();
    solo.ask(outgoing(get("/3/0")));
    let sent = solo.sent_one();
    solo.receive_message(&message(
        MessageType::NonConfirmable,
        Code::CONTENT,
        500,
        sent.token,
    ));
    let (_, acknowledge) = solo.response_event();
    assert_eq!(acknowledge, None);
    solo.pass(seconds(100));
    assert!(solo.sent().is_empty());
    solo.receive(&empty_ack(sent.message_id));
    assert!(solo.events().is_empty());
}

#[test]
fn an_acknowledged_request_is_given_up_after_the_response_timeout() {
    let mut solo = Solo::new();
    solo.ask(outgoing(get("/3/0")));
    let sent = solo.sent_one();
    solo.receive(&empty_ack(sent.message_id));
    solo.pass(seconds(92));
    assert!(solo.events().is_empty());
    solo.pass(seconds(1));
    assert_eq!(solo.failure(), ExchangeFailure::NotAnswered);
}

#[test]
fn a_late_answer_becomes_a_notification() {
    let mut solo = Solo::new();
    let id = solo.ask(outgoing(get("/3/0")));
    let sent = solo.sent_one();
    solo.endpoint.cancel(id);
    assert!(solo.events().is_empty());
    solo.receive_message(&message(
        MessageType::Confirmable,
        Code::CONTENT,
        500,
        sent.token,
    ));
    let (key, ..) = solo.notification_event();
    assert_eq!(key.token, sent.token);
    assert_eq!(solo.counters.cancelled.get(), 1);
}

#[test]
fn a_reset_ends_the_exchange() {
    let mut solo = Solo::new();
    solo.ask(outgoing(get("/3/0")));
    let sent = solo.sent_one();
    solo.receive_message(&Message::empty(MessageType::Reset, sent.message_id));
    assert_eq!(solo.failure(), ExchangeFailure::Reset);
    assert_eq!(solo.endpoint.next_timeout(), None);
}

#[test]
fn acknowledgements_are_matched_by_peer_and_message_id() {
    let mut solo = Solo::new();
    solo.ask(outgoing(get("/3/0")));
    let sent = solo.sent_one();
    let answer = piggybacked(&sent, Code::CONTENT, b"x");
    solo.receive_from(other_device(), &answer.encode());
    let mut wrong = answer.clone();
    wrong.message_id = wrong.message_id.wrapping_add(1);
    solo.receive_message(&wrong);
    let mut wrong = answer.clone();
    wrong.token = token(b"other");
    solo.receive_message(&wrong);
    solo.receive_from(other_device(), &empty_ack(sent.message_id));
    solo.receive_from(
        other_device(),
        &Message::empty(MessageType::Reset, sent.message_id).encode(),
    );
    assert!(solo.events().is_empty());
    assert_eq!(solo.counters.unmatched.get(), 5);
    solo.receive_message(&answer);
    assert_eq!(solo.response_event().0.payload, b"x");
}

#[test]
fn a_response_from_another_address_is_a_notification() {
    let mut solo = Solo::new();
    solo.ask(outgoing(get("/3/0")));
    let sent = solo.sent_one();
    let answer = message(MessageType::Confirmable, Code::CONTENT, 500, sent.token);
    solo.receive_from(other_device(), &answer.encode());
    let (key, ..) = solo.notification_event();
    assert_eq!(key.peer, other_device());
    solo.receive_message(&piggybacked(&sent, Code::CONTENT, b"x"));
    solo.response_event();
}

#[test]
fn the_same_token_may_be_used_with_another_peer_but_not_twice_with_one() {
    let mut solo = Solo::new();
    solo.ask(outgoing(get("/3/0")));
    assert!(
        solo.endpoint
            .request(solo.now, other_device(), outgoing(get("/3/0")))
            .is_ok()
    );
    assert_eq!(
        solo.endpoint
            .request(solo.now, device(), outgoing(get("/3/0"))),
        Err(RequestError::TokenInUse)
    );
}

#[test]
fn a_request_that_is_not_confirmable_is_sent_once() {
    let mut solo = Solo::new();
    let mut request = outgoing(get("/3/0"));
    request.confirmable = false;
    solo.ask(request.clone());
    assert_eq!(solo.sent_one().kind, MessageType::NonConfirmable);
    solo.pass(seconds(93));
    assert!(solo.sent().is_empty());
    assert_eq!(solo.failure(), ExchangeFailure::NotAnswered);

    solo.ask(request);
    let sent = solo.sent_one();
    let mut answer = message(MessageType::NonConfirmable, Code::CONTENT, 77, sent.token);
    answer.payload = b"x".to_vec();
    solo.receive_message(&answer);
    assert_eq!(solo.response_event().0.payload, b"x");
}

#[test]
fn nothing_is_sent_after_the_window() {
    let mut solo = Solo::new();
    let mut request = outgoing(get("/3/0"));
    request.window = Some(window(&solo, 10));
    solo.ask(request.clone());
    solo.sent_one();
    solo.pass(seconds(10));
    let before = solo.sent().len();
    assert!((1..=2).contains(&before), "{before}");
    solo.pass(seconds(100));
    assert!(solo.sent().is_empty());
    assert_eq!(solo.failure(), ExchangeFailure::WindowClosed);

    solo.ask(request);
    assert!(solo.sent().is_empty(), "not even the first time");
    assert_eq!(solo.failure(), ExchangeFailure::WindowClosed);
}

#[test]
fn after_an_acknowledgement_the_response_is_awaited_beyond_the_window() {
    let mut solo = Solo::new();
    let mut request = outgoing(get("/3/0"));
    request.window = Some(window(&solo, 1));
    solo.ask(request);
    let sent = solo.sent_one();
    solo.receive(&empty_ack(sent.message_id));
    solo.pass(seconds(80));
    assert!(solo.events().is_empty());
    solo.receive_message(&message(
        MessageType::NonConfirmable,
        Code::CONTENT,
        1,
        sent.token,
    ));
    solo.response_event();
}

#[test]
fn the_window_can_be_moved() {
    let mut solo = Solo::new();
    let mut request = outgoing(get("/3/0"));
    request.window = Some(window(&solo, 1));
    let id = solo.ask(request);
    solo.sent_one();
    let longer = window(&solo, 500);
    solo.endpoint.set_window(id, Some(longer));
    solo.pass(seconds(200));
    assert_eq!(solo.sent().len(), 4);
    assert_eq!(solo.failure(), ExchangeFailure::NotAcknowledged);
}

#[test]
fn a_window_that_closes_ends_the_attempt_without_waiting_for_the_next_retransmission() {
    let mut solo = Solo::new();
    let mut request = outgoing(get("/3/0"));
    // Sent at 0 s and again at 2 to 3 s, at 6 to 9 s and at 14 to 21 s.
    request.window = Some(window(&solo, 10));
    solo.ask(request);
    solo.pass(seconds(11));
    assert!(
        solo.events().is_empty(),
        "an answer may still be on its way"
    );
    solo.pass(seconds(2));
    assert_eq!(solo.failure(), ExchangeFailure::WindowClosed);
}

#[test]
fn every_block_of_the_peer_keeps_its_window_open() {
    let mut solo = Solo::new();
    let mut request = outgoing(get("/5/0/0"));
    request.window = Some(window(&solo, 10));
    solo.ask(request);
    for block in 0..5 {
        let asked = solo.sent_one();
        // In the end far beyond the window as it was at first.
        solo.pass(seconds(9));
        solo.sent();
        let answer = piggybacked(&asked, Code::CONTENT, &[7; 16]);
        solo.receive_message(&with_block(answer, number::BLOCK2, (block, true, 16)));
    }
    let asked = solo.sent_one();
    assert_eq!(block_of(&asked, number::BLOCK2), Some((5, false, 16)));
}

#[test]
fn patience_takes_the_place_of_the_usual_timeouts() {
    let mut solo = Solo::new();
    let mut request = outgoing(get("/3/0"));
    request.patience = Some(Patience {
        first_timeout: seconds(80),
        max_retransmit: 1,
    });
    solo.ask(request);
    solo.sent_one();
    solo.pass(seconds(79));
    assert!(solo.sent().is_empty());
    solo.pass(seconds(2));
    solo.sent_one();
    solo.pass(seconds(158));
    assert!(solo.events().is_empty());
    solo.pass(seconds(3));
    assert_eq!(solo.failure(), ExchangeFailure::NotAcknowledged);
}

#[test]
fn an_answer_with_a_wrong_token_is_told_from_silence() {
    let mut solo = Solo::new();
    solo.ask(outgoing(get("/3/0")));
    let sent = solo.sent_one();
    let mut answer = piggybacked(&sent, Code::CONTENT, b"value");
    answer.token = token(b"wrong");
    solo.receive_message(&answer);
    assert!(solo.events().is_empty());
    solo.pass(seconds(120));
    assert_eq!(solo.sent().len(), 4, "the right answer may still come");
    assert_eq!(solo.failure(), ExchangeFailure::WrongToken);
}

/// The peer listens for so many seconds from now, and as long after each of its messages.
fn window(solo: &Solo, length: u64) -> Window {
    Window {
        until: solo.now + seconds(length),
        length: seconds(length),
    }
}

#[test]
fn message_ids_come_from_the_lease_and_what_is_left_comes_back() {
    let mut solo = Solo::new();
    let mut request = outgoing(get("/3/0"));
    request.message_ids = Some(MessageIds {
        next: 65_535,
        end: 3,
    });
    solo.ask(request);
    let sent = solo.sent_one();
    assert_eq!(sent.message_id, 65_535);
    solo.pass(seconds(4));
    assert_eq!(
        solo.sent_one().message_id,
        65_535,
        "the same when sent again"
    );
    solo.receive_message(&piggybacked(&sent, Code::CONTENT, b"x"));
    let Event::Response { message_ids, .. } = solo.event() else {
        panic!("a response");
    };
    assert_eq!(message_ids, Some(MessageIds { next: 0, end: 3 }));
}

#[test]
fn a_failed_exchange_gives_its_message_ids_back_too() {
    let mut solo = Solo::new();
    let mut request = outgoing(get("/3/0"));
    request.message_ids = Some(MessageIds { next: 5, end: 9 });
    solo.ask(request);
    solo.receive_message(&Message::empty(MessageType::Reset, 5));
    let Event::Failed { message_ids, .. } = solo.event() else {
        panic!("a failure");
    };
    assert_eq!(message_ids, Some(MessageIds { next: 6, end: 9 }));
}

#[test]
fn an_exhausted_lease_waits_for_more() {
    let mut solo = Solo::new();
    let mut request = outgoing(Request::new(Code::PUT));
    request.request.payload = bytes(2500);
    request.message_ids = Some(MessageIds { next: 5, end: 6 });
    let id = solo.ask(request);
    let first = solo.sent_one();
    let go_on = with_block(
        piggybacked(&first, Code::CONTINUE, b""),
        number::BLOCK1,
        (0, true, 1024),
    );
    solo.receive_message(&go_on);
    assert_eq!(solo.event(), Event::MessageIdsExhausted { exchange: id });
    assert!(solo.sent().is_empty());
    let more = MessageIds {
        next: 100,
        end: 102,
    };
    solo.endpoint.extend_message_ids(solo.now, id, more);
    let second = solo.sent_one();
    assert_eq!(second.message_id, 100);
    assert_eq!(block_of(&second, number::BLOCK1), Some((1, true, 1024)));
}

#[test]
fn a_lease_that_is_never_extended_ends_the_exchange() {
    let mut solo = Solo::new();
    let mut request = outgoing(Request::new(Code::PUT));
    request.request.payload = bytes(2500);
    request.message_ids = Some(MessageIds { next: 5, end: 6 });
    solo.ask(request);
    let first = solo.sent_one();
    solo.receive_message(&with_block(
        piggybacked(&first, Code::CONTINUE, b""),
        number::BLOCK1,
        (0, true, 1024),
    ));
    solo.pass(seconds(93));
    let events = solo.events();
    assert!(matches!(
        events.last(),
        Some(Event::Failed {
            failure: ExchangeFailure::NotAnswered,
            ..
        })
    ));
}

#[test]
fn an_empty_lease_is_refused() {
    let mut solo = Solo::new();
    let mut request = outgoing(get("/3/0"));
    request.message_ids = Some(MessageIds { next: 5, end: 5 });
    assert_eq!(
        solo.endpoint.request(solo.now, device(), request),
        Err(RequestError::NoMessageId)
    );
}

#[test]
fn an_id_that_another_device_behind_the_same_address_and_port_uses_is_passed_over() {
    let mut solo = Solo::new();
    let mut request = outgoing(get("/3/0"));
    request.message_ids = Some(MessageIds { next: 1, end: 9 });
    solo.ask(request.clone());
    assert_eq!(solo.sent_one().message_id, 1);
    request.token = token(b"other");
    let second = solo.ask(request.clone());
    assert_eq!(solo.sent_one().message_id, 2);
    // A lease of which nothing is free asks for more.
    request.token = token(b"third");
    request.message_ids = Some(MessageIds { next: 1, end: 3 });
    let third = solo.ask(request);
    assert_ne!(second, third);
    assert_eq!(solo.event(), Event::MessageIdsExhausted { exchange: third });
    solo.endpoint
        .extend_message_ids(solo.now, third, MessageIds { next: 3, end: 6 });
    assert_eq!(solo.sent_one().message_id, 3);
}

#[test]
fn an_answer_to_a_request_of_before_the_restart_is_taken() {
    let mut solo = Solo::new();
    let id = solo
        .endpoint
        .await_response(solo.now, device(), token(b"old"), seconds(50))
        .expect("begun");
    assert!(solo.sent().is_empty());
    solo.receive_message(&message(
        MessageType::Confirmable,
        Code::CHANGED,
        9,
        token(b"old"),
    ));
    let Event::Response {
        exchange,
        acknowledge,
        ..
    } = solo.event()
    else {
        panic!("a response");
    };
    assert_eq!(exchange, id);
    assert!(acknowledge.is_some());

    solo.endpoint
        .await_response(solo.now, device(), token(b"old"), seconds(50))
        .expect("begun");
    solo.pass(seconds(50));
    assert!(solo.sent().is_empty());
    assert_eq!(solo.failure(), ExchangeFailure::NotAnswered);
}

#[test]
fn a_response_with_an_unknown_critical_option_is_rejected() {
    let mut solo = Solo::new();
    solo.ask(outgoing(get("/3/0")));
    let sent = solo.sent_one();
    let mut answer = message(MessageType::Confirmable, Code::CONTENT, 9, sent.token);
    answer.options.add(9, b"");
    for _ in 0..2 {
        solo.receive_message(&answer);
        assert_eq!(
            solo.sent_one(),
            Message::empty(MessageType::Reset, 9),
            "copies too"
        );
    }
    let mut answer = piggybacked(&sent, Code::CONTENT, b"x");
    answer.options.add(9, b"");
    solo.receive_message(&answer);
    assert!(solo.events().is_empty());
    solo.pass(seconds(93));
    assert!(solo.sent().is_empty(), "it was acknowledged after all");
    assert_eq!(solo.failure(), ExchangeFailure::NotAnswered);
}

#[test]
fn what_is_no_request_is_refused() {
    let mut solo = Solo::new();
    let mut too_long = get("/");
    too_long.options.add(number::URI_QUERY, &bytes(40_000));
    for request in [
        Request::new(Code::CONTENT),
        Request::new(Code::EMPTY),
        too_long,
    ] {
        assert_eq!(
            solo.endpoint.request(solo.now, device(), outgoing(request)),
            Err(RequestError::Invalid)
        );
    }
}

fn empty_ack(message_id: u16) -> Vec<u8> {
    Message::empty(MessageType::Acknowledgement, message_id).encode()
}
