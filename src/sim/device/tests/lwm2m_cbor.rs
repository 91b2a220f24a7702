//! LwM2M-CBOR (11544), which devices of LwM2M 1.2 speak.

use super::*;
use crate::lwm2m::codec::encode_empty_instance;

const FORMAT: ContentFormat = ContentFormat::Lwm2mCbor;

fn bench() -> Bench {
    Bench::registered(|settings| settings.version = Lwm2mVersion::V1_2)
}

fn with_body(code: Code, path: &str, payload: Vec<u8>) -> Request {
    let mut request = request(code, path);
    request
        .options
        .set_uint(number::CONTENT_FORMAT, FORMAT.code().into());
    request.payload = payload;
    request
}

fn body(bench: &Bench, base: &str, nodes: &[(&str, Value)]) -> Vec<u8> {
    let nodes: Vec<Node> = nodes
        .iter()
        .map(|(path, value)| Node::new(at(path), value.clone()))
        .collect();
    codec::encode(FORMAT, at(base), &nodes, bench.server_side().view()).expect("nodes")
}

#[test]
fn e1_e3_each_level_is_read() {
    let mut bench = bench();
    for path in ["/3", "/3/0", "/3/0/7", "/3/0/7/0", "/3/0/9"] {
        let short = bench.get(path, FORMAT);
        assert_eq!(short.options.content_format(), Some(FORMAT.code()));
        let long = bench.get(path, ContentFormat::SenmlCbor);
        assert_eq!(
            bench.nodes(path, &short),
            bench.nodes(path, &long),
            "{path}"
        );
        assert!(short.payload.len() < long.payload.len(), "{path}");
    }
    let mut old = Bench::registered(|_| {});
    assert_eq!(old.get("/3/0", FORMAT).code, Code::NOT_ACCEPTABLE);
}

#[test]
fn f3_f4_values_instances_and_composites_are_written() {
    let mut bench = bench();
    let lifetime = body(&bench, "/1/0/1", &[("/1/0/1", Value::Integer(77))]);
    let written = bench.ask(with_body(Code::PUT, "/1/0/1", lifetime));
    assert_eq!(written.code, Code::CHANGED);
    assert_eq!(bench.device.value(&at("/1/0/1")), Some(&Value::Integer(77)));
    let update = body(&bench, "/1/0", &[("/1/0/1", Value::Integer(78))]);
    assert_eq!(
        bench.ask(with_body(Code::POST, "/1/0", update)).code,
        Code::CHANGED
    );
    let both = body(
        &bench,
        "/",
        &[
            ("/1/0/1", Value::Integer(79)),
            ("/3/0/14", Value::String("+03:00".into())),
        ],
    );
    assert_eq!(
        bench.ask(with_body(Code::IPATCH, "/", both)).code,
        Code::CHANGED
    );
    assert_eq!(bench.device.value(&at("/1/0/1")), Some(&Value::Integer(79)));
    let outside = body(&bench, "/", &[("/3/0/14", Value::String("+03:00".into()))]);
    assert_eq!(
        bench.ask(with_body(Code::POST, "/1/0", outside)).code,
        Code::BAD_REQUEST
    );
}

#[test]
fn g1_instances_are_created_with_their_ids() {
    let mut bench = bench();
    let named = body(&bench, "/16", &[("/16/5/0/0", Value::String("me".into()))]);
    assert_eq!(
        bench.ask(with_body(Code::POST, "/16", named)).code,
        Code::CREATED
    );
    assert!(bench.device.value(&at("/16/5/0/0")).is_some());
    let empty = encode_empty_instance(FORMAT, at("/16/6")).expect("possible");
    let refused = bench.ask(with_body(Code::POST, "/16", empty));
    assert_eq!(refused.code, Code::BAD_REQUEST, "it lacks an identity");
}

#[test]
fn h1_h3_composites_are_answered_and_told() {
    let mut bench = bench();
    let mut read = fetch(&["/3/0/9", "/1/0/1"], None);
    read.options.add_uint(number::ACCEPT, FORMAT.code().into());
    let answer = bench.ask(read);
    assert_eq!(answer.options.content_format(), Some(FORMAT.code()));
    assert_eq!(bench.nodes("/", &answer).len(), 2);
    let mut observe = fetch(&["/3303/0/5700"], Some(0));
    observe
        .options
        .add_uint(number::ACCEPT, FORMAT.code().into());
    bench
        .ask_as(Token::from([9; 8]), observe)
        .expect("an answer");
    bench.set("/3303/0/5700", Value::Float(30.0));
    bench.pass(1.0);
    let (_, told, _) = bench.acknowledge().remove(0);
    assert_eq!(told.options.content_format(), Some(FORMAT.code()));
    assert_eq!(
        bench.nodes("/", &told),
        [Node::new(at("/3303/0/5700"), Value::Float(30.0))]
    );
}

#[test]
fn i1_observations_are_told_in_it() {
    let mut bench = bench();
    let mut observe = get("/3303/0/5700", Some(FORMAT));
    observe.options.add_uint(number::OBSERVE, 0);
    bench
        .ask_as(Token::from([9; 8]), observe)
        .expect("an answer");
    bench.set("/3303/0/5700", Value::Float(30.0));
    bench.pass(1.0);
    let (_, told, _) = bench.acknowledge().remove(0);
    assert_eq!(hex::encode(&told.payload), "a1190ce7a100a1191644fa41f00000");
}
