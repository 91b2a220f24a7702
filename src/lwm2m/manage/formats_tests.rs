//! The choice of formats: what was announced, what was refused, what is left.

use super::super::tests::{ALL, device, operation, path};
use super::super::{build, used};
use super::*;
use crate::domain::{Node, Value};

const V1_0: Lwm2mVersion = Lwm2mVersion::V1_0;
const V1_1: Lwm2mVersion = Lwm2mVersion::V1_1;
const V1_2: Lwm2mVersion = Lwm2mVersion::V1_2;

/// Builds the request again and again, each time refusing the format that it was in, as a device
/// does that understands none; the numbers of the formats, and how it ended.
fn refused_one_by_one(
    operation: &OperationRequest,
    device: Device<'_>,
    code: Code,
) -> (Vec<u16>, Option<String>) {
    let mut refused = device.refused.clone();
    let mut tried = Vec::new();
    loop {
        let device = Device {
            refused: &refused,
            ..device
        };
        let formats = match build(operation, &device) {
            Ok(request) => used(&request),
            Err(error) => return (tried, Some(error.to_string())),
        };
        let format = match code {
            Code::NOT_ACCEPTABLE => formats.accept,
            _ => formats.content,
        };
        tried.extend(format);
        let mut more = refused.clone();
        if !formats.learn(operation, code, &mut more) {
            return (tried, None);
        }
        refused = more;
    }
}

fn write(at: &str, value: Value) -> OperationRequest {
    OperationRequest {
        values: vec![Node::new(path(at), value)],
        ..operation(OperationKind::Write, &[at])
    }
}

fn read(at: &str) -> OperationRequest {
    operation(OperationKind::Read, &[at])
}

#[test]
fn an_answer_that_is_refused_falls_to_the_next_format_and_at_last_to_none() {
    let tried = |operation: &OperationRequest, device: Device<'_>| {
        let (tried, error) = refused_one_by_one(operation, device, Code::NOT_ACCEPTABLE);
        assert_eq!(error, None, "the device chooses in the end");
        tried
    };
    let announced = device(V1_1, &[112, 11_542]);
    assert_eq!(tried(&read("/3/0"), announced), [112, 11_542, 110, 11_543]);
    assert_eq!(
        tried(&read("/3/0/9"), announced),
        [112, 11_542, 0, 60, 110, 11_543]
    );
    assert_eq!(
        tried(&read("/3442/0/150"), announced),
        [112, 11_542, 42, 60, 110, 11_543],
        "opaque"
    );
    assert_eq!(
        tried(&read("/3/0/7"), announced),
        [112, 11_542, 110, 11_543],
        "several instances"
    );
    let composite = operation(OperationKind::ReadComposite, &["/3", "/1"]);
    assert_eq!(tried(&composite, announced), [112, 110]);
    assert_eq!(tried(&composite, device(V1_1, &[110])), [110, 112]);
    assert_eq!(tried(&composite, device(V1_1, &[320])), [110, 112]);
}

#[test]
fn devices_of_1_2_are_asked_for_lwm2m_cbor_where_it_saves_most() {
    const ANNOUNCED: &[u16] = &[112, 11_542, 11_544];
    let first = |operation: &OperationRequest, version| {
        let (tried, _) =
            refused_one_by_one(operation, device(version, ANNOUNCED), Code::NOT_ACCEPTABLE);
        tried[..3].to_vec()
    };
    let composite = operation(OperationKind::ReadComposite, &["/3", "/1"]);
    let observe = operation(OperationKind::Observe, &["/3303"]);
    for bulky in [&read("/3"), &read("/3/0"), &read("/3/0/7"), &observe] {
        assert_eq!(first(bulky, V1_2), [11_544, 112, 11_542], "{bulky:?}");
        assert_eq!(first(bulky, V1_1), [112, 11_542, 11_544], "{bulky:?}");
    }
    assert_eq!(first(&composite, V1_2), [11_544, 112, 110]);
    assert_eq!(first(&composite, V1_1), [112, 11_544, 110]);
    assert_eq!(first(&read("/3/0/9"), V1_2), [112, 11_542, 11_544]);
    // Nobody who did not announce it is asked for it first; it is the last straw of 1.2.
    let (tried, _) = refused_one_by_one(&read("/3"), device(V1_2, &[110]), Code::NOT_ACCEPTABLE);
    assert_eq!(tried, [110, 112, 11_542, 11_543, 11_544]);
}

#[test]
fn devices_of_1_2_are_written_to_in_lwm2m_cbor_when_they_announced_no_better() {
    let body = |operation: &OperationRequest, formats: &'static [u16]| {
        let request = build(operation, &device(V1_2, formats)).expect("possible");
        used(&request).content
    };
    let instance = OperationRequest {
        kind: OperationKind::WriteUpdate,
        paths: vec![path("/3442/0")],
        ..write("/3442/0/120", Value::Integer(5))
    };
    assert_eq!(body(&instance, &[11_544]), Some(11_544));
    assert_eq!(body(&instance, &[11_544, 11_542]), Some(11_544));
    assert_eq!(body(&instance, &[11_544, 112]), Some(112));
    let create = operation(OperationKind::Create, &["/3303/5"]);
    assert_eq!(body(&create, &[11_544]), Some(11_544));
    assert_eq!(body(&create, &[11_544, 11_542]), Some(11_542));
    let composite = OperationRequest {
        kind: OperationKind::WriteComposite,
        ..write("/3442/0/120", Value::Integer(5))
    };
    assert_eq!(body(&composite, &[11_544]), Some(11_544));
    let request = build(&composite, &device(V1_2, &[11_544])).expect("possible");
    assert_eq!(hex::encode(&request.payload), "a1190d72a100a1187805");
    // The paths of a composite have no form in it.
    let read = operation(OperationKind::ReadComposite, &["/3"]);
    let request = build(&read, &device(V1_2, &[11_544])).expect("possible");
    assert_eq!(
        used(&request),
        UsedFormats {
            accept: Some(11_544),
            content: Some(112)
        }
    );
    let named = OperationRequest {
        format: Some(ContentFormat::Lwm2mCbor),
        ..read
    };
    assert_eq!(
        used(&build(&named, &device(V1_2, &[])).expect("possible")),
        used(&request)
    );
}

#[test]
fn what_was_not_asked_for_cannot_be_refused() {
    let nothing: [u16; 0] = [];
    for device in [device(V1_0, ALL), device(V1_1, &[])] {
        let (tried, _) = refused_one_by_one(&read("/3/0"), device, Code::NOT_ACCEPTABLE);
        assert_eq!(tried, nothing);
    }
}

#[test]
fn a_body_that_is_refused_falls_to_the_next_format_until_none_is_left() {
    let tried = |operation: &OperationRequest, device: Device<'_>| {
        let (tried, error) =
            refused_one_by_one(operation, device, Code::UNSUPPORTED_CONTENT_FORMAT);
        let error = error.expect("nothing left");
        assert!(
            error.starts_with("the device refuses every format that this could be sent in: "),
            "{error}"
        );
        for format in &tried {
            assert!(error.contains(&format.to_string()), "{format}: {error}");
        }
        tried
    };
    let number = write("/3442/0/120", Value::Integer(5));
    assert_eq!(
        tried(&number, device(V1_1, ALL)),
        [60, 112, 0, 11_542, 110, 11_543]
    );
    assert_eq!(
        tried(&number, device(V1_1, &[])),
        [0, 11_542, 60, 112, 110, 11_543]
    );
    assert_eq!(tried(&number, device(V1_0, ALL)), [0, 11_542, 11_543]);
    let bytes = write("/3442/0/150", Value::Opaque(vec![1]));
    assert_eq!(
        tried(&bytes, device(V1_1, &[112])),
        [42, 112, 11_542, 60, 110, 0, 11_543]
    );
    assert_eq!(tried(&bytes, device(V1_0, &[])), [42, 11_542, 0, 11_543]);
    let instance = OperationRequest {
        paths: vec![path("/3442/0")],
        ..number
    };
    assert_eq!(
        tried(&instance, device(V1_1, &[110, 112])),
        [112, 110, 11_542, 11_543]
    );
    assert_eq!(tried(&instance, device(V1_0, &[])), [11_542, 11_543]);
    let create = operation(OperationKind::Create, &["/3303"]);
    assert_eq!(tried(&create, device(V1_1, ALL)), [11_542]);
    let composite = operation(OperationKind::ObserveComposite, &["/3", "/1"]);
    assert_eq!(tried(&composite, device(V1_1, &[])), [112, 110, 322, 320]);
    assert_eq!(
        tried(&composite, device(V1_1, &[320, 110])),
        [110, 320, 112, 322]
    );
}

#[test]
fn accept_and_body_are_remembered_apart() {
    let mut refused = RefusedFormats::default();
    refused.refuse_content(112);
    let mut device = device(V1_1, &[110, 112]);
    device.refused = &refused;
    let composite = operation(OperationKind::ReadComposite, &["/3"]);
    let request = build(&composite, &device).expect("possible");
    assert_eq!(
        used(&request),
        UsedFormats {
            accept: Some(110),
            content: Some(110)
        }
    );
    assert_eq!(
        used(&build(&read("/3"), &device).expect("possible")).accept,
        Some(112)
    );
}

#[test]
fn a_format_that_the_operation_names_is_used_whatever_was_refused() {
    let mut refused = RefusedFormats::default();
    refused.refuse_accept(112);
    refused.refuse_content(112);
    let mut device = device(V1_1, ALL);
    device.refused = &refused;
    let named = |operation: OperationRequest| OperationRequest {
        format: Some(ContentFormat::SenmlCbor),
        ..operation
    };
    let read = named(read("/3"));
    assert_eq!(
        used(&build(&read, &device).expect("possible")).accept,
        Some(112)
    );
    let write = named(write("/3442/0/120", Value::Integer(5)));
    let formats = used(&build(&write, &device).expect("possible"));
    assert_eq!(formats.content, Some(112));
    let mut more = RefusedFormats::default();
    assert!(!formats.learn(&write, Code::UNSUPPORTED_CONTENT_FORMAT, &mut more));
    assert!(more.is_empty(), "people's experiments teach nothing");
}

#[test]
fn only_4_06_and_4_15_teach_and_only_once() {
    let formats = UsedFormats {
        accept: Some(112),
        content: Some(110),
    };
    let composite = operation(OperationKind::ReadComposite, &["/3"]);
    let mut refused = RefusedFormats::default();
    for code in [Code::CONTENT, Code::BAD_REQUEST, Code::NOT_FOUND] {
        assert!(!formats.learn(&composite, code, &mut refused));
    }
    assert!(refused.is_empty());
    assert!(formats.learn(&composite, Code::NOT_ACCEPTABLE, &mut refused));
    assert!(!formats.learn(&composite, Code::NOT_ACCEPTABLE, &mut refused));
    assert!(formats.learn(&composite, Code::UNSUPPORTED_CONTENT_FORMAT, &mut refused));
    assert_eq!(refused.accept.iter().collect::<Vec<_>>(), [&112]);
    assert_eq!(refused.content.iter().collect::<Vec<_>>(), [&110]);
    // Link format and the text of arguments are no choice of ours.
    for kind in [OperationKind::Discover, OperationKind::Execute] {
        let operation = operation(kind, &["/3/0/4"]);
        assert!(!formats.learn(
            &operation,
            Code::NOT_ACCEPTABLE,
            &mut RefusedFormats::default()
        ));
    }
}

#[test]
fn old_clients_are_spoken_to_in_the_numbers_that_they_announced() {
    let old = device(V1_0, &[1542]);
    let instance = OperationRequest {
        paths: vec![path("/3442/0")],
        ..write("/3442/0/120", Value::Integer(5))
    };
    assert_eq!(
        used(&build(&instance, &old).expect("possible")).content,
        Some(1542)
    );
    let modern = device(V1_1, &[1543]);
    assert_eq!(
        used(&build(&read("/3"), &modern).expect("possible")).accept,
        Some(1543)
    );
    let both = device(V1_1, &[1542, 11_542]);
    assert_eq!(
        used(&build(&read("/3"), &both).expect("possible")).accept,
        Some(11_542)
    );
}

#[test]
fn composites_fall_to_senml_etch() {
    let body = |operation: &OperationRequest, formats: &'static [u16]| {
        used(&build(operation, &device(V1_1, formats)).expect("possible"))
    };
    let read = operation(OperationKind::ReadComposite, &["/3", "/1"]);
    for (formats, content, accept) in [
        (&[322][..], 322, 112),
        (&[320], 320, 110),
        (&[320, 322], 322, 112),
        (&[320, 110], 110, 110),
        (&[320, 112], 112, 112),
    ] {
        let wanted = UsedFormats {
            accept: Some(accept),
            content: Some(content),
        };
        assert_eq!(body(&read, formats), wanted, "{formats:?}");
        let write = OperationRequest {
            kind: OperationKind::WriteComposite,
            ..write("/3442/0/120", Value::Integer(5))
        };
        assert_eq!(body(&write, formats).content, Some(content), "{formats:?}");
    }
    let named = OperationRequest {
        format: Some(ContentFormat::SenmlEtchJson),
        ..read
    };
    let wanted = UsedFormats {
        accept: Some(110),
        content: Some(320),
    };
    assert_eq!(body(&named, &[112]), wanted);
    for kind in [OperationKind::Read, OperationKind::Write] {
        let single = OperationRequest {
            kind,
            format: Some(ContentFormat::SenmlEtchJson),
            ..write("/3442/0/120", Value::Integer(5))
        };
        let error = build(&single, &device(V1_2, ALL)).expect_err("not for this");
        assert!(error.to_string().contains("composite"), "{error}");
    }
}

#[test]
fn h2_resource_instances_are_removed_in_senml_etch_alone() {
    let remove = |values: Vec<Node>, removed: &[&str]| OperationRequest {
        kind: OperationKind::WriteComposite,
        paths: vec![path("/3442/0"), path("/33000/0")],
        values,
        removed: removed.iter().map(|at| path(at)).collect(),
        ..operation(OperationKind::WriteComposite, &[])
    };
    let value = Node::new(path("/3442/0/1120/0"), Value::Integer(5));
    let both = remove(
        vec![value.clone()],
        &["/3442/0/1120/7", "/3442/0/1110/1", "/3442/0/1120/7"],
    );
    let request = build(&both, &device(V1_2, &[320])).expect("possible");
    assert_eq!(
        String::from_utf8(request.payload).expect("JSON"),
        concat!(
            r#"[{"n":"/3442/0/1120/0","v":5},"#,
            r#"{"n":"/3442/0/1110/1","v":null},{"n":"/3442/0/1120/7","v":null}]"#
        )
    );
    let only = remove(vec![], &["/33000/0/1/2"]);
    let request = build(&only, &device(V1_2, ALL)).expect("possible");
    assert_eq!(used(&request).content, Some(322));
    assert_eq!(
        hex::encode(&request.payload),
        "81a2006c2f33333030302f302f312f3202f6"
    );
    let tried = refused_one_by_one(&only, device(V1_2, ALL), Code::UNSUPPORTED_CONTENT_FORMAT);
    assert_eq!(tried.0, [322, 320]);
    let error = |operation: &OperationRequest, version| {
        build(operation, &device(version, ALL))
            .expect_err("not possible")
            .to_string()
    };
    assert_eq!(
        error(&only, V1_1),
        "the removal of resource instances by a Write-Composite does not exist in LwM2M 1.1"
    );
    for (wrong, reason) in [
        (
            remove(vec![], &["/3442/0/120/0"]),
            "is no resource instance",
        ),
        (remove(vec![], &["/3442/0/1120"]), "is no resource instance"),
        (remove(vec![], &["/16/0/0/1"]), "is not where"),
        (
            remove(vec![value], &["/3442/0/1120/0"]),
            "is to be written and removed",
        ),
    ] {
        let error = error(&wrong, V1_2);
        assert!(error.contains(reason), "{error}");
    }
    let plain = OperationRequest {
        format: Some(ContentFormat::SenmlJson),
        ..only
    };
    assert!(error(&plain, V1_2).contains("senml_etch_json"));
}
