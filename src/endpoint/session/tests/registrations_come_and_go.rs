//! Register, Update, Deregister and expiry.

use std::time::Duration;

use super::super::{Action, Input};
use super::bench::{Bench, Done, content, path};
use crate::coap::Code;
use crate::domain::{OperationKind, OperationStatus, Peer, Selection};
use crate::store::{Change, ObservationTemplate};

#[test]
fn a_register_is_answered_only_once_it_is_committed() {
    let mut bench = Bench::new();
    let register = bench.register("ep=thing&lwm2m=1.1&lt=300", "</3/0>");
    bench.feed(register);
    let committed = bench.done.iter().position(
        |done| matches!(done, Done::Committed(changes) if matches!(changes.first(), Some(Change::Register(_)))),
    );
    let answered = bench
        .done
        .iter()
        .position(|done| matches!(done, Done::Acted(Action::Respond(..))));
    assert!(committed.expect("a commit") < answered.expect("an answer"));
    assert_eq!(bench.answers(), [Code::CREATED]);
}

#[test]
fn a_register_that_cannot_be_stored_is_answered_with_5_03() {
    let mut bench = Bench::new();
    let register = bench.register("ep=thing&lwm2m=1.1&lt=300", "</3/0>");
    bench.feed_and_fail(register);
    assert_eq!(bench.answers(), [Code::SERVICE_UNAVAILABLE]);
}

#[test]
fn registration_events_are_resources_of_object_10240() {
    let mut bench = Bench::new();
    let register = bench.register("ep=thing&lwm2m=1.1&lt=300", "</3/0>");
    bench.feed(register);
    let update = bench.update("");
    bench.feed(update);
    let deregister = bench.deregister();
    bench.feed(deregister);
    let paths: Vec<String> = bench
        .changes()
        .into_iter()
        .filter_map(|change| match change {
            Change::Resources { nodes, .. } => Some(nodes[0].path.to_string()),
            _ => None,
        })
        .collect();
    assert_eq!(paths, ["/10240/0/0", "/10240/0/2", "/10240/0/1"]);
    assert_eq!(
        bench.answers(),
        [Code::CREATED, Code::CHANGED, Code::DELETED]
    );
    assert!(!bench.session.is_needed());
}

#[test]
fn b1_a_registration_ends_with_its_lifetime_and_an_update_renews_it() {
    let mut bench = Bench::new();
    let register = bench.register("ep=thing&lwm2m=1.1&lt=300", "</3/0>");
    bench.feed(register);
    bench.wait(Duration::from_secs(299));
    bench.feed(Input::Tick);
    assert!(bench.session.is_needed());
    let update = bench.update("");
    bench.feed(update);
    bench.wait(Duration::from_secs(299));
    bench.feed(Input::Tick);
    assert!(bench.session.is_needed());
    bench.wait(Duration::from_secs(2));
    bench.feed(Input::Tick);
    assert!(!bench.session.is_needed());
    assert!(
        bench
            .changes()
            .into_iter()
            .any(|change| matches!(change, Change::EndRegistration { .. }))
    );
}

#[test]
fn a12_an_update_of_another_location_is_answered_with_4_04() {
    let mut bench = Bench::new();
    let register = bench.register("ep=thing&lwm2m=1.1&lt=300", "</3/0>");
    bench.feed(register);
    let old = bench.update("");
    let again = bench.register("ep=thing&lwm2m=1.1&lt=300", "</3/0>");
    bench.feed(again);
    bench.feed(old);
    assert_eq!(
        bench.answers(),
        [Code::CREATED, Code::CREATED, Code::NOT_FOUND]
    );
}

#[test]
fn without_credentials_another_port_is_followed_and_another_address_is_not() {
    let mut bench = Bench::new();
    let register = bench.register("ep=thing&lwm2m=1.1&lt=300", "</3/0>");
    bench.feed(register);
    bench.peer = Peer::udp(([127, 0, 0, 1], 40_001).into());
    let moved = bench.update("");
    bench.feed(moved);
    bench.peer = Peer::udp(([127, 0, 0, 2], 40_001).into());
    let stranger = bench.update("");
    bench.feed(stranger);
    assert_eq!(
        bench.answers(),
        [Code::CREATED, Code::CHANGED, Code::NOT_FOUND]
    );
}

fn template(kind: OperationKind, paths: &[&str]) -> ObservationTemplate {
    ObservationTemplate {
        id: 1,
        paths: paths.iter().map(|text| path(text)).collect(),
        kind,
        selection: Selection::default(),
        attributes: Vec::new(),
        format: None,
        enabled: true,
        revision: 0,
    }
}

#[test]
fn templates_ask_for_what_is_announced() {
    let mut bench = Bench::new();
    bench.templates = vec![
        template(OperationKind::Read, &["/3"]),
        template(OperationKind::Observe, &["/3303/0/5700"]),
        template(OperationKind::Observe, &["/3304/0/5700"]),
        template(OperationKind::ObserveComposite, &["/10300"]),
    ];
    let register = bench.register("ep=thing&lwm2m=1.1&lt=300", "</3/0>,</3303/0>,</10300/0>");
    bench.feed(register);
    assert_eq!(
        pending(&bench),
        [
            OperationKind::Read,
            OperationKind::Observe,
            OperationKind::ObserveComposite
        ]
    );
}

#[test]
fn a_device_of_lwm2m_1_0_gets_a_plain_observe_in_place_of_a_composite() {
    let mut bench = Bench::new();
    bench.templates = vec![template(OperationKind::ObserveComposite, &["/10300"])];
    let register = bench.register("ep=thing&lwm2m=1.0&lt=300", "</3/0>,</10300/0>");
    bench.feed(register);
    assert_eq!(pending(&bench), [OperationKind::Observe]);
}

/// What is on its way, and what waits.
fn pending(bench: &Bench) -> Vec<OperationKind> {
    let pending = bench.session.pending();
    pending.map(|operation| operation.request.kind).collect()
}

#[test]
fn a4_registering_again_ends_the_exchange_but_not_the_operation() {
    let mut bench = Bench::new();
    let register = bench.register("ep=thing&lwm2m=1.1&lt=300", "</3/0>");
    bench.feed(register);
    let operation = bench.operate(OperationKind::Read, "/3/0/0");
    assert_eq!(bench.stored(operation.id).status, OperationStatus::Sending);
    let again = bench.register("ep=thing&lwm2m=1.1&lt=300", "</3/0>");
    bench.feed(again);
    assert!(
        bench
            .actions()
            .any(|action| matches!(action, Action::CancelExchange(_)))
    );
    // It went out again at once, as a new attempt.
    assert_eq!(bench.sent().len(), 2);
    bench.answer(content("Zephyr"));
    assert_eq!(
        bench.stored(operation.id).status,
        OperationStatus::Confirmed
    );
}
