//! The page of operations: filters by status, kind and device, and what a waiting one waits for.

use actix_web::http::StatusCode;

use super::dashboard::{Browser, password_hash};
use super::fleet::{Fleet, GATEWAY, RICH};

fn rows(page: &str) -> usize {
    page.matches("data-label=\"Operation\"").count()
}

#[actix_web::test]
async fn by_status_kind_and_device() {
    let fleet = Fleet::new(password_hash());
    let mut browser = Browser::of("operator", fleet).await;
    let all = browser.get("/operations").await;
    assert!(rows(&all.text) > 3, "{}", all.text);
    for (kind, others) in [("read", "data-repeat"), ("write", "data-repeat")] {
        let page = browser.get(&format!("/operations?kind={kind}")).await;
        let found = rows(&page.text);
        assert!(found > 0 && found < rows(&all.text), "{kind}");
        let named = format!("<span class=\"fw-medium\">{kind}</span>");
        assert_eq!(page.text.matches(&named).count(), found, "{kind}");
        assert!(page.text.contains(others));
        // The tabs keep the filter.
        let tab = format!("/operations?status=QUEUED&amp;kind={kind}");
        assert!(page.text.contains(&tab), "{}", page.text);
    }
    let encoded = RICH.replace(':', "%3A");
    let page = browser.get(&format!("/operations?device={encoded}")).await;
    let links = format!("href=\"/devices/{encoded}\"");
    assert_eq!(page.text.matches(&links).count(), rows(&page.text));
    let nobody = browser.get("/operations?device=nobody").await;
    assert_eq!((nobody.status, rows(&nobody.text)), (StatusCode::OK, 0));
    assert!(nobody.text.contains("No device has this name"));
    let none = browser
        .get("/operations?kind=read_composite&status=expired")
        .await;
    assert!(none.text.contains("No such operation"), "{}", none.text);
    for bad in ["/operations?kind=jump", "/operations?status=lost"] {
        assert_eq!(
            browser.get(bad).await.status,
            StatusCode::BAD_REQUEST,
            "{bad}"
        );
    }
    let mut viewer = Browser::of("viewer", Fleet::new(password_hash())).await;
    assert!(!viewer.get("/operations").await.text.contains("data-repeat"));
}

#[actix_web::test]
async fn a_device_of_a_gateway_says_that_nothing_is_sent_to_it() {
    let fleet = Fleet::new(password_hash());
    fleet.add_gateway_device(GATEWAY);
    let mut browser = Browser::of("operator", fleet).await;
    let list = browser.get("/devices?search=through").await.text;
    assert!(list.contains("data-state=\"registered\""), "{list}");
    assert!(list.contains(">gateway</span>"), "{list}");
    let device = browser.get(&format!("/devices/{GATEWAY}")).await.text;
    for told in [
        "Registered through a gateway since",
        "Nothing can be sent to it from here",
        "1 operation waits for it to register here",
        "waits for the device to register here: it is registered through a gateway",
    ] {
        assert!(device.contains(told), "{told}: {device}");
    }
    let page = browser
        .get(&format!("/operations?status=QUEUED&device={GATEWAY}"))
        .await;
    assert!(page.text.contains("nothing can be sent to it from here"));
    assert!(page.text.contains("data-cancel="));
}
