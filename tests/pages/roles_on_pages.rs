//! Who sees what, who may do what, and what strangers get.

use actix_web::http::StatusCode;

use super::dashboard::{Browser, password_hash};
use super::fleet::{Fleet, PASSWORD, RICH};

#[actix_web::test]
async fn a_stranger_is_sent_to_the_login_and_back() {
    let mut browser = Browser::new(Fleet::new(password_hash()));
    for (path, login) in [
        ("/", "/login"),
        ("/devices?search=a", "/login?next=%2Fdevices%3Fsearch%3Da"),
        ("/users", "/login?next=%2Fusers"),
    ] {
        let page = browser.get(path).await;
        assert_eq!(
            (page.status, page.location.as_str()),
            (StatusCode::SEE_OTHER, login)
        );
    }
    let page = browser.get("/login?next=%2Fdevices%3Fsearch%3Da").await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(
        page.text.contains("value=\"/devices?search=a\""),
        "{}",
        page.text
    );
    let form = [
        ("name", "viewer"),
        ("password", PASSWORD),
        ("next", "/devices?search=a"),
    ];
    let page = browser.post("/login", &form).await;
    assert_eq!(page.location, "/devices?search=a");
    assert_eq!(browser.get("/devices").await.status, StatusCode::OK);

    assert_eq!(browser.post("/logout", &[]).await.location, "/login");
    assert_eq!(browser.get("/devices").await.status, StatusCode::SEE_OTHER);
}

#[actix_web::test]
async fn a_wrong_password_is_told_and_too_many_are_slowed_down() {
    let mut browser = Browser::new(Fleet::new(password_hash()));
    let form = [
        ("name", "admin<"),
        ("password", "wrong"),
        ("next", "//evil.example"),
    ];
    let page = browser.post("/login", &form).await;
    assert_eq!(page.status, StatusCode::UNAUTHORIZED);
    assert!(page.text.contains("The name or the password is wrong."));
    assert!(page.text.contains("value=\"admin&lt;\""), "{}", page.text);
    assert!(!page.text.contains("evil.example"));
    let mut status = page.status;
    for _ in 0..20 {
        status = browser.post("/login", &form).await.status;
        if status == StatusCode::TOO_MANY_REQUESTS {
            break;
        }
    }
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
}

#[actix_web::test]
async fn viewers_see_no_control_that_changes_something() {
    let device = format!("/devices/{RICH}");
    let mut viewer = Browser::of("viewer", Fleet::new(password_hash())).await;
    let mut operator = Browser::of("operator", Fleet::new(password_hash())).await;
    for (path, control) in [
        (device.as_str(), "data-action=\"write\""),
        (device.as_str(), "data-action=\"execute\""),
        (device.as_str(), "data-action=\"read\""),
        (device.as_str(), "data-action=\"forget\""),
        ("/operations", "data-cancel="),
        ("/templates", "action=\"/templates\""),
        ("/firmware", "id=\"firmware-form\""),
        ("/firmware", "data-remove="),
        ("/events/rules", "action=\"/events/rules\""),
        ("/events/rules", "/remove\""),
    ] {
        assert!(
            !viewer.get(path).await.text.contains(control),
            "{path} {control}"
        );
        assert!(
            operator.get(path).await.text.contains(control),
            "{path} {control}"
        );
    }
    assert!(
        viewer
            .get(&device)
            .await
            .text
            .contains("data-action=\"chart\"")
    );
    assert!(!operator.get("/").await.text.contains("href=\"/users\""));
}

#[actix_web::test]
async fn a_rule_is_added_changed_switched_and_removed_by_forms() {
    let fleet = Fleet::new(password_hash());
    let form = [
        ("name", "frost"),
        ("path", "/3303/*/5700"),
        ("kind", "threshold"),
        ("below", "-2,5"),
        ("severity", "critical"),
        ("enabled", "on"),
    ];
    let mut viewer = Browser::of("viewer", fleet.clone()).await;
    for path in ["/events/rules", "/events/rules/1/remove", "/events/rules/1"] {
        let page = viewer.post(path, &form).await;
        assert_eq!(page.status, StatusCode::FORBIDDEN, "{path}");
    }
    let mut operator = Browser::of("operator", fleet.clone()).await;
    let page = operator.post("/events/rules", &form).await;
    assert_eq!(page.location, "/events/rules", "{}", page.text);
    let page = operator.get("/events/rules").await;
    assert!(page.text.contains("below -2.5"), "{}", page.text);

    // The same name again, and then a number that is none: told beside what was filled in.
    let page = operator.post("/events/rules", &form).await;
    assert_eq!(page.status, StatusCode::CONFLICT);
    let mut wrong = form;
    wrong[3] = ("below", "cold");
    let page = operator.post("/events/rules/4", &wrong).await;
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(
        page.text.contains(r#"data-mistake="below""#)
            && page.text.contains("“cold” is no such number"),
        "{}",
        page.text
    );
    assert!(page.text.contains("value=\"cold\""));

    let mut changed = form;
    changed[3] = ("below", "-4");
    let page = operator.post("/events/rules/4", &changed).await;
    assert_eq!(page.location, "/events/rules", "{}", page.text);
    for (path, shown) in [("disable", "Switch on"), ("enable", "Switch off")] {
        let page = operator.post(&format!("/events/rules/4/{path}"), &[]).await;
        assert_eq!(page.location, "/events/rules");
        let page = operator.get("/events/rules").await;
        let line = page.text.split("data-rule=\"4\"").nth(1).expect("its line");
        assert!(line.contains(shown) && line.contains("below -4"), "{line}");
    }
    let page = operator.post("/events/rules/4/remove", &[]).await;
    assert_eq!(page.location, "/events/rules");
    let page = operator.get("/events/rules").await;
    assert!(!page.text.contains("frost"));
    let page = operator.post("/events/rules/4/remove", &[]).await;
    assert_eq!(page.status, StatusCode::NOT_FOUND);
}

#[actix_web::test]
async fn forms_change_things_for_those_who_may() {
    let fleet = Fleet::new(password_hash());
    let mut viewer = Browser::of("viewer", fleet.clone()).await;
    let template = [("kind", "observe"), ("paths", "/3304/0/5700")];
    let page = viewer.post("/templates", &template).await;
    assert_eq!(page.status, StatusCode::FORBIDDEN);

    let mut operator = Browser::of("operator", fleet.clone()).await;
    let page = operator.post("/templates", &template).await;
    assert_eq!(
        (page.status, page.location.as_str()),
        (StatusCode::SEE_OTHER, "/templates")
    );
    assert!(
        operator
            .get("/templates")
            .await
            .text
            .contains("/3304/0/5700")
    );
    let page = operator
        .post("/templates", &[("kind", "observe"), ("paths", "warm")])
        .await;
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(page.text.contains("is no LwM2M path") && page.text.contains(">warm</textarea>"));
    assert_eq!(
        operator.post("/templates/1/remove", &[]).await.status,
        StatusCode::SEE_OTHER
    );
    assert_eq!(
        operator.post("/users", &[]).await.status,
        StatusCode::FORBIDDEN
    );

    let mut admin = Browser::of("admin", fleet).await;
    let user = [
        ("name", "eve"),
        ("role", "viewer"),
        ("password", "a long first password"),
    ];
    assert_eq!(
        admin.post("/users", &user).await.status,
        StatusCode::SEE_OTHER
    );
    let page = admin.post("/users", &user).await;
    assert_eq!(page.status, StatusCode::CONFLICT);
    assert!(page.text.contains("exists already"));
    let token = [("name", "ci"), ("role", "operator"), ("days", "30")];
    let page = admin.post("/tokens", &token).await;
    assert!(page.text.contains("value=\"fnx_"), "{}", page.text);
    assert!(
        !admin.get("/users").await.text.contains("fnx_"),
        "shown once"
    );
    assert_eq!(
        admin.post("/users/remove", &[("name", "eve")]).await.status,
        StatusCode::SEE_OTHER
    );
    assert!(admin.get("/audit").await.text.contains("user.delete"));
}

#[actix_web::test]
async fn people_change_their_own_password() {
    let fleet = Fleet::new(password_hash());
    for user in &mut fleet.people().users {
        user.must_change_password = true;
    }
    let mut browser = Browser::of("admin", fleet).await;
    for path in ["/", "/devices", "/users"] {
        assert_eq!(browser.get(path).await.location, "/account", "{path}");
    }
    assert!(
        browser
            .get("/account")
            .await
            .text
            .contains("Choose your own")
    );
    let new = "another long password";
    let form = |present, again| [("present", present), ("new", new), ("again", again)];
    let page = browser.post("/account", &form(PASSWORD, "a slip")).await;
    assert!(page.text.contains("not the same both times"));
    let page = browser.post("/account", &form("wrong", new)).await;
    assert!(
        page.text.contains("The present password is wrong."),
        "{}",
        page.text
    );
    let page = browser.post("/account", &form(PASSWORD, new)).await;
    assert_eq!(page.location, "/account?done=password", "{}", page.text);
    let page = browser.get("/").await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(!page.text.contains("Choose your own"));
}
