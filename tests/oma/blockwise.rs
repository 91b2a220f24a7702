//! Bodies that are larger than a datagram, both ways (RFC 7959), and a transfer that breaks off.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use flownexus::domain::Value;
use flownexus::sim::{Quirks, SimSettings};
use serde_json::json;

use super::harness::{at, play, play_on};
use crate::support::server::{SOON, Server, eventually};

const OPAQUE: &str = "/3442/0/150";

/// Bytes that are not the same in any two blocks.
fn bytes(count: u32) -> Vec<u8> {
    (0..count)
        .map(|at| at.wrapping_mul(2_654_435_761).to_be_bytes()[0])
        .collect()
}

#[tokio::test]
async fn blockwise_1_five_thousand_bytes_are_written() {
    play("blockwise-1", async |client| {
        for (count, format) in [(5000, "opaque"), (5001, "tlv"), (5002, "senml_cbor")] {
            let bytes = bytes(count);
            client
                .write(OPAQUE, json!(BASE64.encode(&bytes)), format)
                .await;
            assert_eq!(client.held(OPAQUE).await, Some(Value::Opaque(bytes)));
        }
    })
    .await;
}

#[tokio::test]
async fn blockwise_2_a_write_that_broke_off_is_repeated_from_its_beginning() {
    let server = Server::setup()
        .setting("coap.ack_timeout_ms", 200)
        .setting("coap.max_retransmit", 2)
        .start()
        .await;
    let with_relay = |settings: &mut SimSettings| settings.relay = true;
    play_on(&server, "blockwise-2", with_relay, async |client| {
        client.settled().await;
        let before = client.held(OPAQUE).await;
        // Two blocks, and the answer to the first of them; then the line is dead.
        let breaks = Quirks {
            passes: Some(3),
            ..Quirks::default()
        };
        client.device.set_quirks(breaks).await.expect("a relay");
        let bytes = bytes(5000);
        let write = json!({"kind": "write", "path": OPAQUE, "value": BASE64.encode(&bytes)});
        let operation = client.api.operate("blockwise-2", &write).await;
        let path = format!("/api/v1/operations/{}", operation["id"]);
        eventually("the first attempt has failed", SOON, async || {
            let operation = client.api.read(&path).await;
            let failed = operation["status"] == "QUEUED" && operation["attempts"] != 0;
            failed.then_some(())
        })
        .await;
        assert_eq!(
            client.held(OPAQUE).await,
            before,
            "nothing was written in part"
        );
        let heals = client.device.set_quirks(Quirks::default()).await;
        heals.expect("a relay");
        // The server tries again when it hears of the client.
        client.device.update().await.expect("running");
        let ended = client.api.ended(&operation).await;
        assert_eq!(ended["status"], "CONFIRMED", "{ended}");
        assert_eq!(client.held(OPAQUE).await, Some(Value::Opaque(bytes)));
    })
    .await;
}

#[tokio::test]
async fn blockwise_3_four_thousand_bytes_are_read() {
    play("blockwise-3", async |client| {
        let bytes = bytes(4096);
        client.set(OPAQUE, Value::Opaque(bytes.clone())).await;
        for format in ["tlv", "senml_cbor", "opaque", "cbor", "senml_json"] {
            assert_eq!(
                client.value(OPAQUE, Some(format)).await,
                BASE64.encode(&bytes),
                "{format}"
            );
        }
    })
    .await;
}

#[tokio::test]
async fn blockwise_4_four_thousand_bytes_are_sent() {
    play("blockwise-4", async |client| {
        let bytes = bytes(4096);
        client.set(OPAQUE, Value::Opaque(bytes.clone())).await;
        client.device.send(vec![at(OPAQUE)]).await.expect("running");
        client
            .until_stored(OPAQUE, json!(BASE64.encode(&bytes)))
            .await;
        let sends = || client.device.counters().sends();
        client.counted("Sends confirmed", 1, sends).await;
    })
    .await;
}
