//! An operator plans a rollout over the simulated devices of the demo, rehearses it, starts it, and reads on its page how
//! it goes until the last device runs the new version; then takes it back. The page is never loaded again.

use std::path::Path;
use std::time::Duration;

use crate::support::browser::Browser;
use crate::support::server::{SOON, eventually};

use super::demo::Demo;

const DEVICES: usize = 5;

/// How long the devices may take until they are registered, and a group until it is through: a debug build on a busy
/// machine.
const PATIENCE: Duration = Duration::from_secs(90);

#[tokio::test]
async fn a_rollout_is_rehearsed_run_and_taken_back_on_its_page() {
    let test = "a_rollout_is_rehearsed_run_and_taken_back_on_its_page";
    let Some(browser) = Browser::start(test).await else {
        return;
    };
    let demo = Demo::start_with(DEVICES);
    demo.log_in(&browser).await;
    let folder = tempfile::tempdir().expect("a folder");
    browser.open(&format!("{}/firmware", demo.address)).await;
    for version in ["7.0.0", "7.8.9"] {
        upload(&browser, folder.path(), version).await;
    }
    let count = "return fetch('/api/v1/endpoints').then((answer) => answer.json()).then((page) => page.items.length)";
    browser
        .until_within(PATIENCE, count, |found| found == DEVICES)
        .await;

    // From the image to the form, which says how many devices fit.
    browser
        .press("[data-version='7.8.9'] a[href^='/rollouts']")
        .await;
    browser.element("#rollout-form:not([hidden])").await;
    browser
        .text("#fitting", |text| text == "5 devices fit now.")
        .await;
    browser.press("#add-group").await;
    let back = "const option = Array.from(document.querySelectorAll('#roll_back_to option')).find((option) => \
                option.textContent.startsWith('7.0.0')); option.selected = true";
    browser.script(back).await;

    // What makes no sense is told beside its field, and is not told any more once it is changed.
    browser
        .fill("#group-rows [data-of=success_percent]", "200")
        .await;
    browser.press("#rehearse").await;
    browser
        .text(".group-row:first-child .group-error", |text| {
            text.contains("not 200")
        })
        .await;
    browser
        .fill("#group-rows [data-of=success_percent]", "90")
        .await;
    browser.fill("#names", "nobody-has-this-name").await;
    browser.press("#rehearse").await;
    browser
        .text("[data-error=filter]", |text| {
            text.to_lowercase().contains("device")
        })
        .await;
    browser.fill("#names", "").await;

    browser.press("#rehearse").await;
    let forecast = browser
        .text("#forecast", |text| text.contains("5 devices, over after"))
        .await;
    for part in ["canary", "rest", "then finished"] {
        assert!(forecast.contains(part), "{part}: {forecast}");
    }
    browser.no_complaints().await;

    browser.press("#create-start").await;
    browser.element("#rollout").await;
    browser.script("window.neverLoadedAgain = true").await;
    // A refusal is shown for a few seconds only.
    let state = "const refusal = document.querySelector('[data-toast=bad]'); \
                 if (refusal) window.refusal = refusal.textContent; \
                 return window.refusal || document.querySelector('#rollout-state [data-stands]').dataset.stands";
    browser
        .until_within(PATIENCE, state, |state| state == "FINISHED")
        .await;
    let told = browser
        .text("#rollout", |text| text.contains("5 succeeded"))
        .await;
    assert!(!told.contains("failed"), "{told}");
    all_stand(&browser, "SUCCEEDED").await;

    browser.press("#do-roll-back").await;
    browser.driver.accept_alert().await.expect("a question");
    browser
        .until_within(PATIENCE, state, |state| state == "ROLLED_BACK")
        .await;
    browser
        .text("#rollout", |text| text.contains("5 rolled back"))
        .await;
    all_stand(&browser, "ROLLED_BACK").await;
    let kept = browser
        .script("return window.neverLoadedAgain === true")
        .await;
    assert_eq!(kept, true, "the page was loaded again");
    browser.no_complaints().await;

    // The list says so too, and what is over can be removed.
    browser.open(&format!("{}/rollouts", demo.address)).await;
    let listed = browser
        .text("#rollouts", |text| text.contains("rolled back"))
        .await;
    assert!(listed.contains("Update to 7.8.9"), "{listed}");
    browser.press("#rollouts a.stretched").await;
    browser.press("#do-remove").await;
    browser.driver.accept_alert().await.expect("a question");
    browser
        .text("#rollouts", |text| text.contains("No rollouts"))
        .await;
    browser.close().await;
}

/// Waits until every device of the table stands so: its rows follow the numbers above them.
async fn all_stand(browser: &Browser, status: &str) {
    let stands = "return Array.from(document.querySelectorAll('#targets [data-stands]'), (badge) => badge.dataset.stands)";
    let wanted = serde_json::json!(vec![status; DEVICES]);
    eventually(&format!("every device is {status}"), SOON, async || {
        (browser.script(stands).await == wanted).then_some(())
    })
    .await;
}

async fn upload(browser: &Browser, folder: &Path, version: &str) {
    let file = folder.join(format!("demo-v{version}.bin"));
    let mut image = format!("flownexus-image {version}\n").into_bytes();
    image.extend((0..20_000_u32).map(|at| (at * 31 % 253) as u8));
    std::fs::write(&file, image).expect("written");
    let choose = browser.element("#file").await;
    let file = file.display().to_string();
    choose.send_keys(file).await.expect("a file");
    browser.press("#upload").await;
    browser
        .element(&format!("[data-version='{version}']"))
        .await;
}
