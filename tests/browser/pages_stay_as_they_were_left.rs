//! A page that fetches itself anew takes nothing from the person before it: what is filled in, where the keyboard is, and
//! which columns there is room for.

use flownexus::domain::LiveKind;
use serde_json::{Value as Json, json};
use thirtyfour::Key;

use crate::pages::fleet::{PASSWORD, RICH};
use crate::support::browser::Browser;

use super::pages::Pages;

/// Has parts of the page fetched anew, and waits until they are there.
async fn refresh(browser: &Browser, part: &str) {
    let fetch = format!(
        "const told = arguments[arguments.length - 1]; \
         const urls = [...document.querySelectorAll('link[rel=modulepreload]')].map(({{href}}) => href); \
         document.addEventListener('refreshed', ({{target}}) => target.id === '{part}' && told(true)); \
         import(urls.find((url) => /[/]refresh[.-]/.test(url))).then((one) => one.refresh(['{part}']), told);"
    );
    assert_eq!(browser.answer(&fetch).await, true, "{part}");
}

async fn width(browser: &Browser, width: u32) {
    let size = json!({"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false});
    browser
        .tools("Emulation.setDeviceMetricsOverride", size)
        .await;
}

#[tokio::test]
async fn while_somebody_fills_in_a_form_or_goes_through_a_list() {
    let test = "while_somebody_fills_in_a_form_or_goes_through_a_list";
    let Some(browser) = Browser::start(test).await else {
        return;
    };
    let pages = Pages::serve();
    browser.log_in(&pages.address, "operator", PASSWORD).await;
    browser
        .open_live(&format!("{}/devices", pages.address))
        .await;
    browser.press("#saved-menu > summary").await;
    browser.press("#save-filter [name=shared]").await;
    browser.type_into("#filter-name", "attic").await;
    browser
        .script("document.getElementById('filter-name').setSelectionRange(2, 2)")
        .await;
    refresh(&browser, "saved-filters").await;
    let seen = "const field = document.getElementById('filter-name'); \
        return [field.value, document.activeElement === field, field.selectionStart]";
    assert_eq!(browser.script(seen).await, json!(["attic", true, 2]));

    // The control of a line is the same one of the same line.
    browser
        .open_live(&format!("{}/operations", pages.address))
        .await;
    for control in ["[data-select-operation]:enabled", "[data-repeat]"] {
        let focus = format!(
            "const control = document.querySelectorAll('#list {control}')[1]; control.focus(); \
             return control.closest('tr').dataset.operation"
        );
        let row = browser.script(&focus).await;
        assert!(row.is_string(), "{control}");
        refresh(&browser, "list").await;
        let here = format!(
            "return document.activeElement.matches('{control}') \
                && document.activeElement.closest('tr').dataset.operation"
        );
        assert_eq!(browser.script(&here).await, row, "{control}");
    }
    browser.no_complaints().await;
    browser.close().await;
    pages.stop().await;
}

#[tokio::test]
async fn and_there_is_room_for_the_columns_that_matter() {
    let test = "and_there_is_room_for_the_columns_that_matter";
    let Some(browser) = Browser::start(test).await else {
        return;
    };
    let pages = Pages::serve();
    browser.log_in(&pages.address, "viewer", PASSWORD).await;
    let shown = "return ['state', 'address', 'lwm2m', 'lifetime'].filter((name) => \
        document.querySelector(`td.col-${name}`).checkVisibility())";
    let list = format!("{}/devices", pages.address);
    for (size, columns) in [
        (1600, json!(["state", "address", "lwm2m", "lifetime"])),
        (1280, json!(["state", "address"])),
        (600, json!(["state"])),
    ] {
        width(&browser, size).await;
        browser.open_live(&list).await;
        assert_eq!(browser.script(shown).await, columns, "{size}");
        // The menu says the same.
        let ticked = "return ['state', 'address', 'lwm2m', 'lifetime'].filter((name) => \
            document.querySelector(`[data-column=${name}]`).checked)";
        assert_eq!(browser.script(ticked).await, columns, "{size}");
    }
    // Who wants one has it.
    width(&browser, 1280).await;
    browser.open_live(&list).await;
    browser.press("#column-menu > summary").await;
    browser.press("[data-column=lwm2m]").await;
    let wanted = json!(["state", "address", "lwm2m"]);
    assert_eq!(browser.script(shown).await, wanted);
    browser.open_live(&list).await;
    assert_eq!(browser.script(shown).await, wanted);
    browser.no_complaints().await;
    browser.close().await;
    pages.stop().await;
}

#[tokio::test]
async fn and_numbers_that_stand_for_something_say_what() {
    let test = "and_numbers_that_stand_for_something_say_what";
    let Some(browser) = Browser::start(test).await else {
        return;
    };
    let pages = Pages::serve();
    browser.log_in(&pages.address, "viewer", PASSWORD).await;
    browser.open_live(&pages.device(RICH)).await;
    for (path, number, words) in [
        ("/3/0/20", 1, "1 charging"),
        ("/3/0/20", 4, "4 low"),
        ("/3/0/20", 77, "77"),
        ("/3/0/6/2", 5, "2: 5 USB"),
    ] {
        let body = json!({"path": path, "type": "INTEGER", "value": number});
        pages.publish(RICH, LiveKind::Resource, body);
        let cell = format!("[data-value=\"{path}\"]");
        browser.text(&cell, |text| text.trim() == words).await;
    }
    browser.no_complaints().await;
    browser.close().await;
    pages.stop().await;
}

#[tokio::test]
async fn and_menus_close_for_those_who_go_on() {
    let Some(browser) = Browser::start("and_menus_close_for_those_who_go_on").await else {
        return;
    };
    let pages = Pages::serve();
    browser.log_in(&pages.address, "operator", PASSWORD).await;
    browser
        .open_live(&format!("{}/devices", pages.address))
        .await;
    for menu in ["user-menu", "saved-menu", "column-menu"] {
        let summary = format!("#{menu} > summary");
        let is_open = format!("return document.getElementById('{menu}').open");
        // The Escape key leads back to what opened it.
        browser.press(&summary).await;
        assert_eq!(browser.script(&is_open).await, true, "{menu}");
        let body = browser.element("body").await;
        body.send_keys(Key::Escape + "").await.expect("a key");
        browser.until(&is_open, |open| *open == false).await;
        let focus = format!("return document.activeElement.matches('{summary}')");
        assert_eq!(browser.script(&focus).await, true, "{menu}");
        // Who goes elsewhere leaves none open behind.
        for elsewhere in ["focus", "click"] {
            browser.press(&summary).await;
            assert_eq!(browser.script(&is_open).await, true, "{menu}");
            let go = format!("document.getElementById('theme-button').{elsewhere}()");
            browser.script(&go).await;
            assert_eq!(browser.script(&is_open).await, false, "{menu} {elsewhere}");
        }
    }
    browser.no_complaints().await;
    browser.close().await;
    pages.stop().await;
}

#[tokio::test]
async fn and_what_happens_is_told_by_its_name() {
    let Some(browser) = Browser::start("and_what_happens_is_told_by_its_name").await else {
        return;
    };
    let pages = Pages::serve();
    browser.log_in(&pages.address, "viewer", PASSWORD).await;
    browser.open_live(&format!("{}/", pages.address)).await;
    for (path, named) in [
        ("/3303/0/5700", "Temperature 21.5"),
        ("/3303/2/5700", "Temperature 2 21.5"),
        // What no template asks for.
        ("/65001/0/9", "/65001/0/9 21.5"),
    ] {
        let body = json!({"path": path, "type": "FLOAT", "value": 21.5});
        pages.publish(RICH, LiveKind::Resource, body);
        browser
            .text("#activity tr:first-child", |text| text.contains(named))
            .await;
    }
    browser.no_complaints().await;
    browser.close().await;
    pages.stop().await;
}

/// One value long after many: no line leads there.
const ONE_APART: &str = "const told = arguments[arguments.length - 1]; \
    const urls = [...document.querySelectorAll('link[rel=modulepreload]')].map(({href}) => href); \
    import(urls.find((url) => /[/]plot[.-]/.test(url))).then(({Plot}) => { \
        const box = document.createElement('div'); \
        box.className = 'chart'; \
        document.getElementById('content').prepend(box); \
        const times = [...Array.from({length: 200}, (_, at) => at), 200, 9000]; \
        const values = times.map((_, at) => (at === 200 ? null : at === 201 ? 100 : at)); \
        const none = times.map(() => null); \
        const plot = new Plot(box); \
        plot.show([{index: 0, stepped: false, hidden: false, table: () => [times, values, none, none]}], 0, 10000); \
        setTimeout(() => { \
            const {ctx} = plot.plot; \
            const [x, y] = [plot.plot.valToPos(9000, 'x', true), plot.plot.valToPos(100, 'y', true)]; \
            const {data} = ctx.getImageData(Math.round(x) - 3, Math.round(y) - 3, 6, 6); \
            let drawn = 0; \
            for (let at = 0; at < data.length; at += 4) drawn += data[at + 2] - data[at] > 80 && data[at + 3] > 200; \
            told(drawn); \
        }, 200); \
    }, (error) => told(String(error)));";

#[tokio::test]
async fn and_a_value_that_stands_alone_is_seen_in_a_chart() {
    let test = "and_a_value_that_stands_alone_is_seen_in_a_chart";
    let Some(browser) = Browser::start(test).await else {
        return;
    };
    let pages = Pages::serve();
    browser.log_in(&pages.address, "viewer", PASSWORD).await;
    browser.open_live(&pages.device(RICH)).await;
    let drawn: Json = browser.answer(ONE_APART).await;
    assert!(drawn.as_u64() > Some(3), "{drawn}");
    browser.no_complaints().await;
    browser.close().await;
    pages.stop().await;
}
