//! `/metrics` and `/health`: what strangers may see.

use std::sync::atomic::Ordering;

use flownexus::store::Role;

use crate::support::site::Site;

#[actix_web::test]
async fn metrics_need_a_token_unless_they_are_asked_for_here() {
    let site = Site::start().await;
    let here = site
        .request("GET", "/metrics")
        .send()
        .await
        .expect("an answer");
    assert_eq!(here.status(), 200);
    let kind = here.headers()["content-type"].to_str().expect("text");
    assert!(kind.starts_with("application/openmetrics-text"), "{kind}");
    for (name, value) in [
        ("x-forwarded-for", "192.0.2.1"),
        ("forwarded", "for=192.0.2.1"),
        ("via", "1.1 proxy"),
        ("x-real-ip", "127.0.0.1"),
    ] {
        let through = || site.request("GET", "/metrics").header(name, value);
        let stranger = through().send().await.expect("an answer");
        assert_eq!(stranger.status(), 401, "{name}");
        let token = site.token(Role::Viewer).await;
        let viewer = through()
            .bearer_auth(token)
            .send()
            .await
            .expect("an answer");
        assert_eq!(viewer.status(), 200, "{name}");
    }
}

#[actix_web::test]
async fn metrics_count_requests_by_route_and_not_by_what_strangers_make_up() {
    let site = Site::start().await;
    for number in 0..5 {
        let path = format!("/api/v1/endpoints/made-up-{number}");
        let _ = site.request("GET", &path).send().await.expect("an answer");
        let path = format!("/made-up-{number}");
        let _ = site.request("BREW", &path).send().await.expect("an answer");
    }
    let metrics = site
        .request("GET", "/metrics")
        .send()
        .await
        .expect("an answer");
    let text = metrics.text().await.expect("a body");
    assert!(!text.contains("made-up"), "{text}");
    let line = "flownexus_http_requests_total{method=\"GET\",route=\"/api/v1/endpoints/{name}\",\
                status=\"401\"} 5";
    assert!(text.contains(line), "{text}");
    assert!(text.contains("method=\"other\""), "{text}");
    assert!(text.contains("flownexus_http_request_duration_seconds_bucket"));
    assert!(text.contains("flownexus_live_clients 0"));
    assert!(text.ends_with("# EOF\n"));
}

#[actix_web::test]
async fn health_tells_strangers_nothing_but_yes_or_no() {
    let site = Site::start().await;
    let (status, body) = site.ask("GET", "/health/live", "", None).await;
    assert_eq!((status, body), (200, serde_json::json!({"status": "ok"})));
    let (status, _) = site.ask("GET", "/health/ready", "", None).await;
    assert_eq!(status, 200);
    site.ready.store(false, Ordering::Relaxed);
    let (status, problem) = site.ask("GET", "/health/ready", "", None).await;
    assert_eq!(status, 503);
    assert!(!problem.to_string().contains("database"), "{problem}");
    assert_eq!(site.ask("GET", "/health/live", "", None).await.0, 200);
}
