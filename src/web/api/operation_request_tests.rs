//! What of the JSON of an operation is taken, and how the rest is refused.

use serde_json::json;

use super::*;

fn checked(body: Json) -> Result<OperationRequest, ApiError> {
    let body: OperationBody = serde_json::from_value(body).expect("a body");
    check(&body, &Models::builtin())
}

fn values(body: Json) -> Vec<String> {
    let request = checked(body).expect("a valid operation");
    let nodes = request.values.iter();
    nodes
        .map(|node| format!("{} {} {}", node.path, node.value.value_type(), node.value))
        .collect()
}

#[track_caller]
fn refused(body: Json) -> String {
    let error = checked(body).expect_err("a refusal");
    assert_eq!(error.status(), 422);
    format!("{}: {}", error.field().unwrap_or("-"), error.detail())
}

#[test]
fn h1_composites_reach_from_the_root_to_a_resource_instance() {
    for kind in [
        "read_composite",
        "observe_composite",
        "cancel_observe_composite",
    ] {
        for path in ["/", "/3", "/3/0", "/3/0/9", "/3/0/6/0"] {
            checked(json!({"kind": kind, "paths": [path]})).expect(path);
        }
    }
    assert!(refused(json!({"kind": "write_composite", "values": {"/": 1}})).contains("/ cannot"));
}

#[test]
fn g1_a_create_of_several_instances_names_each() {
    let two = json!({"/3303/1": {"5700": 20}, "/3303/2": {"5700": 21.5, "5701": "Cel"}});
    assert_eq!(
        values(json!({"kind": "create", "path": "/3303", "values": two})),
        [
            "/3303/1/5700 FLOAT 20",
            "/3303/2/5700 FLOAT 21.5",
            "/3303/2/5701 STRING Cel"
        ]
    );
    let senml = json!({"kind": "create", "path": "/3303", "values": two, "format": "senml_cbor"});
    checked(senml).expect("the ids are chosen, so every format names them");
    for (path, values) in [
        ("/3303", json!({"/3303/1": {"5700": 20}})),
        ("/3303/1", two.clone()),
        ("/3304", two),
        ("/3303", json!({"/3303/1": {"5700": 20}, "/3303/2": {}})),
        ("/3303", json!({"/3303/1": {"5700": 20}, "/3303/2/5700": 1})),
        ("/3303", json!({"/3303/1": {"5700": 20}, "2": {"5700": 1}})),
    ] {
        let error = refused(json!({"kind": "create", "path": path, "values": values}));
        assert!(error.starts_with("values: "), "{values}: {error}");
    }
}

/// Only TLV could say it, and then it is easily overlooked: it was left out without a word.
#[test]
fn f4_a_resource_without_instances_is_refused_and_not_overlooked() {
    let body = json!({"kind": "write", "path": "/3442/0", "value": {"120": 1, "1120": {}}});
    assert!(refused(body).contains("/3442/0/1120 has no instance"));
}

#[test]
fn every_kind_has_its_paths() {
    let fits = [
        ("read", vec!["/3", "/3/0", "/3/0/9", "/3/0/6/0"], vec!["/"]),
        (
            "observe",
            vec!["/3", "/3/0", "/3/0/9", "/3/0/6/0"],
            vec!["/"],
        ),
        ("cancel_observe", vec!["/3/0/9"], vec!["/"]),
        (
            "discover",
            vec!["/3", "/3/0", "/3/0/9"],
            vec!["/3/0/6/0", "/"],
        ),
        ("execute", vec!["/3/0/4"], vec!["/3", "/3/0", "/3/0/6/0"]),
        (
            "create",
            vec!["/3303", "/3303/1"],
            vec!["/3303/0/5700", "/"],
        ),
        (
            "delete",
            vec!["/3303/1", "/3/0/6/0"],
            vec!["/3303", "/3/0/9"],
        ),
    ];
    for (kind, good, bad) in fits {
        for path in good {
            checked(json!({"kind": kind, "path": path})).expect(path);
        }
        for path in bad {
            let error = refused(json!({"kind": kind, "path": path}));
            assert!(error.starts_with("path: "), "{kind} {path}: {error}");
        }
    }
}

#[test]
fn paths_are_required_and_well_formed() {
    assert_eq!(refused(json!({"kind": "read"})), "path: `path` is missing");
    assert_eq!(
        refused(json!({"kind": "read_composite"})),
        "paths: `paths` is missing"
    );
    assert!(refused(json!({"kind": "read", "path": "/3/x"})).starts_with("path: `/3/x`"));
    assert!(refused(json!({"kind": "jump", "path": "/3"})).starts_with("kind: "));
    assert_eq!(
        refused(json!({"kind": "read", "paths": ["/3", "/4"]})),
        "paths: read takes one path"
    );
    assert_eq!(
        refused(json!({"kind": "read_composite", "paths": ["/3", "/3"]})),
        "paths: /3 is there twice"
    );
    let many: Vec<String> = (0..=MAX_PATHS).map(|id| format!("/{id}")).collect();
    assert_eq!(
        refused(json!({"kind": "read_composite", "paths": many})),
        "paths: from 1 to 100 paths"
    );
    assert_eq!(
        refused(json!({"kind": "read", "path": "/3", "paths": ["/3"]})),
        "paths: give `path` or `paths`, not both"
    );
}

#[test]
fn values_get_the_type_of_the_model() {
    let write =
        |path: &str, value: Json| values(json!({"kind": "write", "path": path, "value": value}));
    assert_eq!(write("/3303/0/5601", json!(21)), ["/3303/0/5601 FLOAT 21"]);
    assert_eq!(write("/3/0/14", json!("+01")), ["/3/0/14 STRING +01"]);
    assert_eq!(
        write("/3/0/13", json!("2026-01-31T12:00:00Z")),
        ["/3/0/13 TIME 2026-01-31T12:00:00.000Z"]
    );
    assert_eq!(write("/5/0/0", json!("AAH/")), ["/5/0/0 OPAQUE 0001ff"]);
    assert_eq!(
        write("/3/0/7", json!({"1": 5000, "0": 3800})),
        ["/3/0/7/0 INTEGER 3800", "/3/0/7/1 INTEGER 5000"]
    );
    assert_eq!(write("/3/0/7/1", json!(5000)), ["/3/0/7/1 INTEGER 5000"]);
    assert_eq!(
        write("/3303/0", json!({"5701": "Cel", "5601": 1.5})),
        ["/3303/0/5601 FLOAT 1.5", "/3303/0/5701 STRING Cel"]
    );
}

#[test]
fn values_of_unknown_resources_get_the_type_of_their_json() {
    let write =
        |value: Json| values(json!({"kind": "write", "path": "/33000/0/1", "value": value}));
    assert_eq!(write(json!(true)), ["/33000/0/1 BOOLEAN true"]);
    assert_eq!(write(json!(-1)), ["/33000/0/1 INTEGER -1"]);
    assert_eq!(
        write(json!(u64::MAX)),
        ["/33000/0/1 UNSIGNED_INTEGER 18446744073709551615"]
    );
    assert_eq!(write(json!(1.5)), ["/33000/0/1 FLOAT 1.5"]);
    assert_eq!(write(json!("a")), ["/33000/0/1 STRING a"]);
    assert_eq!(write(json!({"3": "a"})), ["/33000/0/1/3 STRING a"]);
}

#[test]
fn wrong_values_name_the_field_and_the_path() {
    let write =
        |path: &str, value: Json| refused(json!({"kind": "write", "path": path, "value": value}));
    assert_eq!(
        write("/3303/0/5601", json!("warm")),
        "value: /3303/0/5601: \"warm\" is no value of type FLOAT (a number)"
    );
    assert!(write("/3/0/7", json!(5)).contains("has instances"));
    assert!(write("/3/0/9/0", json!(5)).contains("/3/0/9 has no instances"));
    assert!(write("/3303/0", json!(5)).contains("an object of resource ids"));
    assert!(write("/3303/0", json!({})).contains("no value to write"));
    assert!(write("/3303/0", json!({"05": 1})).contains("`05` below /3303/0"));
    assert!(write("/33000/0/1", json!([1])).contains("single value"));
    assert!(write("/33000/0/1", json!({"0": {"1": 2}})).contains("single value"));
    assert_eq!(
        refused(json!({"kind": "write", "path": "/3/0/14"})),
        "value: `value` is missing"
    );
}

#[test]
fn a_create_names_its_instance_or_leaves_it_to_the_device() {
    let create = |path: &str| values(json!({"kind": "create", "path": path, "value": {"5601": 1}}));
    assert_eq!(create("/3303/7"), ["/3303/7/5601 FLOAT 1"]);
    assert_eq!(create("/3303"), ["/3303/0/5601 FLOAT 1"]);
    assert!(values(json!({"kind": "create", "path": "/3303/7"})).is_empty());
}

#[test]
fn a_composite_write_takes_an_object_or_two_lists() {
    let wanted = ["/1/0/1 INTEGER 300", "/3/0/14 STRING +01"];
    assert_eq!(
        values(json!({"kind": "write_composite", "values": {"/3/0/14": "+01", "/1/0/1": 300}})),
        wanted
    );
    assert_eq!(
        values(json!({
            "kind": "write_composite", "paths": ["/3/0/14", "/1/0/1"], "values": ["+01", 300]
        })),
        wanted
    );
    let error = refused(json!({
        "kind": "write_composite", "paths": ["/3/0/14"], "values": ["+01", 300]
    }));
    assert_eq!(
        error,
        "values: a list of values needs a list of as many `paths`"
    );
    let error = refused(json!({
        "kind": "write_composite", "values": {"/3303/0": {"5601": 1}, "/3303/0/5601": 2}
    }));
    assert_eq!(error, "values: /3303/0/5601 is there twice");
}

#[test]
fn a_null_of_a_composite_removes_a_resource_instance() {
    let request = checked(json!({
        "kind": "write_composite",
        "values": {
            "/3442/0/1120": {"0": 5, "7": null},
            "/3442/0/1110": {"1": null},
            "/3442/0/1130/2": null,
            "/1/0/1": 60,
        }
    }))
    .expect("a composite");
    let texts = |paths: &[Path]| paths.iter().map(Path::to_string).collect::<Vec<_>>();
    assert_eq!(
        texts(&request.removed),
        ["/3442/0/1110/1", "/3442/0/1120/7", "/3442/0/1130/2"]
    );
    let written: Vec<Path> = request.values.iter().map(|node| node.path).collect();
    assert_eq!(texts(&written), ["/1/0/1", "/3442/0/1120/0"]);
    assert_eq!(request.paths.len(), 5);
    for values in [
        json!({"/1/0/1": null}),
        json!({"/3442/0": {"120": null}}),
        json!({"/3442/0/1120/1": null, "/3442/0/1120": {"1": 5}}),
        json!({"/3442/0/1120": {"x": null}}),
    ] {
        let error = refused(json!({"kind": "write_composite", "values": values}));
        assert!(error.starts_with("values: "), "{error}");
    }
    let other = refused(json!({"kind": "write", "path": "/3442/0/1120/1", "value": null}));
    assert!(other.starts_with("value: "), "{other}");
}

#[test]
fn formats_are_known_and_fit() {
    let read = |kind: &str, path: &str, format: &str| json!({"kind": kind, "path": path, "format": format});
    for format in ContentFormat::ALL {
        let kind = match format.is_etch() {
            true => "read_composite",
            false => "read",
        };
        checked(read(kind, "/3/0/9", format.name()))
            .unwrap_or_else(|error| panic!("{}: {error}", format.name()));
    }
    assert!(refused(read("read", "/3/0/9", "senml_etch_json")).contains("composite kinds only"));
    assert!(refused(read("read", "/3/0/9", "xml")).starts_with("format: `xml`"));
    assert!(refused(read("read", "/3", "text")).starts_with("format: "));
    assert!(refused(read("read_composite", "/3", "tlv")).starts_with("format: "));
    assert!(refused(read("execute", "/3/0/4", "text")).starts_with("format: "));
    assert!(refused(read("create", "/3303", "senml_cbor")).starts_with("format: "));
    checked(read("create", "/3303", "tlv")).expect("tlv needs no id");
}

#[test]
fn fields_of_other_kinds_are_refused() {
    for (field, value) in [
        ("value", json!(1)),
        ("values", json!({})),
        ("arguments", json!("0")),
        ("attributes", json!({"pmin": 1})),
    ] {
        let error = refused(json!({"kind": "read", "path": "/3/0/9", field: value}));
        assert_eq!(error, format!("{field}: read takes no `{field}`"));
    }
}
