//! The live socket: what a client gets, what it missed, and who gets none.

use std::time::Duration;

use flownexus::domain::{
    BulkId, EndpointName, LiveBody, LiveEvent, LiveKind, LiveNews, Path, RolloutId, Timestamp,
    Topic, Value,
};
use flownexus::store::Role;
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value as Json, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::support::site::Site;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn connect(
    site: &Site,
    query: &str,
    headers: &[(&'static str, &str)],
) -> Result<Socket, u16> {
    let url = format!("ws://{}/api/v1/live{query}", site.address);
    let mut request = url.into_client_request().expect("a request");
    for (name, value) in headers {
        let value = value.parse().expect("a header");
        request.headers_mut().insert(*name, value);
    }
    match connect_async(request).await {
        Ok((socket, _)) => Ok(socket),
        Err(Error::Http(answer)) => Err(answer.status().as_u16()),
        Err(error) => panic!("{error}"),
    }
}

async fn connect_as(site: &Site, query: &str, token: &str) -> Socket {
    let bearer = format!("Bearer {token}");
    connect(site, query, &[("authorization", &bearer)])
        .await
        .expect("a socket")
}

/// The next message that is text; nothing when the socket is closed.
async fn next(socket: &mut Socket) -> Option<Json> {
    loop {
        let message = tokio::time::timeout(Duration::from_secs(20), socket.next())
            .await
            .expect("a message in time")?;
        match message {
            Ok(Message::Text(text)) => return serde_json::from_str(&text).ok(),
            Ok(Message::Close(_)) | Err(_) => return None,
            Ok(_) => {}
        }
    }
}

fn temperature(device: &str, value: f64) -> LiveEvent {
    LiveEvent {
        endpoint: EndpointName::new(device).expect("a name"),
        kind: LiveKind::Resource,
        time: Timestamp::system(),
        body: json!({"path": "/3303/0/5700", "type": "FLOAT", "value": value}).into(),
    }
}

/// Waits until so many clients have their place: an upgrade is answered before the actor runs.
async fn listeners(site: &Site, count: i64) {
    for _ in 0..2000 {
        if site.hub.counters().clients.get() == count {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("{} clients", site.hub.counters().clients.get());
}

#[actix_web::test]
async fn clients_get_the_topics_that_they_asked_for() {
    let site = Site::start().await;
    let token = site.token(Role::Viewer).await;
    let mut fleet = connect_as(&site, "?topics=fleet", &token).await;
    let mut one = connect_as(&site, "?topics=endpoint:urn:dev:b", &token).await;
    listeners(&site, 2).await;
    site.hub.publish(vec![
        temperature("urn:dev:a", 1.0),
        temperature("urn:dev:b", 2.0),
    ]);
    let first = next(&mut fleet).await.expect("a message");
    assert_eq!(first["seq"], 1);
    assert_eq!(first["topic"], "endpoint:urn:dev:a");
    assert_eq!(first["kind"], "resource");
    assert_eq!(first["path"], "/3303/0/5700");
    assert_eq!(first["value"], 1.0);
    assert_eq!(next(&mut fleet).await.expect("a message")["seq"], 2);
    assert_eq!(next(&mut one).await.expect("a message")["seq"], 2);
    drop((fleet, one));
    listeners(&site, 0).await;
}

#[actix_web::test]
async fn a_client_that_comes_back_gets_what_it_missed_or_starts_anew() {
    let site = Site::start_with(|settings| settings.live.history = 4).await;
    let token = site.token(Role::Viewer).await;
    site.hub.publish(
        (0..10)
            .map(|step| temperature("a", f64::from(step)))
            .collect(),
    );
    let mut back = connect_as(&site, "?topics=fleet&after=8", &token).await;
    assert_eq!(next(&mut back).await.expect("a message")["seq"], 9);
    assert_eq!(next(&mut back).await.expect("a message")["seq"], 10);
    let mut late = connect_as(&site, "?topics=fleet&after=2", &token).await;
    let resync = next(&mut late).await.expect("a message");
    assert_eq!(
        (&resync["kind"], &resync["seq"]),
        (&json!("resync"), &json!(10))
    );
    site.hub.publish(vec![temperature("a", 11.0)]);
    assert_eq!(next(&mut late).await.expect("a message")["seq"], 11);
}

/// Memory stays bounded however long a client does not read, and afterwards it is told.
#[actix_web::test]
async fn who_wants_the_fleet_gathered_gets_arrays_with_the_newest_values() {
    let site = Site::start().await;
    let token = site.token(Role::Viewer).await;
    let mut gathered = connect_as(&site, "?topics=fleet&gathered=true", &token).await;
    listeners(&site, 1).await;
    let event = |number: i64| LiveEvent {
        body: LiveBody::Resource {
            path: Path::resource(3303, 0, 5700),
            value: Value::Integer(number),
        },
        ..temperature("device-1", 0.0)
    };
    site.hub.publish((1..=50).map(event).collect());
    site.hub.publish(vec![temperature("device-2", 21.5)]);
    let messages = next(&mut gathered).await.expect("an array");
    assert_eq!(messages.as_array().map(Vec::len), Some(2), "{messages}");
    assert_eq!(messages[0]["value"], 50);
    assert_eq!(messages[1]["topic"], "endpoint:device-2");
    // What was left out was counted all the same.
    let seq = |at: usize| messages[at]["seq"].as_u64().expect("a number");
    assert_eq!(seq(1), seq(0) + 1);

    let query = format!("?topics=fleet&gathered=true&after={}", seq(0));
    let mut back = connect_as(&site, &query, &token).await;
    let missed = next(&mut back).await.expect("an array");
    assert_eq!(missed[0]["seq"], seq(1));

    let bearer = format!("Bearer {token}");
    let headers = [("authorization", bearer.as_str())];
    for query in [
        "?topics=fleet,endpoint:device-1&gathered=true",
        "?topics=endpoint:device-1&gathered=true",
        "?topics=fleet&gathered=maybe",
    ] {
        assert_eq!(connect(&site, query, &headers).await.err(), Some(400));
    }
}

/// What is about no device has a topic of its own, and the fleet hears of it.
#[actix_web::test]
async fn rollouts_and_bulk_operations_are_told_on_their_topics() {
    let site = Site::start().await;
    let token = site.token(Role::Viewer).await;
    let mut rollout = connect_as(&site, "?topics=rollout:7,bulk:2", &token).await;
    let mut fleet = connect_as(&site, "?topics=fleet&gathered=true", &token).await;
    listeners(&site, 2).await;
    let news = |topic: Topic, kind, state: &str| LiveNews {
        topic,
        kind,
        time: Timestamp::system(),
        fields: json!({"state": state}),
    };
    site.hub.announce(news(
        Topic::Rollout(RolloutId(8)),
        LiveKind::Rollout,
        "RUNNING",
    ));
    for state in ["RUNNING", "PAUSED"] {
        site.hub
            .announce(news(Topic::Rollout(RolloutId(7)), LiveKind::Rollout, state));
    }
    site.hub
        .announce(news(Topic::Bulk(BulkId(2)), LiveKind::Bulk, "FINISHED"));
    for (topic, kind, state) in [
        ("rollout:7", "rollout", "RUNNING"),
        ("rollout:7", "rollout", "PAUSED"),
        ("bulk:2", "bulk", "FINISHED"),
    ] {
        let message = next(&mut rollout).await.expect("a message");
        assert_eq!(
            (&message["topic"], &message["kind"]),
            (&json!(topic), &json!(kind))
        );
        assert_eq!(message["state"], state);
    }
    // Gathered, the newest of each.
    let messages = next(&mut fleet).await.expect("an array");
    let told = messages.as_array().expect("an array").iter();
    let told: Vec<_> = told
        .map(|one| (one["topic"].clone(), one["state"].clone()))
        .collect();
    assert_eq!(
        told,
        [
            (json!("rollout:8"), json!("RUNNING")),
            (json!("rollout:7"), json!("PAUSED")),
            (json!("bulk:2"), json!("FINISHED")),
        ]
    );
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", bearer.as_str())];
    for query in [
        "?topics=rollout:x",
        "?topics=bulk:",
        "?topics=fleet,rollouts",
    ] {
        assert_eq!(
            connect(&site, query, &headers).await.err(),
            Some(400),
            "{query}"
        );
    }
}

#[actix_web::test]
async fn a_client_that_does_not_read_is_told_to_start_anew() {
    let site = Site::start_with(|settings| settings.live.queue_length = 16).await;
    let token = site.token(Role::Viewer).await;
    let mut slow = connect_as(&site, "?topics=fleet", &token).await;
    listeners(&site, 1).await;
    let padding = "x".repeat(10_000);
    for step in 0..4000 {
        let mut event = temperature("a", f64::from(step));
        event.body = json!({"value": 21.5, "padding": padding}).into();
        site.hub.publish(vec![event]);
        if step % 16 == 0 {
            // Lets the server's thread write until the socket is full.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    let mut kinds = Vec::new();
    let resync = loop {
        let message = next(&mut slow).await.expect("a message");
        if message["kind"] == "resync" {
            break message;
        }
        kinds.push(message["seq"].clone());
    };
    assert!(kinds.len() < 4000);
    assert!(
        resync["seq"]
            .as_u64()
            .is_some_and(|seq| seq > kinds.len() as u64)
    );
    assert!(site.hub.counters().dropped.get() > 0);
}

#[actix_web::test]
async fn strangers_and_other_sites_get_no_socket() {
    let site = Site::start().await;
    site.person("alice", Role::Viewer).await;
    let cookie = site.login("alice").await;
    let here = format!("http://{}", site.address);
    let query = "?topics=fleet";
    let expired = format!("Bearer {}", site.expired_token(Role::Admin).await);
    let refused = [
        (vec![], 401),
        (vec![("authorization", expired.as_str())], 401),
        (
            vec![
                ("cookie", cookie.as_str()),
                ("origin", "https://evil.example"),
            ],
            403,
        ),
        (
            vec![
                ("cookie", cookie.as_str()),
                ("sec-fetch-site", "cross-site"),
            ],
            403,
        ),
    ];
    for (headers, wanted) in refused {
        let status = connect(&site, query, &headers).await.err();
        assert_eq!(status, Some(wanted), "{headers:?}");
    }
    let own = [("cookie", cookie.as_str()), ("origin", here.as_str())];
    assert!(connect(&site, query, &own).await.is_ok());
}

#[actix_web::test]
async fn places_are_limited_and_clients_have_nothing_to_say() {
    let site = Site::start_with(|settings| settings.live.max_clients = 1).await;
    let token = site.token(Role::Viewer).await;
    let mut first = connect_as(&site, "?topics=fleet", &token).await;
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", bearer.as_str())];
    let second = connect(&site, "?topics=fleet", &headers).await.err();
    assert_eq!(second, Some(503));
    // A frame that is too large ends the connection, and frees the place.
    let big = Message::text("x".repeat(10_000));
    let _ = first.send(big).await;
    assert_eq!(next(&mut first).await, None);
    listeners(&site, 0).await;
    assert!(connect(&site, "?topics=fleet", &headers).await.is_ok());
}

/// A socket lives longer than a request: what opened it must go on to hold.
#[actix_web::test]
async fn a_socket_is_closed_when_its_login_ends() {
    let site = Site::start().await;
    site.person("alice", Role::Viewer).await;
    let cookie = site.login("alice").await;
    let token = site.token(Role::Viewer).await;
    let own = [("cookie", cookie.as_str())];
    let mut person = connect(&site, "?topics=fleet", &own)
        .await
        .expect("a socket");
    let mut program = connect_as(&site, "?topics=fleet", &token).await;
    let kept = site.token(Role::Viewer).await;
    let _kept = connect_as(&site, "?topics=fleet", &kept).await;
    listeners(&site, 3).await;
    site.store.people().sessions.clear();
    site.store.people().tokens[0].expires_at = Some(Timestamp::system());
    assert_eq!(next(&mut person).await, None);
    assert_eq!(next(&mut program).await, None);
    listeners(&site, 1).await;
}

/// Rights that change are looked at when they change, and not only now and then.
#[actix_web::test]
async fn a_socket_is_closed_at_once_when_its_person_may_no_more() {
    let site = Site::start().await;
    let admin = site.token(Role::Admin).await;
    let patch = |name: &'static str, body: serde_json::Value| {
        let (site, admin) = (&site, &admin);
        async move {
            let path = format!("/api/v1/users/{name}");
            let (status, _) = site.ask("PATCH", &path, admin, Some(body)).await;
            assert_eq!(status, 200);
        }
    };
    let mut sockets = Vec::new();
    for name in ["dave", "alice", "bob", "carol"] {
        site.person(name, Role::Viewer).await;
        let cookie = site.login(name).await;
        let own = [("cookie", cookie.as_str())];
        sockets.push(
            connect(&site, "?topics=fleet", &own)
                .await
                .expect("a socket"),
        );
    }
    listeners(&site, 4).await;
    // Nobody is told that this login is over: only the regular look finds it, and finds it first.
    site.store
        .people()
        .sessions
        .retain(|session| session.user.as_deref() != Some("dave"));
    patch("alice", serde_json::json!({"disabled": true})).await;
    assert_eq!(next(&mut sockets[1]).await, None);
    patch("bob", serde_json::json!({"role": "operator"})).await;
    let (_, all) = site
        .ask("GET", "/api/v1/sessions?user=carol", &admin, None)
        .await;
    let id = all["items"][0]["id"].as_str().expect("a session");
    let path = format!("/api/v1/sessions/{id}");
    assert_eq!(site.ask("DELETE", &path, &admin, None).await.0, 204);
    assert_eq!(next(&mut sockets[3]).await, None);
    // Bob goes on with his new role, and nobody has looked at the login of Dave yet.
    listeners(&site, 2).await;
}

/// A socket that stays open would hold up the end of the server.
#[actix_web::test]
async fn sockets_are_closed_when_the_server_shuts_down() {
    let site = Site::start().await;
    let token = site.token(Role::Viewer).await;
    let mut socket = connect_as(&site, "?topics=fleet", &token).await;
    listeners(&site, 1).await;
    site.hub.close();
    let message = tokio::time::timeout(Duration::from_secs(20), socket.next()).await;
    let Ok(Some(Ok(Message::Close(Some(reason))))) = message else {
        panic!("{message:?}");
    };
    assert_eq!(u16::from(reason.code), 1001);
}
