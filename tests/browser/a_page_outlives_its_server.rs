//! The server is killed while pages are open: they say so, and go on by themselves once it is back.

use std::time::Duration;

use serde_json::{Value as Json, json};

use crate::support::browser::Browser;
use crate::support::device::{ScriptedDevice, TEXT};
use crate::support::server::Server;
use flownexus::coap::Code;

const METER: &str = "meter";

/// Pages try again after half a minute at the latest, and a start takes its time on a busy machine.
const LONG: Duration = Duration::from_secs(60);

/// What the meter has sent as the overview tells it, oldest first.
const LINES: &str = "return Array.from(document.querySelectorAll('#activity tr')) \
    .filter((row) => row.querySelector('[title=\"/3303/0/5700\"]')) \
    .map((row) => row.querySelector('.activity-value').textContent).reverse()";

/// What the page of the meter shows.
const VALUE: &str =
    "return document.querySelector('[data-value=\"/3303/0/5700\"] .value').textContent";

/// The page is the one that was loaded before, and its login is still good.
async fn goes_on(browser: &Browser) {
    assert_eq!(
        browser.script("return window.neverLoadedAgain").await,
        json!(true),
        "the page was loaded again"
    );
    let asked = "const told = arguments[arguments.length - 1]; \
        fetch('/account').then((answer) => told([answer.status, answer.redirected]), (why) => told(String(why)));";
    assert_eq!(browser.answer(asked).await, json!([200, false]));
    assert_eq!(
        browser
            .script("return document.getElementById('login-ended')")
            .await,
        Json::Null
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_goes_on_after_its_server_was_killed() {
    let Some(browser) = Browser::start("a_page_goes_on_after_its_server_was_killed").await else {
        return;
    };
    let mut server = Server::start().await;
    let mut device = ScriptedDevice::new(METER, server.coap());
    device.register_now(3600, "</3303/0>");
    let observe = device.expect_request(Code::GET, "/3303/0/5700");
    device.answer_observe(&observe, 1, TEXT, b"1");
    let address = server.url("");
    let address = address.trim_end_matches('/').to_owned();
    browser
        .log_in_first(&address, "admin", &server.admin_password())
        .await;
    let pages = [
        (format!("{address}/"), LINES),
        (format!("{address}/devices/{METER}"), VALUE),
    ];
    let mut number = 1;
    let mut next = |device: &mut ScriptedDevice| {
        number += 1;
        // Returns once it is acknowledged, and so on disk.
        device.notify(observe.token, number, TEXT, number.to_string().as_bytes());
        number.to_string()
    };
    for (page, shown) in pages {
        let all = |lines: &[String]| match shown {
            LINES => json!(lines),
            _ => json!(lines.last()),
        };
        browser.open_live(&page).await;
        browser.script("window.neverLoadedAgain = true").await;
        let mut lines = Vec::new();
        for _ in 0..2 {
            // One after the other: of several within `live.gather_ms` the overview is told the newest.
            lines.push(next(&mut device));
            browser.until(shown, |is| *is == all(&lines)).await;
        }

        server.kill();
        browser
            .text("#connection", |text| text == "no connection")
            .await;
        server.restart().await;
        // Perhaps before the page is back: it asks for what it has missed.
        lines.push(next(&mut device));
        browser
            .until_within(LONG, shown, |is| *is == all(&lines))
            .await;
        browser.element("#connection[data-connection=live]").await;
        lines.push(next(&mut device));
        browser.until(shown, |is| *is == all(&lines)).await;
        goes_on(&browser).await;
        browser.no_complaints().await;
    }
    browser.close().await;
}
