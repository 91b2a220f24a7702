//! Warnings about what a device sends: told once, kept for its registration, with an event where
//! values are lost.

use super::super::Input;
use super::bench::{Bench, content, path};
use crate::coap::{Response, number};
use crate::domain::{OperationKind, Timestamp, Token, Value};
use crate::store::Change;

/// The warnings of the newest registration that was written.
fn warnings(bench: &Bench) -> Vec<(String, String)> {
    let newest = bench
        .changes()
        .into_iter()
        .rev()
        .find_map(|change| match change {
            Change::UpdateRegistration(registration) => Some(registration),
            _ => None,
        });
    let warnings = newest.map_or_else(Vec::new, |registration| registration.warnings.clone());
    warnings
        .into_iter()
        .map(|warning| (warning.code, warning.message))
        // The bench registers without naming the format of its links.
        .filter(|(code, _)| code != "content_format")
        .collect()
}

fn codes(bench: &Bench) -> Vec<String> {
    warnings(bench).into_iter().map(|(code, _)| code).collect()
}

fn events(bench: &Bench) -> Vec<(&str, usize)> {
    bench
        .changes()
        .into_iter()
        .filter_map(|change| match change {
            Change::Event {
                event_type, nodes, ..
            } => Some((event_type.as_str(), nodes.len())),
            _ => None,
        })
        .collect()
}

fn resources(bench: &Bench) -> usize {
    bench
        .changes()
        .into_iter()
        .filter(|change| match change {
            Change::Resources { nodes, .. } => nodes
                .iter()
                .any(|node| node.path.object_id() != Some(10_240)),
            _ => false,
        })
        .count()
}

/// A notification in this format.
fn notification(bench: &mut Bench, token: Token, sequence: u32, format: u32, body: &str) -> Input {
    let Input::Notification {
        key, mut response, ..
    } = bench.notification(token, sequence, body)
    else {
        panic!("a notification")
    };
    response.options.set_uint(number::CONTENT_FORMAT, format);
    Input::Notification {
        key,
        response,
        more: None,
    }
}

/// Reads a path, which the device answers with this.
fn read(bench: &mut Bench, at: &str, answer: Response) -> Vec<(Value, Option<Timestamp>)> {
    bench.operate(OperationKind::Read, at);
    let before = bench.changes().len();
    bench.answer(answer);
    let at = path(at);
    bench
        .changes()
        .into_iter()
        .skip(before)
        .filter_map(|change| match change {
            Change::Resources { nodes, .. } => Some(nodes),
            _ => None,
        })
        .flatten()
        .filter(|node| node.path == at)
        .map(|node| (node.value.clone(), node.time))
        .collect()
}

#[test]
fn i4_h7_a_notification_that_tells_nothing_is_one_event_and_no_data() {
    let mut bench = Bench::new();
    let token = bench.observe();
    bench.done.clear();
    for (sequence, format, body) in [
        (2, 65_000, "21.5"),
        (3, 65_000, "22.5"),
        (4, 110, r#"[{"n":"/3303/0/5701","vs":"Cel"}]"#),
        (5, 110, "[{"),
    ] {
        let input = notification(&mut bench, token, sequence, format, body);
        bench.feed(input);
    }
    assert_eq!(resources(&bench), 0);
    assert_eq!(
        events(&bench),
        [("bad_notification", 0); 3],
        "the second one says nothing new"
    );
    let told = warnings(&bench);
    assert_eq!(codes(&bench), ["bad_notification"; 3]);
    assert!(told[0].1.contains("65000"), "{told:?}");
    assert!(told[1].1.contains("/3303/0/5701"), "{told:?}");
    // It goes on.
    let input = bench.notification(token, 6, "23.5");
    bench.feed(input);
    assert_eq!(resources(&bench), 1);
}

#[test]
fn a_time_in_milliseconds_becomes_seconds_and_one_in_seconds_stays() {
    let mut bench = Bench::new();
    let register = bench.register("ep=thing&lwm2m=1.1&lt=300", "</3/0>,</3303/0>");
    bench.feed(register);
    let came = read(&mut bench, "/3/0/13", content("1700000000000"));
    assert_eq!(came, [(Value::Time(1_700_000_000), None)]);
    assert_eq!(codes(&bench), ["time_in_ms"]);
    // Two years ahead, and 99: a device may have a wrong clock or mean it.
    for seconds in [1_763_000_000_i64, 4_820_000_000] {
        let came = read(&mut bench, "/3/0/13", content(&seconds.to_string()));
        assert_eq!(came, [(Value::Time(seconds), None)]);
    }
    let mut answer = content(r#"[{"n":"/3303/0/5700","bt":1.7e12,"v":21.5}]"#);
    answer.options.set_uint(number::CONTENT_FORMAT, 110);
    let said = Timestamp::from_millis(1_700_000_000_000);
    let came = read(&mut bench, "/3303/0/5700", answer);
    assert_eq!(came, [(Value::Float(21.5), said)]);
    assert_eq!(codes(&bench), ["time_in_ms"; 2]);
    // No time at all, in whatever unit.
    let mut answer = content(r#"[{"n":"/3303/0/5700","bt":1e18,"v":21.5}]"#);
    answer.options.set_uint(number::CONTENT_FORMAT, 110);
    assert_eq!(read(&mut bench, "/3303/0/5700", answer), []);
}

#[test]
fn an_instance_of_which_only_the_object_was_announced_is_noticed() {
    let mut bench = Bench::new();
    let register = bench.register("ep=thing&lwm2m=1.1&lt=300", "</3303>,</3/0>,</1>,</1/0>");
    bench.feed(register);
    read(&mut bench, "/3/0/9", content("80"));
    read(&mut bench, "/1/0/1", content("300"));
    assert_eq!(codes(&bench), [""; 0]);
    read(&mut bench, "/3303/0/5700", content("21.5"));
    assert_eq!(codes(&bench), ["instance_not_announced"]);
    assert!(warnings(&bench)[0].1.contains("/3303/0"));
    read(&mut bench, "/3303/0/5700", content("22.5"));
    let written = bench.changes().into_iter();
    let written = written.filter(|change| matches!(change, Change::UpdateRegistration(_)));
    assert_eq!(written.count(), 1, "once");
}
