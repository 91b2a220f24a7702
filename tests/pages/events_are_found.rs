//! The page of events: filters by device, rule, severity, type and time.

use actix_web::http::StatusCode;

use super::dashboard::{Browser, password_hash};
use super::fleet::{Fleet, RICH};

fn rows(page: &str) -> usize {
    page.matches("data-label=\"Event\"").count()
}

#[actix_web::test]
async fn by_device_rule_severity_and_type() {
    let mut browser = Browser::of("viewer", Fleet::new(password_hash())).await;
    let all = browser.get("/events").await;
    assert_eq!(rows(&all.text), 2, "{}", all.text);
    let of_rules = browser.get("/events?severity=info").await;
    assert_eq!(rows(&of_rules.text), 1);
    assert!(of_rules.text.contains("/65001/0/3 has changed"));
    // What was chosen stays chosen.
    assert!(of_rules.text.contains("<option value=\"info\" selected>"));

    let device = RICH.replace(':', "%3A");
    let of_one = browser.get(&format!("/events?endpoint={device}")).await;
    assert_eq!(rows(&of_one.text), 2);
    let topic = format!("data-topic=\"endpoint:{RICH}\"");
    assert!(of_one.text.contains(&topic), "{}", of_one.text);
    let typed = browser.get("/events?type=3303&hours=1").await;
    assert_eq!(rows(&typed.text), 1);
    let made = browser
        .get("/events?rule=%3Cb%3Etoo%20warm%3C%2Fb%3E&severity=critical")
        .await;
    assert_eq!(rows(&made.text), 1);
    assert!(!made.text.contains("<b>too warm"), "{}", made.text);

    // A rule that is no more is still something to look for.
    let gone = browser.get("/events?rule=long+gone").await;
    assert_eq!((gone.status, rows(&gone.text)), (StatusCode::OK, 0));
    assert!(gone.text.contains("long gone (removed)"), "{}", gone.text);
    assert!(gone.text.contains("No such event"));
    let nobody = browser.get("/events?endpoint=nobody").await;
    assert_eq!((nobody.status, rows(&nobody.text)), (StatusCode::OK, 0));
    assert!(nobody.text.contains("No device has this name"));
    for bad in ["/events?severity=dire", "/events?hours=some"] {
        let page = browser.get(bad).await;
        assert_eq!(page.status, StatusCode::BAD_REQUEST, "{bad}");
    }
    // The rules lead to their events.
    let rules = browser.get("/events/rules").await;
    assert!(rules.text.contains("href=\"/events?rule="), "{}", rules.text);
}
