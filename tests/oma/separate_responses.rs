//! Answers that come as messages of their own, half a second after the acknowledgement (RFC 7252
//! section 5.2.2), to every operation in every format.

use std::time::{Duration, Instant};

use flownexus::domain::Value;
use flownexus::sim::{Answers, SimSettings};
use serde_json::json;

use super::harness::{Client, play_as, string, values};

const DELAY: Duration = Duration::from_millis(500);

async fn play_late(name: &str, test: impl AsyncFnOnce(&Client)) {
    let late = |settings: &mut SimSettings| {
        settings.device.quirks.answers = Answers::Separately(DELAY);
        // Nothing but what the test asks: each answer takes its time.
        settings.device.update_interval = Some(Duration::from_secs(3600));
    };
    let begin = Instant::now();
    play_as(name, late, test).await;
    assert!(begin.elapsed() >= DELAY, "nothing was late");
}

#[tokio::test]
async fn async_read() {
    play_late("async-read", async |client| {
        for format in ["text", "cbor", "tlv", "json", "senml_json", "senml_cbor"] {
            assert_eq!(client.value("/3/0/0", Some(format)).await, "flownexus");
        }
    })
    .await;
}

#[tokio::test]
async fn async_read_instance() {
    play_late("async-read-instance", async |client| {
        for format in ["tlv", "json", "senml_json", "senml_cbor"] {
            assert_eq!(
                client.read("/3/0", Some(format)).await["/3/0/0"],
                "flownexus"
            );
        }
    })
    .await;
}

#[tokio::test]
async fn async_composite_read() {
    play_late("async-composite-read", async |client| {
        for format in ["senml_json", "senml_cbor"] {
            let result = client
                .confirmed(json!({
                    "kind": "read_composite", "paths": ["/3/0/0", "/1/0"], "format": format,
                }))
                .await;
            assert_eq!(values(&result)["/1/0/1"], 300);
        }
    })
    .await;
}

#[tokio::test]
async fn async_write() {
    play_late("async-write", async |client| {
        let formats = ["text", "cbor", "tlv", "json", "senml_json", "senml_cbor"];
        for (value, format) in formats.into_iter().enumerate() {
            client.write("/1/0/2", json!(value), format).await;
            let value = i64::try_from(value).expect("small");
            assert_eq!(client.held("/1/0/2").await, Some(Value::Integer(value)));
        }
    })
    .await;
}

#[tokio::test]
async fn async_write_instance() {
    play_late("async-write-instance", async |client| {
        let formats = ["tlv", "json", "senml_json", "senml_cbor"];
        for (value, format) in formats.into_iter().enumerate() {
            client
                .confirmed(json!({
                    "kind": "write_update", "path": "/1/0", "value": {"3": value + 10}, "format": format,
                }))
                .await;
            let value = i64::try_from(value).expect("small");
            assert_eq!(
                client.held("/1/0/3").await,
                Some(Value::Integer(value + 10))
            );
        }
    })
    .await;
}

#[tokio::test]
async fn async_composite_write() {
    play_late("async-composite-write", async |client| {
        for (value, format) in [(3, "senml_json"), (4, "senml_cbor")] {
            client
                .confirmed(json!({
                    "kind": "write_composite", "format": format,
                    "values": {"/1/0/2": value, "/3442/0/110": format},
                }))
                .await;
            assert_eq!(client.held("/1/0/2").await, Some(Value::Integer(value)));
            assert_eq!(client.held("/3442/0/110").await, Some(string(format)));
        }
    })
    .await;
}

#[tokio::test]
async fn async_execute() {
    play_late("async-execute", async |client| {
        client
            .confirmed(json!({"kind": "execute", "path": "/3442/0/3", "arguments": "5='late'"}))
            .await;
        assert_eq!(client.held("/3442/0/4/5").await, Some(string("late")));
    })
    .await;
}
