//! Devices that go wrong in each way that there is: how the update ends, and what people read of it.

use std::time::Duration;

use rstest::rstest;

use super::updated::{
    BEFORE, Way, assert_told, device, ends, firmware, labelled, play, report, update, uploaded,
};
use crate::support::shared::SharedServer;
use flownexus::sim::{FirmwareBehaviour, FirmwareBehaviour as Does, Midway, SimSettings};

/// So impatient that each case takes seconds.
static SERVER: SharedServer = SharedServer::new(|setup| {
    setup
        .setting("coap.ack_timeout_ms", 200)
        .setting("coap.max_retransmit", 2)
        .setting("firmware.wait_for_device_s", 8)
        .setting("firmware.start_timeout_s", 2)
        .setting("firmware.stall_timeout_s", 2)
        .setting("firmware.install_timeout_s", 3)
        .setting("firmware.report_timeout_s", 1)
        .setting("firmware.tries", 2)
});

/// Bytes of an image: some parts over HTTPS, some dozens of blocks.
const SIZE: usize = 60_000;

#[rstest]
#[case::no_storage("2", Way::Https, Does::NoStorage, "NO_STORAGE", &["the device says 5/0/5 = 2: not enough storage for the image"])]
#[case::no_storage_for_a_push("2p", Way::Push, Does::NoStorage, "NO_STORAGE", &["the device did not take the image (5/0/0)", "over, NO_STORAGE"])]
#[case::out_of_memory("3", Way::Coap, Does::OutOfMemory, "OUT_OF_MEM", &["the device says 5/0/5 = 3: out of memory during the download"])]
#[case::out_of_memory_in_a_push("3p", Way::Push, Does::OutOfMemory, "OUT_OF_MEM", &["the device did not take the image (5/0/0)", "the device says 5/0/5 = 3: out of memory"])]
#[case::connection_lost("4", Way::Https, Does::ConnectionLost, "CONNECTION_LOST", &["the device says 5/0/5 = 4: the connection was lost during the download"])]
#[case::wrong_hash("5", Way::Coap, Does::WrongHash, "INTEGRITY_FAILED", &["the device says 5/0/5 = 5: the image arrived changed"])]
#[case::wrong_hash_of_a_push("5p", Way::Push, Does::WrongHash, "INTEGRITY_FAILED", &["the device says 5/0/5 = 5: the image arrived changed"])]
#[case::unsupported_image("6", Way::Https, Does::UnsupportedImage, "UNSUP_FW", &["the device says 5/0/5 = 6: the image is not made for this device"])]
#[case::unsupported_image_in_a_push("6p", Way::Push, Does::UnsupportedImage, "UNSUP_FW", &["the device did not take the image (5/0/0)", "the device says 5/0/5 = 6: the image is not made"])]
#[case::invalid_uri("7", Way::Coap, Does::InvalidUri, "INVALID_URI", &["the device took the URI", "the device says 5/0/5 = 7: the URI cannot be used"])]
#[case::update_failed("8", Way::Coap, Does::UpdateFailed, "UPDATE_FAILED", &["the device was told to install and agreed", "the device says 5/0/5 = 8: the image could not be installed"])]
#[case::unsupported_protocol("9", Way::Https, Does::UnsupportedProtocol, "UNSUP_PROTO", &["the device says 5/0/5 = 9: the protocol of the URI is not spoken"])]
#[case::cancelled_at_the_device("10", Way::Coap, Does::Cancelled, "CANCELLED", &["the device says 5/0/5 = 10: it was cancelled"])]
#[case::deferred_at_the_device("11", Way::Coap, Does::Deferred, "DEFERRED", &["the device says 5/0/5 = 11: the device puts it off"])]
#[tokio::test]
async fn a_result_of_the_device_is_the_result_in_its_words(
    #[case] case: &str,
    #[case] way: Way,
    #[case] behaviour: FirmwareBehaviour,
    #[case] result: &str,
    #[case] words: &[&str],
) {
    fails(
        case,
        way,
        |settings| settings.device.quirks.firmware = behaviour,
        result,
        words,
    )
    .await;
}

#[rstest]
#[case::it_never_begins("never", Way::Coap, Does::NeverStarts, "UPDATE_FAILED", &[
    "the device took the URI",
    "the device is IDLE and gives no result; this server has not seen it fetch anything. The image is offered again",
    "the device took the offer 2 times and never began the download",
])]
#[case::it_stands_still("stalls", Way::Coap, Does::Stalls, "CONNECTION_LOST", &[
    "the first part of the image went out: block 1 of ",
    "the device says that it downloads; it came as far as block ",
    "the download stands still: it came as far as block ",
])]
#[case::it_stands_still_over_https("stalls-https", Way::Https, Does::Stalls, "CONNECTION_LOST", &[
    "the download stands still: ",
])]
#[case::it_loses_the_connection_midway_and_says_so("midway", Way::Https, Does::LostMidway(Midway::Reports), "CONNECTION_LOST", &[
    "the first part of the image went out: ",
    "the device says 5/0/5 = 4: the connection was lost during the download",
])]
#[case::it_is_gone_midway("gone", Way::Coap, Does::LostMidway(Midway::Silent), "CONNECTION_LOST", &[
    "the first part of the image went out: block 1 of ",
    "over, CONNECTION_LOST: ",
])]
#[case::it_is_gone_midway_in_a_push("gone-push", Way::Push, Does::LostMidway(Midway::Silent), "CONNECTION_LOST", &[
    "the first part of the image went out: block 1 of ",
    "over, CONNECTION_LOST: ",
])]
#[case::it_reboots_without_a_report_and_runs_the_old("reboot", Way::Push, Does::SilentReboot { installs: false }, "UPDATE_FAILED", &[
    "the device registered again",
    "the device restarted without a report; it runs 1.0.0, as before",
    "the device came back with the old version and without a report: it is IDLE (5/0/3 = 0), 5/0/5 says nothing, and it runs 1.0.0, as before, ",
])]
#[case::it_comes_back_with_the_old_version("old", Way::Https, Does::OldVersion, "UPDATE_FAILED", &[
    "the device registered again",
    "the device came back with the old version: it runs 1.0.0 and not 2.0.0-old, although it says 5/0/5 = 1",
])]
#[case::it_refuses_to_install("refuses", Way::Coap, Does::RefusesUpdate { with_error: false }, "UPDATE_FAILED", &[
    "the device has the image and does not install it; it is told again",
    "the device refused to install: ",
    "over, UPDATE_FAILED: the device refused to install: ",
])]
#[case::it_fails_when_it_is_told_to_install("breaks", Way::Push, Does::RefusesUpdate { with_error: true }, "UPDATE_FAILED", &[
    "over, UPDATE_FAILED: the device refused to install: ",
])]
#[tokio::test]
async fn a_device_that_does_not_say_what_is_wrong_is_found_out(
    #[case] case: &str,
    #[case] way: Way,
    #[case] behaviour: FirmwareBehaviour,
    #[case] result: &str,
    #[case] words: &[&str],
) {
    fails(
        case,
        way,
        |settings| settings.device.quirks.firmware = behaviour,
        result,
        words,
    )
    .await;
}

#[tokio::test]
async fn an_image_that_is_larger_than_its_storage_fails_either_way() {
    for (case, way) in [("small", Way::Https), ("small-push", Way::Push)] {
        fails(
            case,
            way,
            |settings| settings.device.quirks.storage = Some(SIZE as u64 / 2),
            "NO_STORAGE",
            &["over, NO_STORAGE: "],
        )
        .await;
    }
}

/// It installs, and does not say so: the server sees what runs, but a success is the device's to tell.
#[tokio::test]
async fn a_new_version_without_a_report_is_no_success() {
    let server = SERVER.hold().await;
    let api = server.api();
    let version = "2.0.0-unsaid";
    let image = uploaded(&api, version, &labelled(version, 70, SIZE)).await;
    let mut settings = device(&server, "unsaid", Way::Coap);
    settings.device.quirks.firmware = FirmwareBehaviour::SilentReboot { installs: true };
    play(settings, async |device| {
        let begun = update(&api, "unsaid", &image, Some("pull_coap")).await;
        let ended = ends(&api, &begun, "UPDATE_FAILED").await;
        assert_told(
            &ended,
            &["the device restarted without a report: 5/0/5 says nothing, and it runs 2.0.0-unsaid"],
        );
        assert_eq!(report(device).await.version, version);
    })
    .await;
}

#[rstest]
#[case::a_device_that_only_pulls_is_pushed_to("only-pulls", Way::Push, 0, &[0, 3], "the device did not take the image (5/0/0): ")]
#[case::a_device_that_is_only_pushed_to_is_to_pull("only-pushed", Way::Coap, 1, &[0, 3], "the device did not take the URI (5/0/1): ")]
#[case::a_device_is_to_pull_by_a_protocol_that_it_lacks("lacks", Way::Https, 2, &[0], "the device says 5/0/5 = 9: the protocol of the URI is not spoken")]
#[tokio::test]
async fn an_operator_who_chooses_what_the_device_cannot_do_is_told_so(
    #[case] case: &str,
    #[case] way: Way,
    #[case] delivery: u8,
    #[case] protocols: &[u8],
    #[case] words: &str,
) {
    let change = |settings: &mut SimSettings| {
        firmware(settings).delivery = delivery;
        firmware(settings).protocols = protocols.to_vec();
    };
    fails(case, way, change, "UNSUP_PROTO", &[words]).await;
}

#[tokio::test]
async fn a_device_whose_protocols_are_not_served_gets_nothing() {
    let server = SERVER.hold().await;
    let api = server.api();
    let version = "2.0.0-http";
    let image = uploaded(&api, version, &labelled(version, 71, 1_000)).await;
    let mut settings = device(&server, "http", Way::Coap);
    firmware(&mut settings).delivery = 0;
    firmware(&mut settings).protocols = vec![2];
    play(settings, async |device| {
        let begun = update(&api, "http", &image, None).await;
        let ended = ends(&api, &begun, "UNSUP_PROTO").await;
        let words = "the device only pulls, and only over HTTP, which this server does not serve firmware over";
        assert_eq!(ended["reason"], words);
        assert_told(&ended, &["the device runs 1.0.0", words]);
        assert_eq!(report(device).await.downloads, 0);
    })
    .await;
}

/// Has a device of its own fail, which goes on with what it ran.
async fn fails(
    case: &str,
    way: Way,
    change: impl FnOnce(&mut SimSettings),
    result: &str,
    words: &[&str],
) {
    let server = SERVER.hold().await;
    let api = server.api();
    let version = format!("2.0.0-{case}");
    let image = uploaded(&api, &version, &labelled(&version, 72, SIZE)).await;
    let name = format!("fails-{case}");
    let mut settings = device(&server, &name, way);
    change(&mut settings);
    play(settings, async |device| {
        let begun = update(&api, &name, &image, Some(way.method())).await;
        let ended = ends(&api, &begun, result).await;
        assert_told(&ended, words);
        let reason = ended["reason"].as_str().expect("a reason");
        assert_told(&ended, &[&format!("over, {result}: {reason}")]);
        let report = report(device).await;
        assert_eq!(report.version, BEFORE);
        assert!(report.installs.is_empty(), "{report:?}");
    })
    .await;
}

#[rstest]
#[case::it_is_slow("slow", Way::Coap, Does::Slow(20_000), &["the first part of the image went out: block 1 of ", " %)", " %)"])]
#[case::it_goes_on_after_the_connection_was_lost("resumes", Way::Coap, Does::LostMidway(Midway::Resumes(Duration::from_secs(1))), &["the first part of the image went out: "])]
#[case::it_goes_on_over_https("resumes-https", Way::Https, Does::LostMidway(Midway::Resumes(Duration::from_secs(1))), &["the first part of the image went out: "])]
#[case::it_goes_on_with_a_push("resumes-push", Way::Push, Does::LostMidway(Midway::Resumes(Duration::from_secs(1))), &["the whole image was written to the device"])]
#[case::it_skips_states("skips", Way::Coap, Does::SkipsStates, &["the device says that it is DOWNLOADED"])]
#[case::it_repeats_states("repeats", Way::Coap, Does::RepeatsStates, &["the device says that it is DOWNLOADED"])]
#[case::it_has_no_version("unversioned", Way::Push, Does::NoVersion, &["3/0/3 cannot be read: which firmware runs is not known", "done: which firmware runs cannot be read (3/0/3) (5/0/5 = 1)"])]
#[tokio::test]
async fn what_is_only_odd_comes_to_a_good_end(
    #[case] case: &str,
    #[case] way: Way,
    #[case] behaviour: FirmwareBehaviour,
    #[case] words: &[&str],
) {
    let server = SERVER.hold().await;
    let api = server.api();
    let version = format!("2.0.0-{case}");
    let image = uploaded(&api, &version, &labelled(&version, 73, SIZE)).await;
    let name = format!("odd-{case}");
    let mut settings = device(&server, &name, way);
    settings.device.quirks.firmware = behaviour;
    // A push that was not answered goes on when the device is heard.
    settings.device.update_interval = Some(Duration::from_secs(1));
    play(settings, async |device| {
        let begun = update(&api, &name, &image, Some(way.method())).await;
        let ended = ends(&api, &begun, "SUCCESS").await;
        assert_told(&ended, words);
        let report = report(device).await;
        assert_eq!(
            report.downloaded_sha256.as_deref(),
            image["sha256"].as_str()
        );
        assert_eq!(report.installs.get(&version), Some(&1), "{report:?}");
    })
    .await;
}
