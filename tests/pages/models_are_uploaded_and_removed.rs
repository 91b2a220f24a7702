//! The pages of object models: a form with files, what it says when a file is wrong, and the way
//! back.

use actix_web::http::StatusCode;

use super::dashboard::{Browser, password_hash};
use super::fleet::{Fleet, RICH};

fn definition(object: u32, name: &str) -> String {
    format!(
        "<LWM2M><Object><Name>{name}</Name><ObjectID>{object}</ObjectID><Resources>\
         <Item ID=\"7\"><Name>&lt;b&gt;Speed</Name><Operations>RW</Operations>\
         <Type>Unsigned Integer</Type><RangeEnumeration>0..9</RangeEnumeration>\
         <Units>&lt;u&gt;</Units></Item></Resources></Object></LWM2M>"
    )
}

#[actix_web::test]
async fn an_operator_uploads_a_model_sees_it_and_removes_it() {
    let mut browser = Browser::of("operator", Fleet::new(password_hash())).await;
    let pump = definition(33_000, "&lt;script&gt;Pump");
    let page = browser.upload("/models", &[("pump.xml", &pump)], &[]).await;
    assert_eq!(
        (page.status, page.location.as_str()),
        (StatusCode::SEE_OTHER, "/models/33000/1.0"),
        "{}",
        page.text
    );
    let page = browser.get("/models/33000/1.0").await;
    assert_eq!(page.status, StatusCode::OK);
    for part in [
        "&lt;script&gt;Pump",
        "&lt;b&gt;Speed",
        "read, write",
        "unsigned integer",
        "0..9",
        "uploaded</span> by operator",
        "action=\"/models/33000/1.0/remove\"",
    ] {
        assert!(page.text.contains(part), "{part}: {}", page.text);
    }
    assert!(!page.text.contains("<script>Pump") && !page.text.contains("<b>Speed"));
    let page = browser.get("/models?source=uploaded").await;
    assert!(
        page.text.contains("href=\"/models/33000/1.0\""),
        "{}",
        page.text
    );
    assert!(page.text.contains(", 1 uploaded"), "{}", page.text);

    let page = browser.post("/models/33000/1.0/remove", &[]).await;
    assert_eq!(page.location, "/models");
    let page = browser.get("/models/33000/1.0").await;
    assert_eq!(page.status, StatusCode::NOT_FOUND);
}

#[actix_web::test]
async fn what_is_wrong_with_a_file_is_told_beside_the_form() {
    let mut browser = Browser::of("operator", Fleet::new(password_hash())).await;
    let pump = definition(33_000, "Pump");
    let wrong = definition(70_000, "Pump");
    let files = [
        ("pump.xml", pump.as_str()),
        ("<i>wrong.xml", wrong.as_str()),
    ];
    let page = browser.upload("/models", &files, &[]).await;
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(page.text.contains("&lt;i&gt;wrong.xml"), "{}", page.text);
    assert!(page.text.contains("“70000” is no id"), "{}", page.text);
    assert!(
        page.text.contains(", 0 uploaded"),
        "none of the files counts"
    );
    let page = browser.upload("/models", &[("", "")], &[]).await;
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(page.text.contains("Choose a file"), "{}", page.text);

    let file = [("pump.xml", pump.as_str())];
    assert_eq!(
        browser.upload("/models", &file, &[]).await.status,
        StatusCode::SEE_OTHER
    );
    let page = browser.upload("/models", &file, &[]).await;
    assert_eq!(page.status, StatusCode::CONFLICT);
    assert!(page.text.contains("exists already"), "{}", page.text);
    let page = browser
        .upload("/models", &file, &[("replace", "true")])
        .await;
    assert_eq!(page.status, StatusCode::SEE_OTHER);
}

#[actix_web::test]
async fn a_viewer_reads_models_and_changes_none() {
    let mut browser = Browser::of("viewer", Fleet::new(password_hash())).await;
    let page = browser.get("/models").await;
    assert!(!page.text.contains("type=\"file\""), "{}", page.text);
    let pump = definition(33_000, "Pump");
    let page = browser.upload("/models", &[("pump.xml", &pump)], &[]).await;
    assert_eq!(page.status, StatusCode::FORBIDDEN);
    let page = browser.post("/models/3303/1.1/remove", &[]).await;
    assert_eq!(page.status, StatusCode::FORBIDDEN);
    let page = browser.get("/models?search=temperature").await;
    assert!(
        page.text.contains("href=\"/models/3303/1.1\""),
        "{}",
        page.text
    );
}

#[actix_web::test]
async fn the_list_is_read_page_by_page() {
    let mut browser = Browser::of("viewer", Fleet::new(password_hash())).await;
    let (mut path, mut pages, mut rows) = ("/models?source=builtin".to_owned(), 0, 0);
    loop {
        let page = browser.get(&path).await;
        assert_eq!(page.status, StatusCode::OK);
        pages += 1;
        rows += page.text.matches("data-label=\"Object\"").count();
        let next = page
            .text
            .split_once("rel=\"next\" href=\"")
            .and_then(|(_, rest)| rest.split('"').next());
        match next {
            Some(next) => path = next.replace("&amp;", "&").replace("&#x2F;", "/"),
            None => break,
        }
        assert!(pages < 20, "{path}");
    }
    let total = flownexus::lwm2m::Models::builtin().objects().count();
    assert_eq!((rows, pages), (total, total.div_ceil(50)));
}

#[actix_web::test]
async fn a_device_with_an_unknown_object_leads_to_the_upload() {
    const HINT: &str = "unknown object: upload its DDF";
    let device = format!("/devices/{RICH}");
    let mut browser = Browser::of("operator", Fleet::new(password_hash())).await;
    let page = browser.get(&device).await;
    assert!(page.text.contains(HINT), "{}", page.text);
    let definition = definition(65_001, "Known now");
    let page = browser
        .upload("/models", &[("a.xml", &definition)], &[])
        .await;
    assert_eq!(page.status, StatusCode::SEE_OTHER);
    let page = browser.get(&device).await;
    assert!(page.text.contains("Known now <code"), "{}", page.text);
    assert!(!page.text.contains(HINT), "{}", page.text);

    let mut browser = Browser::of("viewer", Fleet::new(password_hash())).await;
    let page = browser.get(&device).await;
    assert!(page.text.contains("unknown object") && !page.text.contains(HINT));
}
