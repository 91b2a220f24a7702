//! What of Leshan's JSON is read, and how the rest is refused.

use serde_json::json;

use super::*;

type Reading = fn(&Json, &Models) -> Result<(EndpointName, GatewayReport), ApiError>;

fn read(reading: Reading, mut body: Json) -> Vec<String> {
    body["ep"] = json!("urn:imei:1");
    let (endpoint, report) = reading(&body, &Models::builtin()).expect("a payload");
    assert_eq!(endpoint.as_str(), "urn:imei:1");
    let nodes = report.nodes.iter();
    nodes
        .map(|node| {
            let time = node
                .time
                .map(|time| format!(" at {time}"))
                .unwrap_or_default();
            format!(
                "{} {} {}{time}",
                node.path,
                node.value.value_type(),
                node.value
            )
        })
        .collect()
}

#[track_caller]
fn refused(reading: Reading, mut body: Json) -> String {
    if body.get("ep").is_none() {
        body["ep"] = json!("urn:imei:1");
    }
    let error = reading(&body, &Models::builtin()).expect_err("a refusal");
    assert_eq!(error.status(), 422);
    error.field().unwrap_or("-").to_owned()
}

#[test]
fn every_kind_of_node_is_read_from_a_single_payload() {
    let single = |val: Json| read(single, json!({"obj_id": 3303, "val": val}));
    assert_eq!(
        single(json!({"kind": "singleResource", "id": 5700, "type": "FLOAT", "value": "24.89"})),
        ["/3303/0/5700 FLOAT 24.89"]
    );
    assert_eq!(
        single(json!({"id": "5700", "type": "float", "value": 24.5})),
        ["/3303/0/5700 FLOAT 24.5"]
    );
    assert_eq!(
        single(
            json!({"kind": "multiResource", "id": 9, "type": "INTEGER", "values": {"0": "1", "7": 5}})
        ),
        ["/3303/0/9/0 INTEGER 1", "/3303/0/9/7 INTEGER 5"]
    );
    assert_eq!(
        single(json!({"kind": "multiResource", "id": 9, "type": "INTEGER", "values": {}})),
        Vec::<String>::new()
    );
    let resources = json!([{"id": 5700, "type": "FLOAT", "value": 1}, {"id": 5701, "type": "STRING", "value": "Cel"}]);
    assert_eq!(
        single(json!({"kind": "instance", "id": 2, "resources": resources})),
        ["/3303/2/5700 FLOAT 1", "/3303/2/5701 STRING Cel"]
    );
    assert_eq!(
        single(json!({"kind": "obj", "id": 3303, "instances": [
            {"kind": "instance", "resources": resources}, {"id": 1, "resources": []}
        ]})),
        ["/3303/0/5700 FLOAT 1", "/3303/0/5701 STRING Cel"]
    );
    let at = |extra: Json| {
        let mut body = json!({"obj_id": 3, "val": {"kind": "resourceInstance", "id": 1, "type": "INTEGER", "value": "3800"}});
        for (name, value) in extra.as_object().expect("an object") {
            body[name.as_str()] = value.clone();
        }
        body
    };
    assert_eq!(
        read(super::single, at(json!({"res_id": 7}))),
        ["/3/0/7/1 INTEGER 3800"]
    );
    assert_eq!(
        read(super::single, at(json!({"res_id": "7", "obj_inst_id": 4}))),
        ["/3/4/7/1 INTEGER 3800"]
    );
    assert_eq!(refused(super::single, at(json!({}))), "res_id");
}

#[test]
fn a_composite_payload_has_keys_of_every_level_or_none() {
    let composite = |val: Json| read(composite, json!({"val": val}));
    let device = json!({"kind": "obj", "id": 3, "instances": [{"kind": "instance", "id": 0, "resources": [
        {"kind": "singleResource", "id": 0, "type": "STRING", "value": "Zephyr"},
        {"kind": "multiResource", "id": 6, "type": "INTEGER", "values": {"0": "1", "1": "5"}},
        {"kind": "singleResource", "id": 17, "type": "STRING", "value": "qemu_x86"}
    ]}]});
    let values = [
        "/3/0/0 STRING Zephyr",
        "/3/0/6/0 INTEGER 1",
        "/3/0/6/1 INTEGER 5",
        "/3/0/17 STRING qemu_x86",
    ];
    // As Leshan sends it, as the documentation of the first flownexus has it, and as a root.
    assert_eq!(composite(json!({"/3": device})), values);
    assert_eq!(composite(device.clone()), values);
    assert_eq!(
        composite(json!({"/": {"kind": "root", "objects": [device]}})),
        values
    );
    assert_eq!(
        composite(json!({"kind": "root", "objects": [device]})),
        values
    );
    assert_eq!(
        composite(json!({
            "/3303/1": {"kind": "instance", "resources": [{"id": 5700, "type": "FLOAT", "value": "1.5"}]},
            "3304/0/5700": {"kind": "singleResource", "type": "FLOAT", "value": 40},
            "/3/0/7": {"kind": "multiResource", "id": 7, "type": "INTEGER", "values": {"0": 3800}},
            "/3/0/6/1": {"kind": "resourceInstance", "id": 1, "type": "INTEGER", "value": "5"},
            "/10300": null,
        })),
        [
            "/3303/1/5700 FLOAT 1.5",
            "/3304/0/5700 FLOAT 40",
            "/3/0/7/0 INTEGER 3800",
            "/3/0/6/1 INTEGER 5",
        ]
    );
    assert_eq!(composite(json!({})), Vec::<String>::new());
}

#[test]
fn the_innermost_timestamp_counts() {
    let body = json!({"timestamp": "2026-11-23T12:00:00Z", "val": {"/3303": {
        "id": 3303, "time": 1_795_440_001, "instances": [{"id": 0, "resources": [
            {"id": 5700, "type": "FLOAT", "value": 1, "timestamp": 1_795_440_002_500_i64},
            {"id": 5601, "type": "FLOAT", "value": 2, "timestamp": null}
        ]}]
    }, "/3304/0/5700": {"type": "FLOAT", "value": 3},
    "/3305/0/5800": {"type": "FLOAT", "value": 4, "timestamp": 12}}});
    assert_eq!(
        read(composite, body),
        [
            "/3303/0/5700 FLOAT 1 at 2026-11-23T13:20:02.500Z",
            "/3303/0/5601 FLOAT 2 at 2026-11-23T13:20:01.000Z",
            "/3304/0/5700 FLOAT 3 at 2026-11-23T12:00:00.000Z",
            // A clock that was never set says nothing: what is said outside stands.
            "/3305/0/5800 FLOAT 4 at 2026-11-23T12:00:00.000Z",
        ]
    );
}

#[test]
fn registration_events_are_times_to_the_millisecond() {
    for (kind, value) in [
        ("TIME", json!(1_795_440_000_123_i64)),
        ("INTEGER", json!("1795440000123")),
    ] {
        let val = json!({"kind": "singleResource", "id": 0, "type": kind, "value": value});
        assert_eq!(
            read(single, json!({"obj_id": 10240, "val": val})),
            ["/10240/0/0 TIME 2026-11-23T13:20:00.000Z at 2026-11-23T13:20:00.123Z"]
        );
    }
    let val = json!({"id": 1, "type": "TIME", "value": 5});
    assert_eq!(
        refused(single, json!({"obj_id": 10240, "val": val})),
        "val.value"
    );
}

#[test]
fn executables_have_no_value() {
    for val in [
        json!({"kind": "singleResource", "id": 4, "type": "NONE"}),
        json!({"kind": "singleResource", "id": 4, "type": "none", "value": null}),
        json!({"kind": "singleResource", "id": 4, "type": "NONE", "value": ""}),
    ] {
        assert_eq!(
            read(single, json!({"obj_id": 3, "val": val})),
            Vec::<String>::new()
        );
    }
}

#[test]
fn what_is_wrong_is_named_by_its_place() {
    let resource = json!({"kind": "singleResource", "id": 5700, "type": "FLOAT", "value": 1});
    for (body, place) in [
        (json!({"ep": 5}), "ep"),
        (json!({"ep": ""}), "ep"),
        (json!({"val": resource}), "obj_id"),
        (json!({"obj_id": 65_535, "val": resource}), "obj_id"),
        (json!({"obj_id": -1, "val": resource}), "obj_id"),
        (json!({"obj_id": "x", "val": resource}), "obj_id"),
        (json!({"obj_id": 3303}), "val"),
        (json!({"obj_id": 3303, "val": 5}), "val"),
        (json!({"obj_id": 3303, "val": {"id": 5700}}), "val.kind"),
        (
            json!({"obj_id": 3303, "val": {"kind": "thing"}}),
            "val.kind",
        ),
        (
            json!({"obj_id": 3303, "val": {"kind": "root", "objects": []}}),
            "val.kind",
        ),
        (
            json!({"obj_id": 3303, "val": {"kind": "singleResource", "type": "FLOAT", "value": 1}}),
            "val.id",
        ),
        (
            json!({"obj_id": 3303, "val": {"id": 5700, "type": "FLOAT", "value": "warm"}}),
            "val.value",
        ),
        (
            json!({"obj_id": 3303, "val": {"id": 5700, "kind": "singleResource", "type": "FLOAT"}}),
            "val.value",
        ),
        (
            json!({"obj_id": 3303, "val": {"id": 5700, "type": "COLOUR", "value": 1}}),
            "val.type",
        ),
        (
            json!({"obj_id": 3303, "val": {"id": 3304, "instances": []}}),
            "val.id",
        ),
        (
            json!({"obj_id": 3303, "obj_inst_id": 1, "val": {"id": 0, "resources": []}}),
            "val.id",
        ),
        (
            json!({"obj_id": 3303, "val": {"instances": {}}}),
            "val.instances",
        ),
        (
            json!({"obj_id": 3303, "val": {"kind": "instance"}}),
            "val.resources",
        ),
        (
            json!({"obj_id": 3303, "val": {"instances": [{"resources": [5]}]}}),
            "val.instances[0].resources[0]",
        ),
        (
            json!({"obj_id": 3303, "val": {"resources": [{"resources": []}]}}),
            "val.resources[0].kind",
        ),
        (
            json!({"obj_id": 3, "val": {"id": 7, "type": "INTEGER", "values": {"0": 1, "x": 2}}}),
            "val.values.x",
        ),
        (
            json!({"obj_id": 3, "val": {"id": 7, "type": "INTEGER", "values": {"0": 1, "1": "low"}}}),
            "val.values.1",
        ),
        (
            json!({"obj_id": 3, "val": {"id": 7, "type": "INTEGER", "values": [1]}}),
            "val.values",
        ),
        (
            json!({"obj_id": 3303, "timestamp": "soon", "val": resource}),
            "timestamp",
        ),
        (
            json!({"obj_id": 3303, "val": {"id": 5700, "value": 1, "time": true}}),
            "val.time",
        ),
    ] {
        assert_eq!(refused(single, body.clone()), place, "{body}");
    }
    let good = json!({"id": 0, "type": "STRING", "value": "x"});
    let bad = json!({"id": 9, "type": "INTEGER", "value": "full"});
    for (val, place) in [
        (
            json!({"/3": {"id": 3, "instances": [{"id": 0, "resources": [good, bad]}]}}),
            "val./3.instances[0].resources[1].value",
        ),
        (json!({"/3": {"id": 4, "instances": []}}), "val./3.id"),
        (json!({"/3": {"id": 0, "resources": []}}), "val./3.kind"),
        (json!({"/3/0": {"id": 1, "resources": []}}), "val./3/0.id"),
        (json!({"/3/0/0": {"id": 1, "value": "x"}}), "val./3/0/0.id"),
        (
            json!({"/3/0/0": {"kind": "resourceInstance", "value": "x"}}),
            "val./3/0/0.kind",
        ),
        (json!({"three": {"instances": []}}), "val.three"),
        (json!({"/3": "x"}), "val./3"),
        (json!({"resources": [good]}), "val"),
        (json!([good]), "val"),
        (
            json!({"/3/0": {"resources": [good, good]}}),
            "val./3/0.resources[1].value",
        ),
        (
            json!({"/3/0": {"resources": [good]}, "/3/0/0": good}),
            "val./3/0/0.value",
        ),
    ] {
        assert_eq!(refused(composite, json!({"val": val})), place, "{val}");
    }
    let nobody = single(&json!([]), &Models::builtin()).expect_err("no object");
    assert_eq!(nobody.field(), Some("body"));
    let nobody = single(&json!({"obj_id": 1, "val": {}}), &Models::builtin()).expect_err("no name");
    assert_eq!(nobody.field(), Some("ep"));
}
