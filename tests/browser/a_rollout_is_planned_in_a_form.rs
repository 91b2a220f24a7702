//! The form of a new rollout: all that it can say arrives as it was said, and what makes no sense is told beside its
//! field.

use flownexus::domain::{FirmwareId, GroupSize, OnError, RolloutId, RolloutState, UpdateMethod};
use flownexus::store::RolloutStore as _;
use serde_json::json;
use thirtyfour::prelude::*;

use crate::pages::fleet::PASSWORD;
use crate::support::browser::Browser;

use super::pages::Pages;

async fn form(test: &str) -> Option<(Browser, Pages)> {
    let browser = Browser::start(test).await?;
    let pages = Pages::serve();
    browser.log_in(&pages.address, "operator", PASSWORD).await;
    browser.open(&format!("{}/rollouts", pages.address)).await;
    browser.press("#new-rollout").await;
    browser
        .text("#fitting", |text| text == "12 devices fit now.")
        .await;
    Some((browser, pages))
}

async fn value(browser: &Browser, selector: &str) -> String {
    let field = browser.element(selector).await;
    field.prop("value").await.expect("a value").expect("text")
}

#[tokio::test]
async fn what_the_form_says_arrives() {
    let Some((browser, pages)) = form("what_the_form_says_arrives").await else {
        return;
    };
    assert_eq!(value(&browser, "#name").await, "Update to 1.0.0");
    browser.fill("#firmware_id", "1").await;
    assert_eq!(value(&browser, "#name").await, "Update to 0.9.0");
    browser.fill("#name", "<b>autumn</b>").await;
    browser.fill("#firmware_id", "2").await;
    assert_eq!(value(&browser, "#name").await, "<b>autumn</b>");
    browser.fill("#method", "push").await;
    browser.fill("#names", "rollout-*\nurn:*\n").await;
    browser
        .text("#fitting", |text| text == "11 devices fit now.")
        .await;
    for box_of in ["#newcomers", "#windowed"] {
        browser.press(box_of).await;
    }

    // The rest stays last, whatever is put before it and taken away again.
    for _ in 0..3 {
        browser.press("#add-group").await;
    }
    browser
        .press(".group-row:nth-child(2) [data-remove-group]")
        .await;
    let group = |row: usize, of: &str| format!(".group-row:nth-child({row}) [data-of={of}]");
    assert_eq!(value(&browser, &group(1, "name")).await, "canary");
    assert_eq!(value(&browser, &group(3, "name")).await, "rest");
    browser.fill(&group(1, "size"), "2").await;
    browser.fill(&group(1, "success_percent"), "100").await;
    browser.fill(&group(1, "error_percent"), "0").await;
    browser.fill(&group(2, "size"), "30").await;
    browser.fill(&group(2, "unit"), "percent").await;

    browser.fill("#at_once", "3").await;
    browser.fill("#start_at", "2026-12-01T21:30").await;
    browser.fill("#window-from", "23:15").await;
    browser.fill("#window-to", "04:00").await;
    browser.fill("#window-zone", "Europe/Berlin").await;
    for day in ["sat", "sun"] {
        browser.press(&format!("[name=day][value={day}]")).await;
    }
    browser.fill("#on_error", "pause").await;
    browser.fill("#roll_back_to", "1").await;
    let start = "return new Date('2026-12-01T21:30').toISOString()";
    let start = browser.script(start).await;

    browser.fill("#failing_percent", "50").await;
    browser.press("#rehearse").await;
    let forecast = browser
        .text("#forecast", |text| text.contains("11 devices, over after"))
        .await;
    for part in ["1 h 30 min", "canary", "group 2", "an update takes 5 min"] {
        assert!(forecast.contains(part), "{part}: {forecast}");
    }
    // It is of no use any more when something else is wanted.
    browser.fill("#at_once", "4").await;
    let hidden = "return document.querySelector('#forecast').hidden";
    assert_eq!(browser.script(hidden).await, true);
    browser.no_complaints().await;

    browser.press("#create").await;
    browser.element("#do-start").await;
    let rollout = pages.fleet.rollouts.find(RolloutId(8)).await;
    let rollout = rollout.expect("a store").expect("the rollout");
    let spec = &rollout.spec;
    assert_eq!(rollout.state, RolloutState::Ready);
    assert_eq!(spec.name, "<b>autumn</b>");
    assert_eq!(spec.firmware, FirmwareId(2));
    assert_eq!(spec.method, Some(UpdateMethod::Push));
    assert_eq!(spec.selection.names, ["rollout-*", "urn:*"]);
    assert!(spec.newcomers);
    let groups: Vec<(&str, GroupSize, u8, u8)> = spec
        .groups
        .iter()
        .map(|group| {
            let (success, error) = (group.success_percent, group.error_percent);
            (group.name.as_str(), group.size, success, error)
        })
        .collect();
    assert_eq!(
        groups,
        [
            ("canary", GroupSize::Count(2), 100, 0),
            ("group 2", GroupSize::Percent(30), 90, 10),
            ("rest", GroupSize::Rest, 90, 10),
        ]
    );
    assert_eq!(spec.at_once, 4);
    assert_eq!(spec.start_at.map(|at| json!(at.to_string())), Some(start));
    let window = spec.window.as_ref().map(ToString::to_string);
    assert_eq!(
        window.as_deref(),
        Some("23:15 to 04:00 in Europe/Berlin on mon, tue, wed, thu, fri")
    );
    assert_eq!(spec.on_error, OnError::Pause);
    assert_eq!(spec.roll_back_to, Some(FirmwareId(1)));
    browser.close().await;
    pages.stop().await;
}

#[tokio::test]
async fn what_makes_no_sense_is_told_beside_its_field() {
    let test = "what_makes_no_sense_is_told_beside_its_field";
    let Some((browser, pages)) = form(test).await else {
        return;
    };
    browser.press("#windowed").await;
    browser.press("#add-group").await;
    let group = |of: &str| format!(".group-row:first-child [data-of={of}]");
    let group_error = ".group-row:first-child .group-error";
    for (field, wrong, right, place, words) in [
        ("#name", "", "a", "[data-error=name]", "1 to 100 characters"),
        ("#names", "x", "", "[data-error=filter]", "No device fits."),
        ("#tags", "a,b", "", "[data-error=filter]", "“a,b”"),
        (
            &group("size"),
            "",
            "1",
            group_error,
            "how many devices are in this group",
        ),
        (&group("size"), "0", "1", group_error, "not 0"),
        (
            &group("success_percent"),
            "101",
            "90",
            group_error,
            "not 101",
        ),
        (
            &group("success_percent"),
            "95",
            "90",
            "[data-error=groups]",
            "stand still",
        ),
        (
            "#at_once",
            "10001",
            "",
            "[data-error=at_once]",
            "rollouts.max_at_once",
        ),
        (
            "#at_once",
            "1.5",
            "",
            "[data-error=at_once]",
            "no whole number",
        ),
        (
            "#window-zone",
            "Mars",
            "UTC",
            "[data-error=window]",
            "“Mars” is no time zone",
        ),
        (
            "#window-from",
            "05:00",
            "22:00",
            "[data-error=window]",
            "no length",
        ),
        (
            "#window-from",
            "",
            "22:00",
            "[data-error=window]",
            "from when",
        ),
        (
            "#failing_percent",
            "101",
            "0",
            "[data-error=failing_percent]",
            "not 101",
        ),
    ] {
        browser.fill(field, wrong).await;
        browser.press("#rehearse").await;
        browser.text(place, |text| text.contains(words)).await;
        let marked = browser.driver.find_all(By::Css(".is-invalid")).await;
        let marked = marked.expect("elements").len();
        assert!(marked == 1 || place.contains("groups"), "{field}: {marked}");
        browser.fill(field, right).await;
        browser.text(place, str::is_empty).await;
    }
    // The days have no field of their own.
    browser
        .script("for (const day of document.querySelectorAll('[name=day]')) day.click()")
        .await;
    browser.press("#create-start").await;
    browser
        .text("[data-error=window]", |text| text.contains("the days"))
        .await;
    let made = pages.fleet.rollouts.find(RolloutId(8)).await;
    assert_eq!(made.expect("a store"), None, "nothing was made");
    browser.no_complaints().await;
    browser.close().await;
    pages.stop().await;
}
