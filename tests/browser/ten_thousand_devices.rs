//! The list of devices over a real store with ten thousand of them: searched, sorted, paged and chosen.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use flownexus::config::Settings;
use flownexus::domain::{
    AnnouncedObject, Doer, Lwm2mVersion, Node, Path, Peer, Registration, RegistrationId, Timestamp,
    Value,
};
use flownexus::store::{Change, Commit, FleetWriter as _, Role, Store, User, UserStore as _};
use serde_json::{Value as Json, json};

use crate::pages::dashboard::password_hash;
use crate::pages::fleet::PASSWORD;
use crate::support::browser::Browser;

use super::pages::Pages;

const DEVICES: u32 = 10_000;

/// Registrations of one commit.
const AT_ONCE: u32 = 500;

#[tokio::test]
async fn they_are_searched_sorted_paged_and_chosen() {
    let Some(browser) = Browser::start("they_are_searched_sorted_paged_and_chosen").await else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let store = filled(folder.path()).await;
    let pages = Pages::serve_store(store.clone());
    browser.log_in(&pages.address, "operator", PASSWORD).await;
    browser.open(&format!("{}/devices", pages.address)).await;
    browser
        .text("#device-count", |text| text == "10000 devices")
        .await;
    let first_row = browser
        .script("return performance.getEntriesByType('navigation')[0].domInteractive")
        .await;
    eprintln!("10,000 devices: the first row is there after {first_row} ms");
    assert_eq!(names(&browser).await.len(), 50);

    // Page by page to the second one and back, in the order of the address.
    browser.press("a[rel=next]").await;
    browser.element("a[rel=prev]").await;
    assert_eq!(names(&browser).await[0], "device-00050");
    browser.press("a[rel=prev]").await;
    browser.element("tr[data-endpoint=device-00000]").await;
    browser.press(".col-firmware a").await;
    browser
        .element("th.col-firmware[aria-sort=ascending]")
        .await;
    browser.press(".col-firmware a").await;
    browser
        .element("th.col-firmware[aria-sort=descending]")
        .await;
    let firmware = "return document.querySelector('#device-list td.col-firmware').textContent";
    assert_eq!(browser.script(firmware).await, "9.0");

    // A part of a name, and a filter beside it.
    let found = format!("{}/devices?search=DEVICE-0123&firmware=3.0", pages.address);
    browser.open(&found).await;
    browser
        .text("#device-count", |text| text == "1 device matches")
        .await;
    assert_eq!(names(&browser).await, ["device-01233"]);

    // Every device is on one of the pages of 500, once.
    let mut address = format!("{}/devices?limit=500&search=device-0", pages.address);
    let mut seen = HashSet::new();
    loop {
        browser.open(&address).await;
        browser.element("#device-list").await;
        for name in names(&browser).await {
            assert!(seen.insert(name.clone()), "{name} is there twice");
        }
        let next = "return document.querySelector('a[rel=next]')?.href ?? null";
        match browser.script(next).await {
            Json::String(next) => address = next,
            _ => break,
        }
    }
    assert_eq!(seen.len(), DEVICES as usize);

    // A range by Shift, and then all that match.
    browser
        .open_live(&format!("{}/devices?search=device-001", pages.address))
        .await;
    let click = |row: u32, shift: bool| {
        format!(
            "document.querySelectorAll('[data-select-device]')[{row}]\
             .dispatchEvent(new MouseEvent('click', {{bubbles: true, cancelable: true, shiftKey: {shift}}}))"
        )
    };
    browser.script(&click(2, false)).await;
    browser.script(&click(6, true)).await;
    browser
        .text("#selection-count", |text| text == "5 devices selected")
        .await;
    browser.press("#select-matching").await;
    browser
        .text("#selection-count", |text| {
            text == "all 100 that match selected"
        })
        .await;
    browser.press("[data-bulk=tag]").await;
    browser
        .element("#bulk-tags")
        .await
        .send_keys("attic")
        .await
        .expect("typing works");
    browser.press("#bulk-submit").await;
    browser
        .text("#bulks", |text| text.contains("0 of 100 over"))
        .await;
    let asked = "return fetch('/api/v1/bulk-operations/1/devices?limit=1000')\
                 .then((answer) => answer.json()).then((page) => page.items.map((item) => item.endpoint))";
    let asked = browser.script(asked).await;
    let asked = asked.as_array().expect("names");
    assert_eq!((asked.len(), &asked[99]), (100, &json!("device-00199")));

    browser.no_complaints().await;

    // Columns that one does not want are remembered.
    let hides = "document.querySelector('[data-column=humidity]').click()";
    browser.script(hides).await;
    browser.open(&format!("{}/devices", pages.address)).await;
    browser.element(".device-table.without-humidity").await;
    browser.no_complaints().await;
    browser.close().await;
    pages.stop().await;
    store.close().await;
}

/// The names on the page, in order.
async fn names(browser: &Browser) -> Vec<String> {
    let script = "return Array.from(document.querySelectorAll('#device-list tr[data-endpoint]'), \
                  (row) => row.dataset.endpoint)";
    let names = browser.script(script).await;
    serde_json::from_value(names).expect("names")
}

async fn filled(folder: &std::path::Path) -> Store {
    let mut settings = Settings::defaults();
    settings.data_dir = folder.to_owned();
    let store = Store::open(&settings, Arc::new(|_| {})).await;
    let store = store.expect("the store opens");
    let operator = User::new("operator", Role::Operator, password_hash().to_owned());
    store
        .add(operator, Doer::command_line())
        .await
        .expect("a person");
    for begin in (0..DEVICES).step_by(AT_ONCE as usize) {
        let mut changes = Vec::new();
        for number in begin..begin + AT_ONCE {
            changes.extend(registered(&store, number));
        }
        let commit = Commit {
            changes,
            publish: Vec::new(),
        };
        store.commit(commit).await.expect("committed");
    }
    store
}

fn registered(store: &Store, number: u32) -> [Change; 2] {
    let now = Timestamp::system();
    let id = store.ids().endpoint();
    let name = format!("device-{number:05}");
    let registration = Registration {
        id: RegistrationId::from_text(&name),
        endpoint_id: id,
        endpoint: flownexus::domain::EndpointName::new(&name).expect("a name"),
        peer: Peer::udp(([192, 0, 2, 1], 5683).into()),
        lwm2m_version: Lwm2mVersion::V1_1,
        binding: "U".into(),
        queue_mode: number.is_multiple_of(2),
        lifetime: Duration::from_secs(86_400),
        sms_number: None,
        root: String::new(),
        objects: vec![AnnouncedObject {
            path: Path::instance(3, 0),
            version: None,
        }]
        .into(),
        formats: Vec::new(),
        attributes: BTreeMap::new(),
        warnings: Vec::new(),
        raw_links: "</3/0>".into(),
        registered_at: now,
        updated_at: now,
        expires_at: now.plus(Duration::from_secs(86_400)),
        message_id_mark: 0,
    };
    let version = Value::String(format!("{}.0", number % 10));
    let told = Change::Resources {
        endpoint_id: id,
        nodes: vec![Node::new(Path::resource(3, 0, 3), version)],
        at: now,
        stale: false,
    };
    [Change::Register(Box::new(registration)), told]
}
