//! Operations over REST: asked for, waited for, listed, taken back.

use flownexus::store::Role;
use serde_json::{Value as Json, json};

use crate::support::site::{DEVICE, Site};

fn path() -> String {
    format!("/api/v1/endpoints/{DEVICE}/operations")
}

#[actix_web::test]
async fn an_operation_that_ends_in_time_is_answered_with_its_result() {
    let site = Site::start().await;
    let token = site.token(Role::Operator).await;
    let body = json!({"kind": "read", "path": "/3/0/0"});
    let wait = format!("{}?wait=5", path());
    let (status, operation) = site.ask("POST", &wait, &token, Some(body)).await;
    assert_eq!(status, 200);
    assert_eq!(operation["kind"], "read");
    assert_eq!(operation["path"], "/3/0/0");
    assert_eq!(operation["status"], "CONFIRMED");
    assert_eq!(operation["attempts"], 1);
    assert_eq!(operation["max_attempts"], 3);
    assert_eq!(operation["error"], Json::Null);
    assert_eq!(
        operation["result"],
        json!({"code": "2.05", "nodes": [
            {"path": "/3/0/0", "type": "STRING", "value": "<b>Acme</b>", "time": null}
        ]})
    );
    for field in [
        "id",
        "endpoint",
        "created_at",
        "last_attempt_at",
        "finished_at",
    ] {
        assert!(!operation[field].is_null(), "{field}");
    }
}

#[actix_web::test]
async fn an_operation_waits_is_found_and_is_taken_back() {
    let site = Site::start().await;
    let token = site.token(Role::Operator).await;
    let body = json!({"kind": "write", "path": "/3/0/14", "value": "+01", "expires_in_s": 60});
    let answer = site
        .request("POST", &path())
        .bearer_auth(&token)
        .json(&body)
        .send()
        .await
        .expect("an answer");
    assert_eq!(answer.status(), 201);
    let location = answer.headers()["location"]
        .to_str()
        .expect("text")
        .to_owned();
    let made: Json = answer.json().await.expect("JSON");
    assert_eq!(made["status"], "QUEUED");
    assert!(
        made["requested_by"]
            .as_str()
            .is_some_and(|name| name.starts_with("token:"))
    );
    let (_, found) = site.ask("GET", &location, &token, None).await;
    assert_eq!(found["id"], made["id"]);

    let queued = format!("{}?status=QUEUED", path());
    let (_, list) = site.ask("GET", &queued, &token, None).await;
    assert_eq!(list["items"][0]["id"], made["id"]);
    let (status, cancelled) = site.ask("DELETE", &location, &token, None).await;
    assert_eq!((status, &cancelled["status"]), (200, &json!("CANCELLED")));
    let (status, problem) = site.ask("DELETE", &location, &token, None).await;
    assert_eq!((status, &problem["code"]), (409, &json!("not_queued")));
    let (_, list) = site.ask("GET", &queued, &token, None).await;
    assert_eq!(list["items"], json!([]));
    let (status, problem) = site
        .ask("GET", &format!("{}?status=LOST", path()), &token, None)
        .await;
    assert_eq!((status, &problem["field"]), (400, &json!("status")));
}

#[actix_web::test]
async fn nothing_is_stored_of_an_operation_that_makes_no_sense() {
    let site = Site::start().await;
    let token = site.token(Role::Operator).await;
    let cases = [
        (json!({"kind": "jump", "path": "/3"}), "kind"),
        (json!({"kind": "read"}), "path"),
        (json!({"kind": "read", "path": "/3/0/9/0/1"}), "path"),
        (json!({"kind": "execute", "path": "/3/0"}), "path"),
        (json!({"kind": "read_composite", "paths": []}), "paths"),
        (
            json!({"kind": "write", "path": "/3303/0/5601", "value": "warm"}),
            "value",
        ),
        (
            json!({"kind": "write", "path": "/3/0/7", "value": 1}),
            "value",
        ),
        (
            json!({"kind": "write_composite", "values": {"/x": 1}}),
            "values",
        ),
        (
            json!({"kind": "execute", "path": "/3/0/4", "arguments": "x"}),
            "arguments",
        ),
        (
            json!({"kind": "write_attributes", "path": "/3/0/9"}),
            "attributes",
        ),
        (
            json!({"kind": "read", "path": "/3/0/9", "format": "xml"}),
            "format",
        ),
        (
            json!({"kind": "read", "path": "/3/0/9", "expires_in_s": 0}),
            "expires_in_s",
        ),
    ];
    for (body, field) in cases {
        let (status, problem) = site.ask("POST", &path(), &token, Some(body.clone())).await;
        assert_eq!(status, 422, "{body}: {problem}");
        assert_eq!(problem["field"], field, "{body}");
    }
    for wait in ["-1", "NaN", "soon"] {
        let path = format!("{}?wait={wait}", path());
        let body = json!({"kind": "read", "path": "/3/0/0"});
        let (status, problem) = site.ask("POST", &path, &token, Some(body)).await;
        assert_eq!((status, &problem["field"]), (400, &json!("wait")), "{wait}");
    }
    assert!(site.store.tables().operations.is_empty());
}

#[actix_web::test]
async fn every_kind_is_taken() {
    let site = Site::start().await;
    let token = site.token(Role::Operator).await;
    let bodies = [
        json!({"kind": "read", "path": "/3"}),
        json!({"kind": "write", "path": "/3/0/14", "value": "+01"}),
        json!({"kind": "write_update", "path": "/3/0", "value": {"14": "+01"}}),
        json!({"kind": "execute", "path": "/3/0/4", "arguments": "0='now'"}),
        json!({"kind": "create", "path": "/3303", "value": {"5601": 1}}),
        json!({"kind": "delete", "path": "/3303/0"}),
        json!({"kind": "discover", "path": "/3"}),
        json!({"kind": "write_attributes", "path": "/3/0/9", "attributes": {"pmin": 5}}),
        json!({"kind": "observe", "path": "/3/0/9"}),
        json!({"kind": "cancel_observe", "path": "/3/0/9"}),
        json!({"kind": "read_composite", "paths": ["/3/0/9", "/4"]}),
        json!({"kind": "write_composite", "values": {"/3/0/14": "+01", "/1/0/1": 300}}),
        json!({"kind": "observe_composite", "paths": ["/3/0/9", "/4"]}),
        json!({"kind": "cancel_observe_composite", "paths": ["/3/0/9", "/4"]}),
    ];
    for body in bodies {
        let (status, operation) = site.ask("POST", &path(), &token, Some(body.clone())).await;
        assert_eq!(status, 201, "{body}: {operation}");
        assert_eq!(operation["kind"], body["kind"]);
    }
    let unknown = "/api/v1/endpoints/nobody/operations";
    let body = json!({"kind": "read", "path": "/3"});
    assert_eq!(site.ask("POST", unknown, &token, Some(body)).await.0, 404);
}

#[actix_web::test]
async fn the_same_is_asked_again_as_a_new_operation() {
    let site = Site::start().await;
    let token = site.token(Role::Operator).await;
    let body = json!({"kind": "write", "path": "/3/0/14", "value": "+01", "format": "tlv"});
    let (_, made) = site.ask("POST", &path(), &token, Some(body)).await;
    let location = format!("/api/v1/operations/{}", made["id"]);
    assert_eq!(site.ask("DELETE", &location, &token, None).await.0, 200);
    let repeat = format!("{location}/repeat");
    let (status, again) = site.ask("POST", &repeat, &token, None).await;
    assert_eq!((status, &again["status"]), (201, &json!("QUEUED")));
    assert_ne!(again["id"], made["id"]);
    {
        let tables = site.store.tables();
        let [before, after] = &tables.operations[..] else {
            panic!("two operations");
        };
        assert_eq!(before.request, after.request);
        assert_eq!(before.endpoint, after.endpoint);
    }
    let (_, old) = site.ask("GET", &location, &token, None).await;
    assert_eq!(
        (&old["status"], &old["waits_for"]),
        (&json!("CANCELLED"), &Json::Null)
    );
    assert!(again["waits_for"].is_string(), "{again}");
    let unknown = "/api/v1/operations/9999/repeat";
    assert_eq!(site.ask("POST", unknown, &token, None).await.0, 404);
}

#[actix_web::test]
async fn those_of_all_devices_are_found_by_what_one_looks_for() {
    let site = Site::start().await;
    let token = site.token(Role::Operator).await;
    let mut made = Vec::new();
    for body in [
        json!({"kind": "write", "path": "/3/0/14", "value": "+01"}),
        json!({"kind": "write", "path": "/3303/0/5601", "value": 21.5}),
        json!({"kind": "execute", "path": "/3/0/4"}),
    ] {
        let (status, operation) = site.ask("POST", &path(), &token, Some(body)).await;
        assert_eq!(status, 201);
        made.push(operation["id"].as_i64().expect("a number"));
    }
    let newest = format!("{}?limit=1", path());
    let (_, newest) = site.ask("GET", &newest, &token, None).await;
    let by = newest["items"][0]["requested_by"].clone();
    let by = by.as_str().expect("a name");
    let found = async |query: &str| {
        let address = format!("/api/v1/operations?limit=10&{query}");
        let (status, page) = site.ask("GET", &address, &token, None).await;
        assert_eq!(status, 200, "{query}: {page}");
        let items = page["items"].as_array().expect("a list").iter();
        let ids = items.filter_map(|one| one["id"].as_i64());
        // The site has others.
        ids.filter(|id| made.contains(id)).collect::<Vec<_>>()
    };
    let [first, second, third] = made[..] else {
        panic!("three");
    };
    let ours = format!("requested_by={by}");
    assert_eq!(found(&ours).await, [third, second, first]);
    assert_eq!(found("requested_by=nobody").await, [0; 0]);
    assert_eq!(found(&format!("{ours}&kind=write")).await, [second, first]);
    assert_eq!(found(&format!("{ours}&path=/3/0")).await, [third, first]);
    assert_eq!(found(&format!("{ours}&status=FAILED")).await, [0; 0]);
    assert_eq!(
        found(&format!("{ours}&endpoint={DEVICE}&kind=execute")).await,
        [third]
    );
    assert_eq!(
        found(&format!("{ours}&from=2100-01-01T00:00:00Z")).await,
        [0; 0]
    );
    // Page by page.
    let page = format!("/api/v1/operations?{ours}&limit=2");
    let (_, page) = site.ask("GET", &page, &token, None).await;
    assert_eq!(page["items"][1]["id"], second);
    let next = page["next"].as_str().expect("there are more");
    let page = format!("/api/v1/operations?{ours}&limit=2&cursor={next}");
    let (_, page) = site.ask("GET", &page, &token, None).await;
    assert_eq!(
        (&page["items"][0]["id"], &page["next"]),
        (&json!(first), &Json::Null)
    );
    assert!(page["items"][0]["waits_for"].is_string());
    for (query, field) in [
        ("status=LOST", "status"),
        ("kind=jump", "kind"),
        ("path=up", "path"),
        ("from=yesterday", "from"),
        ("cursor=x", "cursor"),
    ] {
        let address = format!("/api/v1/operations?{query}");
        let (status, problem) = site.ask("GET", &address, &token, None).await;
        assert_eq!((status, &problem["field"]), (400, &json!(field)));
    }
    let nobody = "/api/v1/operations?endpoint=nobody";
    assert_eq!(site.ask("GET", nobody, &token, None).await.0, 404);
}
