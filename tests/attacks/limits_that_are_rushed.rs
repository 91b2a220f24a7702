//! What there may be a certain number of is counted one by one: who asks many times at once gets no more.

use futures_util::future::join_all;
use reqwest::StatusCode;
use serde_json::{Value as Json, json};

use crate::support::server::Server;

const AT_ONCE: usize = 24;

#[actix_web::test]
async fn many_requests_at_once_do_not_get_past_a_limit() {
    let server = Server::setup()
        .setting("rules.max", 5)
        .setting("observations.max_templates", 7)
        .setting("web.max_own_tokens", 9)
        .start()
        .await;
    let client = reqwest::Client::new();
    let post = |path: &str, body: Json| {
        let request = client.post(server.url(path)).bearer_auth(server.token());
        async move {
            request
                .json(&body)
                .send()
                .await
                .expect("an answer")
                .status()
        }
    };
    let rules = (0..AT_ONCE).map(|number| {
        let condition = json!({"kind": "absence", "after_s": 60});
        let body =
            json!({"name": format!("r{number}"), "path": "/3303/0/5700", "condition": condition});
        post("/api/v1/rules", body)
    });
    made(join_all(rules).await, 5);
    let before = client.get(server.url("/api/v1/observation-templates"));
    let before = before.bearer_auth(server.token()).send().await;
    let before: Json = before.expect("an answer").json().await.expect("JSON");
    let before = before["items"].as_array().expect("a list").len();
    let templates = (0..AT_ONCE).map(|number| {
        let body = json!({"kind": "observe", "paths": [format!("/{}", 20_000 + number)]});
        post("/api/v1/observation-templates", body)
    });
    made(join_all(templates).await, 7 - before);

    // Tokens of one's own.
    let password = "long enough, really";
    let person = json!({"name": "ada", "role": "viewer", "password": password, "must_change_password": false});
    assert_eq!(post("/api/v1/users", person).await, 201);
    let login = client.post(server.url("/api/v1/session"));
    let login = login
        .json(&json!({"name": "ada", "password": password}))
        .send();
    let login = login.await.expect("an answer");
    let cookie = login.headers().get("set-cookie").expect("a session");
    let cookie = cookie
        .to_str()
        .expect("text")
        .split(';')
        .next()
        .unwrap_or_default()
        .to_owned();
    let tokens = (0..2 * AT_ONCE).map(|number| {
        let request = client
            .post(server.url("/api/v1/session/tokens"))
            .header("cookie", &cookie);
        let body = json!({"name": format!("t{number}"), "role": "viewer"});
        async move {
            request
                .json(&body)
                .send()
                .await
                .expect("an answer")
                .status()
        }
    });
    made(join_all(tokens).await, 9);
}

/// So many were made, and the others were told that there are too many.
#[track_caller]
fn made(answers: Vec<StatusCode>, wanted: usize) {
    let made = answers.iter().filter(|status| status.as_u16() == 201);
    assert_eq!(made.count(), wanted, "{answers:?}");
    let refused = answers.iter().filter(|status| status.as_u16() == 409);
    assert_eq!(refused.count(), answers.len() - wanted, "{answers:?}");
}
