//! The pages of rollouts: how they stand, what became of their devices, and who may do something about it.

use actix_web::http::StatusCode;
use flownexus::domain::{RolloutState, TargetStatus};

use super::dashboard::{Browser, password_hash};
use super::fleet::{Fleet, RICH, RUNNING};

#[actix_web::test]
async fn the_list_says_how_each_stands() {
    let mut viewer = Browser::of("viewer", Fleet::new(password_hash())).await;
    let page = viewer.get("/rollouts").await.text;
    for state in RolloutState::ALL {
        let badge = format!("data-stands=\"{}\"", state.name());
        assert!(page.contains(&badge), "{badge}: {page}");
    }
    for part in [
        "data-rollout=\"3\"",
        "&lt;b&gt;autumn 3",
        "2.0.0 for every device",
        "waits for the device &lt;b&gt;",
        "&lt;b&gt;2 of 3 devices failed",
        "by &lt;b&gt;ada",
        "aria-label=\"Of 12: 1 succeeded, 1 unchanged, 1 rolled back",
        "id=\"rollouts\" data-refresh data-topic=\"fleet\"",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert!(!page.contains("<b>ada") && !page.contains("<b>autumn"));
    let (newest, oldest) = (
        page.find("data-rollout=\"7\""),
        page.find("data-rollout=\"1\""),
    );
    assert!(newest < oldest, "newest first");
    assert!(!page.contains("id=\"rollout-form\""), "viewers make none");
    let older = viewer.get("/rollouts?before=2").await.text;
    assert!(older.contains("data-rollout=\"1\"") && !older.contains("data-rollout=\"2\""));

    let mut operator = Browser::of("operator", Fleet::new(password_hash())).await;
    let page = operator.get("/rollouts").await.text;
    for part in [
        "id=\"rollout-form\"",
        "data-version=\"1.0.0\" data-devices=\"urn:imei:35* #lab\"",
        "placeholder=\"50\"",
        "max=\"10000\"",
        "value=\"roll_back\" selected",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    let mut operator = Browser::of("operator", Fleet::empty(password_hash())).await;
    let page = operator.get("/rollouts").await.text;
    assert!(page.contains("No rollouts"), "{page}");
    assert!(page.contains("There is no image yet"), "{page}");
    assert!(!page.contains("id=\"rollout-form\"") && !page.contains("data-follow"));
}

#[actix_web::test]
async fn the_page_of_one_says_what_became_of_its_devices() {
    let mut operator = Browser::of("operator", Fleet::new(password_hash())).await;
    let page = operator.get(&format!("/rollouts/{RUNNING}")).await.text;
    for status in TargetStatus::ALL {
        let part = format!("data-stands=\"{}\"", status.name());
        assert!(page.contains(&part), "{part}: {page}");
    }
    for part in [
        "data-group=\"2\"",
        "2 devices",
        "(10 % of all)",
        "reached its threshold",
        "Goes well from 90 % succeeded on; too many failures: more than 10 %",
        &format!("href=\"/devices/{}#firmware\"", RICH.replace(':', "%3A")),
        "the device &lt;b&gt;fell silent",
        "update 71",
        "&lt;b&gt;1.0",
        "22:00 to 05:00 in Europe/Berlin on sat",
        "image 9, which is not there any more",
        "group “&lt;b&gt;canary” passed",
        "id=\"do-pause\"",
        "id=\"do-stop\"",
        "id=\"do-roll-back\"",
        "id=\"rollout\" data-rollout=\"3\" data-refresh data-topic=\"rollout:3\"",
    ] {
        let plain = |text: &str| text.replace("&#x2F;", "/");
        assert!(plain(&page).contains(part), "{part}: {page}");
    }
    assert!(!page.contains("<b>"), "{page}");
    assert!(!page.contains("id=\"do-start\"") && !page.contains("id=\"do-remove\""));

    let mut viewer = Browser::of("viewer", Fleet::new(password_hash())).await;
    let page = viewer.get(&format!("/rollouts/{RUNNING}")).await.text;
    assert!(
        page.contains("fell silent") && !page.contains("data-do="),
        "{page}"
    );
}

#[actix_web::test]
async fn what_is_offered_is_what_can_be_done() {
    let fleet = Fleet::new(password_hash());
    let mut operator = Browser::of("operator", fleet).await;
    for (id, offered) in [
        (1, vec!["start", "stop", "remove"]),
        (2, vec!["resume", "roll-back", "stop"]),
        (3, vec!["pause", "roll-back", "stop"]),
        (4, vec!["pause", "stop"]),
        (5, vec!["roll-back", "remove"]),
        (6, vec!["remove"]),
        (7, vec!["roll-back", "remove"]),
    ] {
        let page = operator.get(&format!("/rollouts/{id}")).await.text;
        for action in ["start", "pause", "resume", "stop", "roll-back", "remove"] {
            let is_there = page.contains(&format!("id=\"do-{action}\""));
            assert_eq!(is_there, offered.contains(&action), "{id} {action}: {page}");
        }
        let topic = format!("data-topic=\"rollout:{id}\"");
        assert!(page.contains(&topic), "{topic}: {page}");
    }
}

#[actix_web::test]
async fn the_devices_are_filtered() {
    let mut viewer = Browser::of("viewer", Fleet::new(password_hash())).await;
    let rows = |page: &str| page.matches("data-endpoint=").count();
    for (query, count) in [
        ("", 12),
        ("?group=&status=", 12),
        ("?group=0", 2),
        ("?group=1", 2),
        ("?status=FAILED", 1),
        ("?group=0&status=FAILED", 0),
        ("?after=10", 2),
    ] {
        let page = viewer.get(&format!("/rollouts/{RUNNING}{query}")).await;
        assert_eq!(page.status, StatusCode::OK, "{query}: {}", page.text);
        assert_eq!(rows(&page.text), count, "{query}: {}", page.text);
    }
    let page = viewer.get("/rollouts/3?group=0&status=FAILED").await.text;
    assert!(
        page.contains("No device of this rollout is like that now"),
        "{page}"
    );
    for (path, status) in [
        ("/rollouts/3?group=x", StatusCode::BAD_REQUEST),
        ("/rollouts/3?status=GONE", StatusCode::BAD_REQUEST),
        ("/rollouts/99", StatusCode::NOT_FOUND),
    ] {
        assert_eq!(viewer.get(path).await.status, status, "{path}");
    }
}
