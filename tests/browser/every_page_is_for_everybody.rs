//! Over every page: axe finds nothing serious, the keyboard reaches everything and one sees where it is, what devices
//! say is never markup, and the content security policy has nothing to forbid.

use std::path::Path;

use flownexus::domain::{LiveEvent, LiveKind};
use serde_json::{Value as Json, json};
use thirtyfour::Key;

use crate::pages::every_page_renders::{FOR_ADMINS, FOR_ALL};
use crate::pages::fleet::{ASLEEP, GONE, HOSTILE, PASSWORD, RICH};
use crate::support::browser::Browser;

use super::pages::{Pages, event};

/// Where `assets/build.rs` has put axe-core.
const AXE: &str = concat!(env!("OUT_DIR"), "/tests/axe.min.js");

/// What axe finds that keeps somebody from using the page, in words.
const BARRIERS: &str = "const told = arguments[arguments.length - 1]; \
    axe.run(document, {resultTypes: ['violations']}).then((result) => told(result.violations \
        .filter((found) => ['serious', 'critical'].includes(found.impact)) \
        .map((found) => `${found.impact} ${found.id}: ${found.help}: ` + found.nodes.slice(0, 3) \
            .map((node) => `${node.target.join(' ')} ${(node.any[0] || node.all[0] || node.none[0] || {}).message}`) \
            .join(' | '))), (error) => told([String(error)]));";

/// Nothing moves: what is on its way from one colour to another has neither.
const STILL: &str = "const still = new CSSStyleSheet(); \
    still.replaceSync('*, *::before, *::after { transition: none !important; animation: none !important; }'); \
    document.adoptedStyleSheets = [still];";

/// Controls that look the same with the focus and without it.
const WITHOUT_FOCUS: &str = "const look = (element) => { const style = getComputedStyle(element); \
        return [style.outlineStyle, style.outlineWidth, style.outlineColor, style.boxShadow, style.borderColor, \
            style.backgroundColor, style.color, style.textDecorationLine].join(); }; \
    const found = []; \
    for (const element of document.querySelectorAll('a[href], button, input, select, textarea, summary, [tabindex]')) { \
        if (element.disabled || element.tabIndex < 0 || element.type === 'hidden' || !element.checkVisibility()) continue; \
        element.blur(); \
        const before = look(element); \
        element.focus(); \
        if (document.activeElement !== element) continue; \
        const around = element.closest('label, .form-check, .input-group') || element; \
        if (look(element) === before && getComputedStyle(around).outlineStyle === 'none') \
            found.push(element.outerHTML.slice(0, 120)); \
        element.blur(); \
    } \
    return found;";

/// What became markup of what a device or a person wrote.
const MARKUP: &str = "return [...document.querySelectorAll('img[src=\"x\"], [onerror], [onload], script:not([src])')] \
    .map((element) => element.outerHTML.slice(0, 200));";

fn all(pages: &Pages) -> Vec<String> {
    let paths = FOR_ALL.iter().chain(&FOR_ADMINS);
    let paths = paths.map(|path| format!("{}{path}", pages.address));
    let devices = [RICH, ASLEEP, GONE, HOSTILE].map(|name| pages.device(name));
    paths.chain(devices).collect()
}

/// Everything that can be told of a device, with markup in each text.
fn hostile(device: &str) -> Vec<LiveEvent> {
    let bad = HOSTILE;
    let value =
        |path: &str, kind: &str, value: Json| json!({"path": path, "type": kind, "value": value});
    let step = json!({"time": 0, "step": bad, "detail": bad, "text": bad});
    [
        (LiveKind::Registered, json!({"gateway": false})),
        (LiveKind::Updated, json!({})),
        (LiveKind::Resource, value("/3/0/0", "STRING", json!(bad))),
        (LiveKind::Resource, value("/3303/0/5700", "FLOAT", json!(bad))),
        (LiveKind::Resource, value("/3303/0/5701", bad, json!([bad]))),
        (LiveKind::Resource, value(bad, bad, json!({bad: bad}))),
        (
            LiveKind::Event,
            json!({"id": 7, "type": bad, "rule": bad, "severity": bad, "message": bad,
                   "resources": [value(bad, bad, json!(bad))]}),
        ),
        (
            LiveKind::Operation,
            json!({"id": 1, "operation": bad, "paths": [bad], "status": bad, "error": bad, "values": {bad: bad}}),
        ),
        (
            LiveKind::Operation,
            json!({"id": 2, "operation": "read", "paths": ["/3/0/0"], "status": "FAILED", "error": bad}),
        ),
        (
            LiveKind::Observation,
            json!({"paths": [bad], "wanted": true, "state": bad, "reason": bad}),
        ),
        (LiveKind::Profile, json!({"tags": [bad], "awake_s": bad, "edrx_cycle_s": null})),
        (LiveKind::Log, json!({"path": bad, "level": "err", "text": bad})),
        (LiveKind::Log, json!({"path": "/10259/0/2", "level": bad, "text": bad})),
        (
            LiveKind::FirmwareUpdate,
            json!({"id": 1, "state": bad, "step": bad, "reason": bad, "version": bad, "timeline": [step]}),
        ),
        (LiveKind::Rollout, json!({"id": 1, "state": bad})),
        (LiveKind::Bulk, json!({"id": 1, "state": bad, "devices": bad})),
        (LiveKind::Expired, json!({})),
        (LiveKind::Deregistered, json!({"gateway": true})),
    ]
    .map(|(kind, body)| event(device, kind, body))
    .into()
}

/// The strings of a list that a script returned.
fn strings(list: &Json) -> Vec<String> {
    let list = list.as_array().into_iter().flatten();
    list.map(|it| it.as_str().unwrap_or_default().to_owned())
        .collect()
}

#[tokio::test]
async fn by_keyboard_by_eye_and_by_ear() {
    let Some(browser) = Browser::start("by_keyboard_by_eye_and_by_ear").await else {
        return;
    };
    let axe = std::fs::read_to_string(Path::new(AXE));
    let axe =
        axe.unwrap_or_else(|error| panic!("{AXE}: {error}; built without its packages for tests?"));
    let pages = Pages::serve();
    let mut barriers = Vec::new();
    let mut look = async |address: &str| {
        browser.open(address).await;
        browser.element("body").await;
        browser.script(&axe).await;
        browser.script(STILL).await;
        for theme in ["light", "dark"] {
            let set = format!("document.documentElement.setAttribute('data-bs-theme', '{theme}')");
            browser.script(&set).await;
            for found in strings(&browser.answer(BARRIERS).await) {
                barriers.push(format!("{address} ({theme}): {found}"));
            }
        }
        // The focus shows to those who use the keyboard.
        let body = browser.element("body").await;
        body.send_keys(Key::Tab + "").await.expect("a key");
        for found in strings(&browser.script(WITHOUT_FOCUS).await) {
            barriers.push(format!("{address}: no visible focus: {found}"));
        }
        for found in strings(&browser.script(MARKUP).await) {
            barriers.push(format!("{address}: markup: {found}"));
        }
        for found in strings(&browser.script("return window.complaints").await) {
            barriers.push(format!("{address}: complaint: {found}"));
        }
    };
    look(&format!("{}/login", pages.address)).await;
    browser.log_in(&pages.address, "admin", PASSWORD).await;
    for address in all(&pages) {
        look(&address).await;
    }
    look(&format!("{}/nothing-is-here", pages.address)).await;
    assert!(
        barriers.is_empty(),
        "{} barriers:\n{}",
        barriers.len(),
        barriers.join("\n")
    );
    browser.close().await;
}

/// Short messages of every look, by the page's own module.
const SHORT_MESSAGES: &str = "const told = arguments[arguments.length - 1]; \
    const urls = [...document.querySelectorAll('link[rel=modulepreload]')].map(({href}) => href); \
    import(urls.find((url) => /[/]toast[.-]/.test(url))).then(({toast}) => { \
        for (const look of ['good', 'bad', 'wait']) toast(look, 'Read /3/0/9: done', '2.05 Content'); \
        told(document.querySelectorAll('#toasts [data-toast]').length); \
    }, (error) => told(String(error)));";

#[tokio::test]
async fn short_messages_can_be_read() {
    let Some(browser) = Browser::start("short_messages_can_be_read").await else {
        return;
    };
    let axe = std::fs::read_to_string(Path::new(AXE)).expect("axe-core for the tests");
    let pages = Pages::serve();
    browser.log_in(&pages.address, "operator", PASSWORD).await;
    for theme in ["light", "dark"] {
        browser.open(&format!("{}/models", pages.address)).await;
        browser.element("#toasts").await;
        let set = format!("document.documentElement.setAttribute('data-bs-theme', '{theme}')");
        browser.script(&set).await;
        assert_eq!(browser.answer(SHORT_MESSAGES).await, 3, "{theme}");
        browser.script(&axe).await;
        browser.script(STILL).await;
        let found = strings(&browser.answer(BARRIERS).await);
        assert_eq!(found, [""; 0], "{theme}");
    }
    browser.close().await;
    pages.stop().await;
}

/// What is on a page only when somebody has opened it: where, what opens it, and what is there then.
const OPENED: [(&str, &str, &str); 8] = [
    (
        "/devices/urn:imei:490154203237518",
        "document.querySelector('[data-resource=\"/3/0/14\"] [data-action=write]').click()",
        "#operate-fields textarea",
    ),
    (
        "/devices/urn:imei:490154203237518",
        "document.querySelector('[data-action=composite]').click()",
        "#operate-fields .operate-paths",
    ),
    (
        "/devices/urn:imei:490154203237518",
        "document.querySelector('[data-action=operate]:not([data-path])').click(); \
         document.getElementById('operate-path').value = '/3303/0/5700'; \
         document.getElementById('operate-path').dispatchEvent(new Event('input')); \
         setTimeout(() => document.getElementById('operate-submit').click(), 300)",
        "#operate-result .operate-code",
    ),
    (
        "/devices/urn:imei:490154203237518",
        "document.querySelector('[data-action=profile]').click()",
        "#profile-dialog[open]",
    ),
    (
        "/devices",
        "document.querySelector('[data-select-device]').click(); document.querySelector('[data-bulk=write]').click()",
        "#bulk[open]",
    ),
    (
        "/devices",
        "document.querySelector('#saved-menu > summary').click()",
        "#saved-menu[open] #filter-name",
    ),
    (
        "/charts",
        "const field = document.getElementById('series-search'); field.focus(); field.value = 'urn'; \
         field.dispatchEvent(new Event('input'))",
        "#series-hit-0.active",
    ),
    (
        "/rollouts",
        "document.getElementById('new-rollout').click()",
        "#rollout-form:not([hidden])",
    ),
];

#[tokio::test]
async fn with_all_that_opens_on_them() {
    let Some(browser) = Browser::start("with_all_that_opens_on_them").await else {
        return;
    };
    let axe = std::fs::read_to_string(Path::new(AXE)).expect("axe-core for the tests");
    let pages = Pages::serve();
    browser.log_in(&pages.address, "operator", PASSWORD).await;
    for (path, opens, there) in OPENED {
        browser.open(&format!("{}{path}", pages.address)).await;
        browser.element("#content").await;
        browser.script(opens).await;
        browser.element(there).await;
        browser.script(&axe).await;
        browser.script(STILL).await;
        for theme in ["light", "dark"] {
            let set = format!("document.documentElement.setAttribute('data-bs-theme', '{theme}')");
            browser.script(&set).await;
            let found = strings(&browser.answer(BARRIERS).await);
            assert_eq!(found, [""; 0], "{path} {there} {theme}");
        }
    }
    browser.close().await;
    pages.stop().await;
}

/// What sticks out of a phone's screen to the right, and is not in a box that scrolls.
const STICKS_OUT: &str = "const width = document.documentElement.clientWidth; \
    if (document.documentElement.scrollWidth <= width) return []; \
    return [...document.querySelectorAll('body *')] \
        .filter((element) => element.checkVisibility() && element.getBoundingClientRect().right > width + 1) \
        .slice(0, 3).map((element) => element.outerHTML.slice(0, 120));";

#[tokio::test]
async fn nothing_sticks_out_on_a_phone() {
    let Some(browser) = Browser::start("nothing_sticks_out_on_a_phone").await else {
        return;
    };
    let pages = Pages::serve();
    let phone = json!({"width": 360, "height": 780, "deviceScaleFactor": 1, "mobile": true});
    browser
        .tools("Emulation.setDeviceMetricsOverride", phone)
        .await;
    browser.log_in(&pages.address, "admin", PASSWORD).await;
    for address in all(&pages) {
        browser.open(&address).await;
        browser.element("#content").await;
        let found = strings(&browser.script(STICKS_OUT).await);
        assert_eq!(found, [""; 0], "{address}");
    }
    browser.close().await;
    pages.stop().await;
}

#[tokio::test]
async fn nothing_that_comes_live_is_markup() {
    let Some(browser) = Browser::start("nothing_that_comes_live_is_markup").await else {
        return;
    };
    let pages = Pages::serve();
    browser.log_in(&pages.address, "admin", PASSWORD).await;
    let mut followed = 0;
    for address in all(&pages) {
        browser.open(&address).await;
        let connection = "return document.getElementById('connection').dataset.connection ?? null";
        if browser.script(connection).await.is_null() {
            // It follows nothing.
            continue;
        }
        followed += 1;
        browser.until(connection, |state| state == "live").await;
        browser
            .script(
                "window.told = 0; document.addEventListener('live', \
                 ({detail}) => { told += detail.filter(({path}) => path === '/9/9/9').length; });",
            )
            .await;
        pages.publish_all([RICH, HOSTILE].into_iter().flat_map(hostile).collect());
        // The last one of each device is the sign that all before it were taken.
        let last = |device| {
            let body = json!({"path": "/9/9/9", "type": "STRING", "value": HOSTILE});
            event(device, LiveKind::Resource, body)
        };
        let devices = [RICH, ASLEEP, GONE, HOSTILE];
        pages.publish_all(devices.map(last).into());
        browser
            .until("return window.told", |told| told.as_u64() > Some(0))
            .await;
        assert_eq!(strings(&browser.script(MARKUP).await), [""; 0], "{address}");
        browser.no_complaints().await;
    }
    assert!(followed > 20, "{followed}");
    browser.close().await;
    pages.stop().await;
}
