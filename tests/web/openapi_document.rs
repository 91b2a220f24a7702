//! The OpenAPI document: a change of the API shows in the snapshot.

use flownexus::store::Role;
use serde_json::Value as Json;

use crate::support::site::Site;

#[test]
fn the_document_is_as_agreed() {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("snapshots");
    settings.set_prepend_module_to_snapshot(false);
    let mut document = flownexus::web::openapi::document();
    // A new version of the program is no change of the API.
    document.info.version = "[version]".to_owned();
    let text = document.to_pretty_json().expect("JSON");
    settings.bind(|| insta::assert_snapshot!("openapi", text));
}

#[test]
fn every_reference_leads_somewhere_and_every_route_is_described() {
    let document = flownexus::web::openapi::document();
    let document = serde_json::to_value(&document).expect("JSON");
    let text = document.to_string();
    for reference in text.split("\"#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap_or_default();
        assert!(
            document["components"]["schemas"][name].is_object(),
            "{name}"
        );
    }
    let mut names = std::collections::BTreeSet::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("methods") {
            assert!(
                operation["summary"].is_string(),
                "{method} {path} has no summary"
            );
            let name = operation["operationId"].as_str().expect("an operationId");
            assert!(names.insert(name.to_owned()), "{name} is there twice");
            let public = operation["security"] == serde_json::json!([{}]);
            let responses = &operation["responses"];
            // The document itself and `/metrics` say what they need in words.
            if !public && path.starts_with("/api/v1") && path != "/api/v1/openapi.json" {
                assert!(
                    responses["401"].is_object(),
                    "{method} {path} says nothing of 401"
                );
            }
        }
    }
}

#[actix_web::test]
async fn it_is_served_with_its_pages_and_nothing_comes_from_elsewhere() {
    let site = Site::start().await;
    let token = site.token(Role::Viewer).await;
    let (status, document) = site.ask("GET", "/api/v1/openapi.json", &token, None).await;
    assert_eq!(status, 200);
    assert_eq!(document["info"]["title"], "flownexus");
    let (status, page) = site.ask("GET", "/api/docs/", &token, None).await;
    assert_eq!(status, 200);
    let Json::String(page) = page else {
        panic!("a page");
    };
    assert!(
        !page.contains("http://") && !page.contains("https://"),
        "{page}"
    );
    let (status, script) = site
        .ask("GET", "/api/docs/swagger-initializer.js", &token, None)
        .await;
    assert_eq!(status, 200);
    assert!(script.to_string().contains("/api/v1/openapi.json"));
    let browser = site
        .request("GET", "/api/docs/")
        .header("accept", "text/html")
        .send()
        .await
        .expect("an answer");
    assert_eq!(browser.status(), 303);
    assert_eq!(browser.headers()["location"], "/login?next=/api/docs/");
}
