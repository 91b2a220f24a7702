//! An icon that is not in the sprite is an empty square that nobody notices.

use std::collections::BTreeSet;

use actix_web::http::StatusCode;
use flownexus::web::pages::assets;

use super::dashboard::{Browser, password_hash};
use super::fleet::{Fleet, RICH};

#[actix_web::test]
async fn icons_are_in_the_sprite() {
    let mut browser = Browser::of("admin", Fleet::new(password_hash())).await;
    let sprite = assets::url("icons.svg").expect("the sprite");
    let icons = browser.get(&sprite).await;
    assert_eq!(icons.status, StatusCode::OK);
    let device = format!("/devices/{RICH}");
    for path in [
        "/",
        "/devices",
        &device,
        "/events",
        "/operations",
        "/templates",
        "/firmware",
        "/rollouts",
        "/rollouts/2",
        "/rollouts/3",
        "/models",
        "/models/3303/1.1",
        "/credentials",
        "/users",
    ] {
        let page = browser.get(path).await.text;
        let used: BTreeSet<&str> = page
            .match_indices(&format!("{sprite}#"))
            .filter_map(|(at, found)| page[at + found.len()..].split('"').next())
            .collect();
        assert!(!used.is_empty(), "{path}");
        for icon in used {
            assert!(
                icons.text.contains(&format!("id=\"{icon}\"")),
                "{path} wants {icon}"
            );
        }
    }
}

#[actix_web::test]
async fn what_a_page_names_is_served_for_ever() {
    let mut browser = Browser::new(Fleet::new(password_hash()));
    let page = browser.get("/login").await.text;
    let named: Vec<&str> = page
        .match_indices("\"/assets/")
        .filter_map(|(at, _)| page[at + 1..].split('"').next())
        .collect();
    assert!(named.len() >= 4, "{named:?}");
    for asset in named {
        assert_eq!(browser.get(asset).await.status, StatusCode::OK, "{asset}");
    }
    assert_eq!(
        browser.get("/assets/app.0.css").await.status,
        StatusCode::NOT_FOUND
    );
}
