//! Firmware to many devices, through a real server and simulated devices that register, download and restart.

mod a_rollout_goes_through_its_groups;
mod a_rollout_survives_the_server;
mod a_thousand_devices;
mod people_steer_a_rollout;
mod rollouts_are_rehearsed;
mod too_many_failures_are_rolled_back;
mod what_is_no_rollout_is_refused;

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value as Json, json};
use tokio::task::LocalSet;

use crate::firmware::updated::{BEFORE, labelled, uploaded};
use crate::support::server::{Api, SOON, Server, Setup, eventually};
use flownexus::sim::{FirmwareSettings, Fleet, FleetSettings, SimHandle};

const ROLLOUTS: &str = "/api/v1/rollouts";
/// What devices run after a rollout.
const AFTER: &str = "2.0.0";
/// For a rollout over a few devices, each of which restarts.
const LONG: Duration = Duration::from_secs(90);

/// Whatever is tried again is tried again soon; so is what was on its way when the server was killed, to which an answer
/// may still come.
fn quick(setup: Setup) -> Setup {
    setup
        .setting("coap.response_timeout_s", 3)
        .setting("rollouts.newcomers_s", 1)
        .setting("rollouts.retry_s", 1)
}

/// The image that devices run before, and the one that they are to run.
async fn images(api: &Api) -> (Json, Json) {
    let before = uploaded(api, BEFORE, &labelled(BEFORE, 1, 2_000)).await;
    let after = uploaded(api, AFTER, &labelled(AFTER, 2, 2_000)).await;
    (before, after)
}

/// Devices that download over CoAP and restart quickly, `failing_percent` of which cannot install anything.
fn fleet(server: &Server, prefix: &str, count: usize, failing_percent: u8) -> FleetSettings {
    FleetSettings {
        prefix: Some(prefix.to_owned()),
        delay: Duration::from_millis(1),
        interval: Duration::from_secs(86_400),
        lifetime: Duration::from_secs(86_400),
        firmware: Some(FirmwareSettings {
            version: BEFORE.to_owned(),
            install_time: Duration::from_millis(100),
            ..FirmwareSettings::default()
        }),
        failing_percent,
        ..FleetSettings::new(server.coap(), count)
    }
}

/// Runs a test with registered devices.
async fn with_fleet(settings: FleetSettings, test: impl AsyncFnOnce(&Fleet)) {
    let play = async {
        let count = settings.count as u64;
        let fleet = Fleet::start(settings);
        eventually("all devices are registered", LONG, async || {
            (fleet.progress().registered == count).then_some(())
        })
        .await;
        test(&fleet).await;
        fleet.stop().await;
    };
    LocalSet::new().run_until(play).await;
}

/// A rollout of this image to the devices with this prefix, started at once.
fn wanted(image: &Json, prefix: &str, groups: &Json) -> Json {
    json!({
        "name": "autumn", "firmware_id": image["id"], "filter": {"names": [format!("{prefix}*")]},
        "method": "pull_coap", "groups": groups, "start": true,
    })
}

async fn shown(api: &Api, rollout: &Json) -> Json {
    api.read(&format!("{ROLLOUTS}/{}", rollout["id"])).await
}

/// Waits until it stands so, the last update included.
async fn becomes(api: &Api, rollout: &Json, state: &str) -> Json {
    becomes_within(api, rollout, state, LONG).await
}

async fn becomes_within(api: &Api, rollout: &Json, state: &str, limit: Duration) -> Json {
    let end = tokio::time::Instant::now() + limit;
    loop {
        let rollout = shown(api, rollout).await;
        let is_over = ["FINISHED", "ROLLED_BACK", "STOPPED"].contains(&state);
        if rollout["state"] == state && (!is_over || rollout["finished_at"].is_string()) {
            return rollout;
        }
        assert!(
            tokio::time::Instant::now() < end,
            "not {state} within {limit:?}, but {} ({}), waits for {}, {}\n{}",
            rollout["state"],
            rollout["reason"],
            rollout["waits_for"],
            rollout["counts"],
            log(&rollout)
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn steer(api: &Api, rollout: &Json, command: &str) -> Json {
    let path = format!("{ROLLOUTS}/{}/{command}", rollout["id"]);
    let answer = api.post(&path, &json!({})).await;
    let (status, text) = (answer.status(), answer.text().await.expect("a body"));
    assert_eq!(status, 200, "{text}");
    serde_json::from_str(&text).expect("JSON")
}

/// The lines of its log.
fn log(rollout: &Json) -> String {
    let lines = rollout["log"].as_array().expect("a log").iter();
    let lines: Vec<&str> = lines
        .map(|line| line["text"].as_str().expect("text"))
        .collect();
    lines.join("\n")
}

/// How many devices have this status.
fn count(rollout: &Json, status: &str) -> u64 {
    rollout["counts"][status].as_u64().unwrap_or(0)
}

/// The devices of a rollout, by their names.
async fn targets(api: &Api, rollout: &Json) -> BTreeMap<String, Json> {
    let mut all = BTreeMap::new();
    let mut cursor = String::new();
    loop {
        let path = format!("{ROLLOUTS}/{}/targets?limit=500{cursor}", rollout["id"]);
        let page = api.read(&path).await;
        for target in page["items"].as_array().expect("items") {
            let name = target["endpoint"].as_str().expect("a name").to_owned();
            all.insert(name, target.clone());
        }
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return all,
        }
    }
}

/// What a device runs, and how often it installed which version.
async fn runs(device: &SimHandle) -> (String, Vec<(String, u64)>) {
    let report = device.firmware().await.expect("a device with object 5");
    (report.version, report.installs.into_iter().collect())
}

/// Each device runs what the rollout says that it runs, and installed nothing twice.
async fn assert_nobody_was_updated_twice(api: &Api, rollout: &Json, fleet: &Fleet) {
    let targets = targets(api, rollout).await;
    for device in fleet.devices() {
        let name = device.name().to_string();
        let (version, installs) = runs(&device).await;
        for (version, count) in &installs {
            assert_eq!(*count, 1, "{name} installed {version} {count} times");
        }
        let Some(target) = targets.get(&name) else {
            assert!(installs.is_empty(), "{name}: {installs:?}");
            continue;
        };
        let expected = match target["status"].as_str().expect("a status") {
            "SUCCEEDED" => AFTER,
            "ROLLED_BACK" | "FAILED" | "CANCELLED" | "WAITING" => BEFORE,
            status => panic!("{name} is {status}: {target}"),
        };
        assert_eq!(version, expected, "{name}: {target}");
    }
}
