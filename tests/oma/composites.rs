//! LightweightM2M-1.1-int-229 to 281: several paths at once.

use flownexus::domain::Value;
use serde_json::{Value as Json, json};

use super::harness::{Client, play, string, values};

async fn read(client: &Client, paths: &[&str], format: &str) -> Json {
    client
        .confirmed(json!({"kind": "read_composite", "paths": paths, "format": format}))
        .await
}

#[tokio::test]
async fn int_229_reads_several_paths_as_senml_json_and_cbor() {
    play("int-229", async |client| {
        let mut results = Vec::new();
        for format in ["senml_json", "senml_cbor"] {
            let result = read(client, &["/3", "/1/0"], format).await;
            assert_eq!(result["code"], "2.05");
            let values = values(&result);
            assert_eq!(values["/3/0/0"], "flownexus");
            assert_eq!(values["/1/0/1"], 300);
            assert!(
                values
                    .keys()
                    .all(|path| path.starts_with("/3/") || path.starts_with("/1/0/"))
            );
            results.push(values.len());
        }
        assert_eq!(results.first(), results.last());
    })
    .await;
}

#[tokio::test]
async fn int_230_writes_several_paths_with_instances_of_a_resource() {
    play("int-230", async |client| {
        let create = json!({"kind": "create", "path": "/16/0", "value": {"0": {"0": "a"}}});
        client.confirmed(create).await;
        for (format, period) in [("senml_json", 101), ("senml_cbor", 102)] {
            let write = json!({
                "kind": "write_composite", "format": format,
                "values": {
                    "/1/0/1": 60,
                    "/1/0/2": period,
                    "/1/0/6": true,
                    "/16/0/0": {"0": "aa", "1": "bb", "2": "cc", "3": "dd"},
                },
            });
            assert_eq!(client.confirmed(write).await["code"], "2.04");
            assert_eq!(client.held("/1/0/2").await, Some(Value::Integer(period)));
        }
        assert_eq!(client.held("/1/0/1").await, Some(Value::Integer(60)));
        for (id, text) in ["aa", "bb", "cc", "dd"].into_iter().enumerate() {
            assert_eq!(
                client.held(&format!("/16/0/0/{id}")).await,
                Some(string(text))
            );
        }
        let one = json!({"kind": "write_composite", "values": {"/16/0/0/1": "BB", "/1/0/3": 9}});
        client.confirmed(one).await;
        assert_eq!(client.held("/16/0/0/0").await, Some(string("aa")), "kept");
        assert_eq!(client.held("/16/0/0/1").await, Some(string("BB")));
    })
    .await;
}

#[tokio::test]
async fn int_235_reads_the_root() {
    play("int-235", async |client| {
        for format in ["senml_json", "senml_cbor"] {
            let values = values(&read(client, &["/"], format).await);
            for path in ["/1/0/1", "/3/0/0", "/5/0/3", "/3303/0/5700", "/3442/0/110"] {
                assert!(values.contains_key(path), "{path} is missing");
            }
            assert!(values.keys().all(|path| !path.starts_with("/0/")));
        }
    })
    .await;
}

#[tokio::test]
async fn int_236_reads_what_there_is_of_partly_absent_paths() {
    play("int-236", async |client| {
        let paths = [
            "/1/0/1",
            "/1/0/7",
            "/3/0/11/0",
            "/3339/0/5522",
            "/3353/0/6030",
        ];
        for format in ["senml_json", "senml_cbor"] {
            let values = values(&read(client, &paths, format).await);
            let found: Vec<&str> = values.keys().map(String::as_str).collect();
            assert_eq!(found, ["/1/0/1", "/1/0/7", "/3/0/11/0"]);
        }
    })
    .await;
}

#[tokio::test]
async fn int_257_writes_several_paths_with_a_time() {
    play("int-257", async |client| {
        for (format, time) in [
            ("senml_json", json!("2030-01-01T00:00:00Z")),
            ("senml_cbor", json!(1_893_456_000)),
        ] {
            let write = json!({
                "kind": "write_composite", "format": format,
                "values": {"/3/0/13": time, "/1/0/2": 8, "/3442/0/160": time},
            });
            client.confirmed(write).await;
            assert_eq!(
                client.held("/3442/0/160").await,
                Some(Value::Time(1_893_456_000))
            );
            let Some(Value::Time(clock)) = client.held("/3/0/13").await else {
                panic!("no clock")
            };
            assert!((1_893_456_000..1_893_456_060).contains(&clock), "{clock}");
            client.set("/3442/0/160", Value::Time(0)).await;
        }
        // All or nothing.
        let wrong = json!({
            "kind": "write_composite", "values": {"/1/0/2": 9, "/3/0/0": "me"},
        });
        client.refused(wrong, "4.05").await;
        assert_eq!(client.held("/1/0/2").await, Some(Value::Integer(8)));
    })
    .await;
}

#[tokio::test]
async fn int_280_a_composite_read_succeeds_wholly() {
    play("int-280", async |client| {
        let paths = ["/3/0/0", "/3/0/7/1", "/3303/0/5700", "/1/0"];
        let values = values(&read(client, &paths, "senml_cbor").await);
        for path in ["/3/0/0", "/3/0/7/1", "/3303/0/5700", "/1/0/7"] {
            assert!(values.contains_key(path), "{path} is missing");
        }
    })
    .await;
}

#[tokio::test]
async fn int_281_a_composite_read_succeeds_partly() {
    play("int-281", async |client| {
        // Not there, not readable, not to be seen.
        let paths = ["/3/0/0", "/3/0/4", "/0/0/0", "/9999/0/1"];
        let values = values(&read(client, &paths, "senml_json").await);
        assert_eq!(values.keys().collect::<Vec<_>>(), ["/3/0/0"]);
        let nothing = json!({"kind": "read_composite", "paths": ["/9999/0/1"]});
        client.refused(nothing, "4.04").await;
    })
    .await;
}
