//! LightweightM2M-1.1-int-301 to 310: observations, single and composite.
//!
//! The periods are a second or two here, to be short; the figures of the specification are held in
//! virtual time by the tests of the simulated device (`src/sim/device/tests/periods.rs`).

use std::time::{Duration, Instant};

use flownexus::domain::Value;
use serde_json::{Value as Json, json};

use super::harness::{Client, play};

const NUMBER: &str = "/3442/0/120";
const FLOAT: &str = "/3442/0/130";

async fn attributes(client: &Client, path: &str, attributes: Json) {
    client
        .confirmed(json!({"kind": "write_attributes", "path": path, "attributes": attributes}))
        .await;
}

async fn observe(client: &Client, path: &str) {
    let observe = json!({"kind": "observe", "path": path});
    assert_eq!(client.confirmed(observe).await["code"], "2.05");
}

async fn observe_composite(client: &Client, paths: &[&str]) {
    let observe = json!({"kind": "observe_composite", "paths": paths});
    assert_eq!(client.confirmed(observe).await["code"], "2.05");
}

/// Whether the server shows an observation of these paths.
async fn is_shown(client: &Client, path: &str) -> bool {
    client.shown().await["observations"]
        .to_string()
        .contains(&format!("\"{path}\""))
}

/// One change and then none: told after `pmin` (1 s), and again after `pmax` (2 s).
async fn keeps_its_periods(client: &Client, observing: Instant) {
    let before = client.notifications();
    client.set(NUMBER, Value::Integer(301)).await;
    let first = client.notified(before + 1).await;
    assert!(first.duration_since(observing) >= Duration::from_secs(1));
    client.until_stored(NUMBER, json!(301)).await;
    let second = client.notified(before + 2).await;
    assert!(second.duration_since(observing) >= Duration::from_secs(3));
}

#[tokio::test]
async fn int_301_an_observation_keeps_pmin_and_pmax() {
    play("int-301", async |client| {
        client.settled().await;
        attributes(client, "/3442/0", json!({"pmin": 1, "pmax": 2})).await;
        let observing = Instant::now();
        observe(client, NUMBER).await;
        assert!(is_shown(client, NUMBER).await);
        keeps_its_periods(client, observing).await;
        attributes(client, "/3442/0", json!({"pmin": null, "pmax": null})).await;
        let before = client.notifications();
        client.set(NUMBER, Value::Integer(302)).await;
        client.notified(before + 1).await;
        client.until_stored(NUMBER, json!(302)).await;
    })
    .await;
}

#[tokio::test]
async fn int_302_an_observation_is_cancelled_by_a_reset() {
    play("int-302", async |client| {
        let others = client.settled().await;
        observe(client, NUMBER).await;
        client.until_observations(others + 1).await;
        let cancel = json!({"kind": "cancel_observe", "path": NUMBER, "passive": true});
        client.confirmed(cancel).await;
        assert!(!is_shown(client, NUMBER).await);
        assert_eq!(
            client.device.observations().await,
            others + 1,
            "nothing was sent"
        );
        client.set(NUMBER, Value::Integer(302)).await;
        client.until_observations(others).await;
        assert_ne!(client.stored(NUMBER).await, Some(json!(302)));
    })
    .await;
}

#[tokio::test]
async fn int_303_an_observation_is_cancelled_by_observe_1() {
    play("int-303", async |client| {
        let others = client.settled().await;
        observe(client, NUMBER).await;
        let before = client.notifications();
        client.set(NUMBER, Value::Integer(303)).await;
        client.notified(before + 1).await;
        client
            .confirmed(json!({"kind": "cancel_observe", "path": NUMBER}))
            .await;
        assert_eq!(client.device.observations().await, others);
        assert!(!is_shown(client, NUMBER).await);
    })
    .await;
}

#[tokio::test]
async fn int_304_a_composite_observation_keeps_pmin_and_pmax() {
    play("int-304", async |client| {
        client.settled().await;
        attributes(client, "/3442/0", json!({"pmin": 1, "pmax": 2})).await;
        let observing = Instant::now();
        observe_composite(client, &[NUMBER, FLOAT, "/3/0/0"]).await;
        keeps_its_periods(client, observing).await;
        client.until_stored("/3/0/0", json!("flownexus")).await;
    })
    .await;
}

#[tokio::test]
async fn int_305_a_composite_observation_is_cancelled_both_ways() {
    play("int-305", async |client| {
        let others = client.settled().await;
        let paths = [NUMBER, FLOAT];
        observe_composite(client, &paths).await;
        client.until_observations(others + 1).await;
        client
            .confirmed(json!({"kind": "cancel_observe_composite", "paths": paths}))
            .await;
        assert_eq!(client.device.observations().await, others);
        assert!(!is_shown(client, NUMBER).await);
    })
    .await;
    play("int-305-passive", async |client| {
        let others = client.settled().await;
        let paths = [NUMBER, FLOAT];
        observe_composite(client, &paths).await;
        let cancel = json!({"kind": "cancel_observe_composite", "paths": paths, "passive": true});
        client.confirmed(cancel).await;
        client.set(FLOAT, Value::Float(305.5)).await;
        client.until_observations(others).await;
        assert_ne!(client.stored(FLOAT).await, Some(json!(305.5)));
    })
    .await;
}

#[tokio::test]
async fn int_308_a_composite_observation_tells_of_an_instance_that_is_created() {
    play("int-308", async |client| {
        client.settled().await;
        observe_composite(client, &["/16", NUMBER]).await;
        let before = client.notifications();
        let create = json!({"kind": "create", "path": "/16/0", "value": {"0": {"0": "new"}}});
        client.confirmed(create).await;
        client.notified(before + 1).await;
        client.until_stored("/16/0/0/0", json!("new")).await;
        client
            .set("/3442/0/110", Value::String("other".to_owned()))
            .await;
        client.set(NUMBER, Value::Integer(308)).await;
        client.until_stored(NUMBER, json!(308)).await;
        assert_eq!(
            client.notifications(),
            before + 2,
            "what is not observed is not told"
        );
    })
    .await;
}

#[tokio::test]
async fn int_309_a_composite_observation_goes_on_when_an_instance_is_deleted() {
    play("int-309", async |client| {
        let others = client.settled().await;
        let create = json!({"kind": "create", "path": "/16/0", "value": {"0": {"0": "old"}}});
        client.confirmed(create).await;
        observe_composite(client, &["/16", NUMBER]).await;
        let before = client.notifications();
        client
            .confirmed(json!({"kind": "delete", "path": "/16/0"}))
            .await;
        client.notified(before + 1).await;
        client.set(NUMBER, Value::Integer(309)).await;
        client.until_stored(NUMBER, json!(309)).await;
        assert_eq!(client.device.observations().await, others + 1);
        assert!(is_shown(client, NUMBER).await);
    })
    .await;
}

#[tokio::test]
async fn int_310_attributes_changed_afterwards_change_a_composite_observation() {
    play("int-310", async |client| {
        client.settled().await;
        observe_composite(client, &[NUMBER, FLOAT]).await;
        let before = client.notifications();
        client.set(FLOAT, Value::Float(310.0)).await;
        client.notified(before + 1).await;
        // From now on without a change too.
        let changed = Instant::now();
        attributes(client, "/3442/0", json!({"pmax": 1})).await;
        let repeated = client.notified(before + 3).await;
        assert!(repeated.duration_since(changed) >= Duration::from_secs(1));
        // And with less haste.
        attributes(client, "/3442/0", json!({"pmin": 2, "pmax": 60})).await;
        let before = client.notifications();
        let begin = Instant::now();
        client.set(FLOAT, Value::Float(310.5)).await;
        client.notified(before + 1).await;
        client.until_stored(FLOAT, json!(310.5)).await;
        // The last one was told up to a second before `begin`.
        assert!(begin.elapsed() >= Duration::from_millis(900));
    })
    .await;
}
