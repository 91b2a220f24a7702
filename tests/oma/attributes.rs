//! LightweightM2M-1.1-int-260 and 261, and attributes beyond the specification: what Write-Attributes
//! sets, what Discover shows of it, and when values are news.

use flownexus::domain::Value;
use serde_json::{Value as Json, json};

use super::harness::{Client, play};

async fn set(client: &Client, path: &str, attributes: Json) {
    let result = client
        .confirmed(json!({"kind": "write_attributes", "path": path, "attributes": attributes}))
        .await;
    assert_eq!(result["code"], "2.04");
}

/// The attributes of a link, without its path, in any order.
fn attributes<'a>(links: &'a [String], path: &str) -> Vec<&'a str> {
    let link = links
        .iter()
        .find_map(|link| link.strip_prefix(&format!("<{path}>")))
        .unwrap_or_else(|| panic!("no {path} in {links:?}"));
    let mut attributes: Vec<&str> = link.split(';').filter(|part| !part.is_empty()).collect();
    attributes.sort_unstable();
    attributes
}

#[tokio::test]
async fn int_260_discovers_objects_instances_and_resources_with_attributes() {
    play("int-260", async |client| {
        let object = client.discover("/3").await;
        assert_eq!(attributes(&object, "/3"), [""; 0]);
        for path in ["/3/0", "/3/0/0", "/3/0/4", "/3/0/16"] {
            assert_eq!(attributes(&object, path), [""; 0], "{path}");
        }
        assert_eq!(attributes(&object, "/3/0/7"), ["dim=2"]);

        set(client, "/3", json!({"pmin": 10, "pmax": 200})).await;
        let object = client.discover("/3").await;
        assert_eq!(attributes(&object, "/3"), ["pmax=200", "pmin=10"]);

        set(client, "/3/0", json!({"pmax": 320})).await;
        let instance = client.discover("/3/0").await;
        assert_eq!(attributes(&instance, "/3/0"), ["pmax=320"]);

        set(client, "/3/0/7", json!({"gt": 1000, "lt": 100, "st": 50})).await;
        let resource = client.discover("/3/0/7").await;
        assert_eq!(
            attributes(&resource, "/3/0/7"),
            ["dim=2", "gt=1000", "lt=100", "pmax=320", "pmin=10", "st=50"],
            "with what it inherits"
        );
        assert!(resource.contains(&"</3/0/7/0>".to_owned()), "{resource:?}");

        set(client, "/3/0", json!({"pmax": null})).await;
        let resource = client.discover("/3/0/7").await;
        assert!(attributes(&resource, "/3/0/7").contains(&"pmax=200"));
    })
    .await;
}

#[tokio::test]
async fn int_261_sets_attributes_of_a_multiple_resource_and_of_one_instance_of_it() {
    play("int-261", async |client| {
        set(client, "/3/0/11", json!({"pmin": 10, "pmax": 200})).await;
        set(
            client,
            "/3/0/11/0",
            json!({"pmax": 320, "gt": 5, "lt": 1, "st": 1}),
        )
        .await;
        let links = client.discover("/3/0/11").await;
        assert_eq!(
            attributes(&links, "/3/0/11"),
            ["dim=1", "pmax=200", "pmin=10"]
        );
        assert_eq!(
            attributes(&links, "/3/0/11/0"),
            ["gt=5", "lt=1", "pmax=320", "st=1"]
        );
        let absent = json!({
            "kind": "write_attributes", "path": "/3/0/11/9", "attributes": {"pmin": 1},
        });
        client.refused(absent, "4.04").await;
        // pmin comes from above: the client notices the contradiction.
        let contradicts = json!({
            "kind": "write_attributes", "path": "/3/0/11/0", "attributes": {"pmax": 9},
        });
        client.refused(contradicts, "4.00").await;
    })
    .await;
}

#[tokio::test]
async fn attribute_thresholds_and_steps_of_a_text_are_refused_before_anything_is_sent() {
    play("attribute-text", async |client| {
        client.settled().await;
        let heard = client.device.counters().operations();
        for (name, value) in [("gt", 1), ("lt", 2), ("st", 3)] {
            let ended = client
                .operate(json!({
                    "kind": "write_attributes", "path": "/3/0/0", "attributes": {name: value},
                }))
                .await;
            assert_eq!(ended["status"], "FAILED", "{ended}");
            let error = ended["error"].as_str().expect("an error");
            assert!(
                error.contains(name) && error.contains("no number"),
                "{error}"
            );
        }
        assert_eq!(client.device.counters().operations(), heard);
    })
    .await;
}

/// An observed number with an attribute: steps of it, each with whether it is told. What is not told
/// is seen to be missing when the next one that is told comes.
async fn observed(name: &str, attribute: Json, start: f64, steps: &[(f64, bool)]) {
    let path = "/3442/0/130";
    play(name, async |client| {
        client.settled().await;
        client.set(path, Value::Float(start)).await;
        set(client, path, attribute).await;
        client
            .confirmed(json!({"kind": "observe", "path": path}))
            .await;
        let mut told = client.notifications();
        let mut last = start;
        for (value, is_told) in steps {
            client.set(path, Value::Float(*value)).await;
            if *is_told {
                told += 1;
                client.notified(told).await;
                client.until_stored(path, json!(value)).await;
                last = *value;
            }
        }
        assert_eq!(
            client.notifications(),
            told,
            "{last} was the last to be told"
        );
    })
    .await;
}

#[tokio::test]
async fn attribute_step_tells_of_steps_in_both_directions() {
    let steps = [
        (20.9, false),
        (22.0, true),
        (21.5, false),
        (20.0, true),
        (20.5, false),
        (22.5, true),
    ];
    observed("attribute-step", json!({"st": 2}), 20.0, &steps).await;
}

#[tokio::test]
async fn attribute_greater_than_tells_of_crossings() {
    let steps = [
        (29.0, false),
        (31.0, true),
        (40.0, false),
        (29.5, true),
        (20.0, false),
        (30.5, true),
    ];
    observed("attribute-gt", json!({"gt": 30}), 20.0, &steps).await;
}

#[tokio::test]
async fn attribute_less_than_tells_of_crossings() {
    let steps = [
        (11.0, false),
        (9.0, true),
        (-3.0, false),
        (10.5, true),
        (12.0, false),
        (8.0, true),
    ];
    observed("attribute-lt", json!({"lt": 10}), 20.0, &steps).await;
}
