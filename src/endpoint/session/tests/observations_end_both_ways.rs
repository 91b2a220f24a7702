//! What people asked for stays wanted until they end it, actively or passively.

use std::time::Duration;

use super::super::{Action, Input};
use super::bench::{Bench, Done, path};
use super::wishes::{Willing, edited, observe};
use crate::coap::{Code, ExchangeFailure};
use crate::domain::{
    Operation, OperationKind, OperationRequest, OperationStatus, Token, WantedState,
};
use crate::store::Change;

const LINKS: &str = "</3/0>,</3303/0>,</3304/0>";
const QUERY: &str = "ep=thing&lwm2m=1.1&lt=86400";

fn registered(query: &str) -> (Bench, Willing) {
    let mut bench = Bench::new();
    let register = bench.register(query, LINKS);
    bench.feed(register);
    (bench, Willing::default())
}

fn request(kind: OperationKind, paths: &[&str]) -> OperationRequest {
    OperationRequest::new(kind, paths.iter().map(|text| path(text)).collect())
}

fn passive(kind: OperationKind, paths: &[&str]) -> OperationRequest {
    OperationRequest {
        passive: true,
        ..request(kind, paths)
    }
}

/// The newest stored state of the newest operation.
fn newest(bench: &Bench) -> Operation {
    let ids = bench
        .changes()
        .into_iter()
        .filter_map(|change| match change {
            Change::SaveOperation(operation) => Some(operation.id),
            _ => None,
        });
    bench.stored(ids.max().expect("an operation"))
}

/// The device notifies: is it told that nobody wants that?
fn is_rejected(bench: &mut Bench, token: Token) -> bool {
    let before = bench.done.len();
    let notification = bench.notification(token, 9, "21.0");
    bench.feed(notification);
    bench
        .done
        .iter()
        .skip(before)
        .any(|done| matches!(done, Done::Acted(Action::Reject(key)) if key.token == token))
}

#[test]
fn what_somebody_observes_is_observed_again_after_a_new_registration() {
    let (mut bench, mut device) = registered(QUERY);
    bench.want(request(OperationKind::Observe, &["/3303/0/5700"]));
    device.answer_all(&mut bench);
    assert_eq!(bench.stands(), WantedState::Active);
    device.register(&mut bench, QUERY, LINKS);
    assert_eq!(bench.stands(), WantedState::Requested);
    device.answer_all(&mut bench);
    assert_eq!(device.observes.len(), 1);

    // Also after it was gone for a while, and the server too.
    let deregister = bench.deregister();
    bench.feed(deregister);
    assert_eq!(bench.stands(), WantedState::Missing);
    bench.restart();
    device.register(&mut bench, QUERY, LINKS);
    device.answer_all(&mut bench);
    assert_eq!(bench.stands(), WantedState::Active);
    assert_eq!(bench.wanted()[0].user.as_deref(), Some("ada"));
}

#[test]
fn what_the_device_refuses_somebody_is_not_wanted() {
    let (mut bench, _) = registered(QUERY);
    bench.want(request(OperationKind::Observe, &["/3303/0/5700"]));
    bench.refuse(Code::METHOD_NOT_ALLOWED);
    assert!(bench.wanted().is_empty());
}

#[test]
fn an_active_cancel_ends_it_for_good() {
    let (mut bench, mut device) = registered(QUERY);
    bench.want(request(OperationKind::Observe, &["/3303/0/5700"]));
    device.answer_all(&mut bench);
    bench.want(request(OperationKind::CancelObserve, &["/3303/0/5700"]));
    assert_eq!(
        bench.stands(),
        WantedState::Active,
        "not before the device knows"
    );
    device.answer_all(&mut bench);
    assert!(bench.wanted().is_empty() && device.observes.is_empty());
    device.register(&mut bench, QUERY, LINKS);
    device.answer_all(&mut bench);
    assert!(device.observes.is_empty());
}

#[test]
fn a_passive_cancel_says_nothing_and_the_next_notification_is_reset() {
    let (mut bench, mut device) = registered(QUERY);
    bench.want(request(OperationKind::Observe, &["/3303/0/5700"]));
    device.answer_all(&mut bench);
    let token = bench.observations()[0].token;
    bench.want(passive(OperationKind::CancelObserve, &["/3303/0/5700"]));
    let operation = newest(&bench);
    assert_eq!(operation.status, OperationStatus::Confirmed);
    let result = operation.result.expect("a result");
    assert_eq!(result.code, "0.00");
    assert!(result.note.expect("a note").contains("Reset"));
    assert_eq!(bench.asked().len(), 1, "nothing was sent");
    assert!(bench.observations().is_empty() && bench.wanted().is_empty());
    assert!(
        bench
            .actions()
            .any(|action| matches!(action, Action::Unwatch(gone) if *gone == token))
    );
    assert!(is_rejected(&mut bench, token));
    // The observation, the wish and the operation went in one commit.
    let together = bench.done.iter().any(|done| {
        matches!(done, Done::Committed(changes)
            if changes.iter().any(|change| matches!(change, Change::RemoveObservation { .. }))
            && changes.iter().any(|change| matches!(change, Change::RemoveWanted { .. }))
            && changes.iter().any(|change| matches!(change, Change::SaveOperation(stored)
                if stored.status == OperationStatus::Confirmed)))
    });
    assert!(together);
}

#[test]
fn a_composite_is_cancelled_passively_while_the_device_sleeps() {
    let (mut bench, mut device) = registered("ep=thing&lwm2m=1.1&lt=86400&Q");
    let paths = ["/3/0", "/3303/0/5700"];
    bench.want(request(OperationKind::ObserveComposite, &paths));
    device.answer_all(&mut bench);
    bench.wait(Duration::from_secs(1_000));
    let token = bench.observations()[0].token;
    // The order of the paths says nothing.
    let paths = ["/3303/0/5700", "/3/0"];
    bench.want(passive(OperationKind::CancelObserveComposite, &paths));
    assert_eq!(newest(&bench).status, OperationStatus::Confirmed);
    assert!(is_rejected(&mut bench, token));
}

#[test]
fn what_is_not_observed_cannot_be_cancelled() {
    let (mut bench, _) = registered(QUERY);
    bench.want(passive(OperationKind::CancelObserve, &["/3303/0/5700"]));
    let operation = newest(&bench);
    assert_eq!(operation.status, OperationStatus::Failed);
    assert_eq!(operation.error.as_deref(), Some("this is not observed"));
    bench.want(request(OperationKind::CancelObserve, &["/3303/0/5700"]));
    assert_eq!(newest(&bench).status, OperationStatus::Failed);
    assert!(bench.asked().is_empty());
}

#[test]
fn a_passive_cancel_overtakes_a_request_that_waits_or_is_on_its_way() {
    let (mut bench, mut device) = registered(QUERY);
    // One that keeps the line busy, so that the second waits.
    bench.want(request(OperationKind::Observe, &["/3304/0/5700"]));
    bench.want(request(OperationKind::Observe, &["/3303/0/5700"]));
    bench.tell(vec![observe(1, "/3303/0/5700")]);
    bench.want(passive(OperationKind::CancelObserve, &["/3303/0/5700"]));
    device.answer_all(&mut bench);
    assert_eq!(bench.asked(), ["GET /3304/0/5700 observe=0"]);

    // And one on its way: its answer makes no observation.
    bench.want(request(OperationKind::Observe, &["/3303/0/5700"]));
    let token = bench.sent().pop().expect("a request").1.token;
    bench.want(passive(OperationKind::CancelObserve, &["/3303/0/5700"]));
    device.answer_all(&mut bench);
    assert!(is_rejected(&mut bench, token));
    let wanted = bench.wanted();
    assert!(
        wanted
            .iter()
            .all(|wanted| !wanted.is(false, &[path("/3303/0/5700")]) || !wanted.is_wanted())
    );
}

#[test]
fn a_cancel_of_what_a_template_wants_holds_until_the_template_changes() {
    for is_passive in [false, true] {
        let template = observe(1, "/3303/0/5700");
        let (mut bench, mut device) = registered(QUERY);
        bench.tell(vec![template.clone()]);
        device.answer_all(&mut bench);
        bench.want(OperationRequest {
            passive: is_passive,
            ..request(OperationKind::CancelObserve, &["/3303/0/5700"])
        });
        device.answer_all(&mut bench);
        let wanted = bench.wanted().remove(0);
        assert!(!wanted.is_wanted());
        assert_eq!(wanted.cancelled_by.as_deref(), Some("ada"));
        let asked = bench.asked().len();
        bench.tell(vec![template.clone(), observe(2, "/5/0/3")]);
        let update = bench.update_links(LINKS);
        bench.feed(update);
        bench.restart();
        bench.tell(bench.templates.clone());
        assert_eq!(
            bench.asked().len(),
            asked,
            "another template changes nothing"
        );
        bench.tell(vec![edited(&template, |_| {})]);
        device.answer_all(&mut bench);
        assert_eq!(bench.stands(), WantedState::Active);
    }
}

#[test]
fn a_cancel_of_what_a_template_wants_holds_until_the_device_registers_again() {
    let (mut bench, mut device) = registered(QUERY);
    bench.tell(vec![observe(1, "/3303/0/5700")]);
    device.answer_all(&mut bench);
    bench.want(request(OperationKind::CancelObserve, &["/3303/0/5700"]));
    device.answer_all(&mut bench);
    assert!(device.observes.is_empty());
    device.register(&mut bench, QUERY, LINKS);
    device.answer_all(&mut bench);
    assert_eq!(bench.stands(), WantedState::Active);
}

#[test]
fn who_observes_again_what_was_cancelled_wants_it() {
    let (mut bench, mut device) = registered(QUERY);
    bench.tell(vec![observe(1, "/3303/0/5700")]);
    device.answer_all(&mut bench);
    bench.want(request(OperationKind::CancelObserve, &["/3303/0/5700"]));
    device.answer_all(&mut bench);
    bench.want(request(OperationKind::Observe, &["/3303/0/5700"]));
    device.answer_all(&mut bench);
    let wanted = bench.wanted().remove(0);
    assert!(wanted.is_wanted() && wanted.cancelled_by.is_none());
}

#[test]
fn b6_observing_the_same_path_twice_takes_the_place_of_the_first() {
    let (mut bench, mut device) = registered(QUERY);
    for _ in 0..2 {
        bench.want(request(OperationKind::Observe, &["/3303/0/5700"]));
        device.answer_all(&mut bench);
    }
    let tokens: Vec<Token> = bench.sent().iter().map(|(_, sent)| sent.token).collect();
    assert_eq!(tokens[0], tokens[1], "RFC 7641 section 3.6");
    assert_eq!((bench.observations().len(), device.observes.len()), (1, 1));
    // A composite of one path is another observation.
    bench.want(request(OperationKind::ObserveComposite, &["/3303/0/5700"]));
    device.answer_all(&mut bench);
    assert_eq!(bench.observations().len(), 2);
    bench.want(request(
        OperationKind::CancelObserveComposite,
        &["/3303/0/5700"],
    ));
    device.answer_all(&mut bench);
    assert_eq!(bench.stands(), WantedState::Active);
    assert_eq!(bench.observations()[0].token, tokens[0]);
}

#[test]
fn a15_an_observe_whose_registration_ended_leaves_nothing_in_the_store() {
    let (mut bench, mut device) = registered(QUERY);
    bench.want(request(OperationKind::Observe, &["/3303/0/5700"]));
    assert_eq!(bench.on_disk().observations.len(), 1, "asked for");
    let deregister = bench.deregister();
    bench.feed(deregister);
    let stored = bench.on_disk();
    assert!(stored.observations.is_empty() && stored.registration.is_none());
    assert!(bench.wanted().is_empty());
    assert_eq!(
        newest(&bench).status,
        OperationStatus::Queued,
        "it waits again"
    );
    // A late answer or notification finds nobody.
    let token = bench.sent().pop().expect("a request").1.token;
    assert!(is_rejected(&mut bench, token));
    assert!(bench.on_disk().observations.is_empty());
    // With the next registration it has its turn.
    device.register(&mut bench, QUERY, LINKS);
    device.answer_all(&mut bench);
    assert_eq!(newest(&bench).status, OperationStatus::Confirmed);
    assert_eq!(bench.stands(), WantedState::Active);
}

#[test]
fn a15_the_third_registration_that_ends_an_observe_fails_it() {
    let (mut bench, mut device) = registered(QUERY);
    bench.want(request(OperationKind::Observe, &["/3303/0/5700"]));
    for _ in 0..3 {
        device.register(&mut bench, QUERY, LINKS);
    }
    let operation = newest(&bench);
    assert_eq!(operation.status, OperationStatus::Failed);
    assert!(operation.error.expect("why").contains("registered again"));
    assert!(bench.on_disk().observations.is_empty() && bench.wanted().is_empty());
}

#[test]
fn a_cancel_that_waits_is_done_by_a_new_registration() {
    let (mut bench, mut device) = registered("ep=thing&lwm2m=1.1&lt=86400&Q");
    bench.want(request(OperationKind::Observe, &["/3303/0/5700"]));
    device.answer_all(&mut bench);
    bench.wait(Duration::from_secs(1_000));
    bench.want(request(OperationKind::CancelObserve, &["/3303/0/5700"]));
    assert_eq!(
        newest(&bench).status,
        OperationStatus::Queued,
        "the device sleeps"
    );
    device.register(&mut bench, "ep=thing&lwm2m=1.1&lt=86400&Q", LINKS);
    device.answer_all(&mut bench);
    let operation = newest(&bench);
    assert_eq!(operation.status, OperationStatus::Confirmed);
    assert!(operation.result.and_then(|result| result.note).is_some());
    assert!(device.observes.is_empty() && bench.wanted().is_empty());
}

#[test]
fn what_cannot_be_cancelled_is_left_to_a_reset() {
    let template = observe(1, "/3303/0/5700");
    let (mut bench, mut device) = registered(QUERY);
    bench.tell(vec![template]);
    device.answer_all(&mut bench);
    let token = bench.observations()[0].token;
    bench.tell(Vec::new());
    for _ in 0..3 {
        bench.fail(ExchangeFailure::NotAcknowledged);
        let update = bench.update("");
        bench.feed(update);
    }
    assert!(bench.observations().is_empty(), "three attempts are enough");
    assert!(is_rejected(&mut bench, token));
    let asked = bench.asked().len();
    bench.wait(Duration::from_secs(10_000));
    bench.feed(Input::Tick);
    assert_eq!(bench.asked().len(), asked);
}

#[test]
fn a_cancel_that_is_never_answered_leaves_the_observation_as_it_is() {
    let (mut bench, mut device) = registered(QUERY);
    bench.want(request(OperationKind::Observe, &["/3303/0/5700"]));
    device.answer_all(&mut bench);
    bench.want(request(OperationKind::CancelObserve, &["/3303/0/5700"]));
    for _ in 0..3 {
        bench.fail(ExchangeFailure::NotAcknowledged);
        let update = bench.update("");
        bench.feed(update);
    }
    assert_eq!(newest(&bench).status, OperationStatus::Failed);
    assert_eq!(bench.stands(), WantedState::Active);
    assert_eq!(bench.observations().len(), 1);
}
