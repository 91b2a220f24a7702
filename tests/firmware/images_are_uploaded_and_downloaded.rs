//! From the upload to the bytes that somebody downloads, and what is said of an image meanwhile.

use reqwest::{Method, StatusCode};
use serde_json::json;

use super::{FIRMWARE, download, files, form, image, sha256, upload, versions};
use crate::support::server::Server;

#[tokio::test]
async fn byte_for_byte_with_size_and_hash() {
    let server = Server::start().await;
    let api = server.api();
    assert_eq!(api.read(FIRMWARE).await, json!({"items": [], "next": null}));
    let bytes = image(1, 700_001);
    let hash = sha256(&bytes);
    let selection = json!({"names": ["urn:imei:35*"], "tags": ["lab"]});
    let request = form("0.2.0", "v0.2.0.bin", &bytes)
        .text("notes", "Sleeps longer.\nÄ")
        .text("selection", selection.to_string())
        .text("sha256", format!(" {}\n", hash.to_uppercase()));
    let answer = super::send(&api, request).await;
    assert_eq!(answer.status(), StatusCode::CREATED);
    let location = answer.headers()["location"].to_str().expect("text");
    let location = location.to_owned();
    let added: serde_json::Value = answer.json().await.expect("JSON");
    assert_eq!(location, format!("{FIRMWARE}/{}", added["id"]));
    for (field, expected) in [
        ("version", json!("0.2.0")),
        ("name", json!("v0.2.0.bin")),
        ("size", json!(700_001)),
        ("sha256", json!(hash)),
        ("notes", json!("Sleeps longer.\nÄ")),
        ("selection", selection),
        ("path", json!("/binaries/v0.2.0.bin")),
        ("created_by", json!("token:test")),
    ] {
        assert_eq!(added[field], expected, "{field}");
    }
    assert_eq!(api.read(&location).await, added);
    let page = api.read(FIRMWARE).await;
    assert_eq!(page["items"], json!([added]));

    let answer = api.get(&format!("{location}/file")).await;
    assert_eq!(answer.status(), StatusCode::OK);
    for (header, expected) in [
        ("content-type", "application/octet-stream".to_owned()),
        ("content-length", "700001".to_owned()),
        (
            "content-disposition",
            "attachment; filename=\"v0.2.0.bin\"".to_owned(),
        ),
        ("etag", format!("\"{hash}\"")),
    ] {
        assert_eq!(answer.headers()[header], expected, "{header}");
    }
    assert!(answer.bytes().await.expect("bytes") == bytes);
    assert_eq!(files(&server).len(), 1, "and nothing beside it");
}

#[tokio::test]
async fn the_name_is_that_of_the_file_where_devices_can_ask_for_it() {
    let server = Server::start().await;
    let api = server.api();
    for (version, file_name, name, expected) in [
        ("1", "v1.bin", None, "v1.bin"),
        ("2", "../../etc/passwd", None, "2.bin"),
        ("3+7", "my firmware.bin", None, "3+7.bin"),
        (
            "4",
            "v4.bin",
            Some("zephyr.signed.bin"),
            "zephyr.signed.bin",
        ),
        ("5", "", None, "5.bin"),
    ] {
        let mut request = form(version, file_name, b"an image");
        if let Some(name) = name {
            request = request.text("name", name);
        }
        let added = upload(&api, request).await;
        assert_eq!(added["name"], expected, "{file_name}");
        assert_eq!(added["path"], format!("/binaries/{expected}"));
    }
    assert_eq!(versions(&api).await, ["5", "4", "3+7", "2", "1"]);
    let page = api.read(&format!("{FIRMWARE}?limit=2")).await;
    let next = page["next"].as_str().expect("more").to_owned();
    assert_eq!(page["items"][1]["version"], "4");
    let page = api.read(&format!("{FIRMWARE}?limit=2&cursor={next}")).await;
    assert_eq!(page["items"][0]["version"], "3+7");
}

#[tokio::test]
async fn parts_come_in_any_order() {
    let server = Server::start().await;
    let api = server.api();
    let file = reqwest::multipart::Part::bytes(image(3, 5000)).file_name("a.bin");
    let request = reqwest::multipart::Form::new()
        .part("file", file)
        .text("name", "b.bin")
        .text("version", "1.0");
    let added = upload(&api, request).await;
    assert_eq!(
        (&added["name"], &added["size"]),
        (&json!("b.bin"), &json!(5000))
    );
}

#[tokio::test]
async fn with_names_that_nobody_guesses_where_that_is_wanted() {
    let server = Server::setup()
        .setting("firmware.names", "unguessable")
        .start()
        .await;
    let api = server.api();
    let added = upload(&api, form("1", "v1.bin", b"an image")).await;
    let path = added["path"].as_str().expect("a path");
    let key = path
        .strip_prefix("/binaries/")
        .and_then(|rest| rest.strip_suffix("/v1.bin"))
        .expect("a key in between");
    assert!(key.len() == 32 && hex::decode(key).is_ok(), "{path}");
}

#[tokio::test]
async fn what_is_said_of_one_changes_and_its_bytes_do_not() {
    let server = Server::start().await;
    let api = server.api();
    let bytes = image(4, 3000);
    let added = upload(&api, form("1", "v1.bin", &bytes)).await;
    let path = format!("{FIRMWARE}/{}", added["id"]);
    let patch = async |body: serde_json::Value| {
        let request = api.request(Method::PATCH, &path).json(&body);
        let answer = request.send().await.expect("an answer");
        let status = answer.status().as_u16();
        (
            status,
            answer.json::<serde_json::Value>().await.expect("JSON"),
        )
    };
    let (status, described) = patch(json!({"notes": "not for the lab"})).await;
    assert_eq!(
        (status, &described["notes"]),
        (200, &json!("not for the lab"))
    );
    let (status, described) = patch(json!({"selection": {"tags": ["field"]}})).await;
    let mut expected = added.clone();
    expected["notes"] = json!("not for the lab");
    expected["selection"] = json!({"names": [], "tags": ["field"]});
    assert_eq!((status, &described), (200, &expected));
    assert_eq!(api.read(&path).await, expected);
    assert!(download(&api, &added).await == bytes);
    for (body, field) in [
        (json!({"notes": "x".repeat(4097)}), "notes"),
        (json!({"selection": {"tags": ["a b"]}}), "selection"),
        (json!({"version": "2"}), "version"),
    ] {
        let (status, problem) = patch(body).await;
        assert_eq!(
            (status, &problem["field"]),
            (422, &json!(field)),
            "{problem}"
        );
    }
    assert_eq!(api.read(&path).await, expected);
}

#[tokio::test]
async fn a_removed_one_is_gone_and_its_version_free_again() {
    let server = Server::start().await;
    let api = server.api();
    let first = upload(&api, form("1", "v1.bin", b"the first")).await;
    let path = format!("{FIRMWARE}/{}", first["id"]);
    assert_eq!(api.delete(&path).await.status(), StatusCode::NO_CONTENT);
    for gone in [path.clone(), format!("{path}/file")] {
        let answer = api.get(&gone).await;
        assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{gone}");
    }
    assert_eq!(api.delete(&path).await.status(), StatusCode::NOT_FOUND);
    assert!(files(&server).is_empty(), "{:?}", files(&server));
    let second = upload(&api, form("1", "v1.bin", b"the second")).await;
    assert!(second["id"].as_i64() > first["id"].as_i64());
    assert_eq!(download(&api, &second).await, b"the second");

    let log = api.read("/api/v1/audit?limit=3").await;
    let lines: Vec<_> = log["items"].as_array().expect("lines").iter().collect();
    let actions: Vec<_> = lines.iter().map(|line| line["action"].clone()).collect();
    assert_eq!(actions, ["firmware.add", "firmware.remove", "firmware.add"]);
    for line in lines {
        assert_eq!(
            (&line["subject"], &line["actor"], &line["remote"]),
            (&json!("1"), &json!("token:test"), &json!("127.0.0.1"))
        );
    }
}
