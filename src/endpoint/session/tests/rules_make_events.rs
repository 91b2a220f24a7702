//! Rules in a session: the event is in the commit of the value that made it, and absence has a
//! deadline.

use std::time::Duration;

use super::super::Input;
use super::bench::{Bench, Done};
use crate::domain::{
    Condition, Rule, RuleEvent, RuleId, RuleSpec, RuleState, Selection, Severity, Threshold,
};
use crate::endpoint::RuleSet;
use crate::store::{Change, StoredEndpoint};

fn rule(path: &str, condition: Condition) -> Rule {
    Rule {
        id: RuleId(3),
        revision: 1,
        spec: RuleSpec {
            name: "too warm".to_owned(),
            enabled: true,
            path: path.parse().expect("a pattern"),
            selection: Selection::default(),
            condition,
            severity: Some(Severity::Critical),
            event_type: None,
            include: Vec::new(),
            cooldown_s: 0,
        },
    }
}

fn above(above: f64) -> Condition {
    Condition::Threshold(Threshold {
        above: Some(above),
        ..Threshold::default()
    })
}

fn with(rules: Vec<Rule>) -> Bench {
    let mut bench = Bench::new();
    bench.rules = RuleSet::new(rules);
    bench
}

fn events(bench: &Bench) -> Vec<RuleEvent> {
    let changes = bench.changes().into_iter();
    changes
        .filter_map(|change| match change {
            Change::RuleEvent(event) => Some((**event).clone()),
            _ => None,
        })
        .collect()
}

fn states(bench: &Bench) -> Vec<RuleState> {
    let mut newest: Vec<RuleState> = Vec::new();
    for change in bench.changes() {
        if let Change::SaveRuleState(state) = change {
            newest.retain(|known| (known.rule, known.place) != (state.rule, state.place));
            newest.push((**state).clone());
        }
    }
    newest
}

/// Waits until the session's next deadline, and lets it pass.
fn pass(bench: &mut Bench) -> Duration {
    let due = bench.session.next_deadline(bench.now).expect("a deadline");
    let wait = due.saturating_duration_since(bench.now.instant);
    bench.wait(wait);
    bench.feed(Input::Tick);
    wait
}

#[test]
fn the_event_is_in_the_commit_of_its_value_behind_it() {
    let mut bench = with(vec![rule("/3303/*/5700", above(30.0))]);
    let token = bench.observe();
    bench.done.clear();
    let notification = bench.notification(token, 2, "31.5");
    bench.feed(notification);
    let commit = bench
        .done
        .iter()
        .find_map(|done| match done {
            Done::Committed(changes) => Some(changes),
            Done::Acted(_) => None,
        })
        .expect("a commit");
    let position = |wanted: fn(&Change) -> bool| commit.iter().position(wanted).expect("there");
    let values = position(|change| matches!(change, Change::Resources { .. }));
    let event = position(|change| matches!(change, Change::RuleEvent(_)));
    assert_eq!(
        event,
        values + 1,
        "the event points at the values in front of it"
    );
    assert!(
        commit
            .iter()
            .any(|change| matches!(change, Change::SaveRuleState(_)))
    );
    let event = events(&bench).pop().expect("an event");
    assert_eq!(event.value, Some(0));
    assert_eq!(event.message, "/3303/0/5700 is 31.5, above 30");
    assert_eq!(
        (event.event_type.as_str(), event.rule.as_str()),
        ("too warm", "too warm")
    );
    assert_eq!(event.include, ["/3303/0".parse().expect("a pattern")]);
}

#[test]
fn values_of_a_send_and_of_a_read_are_judged_too() {
    let mut bench = with(vec![rule("/3/0/9", above(30.0))]);
    let register = bench.register("ep=thing&lwm2m=1.1&lt=300", "</3/0>");
    bench.feed(register);
    bench.operate(crate::domain::OperationKind::Read, "/3/0/9");
    bench.answer(super::bench::content("31"));
    assert_eq!(events(&bench).len(), 1);
    let body = br#"[{"n":"/3/0/9","v":10},{"n":"/3/0/9","v":99}]"#;
    let send = bench.send(110, body);
    bench.feed(send);
    let events = events(&bench);
    assert_eq!(events.len(), 2);
    assert_eq!(events[1].value, Some(1), "the second of the values");
}

#[test]
fn a_rule_is_for_the_devices_that_it_selects_and_while_it_is_enabled() {
    let mut other = rule("/3303", above(0.0));
    other.spec.selection.names = vec!["other*".to_owned()];
    let mut off = rule("/3303", above(0.0));
    off.spec.enabled = false;
    let mut bench = with(vec![other, off]);
    let token = bench.observe();
    let notification = bench.notification(token, 2, "31.5");
    bench.feed(notification);
    assert!(events(&bench).is_empty() && states(&bench).is_empty());
}

#[test]
fn absence_is_told_at_its_deadline_and_outlives_the_registration() {
    let mut bench = with(vec![rule(
        "/3303/*/5700",
        Condition::Absence { after_s: 3600 },
    )]);
    bench.observe();
    bench.wait(Duration::from_secs(300));
    bench.feed(Input::Tick);
    assert!(bench.session.is_needed(), "its value is missed");
    assert!(events(&bench).is_empty());
    assert_eq!(pass(&mut bench), Duration::from_secs(3300));
    let event = events(&bench).pop().expect("an event");
    assert_eq!(event.message, "nothing came on /3303/0/5700 for 1 h");
    assert_eq!(event.value, None);
    assert!(!bench.session.is_needed());
}

#[test]
fn a_device_that_deregisters_is_not_missed() {
    let mut bench = with(vec![rule(
        "/3303/*/5700",
        Condition::Absence { after_s: 3600 },
    )]);
    bench.observe();
    let deregister = bench.deregister();
    bench.feed(deregister);
    assert!(!bench.session.is_needed());
    assert!(states(&bench).iter().all(|state| state.clock_at.is_none()));
}

#[test]
fn only_what_is_announced_is_missed_from_the_registration_on() {
    let mut bench = with(vec![
        rule("/3303/*/5700", Condition::Absence { after_s: 60 }),
        Rule {
            id: RuleId(4),
            ..rule("/3304/*/5700", Condition::Absence { after_s: 60 })
        },
    ]);
    let register = bench.register("ep=thing&lwm2m=1.1&lt=300", "</3303/0>");
    bench.feed(register);
    pass(&mut bench);
    let events = events(&bench);
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].message, "nothing came on /3303/*/5700 for 1 min");
}

#[test]
fn a_new_rule_counts_from_when_it_was_made_also_for_a_silent_device() {
    let mut bench = Bench::new();
    bench.observe();
    bench.wait(Duration::from_secs(200));
    let absence = rule("/3303/*/5700", Condition::Absence { after_s: 60 });
    bench.rules = bench.rules.replaced_by(vec![absence]);
    // What the registry does when rules change.
    bench.feed(Input::Tick);
    assert!(events(&bench).is_empty());
    assert_eq!(pass(&mut bench), Duration::from_secs(60));
    assert_eq!(events(&bench).len(), 1);
    // And when it is gone, nothing is left of it.
    bench.rules = bench.rules.replaced_by(Vec::new());
    bench.feed(Input::Tick);
    bench.done.clear();
    let token = bench.session.tokens().next().expect("an observation");
    let notification = bench.notification(token, 2, "31.5");
    bench.feed(notification);
    assert!(states(&bench).is_empty());
}

#[test]
fn a_restart_goes_on_where_the_rules_stood() {
    let rules = vec![rule("/3303/*/5700", above(30.0))];
    let mut before = with(rules.clone());
    let token = before.observe();
    let notification = before.notification(token, 2, "31.5");
    before.feed(notification);
    let mut stored = StoredEndpoint {
        rule_states: states(&before),
        ..StoredEndpoint::default()
    };
    for change in before.changes() {
        match change {
            Change::Register(registration) => stored.registration = Some((**registration).clone()),
            Change::SaveObservation(observation) => {
                stored.observations = vec![(**observation).clone()];
            }
            _ => {}
        }
    }
    let mut after = Bench::restored_under(RuleSet::new(rules), stored);
    for (sequence, value) in [(3, "32"), (4, "20"), (5, "33")] {
        let notification = after.notification(token, sequence, value);
        after.feed(notification);
    }
    let events = events(&after);
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(events[0].message, "/3303/0/5700 is 33, above 30");
}

#[test]
fn too_many_paths_are_told_on_the_page_and_counted() {
    let mut bench = with(vec![rule("/3303/*/5700", Condition::Change { by: None })]);
    bench.settings.max_rule_states = 1;
    bench.observe();
    let body = br#"[{"bn":"/3303/","n":"0/5700","v":1},{"n":"1/5700","v":1},{"n":"2/5700","v":1}]"#;
    let send = bench.send(110, body);
    bench.feed(send);
    assert_eq!(bench.session.take_refused_by_rules(), 2);
    let warned = bench.changes().into_iter().any(|change| {
        matches!(change, Change::UpdateRegistration(registration)
            if registration.warnings.iter().any(|warning| warning.code == "rule_limit"))
    });
    assert!(warned);
}
