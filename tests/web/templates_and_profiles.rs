//! Whom templates are for, what people say of devices, and what is wanted against what is.

use flownexus::domain::{
    EndpointId, Observation, ObservationId, ObservationState, Path, TemplateVersion, Timestamp,
    Token, Wanted, WantedId, WantedState,
};
use flownexus::store::Role;
use serde_json::{Value as Json, json};

use crate::support::site::{DEVICE, Site};

const TEMPLATES: &str = "/api/v1/observation-templates";

fn device() -> String {
    format!("/api/v1/endpoints/{DEVICE}")
}

#[actix_web::test]
async fn a_template_is_made_replaced_and_removed() {
    let site = Site::start().await;
    let token = site.token(Role::Operator).await;
    let body = json!({
        "path": "/3303/0/5700", "attributes": {"pmin": 10, "pmax": 300},
        "filter": {"names": ["urn:*"], "tags": ["lab"]}, "format": "senml_cbor",
    });
    let (status, made) = site.ask("POST", TEMPLATES, &token, Some(body)).await;
    assert_eq!(status, 201, "{made}");
    let id = made["id"].clone();
    let expected = json!({
        "id": id, "kind": "observe", "paths": ["/3303/0/5700"],
        "attributes": {"pmin": "10", "pmax": "300"},
        "filter": {"names": ["urn:*"], "tags": ["lab"]},
        "format": "senml_cbor", "enabled": true,
    });
    assert_eq!(made, expected);

    let path = format!("{TEMPLATES}/{id}");
    let body = json!({"paths": ["/3/0", "/4"], "enabled": false});
    let (status, replaced) = site.ask("PUT", &path, &token, Some(body)).await;
    assert_eq!(status, 200, "{replaced}");
    assert_eq!(replaced["kind"], "observe_composite");
    assert_eq!(
        replaced["attributes"],
        json!({}),
        "what is not named is gone"
    );
    assert_eq!(replaced["enabled"], false);
    let (_, list) = site.ask("GET", TEMPLATES, &token, None).await;
    assert_eq!(list["items"], json!([replaced]));

    let wrong = json!({"path": "/3/0", "attributes": {"gt": 1}});
    let (status, problem) = site.ask("PUT", &path, &token, Some(wrong)).await;
    assert_eq!((status, &problem["field"]), (422, &json!("attributes")));
    let body = json!({"path": "/3"});
    let nowhere = format!("{TEMPLATES}/4711");
    assert_eq!(site.ask("PUT", &nowhere, &token, Some(body)).await.0, 404);
    assert_eq!(site.ask("DELETE", &path, &token, None).await.0, 204);
    let actions: Vec<String> = site
        .store
        .people()
        .audit
        .iter()
        .map(|entry| format!("{} {}", entry.action, entry.detail))
        .collect();
    assert_eq!(
        actions,
        [
            "template.create observe /3303/0/5700 pmin=10 pmax=300 as senml_cbor for urn:* #lab",
            "template.update observe_composite /3/0 /4 for every device, disabled",
            "template.delete ",
        ]
    );
}

#[actix_web::test]
async fn a_profile_is_patched_field_by_field() {
    let site = Site::start().await;
    let token = site.token(Role::Operator).await;
    let (_, before) = site.ask("GET", &device(), &token, None).await;
    assert_eq!(before["tags"], json!([]));
    assert_eq!(before["awake_s"], Json::Null);

    let patch = json!({"tags": ["rack-3", "lab", "lab"], "awake_s": 20});
    let (status, after) = site.ask("PATCH", &device(), &token, Some(patch)).await;
    assert_eq!(status, 200, "{after}");
    assert_eq!(after["tags"], json!(["lab", "rack-3"]));
    assert_eq!(
        (&after["awake_s"], &after["edrx_cycle_s"]),
        (&json!(20), &Json::Null)
    );
    let patch = json!({"awake_s": null, "edrx_cycle_s": 40});
    let (_, after) = site.ask("PATCH", &device(), &token, Some(patch)).await;
    assert_eq!(
        after["tags"],
        json!(["lab", "rack-3"]),
        "not named, not changed"
    );
    assert_eq!(
        (&after["awake_s"], &after["edrx_cycle_s"]),
        (&Json::Null, &json!(40))
    );

    for (patch, field) in [
        (json!({"tags": ["a b"]}), "tags"),
        (json!({"awake_s": 0}), "awake_s"),
        (json!({"edrx_cycle_s": "long"}), "edrx_cycle_s"),
        (json!({"lifetime_s": 1}), "lifetime_s"),
    ] {
        let (status, problem) = site.ask("PATCH", &device(), &token, Some(patch)).await;
        assert_eq!((status, &problem["field"]), (422, &json!(field)));
    }
    let list = json!([1]);
    assert_eq!(
        site.ask("PATCH", &device(), &token, Some(list)).await.0,
        422
    );
    let nobody = "/api/v1/endpoints/nobody";
    let patch = json!({"tags": []});
    assert_eq!(site.ask("PATCH", nobody, &token, Some(patch)).await.0, 404);
    let entry = site.store.people().audit[0].clone();
    assert_eq!(
        (entry.action.as_str(), entry.subject.as_str()),
        ("endpoint.update", DEVICE)
    );
    assert_eq!(
        entry.detail,
        "tags lab rack-3, awake window 20 s, eDRX cycle none"
    );
}

#[actix_web::test]
async fn devices_are_listed_by_their_tag() {
    let site = Site::start().await;
    let token = site.token(Role::Operator).await;
    site.store.add_device("other", false);
    let patch = json!({"tags": ["lab"]});
    site.ask("PATCH", &device(), &token, Some(patch)).await;
    let (_, list) = site
        .ask("GET", "/api/v1/endpoints?tag=lab", &token, None)
        .await;
    let names: Vec<&str> = list["items"]
        .as_array()
        .expect("items")
        .iter()
        .filter_map(|item| item["name"].as_str())
        .collect();
    assert_eq!(names, [DEVICE]);
    let (_, none) = site
        .ask("GET", "/api/v1/endpoints?tag=cold", &token, None)
        .await;
    assert_eq!(none["items"], json!([]));
}

fn wanted(id: EndpointId, path: Path) -> Wanted {
    Wanted {
        id: WantedId(i64::from(path.object_id().unwrap_or_default())),
        endpoint_id: id,
        paths: vec![path],
        composite: false,
        template: Some(TemplateVersion { id: 2, revision: 0 }),
        user: None,
        cancelled_by: None,
        attributes: vec![("pmax".into(), "60".into())],
        withdrawn: Vec::new(),
        attributes_asked: true,
        attributes_error: None,
        format: None,
        state: WantedState::Active,
        reason: None,
        since: moment(0),
        retry_at: None,
        losses: 0,
    }
}

fn moment(second: i64) -> Timestamp {
    Timestamp::clamped_from_millis(1_700_000_000_000 + second * 1000)
}

fn observation(id: EndpointId, path: Path) -> Observation {
    let row = ObservationId(i64::from(path.object_id().unwrap_or_default()));
    let token = Token::from([1; 8]);
    Observation {
        format: Some(110),
        state: ObservationState::Active,
        notified_at: Some(moment(5)),
        notifications: 7,
        ..Observation::requested(row, id, token, vec![path], moment(0))
    }
}

#[actix_web::test]
async fn what_is_wanted_is_shown_against_what_is() {
    let site = Site::start().await;
    let token = site.token(Role::Viewer).await;
    {
        let mut tables = site.store.tables();
        let id = tables.endpoints.values().next().expect("the device").id;
        let lost = Wanted {
            state: WantedState::Lost,
            reason: Some("no notification for 2 × pmax, which is 60 s".into()),
            retry_at: Some(moment(20)),
            ..wanted(id, Path::resource(3303, 0, 5700))
        };
        let cancelled = Wanted {
            state: WantedState::Missing,
            cancelled_by: Some("ada".into()),
            ..wanted(id, Path::resource(3304, 0, 5700))
        };
        tables.wanted = vec![wanted(id, Path::object(3)), lost, cancelled];
        tables.observations = vec![
            observation(id, Path::object(3)),
            observation(id, Path::object(4)),
        ];
    }
    let (_, shown) = site.ask("GET", &device(), &token, None).await;
    let lines = shown["observations"].as_array().expect("a list");
    assert_eq!(lines.len(), 4);
    assert_eq!(
        lines[0],
        json!({
            "paths": ["/3"], "kind": "observe", "wanted": true, "state": "active",
            "reason": null, "template_id": 2, "requested_by": null,
            "attributes": {"pmax": "60"}, "attributes_error": null, "format": "senml_json",
            "since": moment(0).to_string(), "retry_at": null,
            "last_notified_at": moment(5).to_string(), "notifications": 7,
        })
    );
    assert_eq!(
        (&lines[1]["state"], &lines[1]["wanted"]),
        (&json!("lost"), &json!(true))
    );
    assert_eq!(lines[1]["retry_at"], moment(20).to_string());
    assert_eq!(
        (&lines[2]["state"], &lines[2]["wanted"]),
        (&json!("missing"), &json!(false))
    );
    assert!(
        lines[2]["reason"]
            .as_str()
            .is_some_and(|why| why.starts_with("ada cancelled"))
    );
    assert_eq!(
        (&lines[3]["paths"], &lines[3]["wanted"]),
        (&json!(["/4"]), &json!(false))
    );
    assert_eq!(lines[3]["state"], "active");
}
