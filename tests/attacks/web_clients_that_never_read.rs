//! 36: a thousand live clients that never read.

use std::time::Duration;

use futures_util::StreamExt as _;
use serde_json::json;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;

use super::{Siege, resident_kb};
use crate::support::server::{SOON, Server};
use crate::support::site::address_of;

const CLIENTS: usize = 999;

/// What each of them is owed: more than all buffers on the way hold.
const MESSAGES: usize = 3_000;

/// A live socket; its kernel buffer is as small as can be.
async fn listen(server: &Server) -> WebSocketStream<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).expect("a socket");
    socket.set_recv_buffer_size(4096).expect("set");
    socket
        .connect(&address_of(&server.url("")).into())
        .expect("a connection");
    socket.set_nonblocking(true).expect("set");
    let stream = TcpStream::from_std(socket.into()).expect("a socket");
    let request = server.live_request("fleet");
    let (socket, _) = tokio_tungstenite::client_async(request, stream)
        .await
        .expect("an upgrade");
    socket
}

#[tokio::test]
async fn the_memory_stays_and_whoever_reads_is_served() {
    let siege = Siege::begin(|setup| setup.setting("live.max_clients", CLIENTS + 1)).await;
    let server = &siege.server;
    let mut silent = Vec::new();
    for _ in 0..CLIENTS {
        silent.push(listen(server).await);
    }
    let mut reader = listen(server).await;
    let before = resident_kb(server);

    // Values of a kilobyte each, as a gateway brings them.
    let api = server.api();
    let told = tokio::spawn(async move {
        let mut seen = 0_usize;
        while let Some(Ok(message)) = reader.next().await {
            let text = message.into_text().unwrap_or_default();
            seen += usize::from(text.contains("\"resource\""));
            if text.contains("the last one") {
                return seen;
            }
        }
        panic!("the reader was sent away after {seen} messages");
    });
    for number in 0..MESSAGES {
        let text = if number + 1 == MESSAGES {
            "the last one".to_owned()
        } else {
            "x".repeat(1000)
        };
        let body = json!({"ep": "loud", "obj_id": 3, "val": {
            "kind": "singleResource", "id": 17, "type": "STRING", "value": format!("{text} {number}")
        }});
        let answer = api.post("/leshan_api/resource/single", &body).await;
        assert!(answer.status().is_success(), "{}", answer.status());
    }
    let seen = tokio::time::timeout(SOON, told)
        .await
        .expect("in time")
        .expect("a reader");
    assert!(seen > 0);

    let grown = resident_kb(server).saturating_sub(before);
    // What they are owed is 3 GB; a queue holds pointers, and the messages themselves are there once.
    assert!(grown < 200_000, "{CLIENTS} clients took {grown} KB");

    // Who reads at last is told that something was lost, or was sent away meanwhile.
    let mut late = silent.pop().expect("one of them");
    let mut got = 0;
    let end = tokio::time::Instant::now() + Duration::from_secs(60);
    while let Ok(Some(Ok(message))) = tokio::time::timeout_at(end, late.next()).await {
        if message
            .to_text()
            .is_ok_and(|text| text.contains("\"resync\""))
        {
            break;
        }
        got += 1;
    }
    assert!(
        got < MESSAGES,
        "all of {got} messages were kept for one that did not read"
    );
    drop(silent);
    siege.ends_well().await;
}
