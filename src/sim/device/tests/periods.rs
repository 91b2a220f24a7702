//! `pmin`, `pmax`, `epmin` and `epmax`: when notifications come, to the tenth of a second.

use super::*;

const LEVEL: &str = "/3/0/9";
const TEMPERATURE: &str = "/3303/0/5700";

/// A device that is left alone by its own Updates.
fn bench() -> Bench {
    Bench::registered(|settings| settings.lifetime = Duration::from_secs(1_000_000))
}

/// Notifications in the seconds up to then, each with the seconds from now; all are acknowledged.
fn told_within(bench: &mut Bench, seconds: f64) -> Vec<f64> {
    const STEP: f64 = 0.1;
    let mut told = Vec::new();
    let mut passed = 0.0;
    while passed < seconds {
        bench.pass(STEP);
        passed += STEP;
        for _ in bench.acknowledge() {
            told.push((passed * 10.0).round() / 10.0);
        }
    }
    told
}

#[test]
fn int_301_pmin_and_pmax_to_the_second() {
    let mut bench = bench();
    bench.attributes("/3/0", &["pmin=5", "pmax=15"]);
    bench.observe(1, "/3/0");
    assert_eq!(told_within(&mut bench, 46.0), [15.0, 30.0, 45.0]);
    bench.set(LEVEL, Value::Integer(1));
    bench.set(LEVEL, Value::Integer(2));
    // Five seconds after the last, and then in the old rhythm.
    assert_eq!(told_within(&mut bench, 20.0), [4.0, 19.0]);
}

#[test]
fn p3_pmin_alone_gathers_changes_and_tells_the_newest() {
    let mut bench = bench();
    bench.attributes(TEMPERATURE, &["pmin=10"]);
    bench.observe(1, TEMPERATURE);
    bench.pass(3.0);
    for value in [1.0, 2.0, 3.0] {
        bench.set(TEMPERATURE, Value::Float(value));
    }
    bench.pass(6.9);
    assert_eq!(bench.notified, []);
    bench.pass(0.2);
    let sent = bench.acknowledge();
    assert_eq!(
        bench.nodes("/", &sent[0].1),
        [Node::new(at(TEMPERATURE), Value::Float(3.0))]
    );
    assert_eq!(told_within(&mut bench, 100.0), [0.0; 0]);
    // After a long silence the next change is told at once.
    bench.set(TEMPERATURE, Value::Float(4.0));
    assert_eq!(bench.acknowledge().len(), 1);
}

#[test]
fn p3_a_change_that_is_undone_before_pmin_is_over_is_no_news() {
    let mut bench = bench();
    bench.set(TEMPERATURE, Value::Float(1.0));
    bench.attributes(TEMPERATURE, &["pmin=10"]);
    bench.observe(1, TEMPERATURE);
    bench.set(TEMPERATURE, Value::Float(2.0));
    bench.pass(5.0);
    bench.set(TEMPERATURE, Value::Float(1.0));
    assert_eq!(told_within(&mut bench, 30.0), [0.0; 0]);
}

#[test]
fn p3_equal_pmin_and_pmax_make_a_rhythm() {
    let mut bench = bench();
    bench.attributes(TEMPERATURE, &["pmin=10", "pmax=10"]);
    bench.observe(1, TEMPERATURE);
    bench.set(TEMPERATURE, Value::Float(1.0));
    assert_eq!(told_within(&mut bench, 31.0), [10.0, 20.0, 30.0]);
}

#[test]
fn p3_periods_are_inherited_from_every_level_and_the_nearest_counts() {
    let mut bench = Bench::registered(|settings| {
        settings.lifetime = Duration::from_secs(1_000_000);
        settings.test_objects = true;
    });
    let leaf = "/3442/0/1120/0";
    for (path, pmax) in [
        ("/3442", 40),
        ("/3442/0", 30),
        ("/3442/0/1120", 20),
        (leaf, 10),
    ] {
        let query = format!("pmax={pmax}");
        assert_eq!(bench.attributes(path, &[query.as_str()]), Code::CHANGED);
        bench.observe(1, leaf);
        let pmax = f64::from(pmax);
        assert_eq!(told_within(&mut bench, pmax + 1.0), [pmax], "{path} counts");
    }
    // What is taken away below shows what is above again.
    for (path, left) in [(leaf, 20.0), ("/3442/0/1120", 30.0), ("/3442/0", 40.0)] {
        bench.attributes(path, &["pmax"]);
        bench.observe(1, leaf);
        assert_eq!(
            told_within(&mut bench, left + 1.0),
            [left],
            "without {path}"
        );
    }
}

#[test]
fn p3_a_pmax_below_an_inherited_pmin_is_refused_and_one_from_above_waits_for_pmin() {
    let mut bench = bench();
    bench.attributes("/3303", &["pmin=20"]);
    assert_eq!(bench.attributes("/3303/0", &["pmax=5"]), Code::BAD_REQUEST);
    bench.attributes("/3303", &["pmin"]);
    bench.attributes("/3303", &["pmax=5"]);
    assert_eq!(
        bench.attributes("/3303/0/5700", &["pmin=8"]),
        Code::BAD_REQUEST
    );
    // Written above later, it contradicts what is below: pmin wins (Core 7.3.2).
    bench.attributes("/3303", &["pmax"]);
    bench.attributes("/3303/0/5700", &["pmin=8"]);
    bench.attributes("/3303", &["pmax=5"]);
    bench.observe(1, TEMPERATURE);
    assert_eq!(told_within(&mut bench, 17.0), [8.0, 16.0]);
}

#[test]
fn int_304_pmin_30_and_pmax_45_of_a_composite() {
    let mut bench = bench();
    bench.attributes("/3/0", &["pmin=30", "pmax=45"]);
    bench.observe_composite(1, &["/3/0/9", "/1/0/1"]);
    bench.set(LEVEL, Value::Integer(1));
    assert_eq!(told_within(&mut bench, 121.0), [30.0, 75.0, 120.0]);
}

#[test]
fn int_310_attributes_that_change_count_at_once() {
    let mut bench = bench();
    bench.observe_composite(1, &["/3/0/9", TEMPERATURE]);
    assert_eq!(told_within(&mut bench, 100.0), [0.0; 0]);
    bench.attributes("/3/0", &["pmin=10", "pmax=60"]);
    // pmax is over already.
    assert_eq!(bench.acknowledge().len(), 1);
    assert_eq!(told_within(&mut bench, 61.0), [60.0]);
    bench.attributes("/3/0", &["pmax=20"]);
    assert_eq!(told_within(&mut bench, 20.0), [19.0]);
    bench.attributes("/3/0", &["pmin", "pmax"]);
    bench.set(LEVEL, Value::Integer(1));
    assert_eq!(bench.acknowledge().len(), 1);
    assert_eq!(told_within(&mut bench, 100.0), [0.0; 0]);
}

#[test]
fn p3_epmin_keeps_the_device_from_looking_and_what_was_between_is_not_seen() {
    let mut bench = bench();
    bench.set(TEMPERATURE, Value::Float(1.0));
    assert_eq!(
        bench.attributes(TEMPERATURE, &["epmin=10", "epmax=20"]),
        Code::CHANGED
    );
    bench.observe(1, TEMPERATURE);
    bench.pass(10.0);
    bench.set(TEMPERATURE, Value::Float(2.0));
    assert_eq!(bench.acknowledge().len(), 1, "the period is over");
    // Up and back between two looks.
    bench.set(TEMPERATURE, Value::Float(9.0));
    bench.pass(5.0);
    assert_eq!(bench.acknowledge().len(), 0);
    bench.set(TEMPERATURE, Value::Float(2.0));
    assert_eq!(told_within(&mut bench, 30.0), [0.0; 0]);
    bench.set(TEMPERATURE, Value::Float(3.0));
    assert_eq!(bench.acknowledge().len(), 1);
    bench.set(TEMPERATURE, Value::Float(4.0));
    assert_eq!(told_within(&mut bench, 30.0), [10.0]);
}
