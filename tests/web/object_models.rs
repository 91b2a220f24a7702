//! Object models over REST: found, uploaded, replaced, removed, and refused with a reason.

use crate::support::shared::by;
use std::sync::Arc;

use flownexus::domain::{Timestamp, ValueType};
use flownexus::store::{ModelEntry, ModelStore as _, Role, UploadedModel};
use flownexus::web::models::Catalogue;
use reqwest::multipart::{Form, Part};
use serde_json::{Value as Json, json};

use crate::support::fake_models::FakeModels;
use crate::support::site::Site;

const MODELS: &str = "/api/v1/models";

/// The definition of an object with one resource.
fn definition(object: u32, version: &str, name: &str) -> String {
    format!(
        "<LWM2M>\n<Object ObjectType=\"MODefinition\">\n<Name>{name}</Name>\n\
         <ObjectID>{object}</ObjectID>\n<ObjectVersion>{version}</ObjectVersion>\n\
         <MultipleInstances>Multiple</MultipleInstances>\n<Mandatory>Optional</Mandatory>\n\
         <Resources><Item ID=\"1\"><Name>Speed</Name><Operations>RW</Operations>\
         <MultipleInstances>Single</MultipleInstances><Mandatory>Mandatory</Mandatory>\
         <Type>Integer</Type><RangeEnumeration>0..3000</RangeEnumeration><Units>1/min</Units>\
         <Description/></Item></Resources>\n</Object>\n</LWM2M>\n"
    )
}

async fn upload(site: &Site, token: &str, query: &str, xml: impl Into<String>) -> (u16, Json) {
    let answer = site
        .request("POST", &format!("{MODELS}{query}"))
        .bearer_auth(token)
        .header("Content-Type", "application/xml; charset=utf-8")
        .body(xml.into())
        .send()
        .await
        .expect("an answer");
    (answer.status().as_u16(), answer.json().await.expect("JSON"))
}

async fn upload_form(site: &Site, token: &str, form: Form) -> (u16, Json) {
    let request = site.request("POST", MODELS).bearer_auth(token);
    let answer = request.multipart(form).send().await.expect("an answer");
    (answer.status().as_u16(), answer.json().await.expect("JSON"))
}

fn file(name: &str, content: impl Into<String>) -> Part {
    Part::bytes(content.into().into_bytes()).file_name(name.to_owned())
}

async fn names(site: &Site, token: &str, query: &str) -> Vec<String> {
    let (status, page) = site
        .ask("GET", &format!("{MODELS}{query}"), token, None)
        .await;
    assert_eq!(status, 200, "{page}");
    let items = page["items"].as_array().expect("items");
    items
        .iter()
        .map(|item| item["name"].as_str().expect("a name").to_owned())
        .collect()
}

#[actix_web::test]
async fn the_builtin_models_are_found_by_id_and_name_and_read_page_by_page() {
    let site = Site::start().await;
    let token = site.token(Role::Viewer).await;
    assert!(
        names(&site, &token, "?search=3303")
            .await
            .contains(&"Temperature".to_owned())
    );
    assert_eq!(
        names(&site, &token, "?search=lwm2m%20serv").await,
        ["LwM2M Server"]
    );
    assert!(
        names(&site, &token, "?search=no-such-thing")
            .await
            .is_empty()
    );
    assert!(names(&site, &token, "?source=uploaded").await.is_empty());
    let all = names(&site, &token, "?source=builtin&limit=1000").await;
    let mut paged = Vec::new();
    let mut cursor = String::new();
    loop {
        let path = format!("{MODELS}?limit=100{cursor}");
        let (_, page) = site.ask("GET", &path, &token, None).await;
        for item in page["items"].as_array().expect("items") {
            assert_eq!(item["source"], "builtin");
            assert_eq!(item["uploaded_at"], Json::Null);
            paged.push(item["name"].as_str().expect("a name").to_owned());
        }
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(paged, all);
    assert!(all.len() > 300);
    for query in ["?source=elsewhere", "?limit=0", "?cursor=x", "?offset=1"] {
        let (status, problem) = site
            .ask("GET", &format!("{MODELS}{query}"), &token, None)
            .await;
        assert_eq!(status, 400, "{query}: {problem}");
    }
}

#[actix_web::test]
async fn an_object_is_shown_with_its_resources() {
    let site = Site::start().await;
    let token = site.token(Role::Viewer).await;
    let (status, page) = site.ask("GET", &format!("{MODELS}/3"), &token, None).await;
    assert_eq!(status, 200);
    let device = &page["items"][0];
    assert_eq!(device["name"], "Device");
    let battery = device["resources"]
        .as_array()
        .expect("resources")
        .iter()
        .find(|resource| resource["id"] == 9);
    assert_eq!(
        battery,
        Some(
            &json!({"id": 9, "name": "Battery Level", "operations": "R", "multiple": false,
            "mandatory": false, "type": "INTEGER", "range": "0..100", "units": "/100"})
        )
    );
    let version = device["version"].as_str().expect("a version");
    let (status, one) = site
        .ask("GET", &format!("{MODELS}/3/{version}"), &token, None)
        .await;
    assert_eq!((status, &one), (200, device));
    for path in [
        "/3/99.0",
        "/3/x",
        "/65535",
        "/-1",
        "/x",
        "/4/1.0/definition",
    ] {
        let (status, problem) = site
            .ask("GET", &format!("{MODELS}{path}"), &token, None)
            .await;
        assert_eq!(status, 404, "{path}: {problem}");
    }
}

#[actix_web::test]
async fn an_uploaded_model_counts_at_once_and_is_gone_when_it_is_removed() {
    let site = Site::start().await;
    let operator = site.token(Role::Operator).await;
    let xml = definition(33_000, "1.1", "Pump");
    let (status, stored) = upload(&site, &operator, "", xml.as_str()).await;
    assert_eq!(status, 201, "{stored}");
    assert_eq!(
        stored["items"],
        json!([{"object_id": 33_000, "version": "1.1", "name": "Pump", "replaced": false}])
    );
    let (_, pump) = site
        .ask("GET", &format!("{MODELS}/33000/1.1"), &operator, None)
        .await;
    assert_eq!(
        (
            &pump["source"],
            &pump["uploaded_by"],
            &pump["resource_count"]
        ),
        (&json!("uploaded"), &json!("token:Operator0"), &json!(1))
    );
    assert_eq!(pump["resources"][0]["units"], "1/min");
    assert_eq!(names(&site, &operator, "?source=uploaded").await, ["Pump"]);

    // What is written to a device is checked against it.
    let device = format!(
        "/api/v1/endpoints/{}/operations",
        crate::support::site::DEVICE
    );
    let write = json!({"kind": "write", "path": "/33000/0/1", "value": "fast"});
    let (status, problem) = site
        .ask("POST", &device, &operator, Some(write.clone()))
        .await;
    assert_eq!(status, 422, "{problem}");
    assert!(problem.to_string().contains("INTEGER"), "{problem}");

    let answer = site
        .request("GET", &format!("{MODELS}/33000/1.1/definition"))
        .bearer_auth(&operator)
        .send()
        .await
        .expect("an answer");
    assert_eq!(
        answer.headers()["content-type"],
        "application/xml; charset=utf-8"
    );
    let disposition = answer.headers()["content-disposition"]
        .to_str()
        .expect("text");
    assert_eq!(disposition, "attachment; filename=\"33000-1.1.xml\"");
    assert_eq!(answer.text().await.expect("a body"), xml);

    let (status, _) = site
        .ask("DELETE", &format!("{MODELS}/33000/1.1"), &operator, None)
        .await;
    assert_eq!(status, 204);
    let (status, _) = site
        .ask("GET", &format!("{MODELS}/33000"), &operator, None)
        .await;
    assert_eq!(status, 404);
    let (status, _) = site
        .ask("DELETE", &format!("{MODELS}/33000/1.1"), &operator, None)
        .await;
    assert_eq!(status, 404);
    let audit: Vec<(String, String)> = site
        .store
        .people()
        .audit
        .iter()
        .map(|entry| (entry.action.clone(), entry.subject.clone()))
        .collect();
    let line = |action: &str| (action.to_owned(), "/33000 1.1".to_owned());
    assert_eq!(audit, [line("model.create"), line("model.delete")]);
}

#[actix_web::test]
async fn a_builtin_model_is_overridden_and_comes_back_but_is_never_removed() {
    let site = Site::start().await;
    let token = site.token(Role::Operator).await;
    let (_, page) = site
        .ask("GET", &format!("{MODELS}/3303"), &token, None)
        .await;
    let builtin = page["items"][0].clone();
    let version = builtin["version"].as_str().expect("a version").to_owned();
    let path = format!("{MODELS}/3303/{version}");

    let (status, problem) = site.ask("DELETE", &path, &token, None).await;
    assert_eq!((status, &problem["code"]), (409, &json!("builtin")));
    let (status, _) = upload(&site, &token, "", definition(3303, &version, "Mine")).await;
    assert_eq!(status, 201);
    let (_, mine) = site.ask("GET", &path, &token, None).await;
    assert_eq!(
        (&mine["name"], &mine["source"]),
        (&json!("Mine"), &json!("uploaded"))
    );
    let (status, _) = site.ask("DELETE", &path, &token, None).await;
    assert_eq!(status, 204);
    assert_eq!(site.ask("GET", &path, &token, None).await.1, builtin);
    // The definition of a built-in model says the same when it is uploaded.
    let answer = site
        .request("GET", &format!("{path}/definition"))
        .bearer_auth(&token);
    let written = answer
        .send()
        .await
        .expect("an answer")
        .text()
        .await
        .expect("XML");
    let (status, _) = upload(&site, &token, "", written).await;
    assert_eq!(status, 201);
    let (_, again) = site.ask("GET", &path, &token, None).await;
    assert_eq!(again["resources"], builtin["resources"]);
}

#[actix_web::test]
async fn the_same_model_again_needs_the_wish_to_replace_it() {
    let site = Site::start().await;
    let token = site.token(Role::Operator).await;
    upload(&site, &token, "", definition(33_000, "1.0", "Old")).await;
    for query in ["", "?replace=false"] {
        let (status, problem) = upload(&site, &token, query, definition(33_000, "1", "New")).await;
        assert_eq!(
            (status, &problem["code"]),
            (409, &json!("exists")),
            "{query}"
        );
        assert!(problem["detail"].to_string().contains("33000"), "{problem}");
    }
    assert_eq!(names(&site, &token, "?source=uploaded").await, ["Old"]);
    let (status, stored) = upload(
        &site,
        &token,
        "?replace=true",
        definition(33_000, "1", "New"),
    )
    .await;
    assert_eq!(
        (status, &stored["items"][0]["replaced"]),
        (201, &json!(true))
    );
    assert_eq!(names(&site, &token, "?source=uploaded").await, ["New"]);
    let (status, _) = upload(&site, &token, "?replace=perhaps", definition(1, "1.0", "A")).await;
    assert_eq!(status, 400);
}

#[actix_web::test]
async fn a_form_brings_several_files_all_or_none() {
    let site = Site::start().await;
    let token = site.token(Role::Operator).await;
    let good = || file("a.xml", definition(33_001, "1.0", "A"));
    let form = Form::new()
        .part("file", good())
        .part("file", file("../b<i>.xml", "<LWM2M>\n<Object/></LWM2M>"));
    let (status, problem) = upload_form(&site, &token, form).await;
    assert_eq!(status, 422, "{problem}");
    assert_eq!(problem["field"], "Object");
    assert_eq!(
        problem["detail"],
        "`../b<i>.xml`: line 2, <Object>: it has no <ObjectID>"
    );
    assert!(names(&site, &token, "?source=uploaded").await.is_empty());

    let form = Form::new()
        .part("file", good())
        .part("file", file("c.xml", definition(33_001, "1", "C")));
    let (status, problem) = upload_form(&site, &token, form).await;
    assert_eq!(status, 422);
    let detail = problem["detail"].as_str().expect("a detail");
    assert!(
        detail.contains("a.xml") && detail.contains("c.xml"),
        "{detail}"
    );

    let form = || {
        Form::new()
            .part("file", good())
            .part("more", file("c.xml", definition(33_002, "1", "C")))
    };
    let (status, stored) = upload_form(&site, &token, form()).await;
    assert_eq!(
        (status, stored["items"].as_array().map(Vec::len)),
        (201, Some(2))
    );
    assert_eq!(upload_form(&site, &token, form()).await.0, 409);
    let again = form().text("replace", "true");
    assert_eq!(upload_form(&site, &token, again).await.0, 201);
    assert_eq!(names(&site, &token, "?source=uploaded").await, ["A", "C"]);

    for (form, wanted) in [
        (Form::new().text("replace", "true"), "choose a file"),
        (Form::new().part("file", file("", "")), "choose a file"),
        (
            Form::new().part("file", good()).text("comment", "x"),
            "`comment`",
        ),
    ] {
        let (status, problem) = upload_form(&site, &token, form).await;
        assert_eq!(status, 422, "{problem}");
        assert!(problem["detail"].to_string().contains(wanted), "{problem}");
    }
}

#[actix_web::test]
async fn what_is_no_definition_is_refused_with_the_line() {
    let site = Site::start().await;
    let token = site.token(Role::Operator).await;
    let laughs = "<!DOCTYPE x [<!ENTITY l \"lol\"><!ENTITY m \"&l;&l;\">]>\n<LWM2M>&m;</LWM2M>";
    let entity = "<?xml version=\"1.0\"?>\n<!DOCTYPE x SYSTEM \"file:///etc/passwd\"><LWM2M/>";
    for (xml, detail) in [
        (String::new(), "line 1: the file is empty"),
        ("{}".into(), "line 1"),
        (
            "<LWM2M>\n<Object>".into(),
            "line 2: the file ends too early",
        ),
        (
            laughs.into(),
            "line 1: a document type (DTD) is not allowed",
        ),
        (
            entity.into(),
            "line 2: a document type (DTD) is not allowed",
        ),
        (
            definition(70_000, "1.0", "A"),
            "line 4, <ObjectID>: `70000` is no id",
        ),
    ] {
        let (status, problem) = upload(&site, &token, "", xml).await;
        assert_eq!(
            (status, &problem["code"]),
            (422, &json!("invalid")),
            "{problem}"
        );
        assert!(
            problem["detail"]
                .as_str()
                .is_some_and(|text| text.contains(detail)),
            "{problem}"
        );
    }
    for (content_type, body) in [("application/json", "{}"), ("text/plain", "x"), ("", "x")] {
        let mut request = site.request("POST", MODELS).bearer_auth(&token).body(body);
        if !content_type.is_empty() {
            request = request.header("Content-Type", content_type);
        }
        let answer = request.send().await.expect("an answer");
        assert_eq!(answer.status(), 415, "{content_type}");
    }
    let request = site.request("POST", MODELS).bearer_auth(&token).body("--x");
    let request = request.header("Content-Type", "multipart/form-data; boundary=y");
    assert_eq!(request.send().await.expect("an answer").status(), 400);
}

#[actix_web::test]
async fn too_much_is_refused_and_the_limits_are_named() {
    let site = Site::start_with(|settings| {
        settings.models.max_ddf_bytes = 1000;
        settings.models.max_upload_bytes = 4000;
        settings.models.max_uploaded = 2;
    })
    .await;
    let token = site.token(Role::Operator).await;
    let padded = |bytes: usize| format!("{}{:bytes$}", definition(33_000, "1.0", "A"), "");
    let too_large = |detail: &Json, limit: &str| {
        assert!(detail["detail"].to_string().contains(limit), "{detail}");
        assert_eq!(detail["code"], "too_large");
    };
    let (status, problem) = upload(&site, &token, "", padded(1000)).await;
    assert_eq!(status, 413);
    too_large(&problem, "more than 1000 bytes (models.max_ddf_bytes)");
    let form = Form::new().part("file", file("big.xml", padded(1000)));
    let (status, problem) = upload_form(&site, &token, form).await;
    assert_eq!(status, 413);
    too_large(&problem, "`big.xml` has more than 1000 bytes");
    let mut form = Form::new();
    for number in 0..9 {
        let name = format!("{number}.xml");
        form = form.part("file", file(&name, definition(33_000 + number, "1.0", "A")));
    }
    let (status, problem) = upload_form(&site, &token, form).await;
    assert_eq!(status, 413);
    too_large(&problem, "more than 4000 bytes (models.max_upload_bytes)");

    for number in 0..2 {
        let xml = definition(33_000 + number, "1.0", "A");
        assert_eq!(upload(&site, &token, "", xml).await.0, 201);
    }
    let (status, problem) = upload(&site, &token, "", definition(33_009, "1.0", "A")).await;
    assert_eq!(
        (status, &problem["code"]),
        (409, &json!("full")),
        "{problem}"
    );
}

/// A definition that this version cannot read keeps nothing from working, and the others count.
#[actix_web::test]
async fn a_stored_definition_that_cannot_be_read_is_left_out() {
    let store = Arc::new(FakeModels::default());
    let row = |object_id, source: String| UploadedModel {
        entry: ModelEntry {
            id: 0,
            object_id,
            version: "1.0".into(),
            name: "A".into(),
            created_at: Timestamp::system(),
            created_by: "somebody".into(),
        },
        source,
    };
    let rows = vec![
        row(33_000, "<LWM2M><Object>".into()),
        row(33_001, definition(33_001, "1.0", "Good")),
        row(
            33_002,
            definition(1, "1.0", "Another object than its row says"),
        ),
    ];
    store.add(rows, false, 10, by()).await.expect("stored");
    let catalogue = Catalogue::new(store.clone());
    assert!(catalogue.refresh().await.expect("read"));
    let models = catalogue.library().current();
    assert!(models.object(33_000, None).is_none());
    assert!(models.object(33_002, None).is_none());
    let speed = models.resource(33_001, 1).expect("the good one");
    assert_eq!(speed.value_type, Some(ValueType::Integer));
    assert_eq!(
        models.object(1, None).expect("built in").name,
        "LwM2M Server"
    );
    assert!(!catalogue.refresh().await.expect("read"), "nothing is new");

    let more = vec![row(33_003, definition(33_003, "1.0", "Later"))];
    store.add(more, false, 10, by()).await.expect("stored");
    store.remove(33_001, "1.0", by()).await.expect("removed");
    assert!(catalogue.refresh().await.expect("read"));
    let models = catalogue.library().current();
    assert!(models.object(33_003, None).is_some());
    assert!(models.object(33_001, None).is_none());
}
