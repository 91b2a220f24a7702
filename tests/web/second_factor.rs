//! One-time codes: from set-up to login, and what does not get in.

use std::time::{SystemTime, UNIX_EPOCH};

use flownexus::store::Role;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::LOCATION;
use serde_json::{Value as Json, json};
use totp_rs::{Builder, Secret};

use super::people::{lines, with};
use crate::support::server::{SOON, eventually};
use crate::support::site::{PASSWORD, Site, cookie_of};

/// The code of a secret, so many steps from now.
pub(super) fn code(secret: &str, steps: i64) -> String {
    let secret = Secret::try_from_base32(secret).expect("base32");
    let codes = Builder::new().with_secret(secret).build().expect("codes");
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970");
    let time = now.as_secs().saturating_add_signed(steps * 30);
    codes.generate(time).to_string()
}

/// What somebody has after setting one-time codes up.
pub(super) struct SetUp {
    secret: String,
    recovery: Vec<String>,
    /// The code that it was confirmed with: that of one step before, so that that of now is still there.
    used: String,
}

/// Sets one-time codes up.
pub(super) async fn set_up(site: &Site, cookie: &str) -> SetUp {
    let path = "/api/v1/session/totp";
    let (status, begun) = with(site, cookie, "POST", path, None).await;
    assert_eq!(status, 201, "{begun}");
    let secret = begun["secret"].as_str().expect("a secret").to_owned();
    let address = begun["address"].as_str().expect("an address");
    assert!(address.starts_with("otpauth://totp/"), "{address}");
    let used = code(&secret, -1);
    let body = json!({"code": used});
    let (status, codes) = with(site, cookie, "PUT", path, Some(body)).await;
    assert_eq!(status, 200, "{codes}");
    let codes = codes["recovery_codes"].as_array().expect("codes").iter();
    let codes = codes.map(|code| code.as_str().expect("text").to_owned());
    SetUp {
        secret,
        recovery: codes.collect(),
        used,
    }
}

/// A form as a browser sends it.
fn encoded(form: &[(&'static str, String)]) -> String {
    let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let fields = form
        .iter()
        .map(|(name, value)| format!("{name}={}", encode(value)));
    fields.collect::<Vec<_>>().join("&")
}

async fn log_in(site: &Site, totp: Option<&str>) -> (u16, Json) {
    let mut body = json!({"name": "alice", "password": PASSWORD});
    if let Some(totp) = totp {
        body["totp"] = json!(totp);
    }
    site.ask("POST", "/api/v1/session", "", Some(body)).await
}

#[actix_web::test]
async fn a_code_is_needed_and_taken_once() {
    let site = Site::start().await;
    site.person("alice", Role::Viewer).await;
    let cookie = site.login("alice").await;
    let path = "/api/v1/session/totp";

    // What was begun and not confirmed asks nobody for a code.
    let (_, begun) = with(&site, &cookie, "POST", path, None).await;
    let other = begun["secret"].as_str().expect("a secret");
    assert_eq!(log_in(&site, None).await.0, 200);
    let SetUp {
        secret,
        recovery,
        used,
    } = set_up(&site, &cookie).await;
    assert_ne!(secret, other, "each set-up has a secret of its own");
    assert_eq!(recovery.len(), 10);
    let (_, state) = with(&site, &cookie, "GET", path, None).await;
    assert_eq!(state, json!({"state": "on", "recovery_codes": 10}));
    let (status, problem) = with(&site, &cookie, "POST", path, None).await;
    assert_eq!((status, &problem["code"]), (409, &json!("totp_in_force")));

    let (status, problem) = log_in(&site, None).await;
    assert_eq!((status, &problem["code"]), (401, &json!("totp_required")));
    let now = code(&secret, 0);
    let wrong = if now == "000000" { "000001" } else { "000000" };
    assert_eq!(log_in(&site, Some(wrong)).await.0, 401);
    assert_eq!(
        log_in(&site, Some(&used)).await.0,
        401,
        "it was used to set up"
    );
    assert_eq!(log_in(&site, Some(&now)).await.0, 200);
    assert_eq!(log_in(&site, Some(&now)).await.0, 401, "a code works once");
    // The clock of the phone is half a minute ahead.
    assert_eq!(log_in(&site, Some(&code(&secret, 1))).await.0, 200);
    assert_eq!(
        log_in(&site, Some(&now)).await.0,
        401,
        "nor one of before the last"
    );

    let typed = recovery[3].to_uppercase();
    assert_eq!(log_in(&site, Some(&typed)).await.0, 200);
    assert_eq!(
        log_in(&site, Some(&typed)).await.0,
        401,
        "a recovery code works once"
    );
    let people = site.store.people();
    let kept = format!("{:?}", people.factors);
    assert!(!kept.contains(&recovery[0]) && !kept.contains(&secret));
}

#[actix_web::test]
async fn wrong_codes_are_stopped_like_wrong_passwords() {
    let site = Site::start_with(|settings| settings.web.login_attempts = 4).await;
    site.person("alice", Role::Viewer).await;
    let cookie = site.login("alice").await;
    let SetUp { secret, .. } = set_up(&site, &cookie).await;
    let mut statuses = Vec::new();
    for guess in 0..6 {
        let guess = format!("{guess:06}");
        if ![-1, 0, 1]
            .map(|steps| code(&secret, steps))
            .contains(&guess)
        {
            statuses.push(log_in(&site, Some(&guess)).await.0);
        }
    }
    assert_eq!(
        statuses.iter().filter(|status| **status == 401).count(),
        4,
        "{statuses:?}"
    );
    assert_eq!(log_in(&site, Some(&code(&secret, 0))).await.0, 429);
    let refused = lines(&site);
    let refused = refused
        .iter()
        .filter(|(_, action, _)| action == "session.refused");
    assert!(refused.count() >= 5);
}

/// Three codes of a million fit at any moment: at ten tries in five minutes whoever knows the password would be in after
/// months, and nobody would notice.
#[actix_web::test]
async fn a_wrong_code_counts_for_an_hour() {
    let site = Site::start_with(|settings| {
        settings.web.login_attempts = 3;
        settings.web.login_window_s = 1;
    })
    .await;
    site.person("alice", Role::Viewer).await;
    let cookie = site.login("alice").await;
    let SetUp { secret, .. } = set_up(&site, &cookie).await;
    let fitting = [-1, 0, 1, 2].map(|steps| code(&secret, steps));
    let mut guesses = (0..1_000).map(|guess| format!("{guess:06}"));
    let wrong = guesses.find(|guess| !fitting.contains(guess));
    let wrong = wrong.expect("one that does not fit");
    let body = json!({"name": "alice", "password": PASSWORD, "totp": wrong});
    let pause = eventually("a long pause", SOON, async || {
        let answer = site.request("POST", "/api/v1/session").json(&body).send();
        let answer = answer.await.expect("an answer");
        let after = answer.headers().get("retry-after")?;
        let after: u64 = after.to_str().ok()?.parse().ok()?;
        (after > 60).then_some(after)
    })
    .await;
    assert!(pause <= 1_200, "{pause}");
    // The password alone is looked at as ever.
    eventually("the password is right", SOON, async || {
        let (status, problem) = log_in(&site, None).await;
        (status == 401 && problem["code"] == "totp_required").then_some(())
    })
    .await;
}

#[actix_web::test]
async fn codes_are_switched_off_with_the_password_or_by_an_admin() {
    let site = Site::start().await;
    site.person("alice", Role::Viewer).await;
    let cookie = site.login("alice").await;
    set_up(&site, &cookie).await;
    let path = "/api/v1/session/totp";
    let proof = |password: &str| Some(json!({"password": password}));
    assert_eq!(
        with(&site, &cookie, "DELETE", path, proof("wrong")).await.0,
        401
    );
    assert_eq!(log_in(&site, None).await.0, 401);
    assert_eq!(
        with(&site, &cookie, "DELETE", path, proof(PASSWORD))
            .await
            .0,
        204
    );
    let (status, problem) = with(&site, &cookie, "DELETE", path, proof(PASSWORD)).await;
    assert_eq!((status, &problem["code"]), (409, &json!("no_totp")));
    assert_eq!(log_in(&site, None).await.0, 200);

    let SetUp { recovery, .. } = set_up(&site, &cookie).await;
    let admin = site.token(Role::Admin).await;
    let reset = "/api/v1/users/alice/totp";
    assert_eq!(site.ask("DELETE", reset, &admin, None).await.0, 204);
    assert_eq!(site.ask("DELETE", reset, &admin, None).await.0, 404);
    assert_eq!(log_in(&site, None).await.0, 200);
    assert_eq!(
        log_in(&site, Some(&recovery[0])).await.0,
        200,
        "a code too many harms nobody"
    );
}

/// The second step is a page of its own, and the password alone opens nothing.
#[actix_web::test]
async fn the_pages_ask_for_the_code_in_a_second_step() {
    let site = Site::start().await;
    site.person("alice", Role::Viewer).await;
    let cookie = site.login("alice").await;
    let SetUp { secret, .. } = set_up(&site, &cookie).await;
    let post = |path: &'static str, cookie: String, form: Vec<(&'static str, String)>| {
        site.request("POST", path)
            .header("cookie", cookie)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(encoded(&form))
            .send()
    };
    let location = |answer: &reqwest::Response| {
        answer.headers()[LOCATION]
            .to_str()
            .expect("text")
            .to_owned()
    };
    let first = |password: &str| {
        let form = vec![
            ("name", "alice".to_owned()),
            ("password", password.to_owned()),
            ("next", "/devices?search=a".to_owned()),
        ];
        post("/login", String::new(), form)
    };
    assert_eq!(first("wrong").await.expect("an answer").status(), 401);
    let answer = first(PASSWORD).await.expect("an answer");
    assert_eq!(
        location(&answer),
        "/login/code?next=%2Fdevices%3Fsearch%3Da"
    );
    let half = cookie_of(&answer);
    let (status, _) = with(&site, &half, "GET", "/api/v1/session", None).await;
    assert_eq!(status, 401, "half a login is none");
    let (_, page) = with(&site, &half, "GET", "/login/code", None).await;
    assert!(page.to_string().contains("one-time-code"));

    let second = |code: String| {
        let next = "/devices?search=a".to_owned();
        post(
            "/login/code",
            half.clone(),
            vec![("code", code), ("next", next)],
        )
    };
    assert_eq!(second("12".into()).await.expect("an answer").status(), 401);
    let answer = second(code(&secret, 0)).await.expect("an answer");
    assert_eq!(location(&answer), "/devices?search=a");
    let whole = cookie_of(&answer);
    assert_ne!(whole, half, "a new key for the session");
    assert_eq!(
        with(&site, &whole, "GET", "/api/v1/session", None).await.0,
        200
    );
    let answer = second(code(&secret, 1)).await.expect("an answer");
    assert!(
        location(&answer).starts_with("/login?"),
        "half a login is used once"
    );

    // A new password in between: begin again.
    let answer = first(PASSWORD).await.expect("an answer");
    let half = cookie_of(&answer);
    let admin = site.token(Role::Admin).await;
    let body = json!({"password": "another long password"});
    let (status, _) = site
        .ask("PUT", "/api/v1/users/alice/password", &admin, Some(body))
        .await;
    assert_eq!(status, 204);
    let form = vec![("code", code(&secret, 1))];
    let answer = post("/login/code", half, form).await.expect("an answer");
    assert!(location(&answer).starts_with("/login?"));
}
