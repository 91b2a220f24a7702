//! The card Protocol of a device: nothing until it is opened, then the messages in words and live; a line opens to
//! what is in it, by the keyboard too.

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
    demo.log_in(&browser).await;
    let page = demo.find_device(&browser).await;
    browser.open(&page).await;
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
    browser.until(newest, |now| *now != first).await;

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
    browser.until(newest, |now| *now != held).await;

    // Only what is asked for.
    let choose = "const kind = document.querySelector('#lens-kind'); \
        kind.value = 'registration'; kind.dispatchEvent(new Event('change'))";
    browser.script(choose).await;
    let only = "return [...document.querySelectorAll('.lens-words')]\
        .every((words) => /regist|Update/i.test(words.textContent))";
    browser.until(only, |all| *all == true).await;
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
