//! What does not fit the object model is refused before anything is sent (F5), with the path and
//! the rule.

use super::tests::{ALL, built, device, operation, refused, with_values};
use crate::domain::{AnnouncedObject, Lwm2mVersion, OperationKind, Path, Value, ValueType};
use crate::lwm2m::{Device, Models, ObjectModel};

const V1_1: Lwm2mVersion = Lwm2mVersion::V1_1;
const V1_2: Lwm2mVersion = Lwm2mVersion::V1_2;

fn text(text: &str) -> Value {
    Value::String(text.to_owned())
}

#[test]
fn f5_values_outside_of_their_range_are_not_sent() {
    let device = device(V1_1, ALL);
    let write = |at: &str, value: Value| with_values(OperationKind::Write, &[at], &[(at, value)]);
    for (at, value, reason) in [
        // Bit depths, lengths and fractions, as the registry has them.
        (
            "/3343/0/5548",
            Value::Float(100.5),
            "/3343/0/5548 must be within 0..100; given are 100.5",
        ),
        (
            "/5/0/1",
            text(&"x".repeat(256)),
            "the length of /5/0/1 must be within 0..255; given are 256 characters",
        ),
    ] {
        assert_eq!(refused(&write(at, value), &device), reason);
    }
    assert!(built(&write("/3343/0/5548", Value::Float(100.0)), &device).starts_with("0.03"));
    assert!(built(&write("/5/0/1", text(&"x".repeat(255))), &device).starts_with("0.03"));
    let composite = with_values(
        OperationKind::WriteComposite,
        &["/5/0/1", "/1/0/1"],
        &[
            ("/1/0/1", Value::Integer(60)),
            ("/5/0/1", text(&"x".repeat(256))),
        ],
    );
    assert!(refused(&composite, &device).contains("/5/0/1"));
}

#[test]
fn f6_g1_what_an_instance_must_have_is_for_the_device_to_say() {
    // It may have values of its own for what is left out, and answers 4.00 where it has not.
    let replace = with_values(
        OperationKind::Write,
        &["/1/0"],
        &[("/1/0/1", Value::Integer(60))],
    );
    assert!(built(&replace, &device(V1_2, ALL)).starts_with("0.03 /1/0"));
    let create = operation(OperationKind::Create, &["/16/3"]);
    assert!(built(&create, &device(V1_1, ALL)).starts_with("0.02 /16"));
}

#[test]
fn b5_values_are_written_as_the_announced_version_wants_them() {
    let mut models = Models::builtin();
    let newest = models.object(3303, None).expect("3303").clone();
    let mut old = ObjectModel {
        version: "0.9".to_owned(),
        ..newest
    };
    let units = old.resources.get_mut(&5701).expect("a resource");
    units.value_type = Some(ValueType::Integer);
    units.multiple = true;
    models.insert(old);
    let announced = |version: Option<&str>| {
        [AnnouncedObject {
            path: Path::object(3303),
            version: version.map(str::to_owned),
        }]
    };
    let write = |at: &str, value: Value| with_values(OperationKind::Write, &[at], &[(at, value)]);
    let (old, new) = (announced(Some("0.9")), announced(Some("1.1")));
    let device = |objects| Device {
        objects,
        models: &models,
        ..device(V1_1, &[])
    };
    let single = write("/3303/0/5701", text("Cel"));
    assert_eq!(
        built(&single, &device(&new)),
        "0.03 /3303/0/5701 format=0 Cel"
    );
    assert!(refused(&single, &device(&old)).contains("name the one to write"));
    let instance = write("/3303/0/5701/0", text("Cel"));
    assert!(refused(&instance, &device(&old)).contains("is INTEGER"));
    assert!(refused(&instance, &device(&new)).contains("has no resource instances"));
    let number = write("/3303/0/5701/0", Value::Float(5.0));
    assert_eq!(
        built(&number, &device(&old)),
        "0.03 /3303/0/5701/0 format=0 5"
    );
}
