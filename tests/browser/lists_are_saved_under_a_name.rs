//! Somebody saves what the list of devices shows, finds it in the menu, and removes it.

use serde_json::{Value as Json, json};

use crate::pages::fleet::PASSWORD;
use crate::support::browser::Browser;

use super::pages::Pages;

const SAVED: &str = "return Array.from(document.querySelectorAll('#saved-filters a.dropdown-item'), \
    (link) => link.textContent.trim().replace(/\\s+/g, ' '))";

const COLUMNS: &str = "return Array.from(document.querySelectorAll('.device-table th')) \
    .filter((head) => head.checkVisibility()).map((head) => head.className.match(/col-(\\w+)/)[1])";

async fn save(browser: &Browser, name: &str, shared: bool) {
    let is_open = "return document.getElementById('saved-menu').open";
    if browser.script(is_open).await != json!(true) {
        browser.press("#saved-menu > summary").await;
    }
    let field = browser.element("#filter-name").await;
    field.send_keys(name).await.expect("typing works");
    if shared {
        browser.press("#save-filter [name=shared]").await;
    }
    browser.press("#save-filter button").await;
}

#[tokio::test]
async fn a_list_is_saved_found_again_and_removed() {
    let Some(browser) = Browser::start("a_list_is_saved_found_again_and_removed").await else {
        return;
    };
    let pages = Pages::serve();
    for number in 0..3 {
        pages.fleet.add_device(&format!("device-{number}"));
    }
    browser.log_in(&pages.address, "operator", PASSWORD).await;
    let list = format!("{}/devices?search=device-&sort=-last_seen", pages.address);
    browser.open_live(&list).await;
    // Columns that the browser remembers are saved with it.
    browser.press("#column-menu > summary").await;
    for column in [
        "tags", "humidity", "address", "lwm2m", "lifetime", "firmware",
    ] {
        browser.press(&format!("[data-column={column}]")).await;
    }
    let shown = json!(["name", "state", "seen", "temperature"]);
    browser.until(COLUMNS, |is| *is == shown).await;
    save(&browser, "Newest <first>", false).await;
    browser
        .until(SAVED, |is| *is == json!(["Newest <first>"]))
        .await;
    save(&browser, "For all", true).await;
    browser
        .until(SAVED, |is| {
            *is == json!(["For all shared", "Newest <first>"])
        })
        .await;
    browser.no_complaints().await;

    // On a phone, too, all of the menu is on the screen.
    let phone = json!({"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": true});
    browser
        .tools("Emulation.setDeviceMetricsOverride", phone)
        .await;
    let inside = "const box = document.querySelector('.saved-filters').getBoundingClientRect(); \
        return box.width > 200 && box.left >= 0 && box.right <= 390";
    browser.until(inside, |is| *is == json!(true)).await;
    browser
        .tools("Emulation.clearDeviceMetricsOverride", json!({}))
        .await;

    // Wherever the browser remembers other columns, the saved ones are shown.
    browser.script("localStorage.clear()").await;
    browser
        .open_live(&format!("{}/devices", pages.address))
        .await;
    let all = browser.script(COLUMNS).await;
    assert!(all.as_array().is_some_and(|all| all.len() > 6), "{all}");
    browser.press("#saved-menu > summary").await;
    browser
        .press("#saved-filters a.dropdown-item:not([href$=x])")
        .await;
    browser.element("#saved-filters a[aria-current=page]").await;
    browser.element("th.col-seen[aria-sort=descending]").await;
    assert_eq!(browser.script(COLUMNS).await, shown);
    let search = "return document.getElementById('search').value";
    assert_eq!(browser.script(search).await, json!("device-"));
    // A column that is added here is in the address, and stays when the list is sorted.
    browser.press("#column-menu > summary").await;
    browser.press("[data-column=model]").await;
    browser
        .until("return location.search", |is| {
            is.as_str().is_some_and(|query| query.contains("model"))
        })
        .await;
    let turned = "return document.querySelector('th.col-seen a').href";
    browser
        .until(turned, |is| {
            is.as_str().is_some_and(|address| address.contains("model"))
        })
        .await;

    browser.script("window.confirm = () => true").await;
    browser.press("#saved-menu > summary").await;
    browser
        .press("[data-remove-filter][data-name='Newest <first>']")
        .await;
    browser
        .until(SAVED, |is| *is == json!(["For all shared"]))
        .await;
    browser.no_complaints().await;

    // Somebody else sees what is shared, and does not remove it.
    browser
        .driver
        .delete_all_cookies()
        .await
        .expect("logged out");
    browser.log_in(&pages.address, "viewer", PASSWORD).await;
    browser
        .open_live(&format!("{}/devices", pages.address))
        .await;
    assert_eq!(browser.script(SAVED).await, json!(["For all of operator"]));
    let buttons = "return document.querySelector('[data-remove-filter], [name=shared]')";
    assert_eq!(browser.script(buttons).await, Json::Null);
    browser.close().await;
    pages.stop().await;
}
