//! A device that refuses a content format is asked in the next one, and the first is not tried again.

use super::super::Input;
use super::bench::{Bench, content, new_operation};
use crate::coap::{Code, Response};
use crate::domain::{ContentFormat, OperationKind, OperationStatus, Value};

fn registered() -> Bench {
    let mut bench = Bench::new();
    let register = bench.register(
        "ep=thing&lwm2m=1.1&lt=300",
        r#"</>;rt="oma.lwm2m";ct="110 112 11542",</3/0>,</3303/0>"#,
    );
    bench.feed(register);
    bench
}

/// What the newest request accepts, and the format of its body.
fn formats(bench: &Bench) -> (Option<u16>, Option<u16>) {
    let (_, request) = bench.sent().pop().expect("a request");
    let options = request.request.options;
    (options.accept(), options.content_format())
}

#[test]
fn a_format_that_is_not_acceptable_gives_way_to_the_next_at_once_and_for_good() {
    let mut bench = registered();
    let operation = bench.operate(OperationKind::Read, "/3/0");
    assert_eq!(formats(&bench), (Some(112), None));
    bench.answer(Response::new(Code::NOT_ACCEPTABLE));
    assert_eq!(formats(&bench), (Some(110), None));
    let mut answer = Response::new(Code::CONTENT);
    answer
        .options
        .set_uint(crate::coap::number::CONTENT_FORMAT, 110);
    answer.payload = br#"[{"bn":"/3/0/","n":"0","vs":"Zephyr"}]"#.to_vec();
    bench.answer(answer);
    let stored = bench.stored(operation.id);
    assert_eq!(stored.status, OperationStatus::Confirmed);
    assert_eq!(stored.attempts, 1, "the refusal does not count");
    bench.restart();
    let update = bench.update("");
    bench.feed(update);
    bench.operate(OperationKind::Read, "/3303/0");
    assert_eq!(formats(&bench), (Some(110), None), "also after a restart");
}

#[test]
fn a_body_that_the_device_cannot_read_is_sent_in_another_format() {
    let mut bench = registered();
    let mut new = new_operation(OperationKind::Write, "/3303/0/5601");
    new.request.values = vec![crate::domain::Node::new(
        super::bench::path("/3303/0/5601"),
        Value::Float(21.5),
    )];
    let ticket = super::super::Ticket(1);
    bench.feed(Input::Operate {
        operation: Box::new(new),
        ticket,
    });
    let mut tried = vec![formats(&bench).1];
    for _ in 0..20 {
        let sent = bench.sent().len();
        bench.answer(Response::new(Code::UNSUPPORTED_CONTENT_FORMAT));
        if bench.sent().len() == sent {
            break;
        }
        tried.push(formats(&bench).1);
    }
    assert!(tried.len() > 2, "{tried:?}");
    let mut distinct = tried.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), tried.len(), "none twice: {tried:?}");
    assert_eq!(
        bench.operations(),
        [(OperationKind::Write, OperationStatus::Failed)]
    );
}

#[test]
fn a_format_that_was_asked_for_is_not_replaced() {
    let mut bench = registered();
    let mut new = new_operation(OperationKind::Read, "/3/0");
    new.request.format = Some(ContentFormat::Tlv);
    let ticket = super::super::Ticket(1);
    bench.feed(Input::Operate {
        operation: Box::new(new),
        ticket,
    });
    bench.answer(Response::new(Code::NOT_ACCEPTABLE));
    assert_eq!(
        bench.operations(),
        [(OperationKind::Read, OperationStatus::Failed)]
    );
    bench.operate(OperationKind::Read, "/3/0");
    assert_eq!(formats(&bench).0, Some(112), "nothing was learnt from it");
}

#[test]
fn other_formats_in_a_register_begin_anew() {
    let mut bench = registered();
    bench.operate(OperationKind::Read, "/3/0");
    bench.answer(Response::new(Code::NOT_ACCEPTABLE));
    bench.answer(content("x"));
    let register = bench.register(
        "ep=thing&lwm2m=1.1&lt=300",
        r#"</>;rt="oma.lwm2m";ct="112 11542",</3/0>"#,
    );
    bench.feed(register);
    bench.operate(OperationKind::Read, "/3/0");
    assert_eq!(formats(&bench).0, Some(112));
}
