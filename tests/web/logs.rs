//! `/api/v1/endpoints/{name}/logs` and `/api/v1/log-resources`.

use flownexus::domain::{EndpointName, LogLevel, Path, StoredLogLine, Timestamp};
use flownexus::store::Role;
use serde_json::json;

use crate::support::site::{DEVICE, Site};

fn fill(site: &Site) {
    let mut tables = site.store.tables();
    for number in 0..5_i64 {
        let time = Timestamp::clamped_from_millis(1_700_000_000_000 + number * 1000);
        tables.logs.push(StoredLogLine {
            id: number + 1,
            endpoint: EndpointName::new(DEVICE).expect("a name"),
            path: Path::resource(20, 0, 4014),
            level: LogLevel::ALL.get(number as usize).copied(),
            text: format!("Line {number} <b>"),
            time,
            received_at: time,
        });
    }
}

#[actix_web::test]
async fn lines_come_in_pages_and_as_a_file() {
    let site = Site::start().await;
    fill(&site);
    let token = site.token(Role::Viewer).await;
    let path = format!("/api/v1/endpoints/{DEVICE}/logs");
    let (status, page) = site
        .ask("GET", &format!("{path}?limit=2"), &token, None)
        .await;
    assert_eq!(status, 200, "{page}");
    assert_eq!(
        page["items"][0],
        json!({
            "id": 5, "time": "2023-11-14T22:13:24.000Z", "received_at": "2023-11-14T22:13:24.000Z",
            "path": "/20/0/4014", "level": null, "text": "Line 4 <b>",
        })
    );
    let next = page["next"].as_str().expect("another page");
    let next = format!("{path}?limit=2&cursor={next}");
    let (_, page) = site.ask("GET", &next, &token, None).await;
    assert_eq!(page["items"][0]["text"], "Line 2 <b>");
    let filter = format!("{path}?search=LINE&level=wrn&from=1700000001000&to=1700000002000");
    let (_, page) = site.ask("GET", &filter, &token, None).await;
    assert_eq!(page["items"].as_array().expect("items").len(), 1, "{page}");
    assert_eq!(page["items"][0]["level"], "wrn");

    let answer = site
        .request("GET", &format!("{path}?format=text&limit=2"))
        .bearer_auth(&token)
        .send()
        .await
        .expect("an answer");
    let kind = answer.headers()["content-type"].clone();
    assert_eq!(kind, "text/plain; charset=utf-8", "never taken for a page");
    assert!(
        answer.headers()["content-disposition"]
            .to_str()
            .expect("text")
            .starts_with("attachment")
    );
    let text = answer.text().await.expect("text");
    assert_eq!(
        text,
        "2023-11-14T22:13:23.000Z dbg /20/0/4014 Line 3 <b>\n\
         2023-11-14T22:13:24.000Z - /20/0/4014 Line 4 <b>\n"
    );
}

#[actix_web::test]
async fn what_cannot_be_read_is_named() {
    let site = Site::start().await;
    let token = site.token(Role::Viewer).await;
    let path = format!("/api/v1/endpoints/{DEVICE}/logs");
    for (query, field) in [
        ("level=loud", "level"),
        ("from=yesterday", "from"),
        ("format=pdf", "format"),
        ("limit=0", "limit"),
        ("cursor=!", "cursor"),
        ("colour=red", "colour"),
    ] {
        let (status, problem) = site
            .ask("GET", &format!("{path}?{query}"), &token, None)
            .await;
        assert_eq!(status, 400, "{query}: {problem}");
        assert_eq!(problem["field"], field, "{query}");
    }
    let (status, _) = site
        .ask("GET", "/api/v1/endpoints/nobody/logs", &token, None)
        .await;
    assert_eq!(status, 404);
}

#[actix_web::test]
async fn log_resources_are_made_and_removed() {
    let site = Site::start().await;
    let token = site.token(Role::Operator).await;
    let path = "/api/v1/log-resources";
    let mark = json!({"path": "26241/*/1", "filter": {"tags": ["lab"]}});
    let (status, made) = site.ask("POST", path, &token, Some(mark.clone())).await;
    assert_eq!(status, 201, "{made}");
    assert_eq!(made["path"], "/26241/*/1");
    assert_eq!(made["filter"], json!({"names": [], "tags": ["lab"]}));
    let (status, problem) = site.ask("POST", path, &token, Some(mark)).await;
    assert_eq!((status, &problem["code"]), (409, &json!("exists")));
    for (body, field) in [
        (json!({"path": "/20/0"}), "path"),
        (json!({"path": "/x/0/1"}), "path"),
        (
            json!({"path": "/20/0/1", "filter": {"tags": ["a b"]}}),
            "filter",
        ),
    ] {
        let (status, problem) = site.ask("POST", path, &token, Some(body)).await;
        assert_eq!((status, &problem["field"]), (422, &json!(field)));
    }
    let (_, list) = site.ask("GET", path, &token, None).await;
    assert_eq!(list["items"], json!([made]));
    let one = format!("{path}/{}", made["id"]);
    assert_eq!(site.ask("DELETE", &one, &token, None).await.0, 204);
    assert_eq!(site.ask("DELETE", &one, &token, None).await.0, 404);
}
