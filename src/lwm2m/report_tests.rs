//! Notifications and Send.

use std::sync::LazyLock;

use super::*;
use crate::coap::number;
use crate::domain::{Lwm2mVersion, RefusedFormats, Timestamp, Value};
use crate::lwm2m::Models;

static MODELS: LazyLock<Models> = LazyLock::new(Models::builtin);

fn path(text: &str) -> Path {
    text.parse().expect(text)
}

fn told(format: Option<u16>, payload: &[u8]) -> Response {
    let mut response = Response::new(Code::CONTENT);
    response.options.add_uint(number::OBSERVE, 2);
    if let Some(format) = format {
        response
            .options
            .add_uint(number::CONTENT_FORMAT, format.into());
    }
    response.payload = payload.to_vec();
    response
}

fn device() -> Device<'static> {
    Device {
        version: Lwm2mVersion::V1_1,
        root: "",
        formats: &[],
        refused: RefusedFormats::NONE,
        objects: &[],
        models: &MODELS,
    }
}

fn notified(
    paths: &[&str],
    composite: bool,
    response: &Response,
) -> Result<Vec<Node>, ManageError> {
    let paths: Vec<Path> = paths.iter().map(|text| path(text)).collect();
    notification(&paths, composite, &device(), response)
}

fn sent(format: Option<u16>, payload: &[u8]) -> Result<Vec<Node>, Refusal> {
    let mut request = Request::new(Code::POST);
    if let Some(format) = format {
        request
            .options
            .add_uint(number::CONTENT_FORMAT, format.into());
    }
    request.payload = payload.to_vec();
    send(&request, &device())
}

#[test]
fn i1_notifications_are_read_on_every_level() {
    let value = |at: &str| vec![Node::new(path(at), Value::Float(21.5))];
    assert_eq!(
        notified(&["/3303/0/5700"], false, &told(Some(0), b"21.5")),
        Ok(value("/3303/0/5700"))
    );
    assert_eq!(
        notified(&["/3303/0/5700"], false, &told(None, b"21.5")),
        Ok(value("/3303/0/5700"))
    );
    let tlv = b"\xe4\x16\x44\x41\xac\x00\x00";
    assert_eq!(
        notified(&["/3303/0"], false, &told(Some(11_542), tlv)),
        Ok(value("/3303/0/5700"))
    );
    let object = b"\x07\x02\xe4\x16\x44\x41\xac\x00\x00";
    assert_eq!(
        notified(&["/3303"], false, &told(Some(11_542), object)),
        Ok(value("/3303/2/5700"))
    );
    let instance = notified(&["/3442/0/1130/4"], false, &told(Some(0), b"21.5"));
    assert_eq!(instance, Ok(value("/3442/0/1130/4")));
}

#[test]
fn i3_an_error_ends_the_observation() {
    let response = Response::refusal(Code::NOT_FOUND, "");
    assert_eq!(
        notified(&["/3303/0"], false, &response),
        Err(ManageError::Refused {
            code: Code::NOT_FOUND
        })
    );
}

#[test]
fn i4_formats_that_are_not_supported_are_an_error() {
    let error = notified(&["/3303/0"], false, &told(Some(50), b"{}"));
    assert_eq!(
        error,
        Err(ManageError::Codec(CodecError::UnsupportedFormat(50)))
    );
}

#[test]
fn i5_history_is_kept_in_order() {
    let text = br#"[{"bn":"/3303/0/5700","bt":1700000000,"t":2,"v":3},{"v":1},{"t":1,"v":2}]"#;
    let nodes = notified(&["/3303/0/5700"], false, &told(Some(110), text)).expect("readable");
    let shown: Vec<(Value, Option<Timestamp>)> = nodes
        .into_iter()
        .map(|node| (node.value, node.time))
        .collect();
    let at = |seconds: i64| Timestamp::from_millis((1_700_000_000 + seconds) * 1000);
    assert_eq!(
        shown,
        [
            (Value::Float(1.0), at(0)),
            (Value::Float(2.0), at(1)),
            (Value::Float(3.0), at(2))
        ]
    );
}

#[test]
fn h3_composite_notifications_hold_what_is_observed() {
    let text = br#"[{"n":"/3303/0/5700","v":1},{"n":"/3/0/9","v":5}]"#;
    for paths in [&["/3303", "/3/0/9"][..], &["/"], &["/3303/0", "/3/0"]] {
        assert_eq!(
            notified(paths, true, &told(Some(110), text)).map(|nodes| nodes.len()),
            Ok(2),
            "{paths:?}"
        );
    }
    // A composite of one path is still a composite: its names are whole.
    assert!(
        notified(
            &["/3/0/9"],
            true,
            &told(Some(110), br#"[{"n":"/3/0/9","v":5}]"#)
        )
        .is_ok()
    );
}

#[test]
fn h7_values_that_are_not_observed_are_an_error() {
    let text = br#"[{"n":"/3303/0/5700","v":1},{"n":"/3/0/9","v":5}]"#;
    assert!(matches!(
        notified(&["/3303"], true, &told(Some(110), text)),
        Err(ManageError::Unexpected(_))
    ));
    assert!(matches!(
        notified(&["/3303"], false, &told(Some(110), text)),
        Err(ManageError::Codec(_))
    ));
}

#[test]
fn k1_a_send_is_read_in_each_of_its_formats() {
    let wanted = Ok(vec![Node::new(path("/3/0/9"), Value::Integer(95))]);
    assert_eq!(sent(Some(110), br#"[{"n":"/3/0/9","v":95}]"#), wanted);
    assert_eq!(
        sent(Some(112), b"\x81\xa2\x00\x66/3/0/9\x02\x18\x5f"),
        wanted
    );
    assert_eq!(
        sent(
            Some(11_544),
            b"\xbf\x03\xbf\x00\xbf\x09\x18\x5f\xff\xff\xff"
        ),
        wanted
    );
}

#[test]
fn k2_several_timed_values_of_a_path_are_all_delivered() {
    let text = br#"[{"bn":"/3303/0/5700","bt":1700000000,"v":1},{"t":1,"v":2},{"t":1,"v":2},{"n":"","t":2,"v":3}]"#;
    assert_eq!(sent(Some(110), text).map(|nodes| nodes.len()), Ok(4));
}

#[test]
fn k3_a_send_that_cannot_be_read_is_refused() {
    for (format, payload, code) in [
        (None, &b"[]"[..], Code::BAD_REQUEST),
        (Some(110), b"", Code::BAD_REQUEST),
        (Some(110), b"[]", Code::BAD_REQUEST),
        (Some(110), b"[{}]", Code::BAD_REQUEST),
        (Some(110), b"x", Code::BAD_REQUEST),
        (Some(112), b"\x81", Code::BAD_REQUEST),
        (Some(0), b"95", Code::UNSUPPORTED_CONTENT_FORMAT),
        (
            Some(11_542),
            b"\xc1\x09\x5f",
            Code::UNSUPPORTED_CONTENT_FORMAT,
        ),
        (Some(11_544), b"", Code::BAD_REQUEST),
        (Some(11_544), b"\xa0", Code::BAD_REQUEST),
        (Some(65_000), b"", Code::UNSUPPORTED_CONTENT_FORMAT),
    ] {
        assert_eq!(
            sent(format, payload).expect_err("refused").code,
            code,
            "{format:?} {payload:?}"
        );
    }
}

#[test]
fn a_value_of_another_type_than_its_model_says_is_kept_as_it_came() {
    let nodes = sent(
        Some(110),
        br#"[{"n":"/3/0/9","vs":"full"},{"n":"/3/0/0","v":7}]"#,
    );
    let values: Vec<Value> = nodes
        .expect("a Send")
        .into_iter()
        .map(|node| node.value)
        .collect();
    assert_eq!(values, [Value::Integer(7), Value::String("full".into())]);
}
