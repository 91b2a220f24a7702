//! Log data: lines in the commit of the message that carried it, and no values.

use super::bench::{Bench, Done};
use crate::coap::{Code, Response, number};
use crate::domain::{LogLevel, LogLine, LogResource, OperationKind, Selection};
use crate::store::Change;

fn bench() -> Bench {
    let mut bench = Bench::new();
    bench.log_resources = ["/20/*/4014", "/20/*/4016", "/26241/*/1"]
        .into_iter()
        .zip(1..)
        .map(|(path, id)| LogResource {
            id,
            path: path.parse().expect("a pattern"),
            selection: Selection::default(),
        })
        .collect();
    let register = bench.register("ep=thing&lwm2m=1.1&lt=300", "</20/0>,</26241/0>,</3/0>");
    bench.feed(register);
    bench
}

fn lines(bench: &Bench) -> Vec<String> {
    let changes = bench.changes().into_iter();
    changes
        .filter_map(|change| match change {
            Change::Log { lines, path, .. } => Some(lines.iter().map(move |line| (path, line))),
            _ => None,
        })
        .flatten()
        .map(|(path, LogLine { level, text })| {
            let level = level.map_or("-", LogLevel::name);
            format!("{path} {level} {text}")
        })
        .collect()
}

fn opaque(body: &[u8]) -> Response {
    let mut response = Response::new(Code::CONTENT);
    response.options.add_uint(number::CONTENT_FORMAT, 42);
    response.payload = body.to_vec();
    response
}

fn stored_values(bench: &Bench) -> usize {
    let changes = bench.changes().into_iter();
    changes
        .filter_map(|change| match change {
            Change::Resources { nodes, .. } | Change::Event { nodes, .. } => Some(nodes),
            _ => None,
        })
        .flatten()
        .filter(|node| [Some(20), Some(26241)].contains(&node.path.object_id()))
        .count()
}

#[test]
fn a_log_that_is_read_becomes_lines_and_no_value() {
    let mut bench = bench();
    bench.done.clear();
    let operation = bench.operate(OperationKind::Read, "/20/0/4014");
    bench.answer(opaque(b"[00:00:01.000,000] <wrn> app: hot\nplain\n"));
    assert_eq!(
        lines(&bench),
        [
            "/20/0/4014 wrn [00:00:01.000,000] app: hot",
            "/20/0/4014 - plain"
        ]
    );
    assert_eq!(stored_values(&bench), 0, "not kept twice");
    let result = bench.stored(operation.id).result.expect("a result");
    assert_eq!(result.nodes.len(), 1, "whoever asked gets it as it came");
    let together = bench.done.iter().any(|done| match done {
        Done::Committed(changes) => {
            let log = changes
                .iter()
                .any(|change| matches!(change, Change::Log { .. }));
            log && changes
                .iter()
                .any(|change| matches!(change, Change::SaveOperation(_)))
        }
        Done::Acted(_) => false,
    });
    assert!(together, "in one commit with what came of the message");
}

#[test]
fn of_a_collection_only_what_is_new_becomes_lines() {
    let mut bench = bench();
    for body in ["one\n", "one\ntwo\n", "one\ntwo\n", "reboot\n"] {
        bench.operate(OperationKind::Read, "/20/0/4014");
        bench.answer(opaque(body.as_bytes()));
    }
    assert_eq!(
        lines(&bench),
        [
            "/20/0/4014 - one",
            "/20/0/4014 - two",
            "/20/0/4014 - reboot"
        ]
    );
}

#[test]
fn a_send_with_the_format_beside_the_data_is_read_by_it() {
    let mut bench = bench();
    // /20/0/4015 = 3 (CBOR), /20/0/4016 = h'653c653e2078' ("<e> x" as a CBOR text)
    let body = br#"[{"n":"/20/0/4015","v":3},{"n":"/20/0/4016","vd":"ZTxlPiB4"}]"#;
    for _ in 0..2 {
        let send = bench.send(110, body);
        bench.feed(send);
    }
    // What is incremental is new each time.
    assert_eq!(lines(&bench), ["/20/0/4016 err x", "/20/0/4016 err x"]);
    assert_eq!(stored_values(&bench), 2, "the format is a value");
}

#[test]
fn a_text_is_a_log_where_it_is_marked_and_for_the_devices_that_are_meant() {
    let mut bench = bench();
    let body = br#"[{"n":"/26241/0/1","vs":"INFO up"},{"n":"/26241/0/2","vs":"INFO up"}]"#;
    let send = bench.send(110, body);
    bench.feed(send);
    assert_eq!(lines(&bench), ["/26241/0/1 inf up"]);
    assert_eq!(stored_values(&bench), 1);
    for log in &mut bench.log_resources {
        log.selection.names = vec!["other".to_owned()];
    }
    let send = bench.send(110, body);
    bench.feed(send);
    assert_eq!(lines(&bench).len(), 1);
    assert_eq!(stored_values(&bench), 3);
}

#[test]
fn a_log_is_bounded() {
    let mut bench = bench();
    bench.settings.log_limits.max_lines = 3;
    bench.settings.log_limits.max_line_bytes = 20;
    let body = format!("{}\n{}", "x".repeat(1000), "y\n".repeat(500));
    bench.operate(OperationKind::Read, "/20/0/4014");
    bench.answer(opaque(body.as_bytes()));
    let lines = lines(&bench);
    assert_eq!(lines.len(), 4, "{lines:?}");
    assert!(lines[0].ends_with("… (980 bytes cut)"), "{}", lines[0]);
    assert!(
        lines[3].ends_with("(498 more lines left out)"),
        "{}",
        lines[3]
    );
}
