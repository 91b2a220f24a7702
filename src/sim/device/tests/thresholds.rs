//! `gt`, `lt`, `st` and `edge` (P3): which values are news, for every type of number.

use super::*;

/// The numbers of the test object.
const NUMBERS: [&str; 4] = ["/3442/0/120", "/3442/0/125", "/3442/0/130", "/3442/0/160"];

/// A number as the resource at this path has it.
fn number(path: &str, number: i32) -> Value {
    match path {
        "/3442/0/120" => Value::Integer(number.into()),
        "/3442/0/125" => Value::UnsignedInteger(number.unsigned_abs().into()),
        "/3442/0/160" => Value::Time(number.into()),
        _ => Value::Float(number.into()),
    }
}

/// Observes each number with these attributes from 20 on, and says which of the values are told.
fn news(attributes: &[&str], values: &[i32]) -> Vec<i32> {
    let mut answers = NUMBERS.map(|path| {
        let mut bench = Bench::with_test_objects();
        bench.set(path, number(path, 20));
        assert_eq!(bench.attributes(path, attributes), Code::CHANGED, "{path}");
        bench.observe(1, path);
        let mut told = Vec::new();
        for value in values {
            bench.set(path, number(path, *value));
            told.extend(bench.acknowledge().iter().map(|_| *value));
        }
        told
    });
    let first = std::mem::take(&mut answers[0]);
    for (answer, path) in answers.iter().zip(NUMBERS).skip(1) {
        assert_eq!(*answer, first, "{path}");
    }
    first
}

#[test]
fn p3_gt_tells_of_crossings_in_both_directions() {
    let values = [25, 30, 31, 40, 31, 30, 10, 31];
    assert_eq!(news(&["gt=30"], &values), [31, 30, 31]);
}

#[test]
fn p3_lt_tells_of_crossings_in_both_directions() {
    let values = [15, 10, 9, 5, 9, 10, 30, 9];
    assert_eq!(news(&["lt=10"], &values), [9, 10, 9]);
}

#[test]
fn p3_st_tells_of_positive_and_negative_gaps_from_what_was_told() {
    // 24, 23: less than 5 from 20. 25: five above. 21: four below. 20: five below.
    let values = [24, 23, 25, 29, 21, 20, 16, 24, 25];
    assert_eq!(news(&["st=5"], &values), [25, 20, 25]);
}

#[test]
fn p3_thresholds_and_a_step_each_tell() {
    let values = [24, 26, 30, 31, 32, 29, 22, 9, 8, 11];
    // 26: six above 20. 31: above gt. 29: below gt again. 22: seven below. 9: below lt, and a step.
    // 11: above lt again.
    let attributes = ["gt=30", "lt=10", "st=6"];
    assert_eq!(news(&attributes, &values), [26, 31, 29, 22, 9, 11]);
}

#[test]
fn p3_thresholds_wait_for_pmin_and_pmax_tells_without_them() {
    let mut bench = Bench::with_test_objects();
    let path = "/3442/0/120";
    bench.set(path, Value::Integer(20));
    bench.attributes(path, &["gt=30", "pmin=5", "pmax=20"]);
    bench.observe(1, path);
    bench.set(path, Value::Integer(35));
    bench.pass(4.9);
    assert_eq!(bench.notified, []);
    bench.pass(0.2);
    assert_eq!(bench.acknowledge().len(), 1);
    bench.set(path, Value::Integer(40));
    bench.pass(19.8);
    assert_eq!(bench.notified, [], "no crossing");
    bench.pass(0.2);
    let sent = bench.acknowledge();
    assert_eq!(
        bench.nodes("/", &sent[0].1),
        [Node::new(at(path), Value::Integer(40))]
    );
}

#[test]
fn p3_a_threshold_of_a_resource_holds_for_each_of_its_instances() {
    let mut bench = Bench::with_test_objects();
    let resource = "/3442/0/1120";
    for id in 0..2 {
        bench.set(&format!("{resource}/{id}"), Value::Integer(20));
    }
    bench.attributes(resource, &["gt=30"]);
    bench.observe(1, resource);
    bench.observe(2, &format!("{resource}/1"));
    bench.set(&format!("{resource}/0"), Value::Integer(25));
    assert_eq!(bench.acknowledge().len(), 0);
    bench.set(&format!("{resource}/0"), Value::Integer(31));
    assert_eq!(bench.acknowledge().len(), 1, "the resource");
    bench.set(&format!("{resource}/1"), Value::Integer(31));
    assert_eq!(
        bench.acknowledge().len(),
        2,
        "the resource, and the instance that inherits"
    );
    bench.set(&format!("{resource}/7"), Value::Integer(0));
    assert_eq!(bench.acknowledge().len(), 1, "a new instance is news");
}

#[test]
fn p3_a_threshold_counts_where_it_was_set_and_not_above() {
    let mut bench = Bench::with_test_objects();
    bench.set("/3442/0/120", Value::Integer(20));
    bench.attributes("/3442/0/120", &["gt=30"]);
    bench.observe(1, "/3442/0");
    bench.observe_composite(2, &["/3442/0/120", "/3/0/9"]);
    bench.set("/3442/0/120", Value::Integer(25));
    let told: Vec<Token> = bench.acknowledge().iter().map(|sent| sent.0).collect();
    assert_eq!(
        told,
        [Token::from([1; 8])],
        "for the instance every change is news, for the composite the resource's attributes count"
    );
}

#[test]
fn p3_edge_tells_of_one_direction() {
    for (edge, told) in [("edge=1", [true, false]), ("edge=0", [false, true])] {
        let mut bench = Bench::registered(|settings| {
            settings.test_objects = true;
            settings.version = Lwm2mVersion::V1_2;
        });
        let path = "/3347/0/5500";
        assert_eq!(bench.attributes(path, &[edge]), Code::CHANGED);
        bench.observe(1, path);
        let mut seen = Vec::new();
        for pressed in [true, false] {
            bench.set(path, Value::Boolean(pressed));
            seen.push(!bench.acknowledge().is_empty());
        }
        assert_eq!(seen, told, "{edge}");
    }
}
