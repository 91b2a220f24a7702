//! The protocol lens and the meter: what is said between devices and the server is there in words, without what is
//! secret, within its limits; and what it costs is counted.

mod bytes_are_counted;
mod captures_are_read_by_others;
mod keys_are_shown_nowhere;
mod messages_are_told_in_words;
mod pcap_file;
mod what_is_kept_has_limits;

use serde_json::Value as Json;

use crate::support::server::Server;

/// The messages of a device, oldest first.
pub(crate) async fn messages(server: &Server, device: &str, query: &str) -> Vec<Json> {
    let path = format!("/api/v1/endpoints/{device}/messages?{query}");
    let page = server.api().read(&path).await;
    let mut items = page["items"].as_array().expect("items").clone();
    items.reverse();
    items
}

/// What they say.
pub(crate) fn words(messages: &[Json]) -> Vec<&str> {
    let words = messages.iter().map(|message| &message["words"]);
    words.map(|words| words.as_str().expect("words")).collect()
}
