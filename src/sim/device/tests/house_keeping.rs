//! Attributes, observations and waiting notifications go with what they belong to (P4).

use super::*;

fn text(text: &str) -> Value {
    Value::String(text.to_owned())
}

/// A device of 1.2 with `/16/0/0/0` and `/16/0/0/1`.
fn with_portfolio() -> Bench {
    let mut bench = Bench::registered(|settings| {
        settings.version = Lwm2mVersion::V1_2;
        settings.test_objects = true;
    });
    let made = bench.write(
        Code::POST,
        "/16",
        &[("/16/0/0/0", text("a")), ("/16/0/0/1", text("b"))],
    );
    assert_eq!(made.code, Code::CREATED);
    bench.reply(Ok(Response::new(Code::CHANGED)));
    bench
}

/// The codes of what was notified meanwhile.
fn codes(bench: &mut Bench) -> Vec<Code> {
    bench.acknowledge().iter().map(|sent| sent.1.code).collect()
}

#[test]
fn p4_the_attributes_of_an_instance_go_with_it() {
    let mut bench = with_portfolio();
    for path in ["/16/0", "/16/0/0", "/16/0/0/1"] {
        assert_eq!(bench.attributes(path, &["pmin=5"]), Code::CHANGED, "{path}");
    }
    assert_eq!(bench.discover("/16").matches("pmin").count(), 3);
    bench.ask(request(Code::DELETE, "/16/0"));
    bench.write(
        Code::POST,
        "/16",
        &[("/16/0/0/0", text("a")), ("/16/0/0/1", text("b"))],
    );
    assert_eq!(bench.discover("/16").matches("pmin").count(), 0);
}

#[test]
fn p4_the_attributes_of_the_object_stay_when_an_instance_goes() {
    let mut bench = with_portfolio();
    bench.attributes("/16", &["pmin=5"]);
    bench.ask(request(Code::DELETE, "/16/0"));
    assert!(bench.discover("/16").starts_with("</16>;pmin=5"));
}

#[test]
fn p4_the_attributes_of_a_resource_instance_go_with_it() {
    let mut bench = with_portfolio();
    bench.attributes("/16/0/0", &["pmin=5"]);
    bench.attributes("/16/0/0/1", &["pmax=50"]);
    assert_eq!(
        bench.ask(request(Code::DELETE, "/16/0/0/1")).code,
        Code::DELETED
    );
    assert_eq!(bench.device.value(&at("/16/0/0/1")), None);
    bench.write(Code::PUT, "/16/0/0/1", &[("/16/0/0/1", text("B"))]);
    let links = bench.discover("/16/0/0");
    assert!(
        links.contains("pmin=5") && !links.contains("pmax"),
        "{links}"
    );
    // A Write that replaces the resource takes the others away too.
    bench.attributes("/16/0/0/1", &["pmax=50"]);
    bench.write(Code::PUT, "/16/0/0", &[("/16/0/0/0", text("c"))]);
    bench.write(Code::POST, "/16/0/0", &[("/16/0/0/1", text("b"))]);
    assert!(!bench.discover("/16/0/0").contains("pmax"));
}

#[test]
fn p4_the_attributes_of_an_object_go_with_it() {
    let mut bench = with_portfolio();
    bench.attributes("/3347", &["pmin=5"]);
    bench.input(Input::Withdraw(at("/3347")));
    assert_eq!(bench.attributes("/3347", &["pmin=5"]), Code::NOT_FOUND);
    let links = String::from_utf8(bench.take_request().payload).expect("text");
    assert!(!links.contains("</3347"), "{links}");
}

#[test]
fn i3_p4_observations_end_with_a_4_04_when_their_instance_is_deleted() {
    let mut bench = with_portfolio();
    bench.observe(1, "/16/0");
    bench.observe(2, "/16/0/0");
    bench.observe(3, "/16/0/0/1");
    bench.observe(4, "/16");
    bench.ask(request(Code::DELETE, "/16/0"));
    let mut codes = codes(&mut bench);
    codes.sort_by_key(|code| code.to_byte());
    assert_eq!(
        codes,
        [
            Code::CONTENT,
            Code::NOT_FOUND,
            Code::NOT_FOUND,
            Code::NOT_FOUND
        ],
        "the object is still there, without instances"
    );
    assert_eq!(bench.device.observations(), 1);
}

#[test]
fn i3_p4_an_observation_ends_when_its_resource_instance_is_deleted() {
    let mut bench = with_portfolio();
    bench.observe(1, "/16/0/0/1");
    bench.observe(2, "/16/0/0/0");
    bench.ask(request(Code::DELETE, "/16/0/0/1"));
    assert_eq!(codes(&mut bench), [Code::NOT_FOUND]);
    assert_eq!(bench.device.observations(), 1);
}

#[test]
fn i3_p4_an_observation_ends_when_its_object_is_withdrawn() {
    let mut bench = with_portfolio();
    bench.observe(1, "/3347");
    bench.observe(2, "/3347/0/5500");
    bench.input(Input::Withdraw(at("/3347")));
    assert_eq!(codes(&mut bench), [Code::NOT_FOUND, Code::NOT_FOUND]);
    assert_eq!(bench.device.observations(), 0);
}

#[test]
fn p4_a_notification_that_waits_for_pmin_goes_with_the_instance() {
    let mut bench = with_portfolio();
    bench.attributes("/16/0", &["pmin=60"]);
    bench.observe(1, "/16/0/0/0");
    bench.write(Code::PUT, "/16/0/0/0", &[("/16/0/0/0", text("new"))]);
    assert_eq!(bench.notified, [], "it waits");
    bench.ask(request(Code::DELETE, "/16/0"));
    assert_eq!(codes(&mut bench), [Code::NOT_FOUND], "and is not told");
    bench.pass(100.0);
    assert_eq!(bench.notified, []);
}

#[test]
fn p4_a_notification_that_waits_for_pmin_goes_with_the_observation() {
    let mut bench = with_portfolio();
    bench.attributes("/16/0", &["pmin=60"]);
    for (token, ends_by_reset) in [(1, true), (2, false)] {
        bench.observe(token, "/16/0/0/0");
        let value = format!("new {token}");
        bench.write(Code::PUT, "/16/0/0/0", &[("/16/0/0/0", text(&value))]);
        if ends_by_reset {
            bench.input(Input::NotificationReset(Token::from([token; 8])));
        } else {
            let mut cancel = get("/16/0/0/0", None);
            cancel.options.add_uint(number::OBSERVE, 1);
            bench.ask_as(Token::from([token; 8]), cancel);
        }
        bench.pass(100.0);
        assert_eq!(bench.notified, []);
    }
    assert!(
        bench.discover("/16/0").contains("pmin=60"),
        "the attributes belong to the instance, not to the observation"
    );
}

#[test]
fn p4_records_go_with_the_observation() {
    let mut bench = with_portfolio();
    let path = "/3442/0/130";
    bench.attributes(path, &["pmin=60"]);
    bench.observe(1, path);
    bench.input(Input::Record(vec![Node::new(at(path), Value::Float(1.0))]));
    bench.input(Input::NotificationReset(Token::from([1; 8])));
    bench.observe(2, path);
    bench.pass(100.0);
    assert_eq!(
        bench.notified,
        [],
        "what was read since is the present value"
    );
}

#[test]
fn p4_a_composite_observation_goes_on_without_what_is_gone() {
    let mut bench = with_portfolio();
    bench.observe_composite(1, &["/16/0/0", "/3442/0/120"]);
    bench.ask(request(Code::DELETE, "/16/0"));
    let sent = bench.acknowledge();
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].1.code, Code::CONTENT);
    let told = bench.nodes("/", &sent[0].1);
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].path, at("/3442/0/120"));
    assert_eq!(bench.device.observations(), 1);
}

#[test]
fn g3_resources_and_before_1_2_their_instances_cannot_be_deleted() {
    let mut bench = with_portfolio();
    for path in ["/16/0/0", "/16", "/3/0/7/0"] {
        assert_eq!(
            bench.ask(request(Code::DELETE, path)).code,
            Code::METHOD_NOT_ALLOWED,
            "{path}"
        );
    }
    let mut old = Bench::registered(|_| {});
    old.write(Code::POST, "/16", &[("/16/0/0/0", text("a"))]);
    assert_eq!(
        old.ask(request(Code::DELETE, "/16/0/0/0")).code,
        Code::METHOD_NOT_ALLOWED
    );
}
