//! The objects that only tests of a server need.

use super::*;

#[test]
fn they_are_there_only_when_they_are_wanted() {
    let mut plain = Bench::registered(|_| {});
    for path in ["/20", "/3347", "/3442"] {
        assert_eq!(plain.ask(get(path, None)).code, Code::NOT_FOUND, "{path}");
    }
    let mut bench = Bench::new(|settings| settings.test_objects = true);
    bench.input(Input::Start);
    let links = String::from_utf8(bench.take_request().payload).expect("text");
    for link in ["</20>;ver=2.1", "</20/0>", "</3347/0>", "</3442/0>"] {
        assert!(links.contains(link), "{links}");
    }
}

#[test]
fn f1_every_type_is_written_and_read_single_and_multiple_in_every_format_that_can() {
    let mut bench = Bench::with_test_objects();
    let formats = [
        ContentFormat::Cbor,
        ContentFormat::Json,
        ContentFormat::Opaque,
        ContentFormat::SenmlCbor,
        ContentFormat::SenmlJson,
        ContentFormat::Text,
        ContentFormat::Tlv,
    ];
    let mut written = 0;
    for resource in [110, 120, 125, 130, 140, 150, 160, 170, 180] {
        let single = format!("/3442/0/{resource}");
        let instance = format!("/3442/0/{}/1", resource + 1000);
        for path in [single, instance] {
            bench.ask(request(Code::POST, "/3442/0/0"));
            let node = Node::new(
                at(&path),
                bench.device.value(&at(&path)).expect("a value").clone(),
            );
            for format in formats {
                let is_opaque = node.value.value_type() == crate::domain::ValueType::Opaque;
                let nodes = [node.clone()];
                let encoded =
                    codec::encode(format, at(&path), &nodes, ModelView::newest(&bench.models));
                let Ok(payload) = encoded else {
                    assert_eq!(format, ContentFormat::Opaque, "{path}");
                    assert!(!is_opaque, "{path}");
                    continue;
                };
                bench.ask(request(Code::POST, "/3442/0/2"));
                let mut write = request(Code::PUT, &path);
                let code = format.code().into();
                write.options.add_uint(number::CONTENT_FORMAT, code);
                write.payload = payload;
                assert_eq!(bench.ask(write).code, Code::CHANGED, "{path} {format:?}");
                let read = bench.get(&path, format);
                assert_eq!(bench.nodes(&path, &read), nodes, "{path} {format:?}");
                written += 1;
            }
        }
    }
    assert_eq!(written, 18 * 7 - 16, "opaque is for opaque values alone");
}

#[test]
fn g1_several_instances_are_created_in_one_request_and_deleted() {
    let mut bench = Bench::with_test_objects();
    let two = [
        ("/3442/1/120", Value::Integer(1)),
        ("/3442/4/120", Value::Integer(4)),
    ];
    assert_eq!(bench.write(Code::POST, "/3442", &two).code, Code::CREATED);
    assert_eq!(
        bench.device.value(&at("/3442/4/120")),
        Some(&Value::Integer(4))
    );
    bench.take_request();
    bench.reply(Ok(Response::new(Code::CHANGED)));
    let with_one_that_exists = [
        ("/3442/2/120", Value::Integer(2)),
        ("/3442/4/120", Value::Integer(5)),
    ];
    assert_eq!(
        bench.write(Code::POST, "/3442", &with_one_that_exists).code,
        Code::BAD_REQUEST
    );
    assert_eq!(bench.ask(get("/3442/2", None)).code, Code::NOT_FOUND);
    assert_eq!(
        bench.ask(request(Code::DELETE, "/3442/1")).code,
        Code::DELETED
    );
}

#[test]
fn g4_an_execute_keeps_its_arguments_and_others_change_the_values() {
    let mut bench = Bench::with_test_objects();
    assert_eq!(
        bench
            .ask(text(Code::POST, "/3442/0/3", "0='text',4,9=''"))
            .code,
        Code::CHANGED
    );
    let value = |bench: &Bench, path: &str| bench.device.value(&at(path)).cloned();
    let string = |text: &str| Some(Value::String(text.to_owned()));
    assert_eq!(value(&bench, "/3442/0/4/0"), string("text"));
    assert_eq!(value(&bench, "/3442/0/4/4"), string(""));
    assert_eq!(value(&bench, "/3442/0/4/9"), string(""));
    bench.ask(request(Code::POST, "/3442/0/3"));
    assert_eq!(value(&bench, "/3442/0/4/0"), None, "no arguments any more");

    let first = value(&bench, "/3442/0/120");
    bench.ask(request(Code::POST, "/3442/0/1"));
    assert_ne!(value(&bench, "/3442/0/120"), first);
    bench.ask(request(Code::POST, "/3442/0/2"));
    assert_eq!(value(&bench, "/3442/0/120"), Some(Value::Integer(0)));
    assert_eq!(value(&bench, "/3442/0/1120/0"), None);
    bench.ask(request(Code::POST, "/3442/0/0"));
    assert_eq!(value(&bench, "/3442/0/120"), first);
    for bad in ["x", "0='", "0,", "10", "0=text"] {
        assert_eq!(
            bench.ask(text(Code::POST, "/3442/0/3", bad)).code,
            Code::BAD_REQUEST,
            "{bad}"
        );
    }
}

#[test]
fn an_execute_sends_what_another_resource_names() {
    let mut bench = Bench::with_test_objects();
    let name = Value::String("/3/0/9".to_owned());
    bench.write(Code::PUT, "/3442/0/6", &[("/3442/0/6/0", name)]);
    bench.ask(request(Code::POST, "/3442/0/5"));
    let request = bench.take_request();
    let nodes = crate::lwm2m::report::send(&request, &bench.server_side()).expect("a Send");
    assert_eq!(nodes.len(), 1);
    assert_eq!(nodes[0].path, at("/3/0/9"));
}

#[test]
fn the_event_log_writes_while_it_runs() {
    let mut bench = Bench::registered(|settings| {
        settings.test_objects = true;
        settings.interval = Duration::from_secs(1);
        settings.lifetime = Duration::from_secs(1_000_000);
    });
    let log = |bench: &mut Bench| {
        let response = bench.get("/20/0/4014", ContentFormat::Opaque);
        String::from_utf8(response.payload).expect("text")
    };
    let status = |bench: &mut Bench| bench.get("/20/0/4013", ContentFormat::Text).payload;
    assert_eq!(
        (log(&mut bench).as_str(), status(&mut bench)),
        ("", b"0".to_vec())
    );
    bench.pass(12.0);
    let lines = log(&mut bench);
    assert_eq!(lines.lines().count(), 2, "{lines}");
    assert_eq!(status(&mut bench), b"2", "it has data");
    bench.ask(request(Code::POST, "/20/0/4012"));
    bench.pass(12.0);
    assert_eq!(
        (log(&mut bench), status(&mut bench)),
        (lines, b"3".to_vec())
    );
    bench.ask(text(Code::POST, "/20/0/4011", "0='1'"));
    bench.pass(6.0);
    assert!(log(&mut bench).lines().count() > 2, "it goes on");
    bench.ask(request(Code::POST, "/20/0/4011"));
    assert_eq!(log(&mut bench), "", "it begins anew");
    bench.pass(5000.0);
    assert!(log(&mut bench).len() <= 4096);
    bench.ask(text(Code::POST, "/20/0/4012", "0='1'"));
    assert_eq!(
        (log(&mut bench).as_str(), status(&mut bench)),
        ("", b"1".to_vec())
    );
}

#[test]
fn errors_come_and_are_reset() {
    let mut bench = Bench::registered(|_| {});
    bench.observe(1, "/3/0/11");
    bench.set("/3/0/11/0", Value::Integer(1));
    bench.set("/3/0/11/1", Value::Integer(5));
    bench.acknowledge();
    bench.ask(request(Code::POST, "/3/0/12"));
    let errors = bench.get("/3/0/11", ContentFormat::SenmlCbor);
    assert_eq!(
        bench.nodes("/3/0/11", &errors),
        [Node::new(at("/3/0/11/0"), Value::Integer(0))]
    );
}
