//! A line of the audit log is in the commit that it tells of: neither is there without the other.

use super::bench::{Bench, Done, new_operation};
use crate::domain::{
    AuditEntry, Doer, NewOperation, OperationKind, OperationStatus, ProfileChange,
};
use crate::endpoint::session::{Input, Ticket};
use crate::store::Change;

fn ada() -> Option<Doer> {
    Some(Doer {
        actor: "ada".to_owned(),
        remote: "192.0.2.1".to_owned(),
    })
}

fn registered() -> Bench {
    let mut bench = Bench::new();
    let register = bench.register("ep=thing&lwm2m=1.1&lt=300", "</3/0>");
    bench.feed(register);
    bench
}

fn asked(kind: OperationKind, at: &str) -> NewOperation {
    NewOperation {
        by: ada(),
        ..new_operation(kind, at)
    }
}

impl Bench {
    /// The lines of the last commit that has some, and what else is in it.
    #[track_caller]
    fn last_lines(&self) -> (Vec<AuditEntry>, Vec<Change>) {
        let changes = self.done.iter().rev().find_map(|done| match done {
            Done::Committed(changes) => changes
                .iter()
                .any(|change| matches!(change, Change::Audit(_)))
                .then(|| changes.clone()),
            Done::Acted(_) => None,
        });
        let (lines, others): (Vec<_>, Vec<_>) = changes
            .expect("a commit with a line")
            .into_iter()
            .partition(|change| matches!(change, Change::Audit(_)));
        let lines = lines.into_iter().filter_map(|line| match line {
            Change::Audit(line) => Some(*line),
            _ => None,
        });
        (lines.collect(), others)
    }
}

/// The statuses in which a commit saves operations.
fn saved(changes: &[Change]) -> Vec<OperationStatus> {
    changes
        .iter()
        .filter_map(|change| match change {
            Change::SaveOperation(operation) => Some(operation.status),
            _ => None,
        })
        .collect()
}

#[test]
fn of_an_operation_and_of_taking_it_back() {
    let mut bench = registered();
    bench.feed(Input::Operate {
        operation: Box::new(asked(OperationKind::Read, "/3/0/0")),
        ticket: Ticket(1),
    });
    let (lines, others) = bench.last_lines();
    assert_eq!(saved(&others), [OperationStatus::Queued]);
    let [line] = &lines[..] else {
        panic!("one line, not {lines:?}")
    };
    assert_eq!(
        (line.actor.as_str(), line.remote.as_str()),
        ("ada", "192.0.2.1")
    );
    assert_eq!(
        (line.action.as_str(), line.subject.as_str()),
        ("operation.create", "thing")
    );
    assert!(line.detail.ends_with(": read /3/0/0"), "{}", line.detail);

    let second = bench.operate(OperationKind::Read, "/3/0/1");
    bench.feed(Input::Cancel {
        id: second.id,
        by: ada(),
        ticket: Ticket(3),
    });
    let (lines, others) = bench.last_lines();
    assert_eq!(saved(&others), [OperationStatus::Cancelled]);
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0].action, "operation.cancel");
    assert_eq!(lines[0].detail, format!("operation {}", second.id));
}

#[test]
fn of_an_observation_that_ends_without_a_word_to_the_device() {
    let mut bench = registered();
    let mut operation = asked(OperationKind::CancelObserve, "/3/0/9");
    operation.request.passive = true;
    bench.feed(Input::Operate {
        operation: Box::new(operation),
        ticket: Ticket(1),
    });
    let (lines, others) = bench.last_lines();
    assert_eq!(lines.len(), 1);
    assert_eq!(saved(&others).len(), 1, "it ends in the same commit");
}

#[test]
fn of_what_is_said_of_a_device() {
    let mut bench = registered();
    bench.feed(Input::Profile {
        change: ProfileChange {
            tags: Some(vec!["lab".to_owned()]),
            ..ProfileChange::default()
        },
        by: ada(),
        ticket: Ticket(1),
    });
    let (lines, others) = bench.last_lines();
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0].action, "endpoint.update");
    assert!(
        lines[0].detail.starts_with("tags lab, "),
        "{}",
        lines[0].detail
    );
    let is_profile = |change: &Change| matches!(change, Change::Profile { .. });
    assert!(others.iter().any(is_profile));
}

#[test]
fn what_is_refused_or_asked_by_the_server_has_no_line() {
    let mut bench = registered();
    // One is on its way.
    for number in 0..=bench.settings.max_operations {
        bench.feed(Input::Operate {
            operation: Box::new(new_operation(OperationKind::Read, "/3/0/0")),
            ticket: Ticket(number as u64),
        });
    }
    bench.feed(Input::Operate {
        operation: Box::new(asked(OperationKind::Read, "/3/0/0")),
        ticket: Ticket(0),
    });
    let is_line = |change: &&&Change| matches!(change, Change::Audit(_));
    assert_eq!(bench.changes().iter().filter(is_line).count(), 0);
}
