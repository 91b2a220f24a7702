//! Pages that are open while much happens: no frame is held up, nothing piles up, a lost connection is told and made good.

use std::time::{Duration, Instant};

use flownexus::domain::{LiveEvent, LiveKind};
use serde_json::{Value as Json, json};

use crate::pages::fleet::{PASSWORD, RICH};
use crate::support::browser::{Browser, SOON};

use super::pages::{Pages, event};

const DEVICES: u32 = 1_000;

/// Messages of the burst, and how many come at once, twenty times a second.
const BURST: u32 = 2_000;
const AT_ONCE: u32 = 10;

/// Messages of the day that is made short, and how often its connection is lost.
const DAY: u32 = 100_000;
const LOSSES: u32 = 50;

/// What the page holds once its garbage is collected.
#[derive(Clone, Copy, Debug)]
struct Held {
    heap: f64,
    nodes: f64,
    listeners: f64,
    /// How long its thread has worked, in seconds of the processor.
    busy_s: f64,
    /// What of it went into scripts, into the styles of elements, and into where they lie; and how often that was worked out.
    script_s: f64,
    style_s: f64,
    layout_s: f64,
    layouts: f64,
}

async fn held(browser: &Browser) -> Held {
    // Processor time of the page's thread, whatever else the machine does.
    let ticks = json!({"timeDomain": "threadTicks"});
    browser.tools("Performance.enable", ticks).await;
    for _ in 0..2 {
        browser
            .tools("HeapProfiler.collectGarbage", json!({}))
            .await;
    }
    let metrics = browser.tools("Performance.getMetrics", json!({})).await;
    let metric = |name: &str| {
        let all = metrics["metrics"].as_array().expect("a list");
        let found = all.iter().find(|metric| metric["name"] == name);
        found
            .and_then(|metric| metric["value"].as_f64())
            .expect(name)
    };
    Held {
        heap: metric("JSHeapUsedSize"),
        nodes: metric("Nodes"),
        listeners: metric("JSEventListeners"),
        busy_s: metric("TaskDuration"),
        script_s: metric("ScriptDuration"),
        style_s: metric("RecalcStyleDuration"),
        layout_s: metric("LayoutDuration"),
        layouts: metric("LayoutCount"),
    }
}

/// What the page holds once it is no more than this. The browser lets go of what is over when it likes: a row that was
/// written a moment ago may be held until the next one is.
async fn settled(browser: &Browser, is_little: impl Fn(&Held) -> bool) -> Held {
    let end = Instant::now() + SOON;
    loop {
        let now = held(browser).await;
        if is_little(&now) {
            return now;
        }
        assert!(Instant::now() < end, "the page has grown: {now:?}");
        let frame = "requestAnimationFrame(() => requestAnimationFrame(arguments[0]))";
        browser.answer(frame).await;
    }
}

fn value(device: u32, number: u32) -> LiveEvent {
    let body = json!({"path": "/3303/0/5700", "type": "FLOAT", "value": number});
    event(&format!("device-{device:04}"), LiveKind::Resource, body)
}

async fn list_of_many(browser: &Browser) -> Pages {
    let pages = Pages::serve();
    for number in 0..DEVICES {
        pages.fleet.add_device(&format!("device-{number:04}"));
    }
    browser.log_in(&pages.address, "viewer", PASSWORD).await;
    let address = format!("{}/devices?limit=500&search=device-", pages.address);
    browser.open_live(&address).await;
    pages
}

async fn shows(browser: &Browser, device: u32, number: u32) {
    let cell = format!("tr[data-endpoint=\"device-{device:04}\"] [data-path=\"/3303/0/5700\"]");
    // What nobody sees is written when it is seen.
    let into_view = format!(
        "document.querySelector('{}').scrollIntoView({{behavior: 'instant'}})",
        cell.replace('\'', "\\'")
    );
    browser.script(&into_view).await;
    browser.text(&cell, |text| text == number.to_string()).await;
}

/// Each row has a value that somebody has seen: what is written for the first time from now on is none of what the page
/// keeps for itself.
async fn all_are_seen(browser: &Browser, pages: &Pages) {
    pages.publish_all((0..500).map(|device| value(device, 1)).collect());
    let unseen = "const left = document.querySelectorAll('[data-path=\"/3303/0/5700\"]:empty'); \
        left[0]?.scrollIntoView({behavior: 'instant'}); return left.length";
    browser.until(unseen, |left| *left == json!(0)).await;
}

#[tokio::test]
async fn a_burst_holds_up_no_frame_and_leaves_nothing_behind() {
    let test = "a_burst_holds_up_no_frame_and_leaves_nothing_behind";
    let Some(browser) = Browser::start(test).await else {
        return;
    };
    let pages = list_of_many(&browser).await;
    // Once through, so that everything has been made that is made once.
    all_are_seen(&browser, &pages).await;
    browser.script("window.scrollTo(0, 0)").await;
    let before = held(&browser).await;
    browser
        .script(
            "window.tasks = []; window.counted = 0; window.handed = 0; \
             document.addEventListener('live', () => { handed += 1; }); \
             new PerformanceObserver((list) => tasks.push(...list.getEntries().map((entry) => entry.duration)))\
             .observe({entryTypes: ['longtask']}); \
             const frame = () => { counted += 1; requestAnimationFrame(frame); }; requestAnimationFrame(frame);",
        )
        .await;
    let begun = Instant::now();
    let mut pace = tokio::time::interval(Duration::from_millis(50));
    for begin in (0..BURST).step_by(AT_ONCE as usize) {
        pace.tick().await;
        let some = begin..begin + AT_ONCE;
        // Of a prime step, so that rows all over the page change.
        pages.publish_all(
            some.map(|number| value(number * 7 % DEVICES, number))
                .collect(),
        );
    }
    let (device, number) = (0..BURST)
        .rev()
        .map(|number| (number * 7 % DEVICES, number))
        .find(|(device, _)| *device < 500)
        .expect("one that is shown");
    shows(&browser, device, number).await;
    let seen = browser.script("return {tasks, counted, handed}").await;
    let tasks: Vec<f64> = serde_json::from_value(seen["tasks"].clone()).expect("durations");
    let (longest, all) = (
        tasks.iter().copied().fold(0.0, f64::max),
        tasks.iter().sum::<f64>(),
    );
    eprintln!(
        "{} frames; {} long tasks, the longest {longest} ms",
        seen["counted"],
        tasks.len()
    );
    let after = settled(&browser, |held| {
        held.nodes <= before.nodes + 50.0
            && held.listeners <= before.listeners + 5.0
            && held.heap <= before.heap + 3e6
    })
    .await;
    eprintln!("{before:?} became {after:?}");
    // How long frames take depends on what else the machine does; that what comes is handed over once for each of them
    // does not.
    let lasted = begun.elapsed().as_secs_f64();
    let busy = after.busy_s - before.busy_s;
    eprintln!("{busy:.2} s of {lasted:.2} s, {all} ms in {tasks:?}");
    eprintln!(
        "{:.2} s in scripts, {:.2} s in styles, {:.2} s in {} layouts",
        after.script_s - before.script_s,
        after.style_s - before.style_s,
        after.layout_s - before.layout_s,
        after.layouts - before.layouts
    );
    let [handed, counted] = ["handed", "counted"].map(|name| seen[name].as_u64());
    assert!(
        handed > Some(0) && handed <= counted.map(|frames| frames + 2),
        "{seen}"
    );
    browser.no_complaints().await;
    browser.close().await;
    pages.stop().await;
}

#[tokio::test]
async fn a_page_that_is_open_for_a_day_does_not_grow() {
    let test = "a_page_that_is_open_for_a_day_does_not_grow";
    let Some(browser) = Browser::start(test).await else {
        return;
    };
    let pages = list_of_many(&browser).await;
    all_are_seen(&browser, &pages).await;
    let before = held(&browser).await;
    browser
        .script(
            "window.losses = 0; const badge = document.getElementById('connection'); \
             new MutationObserver(() => { if (badge.dataset.connection === 'offline') losses += 1; })\
             .observe(badge, {attributes: true, attributeFilter: ['data-connection']});",
        )
        .await;
    let each = DAY / LOSSES;
    for loss in 0..LOSSES {
        let some = (0..each).map(|number| value(number % DEVICES, loss));
        pages.publish_all(some.collect());
        // While it is away, one more comes, which it is told when it is back.
        browser
            .script("window.dispatchEvent(new Event('offline'))")
            .await;
        browser
            .until("return window.losses", |is| *is == json!(loss + 1))
            .await;
        pages.publish_all(vec![value(7, 100_000 + loss)]);
        browser.element("#connection[data-connection=live]").await;
        shows(&browser, 7, 100_000 + loss).await;
    }
    // A node for each message would be a hundred thousand.
    let after = settled(&browser, |held| {
        held.nodes <= before.nodes + 2_000.0
            && held.listeners <= before.listeners + 20.0
            && held.heap <= before.heap + 5e6
    })
    .await;
    eprintln!("after {DAY} messages and {LOSSES} lost connections {before:?} became {after:?}");

    // A page that nobody looks at keeps nothing back, and is true again when somebody does.
    let hidden = |is: bool| {
        format!(
            "Object.defineProperty(document, 'hidden', {{configurable: true, get: () => {is}}}); \
             document.dispatchEvent(new Event('visibilitychange'))"
        )
    };
    browser.script(&hidden(true)).await;
    browser
        .script(
            "window.marked = document.querySelector('#device-list'); window.come = 0; const parse = JSON.parse; \
             JSON.parse = (text) => { \
                 const messages = [parse(text)].flat(); \
                 come += messages.some(({ kind }) => kind === 'resync') ? Infinity : messages.length; \
                 return messages; };",
        )
        .await;
    for round in 0..20 {
        pages.publish_all((0..DEVICES).map(|device| value(device, round)).collect());
    }
    // It reads no more than it would keep.
    browser
        .until("return window.come > 200", |is| *is == json!(true))
        .await;
    browser.script(&hidden(false)).await;
    // Too much came to be told one by one: the list was read anew.
    let exchanged = "return window.marked !== document.querySelector('#device-list')";
    let patience = Duration::from_secs(60);
    browser
        .until_within(patience, exchanged, |is| *is == json!(true))
        .await;
    browser.no_complaints().await;
    browser.close().await;
    pages.stop().await;
}

#[tokio::test]
async fn what_comes_while_a_part_is_fetched_is_shown_and_a_fetch_that_fails_is_made_again() {
    let test = "what_comes_while_a_part_is_fetched_is_shown_and_a_fetch_that_fails_is_made_again";
    let Some(browser) = Browser::start(test).await else {
        return;
    };
    let pages = list_of_many(&browser).await;
    // The page asks for itself: the first time nobody answers, the second time the answer takes long.
    browser
        .script(
            "window.asked = 0; const real = window.fetch; const open = new Promise((done) => { window.arrive = done; }); \
             window.fetch = async (...what) => { \
                 asked += 1; if (asked === 1) throw new TypeError('nobody'); \
                 const answer = await real(...what); if (asked === 2) { window.rendered = true; await open; } \
                 return answer; }; \
             window.marked = document.getElementById('device-list'); window.rendered = false;",
        )
        .await;
    pages.publish("device-0003", LiveKind::Registered, json!({}));
    browser
        .until("return window.rendered", |is| *is == json!(true))
        .await;
    // What the server has rendered by now does not know of this value.
    pages.publish_all(vec![value(7, 42), value(499, 43)]);
    shows(&browser, 7, 42).await;
    browser.script("window.arrive()").await;
    let exchanged = "return window.marked !== document.getElementById('device-list')";
    browser.until(exchanged, |is| *is == json!(true)).await;
    shows(&browser, 7, 42).await;
    shows(&browser, 499, 43).await;
    browser.no_complaints().await;
    browser.close().await;
    pages.stop().await;
}

#[tokio::test]
async fn a_lost_connection_is_told_and_no_line_is_lost_or_doubled() {
    let test = "a_lost_connection_is_told_and_no_line_is_lost_or_doubled";
    let Some(browser) = Browser::start(test).await else {
        return;
    };
    let mut pages = Pages::serve();
    browser.log_in(&pages.address, "viewer", PASSWORD).await;
    browser.open_live(&pages.address).await;
    let line = |number: u32| {
        let body =
            json!({"path": "/3303/0/5700", "type": "STRING", "value": format!("line {number}")});
        event(RICH, LiveKind::Resource, body)
    };
    let lines = "return Array.from(document.querySelectorAll('#activity .activity-value'), \
                 (place) => place.textContent).reverse()";
    for number in 0..3 {
        pages.publish_all(vec![line(number)]);
    }
    browser
        .until(lines, |is| *is == json!(["line 0", "line 1", "line 2"]))
        .await;

    pages.go_away().await;
    browser
        .element("#connection[data-connection=offline]")
        .await;
    browser
        .text("#connection", |text| text == "no connection")
        .await;
    for number in 3..6 {
        pages.publish_all(vec![line(number)]);
    }
    pages.come_back();
    browser.element("#connection[data-connection=live]").await;
    pages.publish_all(vec![line(6)]);
    let all: Vec<String> = (0..7).map(|number| format!("line {number}")).collect();
    browser.until(lines, |is| *is == json!(all)).await;
    browser.no_complaints().await;
    browser.close().await;
    pages.stop().await;
}

#[tokio::test]
async fn a_page_of_a_device_that_is_forgotten_says_so_at_once() {
    let test = "a_page_of_a_device_that_is_forgotten_says_so_at_once";
    let Some(browser) = Browser::start(test).await else {
        return;
    };
    let pages = Pages::serve();
    browser.log_in(&pages.address, "operator", PASSWORD).await;
    browser.open_live(&pages.device(RICH)).await;
    pages.publish(RICH, LiveKind::Forgotten, json!({}));
    browser
        .text("#gone", |text| text.contains("was forgotten"))
        .await;
    let disabled = "return document.querySelector('[data-action=operate]').disabled";
    assert_eq!(browser.script(disabled).await, json!(true));
    browser.no_complaints().await;
    // It is back: the page begins anew.
    browser.script("window.marked = true").await;
    pages.publish(RICH, LiveKind::Registered, json!({}));
    browser
        .until("return window.marked ?? null", |is| *is == Json::Null)
        .await;
    browser.close().await;
    pages.stop().await;
}
