//! What the API answers: lists, pages, values, and problem documents for what is wrong.

use flownexus::store::Role;
use serde_json::{Value as Json, json};

use crate::support::site::{DEVICE, Site};

#[actix_web::test]
async fn an_endpoint_has_the_fields_of_the_interface() {
    let site = Site::start().await;
    let token = site.token(Role::Viewer).await;
    let (status, list) = site.ask("GET", "/api/v1/endpoints", &token, None).await;
    assert_eq!(status, 200);
    let wanted = json!({
        "name": DEVICE, "registered": true, "gateway": false, "address": "192.0.2.7:56830", "secure": false,
        "lwm2m_version": "1.1", "binding": "U", "lifetime_s": 300, "queue_mode": false,
        "awake": true, "registered_at": "2023-11-14T22:13:20.000Z",
        "last_seen_at": "2023-11-14T22:13:20.000Z", "expires_at": "2023-11-14T22:18:20.000Z",
        "next_wake_at": null, "next_wake_basis": null,
        "tags": [], "awake_s": null, "edrx_cycle_s": null
    });
    assert_eq!(list, json!({"items": [wanted], "next": null}));
    let path = format!("/api/v1/endpoints/{DEVICE}");
    let (_, one) = site.ask("GET", &path, &token, None).await;
    assert_eq!(one["objects"], json!(["/3/0"]));
    assert_eq!(one["warnings"], json!([]));
    assert_eq!(one["observations"], json!([]));
    assert_eq!(one["address"], wanted["address"]);
}

#[actix_web::test]
async fn names_with_any_characters_are_found_and_lists_are_paged() {
    let site = Site::start().await;
    let token = site.token(Role::Viewer).await;
    let odd = "a/b c%2Fd,\u{e9}<script>";
    site.store.add_device(odd, true);
    let encoded = "a%2Fb%20c%252Fd%2C%C3%A9%3Cscript%3E";
    let (status, one) = site
        .ask("GET", &format!("/api/v1/endpoints/{encoded}"), &token, None)
        .await;
    assert_eq!((status, &one["name"]), (200, &json!(odd)));
    assert_eq!(one["awake"], false, "it sleeps, and the registry says so");

    let (_, first) = site
        .ask("GET", "/api/v1/endpoints?limit=1", &token, None)
        .await;
    assert_eq!(first["items"][0]["name"], odd);
    let next = first["next"].as_str().expect("a second page");
    let path = format!("/api/v1/endpoints?limit=1&cursor={next}");
    let (_, second) = site.ask("GET", &path, &token, None).await;
    assert_eq!(second["items"][0]["name"], DEVICE);
    assert_eq!(second["next"], Json::Null);
    let path = "/api/v1/endpoints?search=IMEI&registered=true";
    let (_, found) = site.ask("GET", path, &token, None).await;
    assert_eq!(found["items"].as_array().map(Vec::len), Some(1));
}

#[actix_web::test]
async fn values_have_the_fields_of_the_interface() {
    let site = Site::start().await;
    let token = site.token(Role::Viewer).await;
    let device = format!("/api/v1/endpoints/{DEVICE}");
    let (_, latest) = site
        .ask("GET", &format!("{device}/resources"), &token, None)
        .await;
    assert_eq!(
        latest["items"],
        json!([{"path": "/3303/0/5700", "name": "Sensor Value", "type": "FLOAT", "value": 22.0,
                "units": null, "time": "2023-11-14T22:15:20.000Z"}])
    );
    let path = format!(
        "{device}/history?path=/3303/0/5700&from=2023-11-14T22:13:20Z&to=1700000120000&points=9"
    );
    let (_, history) = site.ask("GET", &path, &token, None).await;
    assert_eq!(
        history,
        json!({"path": "/3303/0/5700",
               "points": [[1_700_000_000_000_i64, 20.0], [1_700_000_060_000_i64, 21.0]]})
    );
    let (_, data) = site
        .ask("GET", "/api/v1/data/temperature?limit=1", &token, None)
        .await;
    assert_eq!(data["items"][0]["endpoint"], DEVICE);
    assert_eq!(data["items"][0]["value"], 22.0);
    let (_, events) = site
        .ask("GET", "/api/v1/events?type=10300", &token, None)
        .await;
    assert_eq!(events["items"][0]["type"], "10300");
    for (query, many) in [
        ("type=10300&to=2100-01-01T00:00:00Z", 1),
        ("type=10300&from=2100-01-01T00:00:00Z", 0),
        ("type=10300&severity=info", 0),
        ("type=10300&rule=warm", 0),
        ("type=other", 0),
    ] {
        let address = format!("/api/v1/events?{query}");
        let (status, page) = site.ask("GET", &address, &token, None).await;
        let found = page["items"].as_array().map(Vec::len);
        assert_eq!((status, found), (200, Some(many)), "{query}");
    }
    let (status, problem) = site
        .ask("GET", "/api/v1/events?severity=dire", &token, None)
        .await;
    assert_eq!((status, &problem["field"]), (400, &json!("severity")));
    let path = format!("/api/v1/events/{}", events["items"][0]["id"]);
    let (_, event) = site.ask("GET", &path, &token, None).await;
    assert_eq!(event["resources"][0]["path"], "/3303/0/5700");
}

#[actix_web::test]
async fn a_request_that_would_cost_too_much_is_bounded() {
    let site = Site::start().await;
    let token = site.token(Role::Viewer).await;
    let history = format!("/api/v1/endpoints/{DEVICE}/history?path=/3303/0/5700");
    for (query, wanted) in [
        ("&points=1", 200),
        ("&points=10000", 200),
        ("&points=10001", 400),
        ("&points=1000000000", 400),
        ("&from=1925-01-01T00:00:00Z&to=2125-01-01T00:00:00Z", 200),
        ("&points=0", 400),
        ("&points=-1", 400),
        ("&points=99999999999999999999999", 400),
        ("&from=2025-01-01T00:00:00Z&to=2024-01-01T00:00:00Z", 400),
        ("&from=yesterday", 400),
    ] {
        let (status, _) = site
            .ask("GET", &format!("{history}{query}"), &token, None)
            .await;
        assert_eq!(status, wanted, "{query}");
    }
    let (status, _) = site
        .ask("GET", "/api/v1/endpoints?limit=1000000000", &token, None)
        .await;
    assert_eq!(status, 200);
}

#[actix_web::test]
async fn what_is_wrong_is_told_in_a_problem_document() {
    let site = Site::start().await;
    let token = site.token(Role::Admin).await;
    let cases = [
        (
            "GET",
            "/api/v1/endpoints/nobody",
            404,
            "not_found",
            Json::Null,
        ),
        (
            "GET",
            "/api/v1/operations/abc",
            404,
            "not_found",
            Json::Null,
        ),
        ("GET", "/api/v1/nothing", 404, "not_found", Json::Null),
        ("GET", "/api/v2", 404, "not_found", Json::Null),
        ("GET", "/api/v1/data/nothing", 404, "not_found", Json::Null),
        (
            "PATCH",
            "/api/v1/endpoints",
            405,
            "method_not_allowed",
            Json::Null,
        ),
        ("POST", "/metrics", 405, "method_not_allowed", Json::Null),
        (
            "POST",
            "/health/live",
            405,
            "method_not_allowed",
            Json::Null,
        ),
        (
            "GET",
            "/api/v1/endpoints?limt=1",
            400,
            "malformed",
            json!("limt"),
        ),
        ("GET", "/api/v1/users?all=1", 400, "malformed", json!("all")),
        (
            "GET",
            "/api/v1/endpoints?limit=x",
            400,
            "malformed",
            json!("limit"),
        ),
        (
            "GET",
            "/api/v1/endpoints?limit=0",
            400,
            "malformed",
            json!("limit"),
        ),
        (
            "GET",
            "/api/v1/endpoints?registered=maybe",
            400,
            "malformed",
            json!("registered"),
        ),
        (
            "GET",
            "/api/v1/endpoints?cursor=x",
            400,
            "malformed",
            json!("cursor"),
        ),
        (
            "GET",
            "/api/v1/live?topics=planet",
            400,
            "malformed",
            json!("topics"),
        ),
        ("GET", "/api/v1/live", 400, "malformed", json!("topics")),
    ];
    for (method, path, status, code, field) in cases {
        let answer = site
            .request(method, path)
            .bearer_auth(&token)
            .send()
            .await
            .expect("an answer");
        assert_eq!(answer.status().as_u16(), status, "{method} {path}");
        let kind = answer.headers()["content-type"].to_str().expect("text");
        assert_eq!(kind, "application/problem+json", "{method} {path}");
        assert_eq!(status == 405, answer.headers().contains_key("allow"));
        let problem: Json = answer.json().await.expect("JSON");
        assert_eq!(problem["status"], status, "{method} {path}");
        assert_eq!(problem["code"], code, "{method} {path}");
        assert_eq!(problem["type"], "about:blank", "{method} {path}");
        assert_eq!(problem["field"], field, "{method} {path}");
        assert!(problem["detail"].is_string() && problem["title"].is_string());
    }
}

#[actix_web::test]
async fn bodies_that_are_no_json_of_the_right_kind_are_refused() {
    let site = Site::start_with(|settings| settings.web.max_json_bytes = 1000).await;
    let token = site.token(Role::Admin).await;
    let big = format!("{{\"kind\": \"{}\"}}", "x".repeat(2000));
    let cases = [
        ("{", "application/json", 400),
        ("[]", "application/json", 422),
        ("{\"kind\": 1}", "application/json", 422),
        ("{}", "application/json", 422),
        (
            "{\"kind\": \"read\", \"pth\": \"/3\"}",
            "application/json",
            422,
        ),
        ("{\"kind\": \"read\", \"path\": \"/3\"}", "text/plain", 415),
        (big.as_str(), "application/json", 413),
    ];
    for (body, content_type, wanted) in cases {
        let answer = site
            .request("POST", &format!("/api/v1/endpoints/{DEVICE}/operations"))
            .bearer_auth(&token)
            .header("content-type", content_type)
            .body(body.to_owned())
            .send()
            .await
            .expect("an answer");
        let status = answer.status().as_u16();
        let problem: Json = answer.json().await.expect("a problem document");
        assert_eq!(status, wanted, "{body}: {problem}");
    }
}

#[actix_web::test]
async fn every_answer_tells_browsers_what_our_pages_never_do() {
    let site = Site::start_with(|settings| settings.web.secure_cookies = true).await;
    for path in ["/api/v1/endpoints", "/health/live", "/api/v1/nothing"] {
        let answer = site.request("GET", path).send().await.expect("an answer");
        let header = |name: &str| {
            let value = answer.headers().get(name).map(|value| value.to_str());
            value.and_then(Result::ok).unwrap_or_default().to_owned()
        };
        let policy = header("content-security-policy");
        assert!(policy.contains("default-src 'self'"), "{path}: {policy}");
        assert!(
            policy.contains("frame-ancestors 'none'"),
            "{path}: {policy}"
        );
        assert!(!policy.contains("script"), "{path}: {policy}");
        assert_eq!(header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(header("referrer-policy"), "same-origin", "{path}");
        assert_eq!(header("cache-control"), "no-store", "{path}");
        assert_eq!(
            header("strict-transport-security"),
            "max-age=31536000",
            "{path}"
        );
    }
}

#[actix_web::test]
async fn templates_are_added_listed_and_removed() {
    let site = Site::start().await;
    let token = site.token(Role::Operator).await;
    let path = "/api/v1/observation-templates";
    let new = json!({"path": "/3303/0/5700"});
    let (status, made) = site.ask("POST", path, &token, Some(new)).await;
    assert_eq!(status, 201);
    assert_eq!(made["kind"], "observe");
    let both = json!({"paths": ["/3303", "/3304"]});
    let (_, composite) = site.ask("POST", path, &token, Some(both)).await;
    assert_eq!(composite["kind"], "observe_composite");
    let (status, problem) = site
        .ask("POST", path, &token, Some(json!({"path": "/x"})))
        .await;
    assert_eq!((status, &problem["field"]), (422, &json!("path")));
    let wrong = json!({"kind": "write", "path": "/3"});
    let (status, problem) = site.ask("POST", path, &token, Some(wrong)).await;
    assert_eq!((status, &problem["field"]), (422, &json!("kind")));
    let one = format!("{path}/{}", made["id"]);
    assert_eq!(site.ask("DELETE", &one, &token, None).await.0, 204);
    assert_eq!(site.ask("DELETE", &one, &token, None).await.0, 404);
    let (_, list) = site.ask("GET", path, &token, None).await;
    assert_eq!(list["items"].as_array().map(Vec::len), Some(1));
}

/// Two servers on one port: the second says so instead of serving half.
#[actix_web::test]
async fn a_port_in_use_is_one_clear_error() {
    let site = Site::start().await;
    let held = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = held.local_addr().expect("an address");
    let started = std::panic::AssertUnwindSafe(Site::start_with(|settings| {
        settings.web.listen = address;
    }));
    let failed = futures_util::FutureExt::catch_unwind(started).await;
    let message = failed
        .err()
        .and_then(|panic| panic.downcast::<String>().ok());
    let message = message.expect("the port is in use");
    assert!(
        message.contains("another program uses this port"),
        "{message}"
    );
    assert_eq!(
        site.request("GET", "/health/live")
            .send()
            .await
            .expect("ok")
            .status(),
        200
    );
}

/// Serde takes a list for a struct, field by field in the order of the source: `[null, "x"]` would be a request.
#[actix_web::test]
async fn a_body_is_an_object_and_no_list() {
    let site = Site::start().await;
    let admin = site.token(Role::Admin).await;
    for (method, path, list) in [
        ("POST", "/api/v1/log-resources", json!(["/3/0/1", null])),
        ("POST", "/api/v1/bulk-operations", json!([null, null])),
        ("POST", "/api/v1/rollouts/rehearse", json!([])),
        (
            "POST",
            "/api/v1/users",
            json!(["ada", "admin", "long enough, really"]),
        ),
        ("PATCH", "/api/v1/users/ada", json!([null, null])),
        (
            "POST",
            "/api/v1/session",
            json!(["ada", "long enough, really"]),
        ),
        ("PATCH", &format!("/api/v1/endpoints/{DEVICE}"), json!([[]])),
    ] {
        let (status, problem) = site.ask(method, path, &admin, Some(list)).await;
        assert_eq!(
            (status, &problem["code"]),
            (422, &json!("invalid")),
            "{path}"
        );
        let detail = problem["detail"].as_str().unwrap_or_default();
        assert!(
            detail.starts_with("an object belongs here, not a list"),
            "{path}: {detail}"
        );
    }
}

/// A program that does not know the words of Rust learns which field it is, wherever it lies, and what belongs there.
#[actix_web::test]
async fn the_field_that_is_wrong_is_named_wherever_it_lies() {
    let site = Site::start().await;
    let admin = site.token(Role::Admin).await;
    let rule = |condition: Json| json!({"name": "r", "path": "/3303", "condition": condition});
    let rollout = |groups: Json| json!({"name": "r", "firmware_id": 1, "groups": groups});
    for (path, body, field, words) in [
        (
            "/api/v1/firmware-updates",
            json!({"endpoint": DEVICE, "firmware_id": "1"}),
            "firmware_id",
            "a whole number belongs here",
        ),
        (
            "/api/v1/users",
            json!({"name": "ada", "role": "root", "password": "long enough, really"}),
            "role",
            "`root` is none of `viewer`, `operator`, `admin`",
        ),
        (
            "/api/v1/users",
            json!({"name": "ada", "role": "viewer"}),
            "password",
            "`password` is missing",
        ),
        (
            "/api/v1/credentials",
            json!({"endpoint": "a", "psk": "x"}),
            "psk",
            "an object belongs here",
        ),
        (
            "/api/v1/credentials",
            json!({"endpoint": "a", "psk": {"identity": 7, "key": ""}}),
            "psk.identity",
            "a text belongs here, not 7",
        ),
        (
            "/api/v1/rules",
            rule(json!({"kind": "absence", "value": 1})),
            "condition.value",
            "unknown field `value`",
        ),
        (
            "/api/v1/rollouts",
            rollout(json!([{"count": 1}, {"count": "x"}, {}])),
            "groups.1.count",
            "a whole number belongs here, not \"x\"",
        ),
    ] {
        let (status, problem) = site.ask("POST", path, &admin, Some(body)).await;
        assert_eq!(
            (status, &problem["field"]),
            (422, &json!(field)),
            "{problem}"
        );
        let detail = problem["detail"].as_str().expect("a sentence");
        assert!(detail.contains(words), "{detail}");
        assert!(!detail.contains("at line"), "{detail}");
    }
    for (query, words) in [
        ("limit=many", "`limit` is a whole number, not `many`"),
        ("limit=-1", "`limit` is a whole number, not `-1`"),
        ("limit=9223372036854775808", "`limit` is too large a number"),
        ("limit=0", "`limit` must be at least 1"),
        (
            "limit=99999999999999999999",
            "`limit` is too large a number",
        ),
        (
            "registered=yes",
            "`registered` is `true` or `false`, not `yes`",
        ),
        ("limit=1&limit=2", "`limit` is there twice"),
    ] {
        let path = format!("/api/v1/endpoints?{query}");
        let (status, problem) = site.ask("GET", &path, &admin, None).await;
        assert_eq!(
            (status, &problem["detail"]),
            (400, &json!(words)),
            "{query}"
        );
    }
}

/// What watches whether a server answers asks with HEAD, and gets the head of what GET would.
#[actix_web::test]
async fn what_can_be_read_answers_head() {
    let site = Site::start().await;
    let token = site.token(Role::Viewer).await;
    for (path, status) in [
        ("/health/live", 200),
        ("/health/ready", 200),
        ("/login", 303),
        ("/api/v1/endpoints", 200),
        ("/api/v1/endpoints/nobody", 404),
        ("/api/v1/users", 403),
        ("/api/v1/session/password", 405),
    ] {
        let ask = |method| {
            let request = site.request(method, path);
            request
                .header("authorization", format!("Bearer {token}"))
                .send()
        };
        let (get, head) = (
            ask("GET").await.expect("ok"),
            ask("HEAD").await.expect("ok"),
        );
        assert_eq!(
            (get.status(), head.status().as_u16()),
            (head.status(), status),
            "{path}"
        );
        for name in ["content-type", "content-length", "cache-control"] {
            assert_eq!(
                get.headers().get(name),
                head.headers().get(name),
                "{path}: {name}"
            );
        }
        assert!(head.bytes().await.expect("an end").is_empty(), "{path}");
    }
    let answer = site.request("HEAD", "/api/v1/endpoints").send().await;
    assert_eq!(answer.expect("ok").status(), 401);
}
