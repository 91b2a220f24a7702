//! Content formats that the ids of the specification do not name: LwM2M-CBOR, SenML-ETCH, and what
//! happens when a client refuses one format after the other.

use flownexus::domain::{Lwm2mVersion, Value};
use flownexus::sim::SimSettings;
use serde_json::{Value as Json, json};

use super::harness::{Client, play_as, string, values};

const TLV_ALONE: [u16; 8] = [112, 110, 11_544, 60, 11_543, 0, 322, 320];

fn of_1_2(settings: &mut SimSettings) {
    settings.device.version = Lwm2mVersion::V1_2;
}

fn refuses(formats: &[u16]) -> impl FnOnce(&mut SimSettings) {
    let formats = formats.to_vec();
    move |settings| {
        settings.device.version = Lwm2mVersion::V1_2;
        settings.device.quirks.refused_formats = formats;
    }
}

/// The format of the observation of a path, as the API shows it.
async fn format_of(client: &Client, path: &str) -> Json {
    let is_of = |observation: &Json| observation["paths"] == json!([path]);
    let shown = client
        .until("is observed", |shown| {
            let observations = shown["observations"].as_array();
            observations
                .is_some_and(|all| all.iter().any(|one| is_of(one) && one["state"] == "active"))
        })
        .await;
    let observations = shown["observations"].as_array().expect("observations");
    let observation = observations.iter().find(|one| is_of(one));
    observation.expect("the observation")["format"].clone()
}

#[tokio::test]
async fn a_client_of_1_2_is_read_written_and_observed_in_lwm2m_cbor() {
    play_as("lwm2m-cbor", of_1_2, async |client| {
        let mut device = client.read("/3/0", Some("lwm2m_cbor")).await;
        let mut as_senml = client.read("/3/0", Some("senml_cbor")).await;
        // The device's clock may have gone on in between.
        for read in [&mut device, &mut as_senml] {
            assert!(read.remove("/3/0/13").is_some(), "{read:?}");
        }
        assert_eq!(device, as_senml);
        assert!(device.len() > 10, "{device:?}");
        for (path, value) in [
            ("/3442/0/110", json!("grüezi")),
            ("/3442/0/120", json!(-42)),
            ("/3442/0/130", json!(21.5)),
            ("/3442/0/140", json!(true)),
            ("/3442/0/150", json!("AQID")),
            ("/3442/0/160", json!("2013-05-02T10:40:15.000Z")),
            ("/3442/0/170", json!("3303:0")),
        ] {
            client.write(path, value.clone(), "lwm2m_cbor").await;
            assert_eq!(
                client.value(path, Some("lwm2m_cbor")).await,
                value,
                "{path}"
            );
            assert_eq!(client.value(path, Some("text")).await, value, "{path}");
        }
        let composite = json!({
            "kind": "write_composite", "format": "lwm2m_cbor",
            "values": {"/3442/0/120": 7, "/3442/0/1120": {"0": 1, "5": 2}, "/1/0/1": 3000},
        });
        client.confirmed(composite).await;
        assert_eq!(client.held("/3442/0/1120/5").await, Some(Value::Integer(2)));
        assert_eq!(client.held("/1/0/1").await, Some(Value::Integer(3000)));
        let read = json!({"kind": "read_composite", "paths": ["/3442/0/120", "/1/0/1"]});
        let result = values(&client.confirmed(read).await);
        assert_eq!(result["/3442/0/120"], 7);
        assert_eq!(result["/1/0/1"], 3000);

        let observe = json!({"kind": "observe", "path": "/3442/0"});
        client.confirmed(observe).await;
        assert_eq!(format_of(client, "/3442/0").await, "lwm2m_cbor");
        client.set("/3442/0/130", Value::Float(-3.25)).await;
        client.until_stored("/3442/0/130", json!(-3.25)).await;
    })
    .await;
}

#[tokio::test]
async fn a_null_in_a_composite_removes_a_resource_instance() {
    for format in [None, Some("senml_etch_json"), Some("senml_etch_cbor")] {
        let name = format!("etch-{}", format.unwrap_or("any"));
        play_as(&name, of_1_2, async |client| {
            let write = json!({
                "kind": "write", "path": "/3442/0/1110", "value": {"0": "a", "1": "b", "2": "c"},
            });
            client.confirmed(write).await;
            let mut change = json!({
                "kind": "write_composite",
                "values": {"/3442/0/1110": {"0": "x", "1": null}, "/3442/0/1110/2": null},
            });
            if let Some(format) = format {
                change["format"] = json!(format);
            }
            client.confirmed(change).await;
            assert_eq!(client.held("/3442/0/1110/0").await, Some(string("x")));
            assert_eq!(client.held("/3442/0/1110/1").await, None);
            assert_eq!(client.held("/3442/0/1110/2").await, None);
        })
        .await;
    }
}

#[tokio::test]
async fn before_1_2_nothing_can_be_removed_and_nothing_is_sent() {
    play_as(
        "etch-in-1-1",
        |_| {},
        async |client| {
            client.settled().await;
            let heard = client.device.counters().operations();
            let remove = json!({"kind": "write_composite", "values": {"/3442/0/1110/0": null}});
            let ended = client.operate(remove).await;
            assert_eq!(ended["status"], "FAILED");
            let error = ended["error"].as_str().expect("an error");
            assert!(error.contains("does not exist in LwM2M 1.1"), "{error}");
            assert_eq!(client.device.counters().operations(), heard);
        },
    )
    .await;
}

#[tokio::test]
async fn each_format_that_a_client_refuses_gives_way_until_one_is_left() {
    play_as("tlv-alone", refuses(&TLV_ALONE), async |client| {
        let device = client.read("/3/0", None).await;
        assert_eq!(device["/3/0/0"], "flownexus");
        assert_eq!(client.value("/3/0/1", None).await, "Simulated device");
        let write = json!({"kind": "write", "path": "/3442/0/120", "value": 5});
        client.confirmed(write).await;
        assert_eq!(client.held("/3442/0/120").await, Some(Value::Integer(5)));
        let update = json!({"kind": "write_update", "path": "/3442/0", "value": {"120": 6}});
        client.confirmed(update).await;
        assert_eq!(client.held("/3442/0/120").await, Some(Value::Integer(6)));
        // What was learnt is not asked again.
        client.settled().await;
        let before = client.device.counters().operations();
        client.read("/3/0", None).await;
        assert_eq!(client.device.counters().operations(), before + 1);

        // TLV has no composites: each format is tried, and then the error names them.
        let composite = json!({"kind": "read_composite", "paths": ["/3/0/0", "/1/0/1"]});
        let ended = client.operate(composite).await;
        assert_eq!(ended["status"], "FAILED", "{ended}");
        assert_eq!(
            ended["error"],
            "the device refuses every format that this could be sent in: 110 (senml_json), \
             112 (senml_cbor), 320 (senml_etch_json), 322 (senml_etch_cbor)"
        );
    })
    .await;
}

#[tokio::test]
async fn a_composite_falls_to_senml_etch_and_is_answered_in_lwm2m_cbor() {
    play_as("etch-alone", refuses(&[112, 110]), async |client| {
        let read = json!({"kind": "read_composite", "paths": ["/3/0/0", "/1/0/1"]});
        let result = values(&client.confirmed(read).await);
        assert_eq!(result["/3/0/0"], "flownexus");
        let write = json!({"kind": "write_composite", "values": {"/3442/0/120": 9}});
        client.confirmed(write).await;
        assert_eq!(client.held("/3442/0/120").await, Some(Value::Integer(9)));
    })
    .await;
}
