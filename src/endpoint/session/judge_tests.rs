//! The evaluator under virtual time, without a session.

use proptest::prelude::*;

use super::*;
use crate::domain::{Path, RuleSpec, Selection};

const LIMIT: usize = 100;

/// A judge with a clock that is turned by hand.
struct Court {
    now: Now,
    judge: Judge,
    rules: Vec<Rule>,
    /// What is on disk.
    stored: BTreeMap<(RuleId, PathPattern), RuleState>,
    /// The messages of all findings, oldest first.
    told: Vec<String>,
    /// Their times, in seconds since the beginning.
    at_s: Vec<i64>,
}

fn start() -> Now {
    Now {
        instant: Instant::now() + Duration::from_secs(10_000_000),
        wall: Timestamp::from_millis(1_700_000_000_000).expect("a time"),
    }
}

fn rule(id: i64, path: &str, condition: Condition) -> Rule {
    Rule {
        id: RuleId(id),
        revision: 1,
        spec: RuleSpec {
            name: format!("rule {id}"),
            enabled: true,
            path: path.parse().expect("a pattern"),
            selection: Selection::default(),
            condition,
            severity: None,
            event_type: None,
            include: Vec::new(),
            cooldown_s: 0,
        },
    }
}

fn above(above: f64, hysteresis: f64, for_s: u64) -> Condition {
    Condition::Threshold(Threshold {
        above: Some(above),
        hysteresis: Some(hysteresis),
        for_s,
        ..Threshold::default()
    })
}

fn temperature(number: f64) -> Node {
    Node::new(Path::resource(3303, 0, 5700), Value::Float(number))
}

impl Court {
    fn new(rules: Vec<Rule>) -> Self {
        let now = start();
        Self {
            now,
            judge: Judge::new(now, EndpointId(1), Vec::new()),
            rules,
            stored: BTreeMap::new(),
            told: Vec::new(),
            at_s: Vec::new(),
        }
    }

    fn of(condition: Condition) -> Self {
        Self::new(vec![rule(1, "/3303/*/5700", condition)])
    }

    fn judged(&mut self, judge: impl FnOnce(&mut Judge, Now, &[&Rule]) -> Written) {
        let rules: Vec<&Rule> = self.rules.iter().collect();
        let (findings, states) = judge(&mut self.judge, self.now, &rules);
        for (at, message) in findings {
            let since = at.as_millis() - start().wall.as_millis();
            self.at_s.push(since / 1000);
            self.told.push(message);
        }
        for state in states {
            self.stored.insert((state.rule, state.place), state);
        }
    }

    fn nodes(&mut self, nodes: &[Node], stale: bool) {
        self.judged(|judge, now, rules| written(judge.values(now, rules, nodes, stale, LIMIT)));
    }

    fn value(&mut self, number: f64) {
        self.nodes(&[temperature(number)], false);
    }

    /// Waits, and looks at the clocks whenever the judge wants that.
    fn wait(&mut self, seconds: u64) {
        let end = self.now.plus(Duration::from_secs(seconds));
        while let Some(due) = self.judge.due().filter(|due| *due <= end.instant) {
            let step = due.saturating_duration_since(self.now.instant);
            self.now = self.now.plus(step);
            self.judged(|judge, now, rules| written(judge.time(now, rules)));
            assert!(
                self.judge.due().is_none_or(|next| next > self.now.instant),
                "a clock that has come to its end wants nothing more"
            );
        }
        self.now = end;
    }

    fn begin(&mut self) {
        self.judged(|judge, now, rules| written(judge.begin(now, rules, |_| true, LIMIT)));
    }

    fn leave(&mut self) {
        self.judged(|judge, _, rules| written(judge.leave(rules)));
    }

    /// Killed and started again at once from what is stored.
    fn restart(&mut self) {
        let states = self.stored.values().cloned().collect();
        self.judge = Judge::new(self.now, EndpointId(1), states);
    }

    fn count(&self) -> usize {
        self.told.len()
    }
}

type Written = (Vec<(Timestamp, String)>, Vec<RuleState>);

fn written(outcome: Outcome<'_>) -> Written {
    let findings = outcome.findings.into_iter();
    let findings = findings.map(|finding| (finding.at, finding.message));
    (findings.collect(), outcome.states)
}

/// A value of so many seconds after the beginning.
fn at(second: i64, number: f64) -> Node {
    let time = start().wall.as_millis() + second * 1000;
    Node {
        time: Some(Timestamp::clamped_from_millis(time)),
        ..temperature(number)
    }
}

#[test]
fn a_crossing_is_told_once_until_the_value_was_back() {
    let mut court = Court::of(above(30.0, 2.0, 0));
    for number in [20.0, 30.0, 30.1, 35.0, 29.0, 31.0] {
        court.value(number);
    }
    assert_eq!(court.told, ["/3303/0/5700 is 30.1, above 30"]);
    court.value(28.0);
    court.value(40.0);
    assert_eq!(court.count(), 2, "{:?}", court.told);
}

#[test]
fn from_one_side_to_the_other_are_two_crossings() {
    let mut court = Court::of(Condition::Threshold(Threshold {
        above: Some(30.0),
        below: Some(10.0),
        ..Threshold::default()
    }));
    for number in [35.0, 5.0, 4.0, 36.0, 20.0, 9.0] {
        court.value(number);
    }
    let ends: Vec<&str> = court
        .told
        .iter()
        .filter_map(|message| message.split(", ").nth(1))
        .collect();
    assert_eq!(ends, ["above 30", "below 10", "above 30", "below 10"]);
}

#[test]
fn what_must_hold_is_told_by_the_value_that_shows_it() {
    let mut court = Court::of(above(30.0, 0.0, 60));
    court.value(31.0);
    court.wait(59);
    court.value(32.0);
    assert_eq!(court.count(), 0);
    court.wait(1);
    court.value(33.0);
    assert_eq!(court.count(), 1);
    assert_eq!(court.at_s, [60]);
}

#[test]
fn what_must_hold_is_told_by_time_when_no_value_comes() {
    let mut court = Court::of(above(30.0, 0.0, 60));
    court.value(31.0);
    court.wait(30);
    court.value(29.0);
    court.wait(100);
    assert_eq!(court.count(), 0, "it was back in between");
    court.value(31.0);
    court.wait(1000);
    assert_eq!(court.told, ["/3303/0/5700 is above 30 for 1 min"]);
    assert_eq!(court.at_s, [190]);
}

#[test]
fn records_are_judged_in_the_order_of_their_times() {
    let mut court = Court::of(above(30.0, 0.0, 60));
    court.wait(1000);
    let records = [
        at(120, 35.0),
        at(0, 31.0),
        at(59, 32.0),
        at(61, 29.0),
        at(150, 35.0),
    ];
    court.nodes(&records, false);
    assert_eq!(court.count(), 0, "59 s, and then 30 s");
    court.nodes(&[at(180, 36.0)], false);
    assert_eq!(court.at_s, [180]);
}

#[test]
fn history_that_comes_late_changes_nothing() {
    let mut court = Court::of(above(30.0, 0.0, 0));
    court.wait(1000);
    court.nodes(&[at(900, 20.0)], false);
    court.nodes(&[at(800, 99.0)], false);
    court.nodes(&[at(950, 99.0)], true);
    assert_eq!(court.count(), 0);
    court.nodes(&[at(950, 31.0)], false);
    assert_eq!(court.count(), 1);
}

#[test]
fn a_clock_that_runs_ahead_does_not_keep_its_place() {
    let mut court = Court::of(above(30.0, 0.0, 0));
    court.nodes(&[at(86_400 * 365, 20.0)], false);
    court.wait(1);
    court.value(31.0);
    assert_eq!(court.count(), 1);
}

#[test]
fn what_is_no_number_neither_crosses_nor_clears() {
    let mut court = Court::of(above(30.0, 0.0, 0));
    court.value(31.0);
    court.value(f64::NAN);
    let text = Node::new(Path::resource(3303, 0, 5700), Value::String("99".into()));
    court.nodes(&[text], false);
    court.value(32.0);
    assert_eq!(court.count(), 1);
    court.value(20.0);
    court.value(f64::INFINITY);
    assert_eq!(court.count(), 2);
}

#[test]
fn within_the_cooldown_a_crossing_waits_and_is_told_if_it_still_holds() {
    let mut court = Court::of(above(30.0, 0.0, 0));
    court.rules[0].spec.cooldown_s = 100;
    court.value(31.0);
    court.value(20.0);
    court.wait(10);
    court.value(31.0);
    court.wait(10);
    court.value(20.0);
    court.wait(30);
    assert_eq!(court.count(), 1, "it came and went");
    court.value(31.0);
    court.wait(200);
    assert_eq!(court.at_s, [0, 100]);
}

#[test]
fn any_change_is_told_whatever_the_type() {
    let mut court = Court::of(Condition::Change { by: None });
    let path = Path::resource(3303, 0, 5700);
    for value in [
        Value::String("closed".into()),
        Value::String("closed".into()),
        Value::String("open <b>\n".into()),
        Value::Boolean(true),
        Value::Boolean(false),
        Value::Integer(21),
        Value::Float(21.0),
        Value::Float(f64::NAN),
        Value::UnsignedInteger(22),
        Value::Opaque(vec![1]),
    ] {
        court.nodes(&[Node::new(path, value)], false);
    }
    assert_eq!(
        court.told,
        [
            "/3303/0/5700 has changed to open <b> ",
            "/3303/0/5700 has changed to true",
            "/3303/0/5700 has changed from true to false",
            "/3303/0/5700 has changed from false to 21",
            "/3303/0/5700 has changed from 21 to 22",
            "/3303/0/5700 has changed from 22 to 01",
        ]
    );
}

#[test]
fn large_counters_change_by_one() {
    let mut court = Court::of(Condition::Change { by: None });
    let path = Path::resource(3303, 0, 5700);
    for number in [u64::MAX - 1, u64::MAX] {
        court.nodes(&[Node::new(path, Value::UnsignedInteger(number))], false);
    }
    assert_eq!(court.count(), 1);
}

#[test]
fn a_change_by_so_much_counts_from_what_was_told() {
    let mut court = Court::of(Condition::Change { by: Some(1.0) });
    for number in [20.0, 20.5, 20.9, 21.0, 21.9, 20.1, 20.0] {
        court.value(number);
    }
    assert_eq!(
        court.told,
        [
            "/3303/0/5700 has changed from 20 to 21",
            "/3303/0/5700 has changed from 21 to 20"
        ]
    );
}

#[test]
fn a_change_within_the_cooldown_is_told_after_it_unless_it_was_undone() {
    let mut court = Court::of(Condition::Change { by: None });
    court.rules[0].spec.cooldown_s = 100;
    court.value(1.0);
    court.value(2.0);
    court.wait(10);
    court.value(3.0);
    court.value(4.0);
    court.wait(200);
    assert_eq!(
        court.told,
        [
            "/3303/0/5700 has changed from 1 to 2",
            "/3303/0/5700 has changed to 4"
        ]
    );
    court.value(5.0);
    court.value(6.0);
    court.value(5.0);
    court.wait(1000);
    assert_eq!(court.count(), 3, "{:?}", court.told);
}

#[test]
fn absence_is_told_once_for_each_gap() {
    let mut court = Court::of(Condition::Absence { after_s: 7200 });
    court.begin();
    court.wait(7100);
    court.value(20.0);
    court.wait(7199);
    assert_eq!(court.count(), 0);
    court.wait(100_000);
    assert_eq!(court.told, ["nothing came on /3303/0/5700 for 2 h"]);
    assert_eq!(court.at_s, [7100 + 7200]);
    court.value(f64::NAN);
    court.wait(100_000);
    assert_eq!(court.count(), 2, "the next gap");
}

#[test]
fn what_never_came_is_missed_from_the_registration_on() {
    let mut court = Court::of(Condition::Absence { after_s: 60 });
    court.begin();
    court.wait(30);
    // It registers again and again: the clock goes on.
    court.begin();
    court.wait(30);
    assert_eq!(court.told, ["nothing came on /3303/*/5700 for 1 min"]);
    court.begin();
    court.wait(1000);
    assert_eq!(court.count(), 1);
    // The first value takes over; each path is missed by itself.
    let other = Node::new(Path::resource(3303, 1, 5700), Value::Float(1.0));
    court.nodes(&[temperature(20.0), other.clone()], false);
    court.wait(50);
    court.nodes(&[other], false);
    court.wait(50);
    assert_eq!(court.told[1..], ["nothing came on /3303/0/5700 for 1 min"]);
}

#[test]
fn who_leaves_in_order_is_not_missed() {
    let mut court = Court::of(Condition::Absence { after_s: 60 });
    court.value(20.0);
    court.leave();
    court.wait(1000);
    assert_eq!(court.count(), 0);
    assert_eq!(court.judge.due(), None);
    court.begin();
    court.wait(60);
    assert_eq!(court.count(), 1, "it came back and sends nothing");
}

#[test]
fn a_restart_neither_loses_nor_repeats() {
    for seconds in [0, 30, 59, 61, 300] {
        let mut court = Court::of(above(30.0, 0.0, 60));
        court
            .rules
            .push(rule(2, "/3303/0/5700", Condition::Absence { after_s: 200 }));
        court
            .rules
            .push(rule(3, "/3303", Condition::Change { by: None }));
        court.value(20.0);
        court.value(31.0);
        court.wait(seconds);
        court.restart();
        court.wait(400);
        court.restart();
        court.wait(400);
        court.told.sort();
        assert_eq!(
            court.told,
            [
                "/3303/0/5700 has changed from 20 to 31",
                "/3303/0/5700 is above 30 for 1 min",
                "nothing came on /3303/0/5700 for 200 s",
            ],
            "killed after {seconds} s"
        );
    }
}

#[test]
fn a_rule_that_watches_something_else_begins_anew() {
    let mut court = Court::of(above(30.0, 0.0, 0));
    court.value(31.0);
    court.rules[0].revision = 2;
    court.rules[0].spec.condition = above(25.0, 0.0, 0);
    court.value(31.0);
    assert_eq!(court.count(), 2);
    court.rules.clear();
    let kept: Vec<&Rule> = Vec::new();
    court.judge.keep(&kept);
    assert!(court.judge.is_empty());
}

#[test]
fn states_are_bounded_and_what_was_not_judged_is_counted() {
    let mut court = Court::of(above(0.0, 0.0, 0));
    let nodes: Vec<Node> = (0..150)
        .map(|id| Node::new(Path::resource(3303, id, 5700), Value::Float(1.0)))
        .collect();
    court.nodes(&nodes, false);
    assert_eq!((court.count(), court.stored.len()), (LIMIT, LIMIT));
    assert_eq!(court.judge.take_refused(), 50);
    assert_eq!(court.judge.take_refused(), 0);
}

#[test]
fn the_clock_of_absence_is_not_written_with_every_value() {
    let mut court = Court::of(Condition::Absence { after_s: 3600 });
    let rules = court.rules.clone();
    let rules: Vec<&Rule> = rules.iter().collect();
    let mut written = 0;
    for _ in 0..100 {
        court.now = court.now.plus(Duration::from_secs(1));
        let outcome = court
            .judge
            .values(court.now, &rules, &[temperature(1.0)], false, LIMIT);
        written += outcome.states.len();
    }
    assert!((9..=11).contains(&written), "{written}");
}

/// What a threshold with hysteresis should tell of, said another way: the value is outside, and it
/// was inside of the narrower range since the last time.
fn expected(numbers: &[f64], end: f64, hysteresis: f64) -> usize {
    let mut armed = true;
    let mut count = 0;
    for number in numbers {
        if *number > end && armed {
            armed = false;
            count += 1;
        } else if *number <= end - hysteresis {
            armed = true;
        }
    }
    count
}

proptest! {
    #[test]
    fn crossings_are_those_of_the_definition(
        numbers in prop::collection::vec(-5.0..5.0_f64, 0..60),
        end in -3.0..3.0_f64,
        hysteresis in 0.0..2.0_f64,
        kills in prop::collection::vec(any::<bool>(), 60),
    ) {
        let mut court = Court::of(above(end, hysteresis, 0));
        for (number, kill) in numbers.iter().zip(kills) {
            court.value(*number);
            court.wait(1);
            if kill {
                court.restart();
            }
        }
        prop_assert_eq!(court.count(), expected(&numbers, end, hysteresis));
    }

    #[test]
    fn between_two_events_of_a_path_lies_the_cooldown(
        steps in prop::collection::vec((0..40_u64, -5.0..5.0_f64), 1..60),
        cooldown_s in 1..100_u64,
        kind in 0..3_u8,
        kills in prop::collection::vec(any::<bool>(), 60),
    ) {
        let mut court = Court::of(match kind {
            0 => above(0.0, 0.0, 7),
            1 => Condition::Change { by: Some(0.5) },
            _ => Condition::Absence { after_s: 20 },
        });
        court.rules[0].spec.cooldown_s = cooldown_s;
        for ((pause, number), kill) in steps.into_iter().zip(kills) {
            court.wait(pause);
            court.value(number);
            if kill {
                court.restart();
            }
        }
        court.wait(1000);
        for pair in court.at_s.windows(2) {
            let cooldown_s = i64::try_from(cooldown_s).expect("small");
            prop_assert!(pair[1] - pair[0] >= cooldown_s, "{:?}", court.at_s);
        }
    }

    #[test]
    fn the_order_in_which_records_arrive_in_one_message_does_not_matter(
        numbers in prop::collection::vec(-5.0..5.0_f64, 1..40),
        by in prop::option::of(0.1..2.0_f64),
    ) {
        let records: Vec<Node> = (0..).zip(&numbers).map(|(s, n)| at(s, *n)).collect();
        let mut shuffled = records.clone();
        shuffled.reverse();
        let mut told = Vec::new();
        for records in [records, shuffled] {
            let mut court = Court::of(Condition::Change { by });
            court.wait(1000);
            court.nodes(&records, false);
            told.push(court.told);
        }
        prop_assert_eq!(&told[0], &told[1]);
    }
}
