//! Updates through a network that loses, doubles and reorders datagrams, and across a server that is killed in the
//! middle of a transfer: in the end the device runs the image, and has installed it once.

use std::time::Duration;

use rstest::rstest;

use super::sha256;
use super::updated::{
    Way, assert_told, device_at, ends, firmware, labelled, play, reaches, received, report, update,
    uploaded,
};
use crate::support::netem::Netem;
use crate::support::server::{SOON, Server, Setup, eventually};
use crate::support::shared::SharedServer;
use flownexus::sim::{FirmwareBehaviour, SimHandle};

/// Messages are sent again soon, as the network is short. A relative URI leads through the network too.
fn quick(setup: Setup) -> Setup {
    setup
        .setting("coap.ack_timeout_ms", 200)
        .setting("firmware.uri", "relative")
}

static SERVER: SharedServer = SharedServer::new(quick);

/// Over HTTPS the image itself comes by TCP, which knows no loss; everything around it goes through the network.
#[rstest]
#[case::over_https(Way::Https, 300_000)]
#[case::over_coap(Way::Coap, 60_000)]
#[case::over_coap_with_dtls(Way::Coaps, 60_000)]
#[case::pushed(Way::Push, 60_000)]
#[tokio::test]
async fn a_bad_network_only_costs_time(#[case] way: Way, #[case] count: usize) {
    let server = SERVER.hold().await;
    let api = server.api();
    let name = format!("rough-{way:?}").to_lowercase();
    let version = format!("2.0.0-{way:?}").to_lowercase();
    let bytes = labelled(&version, 31 + way as u64, count);
    let image = uploaded(&api, &version, &bytes).await;
    let network = Netem::new(41 + way as u64)
        .loss(10)
        .duplicate(10)
        .reorder(10)
        .before(way.address(&server))
        .await;
    let mut settings = device_at(&server, network.address, &name, way);
    firmware(&mut settings).base = (way == Way::Https).then(|| server.firmware().to_owned());
    play(settings, async |device| {
        let begun = update(&api, &name, &image, Some(way.method())).await;
        let ended = ends(&api, &begun, "SUCCESS").await;
        assert_told(&ended, &[&format!("done: it runs {version}")]);
        ran_once(device, &version, &bytes).await;
        let counts = network.counts();
        assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
    })
    .await;
}

/// The block at which it dies is random, by the seed.
#[rstest]
#[case::over_https(Way::Https, 1)]
#[case::over_coap(Way::Coap, 2)]
#[case::over_coap_with_dtls(Way::Coaps, 3)]
#[case::pushed(Way::Push, 4)]
#[case::pushed_and_at_another_block(Way::Push, 5)]
#[tokio::test]
async fn a_server_that_is_killed_during_the_transfer_brings_it_to_its_end(
    #[case] way: Way,
    #[case] seed: u64,
) {
    let mut server = quick(Server::setup()).start().await;
    let bytes = labelled("2.0.0", 51 + seed, 120_000);
    let image = uploaded(&server.api(), "2.0.0", &bytes).await;
    // The transfer takes a second, so that there is time to meet a block. Behind the restart a download over plain CoAP
    // goes on in small blocks, as the address of the device is not proven any more.
    let network = Netem::new(seed)
        .latency(Duration::from_millis(4))
        .before(way.address(&server))
        .await;
    let mut settings = device_at(&server, network.address, "survivor", way);
    if way == Way::Https {
        firmware(&mut settings).base = Some(server.firmware().to_owned());
        settings.device.quirks.firmware = FirmwareBehaviour::Slow(100_000);
    }
    let dies_at = 20_000 + seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) % 80_000;
    play(settings, async |device| {
        let begun = update(&server.api(), "survivor", &image, Some(way.method())).await;
        received(device, dies_at).await;
        server.kill();
        let met = report(device).await;
        assert!(met.received < bytes.len() as u64, "{dies_at}: {met:?}");
        assert_eq!(met.downloads, 0);
        server.restart().await;
        let ended = ends(&server.api(), &begun, "SUCCESS").await;
        assert_told(
            &ended,
            &[
                "the first part of the image went out",
                "the device was told to install and agreed",
                "done: it runs 2.0.0",
            ],
        );
        ran_once(device, "2.0.0", &bytes).await;
    })
    .await;
}

/// The device restarts, and may register, while nobody is there to hear it.
#[rstest]
#[case::as_soon_as_it_begins(false)]
#[case::and_comes_back_after_the_device_has_restarted(true)]
#[tokio::test]
async fn a_server_that_is_killed_during_the_installation_learns_how_it_went(
    #[case] waits_for_the_restart: bool,
) {
    let mut server = quick(Server::setup()).start().await;
    let bytes = labelled("2.0.0", 61, 20_000);
    let image = uploaded(&server.api(), "2.0.0", &bytes).await;
    let mut settings = device_at(&server, server.coap(), "survivor", Way::Push);
    firmware(&mut settings).install_time = Duration::from_secs(1);
    play(settings, async |device| {
        let begun = update(&server.api(), "survivor", &image, Some("push")).await;
        reaches(&server.api(), &begun, "restart").await;
        server.kill();
        assert_eq!(report(device).await.installs.get("2.0.0"), None);
        if waits_for_the_restart {
            eventually("the image is installed", SOON, async || {
                (report(device).await.version == "2.0.0").then_some(())
            })
            .await;
        }
        server.restart().await;
        ends(&server.api(), &begun, "SUCCESS").await;
        ran_once(device, "2.0.0", &bytes).await;
    })
    .await;
}

/// It runs the image, all of it, and has installed it once.
async fn ran_once(device: &SimHandle, version: &str, bytes: &[u8]) {
    let report = report(device).await;
    assert_eq!(report.version, version);
    assert_eq!(report.downloaded_sha256, Some(sha256(bytes)));
    assert_eq!(report.installs.len(), 1, "{report:?}");
    assert_eq!(report.installs.get(version), Some(&1), "{report:?}");
    assert_eq!((report.state, report.result), (0, 1), "{report:?}");
}
