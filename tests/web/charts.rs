//! Several series in one call, as JSON and as a file; pinned charts; and where devices are.

use flownexus::domain::{EndpointName, Path, Timestamp, Value};
use flownexus::store::{Role, StoredValue};
use serde_json::{Value as Json, json};

use crate::support::site::{DEVICE, Site};

/// The values of the device that is there are of this time.
const TIME: &str = "from=1700000000000&to=1700000300000";

fn put(site: &Site, device: &str, path: &str, value: Value) {
    let time = Timestamp::from_millis(1_700_000_000_000).expect("a time");
    site.store.tables().values.push(StoredValue {
        endpoint: EndpointName::new(device).expect("a name"),
        path: path.parse::<Path>().expect("a path"),
        value,
        time,
        received_at: time,
    });
}

#[actix_web::test]
async fn series_are_named_and_summed_up_and_a_device_that_is_gone_spoils_nothing() {
    let site = Site::start().await;
    put(&site, DEVICE, "/3303/0/5701", Value::String("Cel".into()));
    let token = site.token(Role::Viewer).await;
    let path = format!("/api/v1/series?series=/3303/0/5700@{DEVICE}&series=/3/0/9@gone&{TIME}");
    let (status, answer) = site.ask("GET", &path, &token, None).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(
        (&answer["cut"], &answer["limit"]),
        (&json!(false), &json!(20))
    );
    let warm = &answer["series"][0];
    assert_eq!(warm["endpoint"], DEVICE);
    assert_eq!(warm["object"], "Temperature");
    assert_eq!(warm["name"], "Sensor Value");
    assert_eq!(warm["units"], "Cel");
    assert_eq!(warm["type"], "FLOAT");
    assert_eq!(warm["step_ms"], Json::Null);
    assert_eq!(warm["points"].as_array().map(Vec::len), Some(3));
    assert_eq!(warm["points"][1], json!([1_700_000_060_000_i64, 21.0]));
    let summary = &warm["summary"];
    assert_eq!(
        (&summary["count"], &summary["mean"]),
        (&json!(3), &json!(21.0))
    );
    assert_eq!(summary["last_at"], "2023-11-14T22:15:20.000Z");
    let gone = &answer["series"][1];
    assert_eq!(gone["error"], "there is no endpoint `gone`");
    assert_eq!(
        (&gone["points"], &gone["summary"]),
        (&json!([]), &Json::Null)
    );
}

#[actix_web::test]
async fn a_resource_of_every_device_is_cut_where_there_are_too_many() {
    let site = Site::start_with(|settings| settings.charts.max_series = 3).await;
    for name in ["b", "a", "c"] {
        site.store.add_device(name, false);
    }
    site.store.add_device("none", false);
    site.store
        .tables()
        .values
        .retain(|value| value.endpoint.as_str() != "none");
    let token = site.token(Role::Viewer).await;
    let path = format!("/api/v1/series?tagged=/3303/0/5700@&{TIME}");
    let (_, answer) = site.ask("GET", &path, &token, None).await;
    let names: Vec<&Json> = answer["series"]
        .as_array()
        .expect("series")
        .iter()
        .map(|series| &series["endpoint"])
        .collect();
    assert_eq!(names, ["a", "b", "c"]);
    assert_eq!(answer["cut"], true);
    let path = format!("/api/v1/series?tagged=/3303/0/5700@nobody-has-it&{TIME}");
    let (status, answer) = site.ask("GET", &path, &token, None).await;
    assert_eq!((status, &answer["series"]), (200, &json!([])));
}

#[actix_web::test]
async fn what_makes_no_sense_is_a_sentence_and_costs_nothing() {
    let site = Site::start().await;
    let token = site.token(Role::Viewer).await;
    let one = format!("series=/3303/0/5700@{DEVICE}");
    let many = std::iter::once(one.clone())
        .chain((0..1000).map(|n| format!("series=/3303/0/{n}@d")))
        .collect::<Vec<_>>()
        .join("&");
    for (query, field) in [
        (String::new(), "series"),
        ("series=/3303".into(), "series"),
        (format!("{one}&points=0"), "points"),
        (format!("{one}&points=-5"), "points"),
        (format!("{one}&points=NaN"), "points"),
        (format!("{one}&points=1000000000"), "points"),
        (
            format!("{one}&from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z"),
            "from",
        ),
        (
            format!("{one}&from=1926-01-01T00:00:00Z&to=2026-01-01T00:00:00Z"),
            "from",
        ),
        (format!("{one}&from=NaN"), "from"),
        (format!("{one}&nonsense=1"), "nonsense"),
        (many, "series"),
    ] {
        for path in ["/api/v1/series", "/api/v1/series.csv"] {
            let (status, answer) = site
                .ask("GET", &format!("{path}?{query}"), &token, None)
                .await;
            assert_eq!((status, &answer["field"]), (400, &json!(field)), "{answer}");
            let detail = answer["detail"].as_str().expect("a sentence");
            assert!(detail.contains(' '), "{detail}");
        }
    }
    // Longer than a request may be.
    let endless = "series=/3303/0/5700@d&".repeat(100_000);
    let answer = site
        .request("GET", &format!("/api/v1/series?{endless}"))
        .bearer_auth(&token)
        .send()
        .await;
    assert!(answer.is_err() || answer.is_ok_and(|answer| answer.status().is_client_error()));
    for query in [
        "search=a&limit=0",
        "limit=101",
        "search=1%202%203%204%205%206%207%208%209",
    ] {
        let path = format!("/api/v1/series/search?{query}");
        let (status, answer) = site.ask("GET", &path, &token, None).await;
        assert_eq!(status, 400, "{query}: {answer}");
    }
}

#[actix_web::test]
async fn values_are_downloaded_as_a_table_without_formulas() {
    let site = Site::start().await;
    site.store.add_device("=cmd()", false);
    let token = site.token(Role::Viewer).await;
    let path = format!(
        "/api/v1/series.csv?series=/3303/0/5700@{DEVICE}&series=/3303/0/5700@%3Dcmd()&{TIME}"
    );
    let answer = site.request("GET", &path).bearer_auth(&token).send().await;
    let answer = answer.expect("an answer");
    assert_eq!(answer.status(), 200);
    let kind = answer.headers()["content-type"].to_str().expect("text");
    assert!(kind.starts_with("text/csv"), "{kind}");
    let name = answer.headers()["content-disposition"]
        .to_str()
        .expect("text");
    assert!(
        name.starts_with("attachment; filename=\"values-2023"),
        "{name}"
    );
    let text = answer.text().await.expect("a table");
    let lines: Vec<&str> = text.split("\r\n").collect();
    assert_eq!(lines[0], "time,endpoint,path,name,units,value");
    assert_eq!(
        lines[1],
        format!("2023-11-14T22:13:20.000Z,{DEVICE},/3303/0/5700,Temperature: Sensor Value,,20.0")
    );
    assert!(
        lines
            .iter()
            .any(|line| line.contains(",'=cmd(),/3303/0/5700,")),
        "{text}"
    );
}

#[actix_web::test]
async fn series_are_found_by_device_resource_and_path() {
    let site = Site::start().await;
    site.store.add_device("kitchen-17", false);
    put(&site, "kitchen-17", "/3/0/9", Value::Integer(80));
    put(&site, "kitchen-17", "/3/0/0", Value::String("text".into()));
    let token = site.token(Role::Viewer).await;
    for (search, expected) in [
        ("", vec!["/3303/0/5700", "/3/0/9", "/3303/0/5700"]),
        ("KITCHEN temper", vec!["/3303/0/5700"]),
        ("kit batt", vec!["/3/0/9"]),
        ("/3/0", vec!["/3/0/9"]),
        ("5700", vec!["/3303/0/5700", "/3303/0/5700"]),
        ("nowhere", vec![]),
    ] {
        let search = search.replace(' ', "%20");
        let path = format!("/api/v1/series/search?search={search}");
        let (status, answer) = site.ask("GET", &path, &token, None).await;
        assert_eq!(status, 200, "{answer}");
        let found: Vec<&str> = answer["items"]
            .as_array()
            .expect("items")
            .iter()
            .map(|item| item["path"].as_str().expect("a path"))
            .collect();
        assert_eq!(found, expected, "{search}");
        assert_eq!(answer["more"], false);
    }
    let (_, answer) = site
        .ask("GET", "/api/v1/series/search?limit=1", &token, None)
        .await;
    assert_eq!(answer["more"], true);
}

#[actix_web::test]
async fn charts_are_pinned_renamed_moved_and_removed() {
    let site = Site::start_with(|settings| settings.charts.max_pinned = 2).await;
    let token = site.token(Role::Operator).await;
    let view = format!("series=/3303/0/5700@{DEVICE}&range=24h&panels=series&follow=false");
    let pin = |title: &str| Some(json!({"title": title, "view": view}));
    let pins = "/api/v1/pinned-charts";
    let (status, first) = site.ask("POST", pins, &token, pin("  Cold room ")).await;
    assert_eq!(
        (status, &first["title"]),
        (201, &json!("Cold room")),
        "{first}"
    );
    let (_, second) = site.ask("POST", pins, &token, pin("Attic")).await;
    let (status, full) = site.ask("POST", pins, &token, pin("Cellar")).await;
    assert_eq!((status, &full["code"]), (409, &json!("full")));
    for (body, field) in [
        (json!({"title": " ", "view": view}), "title"),
        (json!({"title": "x".repeat(101), "view": view}), "title"),
        (json!({"title": "a\nb", "view": view}), "title"),
        (json!({"title": "a", "view": ""}), "view"),
        (json!({"title": "a", "view": "range=1h"}), "view"),
        (json!({"title": "a", "view": "series=x"}), "view"),
        (
            json!({"title": "a", "view": format!("{view}&x=<script>")}),
            "view",
        ),
        (json!({"title": "a", "view": "&".repeat(20_000)}), "view"),
    ] {
        let (status, answer) = site.ask("POST", pins, &token, Some(body)).await;
        assert_eq!((status, &answer["field"]), (422, &json!(field)), "{answer}");
    }
    let one = format!("{pins}/{}", second["id"]);
    let change = json!({"title": "Top", "place": 0});
    let (status, changed) = site.ask("PATCH", &one, &token, Some(change)).await;
    assert_eq!(
        (status, &changed["title"]),
        (200, &json!("Top")),
        "{changed}"
    );
    let (status, _) = site.ask("PATCH", &one, &token, Some(json!({}))).await;
    assert_eq!(status, 422);
    let (_, all) = site.ask("GET", pins, &token, None).await;
    let titles: Vec<&Json> = all["items"]
        .as_array()
        .expect("items")
        .iter()
        .map(|item| &item["title"])
        .collect();
    assert_eq!(titles, ["Top", "Cold room"]);
    let (status, _) = site.ask("DELETE", &one, &token, None).await;
    assert_eq!(status, 204);
    let (status, _) = site.ask("DELETE", &one, &token, None).await;
    assert_eq!(status, 404);
}

#[actix_web::test]
async fn places_are_listed_and_what_is_none_is_said() {
    let site = Site::start().await;
    for name in ["here", "north-of-north", "half", "strange"] {
        site.store.add_device(name, false);
    }
    for (name, path, value) in [
        ("here", "/6/0/0", Value::Float(52.5)),
        ("here", "/6/0/1", Value::Float(-13.25)),
        ("here", "/6/0/3", Value::Float(25.0)),
        ("here", "/6/0/5", Value::Time(1_700_000_007)),
        ("north-of-north", "/6/0/0", Value::Float(91.0)),
        ("north-of-north", "/6/0/1", Value::Float(0.0)),
        ("half", "/6/0/0", Value::Float(1.0)),
        ("strange", "/6/0/0", Value::Float(1.0)),
        ("strange", "/6/0/1", Value::Float(f64::NAN)),
        ("strange", "/6/0/3", Value::Float(-1.0)),
    ] {
        put(&site, name, path, value);
    }
    let token = site.token(Role::Viewer).await;
    let (mut items, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("/api/v1/locations?limit=2{cursor}");
        let (status, page) = site.ask("GET", &path, &token, None).await;
        assert_eq!(status, 200, "{page}");
        items.extend(page["items"].as_array().expect("items").clone());
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    let of = |name: &str| {
        let found = items.iter().find(|item| item["endpoint"] == name);
        found.unwrap_or_else(|| panic!("{name} is not there"))
    };
    assert_eq!(items.len(), 4, "who says nothing of a place is not listed");
    let here = of("here");
    assert_eq!(
        (&here["latitude"], &here["longitude"]),
        (&json!(52.5), &json!(-13.25))
    );
    assert_eq!(
        (&here["radius_m"], &here["problem"]),
        (&json!(25.0), &Json::Null)
    );
    assert_eq!(here["time"], "2023-11-14T22:13:27.000Z");
    let problem = |name| of(name)["problem"].as_str().expect("a problem");
    assert_eq!(
        problem("north-of-north"),
        "its latitude 91 is not from -90 to 90"
    );
    assert_eq!(problem("half"), "it has told no longitude (/6/0/1)");
    assert_eq!(problem("strange"), "its longitude is not a number");
    assert_eq!(of("strange")["radius_m"], Json::Null);
}
