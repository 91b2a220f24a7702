//! Clients that do wrong on purpose: they harm nobody, and the operation's error tells one from the
//! other.

use std::process::Child;

use flownexus::sim::{Answers, Quirks, SimSettings};
use serde_json::{Value as Json, json};
use tokio::sync::OnceCell;

use super::harness::{AWAKE, Client, at, play_on};
use crate::support::device::SENML_CBOR;
use crate::support::server::{SOON, Server, eventually};

/// A server that soon gives up.
async fn hasty() -> &'static Server {
    static SERVER: OnceCell<(Server, Child)> = OnceCell::const_new();
    let (server, _) = SERVER
        .get_or_init(async || {
            let server = Server::setup()
                .setting("coap.ack_timeout_ms", 200)
                .setting("coap.max_retransmit", 1)
                .setting("coap.response_timeout_s", 1)
                .setting("operations.max_attempts", 2)
                .start()
                .await;
            let watchdog = server.end_with_this_process();
            (server, watchdog)
        })
        .await;
    server
}

/// A client with quirks from after its registration on; in the end it behaves again, and is none
/// the worse.
async fn play(name: &str, quirks: Quirks, test: impl AsyncFnOnce(&Client)) {
    let with_relay = |settings: &mut SimSettings| settings.relay = true;
    play_on(hasty().await, name, with_relay, async |client| {
        client.settled().await;
        client.device.set_quirks(quirks).await.expect("a relay");
        test(client).await;
        let heals = client.device.set_quirks(Quirks::default()).await;
        heals.expect("a relay");
        // Whoever was silent is asked again when it is heard of.
        client.device.update().await.expect("running");
        assert_eq!(client.value("/3/0/0", None).await, "flownexus");
        assert_eq!(client.shown().await["registered"], true);
    })
    .await;
}

/// Reads a path to the end. The server tries again when it hears of the client, so the client sends
/// an Update whenever an attempt was in vain.
async fn read(client: &Client, path: &str) -> Json {
    let read = json!({"kind": "read", "path": path});
    let operation = client.api.operate(client.name(), &read).await;
    let path = format!("/api/v1/operations/{}", operation["id"]);
    eventually(&format!("{path} ends"), SOON, async || {
        let operation = client.api.read(&path).await;
        match operation["status"].as_str() {
            Some("QUEUED") if operation["attempts"] != 0 => {
                client.device.update().await.expect("running");
                None
            }
            Some("QUEUED" | "SENDING") => None,
            _ => Some(operation),
        }
    })
    .await
}

async fn fails_with(client: &Client, path: &str, reason: &str) {
    let ended = read(client, path).await;
    assert_eq!(ended["status"], "FAILED", "{ended}");
    let error = ended["error"].as_str().expect("an error");
    assert!(error.contains(reason), "{error}");
}

fn answers(answers: Answers) -> Quirks {
    Quirks {
        answers,
        ..Quirks::default()
    }
}

#[tokio::test]
async fn an_empty_acknowledgement_and_then_nothing() {
    let quirks = answers(Answers::AcknowledgementOnly);
    play("acknowledges-only", quirks, async |client| {
        fails_with(client, "/3/0/0", "did not answer it in time").await;
    })
    .await;
}

#[tokio::test]
async fn no_answer_at_all() {
    play("never-answers", answers(Answers::Never), async |client| {
        fails_with(client, "/3/0/0", "did not acknowledge").await;
    })
    .await;
}

#[tokio::test]
async fn two_answers() {
    play("answers-twice", answers(Answers::Twice), async |client| {
        for _ in 0..3 {
            assert_eq!(client.value("/3/0/0", None).await, "flownexus");
        }
    })
    .await;
}

#[tokio::test]
async fn an_answer_under_a_wrong_token() {
    play(
        "wrong-token",
        answers(Answers::WrongToken),
        async |client| {
            fails_with(client, "/3/0/0", "a token that was not asked with").await;
        },
    )
    .await;
}

#[tokio::test]
async fn a_path_that_was_not_asked_for() {
    let quirks = Quirks {
        stray_path: Some(at("/1/0/2")),
        ..Quirks::default()
    };
    play("stray-path", quirks, async |client| {
        fails_with(client, "/3/0/0", "/1/0/2").await;
        assert_eq!(client.stored("/1/0/2").await, None);
    })
    .await;
}

#[tokio::test]
async fn two_hundred_kilobytes_where_two_bytes_were_expected() {
    let quirks = Quirks {
        body_bytes: Some(200_000),
        ..Quirks::default()
    };
    play("large-body", quirks, async |client| {
        // A text of that length is kept as what it is, and the next value takes its place.
        let ended = read(client, "/1/0/1").await;
        let shown: String = ended.to_string().chars().take(300).collect();
        assert_eq!(ended["attempts"], 1, "{shown}");
        let heals = client.device.set_quirks(Quirks::default()).await;
        heals.expect("a relay");
        assert_eq!(client.value("/1/0/1", None).await, 300);
        assert_eq!(client.stored("/1/0/1").await, Some(json!(300)));
    })
    .await;
    let quirks = Quirks {
        body_bytes: Some(300_000),
        ..Quirks::default()
    };
    play("too-large-body", quirks, async |client| {
        fails_with(client, "/1/0/1", "larger than").await;
    })
    .await;
}

#[tokio::test]
async fn every_fifth_datagram_is_lost() {
    let quirks = Quirks {
        loses_every: Some(5),
        ..Quirks::default()
    };
    play("loses-datagrams", quirks, async |client| {
        for _ in 0..10 {
            assert_eq!(client.value("/3/0/0", None).await, "flownexus");
        }
    })
    .await;
}

#[tokio::test]
async fn a_format_that_is_refused_gives_way_to_the_next_and_that_is_remembered() {
    let quirks = Quirks {
        refused_formats: vec![SENML_CBOR],
        ..Quirks::default()
    };
    play("refuses-a-format", quirks, async |client| {
        let heard = || client.device.counters().operations();
        let before = heard();
        assert_eq!(client.value("/3/0/0", None).await, "flownexus");
        let first = heard() - before;
        assert!(first >= 2, "4.06, and then another format");
        assert_eq!(client.value("/3/0/1", None).await, "Simulated device");
        assert_eq!(heard() - before - first, 1, "not asked for again");
        let write = json!({"kind": "write", "path": "/3442/0/1120", "value": {"0": 7, "1": 8}});
        assert_eq!(client.confirmed(write).await["code"], "2.04");
    })
    .await;
}

#[tokio::test]
async fn a_client_that_hears_one_datagram_only_gets_one_operation_each_time_it_wakes() {
    let hears_one = |settings: &mut SimSettings| {
        settings.device.queue_mode = Some(AWAKE);
        settings.device.quirks.hears = Some(1);
    };
    let name = "hears-one";
    play_on(hasty().await, name, hears_one, async |client| {
        let mut operations = Vec::new();
        for path in ["/3/0/0", "/3/0/1", "/3/0/3"] {
            let read = json!({"kind": "read", "path": path});
            operations.push(client.api.operate(name, &read).await);
        }
        // Beside these there is what the templates want: one after the other, each time it wakes.
        let done = eventually("all of them are done", SOON, async || {
            client.device.update().await.expect("running");
            for operation in &operations {
                let path = format!("/api/v1/operations/{}", operation["id"]);
                let operation = client.api.read(&path).await;
                if matches!(operation["status"].as_str(), Some("QUEUED" | "SENDING")) {
                    return None;
                }
                assert_eq!(operation["status"], "CONFIRMED", "{operation}");
            }
            Some(client.device.counters())
        })
        .await;
        let spoken = done.updates() + done.registrations() + done.notifications();
        assert!(
            done.operations() <= spoken + 1,
            "{} requests were heard after {spoken} messages",
            done.operations()
        );
    })
    .await;
}
