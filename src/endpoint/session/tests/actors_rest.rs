//! A session that is thrown away and made anew goes on as if nothing had been.

use std::time::Duration;

use super::super::Input;
use super::bench::{Bench, content};
use super::wishes::{Willing, attributes, edited, observe};
use crate::coap::ExchangeFailure;
use crate::domain::{OperationKind, OperationStatus, WantedState};
use crate::endpoint::Listening;
use crate::store::Change;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A device that listens at any time.
fn awake() -> Bench {
    let mut bench = Bench::new();
    let register = bench.register("ep=thing&lwm2m=1.1&lt=86400", "</3/0>,</3303/0>");
    bench.feed(register);
    bench
}

fn sleeper() -> Bench {
    let mut bench = Bench::new();
    let register = bench.register("ep=thing&lwm2m=1.1&lt=86400&Q", "</3/0>,</3303/0>");
    bench.feed(register);
    bench
}

#[test]
fn it_is_as_it_was_before() {
    let mut bench = awake();
    let token = bench.observe();
    // Counted for one run of it alone.
    bench.session.attempts = 0;
    let before = format!("{:#?}", bench.session);
    assert!(bench.rest());
    assert_eq!(format!("{:#?}", bench.session), before);
    assert_eq!(bench.session.tokens().collect::<Vec<_>>(), [token]);
}

#[test]
fn what_is_on_its_way_or_about_to_be_keeps_it() {
    let mut bench = awake();
    bench.operate(OperationKind::Read, "/3/0/0");
    assert!(!bench.rest(), "an answer is awaited");
    bench.answer(content("Zephyr"));
    assert!(bench.rest());
}

#[test]
fn it_expires_when_it_would_have() {
    let mut bench = awake();
    bench.wait(seconds(86_000));
    assert!(bench.rest());
    let deadline = bench.session.next_deadline(bench.now).expect("an expiry");
    let left = deadline.saturating_duration_since(bench.now.instant);
    assert_eq!(left, seconds(400));
    bench.wait(left);
    bench.feed(Input::Tick);
    let ended = |change: &&Change| matches!(change, Change::EndRegistration { .. });
    assert!(bench.changes().iter().any(ended));
}

#[test]
fn a_clock_that_is_set_does_not_end_a_registration_early() {
    let mut bench = awake();
    // As at every other time: what counts is the clock that never jumps.
    bench.now.wall = bench.now.wall.plus(seconds(100_000));
    assert!(bench.rest());
    bench.feed(Input::Tick);
    let ended = |change: &&Change| matches!(change, Change::EndRegistration { .. });
    assert!(!bench.changes().iter().any(ended));
}

#[test]
fn what_waits_for_a_sleeping_device_goes_out_when_it_wakes() {
    let mut bench = sleeper();
    bench.wait(seconds(100));
    let operation = bench.operate(OperationKind::Read, "/3/0/0");
    assert!(bench.rest());
    assert!(bench.sent().is_empty(), "it sleeps");
    let update = bench.update("");
    bench.feed(update);
    assert_eq!(bench.sent().len(), 1);
    bench.answer(content("Zephyr"));
    let status = bench.stored(operation.id).status;
    assert_eq!(status, OperationStatus::Confirmed);
}

#[test]
fn an_operation_that_waits_expires_in_time() {
    let mut bench = sleeper();
    bench.wait(seconds(100));
    let operation = bench.operate(OperationKind::Read, "/3/0/0");
    let expires = operation.expires_at.expect("by default");
    assert!(bench.rest());
    let left = expires.since(bench.now.wall);
    let update = bench.update("lt=864000");
    bench.wait(seconds(50_000));
    bench.feed(update);
    bench.fail(ExchangeFailure::WindowClosed);
    bench.wait(left);
    assert!(bench.rest());
    bench.feed(Input::Tick);
    let status = bench.stored(operation.id).status;
    assert_eq!(status, OperationStatus::Expired);
}

#[test]
fn a_device_that_still_listens_is_known_to() {
    let mut bench = sleeper();
    bench.wait(seconds(50));
    let listens = bench.session.listens(bench.now, &bench.settings);
    assert!(matches!(listens, Listening::Until(_)));
    assert!(bench.rest());
    assert_eq!(bench.session.listens(bench.now, &bench.settings), listens);
    bench.operate(OperationKind::Read, "/3/0/0");
    assert_eq!(bench.sent().len(), 1);
}

#[test]
fn its_rhythm_is_learnt_all_the_same() {
    let mut bench = sleeper();
    for _ in 0..3 {
        bench.wait(seconds(3_600));
        assert!(bench.rest());
        let update = bench.update("");
        bench.feed(update);
    }
    assert_eq!(bench.session.learned.intervals_s, [3_600; 3]);
}

#[test]
fn a_silent_device_is_not_asked_before_it_is_heard_of() {
    let mut bench = awake();
    let operation = bench.operate(OperationKind::Read, "/3/0/0");
    bench.fail(ExchangeFailure::NotAcknowledged);
    let sent = bench.sent().len();
    assert!(bench.rest(), "it waits, and may do so on disk");
    bench.feed(Input::Pump);
    assert_eq!(bench.sent().len(), sent);
    let update = bench.update("");
    bench.feed(update);
    assert_eq!(bench.sent().len(), sent + 1);
    bench.answer(content("Zephyr"));
    let status = bench.stored(operation.id).status;
    assert_eq!(status, OperationStatus::Confirmed);
}

#[test]
fn no_message_id_is_used_twice_and_few_are_lost() {
    let mut bench = awake();
    let mut ids = Vec::new();
    for _ in 0..20 {
        bench.operate(OperationKind::Read, "/3/0/0");
        let (_, request) = bench.sent().pop().expect("a request");
        let lease = request.message_ids.expect("ids of its own");
        ids.push(lease.next);
        bench.answer(content("Zephyr"));
        assert!(bench.rest());
    }
    let mut once = ids.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(once.len(), ids.len(), "{ids:?}");
}

#[test]
fn silence_is_counted_from_the_last_notification_and_not_from_the_rest() {
    let mut bench = Bench::new();
    bench.templates = vec![edited(&observe(1, "/3303/0/5700"), |template| {
        template.attributes = attributes(&[("pmax", "600")]);
    })];
    let register = bench.register("ep=thing&lwm2m=1.1&lt=86400", "</3303/0>");
    bench.feed(register);
    let mut device = Willing::default();
    device.answer_all(&mut bench);
    assert_eq!(bench.stands(), WantedState::Active);
    let deadline = bench.session.next_deadline(bench.now).expect("a deadline");
    for _ in 0..3 {
        bench.wait(seconds(400));
        assert!(bench.rest());
        assert_eq!(bench.session.next_deadline(bench.now), Some(deadline));
    }
    // 2 × 600 s and 30 s of grace.
    bench.wait(seconds(30));
    bench.feed(Input::Tick);
    assert_eq!(bench.stands(), WantedState::Lost);
}

#[test]
fn the_templates_of_the_time_after_take_effect() {
    let mut bench = awake();
    assert!(bench.rest());
    bench.tell(vec![observe(1, "/3303/0/5700")]);
    assert_eq!(bench.asked(), ["GET /3303/0/5700 observe=0"]);
}
