//! `/api/v1/rollouts`: made, shown, steered and removed, page by page, and every refusal with its sentence.

use flownexus::domain::{RolloutId, RolloutState, TargetStatus};
use flownexus::store::Role;
use serde_json::{Value as Json, json};

use crate::support::site::{DEVICE, Site};

fn autumn() -> Json {
    json!({
        "name": "autumn", "firmware_id": 1, "filter": {"names": ["urn:*"]},
        "groups": [{"name": "canary", "count": 1}, {"name": "rest"}],
        "window": {"from": "22:00", "to": "05:00", "time_zone": "Europe/Berlin"},
    })
}

#[actix_web::test]
async fn a_rollout_is_made_and_shown_as_it_was_said() {
    let site = Site::start().await;
    let token = site.token(Role::Operator).await;
    let answer = site
        .request("POST", "/api/v1/rollouts")
        .bearer_auth(&token)
        .json(&autumn())
        .send()
        .await
        .expect("an answer");
    assert_eq!(answer.status(), 201);
    assert_eq!(answer.headers()["location"], "/api/v1/rollouts/1");
    let made: Json = answer.json().await.expect("JSON");
    let (status, shown) = site.ask("GET", "/api/v1/rollouts/1", &token, None).await;
    assert_eq!((status, &shown), (200, &made));
    for (field, value) in [
        ("id", json!(1)),
        ("name", json!("autumn")),
        ("firmware_id", json!(1)),
        ("version", json!("2.0.0")),
        ("method", Json::Null),
        ("filter", json!({"names": ["urn:*"], "tags": []})),
        ("newcomers", json!(false)),
        ("at_once", json!(50)),
        ("start_at", Json::Null),
        (
            "window",
            json!({"from": "22:00", "to": "05:00", "time_zone": "Europe/Berlin", "days": []}),
        ),
        ("on_error", json!("roll_back")),
        ("roll_back_to", Json::Null),
        ("state", json!("READY")),
        ("is_back", json!(false)),
        ("waits_for", json!("somebody to start it")),
        ("reason", Json::Null),
        ("devices", json!(1)),
        ("counts", json!({"WAITING": 1})),
        ("created_by", json!("token:Operator0")),
        ("started_at", Json::Null),
        ("finished_at", Json::Null),
    ] {
        assert_eq!(shown[field], value, "{field}: {shown}");
    }
    let canary = json!({
        "index": 0, "name": "canary", "count": 1, "percent": null, "success_percent": 90,
        "error_percent": 10, "devices": 1, "counts": {"WAITING": 1}, "begun_at": null,
        "passed_at": null, "back_begun_at": null, "back_passed_at": null,
    });
    assert_eq!(shown["groups"][0], canary);
    assert_eq!(shown["groups"][1]["counts"], json!({}));
    let told = shown["log"][0]["text"].as_str().unwrap_or_default();
    assert!(told.contains("made it for 1 device"), "{shown}");
    let (_, listed) = site.ask("GET", "/api/v1/rollouts", &token, None).await;
    assert_eq!(listed["items"][0]["id"], 1);
    assert_eq!(listed["items"][0].get("log"), None, "not in lists");
}

#[actix_web::test]
async fn it_is_steered_and_what_cannot_be_done_now_is_said() {
    let site = Site::start().await;
    let token = site.token(Role::Operator).await;
    let mut wanted = autumn();
    wanted["start"] = json!(true);
    let (status, made) = site
        .ask("POST", "/api/v1/rollouts", &token, Some(wanted))
        .await;
    assert_eq!((status, &made["state"]), (201, &json!("RUNNING")));
    for (command, status, state) in [
        ("start", 409, "RUNNING"),
        ("pause", 200, "PAUSED"),
        ("pause", 409, "PAUSED"),
        ("resume", 200, "RUNNING"),
        ("roll-back", 200, "ROLLING_BACK"),
        ("stop", 200, "STOPPED"),
        ("stop", 409, "STOPPED"),
    ] {
        if command == "roll-back" {
            let (status, problem) = site.ask("DELETE", "/api/v1/rollouts/1", &token, None).await;
            assert_eq!((status, &problem["code"]), (409, &json!("not_now")));
        }
        let path = format!("/api/v1/rollouts/1/{command}");
        let (answered, body) = site.ask("POST", &path, &token, None).await;
        assert_eq!(answered, status, "{command}: {body}");
        if status == 409 {
            let detail = body["detail"].as_str().unwrap_or_default();
            assert!(detail.contains(state), "{body}");
        } else {
            assert_eq!(body["state"], state, "{command}");
        }
    }
    let (status, _) = site.ask("DELETE", "/api/v1/rollouts/1", &token, None).await;
    assert_eq!(status, 204);
    for (method, path) in [
        ("GET", "/api/v1/rollouts/1"),
        ("DELETE", "/api/v1/rollouts/1"),
        ("POST", "/api/v1/rollouts/1/start"),
        ("GET", "/api/v1/rollouts/1/targets"),
        ("GET", "/api/v1/rollouts/rehearse"),
        ("GET", "/api/v1/rollouts/one"),
    ] {
        let (status, problem) = site.ask(method, path, &token, None).await;
        assert_eq!(status, 404, "{method} {path}: {problem}");
        let detail = problem["detail"].as_str().unwrap_or_default();
        assert!(detail.contains("no rollout"), "{problem}");
    }
}

#[actix_web::test]
async fn what_makes_no_sense_names_its_field() {
    let site = Site::start().await;
    let token = site.token(Role::Operator).await;
    for path in ["/api/v1/rollouts", "/api/v1/rollouts/rehearse"] {
        for (change, field, word) in [
            (
                json!({"firmware_id": 9}),
                "firmware_id",
                "no firmware image 9",
            ),
            (
                json!({"roll_back_to": 9}),
                "roll_back_to",
                "no firmware image 9",
            ),
            (json!({"filter": {"names": ["x"]}}), "filter", "no device"),
            (
                json!({"groups": [{"percent": 200}, {}]}),
                "groups.0.percent",
                "not 200",
            ),
            (
                json!({"window": {"from": "22:00", "to": "05:00", "time_zone": "Mars"}}),
                "window",
                "Mars",
            ),
            (json!({"colour": "red"}), "colour", "unknown field"),
        ] {
            let mut body = autumn();
            for (key, value) in change.as_object().expect("an object") {
                body[key] = value.clone();
            }
            let (status, problem) = site.ask("POST", path, &token, Some(body)).await;
            assert_eq!(status, 422, "{path} {change}: {problem}");
            assert_eq!(problem["field"], field, "{path} {change}: {problem}");
            let detail = problem["detail"].as_str().unwrap_or_default();
            assert!(detail.contains(word), "{path} {change}: {problem}");
        }
    }
    let (status, _) = site.ask("GET", "/api/v1/rollouts/1", &token, None).await;
    assert_eq!(status, 404, "nothing was made");
}

#[actix_web::test]
async fn a_rehearsal_says_what_would_happen_and_keeps_nothing() {
    let site = Site::start().await;
    let token = site.token(Role::Operator).await;
    let mut body = autumn();
    body["failing_percent"] = json!(100);
    body["seed"] = json!(7);
    let path = "/api/v1/rollouts/rehearse";
    let (status, forecast) = site.ask("POST", path, &token, Some(body)).await;
    assert_eq!(status, 200, "{forecast}");
    for (field, value) in [
        ("devices", json!(1)),
        ("begins_at", json!("2026-12-01T22:00:00.000Z")),
        ("ends_at", json!("2026-12-01T23:30:00.000Z")),
        ("duration_s", json!(5400)),
        ("state", json!("FINISHED")),
        ("assumptions", json!(["an update takes 5 min"])),
        ("warnings", json!(["seed 7"])),
    ] {
        assert_eq!(forecast[field], value, "{field}: {forecast}");
    }
    let canary = json!({
        "index": 0, "name": "canary", "devices": 1, "begins_at": "2026-12-01T22:00:00.000Z",
        "passes_at": null, "ends_at": "2026-12-01T23:30:00.000Z", "succeeded": 0, "failed": 1,
        "rolled_back": 0,
    });
    assert_eq!(forecast["groups"][0], canary);
    let (_, listed) = site.ask("GET", "/api/v1/rollouts", &token, None).await;
    assert_eq!(listed, json!({"items": [], "next": null}));
}

#[actix_web::test]
async fn rollouts_and_their_devices_are_read_page_by_page() {
    let site = Site::start().await;
    let token = site.token(Role::Operator).await;
    for _ in 0..3 {
        let body = Some(autumn());
        site.ask("POST", "/api/v1/rollouts", &token, body).await;
    }
    let (_, page) = site
        .ask("GET", "/api/v1/rollouts?limit=2", &token, None)
        .await;
    let ids = |page: &Json| -> Vec<i64> {
        let items = page["items"].as_array().expect("items");
        items
            .iter()
            .filter_map(|item| item["id"].as_i64())
            .collect()
    };
    assert_eq!(ids(&page), [3, 2]);
    let cursor = page["next"].as_str().expect("another page");
    let path = format!("/api/v1/rollouts?limit=2&cursor={cursor}");
    let (_, page) = site.ask("GET", &path, &token, None).await;
    assert_eq!((ids(&page), &page["next"]), (vec![1], &Json::Null));

    site.store
        .rollouts
        .change(RolloutId(1), |rollout, targets| {
            rollout.state = RolloutState::Running;
            let mut second = targets[0].clone();
            second.endpoint_id.0 += 1;
            second.group = 1;
            second.status = TargetStatus::Failed;
            second.reason = Some("it fell silent".to_owned());
            second.update = Some(flownexus::domain::FirmwareUpdateId(71));
            targets.push(second);
        });
    let devices = "/api/v1/rollouts/1/targets";
    for (query, groups) in [
        ("", vec!["canary", "rest"]),
        ("?group=1", vec!["rest"]),
        ("?group=0&status=FAILED", vec![]),
        ("?status=FAILED", vec!["rest"]),
        ("?limit=1", vec!["canary"]),
    ] {
        let (status, page) = site
            .ask("GET", &format!("{devices}{query}"), &token, None)
            .await;
        assert_eq!(status, 200, "{query}: {page}");
        let items = page["items"].as_array().expect("items");
        let found: Vec<&str> = items
            .iter()
            .filter_map(|item| item["group_name"].as_str())
            .collect();
        assert_eq!(found, groups, "{query}");
        assert_eq!(page["next"].is_string(), query == "?limit=1", "{query}");
    }
    let (_, page) = site
        .ask("GET", &format!("{devices}?status=FAILED"), &token, None)
        .await;
    let target = &page["items"][0];
    for (field, value) in [
        ("endpoint", json!(DEVICE)),
        ("group", json!(1)),
        ("status", json!("FAILED")),
        ("update_id", json!(71)),
        ("back_update_id", Json::Null),
        ("version_before", Json::Null),
        ("reason", json!("it fell silent")),
    ] {
        assert_eq!(target[field], value, "{field}: {target}");
    }
    for (query, field) in [
        ("group=2", "group"),
        ("group=canary", "group"),
        ("status=GONE", "status"),
        ("cursor=rubbish", "cursor"),
        ("limit=0", "limit"),
        ("name=x", "name"),
    ] {
        let (status, problem) = site
            .ask("GET", &format!("{devices}?{query}"), &token, None)
            .await;
        assert_eq!((status, &problem["field"]), (400, &json!(field)), "{query}");
    }
}

#[actix_web::test]
async fn an_image_that_a_rollout_needs_stays() {
    let site = Site::start().await;
    let token = site.token(Role::Operator).await;
    site.ask("POST", "/api/v1/rollouts", &token, Some(autumn()))
        .await;
    let (status, problem) = site.ask("DELETE", "/api/v1/firmware/1", &token, None).await;
    assert_eq!((status, &problem["code"]), (409, &json!("in_use")));
    let detail = problem["detail"].as_str().unwrap_or_default();
    assert!(detail.contains("rollout 1 needs this image"), "{problem}");
    site.ask("DELETE", "/api/v1/rollouts/1", &token, None).await;
    let (status, _) = site.ask("DELETE", "/api/v1/firmware/1", &token, None).await;
    assert_eq!(status, 204);
}
