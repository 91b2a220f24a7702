//! Retention of resource types, and what a point of a history may say.

use flownexus::store::Role;
use serde_json::{Value as Json, json};

use crate::support::site::{DEVICE, Site};

#[actix_web::test]
async fn admins_say_it_and_it_is_in_the_audit_log() {
    let site = Site::start().await;
    let token = site.token(Role::Admin).await;
    let path = "/api/v1/resource-types/3313/5702/retention";
    let body = json!({"raw_days": 30, "minute_days": 60, "hour_days": 0, "day_days": 0});
    let (status, answer) = site.ask("PUT", path, &token, Some(body.clone())).await;
    assert_eq!((status, &answer["name"]), (200, &json!("3313_5702")));
    assert_eq!(answer["retention"], body);
    let (status, answer) = site.ask("PUT", path, &token, Some(json!({}))).await;
    assert_eq!(status, 200);
    let days = json!({"raw_days": null, "minute_days": null, "hour_days": null, "day_days": null});
    assert_eq!(answer["retention"], days, "as the settings say");
    let (_, types) = site
        .ask("GET", "/api/v1/resource-types", &token, None)
        .await;
    assert_eq!(types["items"][0]["name"], "temperature");
    assert_eq!(types["items"][0]["retention"], days);
    let audit: Vec<(String, String, String)> = site
        .store
        .people()
        .audit
        .iter()
        .filter(|line| line.action == "resource_type.retention")
        .map(|line| {
            (
                line.actor.clone(),
                line.subject.clone(),
                line.detail.clone(),
            )
        })
        .collect();
    assert_eq!(audit.len(), 2);
    assert_eq!(audit[0].1, "/3313/*/5702");
    assert_eq!(
        audit[0].2,
        "values 30 d, minutes 60 d, hours for ever, days for ever"
    );
}

#[actix_web::test]
async fn what_makes_no_sense_is_refused_by_name() {
    let site = Site::start().await;
    let token = site.token(Role::Admin).await;
    let path = "/api/v1/resource-types/3303/5700/retention";
    for (body, wanted, field) in [
        (json!({"raw_days": 36_501}), 422, "raw_days"),
        (json!({"minute_days": 2, "hour_days": 1}), 422, "hour_days"),
        (json!({"hour_days": 2, "day_days": 1}), 422, "hour_days"),
        (
            json!({"minute_days": 1, "hour_days": 2, "day_days": 1}),
            422,
            "day_days",
        ),
        (
            json!({"raw_days": 3, "minute_days": 1, "hour_days": 2, "day_days": 2}),
            422,
            "day_days",
        ),
        (json!({"raw_days": -1}), 422, "raw_days"),
        (json!({"days": 1}), 422, "days"),
    ] {
        let (status, answer) = site.ask("PUT", path, &token, Some(body.clone())).await;
        assert_eq!(status, wanted, "{body}: {answer}");
        assert!(answer.to_string().contains(field), "{body}: {answer}");
    }
    for path in [
        "/api/v1/resource-types/65535/1/retention",
        "/api/v1/resource-types/1/x/retention",
    ] {
        let (status, _) = site.ask("PUT", path, &token, Some(json!({}))).await;
        assert_eq!(status, 404, "{path}");
    }
}

#[actix_web::test]
async fn a_history_says_what_it_is_asked_for() {
    let site = Site::start().await;
    let token = site.token(Role::Viewer).await;
    let history = format!("/api/v1/endpoints/{DEVICE}/history?path=/3303/0/5700");
    for name in ["min_max", "mean", "last", "min", "max", "count"] {
        let path = format!("{history}&aggregate={name}");
        let (status, answer) = site.ask("GET", &path, &token, None).await;
        assert_eq!((status, &answer["path"]), (200, &json!("/3303/0/5700")));
    }
    let (status, answer) = site
        .ask("GET", &format!("{history}&aggregate=median"), &token, None)
        .await;
    assert_eq!(status, 400);
    assert_ne!(answer, Json::Null);
    assert!(answer.to_string().contains("min_max, mean"), "{answer}");
}
