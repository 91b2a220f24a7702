//! What is wanted against what is, in plain words; templates and profiles that people change.

use actix_web::http::StatusCode;

use super::dashboard::{Browser, password_hash};
use super::fleet::{Fleet, RICH};

fn text(page: &str) -> String {
    page.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[actix_web::test]
async fn a_device_tells_in_plain_words_where_each_observation_stands() {
    let mut browser = Browser::of("operator", Fleet::new(password_hash())).await;
    let page = browser.get(&format!("/devices/{RICH}")).await;
    let page = text(&page.text);
    for part in [
        "Observations: wanted and actual",
        "no notification for 2 × pmax, which is 60 s &lt;b&gt;; asked again",
        ">in ",
        "the device answered 4.05: &lt;b&gt;no; asked again when the device registers anew",
        "&lt;b&gt;ada cancelled it, until its template changes",
        "not wanted",
        "wanted by template 2 and &lt;b&gt;eve",
        "without the attributes: the device answered 4.00: &lt;b&gt;",
        "12 notifications",
        "data-passive=\"true\"",
        "data-action=\"cancel_observe_composite\"",
        "data-tags=\"lab rack-3\"",
        "href=\"/devices?tag=rack-3\"",
    ] {
        assert!(page.contains(part), "`{part}` is not in {page}");
    }
    let mut viewer = Browser::of("viewer", Fleet::new(password_hash())).await;
    let page = viewer.get(&format!("/devices/{RICH}")).await;
    for control in [
        "data-passive",
        "data-action=\"profile\"",
        "data-action=\"cancel_observe\"",
    ] {
        assert!(!page.text.contains(control), "{control}");
    }
}

#[actix_web::test]
async fn devices_have_tags_and_are_found_by_them() {
    let mut browser = Browser::of("viewer", Fleet::new(password_hash())).await;
    let page = browser.get("/devices?tag=lab").await.text;
    assert!(page.contains(RICH) && page.contains(">rack-3</a>"));
    assert!(
        page.contains("value=\"lab\""),
        "what was asked for stays in its field"
    );
    let page = browser.get("/devices?tag=cold").await.text;
    assert!(page.contains("No device matches"));
}

#[actix_web::test]
async fn a_template_is_edited_switched_off_and_removed() {
    let fleet = Fleet::new(password_hash());
    let mut operator = Browser::of("operator", fleet.clone()).await;
    let page = text(&operator.get("/templates?edit=2").await.text);
    for part in [
        "Change template 2",
        "action=\"/templates/2\"",
        "value=\"pmax=300\"",
        ">urn:*</textarea>",
        "value=\"lab\"",
        "<option value=\"senml_cbor\" selected>",
        "urn:* #lab",
        "disabled",
    ] {
        assert!(page.contains(part), "`{part}` is not in {page}");
    }
    let form = [
        ("kind", "observe"),
        ("paths", "/3303/0/5700"),
        ("attributes", "pmin=5 gt=21.5"),
        ("names", ""),
        ("tags", "lab cold"),
        ("format", ""),
        ("enabled", "on"),
    ];
    let page = operator.post("/templates/2", &form).await;
    assert_eq!(
        (page.status, page.location.as_str()),
        (StatusCode::SEE_OTHER, "/templates")
    );
    let page = text(&operator.get("/templates").await.text);
    assert!(
        page.contains("pmin=5 gt=21.5") && page.contains("#lab #cold"),
        "{page}"
    );
    assert!(!page.contains(">disabled<"));

    let wrong = [("kind", "observe"), ("paths", "/3"), ("attributes", "gt=1")];
    let page = operator.post("/templates/2", &wrong).await;
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(
        page.text.contains("value=\"gt=1\""),
        "what was typed is not lost"
    );
    assert!(page.text.contains("t cannot be set on "), "{}", page.text);

    operator.post("/templates/2/toggle", &[]).await;
    assert!(operator.get("/templates").await.text.contains(">disabled<"));
    operator.post("/templates/2/toggle", &[]).await;
    assert!(!operator.get("/templates").await.text.contains(">disabled<"));
    for gone in ["/templates/99", "/templates/99/toggle"] {
        let page = operator.post(gone, &form).await;
        assert_eq!(page.status, StatusCode::NOT_FOUND, "{gone}");
    }

    let mut viewer = Browser::of("viewer", fleet).await;
    for changing in ["/templates/2", "/templates/2/toggle"] {
        let page = viewer.post(changing, &form).await;
        assert_eq!(page.status, StatusCode::FORBIDDEN, "{changing}");
    }
}
