//! LightweightM2M-1.1-int-228, 1630 and 1635: instances of the Portfolio object.

use serde_json::json;

use super::harness::{play, string};

#[tokio::test]
async fn int_228_creates_a_portfolio_and_writes_one_instance_of_its_resource() {
    play("int-228", async |client| {
        let create = json!({
            "kind": "create", "path": "/16/0",
            "value": {"0": {"0": "a", "1": "b", "2": "c", "3": "d"}},
        });
        assert_eq!(client.confirmed(create).await["code"], "2.01");
        client
            .confirmed(json!({"kind": "write", "path": "/16/0/0/2", "value": "C"}))
            .await;
        let identity = client.read("/16/0/0", None).await;
        let identity: Vec<_> = identity.into_values().collect();
        assert_eq!(identity, ["a", "b", "C", "d"]);
        client
            .confirmed(json!({"kind": "write", "path": "/16/0/0/4", "value": "e"}))
            .await;
        assert_eq!(
            client.held("/16/0/0/4").await,
            Some(string("e")),
            "a new one"
        );
    })
    .await;
}

#[tokio::test]
async fn int_1630_creates_a_portfolio_instance_and_sees_it_announced() {
    play("int-1630", async |client| {
        let named = json!({
            "kind": "create", "path": "/16/5",
            "value": {"0": {"0": "Host Device ID #1", "3": "Software"}},
        });
        assert_eq!(client.confirmed(named).await["code"], "2.01");
        let taken = json!({"kind": "create", "path": "/16/5", "value": {"0": {"0": "a"}}});
        client.refused(taken, "4.00").await;
        let chosen = json!({"kind": "create", "path": "/16", "value": {"0": {"0": "b"}}});
        let result = client.confirmed(chosen).await;
        assert_eq!(
            (&result["code"], &result["location"]),
            (&json!("2.01"), &json!("/16/0"))
        );
        client
            .until("both are announced", |shown| {
                let objects = shown["objects"].to_string();
                objects.contains("/16/5") && objects.contains("/16/0")
            })
            .await;
        let read = client.read("/16", None).await;
        assert_eq!(read["/16/5/0/0"], "Host Device ID #1");
        assert_eq!(read["/16/5/0/3"], "Software");
        let empty = json!({"kind": "create", "path": "/16/6"});
        client.refused(empty, "4.00").await;
    })
    .await;
}

#[tokio::test]
async fn int_1635_deletes_a_portfolio_instance_and_sees_it_gone() {
    play("int-1635", async |client| {
        let create = json!({"kind": "create", "path": "/16/0", "value": {"0": {"0": "a"}}});
        client.confirmed(create).await;
        client
            .until("it is announced", |shown| {
                shown["objects"].to_string().contains("/16/0")
            })
            .await;
        let delete = json!({"kind": "delete", "path": "/16/0"});
        assert_eq!(client.confirmed(delete.clone()).await["code"], "2.02");
        client
            .until("it is gone", |shown| {
                !shown["objects"].to_string().contains("/16/0")
            })
            .await;
        client.refused(delete, "4.04").await;
        client
            .refused(json!({"kind": "delete", "path": "/3/0"}), "4.05")
            .await;
    })
    .await;
}
