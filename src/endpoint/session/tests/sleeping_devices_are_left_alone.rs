//! Queue mode: nothing is sent to a device that sleeps, what waits for it waits durably, and when it
//! listens is learnt.

use std::time::Duration;

use super::super::{Action, Input, Ticket};
use super::bench::{Bench, content, new_operation};
use crate::coap::{ExchangeFailure, Patience};
use crate::domain::{LearntWindow, OperationKind, OperationStatus, WakeBasis};
use crate::endpoint::Listening;
use crate::store::Change;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn sleeper() -> Bench {
    let mut bench = Bench::new();
    let register = bench.register("ep=thing&lwm2m=1.1&lt=86400&Q", "</3/0>,</3303/0>");
    bench.feed(register);
    bench
}

fn wake(bench: &mut Bench) {
    let update = bench.update("");
    bench.feed(update);
}

/// It is asked so long after its last message, and nothing comes back.
fn stay_silent(bench: &mut Bench, after: Duration) {
    bench.wait(after);
    let before = bench.sent().len();
    bench.operate(OperationKind::Read, "/3/0/0");
    assert_eq!(bench.sent().len(), before + 1, "it should listen");
    bench.fail(ExchangeFailure::WindowClosed);
    bench.wait(seconds(3600));
    wake(bench);
    bench.answer(content("Zephyr"));
}

#[test]
fn every_message_of_the_device_opens_its_window_anew() {
    let mut bench = sleeper();
    bench.wait(seconds(90));
    let send = bench.send_temperature(20.5);
    bench.feed(send);
    bench.wait(seconds(90));
    bench.operate(OperationKind::Read, "/3/0/0");
    assert_eq!(bench.sent().len(), 1, "a Send is a sign of life too");
    bench.answer(content("Zephyr"));
    bench.wait(seconds(90));
    bench.operate(OperationKind::Read, "/3/0/1");
    assert_eq!(bench.sent().len(), 2, "and so is an answer");
}

#[test]
fn the_window_of_a_request_on_its_way_moves_with_the_messages_of_the_device() {
    let mut bench = sleeper();
    bench.operate(OperationKind::Read, "/3/0/0");
    bench.wait(seconds(60));
    let send = bench.send_temperature(20.5);
    bench.feed(send);
    let expected = bench.now.instant + bench.settings.awake;
    let moved = bench.actions().find_map(|action| match action {
        Action::SetWindow(_, window) => *window,
        _ => None,
    });
    assert_eq!(moved.expect("it is moved").until, expected);
}

#[test]
fn two_silences_teach_when_the_device_falls_asleep() {
    let mut bench = sleeper();
    stay_silent(&mut bench, seconds(40));
    stay_silent(&mut bench, seconds(25));
    bench.wait(seconds(24));
    assert!(matches!(
        bench.session.listens(bench.now, &bench.settings),
        Listening::Until(_)
    ));
    bench.wait(seconds(2));
    let before = bench.sent().len();
    bench.operate(OperationKind::Read, "/3/0/0");
    assert_eq!(bench.sent().len(), before, "it is taken to be asleep");
    let learned = bench
        .changes()
        .into_iter()
        .rev()
        .find_map(|change| match change {
            Change::Learned { learned, .. } => Some(learned.clone()),
            _ => None,
        });
    let window = learned.expect("it is stored").awake;
    assert_eq!(window.map(|window| window.ms), Some(25_000));
}

#[test]
fn what_is_learnt_is_forgotten_in_time_and_can_be_switched_off() {
    let mut bench = sleeper();
    bench.session.learned.awake = Some(LearntWindow {
        ms: 5_000,
        at: bench.now.wall,
    });
    bench.wait(seconds(6));
    let listens = |bench: &Bench| bench.session.listens(bench.now, &bench.settings);
    let open = Listening::Until(bench.now.instant + bench.settings.awake - seconds(6));
    assert_ne!(listens(&bench), open);
    bench.settings.learn_awake = false;
    assert_eq!(listens(&bench), open);
    bench.settings.learn_awake = true;
    bench.settings.relearn_after = seconds(6);
    assert_eq!(listens(&bench), open);
}

#[test]
fn the_window_of_its_profile_counts_more_than_everything_else() {
    let mut bench = sleeper();
    bench.session.profile.awake = Some(seconds(20));
    bench.wait(seconds(21));
    bench.operate(OperationKind::Read, "/3/0/0");
    assert!(bench.sent().is_empty());
    wake(&mut bench);
    let window = bench.sent().pop().expect("a request").1.window;
    let window = window.expect("a window");
    assert_eq!(window.until, bench.now.instant + seconds(20));
    assert_eq!(window.length, seconds(20));
}

#[test]
fn a_device_that_listens_for_one_message_only_gets_one_each_time() {
    let mut bench = sleeper();
    bench.wait(seconds(1000));
    let waiting: Vec<_> = (0..4)
        .map(|resource| bench.operate(OperationKind::Read, &format!("/3/0/{resource}")))
        .collect();
    for (round, operation) in waiting.iter().enumerate() {
        wake(&mut bench);
        bench.answer(content("x"));
        let stored = bench.stored(operation.id);
        assert_eq!(stored.status, OperationStatus::Confirmed);
        if round + 1 < waiting.len() {
            // The next one went out and met a device that sleeps again.
            bench.fail(ExchangeFailure::WindowClosed);
            let next = bench.stored(waiting[round + 1].id);
            assert_eq!((next.status, next.attempts), (OperationStatus::Queued, 0));
            let sent = bench.sent().len();
            bench.feed(Input::Pump);
            assert_eq!(bench.sent().len(), sent, "no other one follows");
        }
        bench.wait(seconds(3600));
    }
}

#[test]
fn ten_thousand_operations_for_a_device_that_never_wakes_are_bounded_and_expire_honestly() {
    let mut bench = sleeper();
    bench.wait(seconds(100));
    let limit = bench.settings.max_operations;
    assert_eq!(limit, 10_000);
    for number in 0..=limit as u64 {
        let mut new = new_operation(OperationKind::Read, "/3/0/0");
        // A thousand expire at each of ten moments.
        new.expires_in = Some(seconds(60 + number % 10));
        bench.feed(Input::Operate {
            operation: Box::new(new),
            ticket: Ticket(number),
        });
    }
    let last = Ticket(limit as u64);
    assert!(bench.actions().any(|action| matches!(
        action,
        Action::Refused(ticket, _) if *ticket == last
    )));
    assert!(bench.sent().is_empty());
    let mut expired = 0;
    for round in 0..10 {
        let due = bench.session.next_deadline(bench.now).expect("a deadline");
        assert_eq!(
            due - bench.now.instant,
            seconds(if round == 0 { 60 } else { 1 })
        );
        bench.wait(due - bench.now.instant);
        bench.done.clear();
        bench.feed(Input::Tick);
        for change in bench.changes() {
            if let Change::SaveOperation(operation) = change {
                assert_eq!(operation.status, OperationStatus::Expired);
                let error = operation.error.as_deref().expect("a reason");
                assert!(
                    error.contains("before the device could be reached"),
                    "{error}"
                );
                assert_eq!(operation.attempts, 0);
                expired += 1;
            }
        }
    }
    assert_eq!(expired, limit);
    assert_eq!(bench.session.queue.len(), 0);
}

#[test]
fn its_rhythm_is_learnt_and_survives_a_new_registration() {
    let mut bench = sleeper();
    for _ in 0..4 {
        bench.wait(seconds(900));
        wake(&mut bench);
    }
    let register = bench.register("ep=thing&lwm2m=1.1&lt=86400&Q", "</3/0>");
    bench.feed(register);
    bench.wait(seconds(300));
    let until = bench.now.wall.plus(seconds(80_000));
    let next = bench.session.learned.next_wake(bench.now.wall, until);
    assert_eq!(next.basis, WakeBasis::Rhythm);
    assert_eq!(next.at, bench.now.wall.plus(seconds(600)));
}

#[test]
fn a_device_with_edrx_is_asked_at_any_time_and_patiently() {
    let mut bench = sleeper();
    bench.session.profile.edrx_cycle = Some(seconds(82));
    bench.wait(seconds(5000));
    let operation = bench.operate(OperationKind::Read, "/3/0/0");
    let request = bench.sent().pop().expect("a request").1;
    assert_eq!(request.window, None);
    assert_eq!(
        request.patience,
        Some(Patience {
            first_timeout: seconds(84),
            max_retransmit: 1
        })
    );
    assert_eq!(
        bench.session.listens(bench.now, &bench.settings),
        Listening::Always
    );
    bench.fail(ExchangeFailure::NotAcknowledged);
    assert_eq!(bench.stored(operation.id).attempts, 1);
    assert_eq!(bench.sent().len(), 1, "not at once again");
    let due = bench.session.next_deadline(bench.now).expect("a deadline");
    assert_eq!(due, bench.now.instant + seconds(82));
    bench.wait(seconds(82));
    bench.feed(Input::Tick);
    assert_eq!(bench.sent().len(), 2, "but after a cycle");
}

#[test]
fn an_execute_that_may_be_repeated_is_tried_again() {
    let mut bench = sleeper();
    let mut new = new_operation(OperationKind::Execute, "/3/0/4");
    new.request.repeat = true;
    bench.feed(Input::Operate {
        operation: Box::new(new),
        ticket: Ticket(1),
    });
    bench.fail(ExchangeFailure::NotAcknowledged);
    assert_eq!(
        bench.operations(),
        [(OperationKind::Execute, OperationStatus::Queued)]
    );
}
