//! A variable that a template wants and nobody gives is an error only when the page is rendered, so
//! each page is rendered, full and empty, for each role.

use actix_web::http::StatusCode;
use flownexus::web::pages::render;

use super::dashboard::{Browser, password_hash};
use super::fleet::{ASLEEP, Fleet, GONE, HOSTILE, RICH};

pub(crate) const FOR_ALL: [&str; 33] = [
    "/",
    "/devices",
    "/devices?search=urn&registered=true",
    "/devices?search=nothing-has-this-name",
    "/devices?after=urn",
    "/devices?tag=lab",
    "/charts",
    "/charts?series=/3303/0/5700@urn:imei:490154203237518&series=/3303/0/5700@gone",
    "/map",
    "/devices?columns=name,state&limit=100",
    "/devices?state=late&queue_mode=true&firmware=1&sort=-last_seen&limit=500",
    "/events",
    "/events?before=100",
    "/events/rules",
    "/operations",
    "/operations?status=failed&before=100",
    "/operations?after=1",
    "/operations?path=/3303&by=ada&hours=24",
    "/rollouts?names=a&tags=lab&after=1",
    "/templates",
    "/firmware",
    "/rollouts",
    "/rollouts?before=1",
    "/rollouts?image=2",
    "/models",
    "/models?search=330&source=builtin",
    "/models?source=uploaded",
    "/models?search=nothing-has-this-name",
    "/models?after=3303/1.0",
    "/models/3303/1.1",
    "/account",
    "/account?done=1",
    "/about",
];
pub(crate) const FOR_ADMINS: [&str; 6] = [
    "/credentials",
    "/credentials?search=none&kind=psk&ending=1",
    "/credentials?endpoint=a&after=1%20a",
    "/users",
    "/audit",
    "/settings",
];

fn device(name: &str) -> String {
    let encoded: String = name.bytes().map(|byte| format!("%{byte:02X}")).collect();
    format!("/devices/{encoded}")
}

#[actix_web::test]
async fn every_page_renders_for_every_role_with_and_without_devices() {
    for role in ["viewer", "operator", "admin"] {
        for fleet in [Fleet::new(password_hash()), Fleet::empty(password_hash())] {
            let mut browser = Browser::of(role, fleet).await;
            for path in FOR_ALL {
                let page = browser.get(path).await;
                assert_eq!(page.status, StatusCode::OK, "{role} {path}: {}", page.text);
            }
            for path in FOR_ADMINS {
                let page = browser.get(path).await;
                let expected = if role == "admin" {
                    StatusCode::OK
                } else {
                    StatusCode::FORBIDDEN
                };
                assert_eq!(page.status, expected, "{role} {path}: {}", page.text);
            }
        }
        let mut browser = Browser::of(role, Fleet::new(password_hash())).await;
        for name in [RICH, ASLEEP, GONE, HOSTILE] {
            let page = browser.get(&device(name)).await;
            assert_eq!(page.status, StatusCode::OK, "{role} {name}: {}", page.text);
        }
        for path in [
            "/events/7",
            "/events/6",
            "/events/rules/1",
            "/events?endpoint=urn:imei:490154203237518",
            "/events?endpoint=nobody",
            "/events?type=3303&endpoint=",
            "/rollouts/1",
            "/rollouts/3?group=0&status=FAILED",
        ] {
            let page = browser.get(path).await;
            assert_eq!(page.status, StatusCode::OK, "{role} {path}: {}", page.text);
        }
    }
}

#[actix_web::test]
async fn every_template_is_a_page_or_part_of_one() {
    // A template that no page uses is rendered by no test.
    let used = "about account audit bulk charts credentials device devices error error_plain event events firmware \
                login login_code map model models operations overview rollout rollouts rules settings templates \
                users";
    for name in render::template_names() {
        let page = name
            .strip_prefix("pages/")
            .and_then(|name| name.strip_suffix(".html"));
        if let Some(page) = page {
            assert!(used.split_whitespace().any(|used| used == page), "{name}");
        }
    }
}

#[actix_web::test]
async fn a_device_that_is_gone_is_told_on_a_page() {
    let mut browser = Browser::of("viewer", Fleet::new(password_hash())).await;
    for path in [
        "/devices/urn:imei:0",
        "/events/999",
        "/rollouts/999",
        "/nothing/here",
    ] {
        let page = browser.get(path).await;
        assert_eq!(page.status, StatusCode::NOT_FOUND);
        assert!(page.text.contains("<nav"), "{path}: in the layout");
        assert!(
            page.text.contains("There is nothing here"),
            "{path}: {}",
            page.text
        );
    }
    let page = browser.get("/operations?status=lost").await;
    assert_eq!(page.status, StatusCode::BAD_REQUEST);
    let page = browser.get("/api/v1/nothing").await;
    assert!(
        page.text.starts_with('{'),
        "programs get a problem document"
    );
}

#[actix_web::test]
async fn nothing_that_a_device_says_is_markup() {
    let mut browser = Browser::of("admin", Fleet::new(password_hash())).await;
    for path in [
        "/",
        "/devices",
        "/operations",
        "/events",
        "/events/7",
        "/events/6",
        "/events/rules",
        "/events/rules/1",
        "/rollouts",
        "/rollouts/3",
        &device(RICH),
        &device(HOSTILE),
    ] {
        let page = browser.get(path).await;
        for markup in ["<img src=x", "<script>", "<b>T1000", "<b>now", "<b>"] {
            let told = page.text.replace("<b id=", "");
            assert!(!told.contains(markup), "{path}: {markup}");
        }
    }
}

#[actix_web::test]
async fn pages_hold_no_inline_script_and_no_inline_style() {
    let mut browser = Browser::of("admin", Fleet::new(password_hash())).await;
    let device = device(RICH);
    for path in FOR_ALL.iter().chain(&FOR_ADMINS).chain([&device.as_str()]) {
        let page = browser.get(path).await;
        for (at, _) in page.text.match_indices("<script") {
            let tag = page.text[at..].split('>').next().unwrap_or_default();
            assert!(tag.contains(" src=\"/assets/"), "{path}: {tag}");
        }
        for inline in [" style=", "<style", " onclick=", " onload=", "javascript:"] {
            assert!(!page.text.contains(inline), "{path}: {inline}");
        }
        assert!(
            !page.text.contains("//cdn"),
            "{path}: nothing from elsewhere"
        );
    }
}

#[actix_web::test]
async fn lists_of_events_say_what_is_in_them() {
    let mut browser = Browser::of("viewer", Fleet::new(password_hash())).await;
    for path in ["/events", "/", &device(RICH)] {
        let page = browser.get(path).await.text;
        for shown in [
            r#"Temperature <span class="fw-medium">20.9"#,
            r#"/65001/0/3 <span class="fw-medium">&lt;b&gt;"#,
            "/65001/0/3 has changed to &lt;b&gt;",
        ] {
            assert!(page.contains(shown), "{path}: {shown}");
        }
    }
}
