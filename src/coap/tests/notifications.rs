//! Notifications that arrive, and notifications that we send.

use super::*;

fn notification(kind: MessageType, message_id: u16) -> Message {
    let mut notification = message(kind, Code::CONTENT, message_id, token(b"observed"));
    notification.options.set_uint(number::OBSERVE, 12);
    notification.payload = b"22.9".to_vec();
    notification
}

#[test]
fn a_notification_is_acknowledged_when_it_is_committed() {
    let mut solo = Solo::new();
    let datagram = notification(MessageType::Confirmable, 5).encode();
    solo.receive(&datagram);
    solo.receive(&datagram);
    let (key, response, more) = solo.notification_event();
    assert_eq!(response.options.observe(), Some(12));
    assert_eq!(more, None);
    assert!(solo.sent().is_empty());
    solo.endpoint.acknowledge(solo.now, &key);
    assert_eq!(solo.sent_bytes(), hex("60 00 0005"));
    solo.receive(&datagram);
    assert_eq!(solo.sent_bytes(), hex("60 00 0005"));
    solo.endpoint.acknowledge(solo.now, &key);
    assert!(solo.sent().is_empty(), "once is enough");
    assert!(solo.events().is_empty());
}

#[test]
fn a_rejected_notification_is_reset_confirmable_or_not() {
    for kind in [MessageType::Confirmable, MessageType::NonConfirmable] {
        let mut solo = Solo::new();
        let datagram = notification(kind, 5).encode();
        solo.receive(&datagram);
        let (key, ..) = solo.notification_event();
        solo.endpoint.reject(solo.now, &key);
        assert_eq!(solo.sent_bytes(), hex("70 00 0005"));
        solo.receive(&datagram);
        assert_eq!(solo.sent_bytes(), hex("70 00 0005"));
        assert!(solo.events().is_empty());
    }
}

#[test]
fn an_ignored_notification_is_new_when_it_comes_again() {
    let mut solo = Solo::new();
    let datagram = notification(MessageType::Confirmable, 5).encode();
    solo.receive(&datagram);
    let (key, ..) = solo.notification_event();
    solo.endpoint.ignore(&key);
    assert!(solo.sent().is_empty());
    solo.receive(&datagram);
    solo.notification_event();
}

#[test]
fn a_notification_that_is_not_confirmable_is_seen_once() {
    let mut solo = Solo::new();
    let datagram = notification(MessageType::NonConfirmable, 5).encode();
    solo.receive(&datagram);
    let (key, ..) = solo.notification_event();
    assert!(!key.confirmable);
    solo.endpoint.acknowledge(solo.now, &key);
    solo.receive(&datagram);
    assert!(solo.sent().is_empty() && solo.events().is_empty());
    solo.pass(seconds(146));
    solo.receive(&datagram);
    solo.notification_event();
}

#[test]
fn the_first_block_of_a_notification_tells_how_to_get_the_rest() {
    let mut solo = Solo::new();
    let mut first = with_block(
        notification(MessageType::Confirmable, 5),
        number::BLOCK2,
        (0, true, 64),
    );
    first.payload = bytes(64);
    first.options.add(number::ETAG, b"v1");
    first.options.set_uint(number::SIZE2, 100);
    solo.receive_message(&first);
    let (key, response, more) = solo.notification_event();
    assert_eq!(
        more,
        Some(FirstBlock {
            size_exponent: 2,
            etag: Some(b"v1".to_vec()),
            size: Some(100),
        })
    );
    assert_eq!(response.options.first(number::BLOCK2), None);
    solo.endpoint.acknowledge(solo.now, &key);
    solo.sent_one();

    let mut request = outgoing(get("/3/0"));
    request.start_block2 = Some((1, response.payload, Some(b"v1".to_vec())));
    solo.ask(request);
    let sent = solo.sent_one();
    assert_eq!(block_of(&sent, number::BLOCK2), Some((1, false, 64)));
    let mut rest = with_block(
        piggybacked(&sent, Code::CONTENT, &[9; 36]),
        number::BLOCK2,
        (1, false, 64),
    );
    rest.options.add(number::ETAG, b"v1");
    solo.receive_message(&rest);
    let (response, _) = solo.response_event();
    assert_eq!(response.payload.len(), 100);
    assert_eq!(response.payload.get(..64), Some(bytes(64).as_slice()));
}

#[test]
fn a_notification_that_begins_in_the_middle_or_lies_about_its_size_is_dropped() {
    let mut solo = Solo::new();
    for (message_id, block) in [
        (1, (3, false, 64)),
        (2, (0, true, 64)),
        (3, (0, true, 1024)),
    ] {
        let wrong = with_block(
            notification(MessageType::Confirmable, message_id),
            number::BLOCK2,
            block,
        );
        solo.receive_message(&wrong);
    }
    assert!(solo.events().is_empty());
    assert!(solo.sent().is_empty(), "a Reset would end the observation");
    assert_eq!(solo.counters.refused.get(), 3);
}

#[test]
fn a_notification_in_the_midst_of_an_observe_request_is_told_from_its_blocks() {
    let mut solo = Solo::new();
    let mut request = outgoing(get("/3/0"));
    request.request.options.set_uint(number::OBSERVE, 0);
    let observed = request.token;
    solo.ask(request);
    let first = solo.sent_one();
    assert_eq!(first.options.observe(), Some(0));
    let mut answer = with_block(
        piggybacked(&first, Code::CONTENT, &bytes(64)),
        number::BLOCK2,
        (0, true, 64),
    );
    answer.options.set_uint(number::OBSERVE, 1);
    solo.receive_message(&answer);
    let second = solo.sent_one();
    assert_ne!(second.token, observed, "RFC 7959 section 3.4");
    assert_eq!(second.options.first(number::OBSERVE), None);
    let mut notified = notification(MessageType::NonConfirmable, 88);
    notified.token = observed;
    solo.receive_message(&notified);
    solo.notification_event();
    solo.receive_message(&with_block(
        piggybacked(&second, Code::CONTENT, b"end"),
        number::BLOCK2,
        (1, false, 64),
    ));
    let (response, _) = solo.response_event();
    assert_eq!(response.options.observe(), Some(1));
    assert_eq!(response.payload.len(), 67);
}

#[test]
fn a_notification_that_crosses_the_end_of_its_observation_is_no_answer_to_it() {
    let mut solo = Solo::new();
    let mut request = outgoing(get("/3/0"));
    request.token = token(b"observed");
    request.request.options.set_uint(number::OBSERVE, 1);
    solo.ask(request);
    let sent = solo.sent_one();
    solo.receive_message(&notification(MessageType::Confirmable, 5));
    solo.notification_event();
    solo.receive_message(&piggybacked(&sent, Code::CONTENT, b"last"));
    assert_eq!(solo.response_event().0.payload, b"last");
}

#[test]
fn an_acknowledged_notification_of_ours_is_not_sent_again() {
    let mut solo = Solo::new();
    let id = solo.notify(true);
    let sent = solo.sent_one();
    assert_eq!((sent.kind, sent.message_id), (MessageType::Confirmable, id));
    solo.receive_message(&Message::empty(MessageType::Acknowledgement, id));
    assert_eq!(
        solo.event(),
        Event::NotificationAcknowledged {
            peer: device(),
            token: token(b"observed"),
            message_id: id,
        }
    );
    assert_eq!(solo.endpoint.next_timeout(), None);
}

#[test]
fn a_reset_ends_an_observation_confirmable_or_not() {
    for confirmable in [true, false] {
        let mut solo = Solo::new();
        let id = solo.notify(confirmable);
        solo.receive_message(&Message::empty(MessageType::Reset, id));
        assert!(matches!(
            solo.event(),
            Event::NotificationReset { message_id, .. } if message_id == id
        ));
    }
}

#[test]
fn a_notification_of_ours_that_nobody_acknowledges_times_out() {
    let mut solo = Solo::new();
    solo.notify(true);
    solo.pass(seconds(100));
    assert_eq!(solo.sent().len(), 5);
    assert!(matches!(solo.event(), Event::NotificationTimedOut { .. }));
    solo.notify(false);
    solo.pass(seconds(100));
    assert_eq!(solo.sent().len(), 1);
    assert!(solo.events().is_empty());
    assert_eq!(solo.endpoint.next_timeout(), None);
}

#[test]
fn the_rest_of_a_large_notification_is_served_in_the_version_that_was_notified() {
    let mut solo = Solo::new();
    let mut observe = con(Code::GET, 1, "/3");
    observe.options.set_uint(number::OBSERVE, 0);
    observe.token = token(b"observed");
    solo.receive_message(&observe);
    let (key, _) = solo.request_event();
    let mut response = content(b"small");
    response.options.set_uint(number::OBSERVE, 1);
    solo.respond(&key, response);
    solo.sent_one();

    let mut large = content(&bytes(1500));
    large.options.set_uint(number::OBSERVE, 2);
    solo.endpoint
        .notify(solo.now, device(), token(b"observed"), large, true)
        .expect("sent");
    let first = solo.sent_one();
    assert_eq!(block_of(&first, number::BLOCK2), Some((0, true, 1024)));
    let rest = with_block(con(Code::GET, 2, "/3"), number::BLOCK2, (1, false, 1024));
    solo.receive_message(&rest);
    let second = solo.sent_one();
    assert_eq!(block_of(&second, number::BLOCK2), Some((1, false, 1024)));
    assert_eq!(
        second.options.first(number::ETAG),
        first.options.first(number::ETAG)
    );
    assert_eq!([first.payload, second.payload].concat(), bytes(1500));
}

impl Solo {
    fn notify(&mut self, confirmable: bool) -> u16 {
        let mut response = content(b"22.9");
        response.options.set_uint(number::OBSERVE, 3);
        self.endpoint
            .notify(
                self.now,
                device(),
                token(b"observed"),
                response,
                confirmable,
            )
            .expect("sent")
    }
}
