//! What an outside gateway tells of a device, and what it does not change.

use super::super::{Action, Input, Ticket};
use super::bench::{Bench, Done};
use crate::domain::{GatewayReport, GatewayState, Node, Path, RegistrationEvent, Timestamp, Value};
use crate::store::Change;

fn at(seconds: i64) -> Timestamp {
    Timestamp::clamped_from_millis(1_700_000_000_000 + seconds * 1000)
}

fn event(resource: u16, seconds: i64) -> Node {
    Node {
        path: Path::resource(10_240, 0, resource),
        value: Value::Time(1_700_000_000 + seconds),
        time: Some(at(seconds)),
    }
}

fn report(nodes: Vec<Node>, composite: bool) -> Input {
    Input::Report {
        report: Box::new(GatewayReport { nodes, composite }),
        ticket: Ticket(1),
    }
}

fn temperature(value: f64) -> Node {
    Node::new(Path::resource(3303, 0, 5700), Value::Float(value))
}

/// What was written of the gateway last.
fn written(bench: &Bench) -> GatewayState {
    let changes = bench.done.iter().filter_map(|done| match done {
        Done::Committed(changes) => Some(changes),
        Done::Acted(_) => None,
    });
    let state = changes.flatten().rev().find_map(|change| match change {
        Change::Gateway { state, .. } => Some((**state).clone()),
        _ => None,
    });
    state.expect("a change about the gateway")
}

#[test]
fn everything_is_in_one_commit_behind_the_device_s_row_and_answered_after_it() {
    let mut bench = Bench::new();
    bench.feed(report(vec![event(0, 0), temperature(21.5)], true));
    let [
        Done::Committed(changes),
        Done::Acted(Action::Reported(Ticket(1))),
    ] = &bench.done[..]
    else {
        panic!("{:?}", bench.done)
    };
    assert!(matches!(changes[0], Change::Gateway { .. }), "{changes:?}");
    assert!(matches!(changes[1], Change::Seen { .. }));
    let kinds: Vec<&str> = changes[2..]
        .iter()
        .map(|change| match change {
            Change::Event { event_type, .. } => event_type.as_str(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(kinds, ["3303", "10240"]);
    assert!(!bench.session.is_needed(), "nothing keeps the actor");
}

#[test]
fn a_store_that_fails_is_told_to_who_reports() {
    let mut bench = Bench::new();
    bench.feed_and_fail(report(vec![temperature(21.5)], false));
    assert!(matches!(
        bench.done[..],
        [Done::Acted(Action::NotReported(Ticket(1)))]
    ));
}

#[test]
fn what_was_known_before_decides_on_what_comes_late() {
    let mut bench = Bench::new();
    let mut before = GatewayState::default();
    before.note(RegistrationEvent::Registered, at(60));
    assert!(!bench.session.knows_gateway());
    bench.session.recall_gateway(before.clone());
    assert!(bench.session.knows_gateway());
    bench.feed(report(vec![event(1, 0)], false));
    assert_eq!(written(&bench).registered_since(), Some(at(60)));
    bench.feed(report(vec![event(1, 60)], false));
    assert_eq!(written(&bench).registered_since(), None);
    // What is known is not overwritten by what is read once more.
    bench.session.recall_gateway(before);
    bench.feed(report(vec![temperature(1.0)], false));
    assert_eq!(written(&bench).registered_since(), None);
}

#[test]
fn a_device_that_is_registered_here_is_not_heard_by_what_a_gateway_says() {
    let mut bench = Bench::new();
    let register = bench.register("ep=thing&lwm2m=1.1&lt=300&b=UQ", "</3303/0>");
    bench.feed(register);
    bench.done.clear();
    bench.wait(std::time::Duration::from_secs(200));
    let awake = bench.session.awake_until(bench.now, &bench.settings);
    bench.feed(report(vec![event(1, 0), temperature(21.5)], false));
    assert_eq!(bench.session.awake_until(bench.now, &bench.settings), awake);
    let Done::Committed(changes) = &bench.done[0] else {
        panic!("{:?}", bench.done)
    };
    let seen = changes
        .iter()
        .any(|change| matches!(change, Change::Seen { .. }));
    assert!(!seen, "{changes:?}");
    assert!(bench.session.is_needed(), "its registration stands");
    assert_eq!(bench.done.len(), 2, "nothing is sent: {:?}", bench.done);
}

#[test]
fn warnings_without_a_registration_are_kept_with_the_gateway_and_bounded() {
    let mut bench = Bench::new();
    for instance in 0..200 {
        let path = Path::resource(3303, instance, 5700);
        let wrong = Node::new(path, Value::String("warm".to_owned()));
        bench.feed(report(vec![wrong.clone()], false));
        bench.feed(report(vec![wrong], false));
    }
    let warnings = written(&bench).warnings;
    assert_eq!(warnings.len(), 50);
    assert_eq!(warnings[0].code, "wrong_type");
}
