//! LightweightM2M-1.1-int-205 to 257: writing, executing, and what may not be done.

use flownexus::domain::Value;
use serde_json::json;

use super::harness::{Client, play, string};

/// Sets and removes values of the server object, one by one.
async fn writes_resources(name: &str, format: &str) {
    play(name, async |client| {
        client.write("/1/0/2", json!(101), format).await;
        client.write("/1/0/3", json!(1010), format).await;
        client.write("/1/0/5", json!(2000), format).await;
        for (path, value) in [("/1/0/2", 101), ("/1/0/3", 1010), ("/1/0/5", 2000)] {
            assert_eq!(client.held(path).await, Some(Value::Integer(value)));
            assert_eq!(client.value(path, None).await, value);
        }
        client.write("/3442/0/110", json!("grüezi"), format).await;
        assert_eq!(client.held("/3442/0/110").await, Some(string("grüezi")));
        client.write("/3442/0/130", json!(-0.5), format).await;
        assert_eq!(client.held("/3442/0/130").await, Some(Value::Float(-0.5)));
        client.write("/3442/0/140", json!(false), format).await;
        assert_eq!(
            client.held("/3442/0/140").await,
            Some(Value::Boolean(false))
        );
    })
    .await;
}

/// Updates an instance, which keeps what is not named, and replaces it, which does not.
async fn updates_and_replaces_an_instance(client: &Client, format: &str) {
    let update = json!({
        "kind": "write_update", "path": "/1/0", "format": format,
        "value": {"2": 101, "3": 1010},
    });
    client.confirmed(update).await;
    assert_eq!(client.held("/1/0/2").await, Some(Value::Integer(101)));
    assert_eq!(
        client.held("/1/0/5").await,
        Some(Value::Integer(86_400)),
        "kept"
    );
    let replace = json!({
        "kind": "write", "path": "/1/0", "format": format,
        "value": {"1": 300, "2": 1, "6": false, "7": "U"},
    });
    client.confirmed(replace).await;
    assert_eq!(client.held("/1/0/2").await, Some(Value::Integer(1)));
    assert_eq!(client.held("/1/0/6").await, Some(Value::Boolean(false)));
    assert_eq!(client.held("/1/0/3").await, None, "replaced");
    assert_eq!(client.held("/1/0/5").await, None, "replaced");
    let incomplete = json!({
        "kind": "write", "path": "/1/0", "format": format, "value": {"2": 7},
    });
    client.refused(incomplete, "4.00").await;
    assert_eq!(client.held("/1/0/2").await, Some(Value::Integer(1)));
}

#[tokio::test]
async fn int_205_writes_as_text() {
    writes_resources("int-205", "text").await;
}

#[tokio::test]
async fn int_212_writes_as_cbor() {
    writes_resources("int-212", "cbor").await;
}

#[tokio::test]
async fn int_215_updates_and_replaces_an_instance_as_tlv() {
    play("int-215", async |client| {
        updates_and_replaces_an_instance(client, "tlv").await;
    })
    .await;
}

#[tokio::test]
async fn int_220_updates_and_replaces_an_instance_as_json_of_1_0() {
    play("int-220", async |client| {
        updates_and_replaces_an_instance(client, "json").await;
    })
    .await;
}

#[tokio::test]
async fn int_221_security_cannot_be_read_written_or_given_attributes() {
    play("int-221", async |client| {
        for operation in [
            json!({"kind": "read", "path": "/0/0/0"}),
            json!({"kind": "read", "path": "/0"}),
            json!({"kind": "write", "path": "/0/0/0", "value": "coap://localhost"}),
            json!({"kind": "write_attributes", "path": "/0/0", "attributes": {"pmin": 10}}),
        ] {
            client.refused(operation, "4.01").await;
        }
    })
    .await;
}

#[tokio::test]
async fn int_226_updates_a_part_of_an_instance() {
    play("int-226", async |client| {
        let update =
            json!({"kind": "write_update", "path": "/1/0", "value": {"1": 60, "6": false}});
        client.confirmed(update).await;
        client
            .until("lifetime 60", |shown| shown["lifetime_s"] == 60)
            .await;
        let server = client.read("/1/0", None).await;
        assert_eq!(
            (&server["/1/0/1"], &server["/1/0/6"], &server["/1/0/7"]),
            (&json!(60), &json!(false), &json!("U"))
        );
    })
    .await;
}

#[tokio::test]
async fn int_227_replaces_a_resource_and_sees_the_update() {
    play("int-227", async |client| {
        client.write("/1/0/1", json!(77), "senml_cbor").await;
        client
            .until("lifetime 77", |shown| shown["lifetime_s"] == 77)
            .await;
        assert_eq!(client.device.counters().updates(), 1);
        // A resource with instances: those that are not named are gone.
        client
            .write("/3442/0/1120", json!({"5": 50}), "senml_cbor")
            .await;
        let left = client.read("/3442/0/1120", None).await;
        assert_eq!(
            left.into_iter().collect::<Vec<_>>(),
            [("/3442/0/1120/5".to_owned(), json!(50))]
        );
    })
    .await;
}

#[tokio::test]
async fn int_233_writes_as_senml_cbor() {
    writes_resources("int-233", "senml_cbor").await;
    play("int-233-instance", async |client| {
        updates_and_replaces_an_instance(client, "senml_cbor").await;
    })
    .await;
}

#[tokio::test]
async fn int_234_writes_as_senml_json() {
    writes_resources("int-234", "senml_json").await;
    play("int-234-instance", async |client| {
        updates_and_replaces_an_instance(client, "senml_json").await;
    })
    .await;
}

#[tokio::test]
async fn int_241_executes_reboot_and_the_client_comes_back() {
    play("int-241", async |client| {
        let before = client.shown().await;
        let reboot = json!({"kind": "execute", "path": "/3/0/4"});
        assert_eq!(client.confirmed(reboot).await["code"], "2.04");
        let registrations = || client.device.counters().registrations();
        client.counted("Registers", 2, registrations).await;
        client
            .until("has registered anew", |shown| {
                shown["registered"] == true && shown["registered_at"] != before["registered_at"]
            })
            .await;
        assert_eq!(client.value("/3/0/0", None).await, "flownexus");
        // With arguments, as the specification has them.
        let execute = json!({"kind": "execute", "path": "/3442/0/3", "arguments": "0='text',1"});
        client.confirmed(execute).await;
        assert_eq!(client.held("/3442/0/4/0").await, Some(string("text")));
        assert_eq!(client.held("/3442/0/4/1").await, Some(string("")));
    })
    .await;
}

#[tokio::test]
async fn int_256_what_is_read_only_cannot_be_written() {
    play("int-256", async |client| {
        let before = client.value("/3/0/0", None).await;
        let write = json!({"kind": "write", "path": "/3/0/0", "value": "me"});
        client.refused(write, "4.05").await;
        assert_eq!(client.value("/3/0/0", None).await, before);
        let execute = json!({"kind": "execute", "path": "/3/0/0"});
        client.refused(execute, "4.05").await;
    })
    .await;
}
