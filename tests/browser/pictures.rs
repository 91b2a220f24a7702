//! The pictures of the book, taken of a server with simulated devices. They change when the pages do:
//!
//! ```console
//! $ cargo test --test behaviour -- --ignored browser::pictures
//! ```

use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value as Json, json};

use crate::firmware::updated::{labelled, uploaded};
use crate::support::browser::Browser;
use crate::support::server::{Api, Server, eventually};

/// How long the devices may take until there is something to see.
const LONG: Duration = Duration::from_secs(240);

const DESKTOP: (u32, u32) = (1280, 800);
const PHONE: (u32, u32) = (390, 844);

/// What is taken on a desktop, in both themes: the name of the picture, and where.
fn pages(rollout: &str) -> Vec<(&'static str, String)> {
    let charts = "/charts?series=/3303/0/5700@demo-1&series=/3303/0/5700@demo-2&series=/3304/0/5700@demo-1&range=5m";
    [
        ("overview", "/"),
        ("devices", "/devices"),
        ("device", "/devices/demo-1"),
        ("charts", charts),
        ("map", "/map"),
        ("operations", "/operations"),
        ("events", "/events"),
        ("firmware", "/firmware"),
        ("rollout", rollout),
        ("models", "/models/3303/1.1"),
        ("people", "/users"),
        ("audit", "/audit"),
        ("account", "/account"),
        ("settings", "/settings"),
    ]
    .map(|(name, path)| (name, path.to_owned()))
    .into()
}

/// What is taken on a phone too.
const ON_A_PHONE: [&str; 6] = ["overview", "devices", "device", "charts", "map", "rollout"];

/// A fleet with something of everything.
async fn furnish(api: &Api) -> String {
    for number in 1..=12 {
        let tags = json!({"tags": [if number % 3 == 0 { "greenhouse" } else { "lab" }]});
        let path = format!("/api/v1/endpoints/demo-{number}");
        let answer = api
            .request(reqwest::Method::PATCH, &path)
            .json(&tags)
            .send()
            .await;
        assert!(
            answer.is_ok_and(|answer| answer.status().is_success()),
            "{path}"
        );
    }
    for (name, role) in [("ada", "operator"), ("grace", "viewer")] {
        let person = json!({"name": name, "role": role, "password": "correct horse battery"});
        api.create("/api/v1/users", &person).await;
    }
    let rule = json!({
        "name": "Too warm", "path": "/3303/*/5700", "severity": "warning",
        "condition": {"kind": "threshold", "above": 20.5, "hysteresis": 0.5}
    });
    api.create("/api/v1/rules", &rule).await;
    for (device, operation) in [
        ("demo-1", json!({"kind": "read", "path": "/3/0"})),
        (
            "demo-2",
            json!({"kind": "write", "path": "/3/0/14", "value": "+01:00"}),
        ),
        ("demo-3", json!({"kind": "execute", "path": "/3/0/99"})),
        ("demo-4", json!({"kind": "observe", "path": "/3303/0/5700"})),
    ] {
        api.operate(device, &operation).await;
    }
    let pin = json!({"title": "Temperatures in the lab", "view": "series=/3303/0/5700@demo-1&series=/3303/0/5700@demo-2&range=5m"});
    api.create("/api/v1/pinned-charts", &pin).await;
    let image = uploaded(api, "2.0.0", &labelled("2.0.0", 2, 60_000)).await;
    let rollout = json!({
        "name": "autumn", "firmware_id": image["id"], "filter": {"names": ["demo-*"]},
        "groups": [{"name": "canary", "count": 2}, {"name": "the rest"}], "start": true,
    });
    let rollout = api.create("/api/v1/rollouts", &rollout).await;
    format!("/rollouts/{}", rollout["id"])
}

/// How many temperatures of a device there are; none of one that has not registered yet.
async fn points(api: &Api, device: &str) -> usize {
    let path = format!("/api/v1/endpoints/{device}/history?path=/3303/0/5700");
    let answer = api.get(&path).await;
    let history: Json = answer.json().await.unwrap_or_default();
    history["points"].as_array().map_or(0, Vec::len)
}

async fn take(browser: &Browser, name: &str) {
    let shot = browser
        .tools(
            "Page.captureScreenshot",
            json!({"format": "webp", "quality": 82}),
        )
        .await;
    let bytes = shot["data"]
        .as_str()
        .and_then(|data| STANDARD.decode(data).ok())
        .expect("a picture");
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/src/pictures");
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join(format!("{name}.webp")), bytes).expect("written");
}

async fn look(browser: &Browser, size: (u32, u32), theme: &str) {
    let (width, height) = size;
    let metrics =
        json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": size == PHONE});
    browser
        .tools("Emulation.setDeviceMetricsOverride", metrics)
        .await;
    browser
        .script(&format!("localStorage.setItem('theme', '{theme}')"))
        .await;
}

/// Opens a page and waits until what is drawn on it is there.
async fn open(browser: &Browser, address: &str) {
    browser.open(address).await;
    let is_drawn = "return document.readyState === 'complete' && !document.querySelector('[aria-busy=true]') \
        && document.getElementById('connection')?.dataset.connection !== 'connecting'";
    eventually("the page is drawn", LONG, async || {
        (browser.script(is_drawn).await == Json::Bool(true)).then_some(())
    })
    .await;
    // Two frames, and what they fetch.
    let settled = "const told = arguments[arguments.length - 1]; \
        requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(told, 700)));";
    browser.answer(settled).await;
}

#[tokio::test]
#[ignore = "takes the pictures of the book"]
async fn of_every_main_page() {
    let Some(browser) = Browser::start("of_every_main_page").await else {
        return;
    };
    let server = Server::setup().demo(12).start().await;
    let api = server.api();
    eventually("the devices have reported for a while", LONG, async || {
        (points(&api, "demo-1").await > 5 && points(&api, "demo-12").await > 0).then_some(())
    })
    .await;
    let rollout = furnish(&api).await;
    let address = server.url("");
    let address = address.trim_end_matches('/');
    open(&browser, &format!("{address}/login")).await;
    for theme in ["light", "dark"] {
        look(&browser, DESKTOP, theme).await;
        open(&browser, &format!("{address}/login")).await;
        take(&browser, &format!("login-{theme}")).await;
    }
    browser
        .log_in_first(address, "admin", &server.admin_password())
        .await;
    eventually(
        "there is something to see in the charts",
        LONG,
        async || (points(&api, "demo-1").await > 25).then_some(()),
    )
    .await;
    for (name, path) in pages(&rollout) {
        for (size, suffix) in [(DESKTOP, ""), (PHONE, "-phone")] {
            if size == PHONE && !ON_A_PHONE.contains(&name) {
                continue;
            }
            for theme in ["light", "dark"] {
                look(&browser, size, theme).await;
                open(&browser, &format!("{address}{path}")).await;
                take(&browser, &format!("{name}{suffix}-{theme}")).await;
            }
        }
    }
    browser.close().await;
}
