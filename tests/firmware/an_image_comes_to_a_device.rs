//! From the upload to SUCCESS: each way of an image to a device, with the hash that the device has computed.

use std::time::Duration;

use rstest::rstest;
use serde_json::{Value as Json, json};

use super::sha256;
use super::updated::{
    BEFORE, Way, assert_told, device, ends, firmware, labelled, play, report, update, uploaded,
};
use crate::support::server::{Api, SOON, Server, eventually};
use crate::support::shared::SharedServer;
use flownexus::domain::{Path, Value};
use flownexus::sim::{FirmwareBehaviour, SimHandle};

static SERVER: SharedServer = SharedServer::new(|setup| setup);

#[rstest]
#[case::over_https(Way::Https)]
#[case::over_coap(Way::Coap)]
#[case::over_coap_with_dtls(Way::Coaps)]
#[case::pushed(Way::Push)]
#[tokio::test]
async fn an_image_comes_whole_and_runs(#[case] way: Way) {
    let server = SERVER.hold().await;
    let api = server.api();
    let name = format!("whole-{way:?}").to_lowercase();
    let version = format!("2.0.0-{way:?}").to_lowercase();
    let bytes = labelled(&version, way as u64, 120_000);
    let image = uploaded(&api, &version, &bytes).await;
    assert_eq!(image["sha256"], sha256(&bytes));
    play(device(&server, &name, way), async |device| {
        let begun = update(&api, &name, &image, Some(way.method())).await;
        assert_eq!(begun["result"], "DEFAULT", "{begun}");
        let ended = ends(&api, &begun, "SUCCESS").await;
        assert_eq!(ended["method"], way.method());
        assert_eq!(ended["progress"]["total"], bytes.len());

        runs(device, &version, &bytes).await;
        let running = Value::String(version.clone());
        assert_eq!(device.value(Path::resource(3, 0, 3)).await, Some(running));

        let offered = match way {
            Way::Push => "the whole image was written to the device",
            _ => "the device took the URI (5/0/1)",
        };
        let (asks, done) = (
            format!("token:test asks for {version}"),
            format!("done: it runs {version} (5/0/5 = 1)"),
        );
        assert_told(
            &ended,
            &[
                &asks,
                "the device can do: pull and push; protocols CoAP",
                &format!("the device runs {BEFORE}"),
                offered,
                "the device says that it is DOWNLOADED",
                "the device was told to install and agreed",
                "the device registered again",
                &done,
            ],
        );
        assert_told(&ended, &["the first part of the image went out: "]);
        every_step_is_an_operation(&api, &name, way).await;
    })
    .await;
}

/// It has all of the image, runs it, and has installed it once.
async fn runs(device: &SimHandle, version: &str, bytes: &[u8]) {
    let report = report(device).await;
    assert_eq!(report.version, version);
    assert_eq!(report.downloaded_sha256, Some(sha256(bytes)));
    assert_eq!(report.installs.get(version), Some(&1), "{report:?}");
    assert_eq!((report.downloads, report.restarts), (1, 0), "{report:?}");
    assert_eq!((report.state, report.result), (0, 1), "{report:?}");
}

async fn every_step_is_an_operation(api: &Api, name: &str, way: Way) {
    let path = format!("/api/v1/endpoints/{name}/operations");
    let page = api.read(&path).await;
    let operations = page["items"].as_array().expect("items").iter();
    let mut steps: Vec<(String, String)> = operations
        .filter(|operation| operation["requested_by"] == "firmware")
        .map(|operation| {
            assert_eq!(operation["status"], "CONFIRMED", "{operation}");
            let text = |field: &str| operation[field].as_str().expect("text").to_owned();
            (text("kind"), text("path"))
        })
        .collect();
    // Newest first.
    steps.reverse();
    let offer = match way {
        Way::Push => "/5/0/0",
        _ => "/5/0/1",
    };
    let expected = [
        ("read", "/5/0"),
        ("read", "/3/0/3"),
        ("observe", "/5/0/3"),
        ("observe", "/5/0/5"),
        ("write", offer),
        ("execute", "/5/0/2"),
        ("read", "/5/0"),
        ("read", "/3/0/3"),
    ]
    .map(|(kind, path)| (kind.to_owned(), path.to_owned()));
    assert_eq!(steps, expected);
}

#[rstest]
#[case::https_where_it_can("https", &[0, 3], 2, "pull_https")]
#[case::coap_where_it_only_can_that("coap", &[0], 0, "pull_coap")]
#[case::coap_before_a_push("before-push", &[0], 2, "pull_coap")]
#[case::push_where_it_only_takes_that("push", &[0, 3], 1, "push")]
#[case::push_where_it_pulls_over_what_is_not_served("no-http", &[2], 2, "push")]
#[case::https_where_it_does_not_say_what("silent", &[], 0, "pull_https")]
#[tokio::test]
async fn without_a_method_the_device_says_the_way(
    #[case] case: &str,
    #[case] protocols: &[u8],
    #[case] delivery: u8,
    #[case] method: &str,
) {
    let server = SERVER.hold().await;
    let api = server.api();
    let name = format!("chooses-{case}");
    let version = format!("3.0.0-{case}");
    let image = uploaded(&api, &version, &labelled(&version, 7, 5_000)).await;
    let mut settings = device(&server, &name, Way::Coap);
    firmware(&mut settings).protocols = protocols.to_vec();
    firmware(&mut settings).delivery = delivery;
    play(settings, async |device| {
        let begun = update(&api, &name, &image, None).await;
        let says = format!("the image goes by {method}, as the device says that it can");
        // A device that names no protocol cannot be expected to take any URI; here only the choice counts.
        if protocols.is_empty() {
            let ended = super::updated::over(&api, &begun).await;
            return assert_told(&ended, &[&says]);
        }
        let ended = ends(&api, &begun, "SUCCESS").await;
        assert_eq!(ended["method"], method);
        assert_told(&ended, &[&says, &format!("done: it runs {version}")]);
        assert_eq!(report(device).await.version, version);
    })
    .await;
}

#[tokio::test]
async fn a_relative_uri_is_put_behind_what_the_device_knows() {
    let server = Server::setup()
        .setting("firmware.uri", "relative")
        .start()
        .await;
    let bytes = labelled("2.0.0", 11, 60_000);
    let image = uploaded(&server.api(), "2.0.0", &bytes).await;
    for way in [Way::Https, Way::Coap, Way::Coaps] {
        let offered = pulls(&server, way, &image, &bytes).await;
        assert_eq!(offered, "/binaries/v2.0.0.bin", "{way:?}");
    }
}

#[tokio::test]
async fn a_name_that_cannot_be_guessed_is_told_to_the_device_alone() {
    let server = Server::setup()
        .setting("firmware.names", "unguessable")
        .start()
        .await;
    let bytes = labelled("2.0.0", 12, 60_000);
    let image = uploaded(&server.api(), "2.0.0", &bytes).await;
    let path = image["path"].as_str().expect("a path");
    let key = path.strip_prefix("/binaries/").expect("binaries");
    let key = key.strip_suffix("/v2.0.0.bin").expect("the name");
    assert_eq!(key.len(), 32, "{path}");
    for (way, scheme, port) in [
        (Way::Https, "https", None),
        (Way::Coap, "coap", Some(server.coap().port())),
        (Way::Coaps, "coaps", Some(server.coaps().port())),
    ] {
        let offered = pulls(&server, way, &image, &bytes).await;
        let place = match port {
            Some(port) => format!("{scheme}://127.0.0.1:{port}"),
            None => server.firmware().to_owned(),
        };
        assert_eq!(offered, format!("{place}{path}"), "{way:?}");
    }
}

/// Has a device of its own pull the image, and returns what 5/0/1 said meanwhile.
async fn pulls(server: &Server, way: Way, image: &Json, bytes: &[u8]) -> String {
    let api = server.api();
    let name = format!("pulls-{way:?}").to_lowercase();
    let mut settings = device(server, &name, way);
    firmware(&mut settings).base = (way == Way::Https).then(|| server.firmware().to_owned());
    settings.device.quirks.firmware = FirmwareBehaviour::Slow(60_000);
    let mut offered = String::new();
    play(settings, async |device| {
        let begun = update(&api, &name, image, Some(way.method())).await;
        offered = eventually("a URI is written", SOON, async || {
            match device.value(Path::resource(5, 0, 1)).await {
                Some(Value::String(uri)) if !uri.is_empty() => Some(uri),
                _ => None,
            }
        })
        .await;
        ends(&api, &begun, "SUCCESS").await;
        runs(device, "2.0.0", bytes).await;
    })
    .await;
    offered
}

/// The device keeps what it ran before, and goes back to it as to any other image.
#[tokio::test]
async fn a_device_goes_from_a_to_b_and_back_to_a() {
    let server = SERVER.hold().await;
    let api = server.api();
    let mut images = Vec::new();
    for (version, seed) in [("4.0.0", 21), ("4.1.0", 22)] {
        let bytes = labelled(version, seed, 40_000);
        images.push((version, uploaded(&api, version, &bytes).await));
    }
    let mut settings = device(&server, "to-and-fro", Way::Coap);
    firmware(&mut settings).install_time = Duration::from_millis(50);
    play(settings, async |device| {
        for (at, way) in [(0, Way::Push), (1, Way::Https), (0, Way::Coap)] {
            let (version, image) = &images[at];
            let begun = update(&api, "to-and-fro", image, Some(way.method())).await;
            let ended = ends(&api, &begun, "SUCCESS").await;
            assert_told(&ended, &[&format!("done: it runs {version}")]);
            let report = report(device).await;
            assert_eq!(report.version, *version);
            assert_eq!(
                report.downloaded_sha256.as_deref(),
                image["sha256"].as_str()
            );
        }
        let installs = json!(report(device).await.installs);
        assert_eq!(installs, json!({"4.0.0": 2, "4.1.0": 1}));
    })
    .await;
}
