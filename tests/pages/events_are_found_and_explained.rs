//! The page of events: filters, values by their names, and the way from an event to what it is about.

use actix_web::http::StatusCode;

use super::dashboard::{Browser, password_hash};
use super::fleet::{ASLEEP, Fleet, RICH};

fn rows(page: &str) -> usize {
    page.matches("data-label=\"Event\"").count()
}

#[actix_web::test]
async fn by_device_and_kind() {
    let mut browser = Browser::of("viewer", Fleet::new(password_hash())).await;
    let all = browser.get("/events").await.text;
    assert_eq!(rows(&all), 2, "{all}");
    // What there is to choose from: what is in sight, what rules make, what is lost.
    for choice in [
        r#"<option value="3303">Temperature</option>"#,
        r#"<option value="observation_lost">Observation lost</option>"#,
    ] {
        assert!(all.contains(choice), "{choice}: {all}");
    }
    let one = browser.get("/events?type=3303").await.text;
    assert_eq!(rows(&one), 1, "{one}");
    assert!(one.contains(r#"<option value="3303" selected>"#), "{one}");
    let encoded = RICH.replace(':', "%3A");
    let of_one = browser.get(&format!("/events?endpoint={encoded}")).await;
    assert_eq!(rows(&of_one.text), 2);
    // Each line leads to its device.
    let link = format!("href=\"/devices/{encoded}\"");
    assert!(of_one.text.matches(&link).count() > 2, "{}", of_one.text);
    for (address, told) in [
        (format!("/events?endpoint={ASLEEP}"), "No such event"),
        ("/events?type=nothing".to_owned(), "No such event"),
        (
            "/events?endpoint=nobody".to_owned(),
            "No device has this name",
        ),
        ("/events?endpoint=%00".to_owned(), "No device has this name"),
    ] {
        let page = browser.get(&address).await;
        assert_eq!((page.status, rows(&page.text)), (StatusCode::OK, 0));
        assert!(page.text.contains(told), "{address}: {}", page.text);
        assert!(page.text.contains(r#"href="/events">Clear"#), "{address}");
    }
}

#[actix_web::test]
async fn by_rule_severity_and_time() {
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
    assert!(
        rules.text.contains("href=\"/events?rule="),
        "{}",
        rules.text
    );
}

#[actix_web::test]
async fn with_the_time_and_a_chart_around_it() {
    let mut browser = Browser::of("viewer", Fleet::new(password_hash())).await;
    let page = browser.get("/events/7").await.text;
    // When it was, for those who cannot hover.
    assert!(page.contains(" UTC)"), "{page}");
    let encoded = RICH.replace(':', "%3A");
    let chart = format!("/charts?series=%2F3303%2F0%2F5700%40{encoded}&amp;from=");
    assert!(page.contains(&chart), "{page}");
    // A text has no chart.
    assert_eq!(page.matches("around this event").count(), 1, "{page}");
}
