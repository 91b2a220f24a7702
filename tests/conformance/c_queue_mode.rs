//! C. Queue mode (OMA-TS-LightweightM2M Core 6.5, 8.3 of LwM2M 1.0).
//!
//! Leshan tells presence by events; here it is the field `awake`, and what counts is when the
//! operations that wait are sent.

use std::time::{Duration, Instant};

use rstest::rstest;
use serde_json::json;

use super::bench::{Asked, LINKS, Transport, confirmed, nothing_was_sent, operate, shown};
use crate::support::device::{SENML_JSON, ScriptedDevice, TEXT};
use crate::support::server::{Api, SOON, Server, Setup, eventually};
use crate::support::shared::SharedServer;
use flownexus::coap::Code;

static SERVER: SharedServer = SharedServer::new(short_windows);

/// How long a device of these tests is awake, and so how long most of them take.
const AWAKE: Duration = Duration::from_secs(2);

/// A request that is not acknowledged is given up within a fraction of the window.
fn short_windows(setup: Setup) -> Setup {
    setup
        .setting("queue_mode.awake_s", AWAKE.as_secs())
        .setting("coap.ack_timeout_ms", 50)
        .setting("coap.max_retransmit", 1)
}

/// A device in queue mode.
fn sleepy(over: Transport, server: &Server, id: &str) -> ScriptedDevice {
    let mut device = over.device(server, id);
    let query = ["lt=3600", "lwm2m=1.1", "b=U", "Q"].map(str::to_owned);
    let register = device.register_with(&query, LINKS);
    let answer = device.ask(&register);
    device.take_location(&answer);
    device
}

/// Waits until the device sleeps and returns when that was seen.
async fn asleep(api: &Api, device: &ScriptedDevice) -> Instant {
    let what = format!("{} sleeps", device.name());
    eventually(&what, SOON, || async {
        let endpoint = shown(api, device).await;
        (endpoint["awake"] == json!(false)).then(Instant::now)
    })
    .await
}

#[track_caller]
fn update(device: &mut ScriptedDevice) {
    let update = device.update();
    assert_eq!(device.ask(&update).code, Code::CHANGED);
}

fn answer_read(device: &mut ScriptedDevice) {
    let read = Asked::get("/1/0/1").accept(TEXT).expect(device);
    device.answer_content(&read, TEXT, b"300");
}

#[rstest]
#[case::udp(Transport::Udp)]
#[case::dtls(Transport::Dtls)]
#[tokio::test]
async fn c01_a_device_is_awake_for_its_window_after_each_register_and_update(
    #[case] over: Transport,
) {
    let server = SERVER.hold().await;
    let api = server.api();
    let before = Instant::now();
    let mut device = sleepy(over, &server, "c01");
    for _ in 0..2 {
        let endpoint = shown(&api, &device).await;
        assert_eq!(
            (&endpoint["queue_mode"], &endpoint["awake"]),
            (&json!(true), &json!(true))
        );
        let slept = asleep(&api, &device).await;
        assert!(
            slept.duration_since(before) >= AWAKE,
            "never before the window is over"
        );
        update(&mut device);
    }
}

#[rstest]
#[case::udp(Transport::Udp)]
#[case::dtls(Transport::Dtls)]
#[tokio::test]
async fn c02_updates_while_awake_make_the_window_longer_and_send_nothing_twice(
    #[case] over: Transport,
) {
    let server = SERVER.hold().await;
    let api = server.api();
    let mut device = sleepy(over, &server, "c02");
    asleep(&api, &device).await;
    let body = json!({"kind": "read", "path": "/1/0/1", "format": "text"});
    let operation = api.operate(device.name(), &body).await;
    let mut last = Instant::now();
    for round in 0..4 {
        last = Instant::now();
        update(&mut device);
        if round == 0 {
            answer_read(&mut device);
            confirmed(&api.ended(&operation).await, "2.05");
        }
    }
    nothing_was_sent(&mut device);
    let slept = asleep(&api, &device).await;
    assert!(slept.duration_since(last) >= AWAKE);
}

#[rstest]
#[case::udp(Transport::Udp)]
#[case::dtls(Transport::Dtls)]
#[tokio::test]
async fn c03_a_request_that_nobody_acknowledges_shows_that_the_device_sleeps(
    #[case] over: Transport,
) {
    let server = SERVER.hold().await;
    let api = server.api();
    let mut device = sleepy(over, &server, "c03");
    let heard = Instant::now();
    let body = json!({"kind": "read", "path": "/1/0/1", "format": "text"});
    let operation = api.operate(device.name(), &body).await;
    let first = Asked::get("/1/0/1").accept(TEXT).expect(&mut device);
    let again = device.expect("a retransmission");
    assert_eq!(again.encode(), first.encode());
    let slept = asleep(&api, &device).await;
    assert!(
        slept.duration_since(heard) < AWAKE,
        "before its window is over"
    );
    let path = format!("/api/v1/operations/{}", operation["id"]);
    assert_eq!(api.read(&path).await["status"], "QUEUED");
    update(&mut device);
    answer_read(&mut device);
    confirmed(&api.ended(&operation).await, "2.05");
}

#[rstest]
#[case::udp(Transport::Udp)]
#[case::dtls(Transport::Dtls)]
#[tokio::test]
async fn c04_requests_work_while_awake_wait_while_asleep_and_go_out_in_order(
    #[case] over: Transport,
) {
    let server = SERVER.hold().await;
    let api = server.api();
    let mut device = sleepy(over, &server, "c04");
    let body = json!({"kind": "read", "path": "/1/0/1", "format": "text"});
    let ended = operate(&api, &mut device, body, answer_read).await;
    confirmed(&ended, "2.05");
    asleep(&api, &device).await;

    let mut waiting = Vec::new();
    for resource in [3, 1, 2] {
        let path = format!("/1/0/{resource}");
        let body = json!({"kind": "read", "path": path, "format": "text"});
        let operation = api.operate(device.name(), &body).await;
        assert_eq!(operation["status"], "QUEUED");
        waiting.push((path, operation));
    }
    nothing_was_sent(&mut device);
    for (path, operation) in waiting {
        let read = Asked::get(&path).accept(TEXT).expect(&mut device);
        device.answer_content(&read, TEXT, b"300");
        confirmed(&api.ended(&operation).await, "2.05");
    }
}

#[rstest]
#[case::udp(Transport::Udp)]
#[case::dtls(Transport::Dtls)]
#[tokio::test]
async fn c05_a_device_without_queue_mode_is_always_taken_as_awake(#[case] over: Transport) {
    let server = SERVER.hold().await;
    let api = server.api();
    let mut device = over.registered(&server, "c05");
    let sleeper = sleepy(over, &server, "c05-sleeper");
    asleep(&api, &sleeper).await;
    // Registered before the other one, and its window would be over.
    assert_eq!(shown(&api, &device).await["awake"], true);
    let body = json!({"kind": "read", "path": "/1/0/1", "format": "text"});
    let ended = operate(&api, &mut device, body, answer_read).await;
    confirmed(&ended, "2.05");
}

/// Leshan does not count a Send as a sign of life; its users ask for it.
#[rstest]
#[case::udp(Transport::Udp)]
#[case::dtls(Transport::Dtls)]
#[tokio::test]
async fn c06_a_send_wakes_what_waits(#[case] over: Transport) {
    let server = SERVER.hold().await;
    let api = server.api();
    let mut device = sleepy(over, &server, "c06");
    asleep(&api, &device).await;
    let body = json!({"kind": "read", "path": "/1/0/1", "format": "text"});
    let operation = api.operate(device.name(), &body).await;
    let send = device.data_push(SENML_JSON, br#"[{"n":"/3442/0/120","v":1}]"#);
    assert_eq!(device.ask(&send).code, Code::CHANGED);
    answer_read(&mut device);
    confirmed(&api.ended(&operation).await, "2.05");
    assert_eq!(shown(&api, &device).await["awake"], true);
}
