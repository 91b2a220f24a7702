//! The card Protocol of a device: nothing until it is opened, then the messages in words and live; a line opens to
//! what is in it, by the keyboard too.

use serde_json::Value as Json;
use thirtyfour::Key;

use super::demo::Demo;
use crate::support::browser::Browser;

const COUNT: &str = "return document.querySelectorAll('.lens-row').length";

#[tokio::test]
async fn messages_are_listed_opened_filtered_and_held() {
    let Some(browser) = Browser::start("messages_are_listed_opened_filtered_and_held").await else {
        return;
    };
    let demo = Demo::start();
    browser
        .log_in_first(&demo.address, "admin", &demo.password)
        .await;
    browser.open(&format!("{}/devices", demo.address)).await;
    let link = browser.element("tr[data-endpoint] a.stretched").await;
    let page = link.attr("href").await.expect("a link").expect("a link");
    browser.open(&format!("{}{page}", demo.address)).await;
    // The demo has given the device templates; its page is there.
    browser.element("#lens > summary").await;
    assert_eq!(browser.script(COUNT).await, 0, "nothing was asked for yet");

    browser.press("#lens > summary").await;
    browser
        .text("#lens-lines", |text| text.contains("The device reports"))
        .await;
    // It goes on by itself.
    let newest = "return Number(document.querySelector('.lens-row').dataset.message)";
    let first = browser.script(newest).await;
    until(&browser, "something new", newest, |now| *now != first).await;

    // Held still, nothing moves; by the keyboard a line opens, with options and bytes.
    browser.press("#lens-pause").await;
    let held = browser.script(newest).await;
    browser
        .text("#lens-pause", |text| text.contains("more came"))
        .await;
    assert_eq!(browser.script(newest).await, held);
    let row = format!(".lens-row[data-message='{held}']");
    let summary = browser.element(&format!("{row} > summary")).await;
    summary.focus().await.expect("focus");
    summary.send_keys(Key::Enter + "").await.expect("a key");
    let body = browser
        .text(&format!("{row} .lens-body"), |text| text.contains("0000  "))
        .await;
    for part in ["Message", "Size", "Address"] {
        assert!(body.contains(part), "{part}: {body}");
    }
    browser.press("#lens-pause").await;
    until(&browser, "it goes on", newest, |now| *now != held).await;

    // Only what is asked for.
    let choose = "const kind = document.querySelector('#lens-kind'); \
        kind.value = 'registration'; kind.dispatchEvent(new Event('change'))";
    browser.script(choose).await;
    let only = "return [...document.querySelectorAll('.lens-words')]\
        .every((words) => /regist|Update/i.test(words.textContent))";
    until(&browser, "registrations alone", only, |all| *all == true).await;
    let search = browser.element("#lens-search").await;
    search.send_keys("nothing says this").await.expect("text");
    browser
        .text("#lens-lines", |text| text.contains("No such messages"))
        .await;

    // What it costs stands beside it, and on the overview.
    let cost = browser
        .text("#traffic", |text| text.contains("from the device"))
        .await;
    assert!(cost.contains("data"), "{cost}");
    browser.open(&demo.address).await;
    let today = browser
        .text("#traffic-today", |text| !text.is_empty())
        .await;
    assert_ne!(today, "0 bytes");
    browser.close().await;
}

/// Asks a script again and again until its answer is right.
async fn until(browser: &Browser, what: &str, script: &str, right: impl Fn(&Json) -> bool) {
    crate::support::server::eventually(what, crate::support::server::SOON, async || {
        right(&browser.script(script).await).then_some(())
    })
    .await;
}
