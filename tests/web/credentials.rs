//! `/api/v1/credentials` over a store in memory: what is taken, what is refused and why, and that no
//! key comes back. What it does to devices is in `tests/credentials`.

use flownexus::store::Role;
use serde_json::{Value as Json, json};

use crate::support::certificates::Holder;
use crate::support::site::{DEVICE, Site};

const CREDENTIALS: &str = "/api/v1/credentials";
const KEY: &str = "000102030405060708090a0b0c0d0e0f";

fn text(pem: Vec<u8>) -> String {
    String::from_utf8(pem).expect("PEM is text")
}

async fn add(site: &Site, token: &str, body: Json) -> Json {
    let (status, added) = site.ask("POST", CREDENTIALS, token, Some(body)).await;
    assert_eq!(status, 201, "{added}");
    added
}

#[actix_web::test]
async fn each_kind_is_stored_shown_without_its_key_and_removed() {
    let site = Site::start().await;
    let token = site.token(Role::Admin).await;
    let psk = json!({"identity": "id one", "key": KEY});
    let body = json!({"endpoint": DEVICE, "psk": psk, "note": "from the factory"});
    let added = add(&site, &token, body).await;
    assert_eq!(added["warnings"], json!([]));
    assert_eq!(
        (&added["kind"], &added["label"]),
        (&json!("psk"), &json!("id one"))
    );
    assert_eq!(added["note"], "from the factory");
    assert_eq!(
        (&added["not_after"], &added["last_used_at"]),
        (&Json::Null, &Json::Null)
    );

    let holder = Holder::authority("maker").sign(DEVICE);
    let body = json!({"endpoint": DEVICE, "x509": text(holder.certificate())});
    let certificate = add(&site, &token, body).await;
    assert_eq!(certificate["kind"], "x509");
    assert_eq!(certificate["label"], json!(holder.serial().to_lowercase()));
    assert!(
        certificate["subject"]
            .as_str()
            .expect("a subject")
            .contains(DEVICE)
    );
    assert!(certificate["not_after"].is_string());
    // It ends tomorrow.
    assert!(
        certificate["warnings"][0]
            .as_str()
            .expect("a warning")
            .contains("expires soon")
    );

    // DER in base64 is taken as well, and is the same key as its PEM.
    let (pem, der) = holder.public_key();
    let packed = openssl::base64::encode_block(&der);
    let key = add(&site, &token, json!({"endpoint": "b", "rpk": packed})).await;
    assert_eq!(key["kind"], "rpk");
    assert_eq!(key["fingerprint"], key["label"]);
    let body = json!({"endpoint": "c", "rpk": text(pem)});
    let (status, problem) = site.ask("POST", CREDENTIALS, &token, Some(body)).await;
    assert_eq!((status, &problem["code"]), (409, &json!("exists")));
    assert!(
        problem["detail"].as_str().expect("words").contains("`b`"),
        "{problem}"
    );

    let (_, listed) = site.ask("GET", CREDENTIALS, &token, None).await;
    assert_eq!(listed["items"].as_array().expect("rows").len(), 3);
    assert!(!listed.to_string().contains(KEY));
    let path = format!("{CREDENTIALS}/{}", added["id"]);
    let (_, shown) = site.ask("GET", &path, &token, None).await;
    assert_eq!(shown["label"], "id one");
    assert!(!shown.to_string().contains(KEY));
    let (_, device) = site
        .ask("GET", &format!("/api/v1/endpoints/{DEVICE}"), &token, None)
        .await;
    assert_eq!(device["credentials"], 2);

    let (status, removed) = site.ask("DELETE", &path, &token, None).await;
    assert_eq!((status, &removed["credential"]), (200, &shown));
    assert_eq!(removed["revoked"], Json::Null);
    assert_eq!(site.ask("GET", &path, &token, None).await.0, 404);
    assert_eq!(site.ask("DELETE", &path, &token, None).await.0, 404);
    let log: Vec<String> = site
        .store
        .people()
        .audit
        .iter()
        .map(|entry| format!("{} {} {}", entry.action, entry.subject, entry.detail))
        .collect();
    assert_eq!(log.len(), 4, "{log:?}");
    assert_eq!(
        log[0],
        format!("credential.create {DEVICE} psk id one, credential 1")
    );
    assert_eq!(
        log[3],
        format!("credential.delete {DEVICE} psk id one, credential 1")
    );
    assert!(!log.concat().contains(KEY));
}

#[actix_web::test]
async fn what_is_wrong_with_a_credential_is_named() {
    let site = Site::start().await;
    let token = site.token(Role::Admin).await;
    let holder = Holder::authority("maker").sign("a");
    let psk = |identity: &str, key: &str| json!({"endpoint": "a", "psk": {"identity": identity, "key": key}});
    let cases = [
        (json!({"endpoint": "a"}), "psk", "give one of"),
        (
            json!({"endpoint": "a", "rpk": "x", "x509": "y"}),
            "psk",
            "no two of them",
        ),
        (
            json!({"endpoint": "", "psk": {"identity": "i", "key": KEY}}),
            "endpoint",
            "",
        ),
        (psk("", KEY), "psk.identity", "empty"),
        (psk(&"i".repeat(129), KEY), "psk.identity", "129 bytes"),
        (psk("i", ""), "psk.key", "empty"),
        (psk("i", "0102030g"), "psk.key", "no hex digits"),
        (psk("i", "010"), "psk.key", "no whole bytes"),
        (psk("i", &"00".repeat(65)), "psk.key", "65 bytes"),
        (
            json!({"endpoint": "a", "psk": {"identity": "i", "key": KEY, "secret": 1}}),
            "psk.secret",
            "unknown field",
        ),
        (
            json!({"endpoint": "a", "x509": "nothing"}),
            "x509",
            "neither PEM nor DER",
        ),
        (
            json!({"endpoint": "a", "x509": text(holder.key())}),
            "x509",
            "private key",
        ),
        (
            json!({"endpoint": "a", "rpk": text(holder.certificate())}),
            "rpk",
            "certificate",
        ),
        (
            json!({"endpoint": "a", "rpk": text(holder.public_key().0), "note": "n".repeat(1001)}),
            "note",
            "1000 bytes",
        ),
    ];
    for (body, field, words) in cases {
        let (status, problem) = site
            .ask("POST", CREDENTIALS, &token, Some(body.clone()))
            .await;
        assert_eq!(status, 422, "{body}: {problem}");
        assert_eq!(problem["field"], field, "{body}: {problem}");
        let detail = problem["detail"].as_str().expect("words");
        assert!(detail.contains(words), "{body}: {detail}");
        assert!(!detail.contains(KEY), "{detail}");
    }
    let (_, listed) = site.ask("GET", CREDENTIALS, &token, None).await;
    assert_eq!(listed["items"], json!([]), "nothing of it was stored");
    for (query, field) in [
        ("kind=password", "kind"),
        ("limit=0", "limit"),
        ("cursor=none", "cursor"),
        ("expires_before=soon", "expires_before"),
        ("key=1", "key"),
    ] {
        let path = format!("{CREDENTIALS}?{query}");
        let (status, problem) = site.ask("GET", &path, &token, None).await;
        assert_eq!(
            (status, &problem["field"]),
            (400, &json!(field)),
            "{problem}"
        );
    }
    let path = format!("{CREDENTIALS}/1?keep_serial=perhaps");
    assert_eq!(site.ask("DELETE", &path, &token, None).await.0, 400);
}

#[actix_web::test]
async fn the_list_is_filtered_and_read_page_by_page() {
    let site = Site::start().await;
    let token = site.token(Role::Admin).await;
    let maker = Holder::authority("maker");
    for number in 0..7 {
        let endpoint = format!("device {}", number % 4);
        let psk = json!({"identity": format!("identity {number}"), "key": KEY});
        add(&site, &token, json!({"endpoint": endpoint, "psk": psk})).await;
    }
    let x509 = text(maker.sign("device 2").certificate());
    add(&site, &token, json!({"endpoint": "device 2", "x509": x509})).await;

    let (mut labels, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("{CREDENTIALS}?limit=3&kind=psk{cursor}");
        let (status, page) = site.ask("GET", &path, &token, None).await;
        assert_eq!(status, 200, "{page}");
        let items = page["items"].as_array().expect("rows");
        assert!(items.len() <= 3);
        labels.extend(
            items
                .iter()
                .map(|item| format!("{} {}", item["endpoint"], item["label"])),
        );
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(labels.len(), 7);
    assert!(labels.is_sorted(), "{labels:?}");

    for (query, expected) in [
        ("endpoint=device%202", 3),
        ("kind=x509", 1),
        ("search=IDENTITY", 7),
        ("search=device%203", 1),
        ("expires_before=2100-01-01T00:00:00Z", 1),
        ("expires_before=2000-01-01T00:00:00Z", 0),
    ] {
        let path = format!("{CREDENTIALS}?{query}");
        let (_, page) = site.ask("GET", &path, &token, None).await;
        let items = page["items"].as_array().expect("rows");
        assert_eq!(items.len(), expected, "{query}: {page}");
    }
}

#[actix_web::test]
async fn a_certificate_is_revoked_and_trusted_again_by_its_serial_number() {
    let site = Site::start().await;
    let token = site.token(Role::Admin).await;
    let revoked = format!("{CREDENTIALS}/revoked");
    let body = json!({"serial": "0A:bC:01", "reason": "stolen", "endpoint": DEVICE});
    let (status, made) = site.ask("POST", &revoked, &token, Some(body.clone())).await;
    assert_eq!(status, 201, "{made}");
    assert_eq!(
        (&made["serial"], &made["reason"], &made["endpoint"]),
        (&json!("0abc01"), &json!("stolen"), &json!(DEVICE))
    );
    let (status, problem) = site.ask("POST", &revoked, &token, Some(body)).await;
    assert_eq!((status, &problem["code"]), (409, &json!("exists")));
    let (_, listed) = site.ask("GET", &revoked, &token, None).await;
    assert_eq!(listed["items"], json!([made]));
    for (body, field) in [
        (json!({"serial": "xyz"}), "serial"),
        (json!({"serial": "01", "endpoint": ""}), "endpoint"),
        (
            json!({"serial": "01", "reason": "r".repeat(1001)}),
            "reason",
        ),
    ] {
        let (status, problem) = site.ask("POST", &revoked, &token, Some(body)).await;
        assert_eq!(
            (status, &problem["field"]),
            (422, &json!(field)),
            "{problem}"
        );
    }

    // A certificate with this number cannot be stored meanwhile.
    let holder = Holder::authority("maker").sign("a");
    let body = json!({"serial": holder.serial()});
    assert_eq!(site.ask("POST", &revoked, &token, Some(body)).await.0, 201);
    let x509 = json!({"endpoint": "a", "x509": text(holder.certificate())});
    let (status, problem) = site
        .ask("POST", CREDENTIALS, &token, Some(x509.clone()))
        .await;
    assert_eq!((status, &problem["code"]), (409, &json!("revoked")));
    let path = format!("{revoked}/{}", holder.serial());
    assert_eq!(site.ask("DELETE", &path, &token, None).await.0, 204);
    assert_eq!(site.ask("DELETE", &path, &token, None).await.0, 404);
    add(&site, &token, x509).await;
    let (status, _) = site
        .ask("DELETE", &format!("{revoked}/xyz"), &token, None)
        .await;
    assert_eq!(status, 422);
}
