//! Send (OMA-TS-LightweightM2M Core 6.4.6): what it says is read as the device means it.

use super::bench::{Bench, path};
use crate::coap::Code;
use crate::domain::{Node, Value, ValueType};
use crate::lwm2m::ObjectModel;
use crate::store::Change;

fn registered(links: &str) -> Bench {
    let mut bench = Bench::new();
    let register = bench.register("ep=thing&lwm2m=1.1&lt=300", links);
    bench.feed(register);
    bench
}

fn stored(bench: &Bench) -> Vec<Node> {
    bench
        .changes()
        .into_iter()
        .filter_map(|change| match change {
            Change::Resources { nodes, .. } => Some(nodes.clone()),
            _ => None,
        })
        .next_back()
        .unwrap_or_default()
}

/// What was warned about last, after the Register.
fn newest_warning(bench: &Bench) -> Option<String> {
    bench
        .changes()
        .into_iter()
        .rev()
        .find_map(|change| match change {
            Change::UpdateRegistration(registration) => registration
                .warnings
                .last()
                .map(|warning| warning.code.clone()),
            _ => None,
        })
}

/// A version of an object in which one resource is a text.
fn with_text(object: &ObjectModel, version: &str, resource: u16) -> ObjectModel {
    let mut object = object.clone();
    object.version = version.to_owned();
    let model = object.resources.get_mut(&resource).expect("a resource");
    model.value_type = Some(ValueType::String);
    object
}

#[test]
fn b5_the_version_that_the_device_announced_decides_the_types() {
    let tlv = |bench: &mut Bench| {
        let text = br#"[{"n":"/3303/0/5700","v":21}]"#;
        let input = bench.send(110, text);
        bench.feed(input);
        stored(bench)
    };
    let float = vec![Node::new(path("/3303/0/5700"), Value::Float(21.0))];
    for links in ["</3303/0>", "</3303>;ver=1.1,</3303/0>"] {
        let mut bench = registered(links);
        let newest = bench.models.object(3303, None).expect("3303").clone();
        bench.models.insert(with_text(&newest, "0.9", 5700));
        assert_eq!(tlv(&mut bench), float, "{links}");
        assert_eq!(newest_warning(&bench), None);
    }
    let mut bench = registered("</3303>;ver=0.9,</3303/0>");
    let newest = bench.models.object(3303, None).expect("3303").clone();
    bench.models.insert(with_text(&newest, "0.9", 5700));
    let as_it_came = vec![Node::new(path("/3303/0/5700"), Value::Integer(21))];
    assert_eq!(tlv(&mut bench), as_it_came);
    assert_eq!(newest_warning(&bench).as_deref(), Some("wrong_type"));
}

#[test]
fn b5_names_below_the_alternate_root_are_understood() {
    let mut bench = registered("</lwm2m>;rt=\"oma.lwm2m\",</lwm2m/3303/0>");
    let send = bench.send(110, br#"[{"bn":"/lwm2m/3303/0/","n":"5700","v":1.5}]"#);
    bench.feed(send);
    assert_eq!(
        stored(&bench),
        [Node::new(path("/3303/0/5700"), Value::Float(1.5))]
    );
}

#[test]
fn k3_a_send_that_cannot_be_read_is_refused_and_remembered_as_a_warning() {
    for (format, payload, code) in [
        (110, &b"[]"[..], Code::BAD_REQUEST),
        (110, b"x", Code::BAD_REQUEST),
        (0, b"21", Code::UNSUPPORTED_CONTENT_FORMAT),
    ] {
        let mut bench = registered("</3303/0>");
        let send = bench.send(format, payload);
        bench.feed(send);
        assert_eq!(bench.answers().last(), Some(&code), "{payload:?}");
        assert_eq!(newest_warning(&bench).as_deref(), Some("bad_send"));
        let values = bench
            .changes()
            .into_iter()
            .filter(|change| matches!(change, Change::Event { .. }))
            .count();
        assert_eq!(values, 0);
    }
}

#[test]
fn a_refused_send_is_not_acknowledged_before_it_is_remembered() {
    let mut bench = registered("</3303/0>");
    let send = bench.send(110, b"x");
    bench.feed_and_fail(send);
    assert_eq!(bench.answers().last(), Some(&Code::SERVICE_UNAVAILABLE));
}
