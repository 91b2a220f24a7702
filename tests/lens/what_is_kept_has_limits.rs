//! The lens holds so many messages of a device and so many bytes of all of them, whatever comes.

use std::net::UdpSocket;

use flownexus::coap::{Code, Message, MessageType, Options};
use flownexus::domain::Token;

use super::messages;
use crate::support::device::{ScriptedDevice, TEXT};
use crate::support::server::{SOON, Server, eventually};

#[tokio::test]
async fn a_flood_goes_nowhere_beyond_the_limits() {
    const MOST: u64 = 100_000;
    let server = Server::setup()
        .setting("lens.max_bytes", MOST)
        .setting("lens.max_message_bytes", 200)
        .setting("lens.messages_per_device", 50)
        .start()
        .await;
    let mut quiet = ScriptedDevice::new("quiet", server.coap());
    quiet.register_now(300, "</1/0>");
    // Strangers, each from a port of its own, with large and odd messages.
    let stranger = Message {
        kind: MessageType::NonConfirmable,
        code: Code::POST,
        message_id: 1,
        token: Token::from([1; 8]),
        options: Options::new(),
        payload: vec![7; 1_000],
    }
    .encode();
    let sockets: Vec<UdpSocket> = (0..300)
        .map(|_| UdpSocket::bind("127.0.0.1:0").expect("a port"))
        .collect();
    for (number, socket) in sockets.iter().cycle().take(3_000).enumerate() {
        let cut = stranger.len() - number % 900;
        let sent = socket.send_to(&stranger[..cut], server.coap());
        sent.expect("loopback takes it");
    }
    let held = server.metric("flownexus_lens_bytes").await;
    assert!(held <= MOST as f64, "{held}");
    let all = messages(&server, "quiet", "").await;
    assert_eq!(all.len(), 2, "strangers push nobody out");
    // One device that talks a lot.
    let mut chatty = ScriptedDevice::new("chatty", server.coap());
    chatty.register_now(300, "</1/0>");
    let large = vec![b'x'; 1_000];
    for _ in 0..60 {
        let push = chatty.data_push(TEXT, &large);
        chatty.ask(&push);
    }
    let all = messages(&server, "chatty", "limit=1000").await;
    assert_eq!(all.len(), 50, "so many of one device");
    let cut = all.iter().find(|message| message["cut"] == true);
    let cut = cut.expect("its messages are cut");
    let path = format!("/api/v1/endpoints/chatty/messages/{}", cut["id"]);
    let bytes = server.api().read(&path).await["bytes"].clone();
    assert_eq!(bytes.as_str().map(str::len), Some(2 * 200));
    assert!(cut["message_bytes"].as_u64() > Some(1_000), "{cut}");
    let note = cut["note"].as_str().expect("a note");
    assert!(note.contains("only the head"), "{note}");
    // Many devices: the oldest messages go, whoever's they are.
    for number in 0..8 {
        let mut device = ScriptedDevice::new(&format!("device-{number}"), server.coap());
        device.register_now(300, "</1/0>");
        for _ in 0..30 {
            let push = device.data_push(TEXT, &large);
            device.ask(&push);
        }
    }
    let dropped = eventually("messages go for lack of room", SOON, async || {
        let dropped = server.metric("flownexus_lens_dropped_total").await;
        (dropped > 0.0).then_some(dropped)
    });
    dropped.await;
    assert!(server.metric("flownexus_lens_bytes").await <= MOST as f64);
    assert!(!messages(&server, "device-7", "").await.is_empty());
    assert!(messages(&server, "quiet", "").await.is_empty());
}

#[tokio::test]
async fn a_forgotten_device_leaves_nothing() {
    let server = Server::setup().setting("lens.flush_s", 1).start().await;
    let mut device = ScriptedDevice::new("pump", server.coap());
    device.register_now(300, "</1/0>");
    let path = "/api/v1/endpoints/pump/traffic";
    let counted = server.api().read(path).await;
    assert!(counted["total"]["up_bytes"].as_u64() > Some(0), "{counted}");
    let answer = server.api().delete("/api/v1/endpoints/pump").await;
    assert_eq!(answer.status(), 204);
    assert_eq!(server.api().get(path).await.status(), 404);
    device.register_now(300, "</1/0>");
    let all = messages(&server, "pump", "").await;
    assert_eq!(all.len(), 2, "{all:?}");
    let counted = server.api().read(path).await;
    assert_eq!(counted["total"]["up_messages"], 1, "{counted}");
}
