//! Somebody puts the series of two devices under one another, zooms in and back, shares the address, takes them along as
//! a table and as a picture, and pins them to the overview; and looks at where devices are.

use flownexus::domain::LiveKind;
use serde_json::json;
use thirtyfour::prelude::*;

use crate::pages::fleet::{ASLEEP, HOSTILE, PASSWORD, RICH};
use crate::support::browser::Browser;

use super::pages::Pages;

const SEARCH: &str = "#series-search";

/// A number, as the start of a pattern.
const NUMBER: &str = r"-?\d+";

fn figure(device: &str, figure: &str) -> String {
    format!("[data-series=\"/3303/0/5700@{device}\"] [data-figure={figure}]")
}

async fn add(browser: &Browser, words: &str) {
    let field = browser.element(SEARCH).await;
    field.send_keys(words).await.expect("typing works");
    browser.element("#series-hit-0.active").await;
    let enter = Key::Enter + "";
    field.send_keys(enter).await.expect("typing works");
}

/// Waits until a figure of a legend, which may be below the window, begins like this.
async fn figure_is(browser: &Browser, device: &str, name: &str, wanted: &str) {
    let selector = figure(device, name).replace('"', "\\\"");
    let script = format!(
        "return /^{wanted}/.test(document.querySelector(\"{selector}\")?.textContent ?? '')"
    );
    browser.until(&script, |is| *is == json!(true)).await;
}

/// Drags over the middle of a plot.
async fn drag(browser: &Browser, selector: &str) {
    let plot = browser.element(selector).await;
    let drag = browser
        .driver
        .action_chain()
        .move_to_element_center(&plot)
        .click_and_hold()
        .move_by_offset(60, 0)
        .move_by_offset(60, 5)
        .release();
    drag.perform().await.expect("dragging works");
}

#[tokio::test]
async fn two_devices_are_charted_zoomed_shared_and_pinned() {
    let test = "two_devices_are_charted_zoomed_shared_and_pinned";
    let Some(browser) = Browser::start(test).await else {
        return;
    };
    let pages = Pages::serve();
    browser.log_in(&pages.address, "operator", PASSWORD).await;
    browser.open(&format!("{}/charts", pages.address)).await;
    add(&browser, "237518 temperature").await;
    browser.element("[data-panel] canvas").await;
    add(&browser, "237526").await;
    for device in [RICH, ASLEEP] {
        for name in ["last", "min", "mean", "max"] {
            figure_is(&browser, device, name, NUMBER).await;
        }
    }

    // Both have the same quantity, so they share a panel, until each is to stand alone. Units are told by one.
    let choose = "const select = document.getElementById('chart-panels'); \
        select.value = 'series'; select.dispatchEvent(new Event('change'))";
    browser.script(choose).await;
    browser
        .until(
            "return document.querySelectorAll('[data-panel] canvas').length",
            |is| *is == json!(2),
        )
        .await;

    // A value arrives.
    browser.element("#connection[data-connection=live]").await;
    let body = json!({"path": "/3303/0/5700", "type": "FLOAT", "value": 77.25});
    pages.publish(RICH, LiveKind::Resource, body);
    figure_is(&browser, RICH, "last", "77.25").await;

    // Zoomed into all panels, and back again.
    let before = browser.script("return location.search").await;
    drag(&browser, "[data-panel] .u-over").await;
    browser
        .until(
            "return new URLSearchParams(location.search).has('from')",
            |is| *is == json!(true),
        )
        .await;
    browser
        .until(
            "return document.getElementById('chart-follow').checked",
            |is| *is == json!(false),
        )
        .await;
    let zoomed = browser.script("return location.search").await;
    let shown = browser
        .script("return document.getElementById('chart-from').value")
        .await;
    browser.script("history.back()").await;
    browser
        .until("return location.search", |is| *is == before)
        .await;
    browser.script("history.forward()").await;
    browser
        .until("return location.search", |is| *is == zoomed)
        .await;

    // The address is the whole view.
    let address = format!("{}/charts{}", pages.address, zoomed.as_str().expect("text"));
    browser.open(&address).await;
    figure_is(&browser, ASLEEP, "last", NUMBER).await;
    browser
        .until("return document.getElementById('chart-from').value", |is| {
            *is == shown
        })
        .await;
    browser
        .until(
            "return document.querySelectorAll('[data-panel] canvas').length",
            |is| *is == json!(2),
        )
        .await;

    // As a table, and as a picture.
    let table =
        "return fetch(document.getElementById('chart-csv').href).then((answer) => answer.text())";
    let table = browser.script(table).await;
    let table = table.as_str().expect("text");
    assert!(
        table.starts_with("time,endpoint,path,name,units,value\r\n"),
        "{table}"
    );
    assert!(table.contains(RICH) && table.contains(ASLEEP));
    let watch = "const make = URL.createObjectURL; URL.createObjectURL = (blob) => { \
        window.saved = [blob.type, blob.size > 5000]; return make.call(URL, blob); }";
    browser.script(watch).await;
    browser.press("#chart-png").await;
    browser
        .until("return window.saved ?? null", |is| {
            *is == json!(["image/png", true])
        })
        .await;

    // Pinned, it is on the overview, live.
    browser.press("#chart-pin").await;
    browser
        .script("document.getElementById('pin-title').value = 'Two <b>rooms</b>'")
        .await;
    browser.press("#pin-dialog [type=submit]").await;
    browser
        .text("[data-toast=good]", |text| text.contains("Pinned"))
        .await;
    browser.no_complaints().await;
    browser.open(&pages.address).await;
    browser
        .text("#pins .card-title", |text| text == "Two <b>rooms</b>")
        .await;
    browser.element("#pins canvas").await;
    browser.press("#pins .card-title a").await;
    figure_is(&browser, RICH, "mean", NUMBER).await;
    browser.close().await;
    pages.stop().await;
}

#[tokio::test]
async fn devices_are_on_the_map_and_move() {
    let Some(browser) = Browser::start("devices_are_on_the_map_and_move").await else {
        return;
    };
    let pages = Pages::serve();
    browser.log_in(&pages.address, "viewer", PASSWORD).await;
    browser.open_live(&format!("{}/map", pages.address)).await;
    let line = |device: &str| {
        let device = device.replace('"', "\\\"");
        format!("[data-device=\"{device}\"]")
    };
    browser
        .text(&line(RICH), |text| {
            text.contains("52.51630° N, 13.37770° E")
        })
        .await;
    browser
        .text(&line(HOSTILE), |text| {
            text.contains("its latitude 91 is not from -90 to 90")
        })
        .await;
    browser
        .text("#map-count", |text| text.contains("2 without a place"))
        .await;

    // Chosen, it is in the middle.
    browser.press(&line(RICH)).await;
    browser
        .text("#map-chosen", |text| text.contains("within 250 m"))
        .await;
    browser
        .text("#map-chosen", |text| text.contains("places in a day"))
        .await;
    let middle = "const map = document.getElementById('map'); \
        const at = map.getContext('2d').getImageData(map.width / 2, map.height / 2, 1, 1).data; \
        return [at[0], at[1], at[2]].join()";
    let green = json!("0,158,115");
    browser.until(middle, |is| *is == green).await;
    for (path, value) in [("/6/0/0", 52.5263), ("/6/0/1", 13.3977)] {
        let body = json!({"path": path, "type": "FLOAT", "value": value});
        pages.publish(RICH, LiveKind::Resource, body);
    }
    browser
        .text(&line(RICH), |text| {
            text.contains("52.52630° N, 13.39770° E")
        })
        .await;
    let moved = format!("return (() => {{ {middle} }})() !== '0,158,115'");
    browser.until(&moved, |is| *is == json!(true)).await;

    // Found by name, and moved and zoomed by keys.
    browser
        .script(
            "const field = document.getElementById('map-search'); field.value = '237526'; \
             field.dispatchEvent(new Event('input'))",
        )
        .await;
    browser
        .text("#map-count", |text| text.starts_with("1 device"))
        .await;
    let map = browser.element("#map").await;
    map.send_keys("0+-" + Key::Left + Key::Up)
        .await
        .expect("keys work");
    browser.no_complaints().await;
    browser.close().await;
    pages.stop().await;
}
