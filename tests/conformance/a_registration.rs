//! A. Registration (OMA-TS-LightweightM2M Core 6.2).

use std::net::{IpAddr, Ipv4Addr};

use rstest::rstest;
use serde_json::json;

use super::bench::{
    Asked, LINKS, Live, Transport, confirmed, nothing_was_sent, server, shown, warnings,
};
use crate::support::device::{ScriptedDevice, TEXT};
use flownexus::coap::{Code, MessageType, number};

/// To the server another host than 127.0.0.1.
const ANOTHER_HOST: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

/// Registers with these parameters and returns the code of the answer.
fn register(device: &mut ScriptedDevice, query: &[&str], links: &str) -> Code {
    let query: Vec<String> = query.iter().map(|part| (*part).to_owned()).collect();
    let register = device.register_with(&query, links);
    let answer = device.ask(&register);
    if answer.code == Code::CREATED {
        device.take_location(&answer);
    }
    answer.code
}

#[rstest]
#[case::udp(Transport::Udp)]
#[case::dtls(Transport::Dtls)]
#[tokio::test]
async fn a01_a_registration_holds_the_links_lives_by_updates_and_ends(#[case] over: Transport) {
    let server = server().await;
    let api = server.api();
    let mut device = over.device(&server, "a01");
    let register = device.register(300, "</1/0>,</3442/0>,</3442/7>,</9/0>;ver=2.0,</14>");
    let answer = device.ask(&register);
    device.take_location(&answer);
    // Location-Path: two options, `rd` and an id that nobody guesses; nothing else.
    let options: Vec<u16> = answer.options.iter().map(|(number, _)| number).collect();
    assert_eq!(options, [number::LOCATION_PATH; 2]);
    assert_eq!(device.location()[0], "rd");
    assert!(device.location()[1].len() >= 22, "128 random bits");
    assert!(answer.payload.is_empty());

    let before = shown(&api, &device).await;
    assert_eq!(
        before["objects"],
        json!(["/1/0", "/9/0", "/14", "/3442/0", "/3442/7"])
    );
    assert_eq!(
        (&before["registered"], &before["lifetime_s"]),
        (&json!(true), &json!(300))
    );
    let update = device.update();
    let answer = device.ask(&update);
    assert_eq!(
        (answer.code, answer.payload.as_slice()),
        (Code::CHANGED, &b""[..])
    );
    let after = shown(&api, &device).await;
    assert_eq!(after["registered_at"], before["registered_at"]);
    assert_eq!(after["objects"], before["objects"]);

    let deregister = device.deregister();
    let answer = device.ask(&deregister);
    assert_eq!(
        (answer.code, answer.payload.as_slice()),
        (Code::DELETED, &b""[..])
    );
    assert_eq!(shown(&api, &device).await["registered"], false);
    let update = device.update();
    assert_eq!(device.ask(&update).code, Code::NOT_FOUND);
}

#[rstest]
#[case::udp(Transport::Udp)]
#[case::dtls(Transport::Dtls)]
#[tokio::test]
async fn a02_register_update_deregister_and_register_again(#[case] over: Transport) {
    let server = server().await;
    let mut device = over.device(&server, "a02");
    let mut locations = Vec::new();
    for round in 0..3 {
        device.register_now(300 + round, LINKS);
        locations.push(device.location().to_vec());
        let update = device.update();
        assert_eq!(device.ask(&update).code, Code::CHANGED);
        let endpoint = shown(&server.api(), &device).await;
        assert_eq!(endpoint["lifetime_s"], 300 + round);
        let deregister = device.deregister();
        assert_eq!(device.ask(&deregister).code, Code::DELETED);
    }
    locations.sort();
    locations.dedup();
    assert_eq!(locations.len(), 3, "no location comes back");
}

#[rstest]
#[case::udp(Transport::Udp)]
#[case::dtls(Transport::Dtls)]
#[tokio::test]
async fn a03_a_device_that_stopped_without_a_word_is_replaced_by_its_next_registration(
    #[case] over: Transport,
) {
    let server = server().await;
    let api = server.api();
    let mut device = over.device(&server, "a03");
    let mut live = Live::of(&server, &device).await;
    device.register_now(300, LINKS);
    live.next("registered", |message| message["lifetime_s"] == 300)
        .await;
    let stale = device.update();
    device.move_to_new_address();
    assert_eq!(shown(&api, &device).await["registered"], true);

    device.register_now(600, "</1/0>");
    let message = live.next("registered", |_| true).await;
    assert_eq!(message["lifetime_s"], 600, "one message each, in order");
    assert_eq!(
        device.ask(&stale).code,
        Code::NOT_FOUND,
        "the old one ended"
    );
    let endpoint = shown(&api, &device).await;
    assert_eq!(
        (&endpoint["objects"], &endpoint["address"]),
        (&json!(["/1/0"]), &json!(device.address().to_string()))
    );
}

#[rstest]
#[case::udp(Transport::Udp)]
#[case::dtls(Transport::Dtls)]
#[tokio::test]
async fn a04_a_new_registration_ends_pending_requests_and_their_operations_begin_again(
    #[case] over: Transport,
) {
    let server = server().await;
    let api = server.api();
    let mut device = over.registered(&server, "a04");
    let mut reads = Vec::new();
    for resource in [1, 2, 3, 5] {
        let path = format!("/1/0/{resource}");
        let body = json!({"kind": "read", "path": path, "format": "text"});
        reads.push((path, api.operate(device.name(), &body).await));
    }
    let first = Asked::get("/1/0/1").accept(TEXT).expect(&mut device);
    // None of the four is answered before the device registers again.
    let register = device.register(300, LINKS);
    device.send(&register);
    let answer = device.expect("the answer to the Register");
    device.take_location(&answer);
    // What the old registration was asked is answered to nobody.
    device.answer_content(&first, TEXT, b"666");
    for (path, operation) in reads {
        let again = Asked::get(&path).accept(TEXT).expect(&mut device);
        assert_ne!(again.token, first.token);
        device.answer_content(&again, TEXT, b"5");
        let ended = api.ended(&operation).await;
        confirmed(&ended, "2.05");
        assert_eq!(ended["result"]["nodes"][0]["value"], 5, "{ended}");
    }
    nothing_was_sent(&mut device);
}

#[rstest]
#[case::udp(Transport::Udp)]
#[case::dtls(Transport::Dtls)]
#[tokio::test]
async fn a05_unknown_parameters_are_kept_as_attributes(#[case] over: Transport) {
    let server = server().await;
    let mut device = over.device(&server, "a05");
    let query = [
        "lt=300",
        "lwm2m=1.1",
        "b=U",
        "key1=value1",
        "imei=490154203237518",
        "flag",
    ];
    assert_eq!(register(&mut device, &query, LINKS), Code::CREATED);
    let endpoint = shown(&server.api(), &device).await;
    assert_eq!(
        endpoint["attributes"],
        json!({"key1": "value1", "imei": "490154203237518", "flag": ""})
    );
    assert_eq!(endpoint["warnings"], json!([]));
}

#[rstest]
#[case::udp(Transport::Udp)]
#[tokio::test]
async fn a06_a_register_without_a_name_is_forbidden(#[case] over: Transport) {
    let server = server().await;
    let mut device = over.device(&server, "a06");
    let mut nameless = device.register(300, LINKS);
    nameless.options.remove(number::URI_QUERY);
    nameless.options.add(number::URI_QUERY, b"lwm2m=1.1");
    let answer = device.ask(&nameless);
    assert_eq!(answer.code, Code::FORBIDDEN);
    assert!(!answer.payload.is_empty(), "it says why");
}

#[rstest]
#[case::udp(Transport::Udp)]
#[case::dtls(Transport::Dtls)]
#[tokio::test]
async fn a07_a_register_without_objects_or_without_a_version_is_refused(#[case] over: Transport) {
    let server = server().await;
    let mut device = over.device(&server, "a07");
    for (query, links) in [
        (&["lt=300", "lwm2m=1.1"][..], ""),
        (&["lt=300", "lwm2m=1.1"], "</>;rt=\"oma.lwm2m\";ct=112"),
        (&["lt=300"], LINKS),
    ] {
        let code = register(&mut device, query, links);
        assert_eq!(code, Code::BAD_REQUEST, "{query:?} {links}");
    }
    assert!(server.api().endpoint(device.name()).await.is_none());
}

#[rstest]
#[case::udp(Transport::Udp)]
#[case::dtls(Transport::Dtls)]
#[tokio::test]
async fn a08_bindings_of_each_version_are_understood(#[case] over: Transport) {
    let server = server().await;
    for (id, query, queue_mode) in [
        ("a08-10", &["lwm2m=1.0", "b=UQ"][..], true),
        ("a08-11", &["lwm2m=1.1", "b=UT"], false),
        ("a08-11q", &["lwm2m=1.1", "b=U", "Q"], true),
        ("a08-12", &["lwm2m=1.2", "b=UMH", "Q"], true),
    ] {
        let mut device = over.device(&server, id);
        assert_eq!(register(&mut device, query, LINKS), Code::CREATED, "{id}");
        let endpoint = shown(&server.api(), &device).await;
        assert_eq!(endpoint["queue_mode"], queue_mode, "{id}");
        assert_eq!(endpoint["warnings"], json!([]), "{id}");
    }
}

#[rstest]
#[case::udp(Transport::Udp)]
#[case::dtls(Transport::Dtls)]
#[tokio::test]
async fn a09_bindings_of_another_version_are_forgiven_with_a_warning(#[case] over: Transport) {
    let server = server().await;
    let api = server.api();
    for (id, query, queue_mode) in [
        ("a09-11", ["lwm2m=1.1", "b=UQ"], true),
        ("a09-10", ["lwm2m=1.0", "b=UT"], false),
    ] {
        let mut device = over.device(&server, id);
        assert_eq!(register(&mut device, &query, LINKS), Code::CREATED, "{id}");
        assert_eq!(shown(&api, &device).await["queue_mode"], queue_mode, "{id}");
        assert_eq!(warnings(&api, &device).await, ["binding"], "{id}");
    }
    // The same on an Update.
    let mut device = over.device(&server, "a09-update");
    assert_eq!(
        register(&mut device, &["lwm2m=1.0", "b=U"], LINKS),
        Code::CREATED
    );
    assert_eq!(warnings(&api, &device).await, [""; 0]);
    let mut update = device.update();
    update.options.add(number::URI_QUERY, b"b=UT");
    assert_eq!(device.ask(&update).code, Code::CHANGED);
    assert_eq!(warnings(&api, &device).await, ["binding"]);
    assert_eq!(shown(&api, &device).await["binding"], "UT");
}

/// There is one port for plain CoAP. What a device without credentials may be followed to is another
/// port of its address (OMA int-105), never another host.
#[rstest]
#[case::udp(Transport::Udp)]
#[tokio::test]
async fn a10_an_update_from_another_host_is_refused_and_from_another_port_taken(
    #[case] over: Transport,
) {
    let server = server().await;
    let api = server.api();
    let mut device = over.registered(&server, "a10");
    let before = shown(&api, &device).await;
    device.move_to_host(ANOTHER_HOST);
    let update = device.update();
    assert_eq!(device.ask(&update).code, Code::NOT_FOUND);
    let after = shown(&api, &device).await;
    assert_eq!(
        (
            &after["address"],
            &after["registered"],
            &after["expires_at"]
        ),
        (&before["address"], &json!(true), &before["expires_at"])
    );
    device.move_to_new_address();
    let update = device.update();
    assert_eq!(device.ask(&update).code, Code::CHANGED);
    let endpoint = shown(&api, &device).await;
    assert_eq!(endpoint["address"], device.address().to_string());
}

#[rstest]
#[case::udp(Transport::Udp)]
#[tokio::test]
async fn a11_a_deregister_from_another_host_is_refused_and_from_another_port_taken(
    #[case] over: Transport,
) {
    let server = server().await;
    let api = server.api();
    let mut device = over.registered(&server, "a11");
    device.move_to_host(ANOTHER_HOST);
    let deregister = device.deregister();
    assert_eq!(device.ask(&deregister).code, Code::NOT_FOUND);
    assert_eq!(shown(&api, &device).await["registered"], true);
    // OMA int-105 deregisters a device in its name, from a port of its own.
    device.move_to_new_address();
    let deregister = device.deregister();
    assert_eq!(device.ask(&deregister).code, Code::DELETED);
    assert_eq!(shown(&api, &device).await["registered"], false);
}

#[rstest]
#[case::udp(Transport::Udp)]
#[case::dtls(Transport::Dtls)]
#[tokio::test]
async fn a12_unknown_registrations_are_not_found(#[case] over: Transport) {
    let server = server().await;
    let mut device = over.registered(&server, "a12");
    for id in ["1", "AAAAAAAAAAAAAAAAAAAAAA", "..", "%2e", "", " "] {
        for code in [Code::POST, Code::DELETE] {
            let mut request = device.update();
            request.code = code;
            request.options.remove(number::URI_PATH);
            request.options.add(number::URI_PATH, b"rd");
            request.options.add(number::URI_PATH, id.as_bytes());
            let answer = device.ask(&request);
            // An empty id is no id: POST /rd/ is a Register and DELETE /rd/ is nothing.
            let expected = match (id, code) {
                ("", Code::POST) => Code::BAD_REQUEST,
                ("", _) => Code::METHOD_NOT_ALLOWED,
                _ => Code::NOT_FOUND,
            };
            assert_eq!(answer.code, expected, "{code} /rd/{id}");
        }
    }
    assert_eq!(shown(&server.api(), &device).await["registered"], true);
}

#[rstest]
#[case::udp(Transport::Udp)]
#[case::dtls(Transport::Dtls)]
#[tokio::test]
async fn a13_versions_beyond_1_2_are_refused_with_4_12(#[case] over: Transport) {
    let server = server().await;
    let mut device = over.device(&server, "a13");
    for version in ["9.9", "2.0", "0.9", "1.3", "one", ""] {
        let query = format!("lwm2m={version}");
        let code = register(&mut device, &[&query], LINKS);
        assert_eq!(code, Code::PRECONDITION_FAILED, "{version}");
    }
    for version in ["1.0", "1.1", "1.2"] {
        let query = format!("lwm2m={version}");
        assert_eq!(register(&mut device, &[&query], LINKS), Code::CREATED);
        let endpoint = shown(&server.api(), &device).await;
        assert_eq!(endpoint["lwm2m_version"], version);
    }
}

#[rstest]
#[case::udp(Transport::Udp)]
#[case::dtls(Transport::Dtls)]
#[tokio::test]
async fn a14_a_register_must_be_confirmable(#[case] over: Transport) {
    let server = server().await;
    let mut device = over.device(&server, "a14");
    let mut register = device.register(300, LINKS);
    register.kind = MessageType::NonConfirmable;
    device.send(&register);
    let answer = device.expect("a refusal");
    assert_eq!(
        (answer.kind, answer.code, answer.token),
        (
            MessageType::NonConfirmable,
            Code::BAD_REQUEST,
            register.token
        )
    );
    assert!(server.api().endpoint(device.name()).await.is_none());
}

/// Leshan tells its caller an error. Here the operation goes back to the queue, waits for the next
/// registration, and says so.
#[rstest]
#[case::udp(Transport::Udp)]
#[case::dtls(Transport::Dtls)]
#[tokio::test]
async fn a15_an_observe_that_crosses_the_end_of_the_registration_leaves_no_observation(
    #[case] over: Transport,
) {
    let server = server().await;
    let api = server.api();
    let mut device = over.registered(&server, "a15");
    let body = json!({"kind": "observe", "path": "/1/0/1", "format": "text"});
    let operation = api.operate(device.name(), &body).await;
    let observe = Asked::get("/1/0/1")
        .observe(0)
        .accept(TEXT)
        .expect(&mut device);
    let deregister = device.deregister();
    assert_eq!(device.ask(&deregister).code, Code::DELETED);
    // The answer comes too late, and so does a notification: neither revives anything.
    device.answer_observe(&observe, 1, TEXT, b"60");
    let notification = device.notification(observe.token, 2, TEXT, b"61");
    device.send(&notification);
    let answer = device.expect("a reset");
    assert_eq!(
        (answer.kind, answer.message_id),
        (MessageType::Reset, notification.message_id)
    );
    assert_eq!(shown(&api, &device).await["observations"], json!([]));
    let path = format!("/api/v1/operations/{}", operation["id"]);
    let waits = api.read(&path).await;
    assert_eq!(waits["status"], "QUEUED", "{waits}");

    device.register_now(300, LINKS);
    let again = Asked::get("/1/0/1")
        .observe(0)
        .accept(TEXT)
        .expect(&mut device);
    assert_ne!(again.token, observe.token);
    device.answer_observe(&again, 1, TEXT, b"62");
    confirmed(&api.ended(&operation).await, "2.05");
}
