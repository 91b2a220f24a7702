//! The 34 resource types of the first flownexus, by name, object, resource and type.

use serde_json::{Value as Json, json};

use super::single;
use crate::support::server::Server;

/// Name, object, resource, type, a value as Leshan sends it, and how it is listed; null for what has
/// no value.
fn types() -> Vec<(&'static str, u16, u16, &'static str, Json, Json)> {
    let time = 1_795_440_000_000_i64;
    vec![
        (
            "temperature",
            3303,
            5700,
            "FLOAT",
            json!("24.5"),
            json!(24.5),
        ),
        ("humidity", 3304, 5700, "FLOAT", json!("40.0"), json!(40.0)),
        (
            "manufacturer",
            3,
            0,
            "STRING",
            json!("Zephyr"),
            json!("Zephyr"),
        ),
        ("model_number", 3, 1, "STRING", json!("M1"), json!("M1")),
        ("serial_number", 3, 2, "STRING", json!("345"), json!("345")),
        (
            "firmware_version",
            3,
            3,
            "STRING",
            json!("1.0"),
            json!("1.0"),
        ),
        ("reboot", 3, 4, "NONE", json!(null), json!(null)),
        ("factory_reset", 3, 5, "NONE", json!(""), json!(null)),
        ("power_source", 3, 6, "INTEGER", json!("1"), json!(1)),
        (
            "power_source_v",
            3,
            7,
            "INTEGER",
            json!("3800"),
            json!(3800),
        ),
        ("power_source_i", 3, 8, "INTEGER", json!("125"), json!(125)),
        ("battery_level", 3, 9, "INTEGER", json!("95"), json!(95)),
        ("memory_free", 3, 10, "INTEGER", json!("15"), json!(15)),
        ("error_code", 3, 11, "INTEGER", json!("0"), json!(0)),
        ("reset_error_code", 3, 12, "NONE", json!(null), json!(null)),
        ("current_time", 3, 13, "TIME", json!(time), json!(time)),
        ("utc_offset", 3, 14, "STRING", json!("+01"), json!("+01")),
        (
            "timezone",
            3,
            15,
            "STRING",
            json!("Europe/Berlin"),
            json!("Europe/Berlin"),
        ),
        ("binding_mode", 3, 16, "STRING", json!("U"), json!("U")),
        (
            "device_type",
            3,
            17,
            "STRING",
            json!("qemu_x86"),
            json!("qemu_x86"),
        ),
        (
            "hardware_version",
            3,
            18,
            "STRING",
            json!("1.0.1"),
            json!("1.0.1"),
        ),
        (
            "software_version",
            3,
            19,
            "STRING",
            json!("2.0"),
            json!("2.0"),
        ),
        ("battery_status", 3, 20, "INTEGER", json!("0"), json!(0)),
        ("memory_total", 3, 21, "INTEGER", json!("128"), json!(128)),
        (
            "ext_dev_info",
            3,
            22,
            "OBJLNK",
            json!({"objectId": 3303, "objectInstanceId": 0, "nullLink": false}),
            json!("3303:0"),
        ),
        ("package", 5, 0, "OPAQUE", json!("01ff"), json!("Af8=")),
        (
            "package_uri",
            5,
            1,
            "STRING",
            json!("/binaries/a.bin"),
            json!("/binaries/a.bin"),
        ),
        ("update", 5, 2, "NONE", json!(null), json!(null)),
        ("state", 5, 3, "INTEGER", json!("2"), json!(2)),
        ("update_result", 5, 5, "INTEGER", json!("1"), json!(1)),
        (
            "package_version",
            5,
            6,
            "STRING",
            json!("v0.1.0"),
            json!("v0.1.0"),
        ),
        ("ep_registered", 10240, 0, "TIME", json!(time), json!(time)),
        (
            "ep_unregistered",
            10240,
            1,
            "TIME",
            json!(time),
            json!(time),
        ),
        (
            "ep_registration_update",
            10240,
            2,
            "TIME",
            json!(time),
            json!(time),
        ),
    ]
}

#[tokio::test]
async fn all_34_of_them_by_name() {
    let server = Server::start().await;
    let api = server.api();
    let types = types();
    assert_eq!(types.len(), 34);
    for (name, object, resource, kind, value, listed) in types {
        let val = json!({"kind": "singleResource", "id": resource, "type": kind, "value": value});
        single(&api, "thing", object, val).await;
        let rows = api.read(&format!("/leshan_api/data/{name}/")).await;
        let rows = rows.as_array().expect("a list");
        let values: Vec<&Json> = rows.iter().map(|row| &row["value"]).collect();
        if listed.is_null() {
            assert!(values.is_empty(), "{name} is executable: {values:?}");
        } else {
            assert_eq!(values, [&listed], "{name}");
            assert_eq!(rows[0]["resource_type"], name);
            assert_eq!(rows[0]["endpoint"], "thing");
            assert_eq!(rows[0]["path"], format!("/{object}/0/{resource}"));
        }
    }
    // None of them contradicts the object models.
    let device = api.endpoint("thing").await.expect("the device");
    assert_eq!(device["warnings"], json!([]));
}
