//! What a page costs on its way to the browser, and how soon it is alive. The weight of scripts and styles has a bound;
//! all of it is measured by
//!
//! ```console
//! $ cargo test --release --test behaviour -- --ignored --nocapture browser::pages_are_light
//! ```

use std::collections::BTreeMap;
use std::time::Duration;

use flownexus::domain::LiveKind;
use serde_json::{Value as Json, json};

use crate::pages::fleet::{PASSWORD, RICH};
use crate::support::browser::Browser;

use super::pages::Pages;

/// No page loads more of scripts and style sheets than this, compressed as they come. Tabler's style sheet is 78 KB of
/// it, `uPlot` 22 KB.
const MOST_KB: f64 = 190.0;

/// What came over the wire since the page was asked for: kind, bytes with heads, requests. What came out of the cache
/// is no request.
const WEIGHT: &str = "const kinds = {html: [0, 0], css: [0, 0], js: [0, 0], icons: [0, 0], data: [0, 0]}; \
    const kind = (entry) => entry.entryType === 'navigation' ? 'html' \
        : /\\.css$/.test(entry.name) ? 'css' : /\\.js$/.test(entry.name) ? 'js' \
        : /\\.(svg|woff2?|png)(#.*)?$/.test(entry.name) ? 'icons' : 'data'; \
    for (const entry of [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]) { \
        if (entry.transferSize === 0) continue; \
        const sum = kinds[kind(entry)]; sum[0] += entry.transferSize; sum[1] += 1; \
    } \
    return kinds;";

/// Notes when the first live value was handed to the page.
const LISTEN: &str = "document.addEventListener('live', (event) => { \
        if (event.detail.some((message) => message.kind === 'resource')) \
            window.firstLive ??= performance.now(); \
    });";

/// When the page was loaded, and when it was alive, in milliseconds since it was asked for.
const TIMES: &str = "const [page] = performance.getEntriesByType('navigation'); \
    return window.firstLive && page.loadEventEnd ? [page.loadEventEnd, window.firstLive] : null;";

/// Bytes and requests by kind.
type Weight = BTreeMap<String, (f64, f64)>;

fn main_pages(pages: &Pages) -> Vec<(&'static str, String)> {
    let at = |path: &str| format!("{}{path}", pages.address);
    let series = at(&format!("/charts?series=/3303/0/5700@{RICH}&range=24h"));
    vec![
        ("login", at("/login")),
        ("overview", at("/")),
        ("devices, 500 rows", at("/devices?limit=500&search=device-")),
        ("device", pages.device(RICH)),
        ("charts", series),
        ("map", at("/map")),
        ("operations", at("/operations")),
        ("events", at("/events")),
        ("firmware", at("/firmware")),
        ("rollout", at("/rollouts/3")),
    ]
}

/// Opens a page and tells what it cost once it has everything that it loads with.
async fn weight(browser: &Browser, address: &str) -> Weight {
    browser.open("about:blank").await;
    browser.open(address).await;
    let is_loaded = "return document.readyState === 'complete' && !document.querySelector('[aria-busy=true]') \
        && performance.getEntriesByType('navigation')[0].loadEventEnd > 0";
    browser.until(is_loaded, |is| *is == json!(true)).await;
    let weight = browser.script(WEIGHT).await;
    serde_json::from_value(weight).expect("sums")
}

async fn cold(browser: &Browser, address: &str) -> Weight {
    browser.tools("Network.clearBrowserCache", json!({})).await;
    weight(browser, address).await
}

async fn begin(test: &str) -> Option<(Browser, Pages)> {
    let browser = Browser::start(test).await?;
    let pages = Pages::serve();
    for number in 0..500 {
        pages.fleet.add_device(&format!("device-{number:04}"));
    }
    Some((browser, pages))
}

#[tokio::test]
async fn no_page_loads_more_scripts_and_styles_than_it_may_and_none_of_them_twice() {
    let test = "no_page_loads_more_scripts_and_styles_than_it_may_and_none_of_them_twice";
    let Some((browser, pages)) = begin(test).await else {
        return;
    };
    for (name, address) in main_pages(&pages) {
        if name == "overview" {
            // The page before is that of the login.
            browser.log_in(&pages.address, "operator", PASSWORD).await;
        }
        let first = cold(&browser, &address).await;
        let kb = (first["css"].0 + first["js"].0) / 1e3;
        assert!(kb <= MOST_KB, "{name}: {kb:.0} KB: {first:?}");
        // They are kept under names that change with them: nothing is asked for again.
        let again = weight(&browser, &address).await;
        for kind in ["css", "js", "icons"] {
            assert_eq!(again[kind], (0.0, 0.0), "{name}: {again:?}");
        }
    }
    browser.close().await;
    pages.stop().await;
}

#[tokio::test]
#[ignore = "measures, for docs/performance.md"]
async fn what_pages_weigh_and_how_soon_they_are_alive() {
    let Some((browser, pages)) = begin("what_pages_weigh_and_how_soon_they_are_alive").await else {
        return;
    };
    eprintln!("| page | HTML | CSS | JS | icons | data | requests | again, bytes | requests |");
    for (name, address) in main_pages(&pages) {
        if name == "overview" {
            // The page before is that of the login.
            browser.log_in(&pages.address, "operator", PASSWORD).await;
        }
        let first = cold(&browser, &address).await;
        let again = weight(&browser, &address).await;
        let of = |kind: &str| first[kind].0;
        let sums = |weight: &Weight| {
            let all = weight.values();
            all.fold((0.0, 0.0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
        };
        eprintln!(
            "| {name} | {} | {} | {} | {} | {} | {} | {} | {} |",
            of("html"),
            of("css"),
            of("js"),
            of("icons"),
            of("data"),
            sums(&first).1,
            sums(&again).0,
            sums(&again).1
        );
    }
    let listen = json!({"source": LISTEN});
    browser
        .tools("Page.addScriptToEvaluateOnNewDocument", listen)
        .await;
    for (name, address) in [
        ("device", pages.device(RICH)),
        ("overview", pages.address.clone()),
    ] {
        for cache in ["cold", "warm"] {
            if cache == "cold" {
                browser.tools("Network.clearBrowserCache", json!({})).await;
            }
            let mut ratios = Vec::new();
            for _ in 0..5 {
                let times = alive(&browser, &pages, &address).await;
                ratios.push((times.1 / times.0, times));
                if cache == "cold" {
                    browser.tools("Network.clearBrowserCache", json!({})).await;
                }
            }
            ratios.sort_by(|one, other| one.0.total_cmp(&other.0));
            let (ratio, (loaded, alive)) = ratios[2];
            eprintln!(
                "{name}, {cache} cache: loaded after {loaded:.0} ms, first live value after {alive:.0} ms, ratio {ratio:.2}"
            );
        }
    }
    browser.close().await;
    pages.stop().await;
}

/// When a page was loaded and when it showed its first live value, while one comes every 10 ms.
async fn alive(browser: &Browser, pages: &Pages, address: &str) -> (f64, f64) {
    browser.open("about:blank").await;
    let mut pace = tokio::time::interval(Duration::from_millis(10));
    let speaks = async {
        let mut number = 0;
        loop {
            pace.tick().await;
            number += 1;
            let body = json!({"path": "/3303/0/5700", "type": "FLOAT", "value": number});
            pages.publish(RICH, LiveKind::Resource, body);
        }
    };
    let looks = async {
        browser.open(address).await;
        browser.until(TIMES, |times| *times != Json::Null).await
    };
    tokio::select! {
        times = looks => serde_json::from_value(times).expect("two moments"),
        () = speaks => unreachable!("it speaks for ever"),
    }
}
