//! Every route, asked by nobody and by every role.

use flownexus::store::Role;
use serde_json::{Value as Json, json};

use crate::support::site::{DEVICE, Site};

/// Whether a route is for the role.
fn allowed(role: Role, needed: Role) -> bool {
    role >= needed
}

/// Every route of the API: method, path, what it needs, a body.
fn routes() -> Vec<(&'static str, String, Role, Option<Json>)> {
    use Role::{Admin, Operator, Viewer};
    let device = format!("/api/v1/endpoints/{DEVICE}");
    let operation = json!({"kind": "read", "path": "/3/0/0"});
    let rule = json!({
        "name": "r", "path": "/3303", "condition": {"kind": "absence", "after_s": 0}
    });
    let person = json!({"name": "x y", "role": "viewer", "password": "short"});
    vec![
        ("GET", "/api/v1/endpoints".into(), Viewer, None),
        ("GET", "/api/v1/endpoints.csv".into(), Viewer, None),
        ("GET", device.clone(), Viewer, None),
        ("DELETE", "/api/v1/endpoints/nobody".into(), Operator, None),
        (
            "PATCH",
            device.clone(),
            Operator,
            Some(json!({"awake_s": 0})),
        ),
        ("GET", format!("{device}/operations"), Viewer, None),
        (
            "POST",
            format!("{device}/operations"),
            Operator,
            Some(operation),
        ),
        ("GET", "/api/v1/operations".into(), Viewer, None),
        ("GET", "/api/v1/operations/0".into(), Viewer, None),
        ("DELETE", "/api/v1/operations/0".into(), Operator, None),
        ("POST", "/api/v1/operations/0/repeat".into(), Operator, None),
        ("GET", "/api/v1/bulk-operations".into(), Viewer, None),
        (
            "POST",
            "/api/v1/bulk-operations".into(),
            Operator,
            Some(json!({})),
        ),
        ("GET", "/api/v1/bulk-operations/0".into(), Viewer, None),
        (
            "GET",
            "/api/v1/bulk-operations/0/devices".into(),
            Viewer,
            None,
        ),
        ("DELETE", "/api/v1/bulk-operations/0".into(), Operator, None),
        ("GET", format!("{device}/resources"), Viewer, None),
        (
            "GET",
            format!("{device}/history?path=/3303/0/5700"),
            Viewer,
            None,
        ),
        ("GET", "/api/v1/data/temperature".into(), Viewer, None),
        ("GET", "/api/v1/series".into(), Viewer, None),
        ("GET", "/api/v1/series/search".into(), Viewer, None),
        ("GET", "/api/v1/series.csv".into(), Viewer, None),
        ("GET", "/api/v1/locations".into(), Viewer, None),
        ("GET", "/api/v1/pinned-charts".into(), Viewer, None),
        (
            "POST",
            "/api/v1/pinned-charts".into(),
            Operator,
            Some(json!({"title": "", "view": ""})),
        ),
        (
            "PATCH",
            "/api/v1/pinned-charts/0".into(),
            Operator,
            Some(json!({"title": "x"})),
        ),
        ("DELETE", "/api/v1/pinned-charts/0".into(), Operator, None),
        ("GET", "/api/v1/saved-filters".into(), Viewer, None),
        (
            "POST",
            "/api/v1/saved-filters".into(),
            Viewer,
            Some(json!({"name": "", "view": ""})),
        ),
        ("DELETE", "/api/v1/saved-filters/0".into(), Viewer, None),
        ("GET", "/api/v1/resource-types".into(), Viewer, None),
        (
            "PUT",
            "/api/v1/resource-types/0/0/retention".into(),
            Admin,
            Some(json!({"raw_days": 36_501})),
        ),
        ("GET", "/api/v1/events".into(), Viewer, None),
        ("GET", "/api/v1/events/0".into(), Viewer, None),
        ("GET", format!("{device}/logs"), Viewer, None),
        ("GET", format!("{device}/messages"), Viewer, None),
        ("GET", format!("{device}/messages/0"), Viewer, None),
        ("GET", format!("{device}/messages.pcap"), Operator, None),
        ("GET", format!("{device}/traffic"), Viewer, None),
        ("GET", "/api/v1/traffic".to_owned(), Viewer, None),
        ("GET", "/api/v1/log-resources".into(), Viewer, None),
        (
            "POST",
            "/api/v1/log-resources".into(),
            Operator,
            Some(json!({"path": "/"})),
        ),
        ("DELETE", "/api/v1/log-resources/0".into(), Operator, None),
        ("GET", "/api/v1/rules".into(), Viewer, None),
        ("GET", "/api/v1/rules/0".into(), Viewer, None),
        ("POST", "/api/v1/rules".into(), Operator, Some(rule.clone())),
        ("PUT", "/api/v1/rules/0".into(), Operator, Some(rule)),
        ("DELETE", "/api/v1/rules/0".into(), Operator, None),
        ("GET", "/api/v1/observation-templates".into(), Viewer, None),
        (
            "POST",
            "/api/v1/observation-templates".into(),
            Operator,
            Some(json!({"path": "/"})),
        ),
        (
            "PUT",
            "/api/v1/observation-templates/0".into(),
            Operator,
            Some(json!({"path": "/"})),
        ),
        (
            "DELETE",
            "/api/v1/observation-templates/0".into(),
            Operator,
            None,
        ),
        ("GET", "/api/v1/models".into(), Viewer, None),
        ("POST", "/api/v1/models".into(), Operator, Some(json!({}))),
        ("GET", "/api/v1/models/0".into(), Viewer, None),
        ("GET", "/api/v1/models/0/0".into(), Viewer, None),
        ("GET", "/api/v1/models/0/0/definition".into(), Viewer, None),
        ("DELETE", "/api/v1/models/0/0".into(), Operator, None),
        ("GET", "/api/v1/firmware".into(), Viewer, None),
        ("POST", "/api/v1/firmware".into(), Operator, Some(json!({}))),
        ("GET", "/api/v1/firmware/0".into(), Viewer, None),
        ("GET", "/api/v1/firmware/0/file".into(), Viewer, None),
        (
            "PATCH",
            "/api/v1/firmware/0".into(),
            Operator,
            Some(json!({})),
        ),
        ("DELETE", "/api/v1/firmware/0".into(), Operator, None),
        ("GET", "/api/v1/firmware-updates".into(), Viewer, None),
        (
            "POST",
            "/api/v1/firmware-updates".into(),
            Operator,
            Some(json!({})),
        ),
        ("GET", "/api/v1/firmware-updates/0".into(), Viewer, None),
        (
            "DELETE",
            "/api/v1/firmware-updates/0".into(),
            Operator,
            None,
        ),
        ("GET", "/api/v1/rollouts".into(), Viewer, None),
        ("POST", "/api/v1/rollouts".into(), Operator, Some(json!({}))),
        (
            "POST",
            "/api/v1/rollouts/rehearse".into(),
            Operator,
            Some(json!({})),
        ),
        ("GET", "/api/v1/rollouts/0".into(), Viewer, None),
        ("DELETE", "/api/v1/rollouts/0".into(), Operator, None),
        ("GET", "/api/v1/rollouts/0/targets".into(), Viewer, None),
        ("POST", "/api/v1/rollouts/0/start".into(), Operator, None),
        ("POST", "/api/v1/rollouts/0/pause".into(), Operator, None),
        ("POST", "/api/v1/rollouts/0/resume".into(), Operator, None),
        ("POST", "/api/v1/rollouts/0/stop".into(), Operator, None),
        (
            "POST",
            "/api/v1/rollouts/0/roll-back".into(),
            Operator,
            None,
        ),
        ("GET", "/api/v1/users".into(), Admin, None),
        ("POST", "/api/v1/users".into(), Admin, Some(person)),
        ("DELETE", "/api/v1/users/nobody".into(), Admin, None),
        (
            "PUT",
            "/api/v1/users/nobody/password".into(),
            Admin,
            Some(json!({"password": "short"})),
        ),
        (
            "PATCH",
            "/api/v1/users/nobody".into(),
            Admin,
            Some(json!({"disabled": true})),
        ),
        ("DELETE", "/api/v1/users/nobody/totp".into(), Admin, None),
        ("GET", "/api/v1/sessions".into(), Admin, None),
        ("DELETE", "/api/v1/sessions/0".into(), Admin, None),
        ("GET", "/api/v1/tokens".into(), Admin, None),
        (
            "POST",
            "/api/v1/tokens".into(),
            Admin,
            Some(json!({"name": "x y", "role": "viewer"})),
        ),
        ("DELETE", "/api/v1/tokens/0".into(), Admin, None),
        ("GET", "/api/v1/credentials".into(), Admin, None),
        ("POST", "/api/v1/credentials".into(), Admin, Some(json!({}))),
        ("GET", "/api/v1/credentials/0".into(), Admin, None),
        ("DELETE", "/api/v1/credentials/0".into(), Admin, None),
        ("GET", "/api/v1/credentials/revoked".into(), Admin, None),
        (
            "POST",
            "/api/v1/credentials/revoked".into(),
            Admin,
            Some(json!({"serial": "none"})),
        ),
        (
            "DELETE",
            "/api/v1/credentials/revoked/0".into(),
            Admin,
            None,
        ),
        ("GET", "/api/v1/audit".into(), Admin, None),
        ("GET", "/api/v1/session".into(), Viewer, None),
        ("GET", "/api/v1/live?topics=fleet".into(), Viewer, None),
        ("GET", "/api/v1/openapi.json".into(), Viewer, None),
        ("GET", "/api/docs/".into(), Viewer, None),
        (
            "POST",
            "/leshan_api/resource/single".into(),
            Operator,
            Some(json!({"ep": 5})),
        ),
        (
            "POST",
            "/leshan_api/resource/composite".into(),
            Operator,
            Some(json!({"ep": 5})),
        ),
        ("GET", "/leshan_api/data/temperature/".into(), Viewer, None),
    ]
}

/// Routes of one's own account, which tokens have not: method, path, a body.
fn own_routes() -> Vec<(&'static str, &'static str, Option<Json>)> {
    let proof = json!({"password": "wrong"});
    vec![
        ("GET", "/api/v1/session/sessions", None),
        ("DELETE", "/api/v1/session/sessions", None),
        ("DELETE", "/api/v1/session/sessions/0", None),
        ("GET", "/api/v1/session/totp", None),
        ("POST", "/api/v1/session/totp", None),
        ("PUT", "/api/v1/session/totp", Some(json!({"code": "0"}))),
        ("DELETE", "/api/v1/session/totp", Some(proof)),
        ("GET", "/api/v1/session/tokens", None),
        (
            "POST",
            "/api/v1/session/tokens",
            Some(json!({"name": "x y", "role": "viewer"})),
        ),
        ("DELETE", "/api/v1/session/tokens/0", None),
    ]
}

#[actix_web::test]
async fn one_s_own_account_is_for_people_alone() {
    let site = Site::start().await;
    let admin = site.token(Role::Admin).await;
    for (method, path, body) in own_routes() {
        let (status, problem) = site.ask(method, path, "", body.clone()).await;
        assert_eq!(status, 401, "{method} {path}");
        assert_eq!(problem["code"], "unauthorized", "{method} {path}");
        let (status, problem) = site.ask(method, path, &admin, body).await;
        // What is wrong with a name is said before whose token it would be.
        let unusable = status == 422 && path.ends_with("tokens");
        assert!(status == 403 || unusable, "{method} {path}: {status}");
        assert!(
            unusable || problem["code"] == "forbidden",
            "{method} {path}"
        );
    }
    let change = json!({"present": "x", "new": "a long enough one"});
    let path = "/api/v1/session/password";
    assert_eq!(site.ask("PUT", path, "", Some(change.clone())).await.0, 401);
    assert_eq!(site.ask("PUT", path, &admin, Some(change)).await.0, 422);
}

#[actix_web::test]
async fn every_route_is_for_those_whose_role_is_large_enough() {
    let site = Site::start().await;
    let expired = site.expired_token(Role::Admin).await;
    let genuine = site.token(Role::Admin).await;
    let truncated = &genuine[..genuine.len() - 1];
    let swapped: String = genuine.chars().rev().collect();
    let strangers = ["", "rubbish", &expired, truncated, &swapped];
    let roles = [Role::Viewer, Role::Operator, Role::Admin];
    let mut tokens = Vec::new();
    for role in roles {
        tokens.push((role, site.token(role).await));
    }
    for (method, path, needed, body) in routes() {
        for stranger in strangers {
            let (status, problem) = site.ask(method, &path, stranger, body.clone()).await;
            assert_eq!(status, 401, "{method} {path} with `{stranger}`");
            assert_eq!(problem["code"], "unauthorized", "{method} {path}");
        }
        for (role, token) in &tokens {
            let (status, problem) = site.ask(method, &path, token, body.clone()).await;
            if allowed(*role, needed) {
                assert!(
                    ![401, 403, 405, 500].contains(&status),
                    "{method} {path} as {role:?}: {status}"
                );
            } else {
                assert_eq!(status, 403, "{method} {path} as {role:?}");
                assert_eq!(problem["code"], "forbidden", "{method} {path}");
            }
        }
    }
}

/// What the document says of the role that a call needs is what the table says, which the server was asked about.
#[actix_web::test]
async fn the_document_names_the_role_of_every_call() {
    let document = flownexus::web::openapi::document();
    let document = serde_json::to_value(&document).expect("JSON");
    let paths = document["paths"].as_object().expect("paths");
    let call = |method: &str, path: &str| {
        let asked = path.split('?').next().unwrap_or_default();
        let asked: Vec<&str> = asked.split('/').collect();
        let fits = |pattern: &str| {
            let pattern: Vec<&str> = pattern.split('/').collect();
            pattern.len() == asked.len()
                && pattern
                    .iter()
                    .zip(&asked)
                    .all(|(wanted, found)| wanted.starts_with('{') || wanted == found)
        };
        // `rehearse` fits `{id}` too.
        let exact = paths.get_key_value(path);
        let found = exact.or_else(|| paths.iter().find(|(pattern, _)| fits(pattern)));
        found.map(|(_, item)| item[method.to_lowercase()].clone())
    };
    for (method, path, needed, _) in routes() {
        // Swagger UI is a page.
        let Some(call) = call(method, &path) else {
            assert_eq!(path, "/api/docs/");
            continue;
        };
        let role = format!("{needed:?}").to_lowercase();
        let expected = json!([{"token": [role]}, {"session": [role]}]);
        assert_eq!(call["security"], expected, "{method} {path}");
        let described = call["description"].as_str().unwrap_or_default();
        let words = format!("Needs the role {role}.");
        let is_said = described.contains(&words);
        assert_eq!(is_said, needed > Role::Viewer, "{method} {path}");
    }
    for (method, path, _) in own_routes() {
        let call = call(method, path).expect(path);
        assert_eq!(
            call["security"],
            json!([{"session": ["viewer"]}]),
            "{method} {path}"
        );
    }
}

/// A route that is in the document but not in the table above would go unchecked.
#[actix_web::test]
async fn the_table_is_complete() {
    let pattern_of = |path: &str| {
        let path = path.split('?').next().unwrap_or_default();
        path.replace(DEVICE, "{}")
            .replace("/nobody", "/{}")
            .replace("/0", "/{}")
            .replace("/temperature", "/{}")
    };
    let checked: Vec<(String, String)> = routes()
        .iter()
        .map(|(method, path, ..)| ((*method).to_owned(), pattern_of(path)))
        .collect();
    let own = own_routes().into_iter();
    let own = own.map(|(method, path, _)| (method.to_owned(), pattern_of(path)));
    let password = ("PUT".to_owned(), "/api/v1/session/password".to_owned());
    let checked: Vec<_> = checked.into_iter().chain(own).chain([password]).collect();
    let document = flownexus::web::openapi::document();
    let document = serde_json::to_value(&document).expect("JSON");
    for (path, item) in document["paths"].as_object().expect("paths") {
        let mut pattern = String::new();
        for segment in path.split('/').skip(1) {
            pattern.push('/');
            pattern.push_str(if segment.starts_with('{') {
                "{}"
            } else {
                segment
            });
        }
        for method in item.as_object().expect("methods").keys() {
            let public = pattern.starts_with("/health") || pattern == "/metrics";
            // Logging in needs no login, and logging out would need one for each question.
            let session = pattern == "/api/v1/session" && method != "get";
            let route = (method.to_uppercase(), pattern.clone());
            assert!(
                public || session || checked.contains(&route),
                "{route:?} is not in the table"
            );
        }
    }
}

#[actix_web::test]
async fn a_body_is_not_looked_at_before_the_role() {
    let site = Site::start().await;
    let viewer = site.token(Role::Viewer).await;
    let path = format!("/api/v1/endpoints/{DEVICE}/operations?rubbish=1");
    for (token, wanted) in [("", 401), (viewer.as_str(), 403)] {
        let mut request = site.request("POST", &path).body("{");
        if !token.is_empty() {
            request = request.bearer_auth(token);
        }
        let answer = request.send().await.expect("an answer");
        assert_eq!(answer.status(), wanted);
    }
}

#[actix_web::test]
async fn a_token_that_is_removed_stops_working_at_once() {
    let site = Site::start().await;
    let admin = site.token(Role::Admin).await;
    let body = json!({"name": "ci", "role": "viewer", "expires_in_days": 1});
    let (status, made) = site
        .ask("POST", "/api/v1/tokens", &admin, Some(body.clone()))
        .await;
    assert_eq!(status, 201);
    let token = made["token"].as_str().expect("the token");
    assert!(token.starts_with("fnx_"));
    let (_, me) = site.ask("GET", "/api/v1/session", token, None).await;
    assert_eq!(me["name"], "token:ci");

    let (status, problem) = site.ask("POST", "/api/v1/tokens", &admin, Some(body)).await;
    assert_eq!((status, &problem["code"]), (409, &json!("exists")));
    let (_, list) = site.ask("GET", "/api/v1/tokens", &admin, None).await;
    assert!(!list.to_string().contains(token), "a list shows no token");

    let path = format!("/api/v1/tokens/{}", made["id"]);
    assert_eq!(site.ask("DELETE", &path, &admin, None).await.0, 204);
    assert_eq!(site.ask("GET", "/api/v1/session", token, None).await.0, 401);
}

#[actix_web::test]
async fn the_use_of_a_token_is_noted_once_a_minute() {
    let site = Site::start().await;
    let token = site.token(Role::Viewer).await;
    for _ in 0..5 {
        assert_eq!(
            site.ask("GET", "/api/v1/endpoints", &token, None).await.0,
            200
        );
    }
    assert_eq!(site.store.people().uses, 1);
}

#[actix_web::test]
async fn changes_are_in_the_audit_log_with_who_and_from_where() {
    let site = Site::start().await;
    let admin = site.token(Role::Admin).await;
    let path = format!("/api/v1/endpoints/{DEVICE}");
    assert_eq!(site.ask("DELETE", &path, &admin, None).await.0, 204);
    let person = json!({"name": "bob", "role": "viewer", "password": "a long password"});
    let (status, _) = site
        .ask("POST", "/api/v1/users", &admin, Some(person))
        .await;
    assert_eq!(status, 201);
    let (_, log) = site.ask("GET", "/api/v1/audit?limit=1", &admin, None).await;
    assert_eq!(log["items"][0]["action"], "user.create");
    assert_eq!(log["items"][0]["subject"], "bob");
    let path = format!(
        "/api/v1/audit?cursor={}",
        log["next"].as_str().expect("a cursor")
    );
    let (_, log) = site.ask("GET", &path, &admin, None).await;
    assert_eq!(log["items"][0]["action"], "endpoint.delete");
    assert_eq!(log["items"][0]["subject"], DEVICE);
    assert_eq!(log["items"][0]["remote"], "127.0.0.1");
    let actor = log["items"][0]["actor"].as_str().expect("an actor");
    assert!(actor.starts_with("token:"));
    assert!(!log.to_string().contains("a long password"));
}

#[actix_web::test]
async fn nobody_removes_themselves_or_the_last_admin() {
    let site = Site::start().await;
    site.person("alice", Role::Admin).await;
    let cookie = site.login("alice").await;
    let remove = |name: &str| {
        site.request("DELETE", &format!("/api/v1/users/{name}"))
            .header("cookie", &cookie)
            .send()
    };
    assert_eq!(remove("alice").await.expect("an answer").status(), 409);
    let admin = site.token(Role::Admin).await;
    let (status, problem) = site
        .ask("DELETE", "/api/v1/users/alice", &admin, None)
        .await;
    assert_eq!((status, &problem["code"]), (409, &json!("last_admin")));
    site.person("bob", Role::Admin).await;
    assert_eq!(remove("bob").await.expect("an answer").status(), 204);
}
