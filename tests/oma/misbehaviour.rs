//! Clients that do wrong on purpose: they harm nobody, and the operation's error tells one from the
//! other.

use flownexus::sim::{Answers, Quirks, SimSettings};
use serde_json::json;
use tokio::sync::OnceCell;

use super::harness::{Client, at, play_on};
use crate::support::server::Server;
use std::process::Child;

/// A server that soon gives up.
async fn hasty() -> &'static Server {
    static SERVER: OnceCell<(Server, Child)> = OnceCell::const_new();
    let (server, _) = SERVER
        .get_or_init(async || {
            let server = Server::setup()
                .setting("coap.ack_timeout_ms", 200)
                .setting("coap.max_retransmit", 1)
                .setting("coap.response_timeout_s", 1)
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
        assert_eq!(client.value("/3/0/0", None).await, "flownexus");
        assert_eq!(client.shown().await["registered"], true);
    })
    .await;
}

async fn fails_with(client: &Client, path: &str, reason: &str) {
    let ended = client.operate(json!({"kind": "read", "path": path})).await;
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
        fails_with(client, "/3/0/0", "not answered").await;
    })
    .await;
}

#[tokio::test]
async fn no_answer_at_all() {
    play("never-answers", answers(Answers::Never), async |client| {
        fails_with(client, "/3/0/0", "not acknowledged").await;
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
            fails_with(client, "/3/0/0", "answered").await;
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
        fails_with(client, "/1/0/1", "INTEGER").await;
    })
    .await;
    let quirks = Quirks {
        body_bytes: Some(300_000),
        ..Quirks::default()
    };
    play("too-large-body", quirks, async |client| {
        fails_with(client, "/1/0/1", "too large").await;
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
