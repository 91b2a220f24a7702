//! LightweightM2M-1.1-int-201 to 237: reading, in every format and on every level.

use flownexus::domain::Lwm2mVersion;
use serde_json::json;

use super::harness::{play, play_as, values};

/// Manufacturer, model number and version of the firmware, one by one.
async fn reads_basic_information(name: &str, format: &str) {
    play(name, async |client| {
        assert_eq!(client.value("/3/0/0", Some(format)).await, "flownexus");
        assert_eq!(
            client.value("/3/0/1", Some(format)).await,
            "Simulated device"
        );
        assert_eq!(client.value("/3/0/3", Some(format)).await, "1.0.0");
    })
    .await;
}

/// The instance of the device object as a whole.
async fn reads_the_device_object(name: &str, format: &str) {
    play(name, async |client| {
        let device = client.read("/3/0", Some(format)).await;
        assert_eq!(device["/3/0/0"], "flownexus");
        assert_eq!(device["/3/0/6/1"], 5, "an instance of a resource");
        assert!(device["/3/0/13"].is_string(), "a time");
        assert!(!device.contains_key("/3/0/4"), "what is executed");
        assert_eq!(client.read("/3", Some(format)).await.len(), device.len());
    })
    .await;
}

#[tokio::test]
async fn int_201_reads_basic_information_as_text() {
    reads_basic_information("int-201", "text").await;
}

#[tokio::test]
async fn int_203_reads_as_tlv() {
    reads_basic_information("int-203", "tlv").await;
    reads_the_device_object("int-203-object", "tlv").await;
}

#[tokio::test]
async fn int_204_reads_as_json_of_1_0() {
    reads_basic_information("int-204", "json").await;
    reads_the_device_object("int-204-object", "json").await;
}

#[tokio::test]
async fn int_211_reads_as_cbor() {
    reads_basic_information("int-211", "cbor").await;
    play("int-211-types", async |client| {
        for (path, value) in [
            ("/3442/0/120", json!(-1024)),
            ("/3442/0/130", json!(3.25)),
            ("/3442/0/140", json!(true)),
            ("/3442/0/150", json!("ASNFZ4mrze8=")),
            ("/3442/0/160", json!("2000-01-01T00:00:00.000Z")),
            ("/3442/0/170", json!("3:0")),
        ] {
            assert_eq!(client.value(path, Some("cbor")).await, value, "{path}");
        }
    })
    .await;
}

#[tokio::test]
async fn int_222_reads_an_object() {
    play("int-222", async |client| {
        let server = client.read("/1", None).await;
        assert_eq!(
            (&server["/1/0/0"], &server["/1/0/1"]),
            (&json!(1), &json!(300))
        );
        assert_eq!(server["/1/0/7"], "U");
    })
    .await;
}

#[tokio::test]
async fn int_223_reads_an_object_instance() {
    play("int-223", async |client| {
        let server = client.read("/1/0", None).await;
        assert_eq!(server["/1/0/6"], true);
        assert!(server.keys().all(|path| path.starts_with("/1/0/")));
    })
    .await;
}

#[tokio::test]
async fn int_224_reads_a_resource() {
    play("int-224", async |client| {
        assert_eq!(client.value("/1/0/0", None).await, 1);
        assert_eq!(client.value("/1/0/7", None).await, "U");
        let sources = client.read("/3/0/6", None).await;
        assert_eq!(sources.len(), 2, "a resource with instances: {sources:?}");
    })
    .await;
}

#[tokio::test]
async fn int_225_reads_a_resource_instance() {
    play("int-225", async |client| {
        assert_eq!(client.value("/3/0/11/0", None).await, 0);
        assert_eq!(client.value("/3/0/7/0", None).await, 3800);
        let absent = json!({"kind": "read", "path": "/3/0/7/9"});
        client.refused(absent, "4.04").await;
    })
    .await;
}

#[tokio::test]
async fn int_231_reads_as_senml_json() {
    reads_basic_information("int-231", "senml_json").await;
    reads_the_device_object("int-231-object", "senml_json").await;
}

#[tokio::test]
async fn int_232_reads_as_senml_cbor() {
    reads_basic_information("int-232", "senml_cbor").await;
    reads_the_device_object("int-232-object", "senml_cbor").await;
}

#[tokio::test]
async fn int_237_reads_an_object_without_accept() {
    play("int-237", async |client| {
        let device = client.read("/3", None).await;
        assert_eq!(device["/3/0/0"], "flownexus");
    })
    .await;
    // Devices of 1.0 get no Accept at all and choose TLV or text.
    let change =
        |settings: &mut flownexus::sim::SimSettings| settings.device.version = Lwm2mVersion::V1_0;
    play_as("int-237-1.0", change, async |client| {
        let result = client
            .confirmed(json!({"kind": "read", "path": "/3"}))
            .await;
        assert_eq!(values(&result)["/3/0/0"], "flownexus");
        assert_eq!(client.value("/3/0/0", None).await, "flownexus");
    })
    .await;
}
