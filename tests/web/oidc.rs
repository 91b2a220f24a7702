//! Logging in by OpenID Connect, against a provider on a real socket that tells the truth, or does not.

use flownexus::config::{Oidc, OidcRole};
use flownexus::domain::Doer;
use flownexus::store::{Outsider, Role, UserStore as _};
use reqwest::Response;
use reqwest::header::LOCATION;
use serde_json::json;

use super::people::{lines, with};
use crate::support::oidc_provider::{CLIENT, Lie, Provider};
use crate::support::server::{SOON, eventually};
use crate::support::site::{PASSWORD, Site};

const PUBLIC: &str = "http://nexus.example:8000";

async fn site(provider: &Provider) -> Site {
    site_with(provider, |_| ()).await
}

async fn site_with(provider: &Provider, change: impl FnOnce(&mut Oidc)) -> Site {
    let issuer = provider.issuer();
    Site::start_with(|settings| {
        settings.web.public_url = PUBLIC.to_owned();
        settings.web.login_attempts = 1000;
        settings.web.audited_failures = 1000;
        let oidc = &mut settings.oidc;
        oidc.issuer = issuer;
        oidc.client_id = CLIENT.0.to_owned();
        oidc.client_secret = CLIENT.1.to_owned();
        oidc.timeout_ms = 1_000;
        oidc.label = "Log in at the works".to_owned();
        oidc.roles = [
            ("crew".to_owned(), OidcRole::Operator),
            ("boss".to_owned(), OidcRole::Admin),
        ]
        .into();
        change(oidc);
    })
    .await
}

fn location(answer: &Response) -> String {
    let location = answer.headers().get(LOCATION).expect("a redirect");
    location.to_str().expect("text").to_owned()
}

/// The value of a cookie that an answer sets; empty when it takes it away.
fn cookie(answer: &Response, name: &str) -> Option<String> {
    let all = answer.headers().get_all("set-cookie").iter();
    let mut all = all.filter_map(|cookie| cookie.to_str().ok()?.split(';').next());
    all.find(|cookie| cookie.starts_with(&format!("{name}=")))
        .map(str::to_owned)
}

async fn get(site: &Site, path: &str, cookie: &str) -> Response {
    let request = site.request("GET", path).header("cookie", cookie);
    request.send().await.expect("an answer")
}

/// To the provider; where it sends back to, and the cookie to take along.
async fn to_provider(site: &Site, next: &str) -> (String, String) {
    let answer = get(site, &format!("/login/oidc?next={next}"), "").await;
    assert_eq!(answer.status(), 303);
    let pending = cookie(&answer, "flownexus_oidc").expect("a cookie");
    let there = site.client.get(location(&answer)).send().await;
    let back = location(&there.expect("the provider answers"));
    let path = back.strip_prefix(PUBLIC).expect("back to the server");
    (path.to_owned(), pending)
}

/// A whole login; the answer to its last step.
async fn log_in(site: &Site) -> Response {
    let (path, pending) = to_provider(site, "%2Fdevices").await;
    get(site, &path, &pending).await
}

async fn role(site: &Site, answer: &Response) -> String {
    let session = cookie(answer, "flownexus").expect("a session");
    let (_, me) = with(site, &session, "GET", "/api/v1/session", None).await;
    me["role"].as_str().expect("a role").to_owned()
}

#[actix_web::test]
async fn a_person_comes_by_the_provider_and_has_the_role_of_now() {
    let provider = Provider::start();
    let site = site(&provider).await;
    let (_, page) = with(&site, "", "GET", "/login", None).await;
    assert!(page.to_string().contains("Log in at the works"));

    let answer = log_in(&site).await;
    assert_eq!(
        (answer.status().as_u16(), location(&answer)),
        (303, "/devices".to_owned())
    );
    assert_eq!(
        cookie(&answer, "flownexus_oidc").as_deref(),
        Some("flownexus_oidc=")
    );
    assert_eq!(role(&site, &answer).await, "operator");
    let session = cookie(&answer, "flownexus").expect("a session");

    // Another role, and with another kind of signature; what the name became does not matter.
    {
        let mut mind = provider.mind();
        mind.groups = vec!["else".to_owned(), "boss".to_owned()];
        mind.elliptic = true;
        mind.name = "ada.married".to_owned();
    }
    let answer = log_in(&site).await;
    assert_eq!(role(&site, &answer).await, "admin");
    let (_, users) = with(&site, &session, "GET", "/api/v1/users", None).await;
    assert_eq!(
        users["items"].as_array().expect("a list").len(),
        1,
        "{users}"
    );
    assert_eq!(users["items"][0]["source"], "oidc");
    assert_eq!(users["items"][0]["name"], "ada");

    provider.mind().groups = Vec::new();
    assert_eq!(log_in(&site).await.status(), 401, "no group, no role");
    assert_eq!(
        provider.mind().asked,
        1,
        "what it says of itself is remembered"
    );
    let told = lines(&site);
    let told: Vec<_> = told.iter().map(|(_, action, _)| action.as_str()).collect();
    assert_eq!(
        told,
        [
            "user.create",
            "session.start",
            "user.update",
            "session.start",
            "session.refused"
        ]
    );
    // Not as what the provider calls her by now, which may be another's name here.
    let updated = lines(&site);
    let updated = updated
        .iter()
        .find(|(_, action, _)| action == "user.update");
    let ada = "ada".to_owned();
    assert_eq!(updated, Some(&(ada.clone(), "user.update".to_owned(), ada)));

    // There is no password to guess or to set.
    assert_eq!(site.try_login("ada", "").await.status(), 401);
    let admin = site.token(Role::Admin).await;
    let body = json!({"password": PASSWORD});
    let (status, problem) = site
        .ask("PUT", "/api/v1/users/ada/password", &admin, Some(body))
        .await;
    assert_eq!((status, &problem["code"]), (409, &json!("oidc")));
    let (status, _) = site
        .ask(
            "PATCH",
            "/api/v1/users/ada",
            &admin,
            Some(json!({"role": "viewer"})),
        )
        .await;
    assert_eq!(status, 409);
}

#[actix_web::test]
async fn lies_are_refused() {
    let provider = Provider::start();
    let site = site(&provider).await;
    for (lie, words) in [
        (Lie::BadSignature, "signature of the ID token is wrong"),
        (Lie::Expired, "has expired"),
        (Lie::FromTheFuture, "from the future"),
        (Lie::NoAlgorithm, "not signed with a key of the provider"),
        (Lie::NoName, "provider sends no"),
        (Lie::NoSubject, "does not say who it is"),
        (Lie::NotYet, "from the future"),
        (Lie::OtherAudience, "for somebody else"),
        (Lie::OtherIssuer, "comes from another issuer"),
        (Lie::OtherNonce, "belongs to another login"),
        (Lie::OtherParty, "for somebody else"),
        (Lie::SharedSecret, "not signed with a key of the provider"),
        (Lie::ShortKey, "or a short one"),
        (Lie::TwoAudiences, "for somebody else"),
        (Lie::TwoAudiencesAndOtherParty, "for somebody else"),
        (Lie::UnknownKey, "a key that the provider does not show"),
    ] {
        for elliptic in [false, true] {
            (provider.mind().lie, provider.mind().elliptic) = (lie, elliptic);
            let answer = log_in(&site).await;
            assert_eq!(answer.status(), 401, "{lie:?}");
            assert_eq!(cookie(&answer, "flownexus"), None, "{lie:?}");
            let page = answer.text().await.expect("a page");
            assert!(page.contains("role=\"alert\"") && page.contains("id=\"password\""));
            assert!(page.contains(words), "{lie:?}: {page}");
        }
    }
    assert!(site.store.people().users.is_empty());
    provider.mind().lie = Lie::None;
    assert_eq!(log_in(&site).await.status(), 303);
}

#[actix_web::test]
async fn every_signature_by_a_key_of_the_provider_is_taken() {
    let provider = Provider::start();
    let site = site(&provider).await;
    for algorithm in [
        "ES384", "EdDSA", "PS256", "PS384", "PS512", "RS256", "RS384", "RS512",
    ] {
        let try_it = async |lie| {
            (provider.mind().algorithm, provider.mind().lie) = (Some(algorithm), lie);
            log_in(&site).await.status()
        };
        assert_eq!(try_it(Lie::None).await, 303, "{algorithm}");
        assert_eq!(try_it(Lie::BadSignature).await, 401, "{algorithm}");
    }
    // One that is not known.
    (provider.mind().algorithm, provider.mind().lie) = (Some("XY256"), Lie::None);
    assert_eq!(log_in(&site).await.status(), 401);
}

#[actix_web::test]
async fn claims_are_where_and_as_a_provider_likes_them() {
    let provider = Provider::start();
    let site = site_with(&provider, |oidc| {
        oidc.role_claim = "realm_access.roles".to_owned();
        oidc.name_claim = "nick".to_owned();
    })
    .await;
    {
        let mut mind = provider.mind();
        mind.claims = vec![
            ("aud", json!(["another", CLIENT.0])),
            ("azp", json!(CLIENT.0)),
            ("email_verified", json!("true")),
            ("groups", json!({"boss": 1})),
            ("name#de", json!("Ada")),
            ("nick", json!("ada")),
            ("realm_access", json!({"roles": ["boss", 7]})),
            ("updated_at", json!("2026-11-30T12:00:00Z")),
        ];
    }
    assert_eq!(role(&site, &log_in(&site).await).await, "admin");
}

#[actix_web::test]
async fn a_secret_is_sent_as_the_provider_wants_it() {
    let provider = Provider::start();
    provider.mind().secret_in_form = true;
    let site = site(&provider).await;
    assert_eq!(log_in(&site).await.status(), 303);
}

#[actix_web::test]
async fn nobody_is_asked_without_https_or_by_a_redirect() {
    let provider = Provider::start();
    for lie in [
        Lie::Elsewhere,
        Lie::PlainKeys,
        Lie::PlainLogin,
        Lie::PlainTokens,
    ] {
        // A new server: one that heard of the failure does not ask again at once.
        let site = site(&provider).await;
        provider.mind().lie = lie;
        let answer = get(&site, "/login/oidc", "").await;
        assert_eq!(answer.status(), 502, "{lie:?}");
        assert_eq!(provider.mind().lie, lie, "nobody was led elsewhere");
    }
    provider.mind().lie = Lie::None;
    let site = site(&provider).await;
    provider.mind().lie = Lie::ErrorPage;
    assert_eq!(log_in(&site).await.status(), 502);
    provider.mind().lie = Lie::None;
    assert_eq!(log_in(&site).await.status(), 303);
}

#[actix_web::test]
async fn an_answer_belongs_to_the_login_of_its_browser_and_works_once() {
    let provider = Provider::start();
    let site = site(&provider).await;
    let (path, pending) = to_provider(&site, "").await;
    let (other_path, other_pending) = to_provider(&site, "").await;
    for (path, pending) in [
        (&path, &String::new()),
        (&path, &other_pending),
        (&other_path, &pending),
        (&path, &format!("{pending}A")),
        (&"/login/oidc/return?code=x".to_owned(), &pending),
        (
            &"/login/oidc/return?error=access_denied".to_owned(),
            &pending,
        ),
        (&"/login/oidc/return".to_owned(), &pending),
    ] {
        let answer = get(&site, path, pending).await;
        assert_eq!(answer.status(), 401, "{path} with {pending}");
    }
    let state = path.split("state=").nth(1).expect("a state");
    let denied = format!("/login/oidc/return?error=access_denied<script>&state={state}");
    let page = get(&site, &denied, &pending)
        .await
        .text()
        .await
        .expect("a page");
    assert!(
        page.contains("access_denied") && !page.contains("<script>&"),
        "{page}"
    );
    assert_eq!(get(&site, &path, &pending).await.status(), 303);
    assert_eq!(
        get(&site, &path, &pending).await.status(),
        401,
        "a code works once"
    );
}

#[actix_web::test]
async fn nobody_s_account_is_taken_over_and_who_is_disabled_stays_out() {
    let provider = Provider::start();
    let site = site(&provider).await;
    site.person("ada", Role::Admin).await;
    assert_eq!(
        log_in(&site).await.status(),
        401,
        "a local account of this name"
    );
    let ada = site.store.find("ada").await.expect("read").expect("ada");
    assert_eq!(ada.role, Role::Admin);

    provider.mind().name = "eve".to_owned();
    assert_eq!(log_in(&site).await.status(), 303);
    // Somebody else at the provider has her name now.
    provider.mind().subject = "u-2".to_owned();
    assert_eq!(log_in(&site).await.status(), 401);
    provider.mind().subject = "u-1".to_owned();
    let admin = site.token(Role::Admin).await;
    let off = json!({"disabled": true});
    let (status, _) = site
        .ask("PATCH", "/api/v1/users/eve", &admin, Some(off))
        .await;
    assert_eq!(status, 200);
    assert_eq!(log_in(&site).await.status(), 401);
    // Neither is anybody called like what is no account in the audit log; a name from before that rule goes on.
    for name in ["token:ci", "cli", "Unknown", "adm\u{200b}in"] {
        provider.mind().subject = "u-4".to_owned();
        provider.mind().name = name.to_owned();
        assert_eq!(log_in(&site).await.status(), 401, "{name}");
    }
    let outsider = Outsider {
        subject: format!("{} u-4", provider.issuer()),
        name: "token:old".to_owned(),
        role: Role::Operator,
    };
    let by = Doer::from_nowhere("before");
    site.store.admit(outsider, by).await.expect("admitted");
    provider.mind().name = "token:old".to_owned();
    assert_eq!(log_in(&site).await.status(), 303);
    // A next that leads elsewhere leads home.
    provider.mind().subject = "u-3".to_owned();
    provider.mind().name = "mallory".to_owned();
    let (path, pending) = to_provider(&site, "%2F%2Fevil.example").await;
    assert_eq!(location(&get(&site, &path, &pending).await), "/");
}

/// Over HTTPS, which `web.tls` means too, the cookie of a login is this very host's: a neighbour that could set it would
/// make people end a login that it has begun.
#[actix_web::test]
async fn over_https_the_cookie_of_a_login_is_of_this_host_alone() {
    let provider = Provider::start();
    let issuer = provider.issuer();
    let site = Site::start_with(|settings| {
        settings.web.public_url = "https://nexus.example".to_owned();
        settings.web.secure_cookies = true;
        settings.oidc.issuer = issuer;
        settings.oidc.client_id = CLIENT.0.to_owned();
        settings.oidc.client_secret = CLIENT.1.to_owned();
    })
    .await;
    let answer = get(&site, "/login/oidc", "").await;
    let cookies = answer.headers().get_all("set-cookie").iter();
    let cookies: Vec<&str> = cookies.filter_map(|cookie| cookie.to_str().ok()).collect();
    let [cookie] = cookies[..] else {
        panic!("one cookie: {cookies:?}");
    };
    assert!(cookie.starts_with("__Host-flownexus_oidc="), "{cookie}");
    for part in ["Secure", "HttpOnly", "Path=/", "SameSite=Lax"] {
        assert!(cookie.split("; ").any(|one| one == part), "{cookie}");
    }
}

#[actix_web::test]
async fn a_provider_that_is_away_is_said_and_passwords_go_on() {
    let provider = Provider::start();
    let site = site(&provider).await;
    site.person("alice", Role::Viewer).await;
    for lie in [Lie::Silent, Lie::Endless] {
        provider.mind().lie = lie;
        let answer = get(&site, "/login/oidc", "").await;
        assert_eq!(answer.status(), 502, "{lie:?}");
        let page = answer.text().await.expect("a page");
        assert!(page.contains("cannot be reached"), "{page}");
        site.login("alice").await;
    }
    provider.mind().lie = Lie::None;
    eventually("the provider is asked again", SOON, async || {
        let answer = get(&site, "/login/oidc", "").await;
        (answer.status() == 303).then_some(())
    })
    .await;
    assert_eq!(log_in(&site).await.status(), 303);

    let off = Site::start().await;
    let answer = get(&off, "/login/oidc", "").await;
    assert_eq!(answer.status(), 401);
    let (_, page) = with(&off, "", "GET", "/login", None).await;
    assert!(!page.to_string().contains("/login/oidc"));
}
