//! What the device itself does wrong when it is told to. What becomes of its datagrams is tested in
//! `faults`.

use super::*;
use crate::sim::Quirks;

fn with(quirks: Quirks) -> Bench {
    Bench::registered(|settings| settings.quirks = quirks)
}

#[test]
fn formats_that_it_announces_are_refused() {
    let mut bench = with(Quirks {
        refused_formats: vec![112, 60],
        ..Quirks::default()
    });
    assert_eq!(
        bench.get("/3/0/0", ContentFormat::SenmlCbor).code,
        Code::NOT_ACCEPTABLE
    );
    assert_eq!(
        bench.get("/3/0/0", ContentFormat::Cbor).code,
        Code::NOT_ACCEPTABLE
    );
    assert_eq!(bench.get("/3/0/0", ContentFormat::Tlv).code, Code::CONTENT);
    let write = bench.write(Code::PUT, "/1/0/2", &[("/1/0/2", Value::Integer(7))]);
    assert_eq!(write.code, Code::UNSUPPORTED_CONTENT_FORMAT);
    assert_eq!(
        bench.ask(text(Code::PUT, "/1/0/2", "7")).code,
        Code::CHANGED
    );
    bench.device.set_quirks(Quirks::default());
    assert_eq!(
        bench.get("/3/0/0", ContentFormat::SenmlCbor).code,
        Code::CONTENT
    );
}

#[test]
fn it_hears_one_request_after_each_message_of_its_own() {
    let mut bench = with(Quirks {
        hears: Some(1),
        ..Quirks::default()
    });
    let read = || get("/3/0/0", None);
    assert_eq!(bench.ask(read()).code, Code::CONTENT);
    let token = Token::from([9; 8]);
    assert_eq!(bench.ask_as(token, read()), None, "its answer wakes nobody");
    bench.pass(1000.0);
    // Its Updates wake it, and so does a Send.
    bench.take_request();
    assert_eq!(bench.ask(read()).code, Code::CONTENT);
    assert_eq!(bench.ask_as(token, read()), None);
    bench.reply(Ok(Response::new(Code::CHANGED)));
    assert_eq!(bench.ask_as(token, read()), None);
    bench.input(Input::Send(vec![at("/3/0/9")]));
    assert_eq!(bench.ask(read()).code, Code::CONTENT);
}

#[test]
fn it_answers_with_a_path_that_nobody_asked_for() {
    let mut bench = with(Quirks {
        stray_path: Some(at("/1/0/2")),
        ..Quirks::default()
    });
    let response = bench.get("/3/0/0", ContentFormat::SenmlCbor);
    let nodes = bench.nodes("/", &response);
    assert_eq!(nodes, [Node::new(at("/1/0/2"), Value::Integer(1))]);
}

#[test]
fn it_answers_with_far_more_than_was_expected() {
    let mut bench = with(Quirks {
        body_bytes: Some(200_000),
        ..Quirks::default()
    });
    let response = bench.get("/1/0/1", ContentFormat::SenmlCbor);
    assert_eq!(
        (response.code, response.payload.len()),
        (Code::CONTENT, 200_000)
    );
    assert_eq!(
        bench.ask(text(Code::PUT, "/1/0/2", "7")).code,
        Code::CHANGED,
        "writes are as ever"
    );
}
