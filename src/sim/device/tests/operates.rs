//! Operations of the server that are carried out, in every format.

use super::*;
use crate::lwm2m::ModelView;

fn string(text: &str) -> Value {
    Value::String(text.to_owned())
}

#[test]
fn e1_a_resource_is_read_in_every_format() {
    let mut bench = Bench::registered(|_| {});
    for format in [
        ContentFormat::Cbor,
        ContentFormat::Json,
        ContentFormat::SenmlCbor,
        ContentFormat::SenmlJson,
        ContentFormat::Text,
        ContentFormat::Tlv,
    ] {
        let response = bench.get("/3/0/0", format);
        assert_eq!(response.code, Code::CONTENT);
        assert_eq!(response.options.content_format(), Some(format.code()));
        assert_eq!(
            bench.nodes("/3/0/0", &response),
            [Node::new(at("/3/0/0"), string("flownexus"))]
        );
    }
}

#[test]
fn e3_objects_instances_and_resource_instances_are_read() {
    let mut bench = Bench::registered(|_| {});
    let object = bench.get("/3", ContentFormat::Tlv);
    let instance = bench.get("/3/0", ContentFormat::SenmlJson);
    let nodes = bench.nodes("/3", &object);
    assert_eq!(nodes, bench.nodes("/3/0", &instance));
    assert!(nodes.len() > 20);
    assert!(nodes.iter().any(|node| node.path == at("/3/0/6/1")));
    let voltages = bench.get("/3/0/7", ContentFormat::Json);
    assert_eq!(bench.nodes("/3/0/7", &voltages).len(), 2);
    let voltage = bench.get("/3/0/7/0", ContentFormat::Text);
    assert_eq!(voltage.payload, b"3800");
    let empty = bench.get("/16", ContentFormat::Tlv);
    assert_eq!((empty.code, empty.payload.len()), (Code::CONTENT, 0));
}

#[test]
fn int_237_without_accept_the_version_decides() {
    let mut new = Bench::registered(|_| {});
    assert_eq!(new.ask(get("/3", None)).options.content_format(), Some(112));
    let mut old = Bench::registered(|settings| settings.version = Lwm2mVersion::V1_0);
    assert_eq!(
        old.ask(get("/3", None)).options.content_format(),
        Some(11_542)
    );
    assert_eq!(
        old.ask(get("/3/0/0", None)).options.content_format(),
        Some(0)
    );
}

#[test]
fn the_clock_goes_and_can_be_set() {
    let mut bench = Bench::registered(|_| {});
    bench.pass(10.0);
    assert_eq!(
        bench.get("/3/0/13", ContentFormat::Text).payload,
        b"1800000010"
    );
    assert_eq!(
        bench.ask(text(Code::PUT, "/3/0/13", "1000")).code,
        Code::CHANGED
    );
    bench.pass(5.0);
    assert_eq!(bench.get("/3/0/13", ContentFormat::Text).payload, b"1005");
}

#[test]
fn f1_values_are_written_in_every_format() {
    let mut bench = Bench::registered(|_| {});
    let node = [Node::new(at("/3/0/14"), string("+02:00"))];
    for format in [
        ContentFormat::Cbor,
        ContentFormat::Json,
        ContentFormat::SenmlCbor,
        ContentFormat::SenmlJson,
        ContentFormat::Text,
        ContentFormat::Tlv,
    ] {
        bench.set("/3/0/14", string("+00:00"));
        let mut request = request(Code::PUT, "/3/0/14");
        request
            .options
            .add_uint(number::CONTENT_FORMAT, format.code().into());
        request.payload = codec::encode(
            format,
            at("/3/0/14"),
            &node,
            ModelView::newest(&bench.models),
        )
        .expect("a value");
        assert_eq!(bench.ask(request).code, Code::CHANGED, "{format:?}");
        assert_eq!(bench.device.value(&at("/3/0/14")), Some(&node[0].value));
    }
}

#[test]
fn f3_replacing_an_instance_drops_what_is_not_given_and_updating_keeps_it() {
    let mut bench = Bench::registered(|_| {});
    let mandatory = [
        ("/1/0/1", Value::Integer(90)),
        ("/1/0/6", Value::Boolean(false)),
        ("/1/0/7", string("U")),
    ];
    assert_eq!(
        bench.write(Code::POST, "/1/0", &mandatory[..1]).code,
        Code::CHANGED
    );
    assert!(bench.device.value(&at("/1/0/2")).is_some());
    assert_eq!(
        bench.write(Code::PUT, "/1/0", &mandatory[..1]).code,
        Code::BAD_REQUEST
    );
    assert_eq!(
        bench.write(Code::PUT, "/1/0", &mandatory).code,
        Code::CHANGED
    );
    assert_eq!(bench.device.value(&at("/1/0/2")), None);
    assert_eq!(
        bench.device.value(&at("/1/0/0")),
        Some(&Value::Integer(1)),
        "read-only stays"
    );
    assert_eq!(bench.ask(get("/1/0/2", None)).code, Code::NOT_FOUND);
    assert_eq!(
        bench
            .write(Code::PUT, "/1/0/2", &[("/1/0/2", Value::Integer(3))])
            .code,
        Code::CHANGED
    );
}

#[test]
fn g1_instances_are_created_with_and_without_an_id_and_announced() {
    let mut bench = Bench::registered(|_| {});
    let named = bench.write(
        Code::POST,
        "/16",
        &[("/16/4/0/0", string("a")), ("/16/4/0/3", string("b"))],
    );
    assert_eq!(
        (named.code, named.options.first(number::LOCATION_PATH)),
        (Code::CREATED, None)
    );
    let links = String::from_utf8(bench.take_request().payload).expect("text");
    assert!(links.contains("</16/4>"), "{links}");
    bench.reply(Ok(Response::new(Code::CHANGED)));

    let mut unnamed = request(Code::POST, "/16");
    unnamed
        .options
        .add_uint(number::CONTENT_FORMAT, ContentFormat::Tlv.code().into());
    // A multiple resource 0 with one instance 0 that holds "x".
    unnamed.payload = vec![0x83, 0x00, 0x41, 0x00, b'x'];
    let made = bench.ask(unnamed);
    assert_eq!(made.code, Code::CREATED);
    let location: Vec<&[u8]> = made.options.all(number::LOCATION_PATH).collect();
    assert_eq!(location, [b"16".as_slice(), b"0"]);
    assert_eq!(bench.device.value(&at("/16/0/0/0")), Some(&string("x")));
}

#[test]
fn f4_instances_of_a_resource_are_replaced_updated_and_written_alone() {
    let mut bench = Bench::registered(|_| {});
    bench.write(
        Code::POST,
        "/16",
        &[("/16/0/0/0", string("a")), ("/16/0/0/1", string("b"))],
    );
    let update = bench.write(Code::POST, "/16/0/0", &[("/16/0/0/2", string("c"))]);
    assert_eq!(update.code, Code::CHANGED);
    assert_eq!(bench.device.value(&at("/16/0/0/0")), Some(&string("a")));
    assert_eq!(
        bench.ask(text(Code::PUT, "/16/0/0/1", "B")).code,
        Code::CHANGED
    );
    assert_eq!(bench.device.value(&at("/16/0/0/1")), Some(&string("B")));
    let replace = bench.write(Code::PUT, "/16/0/0", &[("/16/0/0/7", string("z"))]);
    assert_eq!(replace.code, Code::CHANGED);
    let left = bench.get("/16/0/0", ContentFormat::SenmlCbor);
    assert_eq!(
        bench.nodes("/16/0/0", &left),
        [Node::new(at("/16/0/0/7"), string("z"))]
    );
}

#[test]
fn g3_a_created_instance_can_be_deleted() {
    let mut bench = Bench::registered(|_| {});
    bench.write(Code::POST, "/16", &[("/16/2/0/0", string("a"))]);
    bench.reply(Ok(Response::new(Code::CHANGED)));
    assert_eq!(
        bench.ask(request(Code::DELETE, "/16/2")).code,
        Code::DELETED
    );
    assert_eq!(
        bench.ask(request(Code::DELETE, "/16/2")).code,
        Code::NOT_FOUND
    );
    let links = String::from_utf8(bench.take_request().payload).expect("text");
    assert!(!links.contains("</16/2>"), "{links}");
}

#[test]
fn g4_the_extremes_of_a_sensor_are_reset_by_an_execute() {
    let mut bench = Bench::registered(|settings| settings.interval = Duration::from_secs(1));
    bench.pass(120.0);
    let value = |bench: &Bench, path: &str| {
        bench
            .device
            .value(&at(path))
            .and_then(Value::as_number)
            .expect("a number")
    };
    assert!(value(&bench, "/3303/0/5601") < value(&bench, "/3303/0/5602"));
    assert_eq!(
        bench
            .ask(text(Code::POST, "/3303/0/5605", "0='now',1"))
            .code,
        Code::CHANGED
    );
    assert_eq!(value(&bench, "/3303/0/5601"), value(&bench, "/3303/0/5700"));
    assert_eq!(value(&bench, "/3303/0/5602"), value(&bench, "/3303/0/5700"));
}

#[test]
fn g5_discover_lists_what_there_is_with_attributes() {
    let mut bench = Bench::registered(|_| {});
    assert_eq!(bench.attributes("/3/0", &["pmin=5"]), Code::CHANGED);
    assert_eq!(bench.attributes("/3/0/9", &["gt=50"]), Code::CHANGED);
    let mut discover = |path: &str| {
        let mut request = get(path, None);
        request.options.add_uint(number::ACCEPT, 40);
        let response = bench.ask(request);
        assert_eq!(response.options.content_format(), Some(40));
        String::from_utf8(response.payload).expect("text")
    };
    let object = discover("/3");
    assert!(
        object.starts_with("</3>,</3/0>;pmin=5,</3/0/0>,"),
        "{object}"
    );
    assert!(
        object.contains("</3/0/4>") && object.contains("</3/0/6>;dim=2"),
        "{object}"
    );
    assert!(discover("/3/0").contains("</3/0/9>;gt=50"));
    let resource = discover("/3/0/9");
    assert!(
        resource.starts_with("</3/0/9>;")
            && resource.contains("pmin=5")
            && resource.contains("gt=50")
    );
    assert_eq!(
        discover("/3/0/6"),
        "</3/0/6>;dim=2;pmin=5,</3/0/6/0>,</3/0/6/1>"
    );
    assert!(discover("/3303").starts_with("</3303>;ver=1.1,"));
}

#[test]
fn h1_composites_leave_out_what_does_not_exist() {
    let mut bench = Bench::registered(|_| {});
    let response = bench.ask(fetch(
        &["/3/0/0", "/3/0/7/1", "/1/0", "/99", "/0", "/3/0/4"],
        None,
    ));
    assert_eq!(response.code, Code::CONTENT);
    let paths: Vec<Path> = bench
        .nodes("/", &response)
        .iter()
        .map(|node| node.path)
        .collect();
    assert!(
        paths.contains(&at("/3/0/0"))
            && paths.contains(&at("/3/0/7/1"))
            && paths.contains(&at("/1/0/1"))
    );
    assert!(
        paths
            .iter()
            .all(|path| matches!(path.object_id(), Some(1 | 3)))
    );
    assert_eq!(bench.ask(fetch(&["/99"], None)).code, Code::NOT_FOUND);
    let all = bench.ask(fetch(&["/"], None));
    assert!(bench.nodes("/", &all).len() > 50);
}

#[test]
fn h2_a_composite_is_written_as_a_whole_or_not_at_all() {
    let mut bench = Bench::registered(|_| {});
    let fine = [
        ("/1/0/2", Value::Integer(7)),
        ("/3/0/15", string("Europe/Zurich")),
    ];
    assert_eq!(bench.write(Code::IPATCH, "/", &fine).code, Code::CHANGED);
    assert_eq!(
        bench.device.value(&at("/3/0/15")),
        Some(&string("Europe/Zurich"))
    );
    let wrong = [("/1/0/2", Value::Integer(8)), ("/3/0/0", string("me"))];
    assert_eq!(
        bench.write(Code::IPATCH, "/", &wrong).code,
        Code::METHOD_NOT_ALLOWED
    );
    assert_eq!(bench.device.value(&at("/1/0/2")), Some(&Value::Integer(7)));
}

#[test]
fn a_package_uri_is_kept_even_if_its_protocol_is_not_spoken() {
    let mut bench = Bench::registered(|_| {});
    let uri = "ftp://host/image";
    assert_eq!(
        bench.ask(text(Code::PUT, "/5/0/1", uri)).code,
        Code::CHANGED
    );
    assert_eq!(
        bench.get("/5/0/1", ContentFormat::Text).payload,
        uri.as_bytes()
    );
    assert_eq!(bench.get("/5/0/5", ContentFormat::Text).payload, b"9");
    assert_eq!(bench.get("/5/0/3", ContentFormat::Text).payload, b"0");
    assert_eq!(
        bench.ask(request(Code::POST, "/5/0/2")).code,
        Code::METHOD_NOT_ALLOWED
    );
    assert_eq!(bench.ask(text(Code::PUT, "/5/0/1", "")).code, Code::CHANGED);
    assert_eq!(bench.get("/5/0/5", ContentFormat::Text).payload, b"0");
}

#[test]
fn the_same_seed_gives_the_same_device() {
    let run = |seed| {
        let mut bench = Bench::registered(|settings| {
            settings.seed = seed;
            settings.interval = Duration::from_secs(1);
        });
        bench.pass(60.0);
        let all = bench.ask(fetch(&["/3303", "/3304", "/6", "/10300"], None));
        bench.nodes("/", &all)
    };
    assert_eq!(run(5), run(5));
    assert_ne!(run(5), run(6));
    let event = run(5)
        .into_iter()
        .find(|node| node.path == at("/10300/0/0"))
        .expect("a counter");
    assert_eq!(event.value, Value::Integer(12));
}
