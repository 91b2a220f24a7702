//! Observations: which changes are told, when, and how an observation ends.

use super::*;

const TEMPERATURE: &str = "/3303/0/5700";

fn observed(response: &Response) -> u32 {
    response.options.observe().expect("an Observe option")
}

fn told(bench: &Bench, notification: &(Token, Response, bool)) -> Vec<Node> {
    bench.nodes("/", &notification.1)
}

#[test]
fn i1_each_change_is_notified_with_a_growing_number() {
    let mut bench = Bench::registered(|_| {});
    let first = bench.observe(9, TEMPERATURE);
    assert_eq!(first.code, Code::CONTENT);
    let mut last = observed(&first);
    for value in [1.0, 2.0, 3.0] {
        bench.set(TEMPERATURE, Value::Float(value));
        let sent = bench.acknowledge();
        assert_eq!(sent.len(), 1);
        assert_eq!(sent[0].0, Token::from([9; 8]));
        assert!(sent[0].2, "confirmable");
        assert!(observed(&sent[0].1) > last);
        last = observed(&sent[0].1);
        assert_eq!(
            told(&bench, &sent[0]),
            [Node::new(at(TEMPERATURE), Value::Float(value))]
        );
    }
    bench.set(TEMPERATURE, Value::Float(3.0));
    assert_eq!(bench.notified, [], "the same value is no news");
    bench.set("/3304/0/5700", Value::Float(3.0));
    assert_eq!(bench.notified, [], "another resource is no news");
}

#[test]
fn i1_objects_instances_and_resource_instances_are_observed() {
    let mut bench = Bench::registered(|_| {});
    for (token, path) in ["/3", "/3/0", "/3/0/7", "/3/0/7/0"].iter().enumerate() {
        bench.observe(u8::try_from(token).expect("few"), path);
    }
    bench.set("/3/0/7/0", Value::Integer(1));
    assert_eq!(bench.acknowledge().len(), 4);
    bench.pass(1000.0);
    assert_eq!(bench.notified, [], "that the clock goes on is no news");
}

#[test]
fn one_notification_is_under_way_at_a_time_and_the_newest_value_follows() {
    let mut bench = Bench::registered(|_| {});
    bench.observe(1, TEMPERATURE);
    bench.set(TEMPERATURE, Value::Float(1.0));
    bench.set(TEMPERATURE, Value::Float(2.0));
    bench.set(TEMPERATURE, Value::Float(3.0));
    assert_eq!(bench.notified.len(), 1);
    bench.acknowledge();
    let sent = bench.acknowledge();
    assert_eq!(told(&bench, &sent[0])[0].value, Value::Float(3.0));
}

#[test]
fn every_nth_notification_is_confirmable() {
    let mut bench = Bench::registered(|settings| settings.confirmable_every = 3);
    bench.observe(1, TEMPERATURE);
    let mut confirmable = Vec::new();
    for value in 0..7 {
        bench.set(TEMPERATURE, Value::Float(f64::from(value)));
        confirmable.extend(bench.acknowledge().iter().map(|sent| sent.2));
    }
    assert_eq!(confirmable, [false, false, true, false, false, true, false]);
    bench.pass(24.0 * 3600.0);
    bench.notified.clear();
    bench.set(TEMPERATURE, Value::Float(99.0));
    assert!(bench.notified[0].2, "at least once a day");
}

#[test]
fn int_301_p3_pmin_holds_back_and_pmax_repeats() {
    let mut bench = Bench::registered(|settings| settings.lifetime = Duration::from_secs(100_000));
    assert_eq!(
        bench.attributes("/3303", &["pmin=5", "pmax=20"]),
        Code::CHANGED
    );
    bench.observe(1, TEMPERATURE);
    bench.set(TEMPERATURE, Value::Float(1.0));
    bench.pass(4.9);
    assert_eq!(bench.notified, []);
    bench.pass(0.2);
    assert_eq!(bench.acknowledge().len(), 1);
    bench.pass(19.8);
    assert_eq!(bench.notified, []);
    bench.pass(0.2);
    assert_eq!(bench.acknowledge().len(), 1);
    assert_eq!(bench.attributes("/3303", &["pmin", "pmax"]), Code::CHANGED);
    bench.pass(500.0);
    assert_eq!(bench.notified, []);
}

#[test]
fn the_defaults_of_the_server_object_count_where_there_are_no_attributes() {
    let mut bench = Bench::registered(|_| {});
    bench.set("/1/0/3", Value::Integer(30));
    bench.observe(1, TEMPERATURE);
    bench.pass(29.9);
    assert_eq!(bench.notified, []);
    bench.pass(0.2);
    assert_eq!(bench.notified.len(), 1);
}

#[test]
fn p3_thresholds_and_steps_decide_what_is_news() {
    let mut bench = Bench::registered(|_| {});
    bench.set(TEMPERATURE, Value::Float(20.0));
    bench.attributes(TEMPERATURE, &["gt=30", "lt=10", "st=8"]);
    bench.observe(1, TEMPERATURE);
    let mut news = |value: f64| {
        bench.set(TEMPERATURE, Value::Float(value));
        !bench.acknowledge().is_empty()
    };
    assert!(!news(25.0));
    assert!(!news(27.9));
    assert!(news(28.0), "a step of 8");
    assert!(!news(30.0));
    assert!(news(30.1), "above 30");
    assert!(!news(35.0));
    assert!(news(29.0), "below 30 again");
    assert!(news(9.0));
    assert!(!news(8.0));
    assert!(news(11.0), "above 10 again");
}

#[test]
fn edge_and_con_of_1_2_may_come_with_the_observe() {
    let mut bench = Bench::registered(|settings| {
        settings.version = Lwm2mVersion::V1_2;
        settings.confirmable_every = 100;
    });
    let mut request = get("/1/0/23", Some(ContentFormat::SenmlCbor));
    request.options.add_uint(number::OBSERVE, 0);
    request.options.add(number::URI_QUERY, b"edge=1");
    request.options.add(number::URI_QUERY, b"con=1");
    assert_eq!(bench.ask(request).code, Code::CONTENT);
    bench.set("/1/0/23", Value::Boolean(true));
    assert!(bench.acknowledge()[0].2, "con=1");
    bench.set("/1/0/23", Value::Boolean(false));
    assert_eq!(bench.notified, []);
}

#[test]
fn i2_a_reset_or_observe_1_ends_an_observation() {
    let mut bench = Bench::registered(|_| {});
    bench.observe(1, TEMPERATURE);
    bench.observe(2, "/3304/0/5700");
    bench.input(Input::NotificationReset(Token::from([1; 8])));
    let mut cancel = get("/3304/0/5700", Some(ContentFormat::Text));
    cancel.options.add_uint(number::OBSERVE, 1);
    let answer = bench
        .ask_as(Token::from([2; 8]), cancel)
        .expect("an answer");
    assert_eq!(
        (answer.code, answer.options.observe()),
        (Code::CONTENT, None)
    );
    assert_eq!(bench.device.observations(), 0);
    bench.set(TEMPERATURE, Value::Float(1.0));
    bench.set("/3304/0/5700", Value::Float(1.0));
    assert_eq!(bench.notified, []);
}

#[test]
fn i3_p4_an_observation_ends_with_what_is_observed() {
    let mut bench = Bench::registered(|_| {});
    bench.write(
        Code::POST,
        "/16",
        &[("/16/2/0/0", Value::String("a".to_owned()))],
    );
    bench.attributes("/16/2", &["pmin=0"]);
    bench.observe(1, "/16/2/0");
    bench.ask(request(Code::DELETE, "/16/2"));
    assert_eq!(bench.notified.len(), 1);
    assert_eq!(
        (
            bench.notified[0].1.code,
            bench.notified[0].1.options.observe()
        ),
        (Code::NOT_FOUND, None)
    );
    assert_eq!(bench.device.observations(), 0);
}

#[test]
fn h3_h5_one_change_of_several_paths_makes_one_composite_notification() {
    let mut bench = Bench::registered(|_| {});
    let token = Token::from([7; 8]);
    let paths = ["/1/0/2", "/3303/0", "/16"];
    let first = bench
        .ask_as(token, fetch(&paths, Some(0)))
        .expect("an answer");
    assert!(first.options.observe().is_some());
    bench.set("/3304/0/5700", Value::Float(1.0));
    assert_eq!(bench.notified, []);
    bench.write(
        Code::IPATCH,
        "/",
        &[
            ("/1/0/2", Value::Integer(1)),
            ("/3303/0/5750", Value::String("x".to_owned())),
        ],
    );
    // 1/0/2 is the default pmin as well.
    bench.pass(1.0);
    let sent = bench.acknowledge();
    assert_eq!(sent.len(), 1);
    assert!(told(&bench, &sent[0]).len() > 5, "every path is told");
    // int-308: an instance that is created below an observed path is news.
    bench.write(
        Code::POST,
        "/16",
        &[("/16/0/0/0", Value::String("a".to_owned()))],
    );
    bench.pass(1.0);
    assert_eq!(bench.acknowledge().len(), 1);
    bench.ask_as(token, fetch(&paths, Some(1)));
    assert_eq!(bench.device.observations(), 0);
}

#[test]
fn events_are_told_as_a_whole() {
    let mut bench = Bench::registered(|settings| settings.interval = Duration::from_secs(10));
    bench.ask_as(Token::from([7; 8]), fetch(&["/10300"], Some(0)));
    bench.pass(100.0);
    let sent = std::mem::take(&mut bench.notified);
    assert_eq!(
        sent.len(),
        1,
        "the second waits for the acknowledgement of the first"
    );
    assert_eq!(told(&bench, &sent[0]).len(), 4);
}

#[test]
fn after_a_lost_notification_it_asks_whether_the_server_is_there_and_tells_again() {
    let mut bench = Bench::registered(|_| {});
    bench.observe(1, TEMPERATURE);
    bench.set(TEMPERATURE, Value::Float(1.0));
    bench.notified.clear();
    bench.input(Input::NotificationLost(Token::from([1; 8])));
    bench.take_request();
    assert_eq!(
        bench.notified,
        [],
        "not at once: what could not be sent cannot be sent now either"
    );
    bench.reply(Ok(Response::new(Code::CHANGED)));
    bench.pass(2.1);
    assert_eq!(bench.notified.len(), 1);
    assert_eq!(bench.device.observations(), 1);
}

#[test]
fn more_observations_than_it_can_keep_are_answered_as_reads() {
    let mut bench = Bench::registered(|_| {});
    for token in 0..64 {
        assert!(
            bench
                .observe(token, TEMPERATURE)
                .options
                .observe()
                .is_some()
        );
    }
    let answer = bench.observe(200, TEMPERATURE);
    assert_eq!(
        (answer.code, answer.options.observe()),
        (Code::CONTENT, None)
    );
    assert_eq!(bench.device.observations(), 64);
}
