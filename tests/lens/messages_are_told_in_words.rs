//! Each message of a device is there, with a sentence that says what it is.

use std::time::Duration;

use flownexus::coap::{Code, Message, MessageType};
use futures_util::StreamExt as _;
use rstest::rstest;
use serde_json::{Value as Json, json};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite;

use super::{messages, words};
use crate::support::device::{ScriptedDevice, TEXT};
use crate::support::server::{SOON, Server, eventually};

#[rstest]
#[tokio::test]
async fn every_message_is_there_with_its_words(#[values(false, true)] is_secure: bool) {
    let server = Server::setup()
        .setting("credentials.reload_s", 1)
        .start()
        .await;
    let mut device = match is_secure {
        true => server.secure_device("pump"),
        false => ScriptedDevice::new("pump", server.coap()),
    };
    device.register_now(300, "</1/0>,</3316/0>");
    let api = server.api();
    let observe = json!({"kind": "observe", "path": "/3316/0/5700"});
    let operation = api.operate("pump", &observe).await;
    let observed = device.expect_request(Code::GET, "/3316/0/5700");
    device.answer_observe(&observed, 16, TEXT, b"21.0");
    assert_eq!(api.ended(&operation).await["status"], "CONFIRMED");
    let notification = device.notify(observed.token, 17, TEXT, b"21.5");
    // A copy is answered as it was.
    device.send(&notification);
    device.expect_acknowledgement(&notification);
    let read = json!({"kind": "read", "path": "/1/0/1"});
    let operation = api.operate("pump", &read).await;
    let request = device.expect_request(Code::GET, "/1/0/1");
    // The first one is lost; the server sends it again.
    let again = device.expect_request(Code::GET, "/1/0/1");
    assert_eq!(again.message_id, request.message_id);
    device.answer_content(&again, TEXT, b"87");
    assert_eq!(api.ended(&operation).await["status"], "CONFIRMED");
    if !is_secure {
        // No message at all, and a ping.
        device.send_bytes(&[0x41, 0x01]);
    }
    device.send(&Message::empty(MessageType::Confirmable, 4_000));
    let pong = device.expect("a Reset");
    assert_eq!(pong.kind, MessageType::Reset);

    let all = messages(&server, "pump", "").await;
    let notified = notification.message_id;
    let told = "The device reports Voltage 21.5 (notification 17 of /3316/0/5700)";
    let seen = format!("The server acknowledges message {notified} ({told})");
    let mut expected = vec![
        "Register: pump for 5 min, LwM2M 1.1, objects 1, 3316".to_owned(),
        "The server has registered the device".to_owned(),
        "The server observes /3316/0/5700 (Voltage)".to_owned(),
        "The device reports /3316/0/5700 (Voltage) from now on: Voltage 21".to_owned(),
        told.to_owned(),
        seen.clone(),
        format!("A copy of message {notified}: {told}"),
        format!("Once more: {seen}"),
        "The server reads /1/0/1 (Lifetime)".to_owned(),
        format!(
            "A copy of message {}: The server reads /1/0/1 (Lifetime)",
            request.message_id
        ),
        "The device answers: Lifetime 87 s".to_owned(),
    ];
    if !is_secure {
        expected.push("The device sends what is no CoAP message: shorter than a header".to_owned());
    }
    expected.push("The device asks whether the other is there (ping)".to_owned());
    expected.push("The server rejects message 4000".to_owned());
    assert_eq!(words(&all), expected);
    for message in &all {
        assert_eq!(message["secure"], is_secure, "{message}");
        assert_eq!(message["address"], device.address().to_string());
        let (wire, length) = (&message["wire_bytes"], &message["message_bytes"]);
        let difference = wire
            .as_u64()
            .zip(length.as_u64())
            .map(|(wire, length)| wire - length);
        assert_eq!(
            difference.is_some_and(|more| more > 0),
            is_secure,
            "{message}"
        );
    }
    // Requests and answers know each other.
    assert_eq!(all[0]["answered_by"], all[1]["id"]);
    assert_eq!(all[1]["answers"], all[0]["id"]);
    assert_eq!(all[6]["copy_of"], all[4]["id"]);
    assert_eq!(all[10]["answers"], all[8]["id"]);
    assert_eq!(
        all[4]["options"][0],
        json!({"number": 6, "name": "Observe", "value": "17"})
    );
    // One by one, with bytes.
    let path = format!("/api/v1/endpoints/pump/messages/{}", all[4]["id"]);
    let one = api.read(&path).await;
    assert_eq!(one["bytes"], hex::encode(notification.encode()));

    // Chosen, and page by page.
    let data = messages(&server, "pump", "kind=data").await;
    assert_eq!(data.len(), 2, "{data:?}");
    let found = messages(&server, "pump", "search=LIFETIME%2087&direction=up").await;
    assert_eq!(words(&found), ["The device answers: Lifetime 87 s"]);
    let behind = messages(&server, "pump", &format!("after={}", all[4]["id"])).await;
    assert_eq!(behind.len(), all.len() - 5);
    let page = api.read("/api/v1/endpoints/pump/messages?limit=2").await;
    let next = page["next"].as_str().expect("there are more");
    let older = messages(&server, "pump", &format!("limit=1000&cursor={next}")).await;
    assert_eq!(older.len(), all.len() - 2);
    for wrong in [
        "kind=some",
        "direction=left",
        "after=x",
        "limit=0",
        "cursor=x",
    ] {
        let answer = api
            .get(&format!("/api/v1/endpoints/pump/messages?{wrong}"))
            .await;
        assert_eq!(answer.status(), 400, "{wrong}");
    }
}

#[tokio::test]
async fn whoever_watches_a_device_is_told_that_something_was_said() {
    let server = Server::start().await;
    let mut device = ScriptedDevice::new("pump", server.coap());
    device.register_now(300, "</1/0>");
    let mut sockets = Vec::new();
    for topic in ["messages:pump", "fleet", "endpoint:pump"] {
        let request = server.live_request(topic);
        let (socket, _) = connect_async(request).await.expect("a socket");
        sockets.push(socket);
    }
    let mut last = 0;
    for _ in 0..2 {
        let update = device.update();
        device.ask(&update);
        let newest = eventually("an Update in the list", SOON, async || {
            let all = messages(&server, "pump", "").await;
            let newest = all.last().and_then(|message| message["id"].as_u64());
            newest.filter(|newest| *newest > last)
        })
        .await;
        last = newest;
        // Perhaps one for each message of the two.
        loop {
            let told = next(&mut sockets[0]).await;
            assert_eq!(told["kind"], "messages", "{told}");
            assert_eq!(told["topic"], "messages:pump");
            if told["newest"] == newest {
                break;
            }
        }
    }
    // The others hear of the Updates, and of nothing else.
    for socket in &mut sockets[1..] {
        for _ in 0..2 {
            assert_eq!(next(socket).await["kind"], "updated");
        }
        let more = tokio::time::timeout(Duration::from_millis(300), socket.next()).await;
        assert!(more.is_err(), "{more:?}");
    }
}

async fn next<S>(socket: &mut S) -> Json
where
    S: futures_util::Stream<Item = Result<tungstenite::Message, tungstenite::Error>> + Unpin,
{
    loop {
        let message = tokio::time::timeout(SOON, socket.next()).await;
        let message = message.expect("a message in time").expect("an open socket");
        if let tungstenite::Message::Text(text) = message.expect("a message") {
            return serde_json::from_str(&text).expect("JSON");
        }
    }
}

#[tokio::test]
async fn after_a_restart_a_device_is_known_by_where_it_is() {
    let mut server = Server::start().await;
    let mut device = ScriptedDevice::new("pump", server.coap());
    device.register_now(300, "</1/0>");
    assert_eq!(messages(&server, "pump", "").await.len(), 2);
    server.kill();
    server.restart().await;
    assert!(messages(&server, "pump", "").await.is_empty());
    let update = device.update();
    device.ask(&update);
    let all = messages(&server, "pump", "").await;
    assert_eq!(
        words(&all),
        [
            "Update: the device is still there",
            "The server has updated the registration",
        ]
    );
}

#[tokio::test]
async fn it_can_be_switched_off() {
    let server = Server::setup()
        .setting("lens.enabled", false)
        .setting("lens.meter", false)
        .start()
        .await;
    let mut device = ScriptedDevice::new("pump", server.coap());
    device.register_now(300, "</1/0>");
    assert!(messages(&server, "pump", "").await.is_empty());
    let traffic = server.api().read("/api/v1/traffic").await;
    assert_eq!(traffic["days"], json!([]));
    assert_eq!(server.metric("flownexus_lens_messages_total").await, 0.0);
}
