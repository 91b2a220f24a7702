//! The page of credentials: forms that add, remove, revoke and trust again, what they say when
//! something is wrong, and that a key is never written into a page.

use actix_web::http::StatusCode;

use super::dashboard::{Browser, password_hash};
use super::fleet::{ASLEEP, Fleet, GONE, RICH};
use crate::support::certificates::Holder;

const KEY: &str = "000102030405060708090a0b0c0d0e0f";

fn psk<'a>(endpoint: &'a str, identity: &'a str, key: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("endpoint", endpoint),
        ("kind", "psk"),
        ("identity", identity),
        ("key", key),
        ("note", "<b>note"),
    ]
}

#[actix_web::test]
async fn an_admin_adds_a_key_finds_it_and_removes_it() {
    let mut browser = Browser::of("admin", Fleet::new(password_hash())).await;
    let page = browser.post("/credentials", &psk(RICH, "<i>id", KEY)).await;
    assert_eq!(page.status, StatusCode::SEE_OTHER, "{}", page.text);
    let list = page.location;
    assert_eq!(list, "/credentials?endpoint=urn%3Aimei%3A490154203237518");
    let page = browser.get(&list).await;
    for part in [
        "<code class=\"text-break\">&lt;i&gt;id</code>",
        "&lt;b&gt;note",
        "by admin",
        "action=\"/credentials/1/remove\"",
    ] {
        assert!(page.text.contains(part), "{part}: {}", page.text);
    }
    assert!(!page.text.contains(KEY) && !page.text.contains("<i>id"));
    // The form is ready for the next one of this device.
    assert!(page.text.contains(&format!("value=\"{RICH}\"")));

    let device = format!("/devices/{RICH}");
    let page = browser.get(&device).await;
    assert!(page.text.contains("data-credential=\"1\""), "{}", page.text);
    assert!(page.text.contains("1 pre-shared key"), "{}", page.text);
    // Only admins are told what it is called.
    let mut viewer = browser.again_as("viewer").await;
    let page = viewer.get(&device).await;
    assert!(page.text.contains("1 pre-shared key"), "{}", page.text);
    assert!(!page.text.contains("&lt;i&gt;id"), "{}", page.text);

    let page = browser.post("/credentials/1/remove", &[]).await;
    assert_eq!(page.location, "/credentials");
    let page = browser.get("/credentials").await;
    assert!(
        page.text.contains("No credentials are stored"),
        "{}",
        page.text
    );
    let page = browser.post("/credentials/1/remove", &[]).await;
    assert_eq!(page.status, StatusCode::NOT_FOUND);
}

#[actix_web::test]
async fn what_is_wrong_is_told_beside_the_form_which_keeps_all_but_the_key() {
    let mut browser = Browser::of("admin", Fleet::new(password_hash())).await;
    let odd = "00112233445566778899aabbccddeef";
    let page = browser
        .post("/credentials", &psk("thing<", "identity", odd))
        .await;
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(page.text.contains("31 hex digits"), "{}", page.text);
    for kept in [
        "value=\"thing&lt;\"",
        "value=\"identity\"",
        "value=\"&lt;b&gt;note\"",
    ] {
        assert!(page.text.contains(kept), "{kept}: {}", page.text);
    }
    assert!(!page.text.contains(odd), "the key is typed again");

    let rpk = [
        ("endpoint", "thing"),
        ("kind", "rpk"),
        ("rpk", "</textarea>"),
    ];
    let page = browser.post("/credentials", &rpk).await;
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(
        page.text.contains(">&lt;/textarea&gt;</textarea>"),
        "{}",
        page.text
    );
    assert!(page.text.contains("<option value=\"rpk\" selected>"));
    let page = browser.post("/credentials", &[("kind", "password")]).await;
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);

    // Unwise is told as well, and stored all the same.
    let page = browser
        .post("/credentials", &psk("thing", "short", "0102"))
        .await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.text.contains("data-added=\"1\""), "{}", page.text);
    assert!(
        page.text.contains("The key has only 2 bytes"),
        "{}",
        page.text
    );
    let page = browser
        .post("/credentials", &psk("other", "short", KEY))
        .await;
    assert_eq!(page.status, StatusCode::CONFLICT);
    assert!(
        page.text.contains("of the endpoint “thing”"),
        "{}",
        page.text
    );
}

#[actix_web::test]
async fn a_certificate_that_ends_soon_is_announced_on_two_pages() {
    let mut browser = Browser::of("admin", Fleet::new(password_hash())).await;
    for path in ["/", "/credentials"] {
        let page = browser.get(path).await;
        assert!(!page.text.contains("data-ending"), "{path}: {}", page.text);
    }
    // It is valid for a day.
    let holder = Holder::authority("maker").sign("thing");
    let pem = String::from_utf8(holder.certificate()).expect("text");
    let form = [
        ("endpoint", "thing"),
        ("kind", "x509"),
        ("x509", pem.as_str()),
    ];
    let page = browser.post("/credentials", &form).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.text);
    for path in ["/", "/credentials"] {
        let page = browser.get(path).await;
        assert!(
            page.text.contains("1 stored certificate of devices ends"),
            "{}",
            page.text
        );
    }
    let page = browser.get("/credentials?ending=1").await;
    assert!(page.text.contains("data-credential=\"1\""), "{}", page.text);
    let page = browser.get("/credentials?kind=psk").await;
    assert!(!page.text.contains("data-credential"), "{}", page.text);
}

#[actix_web::test]
async fn a_serial_number_is_revoked_and_trusted_again() {
    let mut browser = Browser::of("admin", Fleet::new(password_hash())).await;
    let form = [("serial", "0A:BC"), ("reason", "<u>stolen")];
    let page = browser.post("/credentials/revoked", &form).await;
    assert_eq!(page.location, "/credentials#revoked", "{}", page.text);
    let page = browser.get("/credentials").await;
    assert!(page.text.contains("data-revoked=\"0abc\""), "{}", page.text);
    assert!(page.text.contains("&lt;u&gt;stolen"), "{}", page.text);
    let page = browser.post("/credentials/revoked", &form).await;
    assert_eq!(page.status, StatusCode::CONFLICT);
    assert!(page.text.contains("is revoked already"), "{}", page.text);
    let page = browser
        .post("/credentials/revoked", &[("serial", "no hex")])
        .await;
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(page.text.contains("value=\"no hex\""), "{}", page.text);
    let page = browser
        .post("/credentials/restored", &[("serial", "0abc")])
        .await;
    assert_eq!(page.location, "/credentials#revoked", "{}", page.text);
    let page = browser.get("/credentials").await;
    assert!(!page.text.contains("data-revoked"), "{}", page.text);
    let page = browser
        .post("/credentials/restored", &[("serial", "0abc")])
        .await;
    assert_eq!(page.status, StatusCode::NOT_FOUND);
    assert!(page.text.contains("is not revoked"), "{}", page.text);
}

#[actix_web::test]
async fn only_admins_have_the_page_and_its_forms() {
    for role in ["viewer", "operator"] {
        let mut browser = Browser::of(role, Fleet::new(password_hash())).await;
        assert!(
            !browser
                .get("/")
                .await
                .text
                .contains("href=\"/credentials\"")
        );
        for path in ["", "/1/remove", "/revoked", "/restored"] {
            let path = format!("/credentials{path}");
            let page = browser.post(&path, &psk("thing", "identity", KEY)).await;
            assert_eq!(page.status, StatusCode::FORBIDDEN, "{role} {path}");
        }
    }
}

#[actix_web::test]
async fn a_refused_attempt_is_told_on_the_page_of_its_device() {
    let mut browser = Browser::of("viewer", Fleet::new(password_hash())).await;
    let page = browser.get(&format!("/devices/{GONE}")).await;
    for part in [
        "data-refusal=\"has_credentials\"",
        "192.0.2.9:40001",
        "the endpoint has credentials and must speak CoAP over DTLS",
    ] {
        assert!(page.text.contains(part), "{part}: {}", page.text);
    }
    let page = browser.get(&format!("/devices/{RICH}")).await;
    assert!(!page.text.contains("data-refusal"), "{}", page.text);
}

#[actix_web::test]
async fn which_credential_a_refused_handshake_was_about_is_told_to_admins_only() {
    let browser = Browser::of("viewer", Fleet::new(password_hash())).await;
    let device = format!("/devices/{ASLEEP}");
    for role in ["viewer", "operator"] {
        let page = browser.again_as(role).await.get(&device).await;
        assert!(
            page.text.contains("data-refusal=\"handshake\""),
            "{role}: {}",
            page.text
        );
        assert!(
            page.text.contains("the DTLS handshake failed"),
            "{role}: {}",
            page.text
        );
        assert!(!page.text.contains("secret-id"), "{role}: {}", page.text);
    }
    let page = browser.again_as("admin").await.get(&device).await;
    assert!(
        page.text.contains("the DTLS handshake failed: the key of"),
        "{}",
        page.text
    );
    assert!(page.text.contains("secret-id"), "{}", page.text);
}

/// Whoever takes the wrong file does not find its secret in a page, or in what a browser keeps of it.
#[actix_web::test]
async fn a_private_key_in_the_place_of_a_certificate_is_refused_and_not_written_into_the_page() {
    let mut browser = Browser::of("admin", Fleet::new(password_hash())).await;
    let key = String::from_utf8(Holder::authority("thing").key()).expect("text");
    let secret = key.lines().nth(1).expect("base64");
    for kind in ["x509", "rpk"] {
        let form = [
            ("endpoint", "thing"),
            ("kind", kind),
            (kind, key.as_str()),
            ("note", "kept"),
        ];
        let page = browser.post("/credentials", &form).await;
        assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY, "{kind}");
        assert!(page.text.contains("value=\"kept\""), "{}", page.text);
        for part in ["PRIVATE KEY", secret] {
            assert!(!page.text.contains(part), "{kind}: {}", page.text);
        }
    }
}
