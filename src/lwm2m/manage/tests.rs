//! Operations as requests, one line each.

use std::sync::LazyLock;

use super::*;
use crate::coap::Response;
use crate::domain::{Node, ObjectLink, RefusedFormats, Timestamp, Value};
use crate::lwm2m::Models;

static MODELS: LazyLock<Models> = LazyLock::new(Models::builtin);

const V1_0: Lwm2mVersion = Lwm2mVersion::V1_0;
const V1_1: Lwm2mVersion = Lwm2mVersion::V1_1;
const V1_2: Lwm2mVersion = Lwm2mVersion::V1_2;

/// What a device announces: all of SenML, TLV and CBOR.
pub(super) const ALL: &[u16] = &[60, 110, 112, 11_542, 11_543];

pub(super) fn device(version: Lwm2mVersion, formats: &'static [u16]) -> Device<'static> {
    Device {
        version,
        root: "",
        formats,
        refused: RefusedFormats::NONE,
        objects: &[],
        models: &MODELS,
    }
}

pub(super) fn path(text: &str) -> Path {
    text.parse().expect(text)
}

pub(super) fn operation(kind: OperationKind, paths: &[&str]) -> OperationRequest {
    OperationRequest::new(kind, paths.iter().map(|text| path(text)).collect())
}

pub(super) fn with_values(
    kind: OperationKind,
    paths: &[&str],
    values: &[(&str, Value)],
) -> OperationRequest {
    let values = values
        .iter()
        .map(|(at, value)| Node::new(path(at), value.clone()))
        .collect();
    OperationRequest {
        values,
        ..operation(kind, paths)
    }
}

/// A request in one line: method, path, then the options and body that matter here.
fn line(request: &Request) -> String {
    let path = request.options.uri_path().expect("UTF-8").join("/");
    let query = request.options.uri_query().expect("UTF-8").join("&");
    let mut line = format!("{} /{path}", request.code);
    if !query.is_empty() {
        line += &format!("?{query}");
    }
    for (name, value) in [
        ("observe", request.options.observe()),
        ("format", request.options.content_format().map(u32::from)),
        ("accept", request.options.accept().map(u32::from)),
    ] {
        if let Some(value) = value {
            line += &format!(" {name}={value}");
        }
    }
    if !request.payload.is_empty() {
        let binary = matches!(
            request.options.content_format(),
            Some(42 | 60 | 112 | 11_542)
        );
        let body = match String::from_utf8(request.payload.clone()) {
            Ok(text) if !binary => text,
            _ => hex::encode(&request.payload),
        };
        line += &format!(" {body}");
    }
    line
}

pub(super) fn built(operation: &OperationRequest, device: &Device<'_>) -> String {
    line(&build(operation, device).expect("possible"))
}

pub(super) fn refused(operation: &OperationRequest, device: &Device<'_>) -> String {
    build(operation, device)
        .expect_err("not possible")
        .to_string()
}

pub(super) fn answer(code: Code, format: Option<u16>, payload: &[u8]) -> Response {
    let mut response = Response::new(code);
    if let Some(format) = format {
        response
            .options
            .add_uint(number::CONTENT_FORMAT, format.into());
    }
    response.payload = payload.to_vec();
    response
}

#[test]
fn e1_a_read_asks_for_a_format_only_when_the_device_announced_it() {
    let read =
        |path: &str, device: &Device<'_>| built(&operation(OperationKind::Read, &[path]), device);
    assert_eq!(read("/3/0/9", &device(V1_0, ALL)), "0.01 /3/0/9");
    assert_eq!(read("/3/0", &device(V1_0, &[])), "0.01 /3/0");
    assert_eq!(read("/3/0", &device(V1_1, &[])), "0.01 /3/0");
    assert_eq!(read("/3/0", &device(V1_1, ALL)), "0.01 /3/0 accept=112");
    assert_eq!(read("/3/0/9", &device(V1_1, ALL)), "0.01 /3/0/9 accept=112");
    assert_eq!(
        read("/3", &device(V1_2, &[110, 11_542])),
        "0.01 /3 accept=110"
    );
    assert_eq!(read("/3", &device(V1_1, &[11_542])), "0.01 /3 accept=11542");
    assert_eq!(read("/3/0/6/1", &device(V1_1, &[])), "0.01 /3/0/6/1");
    let mut text = operation(OperationKind::Read, &["/3/0/9"]);
    text.format = Some(ContentFormat::Text);
    assert_eq!(built(&text, &device(V1_0, &[])), "0.01 /3/0/9 accept=0");
    text.paths = vec![path("/3/0")];
    assert!(refused(&text, &device(V1_1, ALL)).contains("no resource"));
    text.format = Some(ContentFormat::Lwm2mCbor);
    assert_eq!(built(&text, &device(V1_2, ALL)), "0.01 /3/0 accept=11544");
}

#[test]
fn b5_the_alternate_root_is_in_front_of_every_path() {
    let mut device = device(V1_1, &[112]);
    device.root = "/lwm2m";
    assert_eq!(
        built(&operation(OperationKind::Read, &["/3/0/9"]), &device),
        "0.01 /lwm2m/3/0/9 accept=112"
    );
    let fetch = built(
        &operation(OperationKind::ReadComposite, &["/3/0/9"]),
        &device,
    );
    assert!(
        fetch.starts_with("0.05 /lwm2m format=112 accept=112 "),
        "{fetch}"
    );
    let created = {
        let mut response = answer(Code::CREATED, None, b"");
        for segment in ["lwm2m", "3303", "7"] {
            response
                .options
                .add(number::LOCATION_PATH, segment.as_bytes());
        }
        response
    };
    let result = interpret(
        &operation(OperationKind::Create, &["/3303"]),
        &device,
        &created,
    );
    assert_eq!(
        result.expect("created").location.as_deref(),
        Some("/3303/7")
    );
}

#[test]
fn i2_observe_and_its_end_differ_only_in_the_option() {
    let device = device(V1_1, ALL);
    assert_eq!(
        built(
            &operation(OperationKind::Observe, &["/3303/0/5700"]),
            &device
        ),
        "0.01 /3303/0/5700 observe=0 accept=112"
    );
    assert_eq!(
        built(
            &operation(OperationKind::CancelObserve, &["/3303/0/5700"]),
            &device
        ),
        "0.01 /3303/0/5700 observe=1 accept=112"
    );
    let paths = &["/3303/0/5700", "/3"];
    let observe = built(&operation(OperationKind::ObserveComposite, paths), &device);
    let cancel = built(
        &operation(OperationKind::CancelObserveComposite, paths),
        &device,
    );
    assert_eq!(
        observe,
        "0.05 / observe=0 format=112 accept=112 82a1006c2f333330332f302f35373030a100622f33"
    );
    assert_eq!(cancel, observe.replace("observe=0", "observe=1"));
}

#[test]
fn h1_composites_use_senml_and_need_1_1() {
    let read = operation(OperationKind::ReadComposite, &["/3/0/0", "/1"]);
    assert_eq!(
        built(&read, &device(V1_1, &[110])),
        r#"0.05 / format=110 accept=110 [{"n":"/3/0/0"},{"n":"/1"}]"#
    );
    assert!(built(&read, &device(V1_1, &[])).contains("format=112"));
    assert!(
        built(
            &operation(OperationKind::ReadComposite, &["/"]),
            &device(V1_1, &[])
        )
        .contains("81a100612f")
    );
    for kind in [
        OperationKind::ReadComposite,
        OperationKind::WriteComposite,
        OperationKind::ObserveComposite,
        OperationKind::CancelObserveComposite,
    ] {
        let refused = refused(&operation(kind, &["/3"]), &device(V1_0, ALL));
        assert_eq!(refused, "a composite operation does not exist in LwM2M 1.0");
    }
    let tlv = OperationRequest {
        format: Some(ContentFormat::Tlv),
        ..read
    };
    assert!(build(&tlv, &device(V1_1, ALL)).is_err());
}

#[test]
fn h2_a_write_composite_carries_resources_of_several_objects_and_instances() {
    let write = with_values(
        OperationKind::WriteComposite,
        &["/1/0/1", "/16/0/0"],
        &[
            ("/1/0/1", Value::Integer(60)),
            ("/16/0/0/3", Value::String("x".into())),
        ],
    );
    assert_eq!(
        built(&write, &device(V1_1, &[110])),
        r#"0.07 / format=110 [{"n":"/1/0/1","v":60},{"n":"/16/0/0/3","vs":"x"}]"#
    );
    let outside = with_values(
        OperationKind::WriteComposite,
        &["/1/0/1"],
        &[("/1/0/2", Value::Integer(1))],
    );
    assert!(refused(&outside, &device(V1_1, ALL)).contains("/1/0/2"));
    assert!(
        build(
            &operation(OperationKind::WriteComposite, &["/1"]),
            &device(V1_1, ALL)
        )
        .is_err()
    );
}

#[test]
fn f1_a_single_value_is_written_in_the_simplest_format() {
    let write = |at: &str, value: Value, device: &Device<'_>| {
        built(
            &with_values(OperationKind::Write, &[at], &[(at, value)]),
            device,
        )
    };
    let old = device(V1_0, ALL);
    let bare = device(V1_1, &[]);
    let new = device(V1_1, ALL);
    assert_eq!(
        write("/3442/0/110", Value::String("a".into()), &old),
        "0.03 /3442/0/110 format=0 a"
    );
    assert_eq!(
        write("/3442/0/120", Value::Integer(-5), &old),
        "0.03 /3442/0/120 format=0 -5"
    );
    assert_eq!(
        write("/3442/0/130", Value::Float(21.5), &bare),
        "0.03 /3442/0/130 format=0 21.5"
    );
    assert_eq!(
        write("/3442/0/120", Value::Integer(100), &new),
        "0.03 /3442/0/120 format=60 1864"
    );
    assert_eq!(
        write("/3442/0/160", Value::Time(1_367_491_215), &new),
        "0.03 /3442/0/160 format=60 c11a5182428f"
    );
    assert_eq!(
        write("/3442/0/120", Value::Integer(1), &device(V1_1, &[112])),
        "0.03 /3442/0/120 format=112 81a2216b2f333434322f302f3132300201"
    );
    for device in [&old, &bare, &new] {
        assert_eq!(
            write("/3442/0/150", Value::Opaque(vec![1, 2]), device),
            "0.03 /3442/0/150 format=42 0102"
        );
    }
    let link = Value::Objlnk(ObjectLink {
        object: 66,
        instance: 0,
    });
    assert_eq!(
        write("/3442/0/170", link, &bare),
        "0.03 /3442/0/170 format=0 66:0"
    );
    assert_eq!(
        write("/3442/0/140", Value::Boolean(true), &bare),
        "0.03 /3442/0/140 format=0 1"
    );
}

#[test]
fn f2_a_resource_instance_is_written_since_1_1() {
    let write = with_values(
        OperationKind::Write,
        &["/3442/0/1110/5"],
        &[("/3442/0/1110/5", Value::String("a".into()))],
    );
    assert_eq!(
        built(&write, &device(V1_1, &[])),
        "0.03 /3442/0/1110/5 format=0 a"
    );
    assert!(refused(&write, &device(V1_0, &[])).contains("LwM2M 1.0"));
}

#[test]
fn f3_f4_instances_and_resources_with_instances_are_written_whole() {
    let values = [
        ("/3442/0/120", Value::Integer(1)),
        ("/3442/0/1120/0", Value::Integer(2)),
        ("/3442/0/1120/7", Value::Integer(3)),
    ];
    let replace = with_values(OperationKind::Write, &["/3442/0"], &values);
    let tlv = "0.03 /3442/0 format=11542 c17801a60460410002410703";
    let written = built(&replace, &device(V1_0, ALL));
    assert_eq!(written, tlv);
    assert_eq!(
        built(&replace, &device(V1_1, &[])),
        written,
        "TLV is what nearly every client reads"
    );
    assert!(built(&replace, &device(V1_1, ALL)).contains("format=112"));
    assert_eq!(
        built(&replace, &device(V1_1, &[110])),
        r#"0.03 /3442/0 format=110 [{"bn":"/3442/0/","n":"120","v":1},{"n":"1120/0","v":2},{"n":"1120/7","v":3}]"#
    );
    let update = OperationRequest {
        kind: OperationKind::WriteUpdate,
        ..replace
    };
    assert_eq!(
        built(&update, &device(V1_0, ALL)),
        written.replace("0.03", "0.02")
    );
    let multiple = with_values(OperationKind::Write, &["/3442/0/1120"], &values[1..]);
    assert_eq!(
        built(&multiple, &device(V1_0, ALL)),
        "0.03 /3442/0/1120 format=11542 a60460410002410703"
    );
    let partly = OperationRequest {
        kind: OperationKind::WriteUpdate,
        ..multiple
    };
    assert_eq!(
        built(&partly, &device(V1_0, ALL)),
        "0.02 /3442/0 format=11542 a60460410002410703",
        "never a POST on a resource"
    );
}

#[test]
fn f5_what_the_model_does_not_allow_is_not_sent() {
    let new = device(V1_1, ALL);
    let write = |at: &str, value: Value| with_values(OperationKind::Write, &[at], &[(at, value)]);
    for (at, value, reason) in [
        (
            "/3/0/15",
            Value::Integer(1),
            "the given INTEGER cannot become it",
        ),
        (
            "/1/0/1",
            Value::Float(1.5),
            "the given FLOAT cannot become it",
        ),
        ("/1/0/6", Value::Integer(2), "cannot become it"),
        ("/3442/0/1120", Value::Integer(1), "name the one to write"),
        (
            "/3442/0/120/0",
            Value::Integer(1),
            "has no resource instances",
        ),
    ] {
        let refused = refused(&write(at, value), &new);
        assert!(refused.contains(reason), "{at}: {refused}");
    }
    assert_eq!(
        built(
            &write("/3303/0/5700", Value::Integer(21)),
            &device(V1_0, &[])
        ),
        "0.03 /3303/0/5700 format=0 21"
    );
    assert_eq!(
        built(&write("/1/0/1", Value::Float(60.0)), &device(V1_0, &[])),
        "0.03 /1/0/1 format=0 60"
    );
    assert!(refused(&operation(OperationKind::Write, &["/3/0/15"]), &new).contains("no value"));
    let twice = with_values(
        OperationKind::Write,
        &["/1/0"],
        &[("/1/0/1", Value::Integer(1)), ("/1/0/1", Value::Integer(2))],
    );
    assert!(refused(&twice, &new).contains("twice"));
    let outside = with_values(
        OperationKind::Write,
        &["/1/0"],
        &[("/1/1/1", Value::Integer(1))],
    );
    assert!(refused(&outside, &new).contains("/1/1/1"));
    let nan = with_values(
        OperationKind::Write,
        &["/3303/0/5700"],
        &[("/3303/0/5700", Value::Float(f64::NAN))],
    );
    assert!(matches!(
        build(&nan, &device(V1_0, &[])),
        Err(ManageError::Codec(_))
    ));
    // Whether a resource may be written is the device's to say (F6).
    assert!(build(&write("/3/0/0", Value::String("x".into())), &new).is_ok());
    assert!(build(&write("/33333/0/1", Value::Integer(1)), &new).is_ok());
}

#[test]
fn written_values_carry_no_timestamps() {
    let mut write = with_values(
        OperationKind::Write,
        &["/1/0/1"],
        &[("/1/0/1", Value::Integer(60))],
    );
    write.values[0].time = Timestamp::from_millis(1_700_000_000_000);
    assert_eq!(built(&write, &device(V1_0, &[])), "0.03 /1/0/1 format=0 60");
}

#[test]
fn g1_a_create_leaves_the_id_to_the_device_or_names_it() {
    let value = |at| (at, Value::Float(21.5));
    let chosen = with_values(OperationKind::Create, &["/3303"], &[value("/3303/0/5700")]);
    for device in [&device(V1_0, ALL), &device(V1_1, ALL)] {
        assert_eq!(
            built(&chosen, device),
            "0.02 /3303 format=11542 e4164441ac0000"
        );
        assert_eq!(
            built(&operation(OperationKind::Create, &["/3303"]), device),
            "0.02 /3303 format=11542"
        );
        assert_eq!(
            built(&operation(OperationKind::Create, &["/3303/5"]), device),
            "0.02 /3303 format=11542 0005"
        );
    }
    let named = with_values(
        OperationKind::Create,
        &["/3303/5"],
        &[value("/3303/5/5700")],
    );
    assert_eq!(
        built(&named, &device(V1_0, ALL)),
        "0.02 /3303 format=11542 0705e4164441ac0000"
    );
    assert_eq!(
        built(&named, &device(V1_1, &[110])),
        r#"0.02 /3303 format=110 [{"bn":"/3303/","n":"5/5700","v":21.5}]"#
    );
    let two = with_values(
        OperationKind::Create,
        &["/3303"],
        &[value("/3303/1/5700"), value("/3303/2/5700")],
    );
    assert_eq!(
        built(&two, &device(V1_0, ALL)),
        "0.02 /3303 format=11542 0701e4164441ac00000702e4164441ac0000"
    );
    let senml = OperationRequest {
        format: Some(ContentFormat::SenmlCbor),
        ..chosen
    };
    assert!(refused(&senml, &device(V1_1, ALL)).contains("only tlv"));
    assert!(
        build(
            &operation(OperationKind::Create, &["/3303/0/5700"]),
            &device(V1_1, ALL)
        )
        .is_err()
    );
}

#[test]
fn g3_only_instances_are_deleted() {
    let delete = |path: &str| operation(OperationKind::Delete, &[path]);
    assert_eq!(
        built(&delete("/3303/5"), &device(V1_0, &[])),
        "0.04 /3303/5"
    );
    assert_eq!(
        built(&delete("/3/0/6/1"), &device(V1_2, &[])),
        "0.04 /3/0/6/1"
    );
    for path in ["/", "/3303", "/3/0/9"] {
        assert!(build(&delete(path), &device(V1_2, &[])).is_err(), "{path}");
    }
    assert!(build(&delete("/3/0/6/1"), &device(V1_1, &[])).is_err());
}

#[test]
fn q3_g4_an_execute_carries_arguments_of_the_grammar() {
    let execute = |arguments: &str| OperationRequest {
        arguments: Some(arguments.to_owned()),
        ..operation(OperationKind::Execute, &["/3/0/4"])
    };
    let device = device(V1_0, &[]);
    assert_eq!(
        built(&operation(OperationKind::Execute, &["/3/0/4"]), &device),
        "0.02 /3/0/4"
    );
    assert_eq!(built(&execute(""), &device), "0.02 /3/0/4");
    for arguments in [
        "5",
        "2='10.3'",
        "7,0='https://www.oma.org'",
        "0,1,2,3,4,5,6,7,8,9",
        "0='',1='a,b'",
    ] {
        assert_eq!(
            built(&execute(arguments), &device),
            format!("0.02 /3/0/4 format=0 {arguments}")
        );
    }
    for arguments in [
        "a", "10", "0=", "0='", "0='a", "0=a", "0,", ",0", "0,,1", "0 ,1", "0='a b'", "0='\"'",
        "0='\\'", "0='é'", "0,0", "0='a'b", "é",
    ] {
        assert!(build(&execute(arguments), &device).is_err(), "{arguments}");
    }
    assert!(build(&operation(OperationKind::Execute, &["/3/0"]), &device).is_err());
}

#[test]
fn g5_a_discover_asks_for_link_format() {
    let discover = |path: &str| operation(OperationKind::Discover, &[path]);
    for path in ["/3", "/3/0", "/3/0/7"] {
        assert_eq!(
            built(&discover(path), &device(V1_0, ALL)),
            format!("0.01 {path} accept=40")
        );
    }
    assert!(build(&discover("/3/0/7/1"), &device(V1_1, &[])).is_err());
    let text = "</3/0/7>;dim=8;pmin=10,</3/0/7/0>";
    let result = interpret(
        &discover("/3"),
        &device(V1_0, &[]),
        &answer(Code::CONTENT, Some(40), text.as_bytes()),
    );
    assert_eq!(result.expect("links").links, text);
    for (format, payload) in [(Some(0), &b"x"[..]), (Some(40), b"\xff")] {
        assert!(
            interpret(
                &discover("/3"),
                &device(V1_0, &[]),
                &answer(Code::CONTENT, format, payload)
            )
            .is_err()
        );
    }
}

#[test]
fn p1_attributes_go_into_the_query() {
    let mut write = operation(OperationKind::WriteAttributes, &["/3303/0/5700"]);
    write.attributes = vec![
        ("pmin".into(), Some("5".into())),
        ("gt".into(), Some("30.5".into())),
        ("lt".into(), None),
    ];
    assert_eq!(
        built(&write, &device(V1_0, ALL)),
        "0.03 /3303/0/5700?pmin=5&gt=30.5&lt"
    );
    write.attributes = vec![
        ("pmin".into(), Some("5".into())),
        ("pmax".into(), Some("4".into())),
    ];
    assert!(matches!(
        build(&write, &device(V1_0, &[])),
        Err(ManageError::Attribute(_))
    ));
    write.attributes.clear();
    assert!(build(&write, &device(V1_0, &[])).is_err());
}

#[test]
fn every_kind_refuses_paths_that_it_cannot_have() {
    for kind in OperationKind::ALL {
        assert!(
            build(&operation(kind, &[]), &device(V1_2, ALL)).is_err(),
            "{kind}"
        );
        if !is_composite(kind) {
            assert!(
                build(&operation(kind, &["/3/0", "/1/0"]), &device(V1_2, ALL)).is_err(),
                "{kind}"
            );
            assert!(
                build(&operation(kind, &["/"]), &device(V1_2, ALL)).is_err(),
                "{kind}"
            );
        }
    }
}
