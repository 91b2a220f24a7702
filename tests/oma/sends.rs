//! LightweightM2M-1.1-int-306, 307 and 311: values that the client sends on its own accord.

use flownexus::domain::{Node, Timestamp, Value};
use serde_json::json;

use super::harness::{at, nodes, play, string};

#[tokio::test]
async fn int_306_the_client_sends_two_objects() {
    play("int-306", async |client| {
        client.settled().await;
        client.set("/1/0/3", Value::Integer(77)).await;
        client
            .device
            .send(vec![at("/1"), at("/3")])
            .await
            .expect("running");
        client.until_stored("/1/0/3", json!(77)).await;
        client.until_stored("/3/0/0", json!("flownexus")).await;
        client.until_stored("/3/0/7/0", json!(3800)).await;
        let sends = || client.device.counters().sends();
        client.counted("Sends confirmed", 1, sends).await;
    })
    .await;
}

#[tokio::test]
async fn int_307_muted_it_sends_nothing() {
    play("int-307", async |client| {
        let send = || client.device.send(vec![at("/3442/0/110")]);
        client.write("/1/0/23", json!(true), "text").await;
        client.set("/3442/0/110", string("muted")).await;
        send().await.expect("running");
        client.write("/1/0/23", json!(false), "text").await;
        client.set("/3442/0/110", string("heard")).await;
        send().await.expect("running");
        client.until_stored("/3442/0/110", json!("heard")).await;
        assert_eq!(client.device.counters().sends(), 1, "the first was muted");
    })
    .await;
}

#[tokio::test]
async fn int_311_the_client_sends_selected_resources() {
    play("int-311", async |client| {
        client
            .device
            .send(vec![at("/1/0/1"), at("/3/0/11"), at("/3442/0/170")])
            .await
            .expect("running");
        client.until_stored("/3442/0/170", json!("3:0")).await;
        assert_eq!(client.stored("/1/0/1").await, Some(json!(300)));
        assert_eq!(client.stored("/3/0/11/0").await, Some(json!(0)));
        assert_eq!(
            client.stored("/1/0/2").await,
            None,
            "only what was selected"
        );
        // As the test object does it: resource 6 names what an Execute of 5 sends.
        client
            .write("/3442/0/6", json!({"0": "/3442/0/120"}), "senml_cbor")
            .await;
        client
            .confirmed(json!({"kind": "execute", "path": "/3442/0/5"}))
            .await;
        client.until_stored("/3442/0/120", json!(-1024)).await;
    })
    .await;
}

#[tokio::test]
async fn int_311_a_send_brings_a_history_with_its_times() {
    play("int-311-history", async |client| {
        let path = "/3442/0/130";
        let times = [1_700_000_000_000_i64, 1_700_000_060_000, 1_700_000_120_000];
        let mut sent = Vec::new();
        for (at_ms, value) in times.into_iter().zip([1.5, 2.5, 3.5]) {
            sent.push(Node {
                time: Timestamp::from_millis(at_ms),
                ..nodes(&[(path, Value::Float(value))]).remove(0)
            });
        }
        client.device.send_values(sent).await.expect("running");
        let sends = || client.device.counters().sends();
        client.counted("Sends confirmed", 1, sends).await;
        assert_eq!(
            client.history(path).await,
            [
                json!([times[0], 1.5]),
                json!([times[1], 2.5]),
                json!([times[2], 3.5])
            ]
        );
    })
    .await;
}
