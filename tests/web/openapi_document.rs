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

/// Whether a schema has an example, or is made of schemas that have.
fn has_example(document: &Json, schema: &Json) -> bool {
    let says = ["example", "examples", "enum"].map(|key| &schema[key]);
    if says.iter().any(|it| **it != Json::Null) {
        return true;
    }
    if let Some(name) = schema["$ref"].as_str().and_then(|it| it.rsplit('/').next()) {
        return has_example(document, &document["components"]["schemas"][name]);
    }
    let all_of = schema["allOf"].as_array().into_iter().flatten();
    [&schema["items"], &schema["properties"]["items"]]
        .into_iter()
        .chain(all_of)
        .any(|part| part.is_object() && has_example(document, part))
}

#[test]
fn every_parameter_and_every_body_has_an_example() {
    let document = flownexus::web::openapi::document();
    let document = serde_json::to_value(&document).expect("JSON");
    let mut without = Vec::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, call) in item.as_object().expect("methods") {
            for parameter in call["parameters"].as_array().into_iter().flatten() {
                let says = ["default", "enum"].map(|key| &parameter["schema"][key]);
                let has = parameter["example"] != Json::Null
                    || says.iter().any(|it| **it != Json::Null)
                    || has_example(&document, &parameter["schema"]);
                if !has {
                    without.push(format!("{method} {path}: {}", parameter["name"]));
                }
            }
            let responses = call["responses"].as_object().expect("responses");
            let answers = responses
                .iter()
                .filter(|(status, _)| status.starts_with('2'));
            let bodies = answers.map(|(_, answer)| &answer["content"]);
            let bodies = bodies.chain([&call["requestBody"]["content"]]);
            for (kind, body) in bodies.filter_map(Json::as_object).flatten() {
                // What is no JSON is no example in one, and the document does not show itself.
                let counts = kind == "application/json" && path != "/api/v1/openapi.json";
                let has = body["example"] != Json::Null
                    || body["examples"] != Json::Null
                    || has_example(&document, &body["schema"]);
                if counts && !has {
                    without.push(format!("{method} {path}: {kind}"));
                }
            }
        }
    }
    assert!(without.is_empty(), "{without:#?}");
}

/// What every call can answer is said at each of them.
#[test]
fn what_every_call_may_refuse_is_described() {
    let document = flownexus::web::openapi::document();
    let document = serde_json::to_value(&document).expect("JSON");
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, call) in item.as_object().expect("methods") {
            let said = |status: &str| call["responses"][status].is_object();
            let mut wanted = vec![];
            if !path.starts_with("/health") {
                wanted.extend(["500", "503"]);
            }
            // `/metrics` says what it needs in words.
            if !path.starts_with("/metrics") && said("401") && call["security"].is_null() {
                wanted.push("403");
            }
            if call["requestBody"]["content"]["application/json"].is_object() {
                wanted.extend(["400", "413", "415", "422"]);
            }
            for status in wanted {
                assert!(said(status), "{method} {path} says nothing of {status}");
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
