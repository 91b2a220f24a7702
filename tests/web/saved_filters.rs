//! Saved filters: everybody keeps their own, operators share.

use flownexus::store::Role;
use serde_json::{Value as Json, json};

use crate::support::site::Site;

const FILTERS: &str = "/api/v1/saved-filters";

async fn names(site: &Site, token: &str) -> Vec<Json> {
    let (status, all) = site.ask("GET", FILTERS, token, None).await;
    assert_eq!(status, 200, "{all}");
    let items = all["items"].as_array().expect("items");
    items.iter().map(|item| item["name"].clone()).collect()
}

#[actix_web::test]
async fn filters_are_saved_shared_and_removed() {
    let site = Site::start_with(|settings| settings.web.max_saved_filters = 2).await;
    let viewer = site.token(Role::Viewer).await;
    let operator = site.token(Role::Operator).await;
    let save = |name: &str, shared: bool| {
        let view = "columns=name,state&tag=floor+2&cursorless=";
        let view = view.trim_end_matches("&cursorless=");
        Some(json!({"name": name, "view": view, "shared": shared}))
    };
    let (status, mine) = site
        .ask("POST", FILTERS, &viewer, save(" Mine ", false))
        .await;
    assert_eq!((status, &mine["name"]), (201, &json!("Mine")), "{mine}");
    assert_eq!(mine["view"], "tag=floor%202&columns=name%2Cstate");
    let (status, _) = site
        .ask("POST", FILTERS, &viewer, save("Mine", false))
        .await;
    assert_eq!(status, 200);
    let (status, _) = site.ask("POST", FILTERS, &viewer, save("All", true)).await;
    assert_eq!(status, 403);
    let (status, ours) = site
        .ask("POST", FILTERS, &operator, save("All", true))
        .await;
    assert_eq!(status, 201, "{ours}");
    let (status, _) = site
        .ask("POST", FILTERS, &viewer, save("Second", false))
        .await;
    assert_eq!(status, 201);
    let (status, full) = site
        .ask("POST", FILTERS, &viewer, save("Third", false))
        .await;
    assert_eq!((status, &full["code"]), (409, &json!("full")));
    for (body, field) in [
        (json!({"name": " ", "view": ""}), "name"),
        (json!({"name": "x".repeat(61), "view": ""}), "name"),
        (json!({"name": "a\nb", "view": ""}), "name"),
        (json!({"name": "a", "view": "state=tired"}), "view"),
        (json!({"name": "a", "view": "columns=size"}), "view"),
        (json!({"name": "a", "view": "cursor=x"}), "view"),
        (json!({"name": "a", "view": "x=<script>"}), "view"),
        (json!({"name": "a", "view": "&".repeat(3_000)}), "view"),
    ] {
        let (status, answer) = site.ask("POST", FILTERS, &viewer, Some(body)).await;
        assert_eq!((status, &answer["field"]), (422, &json!(field)), "{answer}");
    }
    assert_eq!(names(&site, &viewer).await, ["All", "Mine", "Second"]);
    assert_eq!(names(&site, &operator).await, ["All"]);

    let one = |filter: &Json| format!("{FILTERS}/{}", filter["id"]);
    let (status, _) = site.ask("DELETE", &one(&ours), &viewer, None).await;
    assert_eq!(status, 403);
    let (status, _) = site.ask("DELETE", &one(&mine), &operator, None).await;
    assert_eq!(status, 404);
    for (filter, token) in [(&mine, &viewer), (&ours, &operator)] {
        let (status, _) = site.ask("DELETE", &one(filter), token, None).await;
        assert_eq!(status, 204);
        let (status, _) = site.ask("DELETE", &one(filter), token, None).await;
        assert_eq!(status, 404);
    }
    assert_eq!(names(&site, &viewer).await, ["Second"]);
}
