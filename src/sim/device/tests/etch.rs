//! SenML-ETCH (RFC 8790): composite requests in formats of their own.

use super::*;
use crate::lwm2m::codec::{Changes, encode_changes};

const CBOR: ContentFormat = ContentFormat::SenmlEtchCbor;
const JSON: ContentFormat = ContentFormat::SenmlEtchJson;

fn with_body(code: Code, path: &str, format: ContentFormat, payload: Vec<u8>) -> Request {
    let mut request = request(code, path);
    request
        .options
        .set_uint(number::CONTENT_FORMAT, format.code().into());
    request.payload = payload;
    request
}

fn asks(format: ContentFormat, paths: &[&str]) -> Request {
    let paths: Vec<Path> = paths.iter().map(|path| at(path)).collect();
    let payload = codec::encode_paths(format, &paths).expect("paths");
    with_body(Code::FETCH, "/", format, payload)
}

fn changes(
    bench: &Bench,
    format: ContentFormat,
    nodes: &[(&str, Value)],
    removed: &[&str],
) -> Request {
    let changes = Changes {
        nodes: nodes
            .iter()
            .map(|(path, value)| Node::new(at(path), value.clone()))
            .collect(),
        removed: removed.iter().map(|path| at(path)).collect(),
    };
    let payload = encode_changes(format, &changes, bench.server_side().view()).expect("changes");
    with_body(Code::IPATCH, "/", format, payload)
}

/// A device of LwM2M 1.2 with two identities at `/16/0/0`.
fn portfolio() -> Bench {
    let mut bench = Bench::registered(|settings| settings.version = Lwm2mVersion::V1_2);
    let identities = [
        ("/16/0/0/0", Value::String("a".into())),
        ("/16/0/0/1", Value::String("b".into())),
    ];
    let created = bench.write(Code::POST, "/16", &identities);
    assert_eq!(created.code, Code::CREATED);
    bench
}

#[test]
fn h1_paths_in_etch_are_answered_in_plain_senml() {
    let mut bench = Bench::registered(|_| {});
    for (format, answer) in [(CBOR, 112), (JSON, 110)] {
        let response = bench.ask(asks(format, &["/3/0/9", "/1/0/1"]));
        assert_eq!(response.options.content_format(), Some(answer));
        assert_eq!(bench.nodes("/", &response).len(), 2);
        let mut observe = asks(format, &["/3303/0/5700"]);
        observe.options.add_uint(number::OBSERVE, 0);
        let response = bench.ask(observe);
        assert_eq!(response.options.content_format(), Some(answer));
        assert!(response.options.observe().is_some());
    }
    let mut wrong = asks(JSON, &["/3/0/9"]);
    wrong.options.add_uint(number::ACCEPT, 320);
    assert_eq!(bench.ask(wrong).code, Code::NOT_ACCEPTABLE);
}

#[test]
fn h2_a_null_removes_a_resource_instance() {
    for format in [CBOR, JSON] {
        let mut bench = portfolio();
        let request = changes(
            &bench,
            format,
            &[
                ("/1/0/1", Value::Integer(77)),
                ("/16/0/0/2", Value::String("c".into())),
            ],
            &["/16/0/0/0", "/16/0/0/9"],
        );
        assert_eq!(bench.ask(request).code, Code::CHANGED, "{format:?}");
        assert_eq!(bench.device.value(&at("/1/0/1")), Some(&Value::Integer(77)));
        let left: Vec<Path> = (0..10)
            .map(|id| Path::resource_instance(16, 0, 0, id))
            .filter(|path| bench.device.value(path).is_some())
            .collect();
        assert_eq!(left, [at("/16/0/0/1"), at("/16/0/0/2")]);
    }
}

#[test]
fn h2_all_of_it_or_nothing() {
    let mut bench = portfolio();
    for payload in [
        // One that cannot be written.
        &br#"[{"n":"/16/0/0/0","v":null},{"n":"/3/0/0","vs":"x"}]"#[..],
        // One that cannot be removed.
        br#"[{"n":"/16/0/0/0","v":null},{"n":"/3/0/6/0","v":null}]"#,
        // Written and removed.
        br#"[{"n":"/16/0/0/0","v":null},{"n":"/16/0/0/0","vs":"x"}]"#,
        // No resource instance.
        br#"[{"n":"/16/0/0/0","v":null},{"n":"/1/0/1","v":null}]"#,
    ] {
        let refused = bench.ask(with_body(Code::IPATCH, "/", JSON, payload.to_vec()));
        assert!(!refused.code.is_success());
        assert!(bench.device.value(&at("/16/0/0/0")).is_some());
    }
    // Plain SenML has no such thing: a null there says that there is no value, and nothing is left.
    let plain = br#"[{"n":"/16/0/0/0","v":null}]"#.to_vec();
    let refused = bench.ask(with_body(
        Code::IPATCH,
        "/",
        ContentFormat::SenmlJson,
        plain,
    ));
    assert_eq!(refused.code, Code::BAD_REQUEST);
}

#[test]
fn h2_before_1_2_nothing_is_removed() {
    let mut bench = Bench::registered(|_| {});
    let request = changes(&bench, JSON, &[("/1/0/1", Value::Integer(77))], &[]);
    assert_eq!(bench.ask(request).code, Code::CHANGED);
    let request = changes(&bench, JSON, &[], &["/16/0/0/0"]);
    assert_eq!(bench.ask(request).code, Code::BAD_REQUEST);
}

#[test]
fn etch_is_for_composites_only() {
    let mut bench = Bench::registered(|_| {});
    for (code, path) in [
        (Code::PUT, "/1/0/1"),
        (Code::POST, "/1/0"),
        (Code::POST, "/16"),
    ] {
        let body = br#"[{"n":"/1/0/1","v":77}]"#.to_vec();
        let refused = bench.ask(with_body(code, path, JSON, body));
        assert_eq!(refused.code, Code::UNSUPPORTED_CONTENT_FORMAT, "{path}");
    }
    assert_eq!(bench.get("/3/0/9", JSON).code, Code::NOT_ACCEPTABLE);
}
