//! The pages in a browser, over a fleet in memory: live values, dialogs, answers, and what the
//! content security policy would forbid.

use flownexus::domain::LiveKind;
use serde_json::json;

use crate::pages::fleet::{ASLEEP, GONE, HOSTILE, PASSWORD, RICH};
use crate::support::browser::Browser;

use super::pages::Pages;

#[tokio::test]
async fn values_arrive_and_buttons_are_answered() {
    let Some(browser) = Browser::start("values_arrive_and_buttons_are_answered").await else {
        return;
    };
    let pages = Pages::serve();
    browser.log_in(&pages.address, "operator", PASSWORD).await;
    browser.open_live(&pages.device(RICH)).await;

    // A value, a value of a resource instance that is new, and one of a row that was not shown.
    let values = [
        ("/3303/0/5700", json!("FLOAT"), json!(22.75), "22.75"),
        ("/3/0/7/5", json!("INTEGER"), json!(3321), "3321"),
        ("/3303/0/5601", json!("FLOAT"), json!(-4.5), "-4.5"),
        (
            "/3/0/17",
            json!("STRING"),
            json!("<b>bold</b>"),
            "<b>bold</b>",
        ),
    ];
    for (path, kind, value, shown) in values {
        let body = json!({"path": path, "type": kind, "value": value});
        pages.publish(RICH, LiveKind::Resource, body);
        let cell = format!("[data-value=\"{path}\"] .value");
        browser.text(&cell, |text| text == shown).await;
    }
    browser
        .text("#chart-last", |text| text.starts_with("22.75"))
        .await;

    // Read is confirmed, Write is refused with the device's reason, Execute waits.
    browser
        .press("[data-resource=\"/3303/0/5700\"] [data-action=read]")
        .await;
    browser
        .text("[data-toast=good]", |text| text.contains("2.05 · 21.7"))
        .await;
    browser
        .press("[data-resource=\"/3/0/14\"] [data-action=write]")
        .await;
    let field = browser.element("#operate-fields textarea").await;
    assert_eq!(
        field.prop("value").await.expect("a value").as_deref(),
        Some("+02:00")
    );
    browser.press("#operate-submit").await;
    browser
        .text("#operate-result", |text| {
            text.contains("failed") && text.contains("4.05") && text.contains("read-only")
        })
        .await;
    browser.press("#operate-close").await;
    browser
        .press("[data-resource=\"/3/0/4\"] [data-action=execute]")
        .await;
    browser.element("#operate-arguments").await;
    browser.press("#operate-submit").await;
    browser
        .text("#operate-result", |text| text.contains("It waits for"))
        .await;
    browser.press("#operate-close").await;
    // The list of operations has fetched itself anew.
    browser
        .text("#operations", |text| text.contains("by operator"))
        .await;

    browser.no_complaints().await;
    browser.close().await;
    pages.stop().await;
}

#[tokio::test]
async fn tags_are_changed_in_a_dialog_and_observations_are_dropped() {
    let test = "tags_are_changed_in_a_dialog_and_observations_are_dropped";
    let Some(browser) = Browser::start(test).await else {
        return;
    };
    let pages = Pages::serve();
    browser.log_in(&pages.address, "operator", PASSWORD).await;
    browser.open_live(&pages.device(RICH)).await;
    browser.press("#profile [data-action=profile]").await;
    let field = browser.element("#profile-tags").await;
    let present = field.prop("value").await.expect("a value");
    assert_eq!(present.as_deref(), Some("lab rack-3"));
    browser
        .script("document.getElementById('profile-tags').value = 'a,b'")
        .await;
    browser.press("#profile-dialog [type=submit]").await;
    browser
        .text("#profile-tags-mistake", |text| text.contains("a,b"))
        .await;
    browser
        .script("document.getElementById('profile-tags').value = ' attic  cold '")
        .await;
    browser.press("#profile-dialog [type=submit]").await;
    browser
        .text("#profile", |text| {
            text.contains("attic") && text.contains("cold")
        })
        .await;

    browser
        .press("[data-observation=\"/3303/0/5700\"] [data-passive]")
        .await;
    browser
        .text("#operations", |text| text.contains("cancel observe"))
        .await;
    browser.no_complaints().await;
    browser.close().await;
    pages.stop().await;
}

#[tokio::test]
async fn the_list_of_devices_changes_in_place() {
    let Some(browser) = Browser::start("the_list_of_devices_changes_in_place").await else {
        return;
    };
    let pages = Pages::serve();
    browser.log_in(&pages.address, "viewer", PASSWORD).await;
    browser.open(&format!("{}/devices", pages.address)).await;
    let badge = |name: &str| format!("tr[data-endpoint=\"{name}\"] [data-state]");
    browser.text(&badge(ASLEEP), |text| text == "asleep").await;
    browser.text(&badge(GONE), |text| text == "offline").await;
    browser.element("#connection[data-connection=live]").await;
    pages.publish(ASLEEP, LiveKind::Updated, json!({}));
    browser.text(&badge(ASLEEP), |text| text == "awake").await;
    pages.publish(RICH, LiveKind::Deregistered, json!({}));
    browser.text(&badge(RICH), |text| text == "offline").await;
    browser.no_complaints().await;
    browser.close().await;
    pages.stop().await;
}

#[tokio::test]
async fn a_log_is_followed_searched_and_held_still() {
    let Some(browser) = Browser::start("a_log_is_followed_searched_and_held_still").await else {
        return;
    };
    let pages = Pages::serve();
    browser.log_in(&pages.address, "viewer", PASSWORD).await;
    browser.open_live(&pages.device(RICH)).await;
    let first = "#log-lines li:first-child .log-text";
    browser.text(first, |text| text == "modem: no answer").await;
    let tell = |level: Option<&str>, text: &str| {
        let body = json!({"path": "/20/0/4014", "level": level, "text": text});
        pages.publish(RICH, LiveKind::Log, body);
    };
    tell(Some("wrn"), "live <img src=x>");
    browser.text(first, |text| text == "live <img src=x>").await;

    // Looked through at the server, and what comes is held against it too.
    let search = "const field = document.getElementById('log-search'); \
        field.value = 'BATTERY'; field.dispatchEvent(new Event('input'));";
    browser.script(search).await;
    browser
        .text(first, |text| text == "battery <b>low</b>")
        .await;
    tell(None, "something else");
    tell(Some("inf"), "battery full");
    browser.text(first, |text| text == "battery full").await;

    // Held still, and then caught up from what is stored.
    browser.press("#log-pause").await;
    tell(Some("err"), "battery gone");
    browser
        .text("#log-pause", |text| text == "Go on (1 new)")
        .await;
    browser.text(first, |text| text == "battery full").await;
    browser.press("#log-pause").await;
    browser
        .text(first, |text| text == "battery <b>low</b>")
        .await;
    browser.no_complaints().await;
    browser.close().await;
    pages.stop().await;
}

#[tokio::test]
async fn the_form_of_a_rule_shows_what_belongs_to_its_condition() {
    let Some(browser) =
        Browser::start("the_form_of_a_rule_shows_what_belongs_to_its_condition").await
    else {
        return;
    };
    let pages = Pages::serve();
    browser.log_in(&pages.address, "operator", PASSWORD).await;
    browser
        .open(&format!("{}/events/rules/3", pages.address))
        .await;
    let shown = "return [...document.querySelectorAll('[data-kind]')] \
        .filter((group) => !group.hidden).map((group) => group.dataset.kind)";
    browser.element("[data-kind=threshold][hidden]").await;
    assert_eq!(browser.script(shown).await, json!(["absence"]));
    let choose = "const kind = document.getElementById('kind'); \
        kind.value = 'change'; kind.dispatchEvent(new Event('change'));";
    browser.script(choose).await;
    assert_eq!(browser.script(shown).await, json!(["change"]));
    browser.press("#rule-form [type=submit]").await;
    browser
        .text("[data-rule=\"3\"]", |text| text.contains("any change"))
        .await;
    browser.close().await;
    pages.stop().await;
}

#[tokio::test]
async fn pages_ask_nobody_else_and_fit_on_a_phone() {
    let Some(browser) = Browser::start("pages_ask_nobody_else_and_fit_on_a_phone").await else {
        return;
    };
    let pages = Pages::serve();
    browser.log_in(&pages.address, "admin", PASSWORD).await;
    browser
        .driver
        .set_window_rect(0, 0, 500, 900)
        .await
        .expect("a small window");
    let device = pages.device(RICH);
    let hostile = pages.device(HOSTILE);
    let mut addresses = vec![device, hostile];
    for path in [
        "/",
        "/devices",
        "/charts?series=/3303/0/5700@urn:imei:490154203237518&range=7d",
        "/map",
        "/events",
        "/events/7",
        "/events/6",
        "/events/rules",
        "/operations",
        "/templates",
        "/firmware",
        "/rollouts",
        "/rollouts?image=1",
        "/rollouts/3",
        "/users",
        "/audit",
        "/settings",
        "/about",
        "/account",
    ] {
        addresses.push(format!("{}{path}", pages.address));
    }
    for address in addresses {
        browser.open(&address).await;
        browser.element("main").await;
        let foreign = browser
            .script(
                "return performance.getEntriesByType('resource').map((entry) => entry.name) \
                 .filter((name) => new URL(name).host !== location.host)",
            )
            .await;
        assert_eq!(foreign, json!([]), "{address}");
        let too_wide = browser
            .script("return document.documentElement.scrollWidth > window.innerWidth")
            .await;
        assert_eq!(too_wide, false, "{address} is wider than a phone");
        let alert = browser
            .script("return document.querySelectorAll('main img').length")
            .await;
        assert_eq!(alert, json!(0), "{address}: a device's name became markup");
    }
    browser.close().await;
    pages.stop().await;
}
