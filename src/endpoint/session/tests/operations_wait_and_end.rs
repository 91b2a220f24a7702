//! The queue, the one outstanding exchange, and how operations end.

use std::time::Duration;

use super::super::{Action, Input, Refusal, Ticket};
use super::bench::{Bench, Done, content, new_operation};
use crate::coap::{Code, ExchangeFailure, Response, Window};
use crate::domain::{IdempotencyKey, NewOperation, OperationKind, OperationStatus};
use crate::store::Change;

fn registered(query: &str) -> Bench {
    let mut bench = Bench::new();
    let register = bench.register(query, "</3/0>,</3303/0>");
    bench.feed(register);
    bench
}

#[test]
fn an_attempt_is_committed_with_its_token_before_it_is_sent() {
    let mut bench = registered("ep=thing&lwm2m=1.1&lt=300");
    let operation = bench.operate(OperationKind::Read, "/3/0/0");
    let (_, request) = bench.sent().pop().expect("a request");
    let committed = bench.done.iter().position(|done| {
        matches!(done, Done::Committed(changes) if changes.iter().any(|change|
            matches!(change, Change::SaveOperation(stored)
                if stored.status == OperationStatus::Sending && stored.token == Some(request.token))))
    });
    let sent = bench
        .done
        .iter()
        .position(|done| matches!(done, Done::Acted(Action::Transmit { .. })));
    assert!(committed.expect("a commit") < sent.expect("a datagram"));
    bench.answer(content("Zephyr"));
    let stored = bench.stored(operation.id);
    assert_eq!(stored.status, OperationStatus::Confirmed);
    assert_eq!(stored.result.expect("a result").nodes.len(), 1);
}

#[test]
fn message_ids_are_reserved_on_disk_before_they_are_used() {
    let mut bench = registered("ep=thing&lwm2m=1.1&lt=300");
    let mut mark = bench.changes().into_iter().find_map(|change| match change {
        Change::Register(registration) => Some(registration.message_id_mark),
        _ => None,
    });
    for _ in 0..200 {
        bench.done.clear();
        bench.operate(OperationKind::Read, "/3/0/0");
        for change in bench.changes() {
            if let Change::ReserveMessageIds { mark: new, .. } = change {
                mark = Some(*new);
            }
        }
        let (_, request) = bench.sent().pop().expect("a request");
        let lease = request.message_ids.expect("a lease");
        assert_eq!(
            Some(lease.end),
            mark,
            "the lease ends where the reservation ends"
        );
        assert!(lease.remaining() > 0);
        bench.answer(content("Zephyr"));
    }
}

#[test]
fn only_one_exchange_is_outstanding_and_the_order_stays() {
    let mut bench = registered("ep=thing&lwm2m=1.1&lt=300");
    let first = bench.operate(OperationKind::Read, "/3/0/0");
    let second = bench.operate(OperationKind::Read, "/3/0/1");
    assert_eq!(bench.sent().len(), 1);
    bench.answer(content("Zephyr"));
    assert_eq!(bench.sent().len(), 2);
    bench.answer(content("nRF9160"));
    for operation in [first, second] {
        assert_eq!(
            bench.stored(operation.id).status,
            OperationStatus::Confirmed
        );
    }
}

#[test]
fn a_refusal_of_the_device_is_failed_at_once_with_its_code() {
    let mut bench = registered("ep=thing&lwm2m=1.1&lt=300");
    let operation = bench.operate(OperationKind::Read, "/3/0/4");
    bench.answer(Response::new(Code::METHOD_NOT_ALLOWED));
    let stored = bench.stored(operation.id);
    assert_eq!(stored.status, OperationStatus::Failed);
    assert_eq!(stored.result.expect("a result").code, "4.05");
    assert!(stored.error.expect("an error").contains("4.05"));
}

#[test]
fn three_timeouts_are_failed_and_each_retry_waits_for_the_device() {
    let mut bench = registered("ep=thing&lwm2m=1.1&lt=300");
    let operation = bench.operate(OperationKind::Read, "/3/0/0");
    for attempt in 1..=3 {
        assert_eq!(bench.sent().len(), attempt);
        bench.fail(ExchangeFailure::NotAcknowledged);
        if attempt < 3 {
            assert_eq!(bench.stored(operation.id).status, OperationStatus::Queued);
            bench.feed(Input::Pump);
            assert_eq!(
                bench.sent().len(),
                attempt,
                "nothing is sent to a silent device"
            );
            let update = bench.update("");
            bench.feed(update);
        }
    }
    let stored = bench.stored(operation.id);
    assert_eq!(
        (stored.status, stored.attempts),
        (OperationStatus::Failed, 3)
    );
}

#[test]
fn an_operation_that_is_acknowledged_and_never_answered_lets_the_next_one_pass() {
    let mut bench = registered("ep=thing&lwm2m=1.1&lt=300");
    let mute = bench.operate(OperationKind::Read, "/3/0/0");
    let next = bench.operate(OperationKind::Read, "/3/0/1");
    bench.fail(ExchangeFailure::NotAnswered);
    assert_eq!(bench.stored(mute.id).status, OperationStatus::Queued);
    bench.answer(content("nRF9160"));
    assert_eq!(bench.stored(next.id).status, OperationStatus::Confirmed);
    assert_eq!(
        bench.sent().len(),
        2,
        "it is tried again when the device updates"
    );
    let update = bench.update("");
    bench.feed(update);
    assert_eq!(bench.sent().len(), 3);
    bench.answer(content("Zephyr"));
    assert_eq!(bench.stored(mute.id).status, OperationStatus::Confirmed);
}

#[test]
fn an_execute_without_an_answer_is_not_repeated() {
    let mut bench = registered("ep=thing&lwm2m=1.1&lt=300");
    let operation = bench.operate(OperationKind::Execute, "/3/0/4");
    bench.fail(ExchangeFailure::NotAcknowledged);
    let update = bench.update("");
    bench.feed(update);
    let stored = bench.stored(operation.id);
    assert_eq!(stored.status, OperationStatus::Failed);
    assert!(stored.error.expect("an error").contains("outcome unknown"));
    assert_eq!(bench.sent().len(), 1);
}

#[test]
fn a_sleeping_device_is_sent_nothing_until_it_wakes() {
    let mut bench = registered("ep=thing&lwm2m=1.1&lt=300&Q");
    bench.wait(bench.settings.awake + Duration::from_secs(1));
    let operation = bench.operate(OperationKind::Read, "/3/0/0");
    assert!(bench.sent().is_empty());
    assert_eq!(bench.stored(operation.id).status, OperationStatus::Queued);
    let update = bench.update("");
    bench.feed(update);
    let (_, request) = bench.sent().pop().expect("a request");
    assert_eq!(
        request.window,
        Some(Window {
            until: bench.now.instant + bench.settings.awake,
            length: bench.settings.awake,
        })
    );
}

#[test]
fn an_attempt_cut_off_by_the_end_of_the_awake_time_does_not_count() {
    let mut bench = registered("ep=thing&lwm2m=1.1&lt=300&Q");
    let operation = bench.operate(OperationKind::Read, "/3/0/0");
    bench.fail(ExchangeFailure::WindowClosed);
    let stored = bench.stored(operation.id);
    assert_eq!(
        (stored.status, stored.attempts),
        (OperationStatus::Queued, 0)
    );
}

#[test]
fn a_waiting_operation_can_be_taken_back_and_one_on_its_way_cannot() {
    let mut bench = registered("ep=thing&lwm2m=1.1&lt=300");
    let first = bench.operate(OperationKind::Read, "/3/0/0");
    let second = bench.operate(OperationKind::Read, "/3/0/1");
    bench.feed(Input::Cancel {
        id: second.id,
        by: None,
        ticket: Ticket(9),
    });
    assert_eq!(bench.stored(second.id).status, OperationStatus::Cancelled);
    bench.feed(Input::Cancel {
        id: first.id,
        by: None,
        ticket: Ticket(10),
    });
    assert!(
        bench
            .actions()
            .any(|action| matches!(action, Action::Refused(Ticket(10), _)))
    );
}

#[test]
fn an_operation_that_waits_too_long_expires() {
    let mut bench = registered("ep=thing&lwm2m=1.1&lt=86400&Q");
    bench.wait(bench.settings.awake + Duration::from_secs(1));
    let mut new = new_operation(OperationKind::Read, "/3/0/0");
    new.expires_in = Some(Duration::from_secs(60));
    bench.feed(Input::Operate {
        operation: Box::new(new),
        ticket: Ticket(1),
    });
    assert_eq!(
        bench.session.next_deadline(bench.now),
        Some(bench.now.instant + Duration::from_secs(60))
    );
    bench.wait(Duration::from_secs(60));
    bench.feed(Input::Tick);
    assert_eq!(
        bench.operations(),
        [(OperationKind::Read, OperationStatus::Expired)]
    );
}

#[test]
fn no_more_operations_wait_than_the_limit_allows() {
    let mut bench = registered("ep=thing&lwm2m=1.1&lt=86400&Q");
    bench.wait(bench.settings.awake + Duration::from_secs(1));
    bench.settings.max_operations = 5;
    for count in 0..6 {
        let operation = Box::new(new_operation(OperationKind::Read, "/3/0/0"));
        bench.feed(Input::Operate {
            operation,
            ticket: Ticket(count),
        });
    }
    assert_eq!(bench.operations().len(), 5);
    assert!(
        bench
            .actions()
            .any(|action| matches!(action, Action::Refused(Ticket(5), _)))
    );
}

#[test]
fn what_cannot_be_encoded_fails_and_nothing_is_sent() {
    let mut bench = registered("ep=thing&lwm2m=1.0&lt=300");
    let operation = bench.operate(OperationKind::ObserveComposite, "/3");
    assert_eq!(bench.stored(operation.id).status, OperationStatus::Failed);
    assert!(bench.sent().is_empty());
}

#[test]
fn what_is_asked_again_with_the_same_key_is_not_taken_again() {
    let key = IdempotencyKey {
        key: [1; 32],
        request: [2; 32],
    };
    let mut bench = registered("ep=thing&lwm2m=1.1&lt=300");
    let mut ask = |key, ticket| {
        bench.feed(Input::Operate {
            operation: Box::new(NewOperation {
                key: Some(key),
                ..new_operation(OperationKind::Read, "/3/0/0")
            }),
            ticket: Ticket(ticket),
        });
        bench.done.drain(..).collect::<Vec<_>>()
    };
    let id = ask(key, 1).iter().find_map(|done| match done {
        Done::Committed(changes) => changes.iter().find_map(|change| match change {
            Change::RememberKey(keyed) => Some(keyed.operation),
            _ => None,
        }),
        Done::Acted(_) => None,
    });
    let id = id.expect("the key is in a commit");
    for (key, same) in [
        (key, true),
        (
            IdempotencyKey {
                request: [3; 32],
                ..key
            },
            false,
        ),
    ] {
        let done = ask(key, 2);
        assert!(
            matches!(
                done[..],
                [Done::Acted(Action::Refused(Ticket(2), Refusal::AskedBefore { id: told, same: is }))]
                    if told == id && is == same
            ),
            "{done:?}"
        );
    }
}
