//! Values with the times at which they were measured (I5), and those that are kept while the server
//! does not answer (`hqmax`).

use super::*;

const NUMBER: &str = "/3442/0/130";

/// A measured value, so many seconds before now.
fn measured(bench: &Bench, value: f64, before: u64) -> Node {
    let millis = bench.now.wall.as_millis() - i64::try_from(before * 1000).expect("small");
    Node {
        time: Timestamp::from_millis(millis),
        ..Node::new(at(NUMBER), Value::Float(value))
    }
}

fn told(bench: &Bench, response: &Response) -> Vec<(f64, Option<Timestamp>)> {
    bench
        .nodes("/", response)
        .iter()
        .filter(|node| node.path == at(NUMBER))
        .map(|node| (node.value.as_number().expect("a number"), node.time))
        .collect()
}

#[test]
fn i5_records_are_told_with_their_times_oldest_first() {
    for (token, path) in [(1, NUMBER), (2, "/3442/0"), (3, "/3442")] {
        let mut bench = Bench::with_test_objects();
        bench.observe(token, path);
        let records = vec![
            measured(&bench, 1.0, 20),
            measured(&bench, 2.0, 10),
            measured(&bench, 3.0, 0),
        ];
        let times: Vec<_> = records.iter().map(|node| node.time).collect();
        bench.input(Input::Record(records));
        let sent = bench.acknowledge();
        assert_eq!(sent.len(), 1);
        assert_eq!(
            told(&bench, &sent[0].1),
            [(1.0, times[0]), (2.0, times[1]), (3.0, times[2])],
            "{path}"
        );
        assert_eq!(bench.device.value(&at(NUMBER)), Some(&Value::Float(3.0)));
        bench.set(NUMBER, Value::Float(4.0));
        let sent = bench.acknowledge();
        assert_eq!(told(&bench, &sent[0].1), [(4.0, None)], "told once");
    }
}

#[test]
fn i5_records_gather_until_pmin_is_over_and_come_in_a_composite_too() {
    let mut bench = Bench::with_test_objects();
    bench.attributes("/3442/0", &["pmin=60"]);
    bench.observe_composite(1, &[NUMBER, "/3442/0/110"]);
    for value in [1.0, 2.0, 3.0] {
        bench.pass(10.0);
        let record = measured(&bench, value, 0);
        bench.input(Input::Record(vec![record]));
    }
    assert_eq!(bench.notified, []);
    bench.pass(31.0);
    let sent = bench.acknowledge();
    let values: Vec<f64> = told(&bench, &sent[0].1)
        .iter()
        .map(|(value, _)| *value)
        .collect();
    assert_eq!(values, [1.0, 2.0, 3.0]);
    let all = bench.nodes("/", &sent[0].1);
    assert_eq!(all.len(), 4, "and the other path");
}

#[test]
fn i5_a_format_without_times_tells_the_newest_value_alone() {
    let mut bench = Bench::with_test_objects();
    let mut request = get(NUMBER, Some(ContentFormat::Text));
    request.options.add_uint(number::OBSERVE, 0);
    bench.ask(request);
    let records = vec![measured(&bench, 1.0, 20), measured(&bench, 2.5, 10)];
    bench.input(Input::Record(records));
    assert_eq!(bench.acknowledge()[0].1.payload, b"2.5");
}

#[test]
fn records_are_bounded_and_impossible_ones_change_nothing() {
    let mut bench = Bench::with_test_objects();
    bench.attributes(NUMBER, &["pmin=10000"]);
    bench.observe(1, NUMBER);
    for value in 0..500 {
        let record = measured(&bench, f64::from(value), 0);
        bench.input(Input::Record(vec![record]));
    }
    bench.pass(10_001.0);
    let sent = std::mem::take(&mut bench.notified);
    let told = told(&bench, &sent[0].1);
    assert_eq!((told.len(), told[99].0), (100, 499.0));

    let wrong = vec![
        measured(&bench, 7.0, 0),
        Node::new(at("/3442/0/999"), Value::Float(8.0)),
    ];
    let outputs = bench.device.handle(bench.now, Input::Record(wrong));
    assert!(
        matches!(outputs.first(), Some(Output::Refused(_))),
        "{outputs:?}"
    );
    assert_eq!(bench.device.value(&at(NUMBER)), Some(&Value::Float(499.0)));
}

#[test]
fn hqmax_keeps_what_could_not_be_told() {
    let mut bench = Bench::registered(|settings| {
        settings.test_objects = true;
        settings.version = Lwm2mVersion::V1_2;
    });
    assert_eq!(bench.attributes(NUMBER, &["hqmax=3"]), Code::CHANGED);
    bench.observe(1, NUMBER);
    for value in [1.0, 2.0, 3.0, 4.0] {
        bench.set(NUMBER, Value::Float(value));
        bench.pass(0.1);
    }
    // The first was never acknowledged.
    assert_eq!(bench.notified.len(), 1);
    bench.notified.clear();
    bench.input(Input::NotificationLost(Token::from([1; 8])));
    bench.take_request();
    bench.reply(Ok(Response::new(Code::CHANGED)));
    bench.pass(3.0);
    let sent = bench.acknowledge();
    assert_eq!(sent.len(), 1);
    let told = told(&bench, &sent[0].1);
    let values: Vec<f64> = told.iter().map(|(value, _)| *value).collect();
    assert_eq!(values, [2.0, 3.0, 4.0], "the newest three");
    assert!(told.iter().all(|(_, time)| time.is_some()));
    bench.pass(100.0);
    assert_eq!(bench.notified, []);
}

#[test]
fn k2_recorded_values_are_sent_as_they_are() {
    let mut bench = Bench::with_test_objects();
    let values = vec![measured(&bench, 1.0, 20), measured(&bench, 2.0, 10)];
    bench.input(Input::SendValues(values.clone()));
    let request = bench.take_request();
    let nodes = crate::lwm2m::report::send(&request, &bench.server_side()).expect("a good Send");
    assert_eq!(nodes, values);
}
