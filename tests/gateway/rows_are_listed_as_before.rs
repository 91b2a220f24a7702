//! `GET /leshan_api/data/{name}/`: the first flownexus's rows, with the device, in pages.

use reqwest::StatusCode;
use serde_json::{Value as Json, json};

use super::single;
use crate::support::server::{Api, Server};

/// A page and the address of the next one.
async fn page(api: &Api, path: &str) -> (Vec<Json>, Option<String>) {
    let answer = api.get(path).await;
    assert_eq!(answer.status(), StatusCode::OK, "{path}");
    let next = answer.headers().get("link").map(|link| {
        let link = link.to_str().expect("text");
        let (address, relation) = link.split_once(">; ").expect("a link");
        assert_eq!(relation, "rel=\"next\"");
        address.trim_start_matches('<').to_owned()
    });
    let rows: Vec<Json> = answer.json().await.expect("a list");
    (rows, next)
}

#[tokio::test]
async fn oldest_first_the_newest_page_first_over_all_devices() {
    let server = Server::start().await;
    let api = server.api();
    for number in 0..5 {
        let body = json!({
            "ep": format!("thing{}", number % 2), "obj_id": 3303, "obj_inst_id": number % 2,
            "timestamp": format!("2026-11-23T12:00:0{number}Z"),
            "val": {"kind": "singleResource", "id": 5700, "type": "FLOAT", "value": number}
        });
        assert_eq!(
            api.post(super::SINGLE, &body).await.status(),
            StatusCode::CREATED
        );
    }
    let (rows, next) = page(&api, "/leshan_api/data/temperature/").await;
    assert_eq!(next, None);
    let values: Vec<&Json> = rows.iter().map(|row| &row["value"]).collect();
    assert_eq!(json!(values), json!([0.0, 1.0, 2.0, 3.0, 4.0]));
    let mut first = rows[1].clone();
    assert!(first["received_at"].take().is_string());
    assert_eq!(
        first,
        json!({
            "timestamp_created": "2026-11-23T12:00:01.000Z", "value": 1.0,
            "resource_type": "temperature", "endpoint": "thing1", "path": "/3303/1/5700",
            "received_at": null,
        })
    );

    let mut seen = Vec::new();
    let mut path = "/leshan_api/data/temperature?limit=2".to_owned();
    loop {
        let (rows, next) = page(&api, &path).await;
        assert!(rows.len() <= 2);
        seen.push(
            rows.iter()
                .map(|row| row["value"].as_f64().expect("a number"))
                .collect::<Vec<_>>(),
        );
        match next {
            Some(next) => path = next,
            None => break,
        }
    }
    assert_eq!(seen, [vec![3.0, 4.0], vec![1.0, 2.0], vec![0.0]]);

    // The API of this flownexus pages the same values.
    let newest = api.read("/api/v1/data/temperature?limit=3").await;
    let cursor = newest["next"].as_str().expect("there is more");
    let rest = api
        .read(&format!("/api/v1/data/temperature?cursor={cursor}"))
        .await;
    assert_eq!(rest["items"].as_array().map(Vec::len), Some(2));
    assert_eq!(rest["next"], Json::Null);
}

#[tokio::test]
async fn who_may_read_and_who_may_post() {
    let server = Server::start().await;
    let admin = server.api();
    let token = async |role: &str| {
        let body = json!({"name": role, "role": role});
        let made = admin.create("/api/v1/tokens", &body).await;
        admin.with_token(made["token"].as_str().expect("a token"))
    };
    let (viewer, operator) = (token("viewer").await, token("operator").await);
    let body = json!({"ep": "thing", "obj_id": 3303,
        "val": {"kind": "singleResource", "id": 5700, "type": "FLOAT", "value": "1"}});
    let data = "/leshan_api/data/temperature/";
    for path in [super::SINGLE, super::COMPOSITE] {
        for (api, status) in [
            (&server.anonymous(), StatusCode::UNAUTHORIZED),
            (&viewer, StatusCode::FORBIDDEN),
        ] {
            assert_eq!(api.post(path, &body).await.status(), status, "{path}");
        }
    }
    assert_eq!(
        server.anonymous().get(data).await.status(),
        StatusCode::UNAUTHORIZED
    );
    assert!(
        admin.endpoint("thing").await.is_none(),
        "nothing was stored"
    );
    single(&operator, "thing", 3303, body["val"].clone()).await;
    assert_eq!(page(&viewer, data).await.0.len(), 1);

    for (method, path, status) in [
        (reqwest::Method::GET, "/leshan_api/resource/single", 405),
        (reqwest::Method::POST, "/leshan_api/data/temperature/", 405),
        (reqwest::Method::GET, "/leshan_api/nothing", 404),
    ] {
        let answer = admin.request(method, path).send().await.expect("an answer");
        assert_eq!(answer.status().as_u16(), status, "{path}");
        assert_eq!(answer.headers()["content-type"], "application/problem+json");
    }
}
