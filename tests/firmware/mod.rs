//! Firmware images and updates, through a real server.

mod an_image_comes_to_a_device;
mod every_misbehaviour_is_told_in_words;
mod images_are_fetched_over_coap;
mod images_are_uploaded_and_downloaded;
mod images_come_from_the_command_line;
mod images_go_to_proven_addresses;
mod images_survive_the_server;
mod the_network_and_the_server_fail;
pub(crate) mod updated;
mod updates_are_refused_with_a_sentence;
mod updates_that_are_over_are_counted;
mod what_cannot_be_an_image_is_refused;

use std::collections::BTreeSet;
use std::fs;

use reqwest::multipart::{Form, Part};
use reqwest::{Method, Response};
use serde_json::Value as Json;
use sha2::{Digest as _, Sha256};

use crate::support::server::{Api, Server};

pub(crate) const FIRMWARE: &str = "/api/v1/firmware";

/// Bytes that look like an image: no part of them is like another.
pub(crate) fn image(seed: u64, count: usize) -> Vec<u8> {
    // SplitMix64.
    let word = |at: u64| {
        let mut word = at
            .wrapping_add(seed << 32)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15);
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    };
    let mut bytes = Vec::with_capacity(count + 8);
    for at in 1..=(count as u64).div_ceil(8) {
        bytes.extend(word(at).to_le_bytes());
    }
    bytes.truncate(count);
    bytes
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// The form that people send: a version first, then a file of this name.
pub(crate) fn form(version: &str, file_name: &str, bytes: &[u8]) -> Form {
    let file = Part::bytes(bytes.to_vec()).file_name(file_name.to_owned());
    let form = Form::new().text("version", version.to_owned());
    form.part("file", file)
}

/// Whatever the status.
pub(crate) async fn send(api: &Api, form: Form) -> Response {
    let request = api.request(Method::POST, FIRMWARE).multipart(form);
    request.send().await.expect("an answer")
}

/// An upload that must succeed: the image as the API shows it.
pub(crate) async fn upload(api: &Api, form: Form) -> Json {
    let answer = send(api, form).await;
    let (status, text) = (answer.status(), answer.text().await.expect("a body"));
    assert_eq!(status, 201, "{text}");
    serde_json::from_str(&text).expect("JSON")
}

/// An upload that must be refused: the status and the problem.
async fn refused(api: &Api, form: Form) -> (u16, Json) {
    let answer = send(api, form).await;
    (answer.status().as_u16(), answer.json().await.expect("JSON"))
}

/// The versions of all images, newest first.
async fn versions(api: &Api) -> Vec<String> {
    let page = api.read(FIRMWARE).await;
    let items = page["items"].as_array().expect("items");
    items
        .iter()
        .map(|item| item["version"].as_str().expect("a version").to_owned())
        .collect()
}

/// The bytes of an image, as people download it.
async fn download(api: &Api, image: &Json) -> Vec<u8> {
    let answer = api.get(&format!("{FIRMWARE}/{}/file", image["id"])).await;
    assert_eq!(answer.status(), 200);
    answer.bytes().await.expect("bytes").to_vec()
}

/// The names in the folder of the images.
fn files(server: &Server) -> BTreeSet<String> {
    let Ok(entries) = fs::read_dir(server.data_dir().join("firmware")) else {
        return BTreeSet::new();
    };
    let names = entries.map(|entry| entry.expect("an entry").file_name());
    names
        .map(|name| name.into_string().expect("text"))
        .collect()
}
