//! Simulated devices that are updated, and what the server tells of it.

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value as Json, json};
use tokio::task::LocalSet;
use tokio::time::timeout;

use super::{form, image, upload};
use crate::support::server::{Api, DEVICE_KEY, SOON, Server, eventually};
use flownexus::domain::EndpointName;
use flownexus::net::dtls::{ClientCredentials, ClientSettings};
use flownexus::net::https::Trust;
use flownexus::sim::{FirmwareReport, FirmwareSettings, SimClient, SimHandle};
use flownexus::sim::{SimSecurity, SimSettings};

pub(super) const UPDATES: &str = "/api/v1/firmware-updates";
/// What a device runs before.
pub(crate) const BEFORE: &str = "1.0.0";

/// How an image comes to a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Coap,
    Coaps,
    Https,
    Push,
}

impl Way {
    /// The word of the API.
    pub(super) fn method(self) -> &'static str {
        match self {
            Self::Coap | Self::Coaps => "pull_coap",
            Self::Https => "pull_https",
            Self::Push => "push",
        }
    }

    /// Where a device that goes this way finds the server.
    pub(super) fn address(self, server: &Server) -> SocketAddr {
        match self {
            Self::Coaps => server.coaps(),
            Self::Coap | Self::Https | Self::Push => server.coap(),
        }
    }
}

/// A device that does everything quickly and nothing of its own accord. `at`: where it believes that the server is.
pub(super) fn device_at(server: &Server, at: SocketAddr, name: &str, way: Way) -> SimSettings {
    let mut settings = SimSettings::new(at, EndpointName::new(name).expect("a name"));
    settings.coap.ack_timeout_ms = 200;
    let device = &mut settings.device;
    device.interval = Duration::from_secs(86_400);
    device.reboot_time = Duration::from_millis(100);
    device.retry_min = Duration::from_millis(200);
    device.retry_max = Duration::from_secs(1);
    device.firmware = Some(FirmwareSettings {
        version: BEFORE.to_owned(),
        install_time: Duration::from_millis(100),
        ..FirmwareSettings::default()
    });
    let ca = fs::read(server.data_dir().join("certs/ca.crt")).expect("our CA");
    settings.trust = Some(Trust::authorities(&ca).expect("a certificate"));
    if way == Way::Coaps {
        server.secure_device(name).close_session();
        let credentials = ClientCredentials::psk(name, DEVICE_KEY.to_vec()).expect("a key");
        let mut security = SimSecurity::new(ClientSettings::new(credentials));
        security.retry_min = Duration::from_millis(200);
        security.retry_max = Duration::from_secs(1);
        settings.security = Some(security);
    }
    settings
}

pub(super) fn device(server: &Server, name: &str, way: Way) -> SimSettings {
    device_at(server, way.address(server), name, way)
}

/// What it has of object 5.
pub(super) fn firmware(settings: &mut SimSettings) -> &mut FirmwareSettings {
    settings.device.firmware.as_mut().expect("object 5")
}

/// Runs a test with a registered device.
pub(super) async fn play(settings: SimSettings, test: impl AsyncFnOnce(&SimHandle)) {
    let play = async {
        let device = SimClient::start(settings).expect("a socket");
        let registered = timeout(SOON, device.registered()).await;
        registered.expect("in time").expect("a running device");
        test(&device).await;
        device.stop(false).await;
    };
    LocalSet::new().run_until(play).await;
}

/// An image that says which version it is.
pub(crate) fn labelled(version: &str, seed: u64, count: usize) -> Vec<u8> {
    let mut bytes = format!("flownexus-image {version}\n").into_bytes();
    bytes.extend(image(seed, count));
    bytes
}

/// Uploads such an image.
pub(crate) async fn uploaded(api: &Api, version: &str, bytes: &[u8]) -> Json {
    upload(api, form(version, &format!("v{version}.bin"), bytes)).await
}

/// Asks for an update that must be accepted.
pub(super) async fn update(api: &Api, device: &str, image: &Json, method: Option<&str>) -> Json {
    api.create(UPDATES, &asked(device, image, method)).await
}

/// The body that asks for an update.
pub(super) fn asked(device: &str, image: &Json, method: Option<&str>) -> Json {
    let mut body = json!({"endpoint": device, "firmware_id": image["id"]});
    if let Some(method) = method {
        body["method"] = json!(method);
    }
    body
}

/// An update as it stands.
pub(super) async fn shown(api: &Api, update: &Json) -> Json {
    api.read(&format!("{UPDATES}/{}", update["id"])).await
}

/// Waits until it has come to this step.
pub(super) async fn reaches(api: &Api, update: &Json, phase: &str) -> Json {
    eventually(&format!("the step {phase}"), SOON, async || {
        let update = shown(api, update).await;
        (update["phase"] == phase).then_some(update)
    })
    .await
}

/// Waits until it is over.
pub(super) async fn over(api: &Api, update: &Json) -> Json {
    let path = format!("{UPDATES}/{}", update["id"]);
    let end = tokio::time::Instant::now() + LONG;
    loop {
        let update = api.read(&path).await;
        if update["result"] != "DEFAULT" {
            return update;
        }
        assert!(
            tokio::time::Instant::now() < end,
            "not over within {LONG:?}: {}, {}\n{}",
            update["phase"],
            update["awaited"],
            timeline(&update).join("\n")
        );
        tokio::time::sleep(POLL).await;
    }
}

/// Waits until it is over, which must be with this result.
pub(super) async fn ends(api: &Api, update: &Json, result: &str) -> Json {
    let update = over(api, update).await;
    let told = timeline(&update).join("\n");
    assert_eq!(update["result"], result, "{}\n{told}", update["reason"]);
    assert_eq!(update["phase"], "over");
    assert_eq!(update["awaited"], Json::Null);
    assert!(update["finished_at"].is_string(), "{update}");
    update
}

/// The lines of its timeline.
pub(super) fn timeline(update: &Json) -> Vec<&str> {
    let lines = update["timeline"].as_array().expect("a timeline").iter();
    lines
        .map(|line| line["text"].as_str().expect("text"))
        .collect()
}

/// Fails unless the timeline has lines with these words, in this order.
#[track_caller]
pub(super) fn assert_told(update: &Json, words: &[&str]) {
    let lines = timeline(update);
    let mut rest = lines.iter();
    for word in words {
        assert!(
            rest.any(|line| line.contains(word)),
            "`{word}` is not told, or not in its place:\n{}",
            lines.join("\n")
        );
    }
}

/// What a device tells of its firmware.
pub(super) async fn report(device: &SimHandle) -> FirmwareReport {
    device.firmware().await.expect("a device with object 5")
}

/// Waits until so much of an image has come to a device.
pub(super) async fn received(device: &SimHandle, bytes: u64) {
    eventually(&format!("{bytes} bytes have come"), SOON, async || {
        (report(device).await.received >= bytes).then_some(())
    })
    .await;
}

/// For an update, with all its time-outs.
const LONG: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(20);
