//! Notifications: stored, then acknowledged; copies, strangers and stale ones told apart.

use std::time::Duration;

use super::super::{Action, Input};
use super::bench::{Bench, Done, path};
use crate::coap::{Code, FirstBlock, Response};
use crate::domain::{OperationKind, Peer, Token, Value};
use crate::store::Change;

fn values(bench: &Bench, at: &str) -> Vec<(Value, bool)> {
    let at = path(at);
    bench
        .changes()
        .into_iter()
        .filter_map(|change| match change {
            Change::Resources { nodes, stale, .. } => Some((nodes, *stale)),
            _ => None,
        })
        .flat_map(|(nodes, stale)| nodes.iter().map(move |node| (node, stale)))
        .filter(|(node, _)| node.path == at)
        .map(|(node, stale)| (node.value.clone(), stale))
        .collect()
}

#[test]
fn a_notification_is_acknowledged_only_once_its_value_is_committed() {
    let mut bench = Bench::new();
    let token = bench.observe();
    bench.done.clear();
    let notification = bench.notification(token, 2, "21.5");
    bench.feed(notification);
    assert_eq!(
        values(&bench, "/3303/0/5700"),
        [(Value::Float(21.5), false)]
    );
    let committed = bench
        .done
        .iter()
        .position(|done| matches!(done, Done::Committed(_)));
    let acknowledged = bench
        .done
        .iter()
        .position(|done| matches!(done, Done::Acted(Action::Acknowledge(_))));
    assert!(committed.expect("a commit") < acknowledged.expect("an acknowledgement"));
}

#[test]
fn a_notification_that_cannot_be_stored_meets_silence() {
    let mut bench = Bench::new();
    let token = bench.observe();
    let notification = bench.notification(token, 2, "21.5");
    bench.feed_and_fail(notification);
    assert!(
        bench
            .actions()
            .any(|action| matches!(action, Action::Ignore(_)))
    );
    assert!(
        !bench
            .actions()
            .any(|action| matches!(action, Action::Acknowledge(_)))
    );
}

#[test]
fn a_copy_is_acknowledged_again_and_stored_once() {
    let mut bench = Bench::new();
    let token = bench.observe();
    let notification = bench.notification(token, 2, "21.5");
    let Input::Notification { key, response, .. } = &notification else {
        panic!("a notification")
    };
    let copy = Input::Notification {
        key: *key,
        response: response.clone(),
        more: None,
    };
    bench.done.clear();
    bench.feed(notification);
    bench.feed(copy);
    assert_eq!(values(&bench, "/3303/0/5700").len(), 1);
    let acknowledged = bench
        .actions()
        .filter(|action| matches!(action, Action::Acknowledge(_)))
        .count();
    assert_eq!(acknowledged, 2);
}

#[test]
fn an_older_notification_goes_to_the_history_only() {
    let mut bench = Bench::new();
    let token = bench.observe();
    bench.done.clear();
    for (sequence, value) in [(5, "22"), (4, "21")] {
        let notification = bench.notification(token, sequence, value);
        bench.feed(notification);
    }
    assert_eq!(
        values(&bench, "/3303/0/5700"),
        [(Value::Float(22.0), false), (Value::Float(21.0), true)]
    );
    // After 128 seconds every number counts as new (RFC 7641 section 3.4).
    bench.wait(Duration::from_secs(129));
    bench.done.clear();
    let notification = bench.notification(token, 3, "23");
    bench.feed(notification);
    assert_eq!(
        values(&bench, "/3303/0/5700"),
        [(Value::Float(23.0), false)]
    );
}

#[test]
fn an_unknown_token_is_rejected() {
    let mut bench = Bench::new();
    bench.observe();
    let notification = bench.notification(Token::from([9; 8]), 2, "21.5");
    bench.feed(notification);
    assert!(
        bench
            .actions()
            .any(|action| matches!(action, Action::Reject(_)))
    );
}

#[test]
fn j1_a_notification_from_another_address_is_ignored_and_from_another_port_followed() {
    let mut bench = Bench::new();
    let token = bench.observe();
    bench.done.clear();
    bench.peer = Peer::udp(([127, 0, 0, 9], 40_000).into());
    let stranger = bench.notification(token, 2, "99");
    bench.feed(stranger);
    assert!(values(&bench, "/3303/0/5700").is_empty());
    bench.peer = Peer::udp(([127, 0, 0, 1], 40_777).into());
    let moved = bench.notification(token, 3, "22");
    bench.feed(moved);
    assert_eq!(values(&bench, "/3303/0/5700").len(), 1);
    assert!(
        bench
            .changes()
            .into_iter()
            .any(|change| matches!(change, Change::Moved { .. }))
    );
    bench.operate(OperationKind::Read, "/3/0/0");
    assert_eq!(bench.sent().pop().expect("a request").0, bench.peer);
}

#[test]
fn i3_a_notification_with_an_error_ends_the_observation() {
    let mut bench = Bench::new();
    let token = bench.observe();
    let notification = bench.notification(token, 2, "");
    let Input::Notification { key, .. } = notification else {
        panic!("a notification")
    };
    bench.feed(Input::Notification {
        key,
        response: Response::new(Code::NOT_FOUND),
        more: None,
    });
    assert!(
        bench
            .changes()
            .into_iter()
            .any(|change| matches!(change, Change::RemoveObservation { .. }))
    );
    let next = bench.notification(token, 3, "22");
    bench.feed(next);
    assert!(
        bench
            .actions()
            .any(|action| matches!(action, Action::Reject(_)))
    );
}

#[test]
fn the_first_block_of_a_large_notification_is_staged_and_the_rest_is_fetched() {
    let mut bench = Bench::new();
    let token = bench.observe();
    bench.done.clear();
    let notification = bench.notification(token, 2, "0123456789abcdef");
    let Input::Notification { key, response, .. } = notification else {
        panic!("a notification")
    };
    let more = Some(FirstBlock {
        size_exponent: 0,
        etag: Some(vec![1]),
        size: None,
    });
    bench.feed(Input::Notification {
        key,
        response,
        more,
    });
    let staged = bench.changes().into_iter().any(|change| {
        matches!(change, Change::SaveObservation(observation) if observation.staged.is_some())
    });
    assert!(
        staged,
        "the first block is on disk before it is acknowledged"
    );
    let (_, request) = bench.sent().pop().expect("a request for the rest");
    assert_eq!(request.request.options.observe(), None);
    assert_ne!(request.token, token);
    assert_eq!(
        request.start_block2,
        Some((1, b"0123456789abcdef".to_vec(), Some(vec![1])))
    );
    let mut whole = super::bench::content("21.25");
    whole.options.add(crate::coap::number::ETAG, &[1]);
    bench.answer(whole);
    assert_eq!(
        values(&bench, "/3303/0/5700"),
        [(Value::Float(21.25), false)]
    );
    let unstaged = bench
        .changes()
        .into_iter()
        .rev()
        .find_map(|change| match change {
            Change::SaveObservation(observation) => Some(observation.staged.is_none()),
            _ => None,
        });
    assert_eq!(unstaged, Some(true));
}

#[test]
fn the_notification_of_a_whole_object_becomes_an_event() {
    let mut bench = Bench::new();
    let register = bench.register("ep=thing&lwm2m=1.1&lt=300", "</10300/0>");
    bench.feed(register);
    bench.operate(OperationKind::Observe, "/10300");
    let token = bench.sent().pop().expect("a request").1.token;
    let senml = br#"[{"bn":"/10300/0/","n":"0","v":1},{"n":"1","v":21.5}]"#;
    let mut response = Response::new(Code::CONTENT);
    response
        .options
        .add_uint(crate::coap::number::CONTENT_FORMAT, 110);
    response.options.add_uint(crate::coap::number::OBSERVE, 1);
    response.payload = senml.to_vec();
    bench.answer(response.clone());
    let notification = bench.notification(token, 2, "");
    let Input::Notification { key, .. } = notification else {
        panic!("a notification")
    };
    bench.feed(Input::Notification {
        key,
        response,
        more: None,
    });
    let event = bench.changes().into_iter().find_map(|change| match change {
        Change::Event {
            event_type, nodes, ..
        } => Some((event_type.clone(), nodes.len())),
        _ => None,
    });
    assert_eq!(event, Some(("10300".to_owned(), 2)), "{:#?}", bench.done);
}
