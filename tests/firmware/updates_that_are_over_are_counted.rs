//! Updates that are over are counted by their result, and only those.

use super::updated::{Way, device, ends, labelled, play, reaches, update, uploaded};
use crate::support::server::{SOON, Server, eventually};
use flownexus::sim::FirmwareBehaviour;

const COUNTED: &str = "flownexus_firmware_updates_total";

#[tokio::test]
async fn each_result_has_its_count() {
    let server = Server::start().await;
    let api = server.api();
    let count = async |result: &str| {
        let name = format!("{COUNTED}{{result=\"{result}\"}}");
        server.metric(&name).await
    };
    let text = server.anonymous().get("/metrics").await.text().await;
    let text = text.expect("metrics are text");
    for result in ["SUCCESS", "UPDATE_FAILED", "DEFERRED"] {
        let line = format!("{COUNTED}{{result=\"{result}\"}} 0");
        assert!(text.contains(&line), "{line} is there from the beginning");
    }
    assert!(!text.contains("result=\"DEFAULT\""), "that is no end");

    let image = uploaded(&api, "2.0.0", &labelled("2.0.0", 90, 2_000)).await;
    play(device(&server, "good", Way::Coap), async |_| {
        let begun = update(&api, "good", &image, Some("pull_coap")).await;
        ends(&api, &begun, "SUCCESS").await;
    })
    .await;
    for name in ["full", "full-too"] {
        let mut settings = device(&server, name, Way::Coap);
        settings.device.quirks.firmware = FirmwareBehaviour::NoStorage;
        play(settings, async |_| {
            let begun = update(&api, name, &image, Some("pull_coap")).await;
            ends(&api, &begun, "NO_STORAGE").await;
        })
        .await;
    }
    let mut settings = device(&server, "idle", Way::Coap);
    settings.device.quirks.firmware = FirmwareBehaviour::NeverStarts;
    play(settings, async |_| {
        let begun = update(&api, "idle", &image, Some("pull_coap")).await;
        reaches(&api, &begun, "download").await;
    })
    .await;
    // They are counted behind the commit that shows them.
    eventually("both results are counted", SOON, async || {
        let counts = (count("SUCCESS").await, count("NO_STORAGE").await);
        (counts == (1.0, 2.0)).then_some(())
    })
    .await;
    assert_eq!(server.metric(COUNTED).await, 3.0, "one is under way");
}
