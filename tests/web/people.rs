//! People: what they have to do first, what admins do with them, and what becomes of their sessions at once.

use flownexus::config::RequireTotp;
use flownexus::store::{Role, UserStore as _};
use reqwest::header::LOCATION;
use serde_json::{Value as Json, json};

use crate::support::site::{PASSWORD, Site, answer_to, cookie_of};

/// Asks with a cookie; the status and the body.
pub(super) async fn with(
    site: &Site,
    cookie: &str,
    method: &str,
    path: &str,
    body: Option<Json>,
) -> (u16, Json) {
    let mut request = site.request(method, path).header("cookie", cookie);
    if let Some(body) = body {
        request = request.json(&body);
    }
    answer_to(request).await
}

/// Where a page leads that this one asks for.
async fn leads_to(site: &Site, cookie: &str, path: &str) -> String {
    let answer = site.request("GET", path).header("cookie", cookie).send();
    let answer = answer.await.expect("an answer");
    let to = answer.headers().get(LOCATION);
    to.map_or_else(
        || answer.status().to_string(),
        |to| to.to_str().expect("text").to_owned(),
    )
}

/// The lines of the audit log, oldest first: actor, action, subject.
pub(super) fn lines(site: &Site) -> Vec<(String, String, String)> {
    let people = site.store.people();
    let lines = people.audit.iter();
    lines
        .map(|line| {
            (
                line.actor.clone(),
                line.action.clone(),
                line.subject.clone(),
            )
        })
        .collect()
}

#[actix_web::test]
async fn who_was_given_a_password_chooses_another_before_anything_else() {
    let site = Site::start().await;
    let admin = site.token(Role::Admin).await;
    let person = json!({"name": "alice", "role": "admin", "password": PASSWORD});
    let (status, made) = site
        .ask("POST", "/api/v1/users", &admin, Some(person))
        .await;
    assert_eq!((status, &made["must_change_password"]), (201, &json!(true)));
    let cookie = site.login("alice").await;

    let (_, me) = with(&site, &cookie, "GET", "/api/v1/session", None).await;
    assert_eq!(me["must_change_password"], true);
    for path in [
        "/api/v1/endpoints",
        "/api/v1/users",
        "/api/v1/live?topics=fleet",
        "/api/v1/session/tokens",
        "/api/v1/openapi.json",
        "/leshan_api/data/temperature/",
    ] {
        let (status, problem) = with(&site, &cookie, "GET", path, None).await;
        assert_eq!(status, 403, "{path}");
        assert_eq!(problem["code"], "password_change_required", "{path}");
        let detail = problem["detail"].as_str().expect("a sentence");
        assert!(detail.contains("/api/v1/session/password"), "{detail}");
    }
    for path in ["/", "/devices", "/users", "/settings", "/audit.csv"] {
        assert_eq!(leads_to(&site, &cookie, path).await, "/account", "{path}");
    }
    assert_eq!(leads_to(&site, &cookie, "/account").await, "200 OK");
    let sessions = "/api/v1/session/sessions";
    assert_eq!(with(&site, &cookie, "GET", sessions, None).await.0, 200);

    let change = |present: &str, new: &str| json!({"present": present, "new": new});
    let path = "/api/v1/session/password";
    for (body, status) in [
        (change("wrong", "a password of my own"), 401),
        (change(PASSWORD, "short"), 422),
        (change(PASSWORD, PASSWORD), 422),
    ] {
        let (got, problem) = with(&site, &cookie, "PUT", path, Some(body)).await;
        assert_eq!(got, status, "{problem}");
    }
    let answer = site
        .request("PUT", path)
        .header("cookie", &cookie)
        .json(&change(PASSWORD, "a password of my own"))
        .send()
        .await
        .expect("an answer");
    assert_eq!(answer.status(), 204);
    let renewed = cookie_of(&answer);
    let status = |cookie: String| {
        let site = &site;
        async move { with(site, &cookie, "GET", "/api/v1/users", None).await.0 }
    };
    assert_eq!(status(renewed).await, 200);
    assert_eq!(status(cookie).await, 401, "the session of before has ended");
}

#[actix_web::test]
async fn an_admin_says_whether_a_password_has_to_be_changed() {
    let site = Site::start().await;
    let admin = site.token(Role::Admin).await;
    site.person("alice", Role::Viewer).await;
    let path = "/api/v1/users/alice/password";
    for (must_change, status) in [(json!(null), 422), (json!(false), 204), (json!(true), 204)] {
        let body = json!({"password": PASSWORD, "must_change": must_change});
        assert_eq!(site.ask("PUT", path, &admin, Some(body)).await.0, status);
        if status == 204 {
            let cookie = site.login("alice").await;
            let (_, me) = with(&site, &cookie, "GET", "/api/v1/session", None).await;
            assert_eq!(me["must_change_password"], must_change);
        }
    }
    let body = json!({"password": PASSWORD});
    assert_eq!(site.ask("PUT", path, &admin, Some(body)).await.0, 204);
    let alice = site.store.find("alice").await.expect("read");
    assert!(
        alice.expect("alice").must_change_password,
        "unless told otherwise"
    );
}

#[actix_web::test]
async fn a_role_counts_at_once_and_who_is_disabled_is_out() {
    let site = Site::start().await;
    let admin = site.token(Role::Admin).await;
    site.person("alice", Role::Admin).await;
    let cookie = site.login("alice").await;
    let change = |body: Json| site.ask("PATCH", "/api/v1/users/alice", &admin, Some(body));
    assert_eq!(
        with(&site, &cookie, "GET", "/api/v1/users", None).await.0,
        200
    );

    site.person("bob", Role::Admin).await;
    let (status, alice) = change(json!({"role": "viewer"})).await;
    assert_eq!((status, &alice["role"]), (200, &json!("viewer")));
    assert_eq!(
        with(&site, &cookie, "GET", "/api/v1/users", None).await.0,
        403
    );

    let (status, alice) = change(json!({"disabled": true})).await;
    assert_eq!((status, &alice["disabled"]), (200, &json!(true)));
    assert_eq!(
        with(&site, &cookie, "GET", "/api/v1/session", None).await.0,
        401
    );
    assert_eq!(site.try_login("alice", PASSWORD).await.status(), 401);

    change(json!({"disabled": false})).await;
    let cookie = site.login("alice").await;
    assert_eq!(
        with(&site, &cookie, "GET", "/api/v1/session", None).await.0,
        200
    );
    assert_eq!(change(json!({"rôle": "viewer"})).await.0, 422);
    let (status, _) = site
        .ask(
            "PATCH",
            "/api/v1/users/nobody",
            &admin,
            Some(json!({"role": "viewer"})),
        )
        .await;
    assert_eq!(status, 404);
}

#[actix_web::test]
async fn the_last_admin_who_can_log_in_stays_one() {
    let site = Site::start().await;
    let token = site.token(Role::Admin).await;
    site.person("alice", Role::Admin).await;
    site.person("bob", Role::Admin).await;
    let path = "/api/v1/users/bob";
    let off = json!({"disabled": true});
    assert_eq!(
        site.ask("PATCH", path, &token, Some(off.clone())).await.0,
        200
    );
    // Bob is an admin who cannot log in.
    let path = "/api/v1/users/alice";
    for body in [off, json!({"role": "operator"})] {
        let (status, problem) = site.ask("PATCH", path, &token, Some(body)).await;
        assert_eq!((status, &problem["code"]), (409, &json!("last_admin")));
    }
    let (status, problem) = site.ask("DELETE", path, &token, None).await;
    assert_eq!((status, &problem["code"]), (409, &json!("last_admin")));

    let cookie = site.login("alice").await;
    let body = json!({"disabled": true});
    let (status, problem) = with(&site, &cookie, "PATCH", path, Some(body)).await;
    assert_eq!((status, &problem["code"]), (409, &json!("own_account")));
}

#[actix_web::test]
async fn sessions_are_listed_and_ended_one_by_one_or_all() {
    let site = Site::start().await;
    site.person("alice", Role::Viewer).await;
    site.person("bob", Role::Viewer).await;
    let bob = site.login("bob").await;
    let (first, second) = (site.login("alice").await, site.login("alice").await);
    let path = "/api/v1/session/sessions";
    let (_, list) = with(&site, &first, "GET", path, None).await;
    let items = list["items"].as_array().expect("a list");
    assert_eq!(items.len(), 2, "one's own alone: {list}");
    for item in items {
        assert_eq!(item["user"], "alice");
        assert_eq!(item["remote"], "127.0.0.1");
        assert!(item["began_at"].is_string() && item["used_at"].is_string());
    }
    let key = first.split_once('=').expect("a cookie").1;
    assert!(!list.to_string().contains(key), "a list opens nothing");
    let this: Vec<_> = items.iter().filter(|item| item["this"] == true).collect();
    let other = items.iter().find(|item| item["this"] == false);
    assert_eq!(this.len(), 1);
    let other = other.expect("the other")["id"].as_str().expect("an id");

    // Somebody else's cannot be ended by its id.
    let (status, _) = with(&site, &bob, "DELETE", &format!("{path}/{other}"), None).await;
    assert_eq!(status, 404);
    let (status, _) = with(&site, &first, "DELETE", &format!("{path}/{other}"), None).await;
    assert_eq!(status, 204);
    let alive = |cookie: String| {
        let site = &site;
        async move { with(site, &cookie, "GET", "/api/v1/session", None).await.0 }
    };
    assert_eq!(alive(second).await, 401);

    let third = site.login("alice").await;
    let (_, ended) = with(&site, &third, "DELETE", path, None).await;
    assert_eq!(ended["ended"], 1);
    assert_eq!((alive(first).await, alive(third).await), (401, 200));

    let admin = site.token(Role::Admin).await;
    let (_, all) = site.ask("GET", "/api/v1/sessions", &admin, None).await;
    assert_eq!(all["items"].as_array().expect("a list").len(), 2);
    let (_, of_bob) = site
        .ask("GET", "/api/v1/sessions?user=bob", &admin, None)
        .await;
    let id = of_bob["items"][0]["id"].as_str().expect("an id");
    let end = format!("/api/v1/sessions/{id}");
    assert_eq!(site.ask("DELETE", &end, &admin, None).await.0, 204);
    assert_eq!(site.ask("DELETE", &end, &admin, None).await.0, 404);
    assert_eq!(alive(bob).await, 401);
    let revoked = lines(&site);
    let revoked = revoked
        .iter()
        .filter(|(_, action, _)| action == "session.revoke");
    assert_eq!(revoked.count(), 3);
}

#[actix_web::test]
async fn a_token_of_one_s_own_may_no_more_than_its_owner() {
    let site = Site::start().await;
    site.person("root", Role::Admin).await;
    site.person("alice", Role::Operator).await;
    let cookie = site.login("alice").await;
    let path = "/api/v1/session/tokens";
    let wish = |name: &str, role: &str| Some(json!({"name": name, "role": role}));
    let (status, problem) = with(&site, &cookie, "POST", path, wish("ci", "admin")).await;
    assert_eq!((status, &problem["code"]), (403, &json!("forbidden")));
    let (status, made) = with(&site, &cookie, "POST", path, wish("ci", "operator")).await;
    assert_eq!((status, &made["owner"]), (201, &json!("alice")));
    let token = made["token"].as_str().expect("the token").to_owned();
    let role = || async { site.ask("GET", "/api/v1/session", &token, None).await };
    assert_eq!(role().await.1["role"], "operator");

    let admin = site.token(Role::Admin).await;
    let change = |body: Json| site.ask("PATCH", "/api/v1/users/alice", &admin, Some(body));
    change(json!({"role": "viewer"})).await;
    assert_eq!(role().await.1["role"], "viewer", "no more than its owner");
    change(json!({"role": "admin"})).await;
    assert_eq!(
        role().await.1["role"],
        "operator",
        "and no more than it says"
    );
    change(json!({"disabled": true})).await;
    assert_eq!(role().await.0, 401);
    change(json!({"disabled": false})).await;
    assert_eq!(role().await.0, 200);

    // Whoever else may not even see it; an admin may remove it.
    site.person("bob", Role::Viewer).await;
    let bob = site.login("bob").await;
    let (_, list) = with(&site, &bob, "GET", path, None).await;
    assert_eq!(list["items"], json!([]));
    let one = format!("{path}/{}", made["id"]);
    assert_eq!(with(&site, &bob, "DELETE", &one, None).await.0, 404);
    let (_, list) = site.ask("GET", "/api/v1/tokens", &admin, None).await;
    let owners: Vec<_> = list["items"].as_array().expect("a list").iter().collect();
    assert!(owners.iter().any(|token| token["owner"] == "alice"));
    assert_eq!(
        site.ask("DELETE", "/api/v1/users/alice", &admin, None)
            .await
            .0,
        204
    );
    assert_eq!(role().await.0, 401, "it goes with the account");
}

#[actix_web::test]
async fn one_time_codes_may_be_required() {
    let site =
        Site::start_with(|settings| settings.web.require_totp_for = RequireTotp::Admin).await;
    site.person("alice", Role::Admin).await;
    site.person("bob", Role::Operator).await;
    let bob = site.login("bob").await;
    assert_eq!(
        with(&site, &bob, "GET", "/api/v1/endpoints", None).await.0,
        200
    );
    let cookie = site.login("alice").await;
    let (status, problem) = with(&site, &cookie, "GET", "/api/v1/users", None).await;
    assert_eq!(
        (status, &problem["code"]),
        (403, &json!("totp_setup_required"))
    );
    let (_, me) = with(&site, &cookie, "GET", "/api/v1/session", None).await;
    assert_eq!(me["must_set_up_totp"], true);
    assert_eq!(leads_to(&site, &cookie, "/devices").await, "/account");
    super::second_factor::set_up(&site, &cookie).await;
    assert_eq!(
        with(&site, &cookie, "GET", "/api/v1/users", None).await.0,
        200
    );
}

#[actix_web::test]
async fn refused_logins_are_in_the_audit_log_but_not_without_end() {
    let site = Site::start_with(|settings| {
        settings.web.audited_failures = 3;
        settings.web.login_attempts = 2;
    })
    .await;
    site.person("alice", Role::Viewer).await;
    for (name, password) in [("alice", "wrong"), ("hunter2 in the wrong field", "x")] {
        assert_eq!(site.try_login(name, password).await.status(), 401);
    }
    for _ in 0..5 {
        assert_eq!(site.try_login("alice", PASSWORD).await.status(), 429);
    }
    let all = lines(&site);
    let refused: Vec<_> = all
        .iter()
        .filter(|(_, action, _)| action == "session.refused")
        .map(|(actor, _, subject)| (actor.as_str(), subject.as_str()))
        .collect();
    assert_eq!(
        refused,
        [("alice", "alice"), ("unknown", ""), ("alice", "alice")],
        "three an hour, and no name that nobody has"
    );
}

#[actix_web::test]
async fn the_audit_log_is_searched_and_taken_away_as_a_table() {
    let site = Site::start().await;
    let admin = site.token(Role::Admin).await;
    for name in ["=cmd|' /C calc'!A0", "bob", "carol"] {
        let person =
            json!({"name": name.replace(' ', "_"), "role": "viewer", "password": PASSWORD});
        let (status, _) = site
            .ask("POST", "/api/v1/users", &admin, Some(person))
            .await;
        assert_eq!(status, 201);
    }
    let of = |query: &'static str| {
        let (site, admin) = (&site, &admin);
        async move {
            let path = format!("/api/v1/audit?{query}");
            let (status, list) = site.ask("GET", &path, admin, None).await;
            let items = list["items"].as_array().map_or(0, Vec::len);
            (status, items)
        }
    };
    assert_eq!(of("action=user.create").await, (200, 3));
    assert_eq!(of("action=user.").await, (200, 3));
    assert_eq!(of("action=user").await, (200, 0));
    assert_eq!(of("subject=bo").await, (200, 1));
    assert_eq!(of("actor=nobody").await, (200, 0));
    assert_eq!(of("from=2099-01-01T00:00:00Z").await, (200, 0));
    assert_eq!(of("to=2099-01-01T00:00:00Z&action=user.").await, (200, 3));
    assert_eq!(of("from=yesterday").await.0, 400);

    site.person("root", Role::Admin).await;
    let cookie = site.login("root").await;
    let answer = site
        .request("GET", "/audit.csv?action=user.create&subject=&from=")
        .header("cookie", &cookie)
        .send()
        .await
        .expect("an answer");
    assert_eq!(answer.status(), 200);
    let kind = answer.headers()["content-type"].to_str().expect("text");
    assert!(kind.starts_with("text/csv"), "{kind}");
    let table = answer.text().await.expect("a table");
    let mut rows = table.lines();
    assert_eq!(
        rows.next(),
        Some("id,time,actor,from,action,subject,detail")
    );
    assert_eq!(rows.count(), 3, "{table}");
    assert!(table.contains(",'=cmd|'_/C_calc'!A0,"), "{table}");
}

/// The audit log tells people, tokens and the command line apart by how they are called.
#[actix_web::test]
async fn nobody_is_called_like_what_is_no_account() {
    let site = Site::start().await;
    let admin = site.token(Role::Admin).await;
    let named = |name: &str| json!({"name": name, "role": "viewer", "password": PASSWORD});
    for name in [
        "token:ci",
        "Token:ci",
        "cli",
        "unknown",
        "system",
        "adm\u{200b}in",
        "\u{202e}nimda",
    ] {
        let (status, problem) = site
            .ask("POST", "/api/v1/users", &admin, Some(named(name)))
            .await;
        assert_eq!((status, &problem["field"]), (422, &json!("name")), "{name}");
    }
    // From before the rule.
    site.person("token:ci", Role::Viewer).await;
    let cookie = site.login("token:ci").await;
    let (status, _) = with(&site, &cookie, "GET", "/api/v1/endpoints", None).await;
    assert_eq!(status, 200);
    // A token's actor has a prefix of its own whatever it is called.
    let token = json!({"name": "cli", "role": "viewer"});
    let (status, _) = site
        .ask("POST", "/api/v1/tokens", &admin, Some(token))
        .await;
    assert_eq!(status, 201);
    let token = json!({"name": "c\u{200b}i", "role": "viewer"});
    let (status, problem) = site
        .ask("POST", "/api/v1/tokens", &admin, Some(token))
        .await;
    assert_eq!((status, &problem["field"]), (422, &json!("name")));
}
