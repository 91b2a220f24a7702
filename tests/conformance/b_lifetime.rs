//! B. Lifetime, Update and what is kept (OMA-TS-LightweightM2M Core 6.2).

use rstest::rstest;
use serde_json::{Value as Json, json};

use super::bench::{
    Asked, LINKS, Live, Transport, confirmed, nothing_was_sent, operate, server, shown,
};
use crate::support::device::{SENML_JSON, ScriptedDevice, TEXT};
use crate::support::server::{Api, Server};
use flownexus::coap::{Code, MessageType, number};
use flownexus::domain::{Timestamp, Token};

/// Milliseconds from one time of an endpoint to another.
fn between(endpoint: &Json, from: &str, to: &str) -> i64 {
    let time = |field: &str| -> i64 {
        let text = endpoint[field].as_str().expect(field);
        text.parse::<Timestamp>().expect(text).as_millis()
    };
    time(to) - time(from)
}

/// Sends an Update with these parameters and links.
#[track_caller]
fn update(device: &mut ScriptedDevice, query: &[&str], links: &str) {
    let mut update = device.update();
    for parameter in query {
        update.options.add(number::URI_QUERY, parameter.as_bytes());
    }
    if !links.is_empty() {
        update.options.add_uint(number::CONTENT_FORMAT, 40);
        update.payload = links.as_bytes().to_vec();
    }
    assert_eq!(device.ask(&update).code, Code::CHANGED);
}

/// Begins an observation and returns its token.
async fn observe(api: &Api, device: &mut ScriptedDevice, path: &str) -> Token {
    let body = json!({"kind": "observe", "path": path, "format": "text"});
    let mut token = None;
    let ended = operate(api, device, body, |device| {
        let observe = Asked::get(path).observe(0).accept(TEXT).expect(device);
        device.answer_observe(&observe, 1, TEXT, b"60");
        token = Some(observe.token);
    })
    .await;
    confirmed(&ended, "2.05");
    token.expect("a token")
}

/// Fails unless a notification with this token is answered with a Reset.
#[track_caller]
fn is_reset(device: &mut ScriptedDevice, token: Token, format: u16, payload: &[u8]) {
    let notification = device.notification(token, 1000, format, payload);
    device.send(&notification);
    let answer = device.expect("a reset");
    assert_eq!(
        (answer.kind, answer.message_id),
        (MessageType::Reset, notification.message_id)
    );
}

#[rstest]
#[case::udp(Transport::Udp)]
#[case::dtls(Transport::Dtls)]
#[tokio::test]
async fn b01_a_registration_lives_for_its_lifetime_or_a_day(#[case] over: Transport) {
    let server = server().await;
    let api = server.api();
    for (id, query, seconds) in [
        ("b01", &["lt=300", "lwm2m=1.1"][..], 300),
        ("b01-default", &["lwm2m=1.1"], 86_400),
    ] {
        let mut device = over.device(&server, id);
        let query: Vec<String> = query.iter().map(|part| (*part).to_owned()).collect();
        let register = device.register_with(&query, LINKS);
        let answer = device.ask(&register);
        device.take_location(&answer);
        let endpoint = shown(&api, &device).await;
        assert_eq!(endpoint["lifetime_s"], seconds);
        assert_eq!(
            between(&endpoint, "registered_at", "expires_at"),
            seconds * 1000
        );
        update(&mut device, &[], "");
        let later = shown(&api, &device).await;
        assert_eq!(
            between(&later, "last_seen_at", "expires_at"),
            seconds * 1000,
            "it begins anew"
        );
        assert!(between(&later, "registered_at", "expires_at") > seconds * 1000);
    }
}

#[rstest]
#[case::udp(Transport::Udp)]
#[case::dtls(Transport::Dtls)]
#[tokio::test]
async fn b02_an_update_changes_what_it_says_and_nothing_else(#[case] over: Transport) {
    let server = server().await;
    let api = server.api();
    let mut device = over.device(&server, "b02");
    let query = ["lt=300", "lwm2m=1.1", "b=U", "Q", "imei=1"].map(str::to_owned);
    let register = device.register_with(&query, LINKS);
    let answer = device.ask(&register);
    device.take_location(&answer);
    let before = shown(&api, &device).await;
    // Nothing but when it was heard of, and from where.
    device.move_to_new_address();
    update(&mut device, &[], "");
    let mut after = shown(&api, &device).await;
    assert_eq!(after["address"], device.address().to_string());
    for field in ["address", "last_seen_at", "expires_at"] {
        assert_ne!(after[field], before[field], "{field}");
        after[field] = before[field].clone();
    }
    assert_eq!(after, before);
    // A new lifetime, and it counts from now.
    update(&mut device, &["lt=7200"], "");
    let longer = shown(&api, &device).await;
    assert_eq!(longer["lifetime_s"], 7200);
    assert_eq!(between(&longer, "last_seen_at", "expires_at"), 7_200_000);
    assert_eq!(longer["objects"], before["objects"]);
    // New links take the place of the old ones.
    update(&mut device, &[], "</1/0>,</3442/1>");
    let changed = shown(&api, &device).await;
    assert_eq!(changed["objects"], json!(["/1/0", "/3442/1"]));
    assert_eq!(changed["lifetime_s"], 7200);
}

#[rstest]
#[case::udp(Transport::Udp)]
#[case::dtls(Transport::Dtls)]
#[tokio::test]
async fn b03_a_lifetime_that_is_over_ends_the_registration_and_its_observations(
    #[case] over: Transport,
) {
    let server = server().await;
    let api = server.api();
    let mut device = over.device(&server, "b03");
    let mut live = Live::of(&server, &device).await;
    device.register_now(1, LINKS);
    let token = observe(&api, &mut device, "/1/0/1").await;
    live.next("expired", |_| true).await;
    let endpoint = shown(&api, &device).await;
    assert_eq!(endpoint["registered"], false);
    // What somebody asked for is remembered, but nothing is observed.
    let states: Vec<&Json> = endpoint["observations"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| &one["state"])
        .collect();
    assert_eq!(states, [&json!("missing")]);
    is_reset(&mut device, token, TEXT, b"61");
    let update = device.update();
    assert_eq!(device.ask(&update).code, Code::NOT_FOUND);
}

#[rstest]
#[case::udp(Transport::Udp)]
#[case::dtls(Transport::Dtls)]
#[tokio::test]
async fn b04_attributes_survive_updates_and_new_ones_are_merged(#[case] over: Transport) {
    let server = server().await;
    let api = server.api();
    let mut device = over.device(&server, "b04");
    let query = ["lt=300", "lwm2m=1.1", "site=north", "row=1"].map(str::to_owned);
    let register = device.register_with(&query, LINKS);
    let answer = device.ask(&register);
    device.take_location(&answer);
    update(&mut device, &[], "");
    let endpoint = shown(&api, &device).await;
    assert_eq!(endpoint["attributes"], json!({"site": "north", "row": "1"}));
    update(&mut device, &["row=2", "shelf=7"], "");
    let endpoint = shown(&api, &device).await;
    assert_eq!(
        endpoint["attributes"],
        json!({"site": "north", "row": "2", "shelf": "7"})
    );
}

/// Object links in every form: the objects, the formats, and the path that a read of /1/0/1 has.
#[rstest]
#[case::udp(Transport::Udp)]
#[case::dtls(Transport::Dtls)]
#[tokio::test]
async fn b05_object_links_are_read_in_every_form(#[case] over: Transport) {
    let server = server().await;
    let api = server.api();
    let cases = [
        ("no root", "</1/0>,</3/0>", json!([]), "/1/0/1"),
        (
            "a quoted list of formats",
            "</>;rt=\"oma.lwm2m\";ct=\"110 112\",</1/0>,</3/0>",
            json!([110, 112]),
            "/1/0/1",
        ),
        (
            "one format, quoted",
            "</>;rt=\"oma.lwm2m\";ct=\"112\",</1/0>,</3/0>",
            json!([112]),
            "/1/0/1",
        ),
        (
            "one format, not quoted",
            "</>;rt=oma.lwm2m;ct=112,</1/0>,</3/0>",
            json!([112]),
            "/1/0/1",
        ),
        (
            "formats without a resource type",
            "</>;ct=11542,</1/0>,</3/0>",
            json!([11542]),
            "/1/0/1",
        ),
        (
            "another root",
            "</lwm2m>;rt=\"oma.lwm2m\";ct=110,</lwm2m/1/0>,</lwm2m/3/0>",
            json!([110]),
            "/lwm2m/1/0/1",
        ),
        (
            "another root of two segments, resource type not quoted",
            "</a/b>;rt=oma.lwm2m,</a/b/1/0>,</a/b/3/0>",
            json!([]),
            "/a/b/1/0/1",
        ),
        (
            "versions, on the object",
            "</1>;ver=1.2,</1/0>,</3>;ver=1.0,</3/0>",
            json!([]),
            "/1/0/1",
        ),
        (
            "resources outside of the root that have no numbers",
            "</lwm2m>;rt=\"oma.lwm2m\",</sensors/temp>;if=\"sensor\",</lwm2m/1/0>,</lwm2m/3/0>",
            json!([]),
            "/lwm2m/1/0/1",
        ),
    ];
    for (at, (what, links, formats, path)) in cases.into_iter().enumerate() {
        let mut device = over.device(&server, &format!("b05-{at}"));
        device.register_now(300, links);
        // The default templates read the Device object; this device refuses.
        let root = path.strip_suffix("/1/0/1").expect("a path below the root");
        let read = device.expect_request(Code::GET, &format!("{root}/3"));
        device.answer(&read, Code::NOT_FOUND, Default::default(), b"");
        let endpoint = shown(&api, &device).await;
        let objects = endpoint["objects"].as_array().expect("objects");
        assert!(
            objects.contains(&json!("/1/0")) && objects.contains(&json!("/3/0")),
            "{what}: {endpoint}"
        );
        assert_eq!(endpoint["formats"], formats, "{what}");
        assert_eq!(endpoint["warnings"], json!([]), "{what}");
        let body = json!({"kind": "read", "path": "/1/0/1", "format": "text"});
        let ended = operate(&api, &mut device, body, |device| {
            let read = Asked::get(path).accept(TEXT).expect(device);
            device.answer_content(&read, TEXT, b"300");
        })
        .await;
        confirmed(&ended, "2.05");
    }
}

/// Leshan cancels the first of two observations of one path. Here the second request has the token
/// of the first (RFC 7641 section 3.6: it replaces the entry), so there is one all the time.
#[rstest]
#[case::udp(Transport::Udp)]
#[case::dtls(Transport::Dtls)]
#[tokio::test]
async fn b06_observing_twice_is_one_observation_and_cancelling_leaves_none(
    #[case] over: Transport,
) {
    let server = server().await;
    let api = server.api();
    let mut device = over.registered(&server, "b06");
    let first = observe(&api, &mut device, "/1/0/1").await;
    let second = observe(&api, &mut device, "/1/0/1").await;
    assert_eq!(first, second);
    let other = observe(&api, &mut device, "/1/0/2").await;
    assert_ne!(first, other);
    let paths = |endpoint: &Json| -> Vec<Json> {
        let observations = endpoint["observations"].as_array().expect("a list");
        let mut paths: Vec<Json> = observations
            .iter()
            .map(|one| one["paths"].clone())
            .collect();
        paths.sort_by_key(ToString::to_string);
        paths
    };
    let endpoint = shown(&api, &device).await;
    assert_eq!(paths(&endpoint), [json!(["/1/0/1"]), json!(["/1/0/2"])]);

    // A composite one is found by all of its paths.
    let both = ["/1/0/1", "/1/0/2"];
    let mut composite = None;
    for _ in 0..2 {
        let body = json!({"kind": "observe_composite", "paths": both, "format": "senml_json"});
        let ended = operate(&api, &mut device, body, |device| {
            let observe = Asked::fetch()
                .observe(0)
                .accept(SENML_JSON)
                .body(SENML_JSON, r#"[{"n":"/1/0/1"},{"n":"/1/0/2"}]"#)
                .expect(device);
            assert!(composite.is_none_or(|token| token == observe.token));
            composite = Some(observe.token);
            let body = br#"[{"bn":"/1/0/","n":"1","v":60},{"n":"2","v":0}]"#;
            device.answer_observe(&observe, 1, SENML_JSON, body);
        })
        .await;
        confirmed(&ended, "2.05");
    }
    let composite = composite.expect("a token");
    assert!(composite != first && composite != other);
    let endpoint = shown(&api, &device).await;
    assert_eq!(endpoint["observations"].as_array().map(Vec::len), Some(3));

    // Cancelled by path; the others stay.
    let body = json!({"kind": "cancel_observe", "path": "/1/0/1", "format": "text"});
    let ended = operate(&api, &mut device, body, |device| {
        let cancel = Asked::get("/1/0/1").observe(1).accept(TEXT).expect(device);
        assert_eq!(cancel.token, first);
        device.answer_content(&cancel, TEXT, b"60");
    })
    .await;
    confirmed(&ended, "2.05");
    is_reset(&mut device, first, TEXT, b"61");
    device.notify(other, 2, TEXT, b"1");
    let body = br#"[{"n":"/1/0/1","v":62}]"#;
    device.notify(composite, 2, SENML_JSON, body);
    let endpoint = shown(&api, &device).await;
    assert_eq!(paths(&endpoint), [json!(both), json!(["/1/0/2"])]);

    // Cancelled with the client: with a new registration none of the old ones counts, and what
    // somebody wants is asked for anew, with other tokens.
    device.register_now(300, LINKS);
    let again = device.expect_request(Code::GET, "/1/0/2");
    device.answer_observe(&again, 1, TEXT, b"1");
    let both_again = device.expect_request(Code::FETCH, "/");
    device.answer_observe(&both_again, 1, SENML_JSON, body);
    let tokens = [again.token, both_again.token];
    assert!(!tokens.contains(&other) && !tokens.contains(&composite));
    is_reset(&mut device, other, TEXT, b"2");
    is_reset(&mut device, composite, SENML_JSON, body);
    nothing_was_sent(&mut device);
}

#[rstest]
#[case::udp(Transport::Udp)]
#[tokio::test]
async fn b07_registrations_and_observations_survive_the_process(#[case] over: Transport) {
    let mut server = Server::start().await;
    let mut device = over.device(&server, "b07");
    let query = ["lt=300", "lwm2m=1.1", "b=UQ", "imei=1"].map(str::to_owned);
    let register = device.register_with(&query, "</lwm2m>;rt=\"oma.lwm2m\";ct=110,</lwm2m/1/0>");
    let answer = device.ask(&register);
    device.take_location(&answer);
    let body = json!({"kind": "observe", "path": "/1/0/1", "format": "text"});
    let mut token = None;
    let ended = operate(&server.api(), &mut device, body, |device| {
        let observe = Asked::get("/lwm2m/1/0/1")
            .observe(0)
            .accept(TEXT)
            .expect(device);
        device.answer_observe(&observe, 1, TEXT, b"60");
        token = Some(observe.token);
    })
    .await;
    confirmed(&ended, "2.05");
    let before = shown(&server.api(), &device).await;

    server.kill();
    server.restart().await;

    let mut after = shown(&server.api(), &device).await;
    // The time that the server was down does not count; asleep until it is heard of.
    for field in ["expires_at", "awake", "next_wake_at", "next_wake_basis"] {
        after[field] = before[field].clone();
    }
    assert_eq!(after, before);
    device.notify(token.expect("a token"), 2, TEXT, b"61");
    update(&mut device, &[], "");
    let body = json!({"kind": "read", "path": "/1/0/1", "format": "text"});
    let ended = operate(&server.api(), &mut device, body, |device| {
        let read = Asked::get("/lwm2m/1/0/1").accept(TEXT).expect(device);
        device.answer_content(&read, TEXT, b"62");
    })
    .await;
    confirmed(&ended, "2.05");
}
