//! A DTLS session ends: what was under way in it, what waits, and what is not learnt of it.

use std::time::Duration;

use super::super::Input;
use super::bench::{Bench, content};
use crate::coap::{Code, ExchangeFailure};
use crate::domain::{OperationKind, OperationStatus, Peer, Reach, Unreachable};
use crate::endpoint::Gate as _;

fn registered(query: &str) -> Bench {
    let mut bench = Bench::new();
    bench.handshake(1, "thing");
    let register = bench.register(query, "</3303/0>,</3/0>");
    bench.feed(register);
    bench
}

const LISTENS: &str = "lwm2m=1.1&lt=8640000";
const SLEEPS: &str = "lwm2m=1.1&lt=8640000&Q";

/// The DTLS layer says so, and ends the exchange that is under way.
fn disconnect(bench: &mut Bench, peer: Peer) {
    bench.gate.close(peer);
    if bench.session.exchange().is_some() {
        bench.fail(ExchangeFailure::Disconnected);
    }
}

#[test]
fn l03_a_device_that_listens_is_called_and_the_request_waits_for_the_handshake() {
    let mut bench = registered(LISTENS);
    let peer = bench.peer;
    disconnect(&mut bench, peer);
    let operation = bench.operate(OperationKind::Read, "/3/0/0");
    let called = bench.gate.called.borrow().clone();
    assert_eq!(called, [(peer, super::bench::name())]);
    assert_eq!(bench.sent().len(), 1);
    assert_eq!(bench.gate.reach(peer), Reach::Connecting);
    // The handshake never ends: an ordinary timeout, and nobody is called again before it speaks.
    bench.fail(ExchangeFailure::NotAcknowledged);
    let stored = bench.stored(operation.id);
    assert_eq!(
        (stored.status, stored.attempts),
        (OperationStatus::Queued, 1)
    );
    bench.operate(OperationKind::Read, "/3/0/1");
    assert_eq!(bench.sent().len(), 1);
}

#[test]
fn a_device_that_comes_by_itself_while_it_is_called_in_vain_is_asked_in_its_new_session() {
    let mut bench = registered(LISTENS);
    let peer = bench.peer;
    disconnect(&mut bench, peer);
    let operation = bench.operate(OperationKind::Read, "/3/0/0");
    assert_eq!(bench.gate.reach(peer), Reach::Connecting);
    let new = bench.handshake(2, "thing");
    let update = bench.update("");
    bench.feed(update);
    // The call ends after that, and must not count as silence of the device.
    bench.fail(ExchangeFailure::Disconnected);
    assert_eq!(bench.stored(operation.id).status, OperationStatus::Sending);
    assert_eq!(bench.sent().pop().expect("a request").0, new);
}

/// RFC 7252 section 9.1: it could not answer in the next session what it was asked in the one before.
#[test]
fn what_is_under_way_is_asked_again_in_the_session_in_which_the_device_comes_back() {
    let mut bench = registered(LISTENS);
    let read = bench.operate(OperationKind::Read, "/3/0/0");
    let before = bench.peer;
    assert_eq!(bench.sent().pop().expect("a request").0, before);
    let new = bench.handshake(2, "thing");
    let update = bench.update("");
    bench.feed(update);
    assert_eq!(bench.sent().len(), 2);
    assert_eq!(bench.sent().pop().expect("a request").0, new);
    let stored = bench.stored(read.id);
    assert_eq!(
        (stored.status, stored.attempts),
        (OperationStatus::Sending, 1)
    );
    // In the same session an Update changes nothing.
    let update = bench.update("");
    bench.feed(update);
    assert_eq!(bench.sent().len(), 2);
}

#[test]
fn what_must_not_be_done_twice_waits_for_its_answer_from_the_session_before() {
    let mut bench = registered(LISTENS);
    let execute = bench.operate(OperationKind::Execute, "/3/0/4");
    bench.handshake(2, "thing");
    let update = bench.update("");
    bench.feed(update);
    assert_eq!(bench.sent().len(), 1);
    assert_eq!(bench.stored(execute.id).status, OperationStatus::Sending);
    bench.fail(ExchangeFailure::NotAcknowledged);
    assert_eq!(bench.stored(execute.id).status, OperationStatus::Failed);
}

#[test]
fn l03_a_device_that_sleeps_is_not_called_and_what_waits_is_not_counted() {
    let mut bench = registered(SLEEPS);
    let peer = bench.peer;
    disconnect(&mut bench, peer);
    // It would still be awake.
    let first = bench.operate(OperationKind::Read, "/3/0/0");
    let second = bench.operate(OperationKind::Read, "/3/0/1");
    assert!(bench.sent().is_empty());
    assert!(bench.gate.called.borrow().is_empty());
    for operation in [&first, &second] {
        let stored = bench.stored(operation.id);
        assert_eq!(
            (stored.status, stored.attempts),
            (OperationStatus::Queued, 0)
        );
    }
    // A new session brings them, in the order in which they were asked for.
    let new = bench.handshake(2, "thing");
    let update = bench.update("");
    bench.feed(update);
    assert_eq!(bench.stored(first.id).status, OperationStatus::Sending);
    assert_eq!(bench.sent().pop().expect("a request").0, new);
    bench.answer(content("x"));
    assert_eq!(bench.stored(second.id).status, OperationStatus::Sending);
}

#[test]
fn l06_what_cannot_be_sent_for_want_of_a_credential_fails_after_its_attempts() {
    for reason in [Unreachable::NoCredential, Unreachable::SwitchedOff] {
        let mut bench = registered(LISTENS);
        let peer = bench.peer;
        disconnect(&mut bench, peer);
        bench.gate.refuses = Some(reason);
        let operations = [
            // It was never sent, so this may be tried again and its outcome is known.
            bench.operate(OperationKind::Execute, "/3/0/4"),
            bench.operate(OperationKind::Read, "/3/0/0"),
        ];
        for operation in operations {
            let stored = bench.stored(operation.id);
            assert_eq!(stored.status, OperationStatus::Failed);
            assert_eq!(stored.attempts, stored.max_attempts);
            assert!(stored.error.expect("words").contains(&reason.to_string()));
        }
        assert!(bench.sent().is_empty());
    }
}

#[test]
fn what_an_unproven_address_may_not_get_waits_until_the_device_is_heard_and_is_not_counted() {
    for reason in [Unreachable::Unproven, Unreachable::Blocked] {
        let mut bench = registered(LISTENS);
        let peer = bench.peer;
        disconnect(&mut bench, peer);
        bench.gate.refuses = Some(reason);
        let execute = bench.operate(OperationKind::Execute, "/3/0/4");
        let read = bench.operate(OperationKind::Read, "/3/0/0");
        for operation in [&execute, &read] {
            let stored = bench.stored(operation.id);
            assert_eq!(
                (stored.status, stored.attempts),
                (OperationStatus::Queued, 0)
            );
        }
        assert!(bench.sent().is_empty());
        bench.gate.refuses = None;
        bench.handshake(2, "thing");
        let update = bench.update("");
        bench.feed(update);
        assert_eq!(bench.stored(execute.id).status, OperationStatus::Sending);
        bench.answer(content(""));
        bench.answer(content("x"));
        let stored = bench.stored(read.id);
        assert_eq!(stored.status, OperationStatus::Confirmed, "{reason}");
    }
}

#[test]
fn the_message_ids_of_what_was_not_sent_are_used_by_the_next_request() {
    let mut bench = registered(LISTENS);
    let peer = bench.peer;
    disconnect(&mut bench, peer);
    bench.gate.refuses = Some(Unreachable::NoCredential);
    for _ in 0..100 {
        bench.operate(OperationKind::Read, "/3/0/0");
    }
    let reserved = |bench: &Bench| {
        let changes = bench.changes();
        let mark = |change: &&&crate::store::Change| {
            matches!(change, crate::store::Change::ReserveMessageIds { .. })
        };
        changes.iter().filter(mark).count()
    };
    assert_eq!(reserved(&bench), 0, "the registration brought enough");
}

#[test]
fn where_too_many_handshakes_are_under_way_a_device_is_called_later() {
    let mut bench = registered(LISTENS);
    let peer = bench.peer;
    disconnect(&mut bench, peer);
    bench.gate.refuses = Some(Unreachable::TooManyHandshakes);
    let operation = bench.operate(OperationKind::Read, "/3/0/0");
    let stored = bench.stored(operation.id);
    assert_eq!(
        (stored.status, stored.attempts),
        (OperationStatus::Queued, 1)
    );
    let due = bench.session.next_deadline(bench.now).expect("a deadline");
    assert!(due <= bench.now.instant + bench.settings.connect_pause);
    bench.gate.refuses = None;
    bench.wait(bench.settings.connect_pause);
    bench.feed(Input::Tick);
    bench.answer(content("x"));
    assert_eq!(
        bench.stored(operation.id).status,
        OperationStatus::Confirmed
    );
}

#[test]
fn what_is_lost_with_its_session_is_not_counted_unless_it_must_not_be_done_twice() {
    for (kind, path, status) in [
        (OperationKind::Read, "/3/0/0", OperationStatus::Queued),
        (OperationKind::Execute, "/3/0/4", OperationStatus::Failed),
    ] {
        let mut bench = registered(SLEEPS);
        let operation = bench.operate(kind, path);
        assert_eq!(bench.stored(operation.id).status, OperationStatus::Sending);
        let peer = bench.peer;
        disconnect(&mut bench, peer);
        let stored = bench.stored(operation.id);
        assert_eq!(stored.status, status);
        if status == OperationStatus::Queued {
            assert_eq!(stored.attempts, 0);
        } else {
            let error = stored.error.expect("words");
            assert!(error.contains("outcome unknown"), "{error}");
        }
    }
}

#[test]
fn a_handshake_of_ours_that_fails_counts_and_is_not_tried_again_at_once() {
    let mut bench = registered(LISTENS);
    let peer = bench.peer;
    disconnect(&mut bench, peer);
    let operation = bench.operate(OperationKind::Read, "/3/0/0");
    bench.gate.called.borrow_mut().clear();
    bench.fail(ExchangeFailure::Disconnected);
    let stored = bench.stored(operation.id);
    assert_eq!(
        (stored.status, stored.attempts),
        (OperationStatus::Queued, 1)
    );
    assert!(bench.gate.called.borrow().is_empty());
}

#[test]
fn a_session_that_ends_before_the_commit_is_through_does_not_count_for_a_sleeper() {
    let mut bench = registered(SLEEPS);
    bench.loses_its_session = true;
    let operation = bench.operate(OperationKind::Execute, "/3/0/4");
    assert!(bench.sent().is_empty());
    let stored = bench.stored(operation.id);
    assert_eq!(
        (stored.status, stored.attempts),
        (OperationStatus::Queued, 0)
    );
    bench.handshake(2, "thing");
    let update = bench.update("");
    bench.feed(update);
    assert_eq!(bench.sent().len(), 1);
}

#[test]
fn a_lost_session_teaches_nothing_about_when_a_device_listens() {
    let mut bench = registered(SLEEPS);
    bench.wait(Duration::from_secs(5));
    bench.operate(OperationKind::Read, "/3/0/0");
    let before = bench.session.learned.clone();
    let peer = bench.peer;
    disconnect(&mut bench, peer);
    assert_eq!(bench.session.learned, before);
    let window = bench
        .session
        .learned
        .window(bench.now.wall, bench.settings.relearn_after);
    assert_eq!(window, None);
}

#[test]
fn after_a_restart_without_the_session_nothing_is_awaited() {
    for (query, kind, path) in [
        (SLEEPS, OperationKind::Read, "/3/0/0"),
        (LISTENS, OperationKind::Read, "/3/0/0"),
        (SLEEPS, OperationKind::Execute, "/3/0/4"),
    ] {
        let mut bench = registered(query);
        let operation = bench.operate(kind, path);
        let peer = bench.peer;
        bench.gate.close(peer);
        let sent = bench.sent().len();
        bench.restart();
        let stored = bench.stored(operation.id);
        match (query, kind) {
            (_, OperationKind::Execute) => {
                assert_eq!(stored.status, OperationStatus::Failed);
                assert!(stored.error.expect("words").contains("outcome unknown"));
            }
            (SLEEPS, _) => {
                assert_eq!(
                    (stored.status, stored.attempts),
                    (OperationStatus::Queued, 0)
                );
                assert_eq!(bench.sent().len(), sent);
                bench.handshake(2, "thing");
                let update = bench.update("");
                bench.feed(update);
                assert_eq!(bench.answers().pop(), Some(Code::CHANGED));
                assert_eq!(bench.stored(operation.id).status, OperationStatus::Sending);
            }
            _ => {
                assert_eq!(
                    (stored.status, stored.attempts),
                    (OperationStatus::Sending, 1)
                );
                assert_eq!(bench.gate.called.borrow().len(), 1);
            }
        }
    }
}

#[test]
fn after_a_restart_with_the_session_an_answer_is_still_awaited() {
    let mut bench = registered(SLEEPS);
    let operation = bench.operate(OperationKind::Read, "/3/0/0");
    bench.restart();
    bench.answer(content("x"));
    assert_eq!(
        bench.stored(operation.id).status,
        OperationStatus::Confirmed
    );
}
