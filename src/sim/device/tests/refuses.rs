//! Operations of the server that are refused, each with the code that says why.

use super::*;

#[test]
fn e5_what_does_not_exist_is_not_found() {
    let mut bench = Bench::registered(|_| {});
    for path in [
        "/99",
        "/3/1",
        "/3/0/99",
        "/3/0/7/9",
        "/3/0/0/0",
        "/16/0",
        "/rd",
        "/3/0/0/0/0",
    ] {
        assert_eq!(bench.ask(get(path, None)).code, Code::NOT_FOUND, "{path}");
    }
    for path in ["/99/0/1", "/3/1/14", "/3/0/99", "/3/0/14/0"] {
        assert_eq!(
            bench.ask(text(Code::PUT, path, "1")).code,
            Code::NOT_FOUND,
            "{path}"
        );
    }
    for path in ["/99/0/1", "/3/1/4", "/3/0/99"] {
        assert_eq!(
            bench.ask(request(Code::POST, path)).code,
            Code::NOT_FOUND,
            "{path}"
        );
    }
    let mut discover = get("/3/1", None);
    discover.options.add_uint(number::ACCEPT, 40);
    assert_eq!(bench.ask(discover).code, Code::NOT_FOUND);
}

#[test]
fn e5_f6_g4_what_is_not_for_this_operation_is_not_allowed() {
    let mut bench = Bench::registered(|_| {});
    for request in [
        get("/3/0/4", None),
        get("/5/0/0", None),
        text(Code::PUT, "/3/0/0", "me"),
        text(Code::PUT, "/3/0/4", ""),
        text(Code::PUT, "/3", ""),
        request(Code::POST, "/3/0/0"),
        request(Code::POST, "/1/0/1"),
        request(Code::DELETE, "/3/0"),
        request(Code::DELETE, "/3"),
        request(Code::DELETE, "/3/0/0"),
        request(Code::POST, "/3303"),
        request(Code::PATCH, "/3/0"),
        request(Code::FETCH, "/3"),
        get("/", None),
    ] {
        let shown = format!("{request:?}");
        assert_eq!(bench.ask(request).code, Code::METHOD_NOT_ALLOWED, "{shown}");
    }
}

#[test]
fn int_221_security_is_for_bootstrapping_alone() {
    let mut bench = Bench::registered(|_| {});
    for request in [
        get("/0", None),
        get("/0/0/0", None),
        text(Code::PUT, "/0/0/0", "coap://evil"),
        request(Code::POST, "/0"),
        request(Code::POST, "/0/0/1"),
        request(Code::DELETE, "/0/0"),
    ] {
        assert_eq!(bench.ask(request).code, Code::UNAUTHORIZED);
    }
    assert_eq!(bench.attributes("/0/0", &["pmin=1"]), Code::UNAUTHORIZED);
}

#[test]
fn formats_that_do_not_fit_are_not_acceptable() {
    let mut bench = Bench::registered(|_| {});
    for (path, format) in [
        ("/3", ContentFormat::Text),
        ("/3/0/7", ContentFormat::Cbor),
        ("/3/0/0", ContentFormat::Opaque),
        ("/3/0", ContentFormat::Lwm2mCbor),
    ] {
        assert_eq!(bench.get(path, format).code, Code::NOT_ACCEPTABLE, "{path}");
    }
    let mut unknown = get("/3/0/0", None);
    unknown.options.add_uint(number::ACCEPT, 4711);
    assert_eq!(bench.ask(unknown).code, Code::NOT_ACCEPTABLE);
    let mut old = Bench::registered(|settings| settings.version = Lwm2mVersion::V1_0);
    assert_eq!(
        old.get("/3/0", ContentFormat::SenmlCbor).code,
        Code::NOT_ACCEPTABLE
    );
    assert_eq!(old.ask(fetch(&["/3"], None)).code, Code::METHOD_NOT_ALLOWED);
}

#[test]
fn unknown_formats_are_unsupported_and_rubbish_is_bad() {
    let mut bench = Bench::registered(|_| {});
    let mut unknown = text(Code::PUT, "/3/0/14", "x");
    unknown.options.set_uint(number::CONTENT_FORMAT, 4711);
    assert_eq!(
        bench.ask(unknown.clone()).code,
        Code::UNSUPPORTED_CONTENT_FORMAT
    );
    unknown.options.set_uint(
        number::CONTENT_FORMAT,
        ContentFormat::Lwm2mCbor.code().into(),
    );
    assert_eq!(
        bench.ask(unknown.clone()).code,
        Code::UNSUPPORTED_CONTENT_FORMAT
    );
    unknown.options.set_uint(
        number::CONTENT_FORMAT,
        ContentFormat::SenmlCbor.code().into(),
    );
    assert_eq!(bench.ask(unknown).code, Code::BAD_REQUEST);
    for (path, body) in [
        ("/1/0/1", "long"),
        ("/1/0/1", "0"),
        ("/1/0/7", "T"),
        ("/3/0/14", "noon"),
    ] {
        assert_eq!(
            bench.ask(text(Code::PUT, path, body)).code,
            Code::BAD_REQUEST,
            "{path} {body}"
        );
    }
    assert_eq!(
        bench.ask(text(Code::POST, "/3/0/4", "what")).code,
        Code::BAD_REQUEST
    );
    assert!(bench.device.is_registered(), "no reboot by a bad request");
}

#[test]
fn g1_g2_instances_that_cannot_be_made_are_refused() {
    let mut bench = Bench::registered(|_| {});
    let identity = Value::String("a".to_owned());
    assert_eq!(bench.ask(request(Code::POST, "/3")).code, Code::BAD_REQUEST);
    assert_eq!(bench.ask(request(Code::POST, "/99")).code, Code::NOT_FOUND);
    assert_eq!(
        bench.ask(request(Code::POST, "/16")).code,
        Code::BAD_REQUEST,
        "identity is missing"
    );
    assert_eq!(bench.device.value(&at("/16/0/0/0")), None);
    assert_eq!(
        bench
            .write(Code::POST, "/16", &[("/16/1/0/0", identity.clone())])
            .code,
        Code::CREATED
    );
    assert_eq!(
        bench
            .write(Code::POST, "/16", &[("/16/1/0/0", identity)])
            .code,
        Code::BAD_REQUEST
    );
}

#[test]
fn p2_attributes_that_contradict_each_other_or_the_resource_are_bad() {
    let mut bench = Bench::registered(|_| {});
    assert_eq!(bench.attributes("/3303/0", &["pmin=10"]), Code::CHANGED);
    for (path, query) in [
        ("/3303/0", vec!["pmax=5"]),
        ("/3303/0/5700", vec!["pmax=5"]),
        ("/3303/0/5700", vec!["gt=1", "lt=2"]),
        ("/3303/0/5700", vec!["st=-1"]),
        ("/3303/0", vec!["gt=1"]),
        ("/3303/0/5701", vec!["gt=1"]),
        ("/3303/0", vec!["colour=red"]),
    ] {
        assert_eq!(
            bench.attributes(path, &query),
            Code::BAD_REQUEST,
            "{path} {query:?}"
        );
    }
    assert_eq!(bench.attributes("/3303/7", &["pmin=1"]), Code::NOT_FOUND);
    assert_eq!(bench.attributes("/3303/0", &["pmin"]), Code::CHANGED);
    assert_eq!(bench.attributes("/3303/0", &["pmax=5"]), Code::CHANGED);
}

#[test]
fn a_body_that_would_fill_the_device_is_refused() {
    let mut bench = Bench::registered(|_| {});
    bench.write(
        Code::POST,
        "/16",
        &[("/16/0/0/0", Value::String("a".to_owned()))],
    );
    let paths: Vec<String> = (0..3000).map(|id| format!("/16/0/0/{id}")).collect();
    let many: Vec<(&str, Value)> = paths
        .iter()
        .map(|path| (path.as_str(), Value::String("x".to_owned())))
        .collect();
    assert_eq!(
        bench.write(Code::PUT, "/16/0/0", &many).code,
        Code::BAD_REQUEST
    );
    let nodes = bench.get("/16", ContentFormat::SenmlCbor);
    assert_eq!(bench.nodes("/16", &nodes).len(), 1);
}
