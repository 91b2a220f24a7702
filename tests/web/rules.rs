//! `/api/v1/rules`: made, shown, replaced, removed.

use flownexus::store::Role;
use serde_json::{Value as Json, json};

use crate::support::site::Site;

fn body() -> Json {
    json!({
        "name": "too warm", "path": "3303/*/5700", "filter": {"names": ["urn:*"], "tags": ["lab"]},
        "condition": {"kind": "threshold", "above": 30, "hysteresis": 2, "for_s": 60},
        "severity": "critical", "include": ["/3/0/9"], "cooldown_s": 600,
    })
}

#[actix_web::test]
async fn a_rule_is_made_shown_replaced_and_removed() {
    let site = Site::start().await;
    let token = site.token(Role::Operator).await;
    let (status, made) = site
        .ask("POST", "/api/v1/rules", &token, Some(body()))
        .await;
    assert_eq!(status, 201, "{made}");
    let shown = json!({
        "id": made["id"], "name": "too warm", "enabled": true, "path": "/3303/*/5700",
        "filter": {"names": ["urn:*"], "tags": ["lab"]},
        "condition": {"kind": "threshold", "above": 30.0, "hysteresis": 2.0, "for_s": 60},
        "severity": "critical", "event_type": "too warm", "include": ["/3/0/9"],
        "cooldown_s": 600,
    });
    assert_eq!(made, shown);
    let path = format!("/api/v1/rules/{}", made["id"]);
    assert_eq!(
        site.ask("GET", &path, &token, None).await,
        (200, shown.clone())
    );
    let (_, list) = site.ask("GET", "/api/v1/rules", &token, None).await;
    assert_eq!(list, json!({"items": [shown], "next": null}));

    let (status, problem) = site
        .ask("POST", "/api/v1/rules", &token, Some(body()))
        .await;
    assert_eq!((status, &problem["code"]), (409, &json!("exists")));
    let other = json!({
        "name": "silence", "enabled": false, "path": "/3303",
        "condition": {"kind": "absence", "after_s": 7200},
    });
    let (status, replaced) = site.ask("PUT", &path, &token, Some(other)).await;
    assert_eq!(status, 200, "{replaced}");
    assert_eq!(
        replaced["condition"],
        json!({"kind": "absence", "after_s": 7200})
    );
    assert_eq!(
        (&replaced["enabled"], &replaced["severity"]),
        (&json!(false), &Json::Null)
    );

    let (status, _) = site.ask("DELETE", &path, &token, None).await;
    assert_eq!(status, 204);
    for (method, body) in [("GET", None), ("DELETE", None), ("PUT", Some(body()))] {
        let (status, problem) = site.ask(method, &path, &token, body).await;
        assert_eq!(
            (status, &problem["code"]),
            (404, &json!("not_found")),
            "{method}"
        );
    }
    let admin = site.token(Role::Admin).await;
    let (_, log) = site.ask("GET", "/api/v1/audit", &admin, None).await;
    let actions: Vec<&str> = log["items"]
        .as_array()
        .expect("items")
        .iter()
        .filter_map(|line| line["action"].as_str())
        .collect();
    assert_eq!(actions, ["rule.delete", "rule.update", "rule.create"]);
    assert_eq!(
        log["items"][2]["detail"],
        "too warm: /3303/*/5700 above 30 for 1 min, for urn:* #lab"
    );
}

#[actix_web::test]
async fn what_makes_no_sense_names_its_field() {
    let site = Site::start().await;
    let token = site.token(Role::Operator).await;
    for (field, value, blamed) in [
        ("name", json!(7), "name"),
        ("colour", json!("red"), "colour"),
        ("condition", json!({"kind": "threshold"}), "condition.above"),
        ("path", json!("/3303/x"), "path"),
        ("severity", json!("fatal"), "severity"),
    ] {
        let mut body = body();
        body[field] = value;
        let (status, problem) = site.ask("POST", "/api/v1/rules", &token, Some(body)).await;
        assert_eq!(status, 422, "{problem}");
        if field != "name" {
            assert_eq!(problem["field"], blamed, "{problem}");
        }
    }
    assert!(site.store.tables().rules.is_empty());
}

#[actix_web::test]
async fn there_are_not_too_many() {
    let site = Site::start_with(|settings| settings.rules.max = 2).await;
    let token = site.token(Role::Operator).await;
    let mut answers = Vec::new();
    for number in 0..3 {
        let mut body = body();
        body["name"] = json!(format!("rule {number}"));
        answers.push(site.ask("POST", "/api/v1/rules", &token, Some(body)).await);
    }
    assert_eq!((answers[0].0, answers[1].0, answers[2].0), (201, 201, 409));
    assert_eq!(answers[2].1["code"], "too_many_rules");
    assert!(answers[2].1["detail"].to_string().contains("rules.max"));
}
