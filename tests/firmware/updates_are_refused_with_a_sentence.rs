//! What cannot be begun, cancelled or removed is refused in words, and what is cancelled is told to the device.

use std::time::Duration;

use serde_json::{Value as Json, json};

use super::updated::{
    BEFORE, UPDATES, Way, asked, assert_told, device, ends, firmware, labelled, play, reaches,
    report, shown, update, uploaded,
};
use super::{FIRMWARE, form, upload};
use crate::support::server::Api;
use crate::support::shared::SharedServer;
use flownexus::sim::FirmwareBehaviour;

static SERVER: SharedServer = SharedServer::new(|setup| setup);

/// Fails unless the answer is this problem, with these words.
#[track_caller]
fn assert_problem((status, problem): (u16, Json), expected: u16, code: &str, words: &str) {
    assert_eq!(status, expected, "{problem}");
    assert_eq!(problem["code"], code, "{problem}");
    let detail = problem["detail"].as_str().expect("a detail");
    assert!(detail.contains(words), "`{words}` in {problem}");
}

async fn post(api: &Api, body: &Json) -> (u16, Json) {
    let answer = api.post(UPDATES, body).await;
    (answer.status().as_u16(), answer.json().await.expect("JSON"))
}

async fn delete(api: &Api, path: &str) -> (u16, Json) {
    let answer = api.delete(path).await;
    (answer.status().as_u16(), answer.json().await.expect("JSON"))
}

#[tokio::test]
async fn what_is_asked_of_nobody_or_with_nothing_is_refused() {
    let server = SERVER.hold().await;
    let api = server.api();
    let image = uploaded(&api, "2.0.0-nobody", &labelled("2.0.0-nobody", 81, 1_000)).await;
    let unknown = asked("nobody", &image, None);
    let words = "there is no endpoint `nobody`";
    assert_problem(post(&api, &unknown).await, 404, "not_found", words);
    let settings = device(&server, "asked", Way::Coap);
    play(settings, async |_| {
        let body = json!({"endpoint": "asked", "firmware_id": 4711});
        let (status, problem) = post(&api, &body).await;
        assert_eq!((status, &problem["field"]), (422, &json!("firmware_id")));
        let words = "there is no firmware image 4711, or its file is missing";
        assert_eq!(problem["detail"], words);

        let (status, problem) = post(&api, &asked("asked", &image, Some("pigeon"))).await;
        assert_eq!((status, &problem["field"]), (422, &json!("method")));
        let words =
            "`pigeon` is no way of a firmware update; these are: pull_coap, pull_https, push";
        assert_eq!(problem["detail"], words);

        let none = api.read(&format!("{UPDATES}?endpoint=asked")).await;
        assert_eq!(none["items"], json!([]), "nothing has begun");
    })
    .await;
}

#[tokio::test]
async fn a_device_without_object_5_is_not_updated() {
    let server = SERVER.hold().await;
    let api = server.api();
    let image = uploaded(&api, "2.0.0-bare", &labelled("2.0.0-bare", 82, 1_000)).await;
    let mut settings = device(&server, "bare", Way::Coap);
    settings.device.firmware = None;
    play(settings, async |_| {
        let words =
            "the device does not announce object 5 (Firmware Update), so it cannot be updated";
        let refused = post(&api, &asked("bare", &image, None)).await;
        assert_problem(refused, 409, "update_refused", words);
    })
    .await;
}

#[tokio::test]
async fn an_image_that_is_meant_for_others_is_not_given() {
    let server = SERVER.hold().await;
    let api = server.api();
    let selection = r#"{"names": ["pump-*"]}"#;
    let bytes = labelled("2.0.0-pumps", 83, 1_000);
    let form = form("2.0.0-pumps", "pumps.bin", &bytes).text("selection", selection);
    let image = upload(&api, form).await;
    play(device(&server, "valve-1", Way::Coap), async |_| {
        let refused = post(&api, &asked("valve-1", &image, None)).await;
        let words = "2.0.0-pumps is not meant for this device, but for";
        assert_problem(refused.clone(), 409, "update_refused", words);
        assert_problem(refused, 409, "update_refused", "pump-*");
    })
    .await;
    play(device(&server, "pump-1", Way::Coap), async |_| {
        let begun = update(&api, "pump-1", &image, None).await;
        ends(&api, &begun, "SUCCESS").await;
    })
    .await;
}

#[tokio::test]
async fn one_update_at_a_time_and_its_image_stays() {
    let server = SERVER.hold().await;
    let api = server.api();
    let first = uploaded(&api, "2.0.0-one", &labelled("2.0.0-one", 84, 1_000)).await;
    let second = uploaded(&api, "2.1.0-one", &labelled("2.1.0-one", 85, 1_000)).await;
    let mut settings = device(&server, "one", Way::Coap);
    settings.device.quirks.firmware = FirmwareBehaviour::NeverStarts;
    play(settings, async |device| {
        let begun = update(&api, "one", &first, Some("pull_coap")).await;
        let id = &begun["id"];
        for image in [&first, &second] {
            let words = format!(
                "the device is being updated to 2.0.0-one already (update {id}); cancel that or wait for its end"
            );
            let refused = post(&api, &asked("one", image, None)).await;
            assert_problem(refused, 409, "update_refused", &words);
        }
        let image = format!("{FIRMWARE}/{}", first["id"]);
        let words = "1 firmware update is under way with this image; cancel them or wait for their end";
        assert_problem(delete(&api, &image).await, 409, "in_use", words);

        // The device was offered it and is told to forget it.
        let waits = reaches(&api, &begun, "download").await;
        assert_eq!(waits["awaited"], "the device is to begin the download (5/0/3 = 1)");
        let cancel = format!("{UPDATES}/{id}");
        assert_eq!(api.delete(&cancel).await.status(), 200);
        let ended = ends(&api, &begun, "CANCELLED").await;
        let words = "token:test cancelled it; the device has forgotten the image";
        assert_eq!(ended["reason"], words);
        assert_told(
            &ended,
            &["the device took the URI", "token:test cancels the update", words],
        );

        // Over is over, and nothing of it is in the way.
        let refused = delete(&api, &cancel).await;
        assert_problem(refused, 409, "update_refused", &format!("update {id} is over"));
        assert_eq!(api.delete(&image).await.status(), 204);
        device.set_quirks(Default::default()).await.expect("a device");
        let begun = update(&api, "one", &second, Some("pull_coap")).await;
        ends(&api, &begun, "SUCCESS").await;
        let installs = json!(report(device).await.installs);
        assert_eq!(installs, json!({"2.1.0-one": 1}));
    })
    .await;
}

#[tokio::test]
async fn an_update_that_waits_for_its_device_is_cancelled_at_once() {
    let server = SERVER.hold().await;
    let api = server.api();
    let image = uploaded(&api, "2.0.0-away", &labelled("2.0.0-away", 86, 1_000)).await;
    let settings = device(&server, "away", Way::Coap);
    play(settings, async |device| device.stop(true).await).await;
    let begun = update(&api, "away", &image, None).await;
    let waits = shown(&api, &begun).await;
    assert_eq!(waits["phase"], "examine");
    assert!(waits["waits_for"].is_string(), "{waits}");
    let cancel = format!("{UPDATES}/{}", begun["id"]);
    let cancelled = api.delete(&cancel).await;
    assert_eq!(cancelled.status(), 200);
    let cancelled: Json = cancelled.json().await.expect("JSON");
    assert_eq!(cancelled["result"], "CANCELLED");
    let words = "token:test cancelled it before the image was offered to the device";
    assert_eq!(cancelled["reason"], words);
    assert_told(&cancelled, &["token:test cancels the update", words]);

    // The device comes back and hears nothing of it.
    play(device(&server, "away", Way::Coap), async |device| {
        let image = uploaded(&api, "2.1.0-away", &labelled("2.1.0-away", 87, 1_000)).await;
        let begun = update(&api, "away", &image, None).await;
        ends(&api, &begun, "SUCCESS").await;
        let installs = json!(report(device).await.installs);
        assert_eq!(installs, json!({"2.1.0-away": 1}));
    })
    .await;
}

#[tokio::test]
async fn what_is_being_installed_is_not_taken_back() {
    let server = SERVER.hold().await;
    let api = server.api();
    let image = uploaded(&api, "2.0.0-late", &labelled("2.0.0-late", 88, 1_000)).await;
    let mut settings = device(&server, "late", Way::Push);
    firmware(&mut settings).install_time = Duration::from_secs(2);
    play(settings, async |device| {
        let begun = update(&api, "late", &image, Some("push")).await;
        reaches(&api, &begun, "restart").await;
        let cancel = format!("{UPDATES}/{}", begun["id"]);
        let words = "the device installs the image already; that cannot be taken back";
        assert_problem(delete(&api, &cancel).await, 409, "update_refused", words);
        assert_eq!(report(device).await.version, BEFORE);
        ends(&api, &begun, "SUCCESS").await;
    })
    .await;
}
