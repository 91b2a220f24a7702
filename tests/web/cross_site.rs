//! What another site makes somebody's browser send is refused.

use flownexus::store::Role;

use crate::support::site::{DEVICE, Site};

#[actix_web::test]
async fn a_session_changes_nothing_for_another_site() {
    let site = Site::start().await;
    site.person("alice", Role::Operator).await;
    let cookie = site.login("alice").await;
    let here = format!("http://{}", site.address);
    let path = format!("/api/v1/endpoints/{DEVICE}");
    for (name, value) in [
        ("origin", "https://evil.example"),
        ("origin", "null"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
    ] {
        let answer = site
            .request("DELETE", &path)
            .header("cookie", &cookie)
            .header(name, value)
            .send()
            .await
            .expect("an answer");
        assert_eq!(answer.status(), 403, "{name}: {value}");
        let problem: serde_json::Value = answer.json().await.expect("JSON");
        assert_eq!(problem["code"], "cross_site");
    }
    assert_eq!(site.store.tables().endpoints.len(), 1, "it is still there");
    let answer = site
        .request("DELETE", &path)
        .header("cookie", &cookie)
        .header("origin", &here)
        .header("sec-fetch-site", "same-origin")
        .send()
        .await
        .expect("an answer");
    assert_eq!(answer.status(), 204);
}

#[actix_web::test]
async fn another_site_cannot_log_somebody_in() {
    let site = Site::start().await;
    site.person("mallory", Role::Viewer).await;
    let answer = site
        .request("POST", "/api/v1/session")
        .header("origin", "https://evil.example")
        .json(&serde_json::json!({"name": "mallory", "password": "x"}))
        .send()
        .await
        .expect("an answer");
    assert_eq!(answer.status(), 403);
}

/// Whoever sits in the network can make a page of our name, but not over HTTPS.
#[actix_web::test]
async fn over_https_a_page_of_our_name_without_it_is_another_site() {
    let site = Site::start_with(|settings| settings.web.secure_cookies = true).await;
    for (scheme, status) in [("http", 403), ("https", 401)] {
        let answer = site
            .request("POST", "/api/v1/session")
            .header("origin", format!("{scheme}://{}", site.address))
            .json(&serde_json::json!({"name": "nobody", "password": "x"}))
            .send()
            .await
            .expect("an answer");
        assert_eq!(answer.status(), status, "{scheme}");
    }
}

#[actix_web::test]
async fn a_token_works_from_anywhere_and_never_falls_back_to_the_cookie() {
    let site = Site::start().await;
    site.person("alice", Role::Admin).await;
    let cookie = site.login("alice").await;
    let token = site.token(Role::Viewer).await;
    let ask = |authorization: String| {
        site.request("GET", "/api/v1/users")
            .header("origin", "https://tool.example")
            .header("cookie", &cookie)
            .header("authorization", authorization)
            .send()
    };
    let viewer = ask(format!("Bearer {token}")).await.expect("an answer");
    assert_eq!(
        viewer.status(),
        403,
        "the token's role counts, not the session's"
    );
    let rubbish = ask("Bearer rubbish".into()).await.expect("an answer");
    assert_eq!(rubbish.status(), 401);
    let basic = ask("Basic YTpi".into()).await.expect("an answer");
    assert_eq!(basic.status(), 401);
}
