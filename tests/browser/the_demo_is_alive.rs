//! Somebody starts the demo, logs in, and watches the temperature of the simulated device change
//! without loading the page again.

use super::demo::Demo;
use crate::support::browser::Browser;

const VALUE: &str = "[data-value=\"/3303/0/5700\"] .value";
const ROW: &str = "tr[data-resource=\"/3303/0/5700\"]";

#[tokio::test]
async fn a_temperature_changes_on_the_page_without_a_reload() {
    let Some(browser) = Browser::start("a_temperature_changes_on_the_page_without_a_reload").await
    else {
        return;
    };
    let demo = Demo::start();
    demo.log_in(&browser).await;

    // The device appears in the list by itself, however long it takes to register.
    let page = demo.find_device(&browser).await;

    // Temperature and humidity move in the list.
    browser.script("window.neverLoadedAgain = true").await;
    for path in ["/3303/0/5700", "/3304/0/5700"] {
        let cell = format!("tr[data-endpoint] [data-path=\"{path}\"]");
        let first = browser
            .text(&cell, |text| text.parse::<f64>().is_ok())
            .await;
        browser
            .text(&cell, |text| text.parse::<f64>().is_ok() && text != first)
            .await;
    }
    let kept = browser
        .script("return window.neverLoadedAgain === true")
        .await;
    assert_eq!(kept, true, "the list was loaded again");

    browser.open(&page).await;
    browser.element(ROW).await;

    // A page that is loaded again forgets this.
    browser.script("window.neverLoadedAgain = true").await;
    let observed = format!("{ROW}[data-observed=\"true\"]");
    let by_template = browser
        .script(&format!("return !!document.querySelector('{observed}')"))
        .await;
    if by_template != true {
        let button = format!("{ROW} [data-action=\"observe\"]");
        browser.press(&button).await;
        browser.element(&observed).await;
    }
    let first = browser.text(VALUE, |text| !text.is_empty()).await;
    let second = browser
        .text(VALUE, |text| !text.is_empty() && text != first)
        .await;
    assert!(first.parse::<f64>().is_ok() && second.parse::<f64>().is_ok());
    let kept = browser
        .script("return window.neverLoadedAgain === true")
        .await;
    assert_eq!(kept, true, "the page was loaded again");

    // The chart draws it.
    browser.element("#chart canvas").await;
    browser.text("#chart-last", |text| text != "–").await;
    browser.close().await;
}
