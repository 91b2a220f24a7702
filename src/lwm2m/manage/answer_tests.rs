//! Answers as results.

use super::super::tests::{ALL, answer, device, operation, path};
use super::*;
use crate::domain::{Lwm2mVersion, Timestamp, Value};

const V1_0: Lwm2mVersion = Lwm2mVersion::V1_0;
const V1_1: Lwm2mVersion = Lwm2mVersion::V1_1;

#[test]
fn e1_answers_are_read_in_the_format_that_they_name() {
    let read = operation(OperationKind::Read, &["/3/0/9"]);
    for (format, payload) in [
        (Some(0), &b"95"[..]),
        (None, b"95"),
        (Some(60), b"\x18\x5f"),
        (Some(11_542), b"\xc1\x09\x5f"),
        (Some(1542), b"\xc1\x09\x5f"),
        (Some(110), br#"[{"bn":"/3/0/9","v":95}]"#),
        (Some(11_543), br#"{"bn":"/3/0/9","e":[{"v":95}]}"#),
    ] {
        let result = interpret(
            &read,
            &device(V1_0, ALL),
            &answer(Code::CONTENT, format, payload),
        )
        .expect("readable");
        assert_eq!(result.code, "2.05");
        assert_eq!(
            result.nodes,
            [Node::new(path("/3/0/9"), Value::Integer(95))],
            "{format:?}"
        );
    }
    let object = operation(OperationKind::Read, &["/3"]);
    let tlv = answer(Code::CONTENT, None, b"\x08\x00\x03\xc1\x09\x5f");
    assert_eq!(
        interpret(&object, &device(V1_0, &[]), &tlv)
            .expect("TLV")
            .nodes
            .len(),
        1
    );
    let senml = answer(Code::CONTENT, None, br#"[{"n":"/3/0/9","v":95}]"#);
    assert_eq!(
        interpret(&object, &device(V1_1, &[110]), &senml)
            .expect("as asked")
            .nodes
            .len(),
        1
    );
}

#[test]
fn e3_e4_empty_answers_are_empty() {
    let object = operation(OperationKind::Read, &["/3303"]);
    for format in [None, Some(11_542), Some(110), Some(112)] {
        let result = interpret(
            &object,
            &device(V1_1, &[]),
            &answer(Code::CONTENT, format, b""),
        );
        assert_eq!(result.expect("nothing there").nodes, []);
    }
    let opaque = operation(OperationKind::Read, &["/3442/0/150"]);
    for format in [None, Some(42)] {
        let result = interpret(
            &opaque,
            &device(V1_1, &[]),
            &answer(Code::CONTENT, format, b""),
        );
        assert_eq!(
            result.expect("no bytes").nodes,
            [Node::new(path("/3442/0/150"), Value::Opaque(vec![]))]
        );
    }
}

#[test]
fn d4_timestamps_of_answers_are_kept() {
    let text = br#"[{"bn":"/3303/0/5700","bt":1700000000,"v":21.5}]"#;
    let response = answer(Code::CONTENT, Some(110), text);
    let all = [
        (OperationKind::Read, "/3303/0/5700"),
        (OperationKind::Observe, "/3303/0"),
        (OperationKind::CancelObserve, "/3303"),
        (OperationKind::ReadComposite, "/3303/0/5700"),
        (OperationKind::ObserveComposite, "/"),
        (OperationKind::CancelObserveComposite, "/3303"),
    ];
    for (kind, at) in all {
        let result =
            interpret(&operation(kind, &[at]), &device(V1_1, ALL), &response).expect("readable");
        assert_eq!(
            result.nodes[0].time,
            Timestamp::from_millis(1_700_000_000_000),
            "{kind}"
        );
    }
}

#[test]
fn refusals_are_results_and_nonsense_is_an_error() {
    let new = device(V1_1, ALL);
    for kind in OperationKind::ALL {
        let request = operation(kind, &["/3/0/9"]);
        let result =
            interpret(&request, &new, &answer(Code::NOT_FOUND, None, b"gone")).expect("a refusal");
        assert_eq!(
            (result.code.as_str(), result.nodes.len()),
            ("4.04", 0),
            "{kind}"
        );
        assert!(
            interpret(&request, &new, &answer(Code::CONTINUE, None, b"")).is_err(),
            "{kind}"
        );
        assert!(
            interpret(&request, &new, &answer(Code::GET, None, b"")).is_err(),
            "{kind}"
        );
        assert!(
            interpret(&request, &new, &answer(Code::new(3, 1), None, b"")).is_err(),
            "{kind}"
        );
    }
    let read = operation(OperationKind::Read, &["/3/0/9"]);
    for response in [
        answer(Code::CHANGED, Some(0), b"95"),
        answer(Code::CONTENT, Some(50), b"95"),
        answer(Code::CONTENT, Some(110), br#"[{"n":"/3/0/10","v":1}]"#),
        answer(Code::CONTENT, Some(11_542), b"\xc1\x0a\x01"),
    ] {
        assert!(interpret(&read, &new, &response).is_err(), "{response:?}");
    }
    let composite = operation(OperationKind::ReadComposite, &["/3/0/9", "/1"]);
    let outside = answer(
        Code::CONTENT,
        Some(110),
        br#"[{"n":"/3/0/9","v":1},{"n":"/3/0/10","v":1}]"#,
    );
    let error = interpret(&composite, &new, &outside)
        .expect_err("not asked for")
        .to_string();
    assert_eq!(
        error,
        "/3/0/10 is not among what was asked for (/3/0/9, /1)"
    );
    let cancel = operation(OperationKind::CancelObserve, &["/3/0/9"]);
    assert!(
        interpret(&cancel, &new, &answer(Code::CONTENT, Some(50), b"?")).is_ok(),
        "it is over all the same"
    );
}

#[test]
fn answers_to_the_other_kinds_are_understood() {
    let new = device(V1_1, ALL);
    for (kind, at, code) in [
        (OperationKind::Write, "/1/0/1", Code::CHANGED),
        (OperationKind::WriteUpdate, "/1/0", Code::CHANGED),
        (OperationKind::WriteComposite, "/1", Code::CHANGED),
        (OperationKind::WriteAttributes, "/1", Code::CHANGED),
        (OperationKind::Execute, "/3/0/4", Code::CHANGED),
        (OperationKind::Delete, "/3303/1", Code::DELETED),
        (OperationKind::Create, "/3303", Code::CREATED),
    ] {
        let result =
            interpret(&operation(kind, &[at]), &new, &answer(code, None, b"")).expect("done");
        assert_eq!(
            (result.code, result.location),
            (code.to_string(), None),
            "{kind}"
        );
    }
    assert!(
        interpret(
            &operation(OperationKind::Create, &["/3303"]),
            &new,
            &answer(Code::CONTENT, None, b"")
        )
        .is_err()
    );
}

#[test]
fn the_words_of_a_refusal_can_be_shown() {
    assert_eq!(
        diagnostic(&answer(Code::BAD_REQUEST, None, b" no\x07pe\n")).as_deref(),
        Some("no pe")
    );
    assert_eq!(
        diagnostic(&answer(Code::BAD_REQUEST, None, &[b'x'; 1000]))
            .expect("words")
            .len(),
        200
    );
    assert_eq!(diagnostic(&answer(Code::BAD_REQUEST, None, b"")), None);
    assert_eq!(diagnostic(&answer(Code::BAD_REQUEST, Some(60), b"x")), None);
    assert_eq!(diagnostic(&answer(Code::CONTENT, None, b"x")), None);
}
