//! A session made of what is stored goes on where the one before stopped.

use super::super::Action;
use super::bench::{Bench, content};
use crate::coap::ExchangeFailure;
use crate::domain::{OperationKind, OperationStatus, Value};
use crate::store::Change;

#[test]
fn a_notification_for_a_token_of_the_time_before_is_accepted() {
    let mut before = Bench::new();
    let token = before.observe();
    let mut after = Bench::restored(before.on_disk());
    assert!(
        after
            .actions()
            .any(|action| matches!(action, Action::Watch(watched) if *watched == token))
    );
    let notification = after.notification(token, 7, "23.5");
    after.feed(notification);
    let value = after.changes().into_iter().find_map(|change| match change {
        Change::Resources { nodes, .. } => Some(nodes[0].value.clone()),
        _ => None,
    });
    assert_eq!(value, Some(Value::Float(23.5)));
}

#[test]
fn a_copy_of_a_notification_of_the_time_before_is_not_stored_twice() {
    let mut before = Bench::new();
    let token = before.observe();
    let notification = before.notification(token, 2, "21.5");
    let super::super::Input::Notification { key, response, .. } = &notification else {
        panic!("a notification")
    };
    let copy = super::super::Input::Notification {
        key: *key,
        response: response.clone(),
        more: None,
    };
    before.feed(notification);
    let mut after = Bench::restored(before.on_disk());
    after.feed(copy);
    assert!(after.changes().is_empty());
    assert!(
        after
            .actions()
            .any(|action| matches!(action, Action::Acknowledge(_)))
    );
}

#[test]
fn an_answer_to_a_request_of_the_time_before_is_accepted() {
    let mut before = Bench::new();
    let register = before.register("ep=thing&lwm2m=1.1&lt=300", "</3/0>");
    before.feed(register);
    let operation = before.operate(OperationKind::Read, "/3/0/0");
    let token = before.sent().pop().expect("a request").1.token;
    let mut after = Bench::restored(before.on_disk());
    assert!(
        after.actions().any(
            |action| matches!(action, Action::Await { token: awaited, .. } if *awaited == token)
        )
    );
    assert!(after.sent().is_empty());
    let input = super::super::Input::Response {
        exchange: after.session.exchange().expect("an exchange"),
        response: content("Zephyr"),
        acknowledge: None,
        message_ids: None,
    };
    after.feed(input);
    assert_eq!(
        after.stored(operation.id).status,
        OperationStatus::Confirmed
    );
}

/// The answer may have come while the server was down; then the silence after it says nothing of the device, which waits
/// for nobody and would not be heard of for as long as its lifetime.
#[test]
fn a_request_whose_answer_came_while_the_server_was_down_is_made_again() {
    for failure in [
        ExchangeFailure::NotAcknowledged,
        ExchangeFailure::NotAnswered,
    ] {
        let mut before = Bench::new();
        let register = before.register("ep=thing&lwm2m=1.1&lt=300", "</3/0>");
        before.feed(register);
        let operation = before.operate(OperationKind::Read, "/3/0/0");
        let mut after = Bench::restored(before.on_disk());
        let input = super::super::Input::Failed {
            exchange: after.session.exchange().expect("an exchange"),
            failure,
            message_ids: None,
        };
        after.feed(input);
        assert_eq!(after.sent().len(), 1, "it is sent again");
        // Only the first time.
        after.fail(failure);
        assert_eq!(
            after.sent().len(),
            1,
            "and then the device has to be heard of"
        );
        assert_eq!(after.stored(operation.id).status, OperationStatus::Queued);
    }
}

#[test]
fn no_message_id_of_the_time_before_is_used_again() {
    let mut before = Bench::new();
    let register = before.register("ep=thing&lwm2m=1.1&lt=300", "</3/0>");
    before.feed(register);
    before.operate(OperationKind::Read, "/3/0/0");
    let used = before
        .sent()
        .pop()
        .expect("a request")
        .1
        .message_ids
        .expect("a lease");
    before.answer(content("Zephyr"));
    let mut after = Bench::restored(before.on_disk());
    after.operate(OperationKind::Read, "/3/0/0");
    let lease = after
        .sent()
        .pop()
        .expect("a request")
        .1
        .message_ids
        .expect("a lease");
    assert_eq!(lease.next, used.end);
}

#[test]
fn an_incomplete_notification_is_read_again() {
    let mut before = Bench::new();
    let token = before.observe();
    let mut stored = before.on_disk();
    for observation in &mut stored.observations {
        observation.staged = Some(b"first block".to_vec());
    }
    let after = Bench::restored(stored);
    let (_, request) = after.sent().pop().expect("a request");
    assert_ne!(request.token, token);
    assert_eq!(request.start_block2, None);
}
