//! Thousands of devices are shown a page at a time, each exactly once, and the search is kept.

use std::collections::BTreeSet;

use super::dashboard::{Browser, password_hash};
use super::fleet::Fleet;

#[actix_web::test]
async fn every_device_is_on_one_page_of_the_list() {
    let fleet = Fleet::empty(password_hash());
    for number in 0..120 {
        fleet.add_device(&format!("lamp-{number:03}&more"));
        fleet.add_device(&format!("meter-{number:03}"));
    }
    let mut browser = Browser::of("viewer", fleet).await;
    let mut address = "/devices?search=lamp&registered=true".to_owned();
    let mut seen = BTreeSet::new();
    let mut pages = 0;
    loop {
        let page = browser.get(&address).await.text;
        pages += 1;
        for (at, found) in page.match_indices("data-endpoint=\"") {
            let name = page[at + found.len()..].split('"').next();
            assert!(seen.insert(name.map(str::to_owned)), "{name:?} twice");
        }
        let Some((_, link)) = page.split_once("rel=\"next\" href=\"") else {
            break;
        };
        let link = link.split('"').next().expect("a closing quote");
        address = link.replace("&amp;", "&");
        assert!(address.contains("search=lamp"), "{address}");
    }
    assert_eq!((pages, seen.len()), (3, 120));
}

#[actix_web::test]
async fn an_empty_fleet_is_told_where_devices_find_the_server() {
    for path in ["/", "/devices"] {
        let mut browser = Browser::of("viewer", Fleet::empty(password_hash())).await;
        let page = browser.get(path).await.text.replace("&#x2F;", "/");
        for part in [
            "No device has registered yet",
            "data-address=\"coap\">coap://",
            "data-address=\"coaps\">coaps://",
            "flownexus simulate --server coap://",
        ] {
            assert!(page.contains(part), "{path}: {part}: {page}");
        }
        let mut browser = Browser::of("viewer", Fleet::new(password_hash())).await;
        let page = browser.get(path).await.text;
        assert!(!page.contains("No device has registered yet"), "{path}");
    }
    let mut browser = Browser::of("viewer", Fleet::empty(password_hash())).await;
    let page = browser.get("/devices?search=nothing").await.text;
    assert!(page.contains("No device matches"), "{page}");
}
