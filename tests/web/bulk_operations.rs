//! `/api/v1/bulk-operations`, and the list of devices that they are for: every filter by its word, every refusal with
//! its sentence.

use std::sync::Arc;

use flownexus::domain::{BulkItemState, EndpointName};
use flownexus::registry::BulkRunner;
use flownexus::store::{BulkSettled, BulkStore as _, Role};
use serde_json::{Value as Json, json};

use crate::support::fake_devices::FakeDevices;
use crate::support::server::{SOON, eventually};
use crate::support::site::{DEVICE, Site};

const PATH: &str = "/api/v1/bulk-operations";

/// Carries out what is asked, as the server does.
fn carry_out(site: &Site) {
    let runner = BulkRunner {
        bulks: site.store.clone(),
        endpoints: site.store.clone(),
        devices: Arc::new(FakeDevices(site.store.clone())),
        hub: site.hub.clone(),
        news: Default::default(),
        max_attempts: 3,
    };
    actix_web::rt::spawn(runner.run());
}

async fn ended(site: &Site, token: &str, id: i64, state: &str) -> Json {
    let path = format!("{PATH}/{id}");
    eventually("the bulk operation ends", SOON, || async {
        let (_, bulk) = site.ask("GET", &path, token, None).await;
        (bulk["state"] == state).then_some(bulk)
    })
    .await
}

#[actix_web::test]
async fn each_device_is_asked_and_who_is_not_there_is_told() {
    let site = Site::start().await;
    site.store.add_device("second", false);
    let token = site.token(Role::Operator).await;
    let answer = site
        .request("POST", PATH)
        .bearer_auth(&token)
        .json(&json!({"names": [DEVICE, "nobody", "second", DEVICE], "kind": "read", "path": "/3/0/3"}))
        .send()
        .await
        .expect("an answer");
    assert_eq!(answer.status(), 201);
    assert_eq!(answer.headers()["location"], "/api/v1/bulk-operations/1");
    let made: Json = answer.json().await.expect("JSON");
    for (field, value) in [
        ("kind", json!("read")),
        ("path", json!("/3/0/3")),
        ("state", json!("RUNNING")),
        ("devices", json!(3)),
        ("requested_by", json!("token:Operator0")),
        ("finished_at", Json::Null),
    ] {
        assert_eq!(made[field], value, "{field}: {made}");
    }
    assert_eq!(made["counts"]["pending"], 3);
    carry_out(&site);
    let bulk = ended(&site, &token, 1, "FINISHED").await;
    assert_eq!(bulk["counts"]["refused"], 1, "{bulk}");
    assert_eq!(bulk["counts"]["queued"], 2, "{bulk}");
    let devices = format!("{PATH}/1/devices");
    let (status, page) = site
        .ask("GET", &format!("{devices}?limit=2"), &token, None)
        .await;
    assert_eq!(status, 200);
    assert_eq!(page["items"][0]["endpoint"], DEVICE);
    assert!(page["items"][0]["operation_id"].is_i64(), "{page}");
    assert_eq!(page["items"][1]["error"], "there is no endpoint `nobody`");
    let next = page["next"].as_str().expect("a cursor");
    let (_, rest) = site
        .ask(
            "GET",
            &format!("{devices}?limit=2&cursor={next}"),
            &token,
            None,
        )
        .await;
    assert_eq!(rest["items"][0]["endpoint"], "second");
    assert_eq!(rest["next"], Json::Null);
    let (_, refused) = site
        .ask("GET", &format!("{devices}?state=REFUSED"), &token, None)
        .await;
    assert_eq!(refused["items"].as_array().map(Vec::len), Some(1));
    // Who asked is told with each operation.
    let path = format!("/api/v1/endpoints/{DEVICE}/operations");
    let (_, operations) = site.ask("GET", &path, &token, None).await;
    assert_eq!(operations["items"][0]["requested_by"], "token:Operator0");
    let (_, list) = site.ask("GET", PATH, &token, None).await;
    assert_eq!(list["items"][0]["counts"], Json::Null);
}

#[actix_web::test]
async fn tags_are_given_and_taken_away_and_devices_are_forgotten() {
    let site = Site::start().await;
    site.store.add_device("second", false);
    let token = site.token(Role::Operator).await;
    carry_out(&site);
    let ask = async |body: Json, id: i64| {
        let (status, made) = site.ask("POST", PATH, &token, Some(body)).await;
        assert_eq!(status, 201, "{made}");
        ended(&site, &token, id, "FINISHED").await
    };
    let bulk = ask(
        json!({"filter": {}, "kind": "tag", "tags": ["lab", "new"]}),
        1,
    )
    .await;
    assert_eq!(bulk["counts"]["done"], 2, "{bulk}");
    assert_eq!(bulk["tags"], json!(["lab", "new"]));
    let untag =
        json!({"filter": {"tag": "lab", "search": "second"}, "kind": "untag", "tags": ["lab"]});
    assert_eq!(ask(untag, 2).await["devices"], 1);
    let (_, found) = site
        .ask("GET", "/api/v1/endpoints?tag=lab", &token, None)
        .await;
    assert_eq!(found["items"].as_array().map(Vec::len), Some(1), "{found}");
    let (_, found) = site
        .ask("GET", "/api/v1/endpoints?tag=new", &token, None)
        .await;
    assert_eq!(found["items"].as_array().map(Vec::len), Some(2), "{found}");
    // There is room for 64 tags.
    let many: Vec<String> = (0..63).map(|number| format!("t{number}")).collect();
    let bulk = ask(json!({"names": [DEVICE], "kind": "tag", "tags": many}), 3).await;
    assert_eq!(bulk["counts"]["refused"], 1, "{bulk}");
    let (_, devices) = site
        .ask("GET", &format!("{PATH}/3/devices"), &token, None)
        .await;
    let error = devices["items"][0]["error"].as_str().expect("a reason");
    assert_eq!(error, "it would have 65 tags, and a device has at most 64");

    assert_eq!(
        ask(json!({"names": ["second"], "kind": "forget"}), 4).await["counts"]["done"],
        1
    );
    let gone = EndpointName::new("second").expect("a name");
    assert!(!site.store.tables().endpoints.contains_key(&gone));
    let admin = site.token(Role::Admin).await;
    let path = "/api/v1/audit?action=endpoint.delete&subject=second";
    let (_, log) = site.ask("GET", path, &admin, None).await;
    assert_eq!(log["items"][0]["actor"], "token:Operator0", "{log}");
}

#[actix_web::test]
async fn it_is_taken_back_as_far_as_can_be() {
    let site = Site::start().await;
    let token = site.token(Role::Operator).await;
    let body = json!({"names": [DEVICE, "b", "c"], "kind": "execute", "path": "/3/0/4"});
    let (_, made) = site.ask("POST", PATH, &token, Some(body)).await;
    // One had its turn already.
    let done = BulkSettled {
        position: 0,
        state: BulkItemState::Done,
        operation: None,
        error: None,
    };
    let id = flownexus::domain::BulkId(made["id"].as_i64().expect("a number"));
    site.store.settle(id, vec![done]).await.expect("settled");
    let (status, cancelling) = site.ask("DELETE", &format!("{PATH}/1"), &token, None).await;
    assert_eq!((status, &cancelling["state"]), (200, &json!("CANCELLING")));
    carry_out(&site);
    let bulk = ended(&site, &token, 1, "CANCELLED").await;
    assert_eq!(bulk["counts"]["cancelled"], 2, "{bulk}");
    let (status, problem) = site.ask("DELETE", &format!("{PATH}/1"), &token, None).await;
    assert_eq!(status, 409, "{problem}");
    for path in ["/99", "/x", "/99/devices"] {
        let (status, _) = site
            .ask("GET", &format!("{PATH}{path}"), &token, None)
            .await;
        assert_eq!(status, 404, "{path}");
    }
}

#[actix_web::test]
async fn what_makes_no_sense_is_refused_with_its_field() {
    let site = Site::start_with(|settings| settings.operations.max_bulk = 2).await;
    site.store.add_device("second", false);
    site.store.add_device("third", false);
    let token = site.token(Role::Operator).await;
    let read = |rest: Json| {
        let mut body = json!({"kind": "read", "path": "/3/0"});
        for (name, value) in rest.as_object().expect("an object") {
            body[name] = value.clone();
        }
        body
    };
    for (body, field) in [
        (read(json!({})), "filter"),
        (read(json!({"filter": {}, "names": ["a"]})), "names"),
        (read(json!({"names": []})), "names"),
        (read(json!({"names": [""]})), "names"),
        (read(json!({"names": ["a", "b", "c"]})), "names"),
        (read(json!({"filter": {}})), "filter"),
        (read(json!({"filter": {"search": "nothing"}})), "filter"),
        (read(json!({"filter": {"state": "tired"}})), "filter"),
        (read(json!({"names": ["a"], "path": "nowhere"})), "path"),
        (read(json!({"names": ["a"], "kind": "dance"})), "kind"),
        (read(json!({"names": ["a"], "tags": ["x"]})), "tags"),
        (
            read(json!({"names": ["a"], "expires_in_s": 0})),
            "expires_in_s",
        ),
        (read(json!({"names": ["a"], "kind": "forget"})), "path"),
        (json!({"names": ["a"], "kind": "tag"}), "tags"),
        (
            json!({"names": ["a"], "kind": "tag", "tags": ["a b"]}),
            "tags",
        ),
        (
            json!({"names": ["a"], "kind": "forget", "tags": ["a"]}),
            "tags",
        ),
    ] {
        let (status, problem) = site.ask("POST", PATH, &token, Some(body.clone())).await;
        assert_eq!(
            (status, &problem["field"]),
            (422, &json!(field)),
            "{body}: {problem}"
        );
    }
    let (status, _) = site
        .ask(
            "POST",
            PATH,
            &token,
            Some(read(json!({"names": ["a"], "colour": 1}))),
        )
        .await;
    assert_eq!(status, 422);
    let (_, none) = site.ask("GET", PATH, &token, None).await;
    assert_eq!(none["items"], json!([]));
}

#[actix_web::test]
async fn the_list_of_devices_is_filtered_sorted_and_downloaded() {
    let site = Site::start().await;
    for name in ["=1+1", "meter"] {
        site.store.add_device(name, true);
    }
    let token = site.token(Role::Viewer).await;
    let names = async |query: &str| {
        let path = format!("/api/v1/endpoints{query}");
        let (status, page) = site.ask("GET", &path, &token, None).await;
        assert_eq!(status, 200, "{page}");
        let items = page["items"].as_array().expect("devices").clone();
        let names: Vec<String> = items
            .iter()
            .map(|item| item["name"].as_str().expect("a name").to_owned())
            .collect();
        (names, page["next"].as_str().map(str::to_owned))
    };
    assert_eq!(names("?queue_mode=true").await.0, ["=1+1", "meter"]);
    assert_eq!(names("?registered=true&search=MET").await.0, ["meter"]);
    assert_eq!(
        names("?object=3&sort=-name&limit=2").await.0,
        [DEVICE, "meter"]
    );
    let (_, next) = names("?sort=-name&limit=2").await;
    let next = next.expect("a cursor");
    let rest = names(&format!("?sort=-name&limit=2&cursor={next}")).await;
    assert_eq!(rest, (vec!["=1+1".to_owned()], None));
    for (query, field) in [
        ("?state=tired", "state"),
        ("?sort=size", "sort"),
        ("?secure=perhaps", "secure"),
        ("?state=awake&registered=true", "registered"),
        ("?cursor=x", "cursor"),
        ("?limit=0", "limit"),
    ] {
        let path = format!("/api/v1/endpoints{query}");
        let (status, problem) = site.ask("GET", &path, &token, None).await;
        assert_eq!(
            (status, &problem["field"]),
            (400, &json!(field)),
            "{problem}"
        );
    }
    let answer = site
        .request("GET", "/api/v1/endpoints.csv?queue_mode=true")
        .bearer_auth(&token)
        .send()
        .await
        .expect("an answer");
    assert_eq!(answer.status(), 200);
    let text = answer.text().await.expect("a body");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    assert!(lines[0].starts_with("name,state,address,"), "{text}");
    assert!(
        lines[1].starts_with("'=1+1,asleep,192.0.2.7:56830,"),
        "{text}"
    );
    let (status, problem) = site
        .ask("GET", "/api/v1/endpoints.csv?limit=5", &token, None)
        .await;
    assert_eq!(
        (status, &problem["field"]),
        (400, &json!("limit")),
        "{problem}"
    );
}

#[actix_web::test]
async fn what_is_asked_twice_with_a_key_is_asked_once() {
    let site = Site::start().await;
    site.store.add_device("second", false);
    let token = site.token(Role::Operator).await;
    carry_out(&site);
    let ask = async |token: &str, key: &'static str, body: Json| {
        let request = site.request("POST", PATH).bearer_auth(token);
        let answer = request.header("idempotency-key", key).json(&body).send();
        let answer = answer.await.expect("an answer");
        let replayed = answer.headers().get("idempotent-replayed").is_some();
        let status = answer.status().as_u16();
        let body: Json = answer.json().await.expect("JSON");
        (status, replayed, body)
    };
    let forget = json!({"filter": {"search": "second"}, "kind": "forget"});
    let (status, replayed, made) = ask(&token, "\"one\"", forget.clone()).await;
    assert_eq!((status, replayed, &made["id"]), (201, false, &json!(1)));
    ended(&site, &token, 1, "FINISHED").await;
    // The device is gone; without the key nobody would be meant any more.
    let (status, replayed, again) = ask(&token, "one", forget.clone()).await;
    assert_eq!((status, replayed, &again["id"]), (201, true, &json!(1)));
    assert_eq!(again["state"], "FINISHED");
    assert_eq!(again["counts"]["done"], 1, "{again}");
    let read = json!({"names": [DEVICE], "kind": "read", "path": "/3/0/3"});
    let (status, _, problem) = ask(&token, "one", read.clone()).await;
    assert_eq!(
        (status, &problem["code"]),
        (422, &json!("idempotency_key_reused"))
    );
    assert_eq!(problem["field"], "Idempotency-Key", "{problem}");
    let detail = problem["detail"].as_str().expect("a sentence");
    assert!(detail.contains("bulk operation 1"), "{detail}");
    // The key of somebody else is another one, and one that cannot be read is told.
    let other = site.token(Role::Operator).await;
    let (status, replayed, made) = ask(&other, "one", read.clone()).await;
    assert_eq!((status, replayed, &made["id"]), (201, false, &json!(2)));
    let (status, _, problem) = ask(&token, "\"", read.clone()).await;
    assert_eq!(
        (status, &problem["field"]),
        (400, &json!("Idempotency-Key"))
    );
    // Many at once make one.
    let all = (0..20).map(|_| ask(&token, "many", read.clone()));
    let all = futures_util::future::join_all(all).await;
    let (old, new): (Vec<_>, Vec<_>) = all.into_iter().partition(|(_, replayed, _)| *replayed);
    assert_eq!((old.len(), new.len()), (19, 1));
    assert!(
        old.iter()
            .all(|(status, _, body)| *status == 201 && body["id"] == 3)
    );
}
