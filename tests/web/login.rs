//! Sessions of people: logging in and out, and what ends a session.

use flownexus::domain::Timestamp;
use flownexus::store::{Role, UserStore as _};
use flownexus::web::auth::{ensure_admin, password};
use serde_json::json;

use crate::support::fake_store::FakeStore;
use crate::support::site::{PASSWORD, Site, cookie_of};

async fn who(site: &Site, cookie: &str) -> u16 {
    let answer = site
        .request("GET", "/api/v1/session")
        .header("cookie", cookie)
        .send()
        .await
        .expect("an answer");
    answer.status().as_u16()
}

#[actix_web::test]
async fn a_session_begins_with_the_login_and_ends_with_the_logout() {
    let site = Site::start().await;
    site.person("alice", Role::Operator).await;
    let answer = site.try_login("alice", PASSWORD).await;
    let set = answer.headers()["set-cookie"]
        .to_str()
        .expect("text")
        .to_owned();
    for part in ["flownexus=", "HttpOnly", "SameSite=Lax", "Path=/"] {
        assert!(set.contains(part), "{part} is not in {set}");
    }
    let cookie = cookie_of(&answer);
    assert_eq!(who(&site, &cookie).await, 200);
    {
        let people = site.store.people();
        let session = people.sessions.first().expect("a session");
        assert_eq!(session.user.as_deref(), Some("alice"));
        assert_eq!(
            session.key_hash.len(),
            32,
            "only a hash of the key is stored"
        );
    }
    let answer = site
        .request("DELETE", "/api/v1/session")
        .header("cookie", &cookie)
        .send()
        .await
        .expect("an answer");
    assert_eq!(answer.status(), 204);
    assert_eq!(
        who(&site, &cookie).await,
        401,
        "the cookie opens nothing any more"
    );
    assert!(site.store.people().sessions.is_empty());
}

#[actix_web::test]
async fn a_forged_cookie_is_nobody() {
    let site = Site::start().await;
    site.person("alice", Role::Admin).await;
    site.person("bob", Role::Viewer).await;
    let cookies = [site.login("alice").await, site.login("bob").await];
    let [(signature, key), (of_bob, key_of_bob)] = cookies.each_ref().map(|cookie| {
        let value = cookie.strip_prefix("flownexus=").expect("its name");
        // 32 bytes in base64 end in one filling character, and the key has none.
        let end = value.find("%3D").expect("the end of the signature") + 3;
        value.split_at(end)
    });
    let shorter = &signature[..signature.len() - 4];
    let other = if signature.starts_with('A') { 'B' } else { 'A' };
    for (what, forged) in [
        ("rubbish", "rubbish".to_owned()),
        ("nothing", String::new()),
        ("no signature", key.to_owned()),
        ("no key", signature.to_owned()),
        (
            "the end of the signature is missing",
            format!("{shorter}%3D{key}"),
        ),
        (
            "its beginning is missing",
            format!("{}{key}", &signature[1..]),
        ),
        (
            "a letter of it is another",
            format!("{other}{}{key}", &signature[1..]),
        ),
        ("it is that of another cookie", format!("{of_bob}{key}")),
        ("it is for another key", format!("{signature}{key_of_bob}")),
        (
            "the key is shorter",
            format!("{signature}{}", &key[..key.len() - 1]),
        ),
        ("the key is longer", format!("{signature}{key}A")),
        ("it is signed twice", format!("{signature}{signature}{key}")),
    ] {
        assert_eq!(
            who(&site, &format!("flownexus={forged}")).await,
            401,
            "{what}"
        );
    }
    for cookie in &cookies {
        assert_eq!(who(&site, cookie).await, 200);
    }
}

#[actix_web::test]
async fn a_forged_token_is_nobody() {
    let site = Site::start().await;
    let token = site.token(Role::Admin).await;
    let (most, last) = token.split_at(token.len() - 1);
    let (head, rest) = token.split_at(token.len() / 2);
    let (middle, tail) = rest.split_at(1);
    let other = |letter: &str| if letter == "A" { "B" } else { "A" };
    let swapped: String = token.chars().rev().collect();
    for (what, forged) in [
        ("a letter more", format!("{token}A")),
        ("a letter fewer", most.to_owned()),
        (
            "the last letter is another",
            format!("{most}{}", other(last)),
        ),
        (
            "a letter amid it is another",
            format!("{head}{}{tail}", other(middle)),
        ),
        ("a letter amid it is missing", format!("{head}{tail}")),
        ("its halves are swapped", format!("{rest}{head}")),
        ("it is backwards", swapped),
        ("it is in capitals", token.to_uppercase()),
        ("it is there twice", format!("{token}{token}")),
    ] {
        let (status, _) = site.ask("GET", "/api/v1/session", &forged, None).await;
        assert_eq!(status, 401, "{what}");
    }
    assert_eq!(
        site.ask("GET", "/api/v1/session", &token, None).await.0,
        200
    );
}

/// A key that was known before the login must not be the key of the session after it.
#[actix_web::test]
async fn a_login_changes_the_session_key() {
    let site = Site::start().await;
    site.person("alice", Role::Viewer).await;
    let before = site.login("alice").await;
    let answer = site
        .request("POST", "/api/v1/session")
        .header("cookie", &before)
        .json(&json!({"name": "alice", "password": PASSWORD}))
        .send()
        .await
        .expect("an answer");
    let after = cookie_of(&answer);
    assert_ne!(before, after);
    assert_eq!(who(&site, &before).await, 401);
    assert_eq!(who(&site, &after).await, 200);
}

#[actix_web::test]
async fn a_session_ends_when_its_time_is_over_or_its_person_is_gone() {
    let site = Site::start().await;
    site.person("alice", Role::Viewer).await;
    let cookie = site.login("alice").await;
    site.store.people().sessions[0].expires_at = Timestamp::system();
    assert_eq!(who(&site, &cookie).await, 401);

    let cookie = site.login("alice").await;
    site.store.people().users.clear();
    assert_eq!(who(&site, &cookie).await, 401);
}

#[actix_web::test]
async fn a_session_in_use_is_lengthened_but_not_beyond_its_last_hour() {
    let site = Site::start_with(|settings| {
        settings.web.session_hours = 2;
        settings.web.session_idle_hours = 1;
    })
    .await;
    site.person("alice", Role::Viewer).await;
    let cookie = site.login("alice").await;
    let hour = std::time::Duration::from_secs(3600);
    let now = Timestamp::system();
    let minute = Timestamp::clamped_from_millis(now.as_millis() + 60_000);
    site.store.people().sessions[0].expires_at = minute;
    assert_eq!(who(&site, &cookie).await, 200);
    assert!(site.store.people().sessions[0].expires_at >= now.plus(hour));

    // The login was long ago: only a minute of its two hours is left.
    {
        let mut people = site.store.people();
        let session = &mut people.sessions[0];
        let mut state: serde_json::Value = serde_json::from_str(&session.state).expect("JSON");
        state["deadline"] = json!(minute.as_millis().to_string());
        session.state = state.to_string();
        session.expires_at = Timestamp::clamped_from_millis(now.as_millis() + 1_000);
    }
    assert_eq!(who(&site, &cookie).await, 200);
    assert!(site.store.people().sessions[0].expires_at <= minute);
}

#[actix_web::test]
async fn a_new_password_ends_every_session() {
    let site = Site::start().await;
    site.person("alice", Role::Viewer).await;
    let cookie = site.login("alice").await;
    let admin = site.token(Role::Admin).await;
    let path = "/api/v1/users/alice/password";
    let short = json!({"password": "short"});
    let (status, problem) = site.ask("PUT", path, &admin, Some(short)).await;
    assert_eq!((status, &problem["field"]), (422, &json!("password")));
    assert_eq!(who(&site, &cookie).await, 200);
    let long = json!({"password": "another long password"});
    assert_eq!(site.ask("PUT", path, &admin, Some(long)).await.0, 204);
    assert_eq!(who(&site, &cookie).await, 401);
    assert_eq!(site.try_login("alice", PASSWORD).await.status(), 401);
    assert_eq!(
        site.try_login("alice", "another long password")
            .await
            .status(),
        200
    );
}

#[actix_web::test]
async fn guessing_is_stopped_and_success_is_not_counted() {
    let site = Site::start_with(|settings| settings.web.login_attempts = 3).await;
    site.person("alice", Role::Viewer).await;
    for _ in 0..5 {
        assert_eq!(site.try_login("alice", PASSWORD).await.status(), 200);
    }
    let unknown = site.try_login("nobody", "x").await;
    let wrong = site.try_login("alice", "wrong").await;
    assert_eq!(
        (unknown.status(), wrong.status()),
        (401.try_into().expect("ok"), unknown.status())
    );
    let (unknown, wrong) = (unknown.text().await, wrong.text().await);
    assert_eq!(
        unknown.expect("a body"),
        wrong.expect("a body"),
        "which is wrong is not told"
    );
    assert_eq!(site.try_login("alice", "wrong").await.status(), 401);
    let stopped = site.try_login("alice", PASSWORD).await;
    assert_eq!(stopped.status(), 429, "even with the right password");
    let wait = stopped.headers()["retry-after"].to_str().expect("text");
    assert!((1..=100).contains(&wait.parse().expect("seconds")));
}

#[actix_web::test]
async fn a_proxy_that_is_not_trusted_cannot_hide_who_guesses() {
    let site = Site::start_with(|settings| settings.web.login_attempts = 2).await;
    let guess = |from: &'static str, name: String| {
        site.request("POST", "/api/v1/session")
            .header("x-forwarded-for", from)
            .json(&json!({"name": name, "password": "x"}))
            .send()
    };
    assert_eq!(
        guess("192.0.2.1", "a".into()).await.expect("ok").status(),
        401
    );
    assert_eq!(
        guess("192.0.2.2", "b".into()).await.expect("ok").status(),
        401
    );
    assert_eq!(
        guess("192.0.2.3", "c".into()).await.expect("ok").status(),
        429
    );
}

#[actix_web::test]
async fn the_first_start_makes_one_admin_with_a_password_told_once() {
    let store = FakeStore::default();
    let secret = ensure_admin(&store)
        .await
        .expect("a store")
        .expect("a password");
    assert!(secret.len() >= 20);
    let admin = store
        .find("admin")
        .await
        .expect("a store")
        .expect("the admin");
    assert_eq!(admin.role, Role::Admin);
    assert!(admin.must_change_password);
    assert!(!admin.password_hash.contains(&secret));
    assert_eq!(ensure_admin(&store).await.expect("a store"), None);
    assert!(password::check_new(&secret).is_ok());
}
